"""`regraft precision-plan`: which values half precision can hold, by their range on real inputs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import PATH, as_json, command, model_argument, seed
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.mixed_precision.plan import Row

HEAD, RIGHT = ("value", "op", "low", "high", "least", "precision", "why"), (2, 3, 4)
DTYPES = {"float16": "convert-fp16", "bfloat16": "convert-bf16"}


@command(
    "regraft precision-plan model.onnx --data sentences.npz -o plan.toml",
    "regraft rewrite model.onnx -o half.onnx --pipeline 'convert-fp16{plan=plan.toml}'",
)
@model_argument()
@click.option(
    "--data",
    metavar="FILE",
    multiple=True,
    help="Inputs to run on, a .npz, .npy or .json file.  [default: made from what each input means; repeatable]",
)
@click.option("-o", "--output", type=PATH, help="The plan to write, a TOML file.")
@click.option("--dtype", type=click.Choice(list(DTYPES)), default="float16", show_default=True)
@click.option("--mode", type=click.Choice(["full", "matmul", "attention"]), default="full", show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(min=1),
    default=4.0,
    show_default=True,
    help="How many times larger than in the data a value may become.",
)
@click.option("--all", "everything", is_flag=True, help="Print the lowered values too.")
@seed
@as_json
def precision_plan(
    model: Path,
    data: tuple[str, ...],
    output: Path | None,
    dtype: str,
    mode: str,
    margin: float,
    everything: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Run MODEL, record the range of every value, and plan which of them half precision can hold.

    The plan has a row for each value: its range, its precision, and why. It can be edited by hand, and
    convert-fp16{plan=FILE} follows it.
    """
    from regraft.cli.output import document, title
    from regraft.cli.parameters import arrays
    from regraft.files.loading import load
    from regraft.mixed_precision import plan
    from regraft.mixed_precision.policy import Mode
    from regraft.pipelines.options import kind_of

    if output is not None and output.suffix != ".toml":
        raise click.UsageError(f"the plan goes to a .toml file, not {output}")
    loaded = load(model)
    samples = [arrays(loaded, (text,), seed) for text in data] or [arrays(loaded, (), seed)]
    rows = plan.make(loaded, samples, dtype=dtype, mode=kind_of(Mode).read(mode), margin=margin)
    if output is not None:
        plan.write(output, rows, dtype, DTYPES[dtype])
    if as_json:
        document([asdict(row) for row in rows])
        return
    _table(rows if everything else [row for row in rows if row.precision != dtype])
    lowered = sum(row.precision == dtype for row in rows)
    written = f"; written to {output}" if output is not None else ""
    title(f"{lowered} of {count(len(rows), 'value')} in {dtype}{written}")


def _table(rows: list[Row]) -> None:
    from regraft.cli.output import table

    shown = [
        (row.name, row.op, *(_number(getattr(row.seen, key, None)) for key in ("low", "high", "least")), row.precision)
        for row in rows
    ]
    table([(*line, row.why) for line, row in zip(shown, rows, strict=True)], HEAD, RIGHT)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
