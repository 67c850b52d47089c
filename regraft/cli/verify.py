"""`regraft verify`: do two models compute the same?"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from regraft.cli.parameters import as_json, command, given, inputs, model_argument, seed, trials
from regraft.cli.terminal import block, echo


@command(
    "regraft verify model.onnx better.onnx",
    "regraft verify model.onnx better.onnx --inputs sentences.npz --atol 1e-4",
    "regraft verify model.onnx better.onnx --inputs input_ids=4x64",
    "regraft verify model.onnx better.onnx --prove --rounding",
)
@model_argument("a")
@model_argument("b")
@inputs
@seed
@trials
@click.option("--rtol", type=click.FloatRange(min=0), help="Allowed difference relative to the value.")
@click.option("--atol", type=click.FloatRange(min=0), help="Allowed difference.")
@click.option("--prove", is_flag=True, help="Prove, too, over the real numbers and for all sizes, where they differ.")
@click.option(
    "--rounding", is_flag=True, help="With --prove: bound, and measure, what rounding moves where they differ."
)
@as_json
@click.pass_context
def verify(
    ctx: click.Context,
    a: Path,
    b: Path,
    inputs: tuple[str, ...],
    seed: int,
    trials: int,
    rtol: float | None,
    atol: float | None,
    prove: bool,
    rounding: bool,
    as_json: bool,
) -> None:
    """Run two models on the same inputs and compare their outputs, and what a caller sees of them.

    Without --rtol and --atol what is allowed is what the passes promised that made B of A, where B's metadata say so;
    else a few times the rounding noise that A itself shows on these inputs. Exits with 1 where an output differs by
    more, or an input or output is otherwise: its name, place, type, or fixed dimensions.
    """
    from regraft.files.bundle import check_sums
    from regraft.pipelines.source import open_source
    from regraft.proving.place_rounding import prove_and_round
    from regraft.proving.places import prove_models
    from regraft.verification.contract import precision, recorded
    from regraft.verification.deviation import to_json
    from regraft.verification.verify import verify as run_both

    if rounding and not prove:
        raise click.UsageError("--rounding goes with --prove")
    for path in (a, b):
        check_sums(path)
    before, after = open_source(a), open_source(b)
    contract = None if rtol is None and atol is None else precision(rtol or 0.0, atol or 0.0)
    known = given(before, inputs)
    prover = prove_models if prove and not rounding else None
    verdict = run_both(before, after, known, contract=contract, seed=seed, trials=trials, prove=prover)
    moved = None
    if rounding:
        names = {**verdict.inputs.pairs, **verdict.outputs.pairs}
        promised = contract or recorded(before.metadata, after.metadata)
        places, moved = prove_and_round(before, after, names, promised, known, seed, trials)
        verdict = replace(verdict, places=tuple(places))
    if as_json:
        bounds = {} if moved is None else {"rounding": [asdict(one) for one in moved]}
        block(to_json(verdict.to_dict() | bounds))
    else:
        from regraft.cli.output import drifts, show_places, show_rounding, title

        drifts(verdict.drift)
        for note in verdict.notes:
            echo(note)
        if verdict.places is not None:
            show_places(verdict.places)
        if moved is not None:
            show_rounding(moved)
        title(verdict.summary)
    ctx.exit(0 if verdict.passed else 1)
