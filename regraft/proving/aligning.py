"""Sums over a range beside sums over parts of it: the whole is cut where that leaves fewer terms."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from regraft.proving.pieces import cut
from regraft.proving.polynomial import Monomial, Polynomial
from regraft.proving.ranges import is_natural
from regraft.proving.sizes import size
from regraft.proving.substitution import in_monomial
from regraft.proving.sums import Sum, opened, total
from regraft.proving.unrolling import is_plain

MOST_TERMS = 32
"""Beyond so many terms none is cut."""


def aligned(p: Polynomial) -> Polynomial:
    """`p` where no sum can be cut any more so that terms vanish."""
    while 1 < len(p.terms) <= MOST_TERMS:
        fewer = next((one for one in _cuts(p) if len(one.terms) < len(p.terms)), None)
        if fewer is None:
            return p
        p = fewer
    return p


def _cuts(p: Polynomial) -> Iterator[Polynomial]:
    """`p` with one of its sums in two parts, the first of which is as long as another sum of it."""
    found = [
        (atom, m, c) for m, c in p.terms.items() for atom, e in m if isinstance(atom, Sum) and e == 1 and is_plain(atom)
    ]
    lengths = sorted({axis for atom, _, _ in found for axis in atom.axes})
    for atom, monomial, factor in found:
        rest = Polynomial({Monomial(monomial - {(atom, Fraction(1))}): factor})
        without = p - Polynomial({monomial: factor})
        bound, free, fresh = opened(atom, {})
        inside = atom.of.renamed(bound)
        for index in free:
            for length in lengths:
                if not is_natural(size(index.axis) - size(length)) or length == index.axis:
                    continue
                for start in (size(length), size(index.axis) - size(length)):
                    whole = without
                    for piece in cut(index, [start], fresh):
                        others = [one for one in free if one != index]
                        part = total(in_monomial(inside, piece.names), [*others, *piece.indices], fresh + 1)
                        whole = whole + rest * part
                    yield whole
