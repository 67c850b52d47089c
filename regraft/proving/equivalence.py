"""Whether two symbolic tensors are the same for all sizes, and defined where the first is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from itertools import product

from regraft.proving.aligning import aligned
from regraft.proving.atoms import Power
from regraft.proving.domain import Domain, Obligation
from regraft.proving.pieces import pieces
from regraft.proving.polynomial import MOST_TERMS, Index, Monomial, Place, Polynomial, power_of, summed
from regraft.proving.reach import OutOfReach
from regraft.proving.stored import StoredNumbers
from regraft.proving.substitution import substituted
from regraft.proving.sums import Sum
from regraft.proving.tensor import At, Axis, Tensor
from regraft.proving.truths import IsNaN
from regraft.proving.unrolling import unrolled

MOST_PLACES = 64
"""As many are compared one by one."""


def difference(before: Tensor, after: Tensor, stored: StoredNumbers | None = None) -> str:
    """Why `after` cannot stand for `before`, as far as can be told; empty where it is proved that it can.

    Args:
        stored: the constants in them, whose numbers may show what algebra does not.

    Raises:
        OutOfReach: something in them has no meaning here.
    """
    if before.axes != after.axes:
        return f"the axes are {_shown(before.axes)}, and {_shown(after.axes)} after"
    if before.free != after.free:
        return f"the shape is that of {_named(before.free)}, and of {_named(after.free)} after"
    if before.kind != after.kind and None not in (before.kind, after.kind):
        return f"the elements are {before.kind}, and {after.kind} after"
    numbers = _numbers(before.axes)
    try:
        found = _difference(before, after, _anywhere(before.axes), stored)
        if not found or not numbers:
            return found
    except OutOfReach:
        if not numbers:
            raise
    return next(filter(None, (_difference(before, after, at, stored) for at in numbers)), "")


def _difference(before: Tensor, after: Tensor, at: At, stored: StoredNumbers | None) -> str:
    """The same at some places."""
    here, there = Domain(len(at)), Domain(len(at))
    old, new = before.elements(at, here), after.elements(at, there)
    residue = equal(old, new)
    if residue is not None and stored is not None and (unguarded := _unguarded(new, old)) != new:
        new, residue = unguarded, equal(old, unguarded)
    if residue is not None and not (stored and (stored.agree(old, new) or stored.agree(*cleared(old, new)))):
        return f"before minus after is {shortened(residue)}"
    for one in _missing(here.obligations, there.obligations):
        if not (stored and stored.satisfy(one)):
            return f"after is defined only where {one}"
    return ""


def _unguarded(new: Polynomial, old: Polynomial) -> Polynomial:
    """`new` where nothing is NaN for which `old` has no guard: what `new` needs is a number wherever `old` is one."""
    kept = {truth for monomial in old.terms for truth in _guards(monomial)}
    return Polynomial({m: c for m, c in new.terms.items() if not _guards(m) - kept})


def _guards(monomial: Monomial) -> set[IsNaN]:
    """The guards that are factors of a monomial, or of what is summed up in it."""
    found = {atom for atom, _ in monomial if isinstance(atom, IsNaN)}
    return found.union(*(_guards(atom.of) for atom, e in monomial if isinstance(atom, Sum) and e > 0))


def shortened(p: Polynomial, most: int = 160) -> str:
    return p.text if len(p.text) <= most else f"{p.text[:most]}..."


def _anywhere(axes: tuple[Axis, ...]) -> At:
    """An index along each axis."""
    return tuple(0 if axis.unit else Index(axis.name, number) for number, axis in enumerate(axes))


def _numbers(axes: tuple[Axis, ...]) -> list[At]:
    """An index along each axis, but each place in turn along those of known size, where these are few; else none."""
    counts = [int(axis.name) for axis in axes if axis.name.isdigit() and not axis.unit]
    if not counts or math.prod(counts) > MOST_PLACES:
        return []
    choices: list[Iterable[Place]] = [
        range(int(axis.name)) if axis.name.isdigit() and not axis.unit else [place]
        for axis, place in zip(axes, _anywhere(axes), strict=True)
    ]
    return list(product(*choices))


def _missing(before: Iterable[Obligation], after: Iterable[Obligation]) -> list[Obligation]:
    known = list(before)
    return [one for one in after if not any(other.implies(one) for other in known)]


def _shown(axes: tuple[Axis, ...]) -> str:
    return f"[{' '.join(map(str, axes))}]"


def _named(free: frozenset[str]) -> str:
    return " and ".join(sorted(free)) or "no operand"


_ROUNDS = 8
"""Denominators inside denominators beyond that stay; what holds them is then not seen to be zero."""


def equal(a: Polynomial, b: Polynomial) -> Polynomial | None:
    """None where the two are equal wherever both are defined; else their difference."""
    difference = a - b
    return difference if _is_left(difference, MOST_PLACES) else None


def _is_left(p: Polynomial, most: int) -> bool:
    """Whether `p` is not known to be zero: also where it is cut at the numbers with which it compares indices."""
    if not cleared(p)[0]:
        return False
    fresh = 1 + max((index.number for index in p.indices), default=0)
    for index in sorted(index for index in p.indices if not index.height):
        parts = pieces(p, index, fresh)
        if 0 < len(parts) <= most:
            return any(_is_left(substituted(p, part.names), most // len(parts)) for part in parts)
    return all(cleared(form(p))[0] for form in (unrolled, aligned))


def cleared(*sides: Polynomial) -> list[Polynomial]:
    """Polynomials times all denominators in them: equal where they were, as no denominator is zero."""
    found = list(sides)
    for _ in range(_ROUNDS):
        wanted: dict[Power, int] = {}
        for monomial in (monomial for p in found for monomial in p.terms):
            for atom, e in monomial:
                if isinstance(atom, Power) and e < 0:
                    wanted[atom] = max(wanted.get(atom, 0), -math.floor(e))
        if not wanted:
            break
        for atom, times in wanted.items():
            if sum(len(p.terms) for p in found) * len(atom.base.terms) ** times > MOST_TERMS:
                raise OutOfReach("more terms over a common denominator than are compared")
            found = [summed((_times(monomial, atom, times), c) for monomial, c in p.terms.items()) for p in found]
    return found


def _times(monomial: Monomial, atom: Power, times: int) -> Polynomial:
    """`monomial` times a power of the base of `atom`."""
    exponent = dict(monomial).get(atom)
    if exponent is None:
        return Polynomial({monomial: Fraction(1)}) * atom.base**times
    rest = Monomial((other, e) for other, e in monomial if other != atom)
    return Polynomial({rest: Fraction(1)}) * power_of(atom, exponent + times)
