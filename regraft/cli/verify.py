"""`regraft verify`: do two models compute the same?"""

from __future__ import annotations

from pathlib import Path

import click

from regraft.cli.parameters import arrays, as_json, command, inputs, model_argument, seed
from regraft.cli.terminal import block, echo


@command(
    "regraft verify model.onnx better.onnx",
    "regraft verify model.onnx better.onnx --inputs sentences.npz --atol 1e-4",
    "regraft verify model.onnx better.onnx --inputs input_ids=4x64",
)
@model_argument("a")
@model_argument("b")
@inputs
@seed
@click.option("--rtol", type=click.FloatRange(min=0), help="Allowed difference relative to the value.")
@click.option("--atol", type=click.FloatRange(min=0), help="Allowed difference.")
@as_json
@click.pass_context
def verify(
    ctx: click.Context,
    a: Path,
    b: Path,
    inputs: tuple[str, ...],
    seed: int,
    rtol: float | None,
    atol: float | None,
    as_json: bool,
) -> None:
    """Run two models on the same inputs and compare their outputs.

    Without --rtol and --atol the rounding of a reordered computation is allowed, as far as the size of the model
    explains it. Exits with 1 where an output differs by more.
    """
    from regraft.files.bundle import check_sums
    from regraft.pipelines.source import open_source
    from regraft.verification.contract import precision
    from regraft.verification.verify import compare

    for path in (a, b):
        check_sums(path)
    before = open_source(a)
    contract = None if rtol is None and atol is None else precision(rtol or 0.0, atol or 0.0)
    verdict = compare(before, open_source(b), arrays(before, inputs, seed), contract=contract, seed=seed)
    if as_json:
        block(verdict.to_json())
    else:
        from regraft.cli.output import drifts, title

        drifts(verdict.drift)
        for note in verdict.notes:
            echo(note)
        title(verdict.summary)
    ctx.exit(0 if verdict.passed else 1)
