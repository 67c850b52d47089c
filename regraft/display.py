"""Results that show themselves: as text in a terminal, as tables in a notebook."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from regraft.errors import visible

GAP = "  "
"""Between the columns of a table."""


class Table(NamedTuple):
    """Rows of a table; the columns in `right` are numbers."""

    title: str
    rows: Sequence[Sequence[object]]
    head: Sequence[str] = ()
    right: Collection[int] = ()


class Displayed:
    """The base of results: `display` says what is shown, once for terminals and notebooks."""

    def display(self) -> Iterator[str | Table]:
        """Lines of text, and tables under their titles; a table without rows is left out."""
        raise NotImplementedError

    def __str__(self) -> str:
        lines: list[str] = []
        for part in self.display():
            if isinstance(part, str):
                lines.append(visible(part))
            elif part.rows:
                lines += [f"{part.title}:", *(f"  {line}" for line in _aligned(part))]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return "".join(_line(part) if isinstance(part, str) else _table(part) for part in self.display())


def align(cells: Iterable[str], widths: Iterable[int], right: Collection[int]) -> str:
    """A line of a table, whose columns have these widths; those in `right` are numbers."""
    sized = enumerate(zip(cells, widths, strict=True))
    return GAP.join(c.rjust(w) if place in right else c.ljust(w) for place, (c, w) in sized).rstrip()


def _aligned(table: Table) -> Iterator[str]:
    cells = [[visible(str(cell)) for cell in row] for row in (*([table.head] if table.head else []), *table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return (align(row, widths, table.right) for row in cells)


def _line(text: str) -> str:
    return f"<div>{html.escape(visible(text))}</div>"


def _table(table: Table) -> str:
    if not table.rows:
        return ""
    head = f"<thead>{_row('th', table.head, table.right)}</thead>" if table.head else ""
    body = "".join(_row("td", row, table.right) for row in table.rows)
    return f"<table><caption>{html.escape(table.title)}</caption>{head}<tbody>{body}</tbody></table>"


def _row(tag: str, cells: Sequence[object], right: Collection[int]) -> str:
    sides = ("right" if place in right else "left" for place in range(len(cells)))
    made = (
        f'<{tag} style="text-align:{side}">{html.escape(visible(str(cell)))}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(made)}</tr>"
