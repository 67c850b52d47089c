"""Rounding of real numbers to whole ones, as functions of which the laws of whole parts are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from regraft.proving.atoms import Element, Function, odd
from regraft.proving.digits import digit
from regraft.proving.folds import Fold
from regraft.proving.polynomial import Atom, Polynomial, Truth, constant, power_of, summed
from regraft.proving.ranges import Natural, is_index, is_natural
from regraft.proving.sizes import Size
from regraft.proving.sums import Maximum, Sum
from regraft.proving.truths import by_cases

WHOLE = frozenset({"Floor", "Round", "Trunc", "ArgMax", "ArgMaxLast"})
"""Functions with whole values."""
_FEW = 6
"""A number that is chosen by more truths is rounded as it is."""


def is_whole(p: Polynomial) -> bool:
    """Whether `p` is known to be a whole number."""
    return all(
        c.denominator == 1 and all(e.denominator == 1 and e > 0 and _is_whole(atom) for atom, e in monomial)
        for monomial, c in p.terms.items()
    )


def _is_whole(atom: Atom) -> bool:
    match atom:
        case Size() | Natural() | Truth():
            return True
        case Element():
            return atom.whole
        case Function(name) | Fold(name):
            return name in WHOLE
        case Sum():
            return is_whole(Polynomial({atom.of: Fraction(1)}))
        case Maximum():
            return is_whole(atom.of)
    return False


def _settled(function: Callable[[Polynomial], Polynomial]) -> Callable[[Polynomial], Polynomial]:
    """`function`, but a whole number stays, and a choice is one among few results."""

    def of(p: Polynomial) -> Polynomial:
        return p if is_whole(p) else function(p)

    def rounded(p: Polynomial) -> Polynomial:
        few = sum(isinstance(atom, Truth) for atom in p.atoms) <= _FEW
        return by_cases(p, of) if few else of(p)

    return rounded


@_settled
def floor(p: Polynomial) -> Polynomial:
    """The largest whole number up to `p`; a whole part is taken out."""
    if p.number is not None:
        return constant(math.floor(p.number))
    shared = math.lcm(*(c.denominator for c in p.terms.values()))
    number = p.scaled(shared)
    if is_index(number) and is_natural(number):
        return (number - digit(number, constant(1), constant(shared))).scaled(Fraction(1, shared))
    parts = [Polynomial({monomial: c}) for monomial, c in p.terms.items()]
    whole = summed((one, 1) for one in parts if is_whole(one))
    return whole + power_of(Function("Floor", (p - whole,)))


def ceil(p: Polynomial) -> Polynomial:
    return -floor(-p)


@_settled
def trunc(p: Polynomial) -> Polynomial:
    """The whole number next to `p` towards 0."""
    if p.number is not None:
        return constant(math.trunc(p.number))
    shared = math.lcm(*(c.denominator for c in p.terms.values()))
    if is_index(p.scaled(shared)) and is_natural(p.scaled(shared)):
        return floor(p)
    return odd("Trunc")(p)


@_settled
def nearest(p: Polynomial) -> Polynomial:
    """The whole number nearest to `p`, the even one of two."""
    return constant(round(p.number)) if p.number is not None else odd("Round")(p)
