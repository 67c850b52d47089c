"""Sums and maxima over index sets, with names of the bound indices that do not depend on how they were written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from regraft.proving.digits import Digit, Position, digit, number_of, place_at
from regraft.proving.pieces import digits, pieces
from regraft.proving.polynomial import Atom, Index, Monomial, Polynomial, constant, power_of, summed
from regraft.proving.reach import OutOfReach
from regraft.proving.sizes import name_of, size
from regraft.proving.substitution import Names, in_atom, in_monomial, substituted
from regraft.wording import count

MOST_BOUND = 6


@dataclass(frozen=True)
class Sum(Atom):
    """The sum of a monomial over the bound indices of its height, one an axis."""

    axes: tuple[str, ...]
    of: Monomial
    height: int

    @cached_property
    def text(self) -> str:
        return f"Sum[{', '.join(self.axes)}]({self.of.text})"

    @property
    def positive(self) -> bool:  # type: ignore[override]
        return all(atom.positive for atom, _ in self.of)


@dataclass(frozen=True)
class Maximum(Atom):
    """The largest of a polynomial over the bound indices of its height, one an axis."""

    axes: tuple[str, ...]
    of: Polynomial
    height: int

    @cached_property
    def text(self) -> str:
        return f"Max[{', '.join(self.axes)}]({self.of.text})"


def total(p: Polynomial, indices: Iterable[Index], fresh: int) -> Polynomial:
    """The sum over `indices`; `fresh` is a number beyond those of the free indices."""
    for index in indices:
        parts = pieces(p, index, fresh)
        if parts:
            p = summed((total(substituted(p, one.names), one.indices, fresh + len(one.indices)), 1) for one in parts)
        else:
            p = summed((_total(monomial, index, fresh), c) for monomial, c in p.terms.items())
    return p


def _total(monomial: Monomial, index: Index, fresh: int) -> Polynomial:
    free = Monomial((atom, e) for atom, e in monomial if index not in atom.indices)
    bound = Monomial(monomial - free)
    outside = Polynomial({free: Fraction(1)})
    if not bound:
        return outside * size(index.axis)
    return outside * summed((_bind(one, inner), c) for one, inner, c in _flat(bound, [index], fresh))


def _flat(monomial: Monomial, indices: list[Index], fresh: int) -> Iterable[tuple[Monomial, list[Index], Fraction]]:
    """A product of sums under a sum as one sum: its monomials, the indices of each, and the factor."""
    nested = next(((atom, e) for atom, e in sorted_factors(monomial) if isinstance(atom, Sum) and e == 1), None)
    if nested is None:
        return [(monomial, indices, Fraction(1))]
    inner = nested[0]
    assert isinstance(inner, Sum)
    names = [Index(axis, fresh + n) for n, axis in enumerate(inner.axes)]
    opened = inner.of.renamed({Index(i.axis, n, inner.height): i for n, i in enumerate(names)})
    product = Polynomial({opened: Fraction(1)}) * Polynomial({Monomial(monomial - {nested}): Fraction(1)})
    return [
        (one, every, c * factor)
        for m, c in product.terms.items()
        for one, every, factor in _flat(m, [*indices, *names], fresh + len(names))
    ]


def sorted_factors(monomial: Monomial) -> list[tuple[Atom, Fraction]]:
    return sorted(monomial, key=lambda factor: (factor[0].text, factor[1]))


def _bind(monomial: Monomial, indices: Sequence[Index]) -> Polynomial:
    """The sum of `monomial` over `indices`, those in it bound in the order in which its text is least."""
    inside = [index for index in indices if index in monomial.indices]
    merged = _merged(Polynomial({monomial: Fraction(1)}), inside)
    if merged is not None:
        found, fewer = merged
        rest = [index for index in indices if index not in inside]
        return summed((_bind(one, [*fewer, *rest]), c) for one, c in found.terms.items())
    idle = constant(1)
    for index in indices:
        idle = idle if index in inside else idle * size(index.axis)
    if not inside:
        return idle * Polynomial({monomial: Fraction(1)})
    height = 1 + max(index.height for index in monomial.indices)
    if len(inside) > MOST_BOUND:
        raise OutOfReach(f"a sum over {count(len(inside), 'axis')} at once")
    orders = itertools.permutations(sorted(inside))
    bound = min((_bound(monomial, order, height) for order in orders), key=lambda one: (one.axes, one.of.text))
    return idle * power_of(bound)


def _merged(p: Polynomial, indices: Sequence[Index]) -> tuple[Polynomial, list[Index]] | None:
    """`p` over one index instead of two of which it only has the mix; None where there are no such."""
    for high, low in itertools.permutations(indices, 2):
        seen = [len({high, low} & atom.indices) for atom in p.marks]
        if 2 not in seen or 1 in seen:
            continue
        above, below = size(high.axis), size(low.axis)
        mixed = Index(name_of(above * below), _beyond(p.indices))
        whole = power_of(Position(mixed))
        names = {high: place_at(digit(whole, below, above)), low: place_at(digit(whole, constant(1), below))}
        found = substituted(p, names)
        if not any(isinstance(atom, Digit) and mixed in atom.indices for atom in found.marks):
            return found, [*(index for index in indices if index not in (high, low)), mixed]
    return None


def _beyond(indices: Iterable[Index]) -> int:
    return 1 + max((index.number for index in indices), default=0)


def _bound(monomial: Monomial, order: Sequence[Index], height: int) -> Sum:
    names = {index: Index(index.axis, n, height) for n, index in enumerate(order)}
    return Sum(tuple(index.axis for index in order), monomial.renamed(names), height)


def largest(p: Polynomial, indices: Iterable[Index]) -> Polynomial:
    """The maximum over `indices`."""
    inside = sorted(index for index in indices if index in p.indices)
    for index in inside:
        for piece in digits(p, index, _beyond([*p.indices, *inside])):
            return largest(substituted(p, piece.names), [*(one for one in inside if one != index), *piece.indices])
    merged = _merged(p, inside)
    if merged is not None:
        return largest(*merged)
    if not inside:
        return p
    height = 1 + max(index.height for index in p.indices)
    names = {index: Index(index.axis, n, height) for n, index in enumerate(inside)}
    return power_of(Maximum(tuple(index.axis for index in inside), p.renamed(names), height))


@in_atom.register
def _(atom: Sum, names: Names) -> Polynomial:
    bound, free, fresh = opened(atom, names)
    return total(in_monomial(atom.of.renamed(bound), names), free, fresh)


@in_atom.register
def _(atom: Maximum, names: Names) -> Polynomial:
    bound, free, _ = opened(atom, names)
    return largest(substituted(atom.of.renamed(bound), names), free)


def opened(atom: Sum | Maximum, names: Names) -> tuple[dict[Index, Index], list[Index], int]:
    """Free indices for those that `atom` binds, these, and the next free number, beyond all in `names`."""
    fresh = _beyond(atom.of.indices.union(*(number_of(place).indices for place in names.values())))
    free = [Index(axis, fresh + n) for n, axis in enumerate(atom.axes)]
    return {Index(one.axis, n, atom.height): one for n, one in enumerate(free)}, free, fresh + len(free)


def for_all(p: Polynomial, indices: Iterable[Index]) -> Polynomial:
    """`p` with `indices` named as if they were bound: what is said of it holds for each of them."""
    depth = min((index.height for index in p.indices), default=0)
    return p.renamed({index: Index(index.axis, n, min(depth, 0) - 1) for n, index in enumerate(sorted(indices))})
