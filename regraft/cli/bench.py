"""`regraft bench`: which of two models is faster, and by how much."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import arrays, as_json, command, compiler_options, inputs, load, model_argument, seed, trust
from regraft.cli.terminal import block, echo

if TYPE_CHECKING:
    from regraft.targeting.process import ResourceLimits


@command(
    "regraft bench model.onnx better.onnx",
    "regraft bench model.onnx better.onnx --inputs input_ids=8x128",
    "regraft bench model.onnx --lengths seed004 --rows 16 --tokens 256 --max-valid-num 40",
)
@model_argument("a")
@click.argument("b", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--lengths", metavar="FILE|SET", help="Compare ways in which A alone runs sequences of these lengths.")
@click.option(
    "--sequences", type=click.IntRange(min=1), default=64, show_default=True, help="How many sequences to run."
)
@click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Sequences in a padded call.")
@click.option("--rows", type=click.IntRange(min=1), help="Rows of a packed batch of fixed shape, to compare too.")
@click.option("--tokens", type=click.IntRange(min=1), help="Tokens in one of its rows.")
@click.option("--max-valid-num", type=click.IntRange(min=1), help="Sequences in it.  [default: 4 a row]")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=2, show_default=True, help="Rounds over all ways, in turns."
)
@click.option(
    "--wait-ms", type=click.FloatRange(min=0), default=5.0, show_default=True, help="Milliseconds to wait for others."
)
@click.option(
    "--dump", type=click.Path(dir_okay=False, path_type=Path), help="Write the results of each sequence, as CSV."
)
@click.option("--runs", type=click.IntRange(min=1), default=20, show_default=True, help="Timed runs of each.")
@click.option(
    "--threads", type=click.IntRange(min=0), default=1, show_default=True, help="Threads of one operator; 0: all."
)
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
    b: Path | None,
    lengths: str | None,
    sequences: int,
    batch: int,
    rows: int | None,
    tokens: int | None,
    max_valid_num: int | None,
    rounds: int,
    wait_ms: float,
    dump: Path | None,
    runs: int,
    threads: int,
    optimize: bool,
    memory: bool,
    environment: Path | None,
    limits: ResourceLimits,
    trust: bool,
    inputs: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Time two models, run by run in turns, and print how their times compare.

    Models and bundles run in ONNX Runtime; with --trust a compiled bundle runs in its compiler's runtime, with the
    threads that it was compiled for, and its host part in ONNX Runtime.

    With --lengths one model runs sequences of these lengths in every way there is: padded, sorted, one by one, and, in
    each of its forms, packed. Each way's answers are compared with those of a sequence alone, and requests that arrive
    at random show how long one waits.
    """
    if lengths is not None:
        from regraft.cli.bench_lengths import Asked, compare_ways

        if b is not None:
            raise click.UsageError("--lengths compares ways to run one model: give no second one")
        if (rows is None) != (tokens is None):
            raise click.UsageError("a fixed shape needs --rows and --tokens")
        most = max_valid_num or 4 * (rows or 0)
        asked = Asked(lengths, batch, rows or 0, tokens or 0, most, sequences, rounds, threads, wait_ms / 1e3, seed)
        compare_ways(a, asked, dump, as_json)
        return
    if b is None:
        raise click.UsageError("two models are compared: name the second one, or give --lengths")
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
