"""`regraft pack-lengths`: what packing sequences of these lengths would gain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import PATH, as_json, command
from regraft.cli.terminal import block, echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.packers.limits import Packing

ARRIVAL, AHEAD = ("next_fit", "first_fit", "best_fit"), ("first_fit_decreasing", "spfhp", "lpfhp")
"""Packers that take sequences as they come, and those that know all of them."""


class _Algorithm(click.Choice[str]):
    """A packer's name, with hyphens or underscores."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.replace("-", "_"), param, ctx)


@command(
    "regraft pack-lengths seed004 --rows 16 --tokens 256 --max-valid-num 40",
    "regraft pack-lengths lengths.txt --tokens 512 --algorithm spfhp --json",
    "regraft pack-lengths squad --across-rows --algorithm next_fit --picture rows.svg",
)
@click.argument("lengths", metavar="FILE|seed004|squad|wikipedia|short")
@click.option("--rows", type=click.IntRange(min=1), default=16, show_default=True, help="Rows of a batch.")
@click.option("--tokens", type=click.IntRange(min=1), help="Tokens in a row.  [default: the longest sequence]")
@click.option("--max-valid-num", type=click.IntRange(min=1), help="Sequences in a batch.  [default: any number]")
@click.option("--algorithm", type=_Algorithm([*ARRIVAL, *AHEAD]), default="first_fit", show_default=True)
@click.option("--depth", type=click.IntRange(min=1), help="Sequences in a row, for packers that know all lengths.")
@click.option("--across-rows", is_flag=True, help="A sequence may begin in one row and end in the next.")
@click.option("--picture", type=PATH, metavar="FILE.svg", help="Draw a few batches, beside the same sequences padded.")
@as_json
def pack_lengths(
    lengths: str,
    rows: int,
    tokens: int | None,
    max_valid_num: int | None,
    algorithm: str,
    depth: int | None,
    across_rows: bool,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Say how many batches sequences take when several share a row, and how much faster that can be at the most.

    FILE has a number a line, a list in JSON, or an array in .npy. The sets are the requests of PopRT's packing example,
    SQuAD's and Wikipedia's sequences as packedBERT counted them, and made-up short texts.
    """
    from regraft.runtime.packing import ALGORITHMS, Limits, read_lengths

    if depth is not None and algorithm not in AHEAD:
        raise click.UsageError(f"--depth is for {', '.join(AHEAD)}; {algorithm} takes sequences as they come")
    found = read_lengths(lengths)
    limits = Limits(tokens or found.longest, rows, max_valid_num, across_rows)
    packing = ALGORITHMS[algorithm](found.values, limits, **({"depth": depth} if depth else {}))
    if picture is not None:
        _draw(packing, algorithm, picture, Path(lengths))
    said = {
        "algorithm": algorithm,
        "sequences": len(packing.lengths),
        "tokens": int(packing.lengths.sum()),
        "padded_batches": packing.padded,
        "batches": packing.batches,
        "fill": packing.fill,
        "speedup": packing.speedup,
    }
    if as_json:
        import json

        block(json.dumps(said, indent=2))
        return
    held = len(packing.lengths) / packing.batches
    sequences, lengths_in_all = count(len(packing.lengths), "sequence"), count(int(packing.lengths.sum()), "token")
    echo(f"{sequences}, {lengths_in_all}; the longest row takes {limits.tokens:,}")
    echo(f"padded: {count(packing.padded, 'batch')} of {count(rows, 'row')}")
    echo(f"packed: {count(packing.batches, 'batch')}, {packing.fill:.1%} filled, {held:.1f} sequences in each")
    echo(f"speed-up at the most: {packing.speedup:.3f}")


def _draw(packing: Packing, algorithm: str, picture: Path, lengths: Path) -> None:
    from regraft.files.stream import real_path, write_file
    from regraft.packers.picture import draw

    if real_path(picture) == lengths.resolve():
        raise click.UsageError(f"--picture {picture} would take the place of the lengths: name another file")
    write_file(picture, draw(packing, algorithm).encode())
