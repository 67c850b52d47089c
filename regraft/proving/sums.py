"""Sums and maxima over index sets, with names of the bound indices that do not depend on how they were written."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from regraft.proving.atoms import Size
from regraft.proving.polynomial import Atom, Index, Monomial, Polynomial, constant, power_of, summed
from regraft.proving.reach import OutOfReach

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


def size(axis: str) -> Polynomial:
    """The number of elements along `axis`."""
    return constant(int(axis)) if axis.isdigit() else power_of(Size(axis))


def total(p: Polynomial, indices: Iterable[Index], fresh: int) -> Polynomial:
    """The sum over `indices`; `fresh` is a number beyond those of the free indices."""
    for index in indices:
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
    idle = constant(1)
    for index in indices:
        idle = idle if index in inside else idle * size(index.axis)
    if not inside:
        return idle * Polynomial({monomial: Fraction(1)})
    height = 1 + max(index.height for index in monomial.indices)
    if len(inside) > MOST_BOUND:
        raise OutOfReach(f"a sum over {len(inside)} axes at once")
    orders = itertools.permutations(sorted(inside))
    found = min((_bound(monomial, order, height) for order in orders), key=lambda one: (one.axes, one.of.text))
    return idle * power_of(found)


def _bound(monomial: Monomial, order: Sequence[Index], height: int) -> Sum:
    names = {index: Index(index.axis, n, height) for n, index in enumerate(order)}
    return Sum(tuple(index.axis for index in order), monomial.renamed(names), height)


def largest(p: Polynomial, indices: Iterable[Index]) -> Polynomial:
    """The maximum over `indices`."""
    inside = sorted(index for index in indices if index in p.indices)
    if not inside:
        return p
    height = 1 + max(index.height for index in p.indices)
    names = {index: Index(index.axis, n, height) for n, index in enumerate(inside)}
    return power_of(Maximum(tuple(index.axis for index in inside), p.renamed(names), height))


def for_all(p: Polynomial, indices: Iterable[Index]) -> Polynomial:
    """`p` with `indices` named as if they were bound: what is said of it holds for each of them."""
    depth = min((index.height for index in p.indices), default=0)
    return p.renamed({index: Index(index.axis, n, min(depth, 0) - 1) for n, index in enumerate(sorted(indices))})
