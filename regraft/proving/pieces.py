"""A range of an index in pieces: the runs between numbers it is compared with, or the digits it is taken apart into."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from regraft.proving.digits import Digit, Position, exact, number_of, place_at
from regraft.proving.polynomial import Index, Polynomial, constant, power_of
from regraft.proving.ranges import is_below, is_natural
from regraft.proving.sizes import Size, name_of, size
from regraft.proving.substitution import Names
from regraft.proving.truths import Comparison

_ONE = constant(1)


class Piece(NamedTuple):
    """A part of a range: the places there, and the indices that range over them."""

    names: Names
    indices: list[Index]


def pieces(p: Polynomial, index: Index, fresh: int) -> list[Piece]:
    """What the range of `index` falls into where `p` looks at it as a number; none where it does not.

    Args:
        fresh: a number beyond those of all free indices.
    """
    if not any(index in atom.indices for atom in p.marks):
        return []
    return digits(p, index, fresh) or runs(p, index, fresh)


def digits(p: Polynomial, index: Index, fresh: int) -> list[Piece]:
    """The range over two digits, the upper and the lower, where `p` has digits of the index."""
    whole, count = power_of(Position(index)), size(index.axis)
    found = [atom for atom in p.marks if isinstance(atom, Digit) and atom.of == whole]
    cuts = {cut for atom in found for cut in (atom.stride, atom.stride * atom.radix)} - {_ONE, count}
    parts = [(low, high) for low in cuts if (high := exact(count, low)) is not None]
    if not parts:
        return []
    least = [one for one in parts if all(is_natural(other - one[0]) for other, _ in parts)]
    low, high = min(least or parts, key=lambda one: one[0].text)
    upper, lower = Index(name_of(high), fresh), Index(name_of(low), fresh + 1)
    return [Piece({index: place_at(number_of(upper) * low + number_of(lower))}, [upper, lower])]


def runs(p: Polynomial, index: Index, fresh: int) -> list[Piece]:
    """The runs between the places with which `p` compares the index."""
    starts: list[Polynomial] = []
    for start in sorted(_starts(p, index), key=lambda one: one.text):
        place = 0
        while place < len(starts) and is_natural(start - starts[place]):
            place += 1
        if all(is_natural(later - start) for later in starts[place:]):
            starts.insert(place, start)
    return cut(index, starts, fresh) if starts else []


def cut(index: Index, starts: Sequence[Polynomial], fresh: int) -> list[Piece]:
    """The range of `index` in runs, of which all but the first start at `starts`."""
    found = []
    for start, end in pairwise([constant(0), *starts, size(index.axis)]):
        inner = Index(name_of(end - start), fresh)
        within = [] if end - start == _ONE else [inner]
        first = start + number_of(inner) if within else start
        found.append(Piece({index: place_at(first)}, within))
    return found


def _starts(p: Polynomial, index: Index) -> set[Polynomial]:
    """Where comparisons of the index with a number become true or false, inside its range."""
    whole, found = Position(index), set()
    for atom in p.marks:
        if not isinstance(atom, Comparison) or atom.relation != ">" or index not in atom.indices:
            continue
        factor = atom.left.terms.get(next(iter(power_of(whole).terms)))
        rest = atom.left - power_of(whole).scaled(factor or 0)
        if factor not in (1, -1) or not all(isinstance(one, Size) for one in rest.atoms):
            continue
        start = constant(atom.right + 1) - rest if factor == 1 else rest - constant(atom.right)
        if is_below(start - _ONE, size(index.axis) - _ONE):
            found.add(start)
    return found
