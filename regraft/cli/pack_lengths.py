"""`regraft pack-lengths`: what packing sequences of these lengths would gain."""

from __future__ import annotations

import click

from regraft.cli.parameters import as_json, command
from regraft.cli.terminal import block, echo

ARRIVAL, AHEAD = ("next_fit", "first_fit", "best_fit"), ("first_fit_decreasing", "spfhp", "lpfhp")
"""Packers that take sequences as they come, and those that know all of them."""


class _Algorithm(click.Choice[str]):
    """A packer's name, with hyphens or underscores."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value.replace("-", "_"), param, ctx)


@command(
    "regraft pack-lengths seed004 --rows 16 --tokens 256 --max-valid-num 40",
    "regraft pack-lengths lengths.txt --tokens 512 --algorithm spfhp --json",
)
@click.argument("lengths", metavar="FILE|seed004|squad|wikipedia|short")
@click.option("--rows", type=click.IntRange(min=1), default=16, show_default=True, help="Of a batch.")
@click.option("--tokens", type=click.IntRange(min=1), help="In a row.  [default: the longest sequence]")
@click.option("--max-valid-num", type=click.IntRange(min=1), help="Sequences in a batch.  [default: any number]")
@click.option("--algorithm", type=_Algorithm([*ARRIVAL, *AHEAD]), default="first_fit", show_default=True)
@click.option("--depth", type=click.IntRange(min=1), help="Sequences in a row, where all lengths are known before.")
@click.option("--across-rows", is_flag=True, help="A sequence may begin in one row and end in the next.")
@as_json
def pack_lengths(
    lengths: str,
    rows: int,
    tokens: int | None,
    max_valid_num: int | None,
    algorithm: str,
    depth: int | None,
    across_rows: bool,
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
    echo(f"{said['sequences']:,} sequences, {said['tokens']:,} tokens; the longest row takes {limits.tokens:,}")
    echo(f"padded: {packing.padded:,} batches of {rows} rows")
    echo(f"packed: {packing.batches:,} batches, {packing.fill:.1%} filled, {held:.1f} sequences in each")
    echo(f"speed-up at the most: {packing.speedup:.3f}")
