"""A picture of how sequences fill rows, beside the same sequences one a row."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from regraft.packers.limits import Array, Limits, Packing, PackingError
from regraft.wording import count

MOST = 800
"""Sequences, and rows, that are drawn: they take some 50 KB."""

COLUMNS, LINES = 4, 2
"""Batches beside each other, and lines of them that one sequence a row takes at the most, where it can be."""

_COLOURS = ("#5b8fb9", "#c99a4b", "#6fa287")  # neither light nor dark: they stand out on any page
_CLASSES = "abc"
_GREY = "#6e7781"
_WIDTH, _ROW, _GAP = 224, 6, 16  # of a batch, a row, and between batches, in pixels
_LINE = 26  # of text


def few_batches(packing: Packing) -> Packing:
    """Those to be drawn, evenly from all: as many as hold what fills `COLUMNS * LINES` batches of one a row, or one.

    Who knows all lengths puts the longest into the first batches: these alone would show nothing.

    Raises:
        PackingError: a batch has more sequences or rows than `MOST`.
    """
    held, rows = np.bincount(packing.batch, minlength=1), packing.limits.rows or packing.rows
    for parts in range(min(COLUMNS * LINES, len(held)), 0, -1):
        chosen = (2 * np.arange(parts) + 1) * len(held) // (2 * parts)  # the middles of so many parts
        sequences = int(held[chosen].sum())
        if sequences <= COLUMNS * LINES * rows and max(sequences, parts * rows) <= MOST:
            break
    if max(sequences, rows) > MOST:
        raise PackingError(
            f"a batch has {count(rows, 'row')} and {count(sequences, 'sequence')}; a picture takes {MOST:,}: "
            "give fewer rows"
        )
    kept = np.isin(packing.batch, chosen)
    batch = np.searchsorted(chosen, packing.batch[kept])
    return replace(
        packing, lengths=packing.lengths[kept], batch=batch, row=packing.row[kept], start=packing.start[kept]
    )


def draw(packing: Packing, name: str) -> str:
    """A few batches as SVG, below the same sequences padded.

    A row is a bar; each sequence is a piece of it, of the same colour in both parts, and what is left is padding.
    Pieces are lines `M{token} {row}.5h{tokens}`, in tokens and rows of their batch, one colour a path.

    Args:
        name: of what packed them.

    Raises:
        PackingError: a batch is too large; see `few_batches`.
    """
    shown = few_batches(packing)
    padded = _padded(shown)
    rows = shown.limits.rows or max(shown.rows, 1)
    colours = np.zeros(len(shown.lengths), np.int64)
    for group in shown.groups():
        colours[group] = np.arange(len(group)) % len(_COLOURS)
    scale = _WIDTH / padded.limits.tokens
    above, middle = _panel(padded, rows, colours, scale, _LINE)
    below, height = _panel(shown, rows, colours, scale, middle + _LINE)
    said = f"{_said(shown)}, in {shown.batches:,} of {count(packing.batches, 'batch')}"
    width = COLUMNS * (_WIDTH + _GAP)
    style = "".join(f".{letter}{{stroke:{colour}}}" for letter, colour in zip(_CLASSES, _COLOURS, strict=True))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 0 {width} {height}" width="{width}" role="img">',
        f"<title>{count(len(shown.lengths), 'sequence')}: padded to {_said(padded)}; {name} makes {said}</title>",
        f"<style>{style}path{{stroke-width:.8}}rect,.row{{fill:none;stroke:{_GREY}}}.row{{stroke-width:.3}}",
        f"text{{fill:{_GREY};font:14px sans-serif}}</style>",
        _text(f"padded: {_said(padded)}", _LINE),
        *above,
        _text(f"{name}: {said}", middle + _LINE),
        *below,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _padded(packing: Packing) -> Packing:
    """The same sequences, each in a row of its own, as long as the longest."""
    none = np.zeros_like(packing.row)
    longest = max(packing.limits.tokens, int(packing.lengths.max(initial=0)))
    return Packing(Limits(longest), packing.lengths, none, np.arange(len(none)), none)


def _said(packing: Packing) -> str:
    return f"{count(packing.rows, 'row')} of {count(packing.limits.tokens, 'token')}, {packing.fill:.1%} filled"


def _panel(packing: Packing, rows: int, colours: Array, scale: float, top: int) -> tuple[list[str], int]:
    """The batches of a packing, `rows` high each, and where they end."""
    width, pieces = round(packing.limits.tokens * scale, 2), _pieces(packing, rows, colours)
    lines = []
    for number, first in enumerate(range(0, packing.rows, rows)):
        line, column = divmod(number, COLUMNS)
        x, y = column * (_WIDTH + _GAP), top + _GAP // 2 + line * (rows * _ROW + _GAP)
        used = min(rows, packing.rows - first)
        between = "".join(f"M0 {row * _ROW}h{width}" for row in range(1, used))
        lines += [
            f'<g transform="translate({x} {y})">',
            f'<rect width="{width}" height="{used * _ROW}"/><path class="row" d="{between}"/>',
            f'<g transform="scale({scale:.5g} {_ROW})">',
            *(
                f'<path class="{letter}" d="{pieces[number, letter]}"/>'
                for letter in _CLASSES
                if pieces[number, letter]
            ),
            "</g></g>",
        ]
    return lines, top + _GAP // 2 + -(-packing.rows // (rows * COLUMNS)) * (rows * _ROW + _GAP)


def _pieces(packing: Packing, rows: int, colours: Array) -> dict[tuple[int, str], str]:
    """The path of each batch and colour; a sequence that goes across rows has several pieces."""
    tokens, made = packing.limits.tokens, defaultdict[tuple[int, str], str](str)
    places = np.stack([packing.batch * rows + packing.row, packing.start, packing.lengths, colours], axis=1)
    for row, start, left, colour in places.tolist():
        while left:
            width = min(left, tokens - start)
            made[row // rows, _CLASSES[colour]] += f"M{start} {row % rows}.5h{width}"
            row, start, left = row + 1, 0, left - width
    return made


def _text(text: str, bottom: int) -> str:
    return f'<text y="{bottom - 6}">{text}</text>'
