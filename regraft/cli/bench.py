"""`regraft bench`: which of two models is faster, and by how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import arrays, as_json, command, compiler_options, inputs, load, model_argument, seed, trust
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.targeting.process import Limits


@command("regraft bench model.onnx better.onnx", "regraft bench model.onnx better.onnx --inputs input_ids=8x128")
@model_argument("a")
@model_argument("b")
@click.option("--runs", type=click.IntRange(min=1), default=20, show_default=True, help="Runs of each that count.")
@click.option("--threads", type=click.IntRange(min=0), default=1, show_default=True, help="Of one operator; 0: all.")
@click.option(
    "--optimize/--no-optimize", default=True, show_default=True, help="With or without ONNX Runtime's optimisations."
)
@click.option("--memory", is_flag=True, help="Measure peak memory too, each model in a process of its own.")
@compiler_options
@trust
@inputs
@seed
@as_json
@load
def bench(
    a: Path,
    b: Path,
    runs: int,
    threads: int,
    optimize: bool,
    memory: bool,
    environment: Path | None,
    limits: Limits,
    trust: bool,
    inputs: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Time two models, run by run in turns, and print how their times compare.

    Models and bundles run in ONNX Runtime; with --trust a compiled bundle runs in its compiler's runtime, with the
    threads that it was compiled for, and its host part in ONNX Runtime.
    """
    from contextlib import ExitStack

    from regraft.files import loading
    from regraft.targeting.compiled import CompiledSession, is_compiled, not_loaded
    from regraft.verification.bench import bench

    feeds = arrays(loading.load(a), inputs, seed)
    for path in (a, b):
        if not trust and (note := not_loaded(path)):
            echo(note, err=True)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(CompiledSession(path, environment, limits)) if trust and is_compiled(path) else path
            for path in (a, b)
        ]
        result = bench(opened[0], opened[1], feeds, runs=runs, threads=threads, optimize=optimize, memory=memory)
    if as_json:
        import json

        block(json.dumps(result.to_dict(), indent=2))
    else:
        block(str(result))
