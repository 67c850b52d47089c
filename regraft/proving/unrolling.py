"""Sums over few numbers, written out: where two sums fall into pieces that are not the same."""

from __future__ import annotations

import math
from itertools import product

from regraft.proving.atoms import Element
from regraft.proving.polynomial import Monomial, Polynomial, Truth, constant, power_of, summed
from regraft.proving.ranges import Natural
from regraft.proving.sizes import Size
from regraft.proving.substitution import in_monomial, raised
from regraft.proving.sums import Sum, opened, total

MOST = 64
"""The most numbers over which one sum is written out."""


def unrolled(p: Polynomial) -> Polynomial:
    """`p` where sums over axes of few elements are written out."""
    return summed((_in_monomial(monomial), c) for monomial, c in p.terms.items())


def _in_monomial(monomial: Monomial) -> Polynomial:
    result = constant(1)
    for atom, e in monomial:
        result = result * (raised(_written_out(atom), e) if isinstance(atom, Sum) else power_of(atom, e))
    return result


def is_plain(atom: Sum) -> bool:
    """Whether what is summed is a product of elements, so that there is little to be done for each."""
    return all(isinstance(one, Element | Truth | Natural | Size) for one, _ in atom.of)


def _written_out(atom: Sum) -> Polynomial:
    bound, free, fresh = opened(atom, {})
    counts = {one: int(one.axis) for one in free if one.axis.isdigit()}
    while math.prod(counts.values()) > MOST:
        counts.pop(max(counts, key=lambda one: counts[one]))
    if not counts or not is_plain(atom):
        return power_of(atom)
    inside, rest = atom.of.renamed(bound), [one for one in free if one not in counts]
    parts = []
    for numbers in product(*map(range, counts.values())):
        here = in_monomial(inside, dict(zip(counts, numbers, strict=True)))
        parts.append((total(here, rest, fresh), 1))
    return summed(parts)
