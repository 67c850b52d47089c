"""`regraft bench`: which of two models is faster, and by how much."""

from __future__ import annotations

from pathlib import Path

import click

from regraft.cli.parameters import arrays, as_json, command, inputs, model_argument, seed


@command("regraft bench model.onnx better.onnx", "regraft bench model.onnx better.onnx --inputs input_ids=8x128")
@model_argument("a")
@model_argument("b")
@click.option("--runs", type=click.IntRange(min=1), default=20, show_default=True, help="Runs of each that count.")
@click.option("--threads", type=click.IntRange(min=0), default=1, show_default=True, help="Of one operator; 0: all.")
@click.option(
    "--optimize/--no-optimize", default=True, show_default=True, help="With or without ONNX Runtime's optimisations."
)
@click.option("--memory", is_flag=True, help="Measure peak memory too, each model in a process of its own.")
@inputs
@seed
@as_json
def bench(
    a: Path,
    b: Path,
    runs: int,
    threads: int,
    optimize: bool,
    memory: bool,
    inputs: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Time two models in ONNX Runtime, run by run in turns, and print how their times compare."""
    from regraft.files.loading import load
    from regraft.verification.bench import bench

    feeds = arrays(load(a), inputs, seed)
    result = bench(a, b, feeds, runs=runs, threads=threads, optimize=optimize, memory=memory)
    if as_json:
        import json

        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        click.echo(str(result))
