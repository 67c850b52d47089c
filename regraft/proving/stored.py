"""Constants of a model in a proof: as symbols, and as the numbers that they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from regraft.ir.graph import Constant
from regraft.ir.weights import Array, is_float
from regraft.proving.arrays import array
from regraft.proving.atoms import Element, Exp, Infinity, Pi, Power
from regraft.proving.domain import Domain, Obligation
from regraft.proving.numbers import closed_form
from regraft.proving.polynomial import Atom, Index, Monomial, Polynomial, constant, power_of
from regraft.proving.reach import OutOfReach
from regraft.proving.roots import Radicand
from regraft.proving.sums import MOST_BOUND, Sum
from regraft.proving.tensor import UNIT, At, Axis, Tensor, filled
from regraft.proving.truths import Flag
from regraft.rewriting.facts import Kind

_READ = 1 << 20
"""Bytes of the largest constant that is looked at to see whether it is one number throughout."""
_LISTED = 1 << 9
"""Bytes of whole numbers that are written one by one."""
_BLOCK = 1 << 20
"""Elements that are computed at once."""
_MOST_AXES = 4
"""Axes of constants whose order is looked at."""
_FOLDED = 8
"""Roundings of 32 bits or more that are put up with, beside one for each constant: numbers are folded in such."""


class StoredNumbers:
    """The constants that a proof met, by the names that it has for them.

    Attributes:
        error: how far stored numbers are from what they were taken for, at most, relative to them.
    """

    def __init__(self) -> None:
        self.error = 0.0
        self._dtype: np.dtype[Any] = np.dtype(np.float64)  # the coarsest among them
        self._met = 0
        self._held: dict[str, Constant | Array] = {}
        self._alike: dict[str, _Like] = {}

    def tensor(self, number: int, held: Constant | Array, kind: Kind) -> Tensor:
        """The constant that has `number`: its value where it is one throughout, else a symbol."""
        shape = tuple(int(size) for size in held.shape)
        axes = tuple(UNIT if size == 1 else Axis(str(size)) for size in shape)
        if is_float(held.dtype):
            self._met += 1
            self._dtype = max(self._dtype, np.dtype(held.dtype), key=_eps)
        if held.nbytes <= _READ:
            values = _values(held)
            first = values.reshape(-1)[:1]
            if not first.size:
                raise OutOfReach("a constant without elements")
            if (values == first[0]).all():
                return self._uniform(first[0], axes, kind)
        listed = array(_values(held)) if kind != "real" and held.nbytes <= _LISTED else None
        if kind == "real" and not np.isfinite(_values(held)).all():
            raise OutOfReach("a constant of which some elements are not finite")
        name = f"constant {number}"
        like = self._like(name, held)

        def elements(at: At, domain: Domain) -> Polynomial:
            known = tuple(place for place in at if isinstance(place, int))
            if len(known) == len(at):
                if not all(0 <= place < size for place, size in zip(known, shape, strict=True)):
                    raise OutOfReach("a place beyond the end of a constant")
                return self._number(_values(held)[known])
            if listed is not None:
                with suppress(OutOfReach):
                    return listed.elements(at, domain)
            wide = [place for axis, place in zip(axes, at, strict=True) if not axis.unit]
            found = Element(like.name, tuple(wide[place] for place in like.order), kind != "real")
            return power_of(Flag(found) if kind == "boolean" else found) * like.factor

        return Tensor(axes, elements, kind)

    def _uniform(self, value: Any, axes: tuple[Axis, ...], kind: Kind) -> Tensor:
        if kind == "real" and np.isinf(value):
            return replace(filled(power_of(Infinity()).scaled(1 if value > 0 else -1), axes, kind), finite=False)
        return filled(self._number(value), axes, kind)

    def _like(self, name: str, held: Constant | Array) -> _Like:
        """A constant that was met before, of which this one is a multiple with the axes in another order; or itself."""
        values = _squeezed(held)
        own = tuple(range(values.ndim))
        if name in self._held:
            return self._alike.get(name, _Like(name, own, constant(1)))
        for other, known in self._held.items():
            there = _squeezed(known)
            if there.dtype != values.dtype or sorted(there.shape) != sorted(values.shape) or there.ndim > _MOST_AXES:
                continue
            for order in itertools.permutations(own):
                factor = self._ratio(values.transpose(order), there)
                if factor is not None:
                    self._held[name], self._alike[name] = held, _Like(other, order, factor)
                    return self._alike[name]
        self._held[name] = held
        return _Like(name, own, constant(1))

    def _ratio(self, values: Array, other: Array) -> Polynomial | None:
        """The number by which `other` is multiplied in `values`; None where there is none."""
        if values.shape != other.shape or not values.size:
            return None
        if not is_float(values.dtype):
            return constant(1) if np.array_equal(values, other) else None
        place = np.unravel_index(np.argmax(np.abs(other)), other.shape)
        if not other[place] or not np.isfinite(values[place]):
            return None
        ratio = values[place] / other[place]
        most, wide = _tolerance(values.dtype, 1), other.astype(np.float64) * float(ratio)
        if not np.allclose(values.astype(np.float64), wide, rtol=most, atol=0):
            return None
        self.error = max(self.error, 0.0 if ratio == 1 else most)
        return self._number(ratio)

    def agree(self, before: Polynomial, after: Polynomial) -> bool:
        """Whether two polynomials are the same for the numbers that are stored, up to their rounding."""
        groups: dict[Monomial, list[tuple[Monomial, Fraction]]] = {}
        for sign, side in ((1, before), (-1, after)):
            for monomial, factor in side.terms.items():
                split = self._split(monomial)
                if split is None:
                    return False
                groups.setdefault(split.rest, []).append((split.stored, factor * sign))
        try:
            gaps = [self._gap(terms) for terms in groups.values()]
        except OutOfReach:
            return False
        if max(gaps, default=0.0) > _tolerance(self._dtype, self._met):
            return False
        self.error = max([self.error, *gaps])
        return True

    def satisfy(self, one: Obligation) -> bool:
        """Whether the numbers that are stored are as they must be."""
        if not self._is_stored(one.value):
            return False
        try:
            least = math.inf
            for values in self._blocks([*one.value.terms.items()]):
                total = sum(values)
                if not np.isfinite(total).all():
                    return False
                if one.must == "!=0" and not np.all(total):
                    return False
                least = min(least, float(np.min(total)))
        except OutOfReach:
            return False
        return one.must == "!=0" or (least > 0 if one.must == ">0" else least >= 0)

    def _number(self, value: Any) -> Polynomial:
        found = closed_form(value)
        if isinstance(value, int | np.integer | np.bool_) or not value:
            return found
        meant = math.fsum(float(self._evaluate(m, {})) * float(c) for m, c in found.terms.items())
        self.error = max(self.error, abs(meant - float(value)) / abs(float(value)))
        return found

    def _is_stored(self, part: Any) -> bool:
        """Whether nothing but constants stands in a polynomial, a monomial or an atom."""
        if isinstance(part, Polynomial):
            return all(self._is_stored(monomial) for monomial in part.terms)
        if isinstance(part, Monomial):
            return all(self._is_stored(atom) for atom, _ in part)
        if isinstance(part, Element):
            return part.tensor in self._held
        if isinstance(part, Power):
            return self._is_stored(part.base)
        return self._is_stored(part.of) if isinstance(part, Exp | Sum) else isinstance(part, Pi | Radicand)

    def _split(self, monomial: Monomial) -> _Split | None:
        """What is stored of a monomial, under one sum too, and the rest; None where it cannot be taken apart."""
        stored = {(atom, e) for atom, e in monomial if self._is_stored(atom)}
        rest = set(monomial - stored)
        mixed = [(a, e) for a, e in rest if isinstance(a, Sum) and any(self._is_stored(inner) for inner, _ in a.of)]
        if not mixed:
            return _Split(Monomial(stored), Monomial(rest))
        ((atom, e), *others) = mixed
        if others or e != 1 or len(atom.axes) > MOST_BOUND:
            return None
        inside = {(inner, x) for inner, x in atom.of if self._is_stored(inner)}
        bound = [Index(axis, place, atom.height) for place, axis in enumerate(atom.axes)]
        data, names = _canonical(Monomial(atom.of - inside), bound)
        rest.remove((atom, e))
        kept = Monomial(inside).renamed(names)
        return _Split(Monomial(stored | kept), Monomial([*rest, (data, Fraction(1))]))

    def _gap(self, terms: list[tuple[Monomial, Fraction]]) -> float:
        """How far two sums of stored numbers, one of them negated, are apart, relative to their mean at each place."""
        if all(not monomial for monomial, _ in terms):  # numbers alone, of which all may be exact
            total, scale = sum(c for _, c in terms), sum(abs(c) for _, c in terms)
            return float(2 * abs(total) / scale) if total else 0.0
        worst = 0.0
        for values in self._blocks(terms):
            with np.errstate(divide="ignore", invalid="ignore"):
                total, scale = abs(sum(values)), sum(map(abs, values))
                gaps = np.where(total == 0, 0.0, 2 * total / scale)
            if np.isnan(gaps).any():
                return math.inf
            worst = max(worst, float(np.max(gaps)))
        return worst

    def _blocks(self, terms: list[tuple[Monomial, Fraction]]) -> Iterator[list[Any]]:
        """The terms at all places, block after block: of each an array over the indices, in one order."""
        indices = sorted({index for monomial, _ in terms for index in monomial.indices})
        if any(not index.axis.isdigit() for index in indices):
            raise OutOfReach("constants along an axis of open size")
        sizes = [int(index.axis) for index in indices]
        rows = max(1, _BLOCK // max(1, math.prod(sizes[1:])))
        for start in range(0, sizes[0] if sizes else 1, rows):
            grid = {}
            for place, (index, size) in enumerate(zip(indices, sizes, strict=True)):
                along = np.arange(start, min(start + rows, size)) if place == 0 else np.arange(size)
                grid[index] = along.reshape([-1 if p == place else 1 for p in range(len(sizes))])
            with np.errstate(over="ignore", invalid="ignore"):  # who asks sees what is not finite
                values = [self._evaluate(monomial, grid) * float(factor) for monomial, factor in terms]
            yield values

    def _evaluate(self, part: Any, grid: Mapping[Index, Array]) -> Any:
        """A polynomial, a monomial or an atom of constants, at the places of `grid`, in double precision."""
        if isinstance(part, Polynomial):
            return sum(self._evaluate(monomial, grid) * float(c) for monomial, c in part.terms.items())
        if isinstance(part, Monomial):
            return math.prod(self._evaluate(atom, grid) ** float(e) for atom, e in part) if part else np.float64(1.0)
        if isinstance(part, Element):
            values = _squeezed(self._held[part.tensor])
            places = [place if isinstance(place, int) else self._place(place, grid) for place in part.index]
            if any(np.any((at < 0) | (at >= size)) for at, size in zip(places, values.shape, strict=True)):
                raise OutOfReach("a place beyond the end of a constant")
            return np.asarray(values[tuple(places)], np.float64)
        if isinstance(part, Power):
            return self._evaluate(part.base, grid)
        if isinstance(part, Exp):
            return np.exp(self._evaluate(part.of, grid))
        if isinstance(part, Pi):
            return np.float64(math.pi)
        if isinstance(part, Radicand):
            return np.float64(part.number)
        raise OutOfReach(f"no number of {type(part).__name__}")

    def _place(self, place: Any, grid: Mapping[Index, Array]) -> Array:
        if place not in grid:
            raise OutOfReach("constants at places that are computed")
        return grid[place]


class _Like(NamedTuple):
    """A constant by another: `factor` times it, its axes, those of size one apart, taken in `order`."""

    name: str
    order: tuple[int, ...]
    factor: Polynomial


class _Split(NamedTuple):
    stored: Monomial
    rest: Monomial


def _canonical(monomial: Monomial, bound: list[Index]) -> tuple[Atom, dict[Index, Index]]:
    """A sum over `bound` of what is no constant, written in one way, and what became of the indices.

    The sum is over all of them, also those that stand in the constants only.
    """
    best: tuple[Any, Atom, dict[Index, Index]] | None = None
    for order in itertools.permutations(bound):
        names = {index: Index(index.axis, place, -1) for place, index in enumerate(order)}
        of = monomial.renamed(names)
        key = tuple(index.axis for index in order), of.text
        if best is None or key < best[0]:
            best = key, Sum(key[0], of, -1), names
    assert best is not None
    return best[1], best[2]


def _values(held: Constant | Array) -> Array:
    return held.values if isinstance(held, Constant) else held


def _squeezed(held: Constant | Array) -> Array:
    values = _values(held)
    return values.reshape([size for size in values.shape if size != 1])


def _eps(dtype: Any) -> float:
    return float(ml_dtypes.finfo(dtype).eps)


def _tolerance(dtype: Any, constants: int) -> float:
    """How far numbers may be apart that are meant to be the same, relative to them: half a unit for each rounding.

    Numbers of few bits are rounded twice at most: as one that stands for another, and in the end.
    """
    roundings = 2 if np.dtype(dtype).itemsize <= 2 else 2 * (_FOLDED + constants)
    return roundings * _eps(dtype) / 2
