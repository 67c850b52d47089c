"""How results look: the same in a terminal and in a pipe, except that in a terminal titles are bold and tables fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from regraft.cli.terminal import block, columns, echo
from regraft.display import GAP, align
from regraft.errors import visible

if TYPE_CHECKING:
    from regraft.proving.place_rounding import PlaceRounding
    from regraft.verification.deviation import Deviation
    from regraft.verification.places import Place

CUT, WRAPPED = 16, 20
"""The least widths of a column of names, which are cut, and of one of text, which is wrapped."""


def title(text: str) -> None:
    """Print a title, after an empty line."""
    echo()
    echo(text, bold=True)


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), right: Collection[int] = ()) -> None:
    """Print columns; those in `right` are numbers. In a terminal they fit its width."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    every = [list(head), *cells] if head else cells
    widths = fitted([*zip(*every, strict=True)], right, columns())
    for row in every:
        parts = [_parts(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in zip_longest(*parts, fillvalue=""):
            echo(align(line, widths, right), dim=bool(head) and row is every[0])


def fitted(cells: Sequence[Sequence[str]], right: Collection[int], room: int | None) -> list[int]:
    """The widths of columns so that they fit into `room`: the widest text is made less wide first, then names.

    Numbers keep their width, and other columns the least that can be read.
    """
    widths = [max(map(len, column)) for column in cells]
    least = [WRAPPED if any(" " in cell for cell in column) else CUT for column in cells]
    shrinks = [place for place in range(len(cells)) if place not in right]
    excess = 0 if room is None else sum(widths) + len(GAP) * (len(widths) - 1) - room
    for _ in range(excess):
        wide = [place for place in shrinks if widths[place] > least[place]]
        if not wide:
            break
        widths[max(wide, key=lambda place: (least[place] == WRAPPED, widths[place]))] -= 1
    return widths


def _parts(cell: str, width: int) -> list[str]:
    """A cell as lines: text is wrapped, and a name loses its middle, as names differ at their ends."""
    if len(cell) <= width:
        return [cell]
    if " " in cell:
        return wrap(cell, width, break_on_hyphens=False)
    end = (width - 1) // 2
    return [f"{cell[: width - 1 - end]}…{cell[len(cell) - end :]}"]


def document(value: object) -> None:
    """Print a value as JSON, which has no infinity and no NaN: they become text."""
    from regraft.verification.deviation import to_json

    block(to_json(value))


def drifts(drift: Deviation) -> None:
    """Print how far each output moved."""
    rows = [
        (one.name, f"{one.max_abs:.2g}", f"{one.max_rel:.2g}", f"{one.cosine:.9f}", one.reason) for one in drift.outputs
    ]
    table(rows, ("output", "max abs", "max rel", "cosine", ""), right=[1, 2, 3])


def show_places(places: Iterable[Place]) -> None:
    """Print the places that are not proved, a few of them."""
    left = [place for place in places if place.outcome == "out of reach"]
    for place in left[:PLACES_SHOWN]:
        echo(f"  not '{visible(place.path + place.value)}': {visible(place.reason)}")
    if len(left) > PLACES_SHOWN:
        echo(f"  nor {len(left) - PLACES_SHOWN} more (see --report or --json)")


def show_rounding(moved: Sequence[PlaceRounding]) -> None:
    """Print how far rounding may move places, and did: the worst few, and what is said of none."""
    bounded = sorted((one for one in moved if one.bound is not None), key=lambda one: one.bound or 0.0, reverse=True)
    rows = [(one.path + one.value, f"{one.measured or 0.0:.2g}", f"{one.bound:.2g}") for one in bounded[:PLACES_SHOWN]]
    if rows:
        table(rows, ("place", "rounding moved", "at most"), right=[1, 2])
    left = [one for one in moved if one.bound is None]
    for one in left[:PLACES_SHOWN]:
        echo(f"  no bound at '{visible(one.path + one.value)}': {visible(one.reason)}")
    if len(left) > PLACES_SHOWN:
        echo(f"  nor at {len(left) - PLACES_SHOWN} more (see --json)")


PLACES_SHOWN = 3


def size(nbytes: int) -> str:
    """Bytes as people read them: 69.1 MB."""
    amount = float(nbytes)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def duration(seconds: float) -> str:
    """`830 ms`, `1.25 s`."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
