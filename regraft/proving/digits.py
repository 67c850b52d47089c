"""Indices as whole numbers: those of merged axes are mixed of digits, those of split axes are digits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from regraft.proving.polynomial import (
    Atom,
    Index,
    Monomial,
    Place,
    Polynomial,
    constant,
    power_of,
    summed,
)
from regraft.proving.ranges import Natural, is_below
from regraft.proving.sizes import size


@dataclass(frozen=True)
class Position(Natural):
    """An index as a number."""

    index: Index

    @property
    def count(self) -> Polynomial:
        return size(self.index.axis)


@dataclass(frozen=True)
class Digit(Natural):
    """`of` over `stride`, rounded down, modulo `radix`."""

    of: Polynomial
    stride: Polynomial
    radix: Polynomial
    marked = True

    @cached_property
    def text(self) -> str:
        return f"({self.of.text} // {self.stride.text} % {self.radix.text})"

    @property
    def count(self) -> Polynomial:
        return self.radix


def number_of(place: Place) -> Polynomial:
    """A place as a number."""
    if isinstance(place, Polynomial):
        return place
    return constant(place) if isinstance(place, int) else power_of(Position(place))


def place_at(p: Polynomial) -> Place:
    """A number as a place, in the one form of it."""
    joined = _joined(p)
    if joined.number is not None and joined.number.denominator == 1:
        return int(joined.number)
    if len(joined.terms) == 1:
        ((monomial, factor),) = joined.terms.items()
        if factor == 1 and len(monomial) == 1:
            ((atom, e),) = monomial
            if isinstance(atom, Position) and e == 1:
                return atom.index
    return joined


def digit(p: Polynomial, stride: Polynomial, radix: Polynomial) -> Polynomial:
    """`p` over `stride`, rounded down, modulo `radix`."""
    if radix == constant(1):
        return constant(0)
    if None not in (p.number, stride.number, radix.number):
        return constant(p.number // stride.number % radix.number)  # type: ignore[operator]
    for bound in (stride, stride * radix):
        p = _refined(p, bound)
    above, below = _divided(p, stride)
    if is_below(below, stride):
        _, within = _divided(above, radix)
        if is_below(within, radix):
            return _joined(within)
    return power_of(Digit(_joined(p), stride, radix))


def _divided(p: Polynomial, divisor: Polynomial) -> tuple[Polynomial, Polynomial]:
    """The terms that `divisor` divides, divided, and the others, but of a number what is left."""
    above, below = [], []
    for monomial, c in p.terms.items():
        one = Polynomial({monomial: c})
        ratio = exact(one, divisor)
        if ratio is not None:
            above.append((ratio, 1))
        elif not monomial and divisor.number is not None:
            above.append((constant(c // divisor.number), 1))
            below.append((constant(c % divisor.number), 1))
        else:
            below.append((one, 1))
    return summed(above), summed(below)


def exact(p: Polynomial, divisor: Polynomial) -> Polynomial | None:
    """`p` over `divisor`, where that has whole factors."""
    if p == divisor:
        return constant(1)
    if len(divisor.terms) != 1:
        return None
    ((under, factor),) = divisor.terms.items()
    exponents, parts = dict(under), []
    for monomial, c in p.terms.items():
        over = dict(monomial)
        if (c / factor).denominator != 1 or any(over.get(atom, Fraction(0)) < e for atom, e in exponents.items()):
            return None
        left = ((atom, e - exponents.get(atom, Fraction(0))) for atom, e in monomial)
        parts.append((Polynomial({Monomial((atom, e) for atom, e in left if e): c / factor}), 1))
    return summed(parts)


def _refined(p: Polynomial, bound: Polynomial) -> Polynomial:
    """`p` where an index that `bound` cuts is written by its digits on both sides of the cut."""
    for monomial, c in list(p.terms.items()):
        atom = next((atom for atom, e in monomial if isinstance(atom, Natural) and e == 1), None)
        if atom is None:
            continue
        factor = Polynomial({Monomial(monomial - {(atom, Fraction(1))}): c})
        cut = exact(bound, factor) if c > 0 else None
        of, stride, radix = _as_digit(atom)
        upper = None if cut is None or cut == constant(1) else exact(radix, cut)
        if cut is None or upper is None or upper == constant(1):
            continue
        parts = power_of(Digit(of, stride * cut, upper)) * cut + power_of(Digit(of, stride, cut))
        p = p - Polynomial({monomial: c}) + factor * parts
    return p


def _as_digit(atom: Natural) -> tuple[Polynomial, Polynomial, Polynomial]:
    if isinstance(atom, Digit):
        return atom.of, atom.stride, atom.radix
    return power_of(atom), constant(1), atom.count


def _joined(p: Polynomial) -> Polynomial:
    """`p` where neighbouring digits of one number are one digit, or the number."""
    digits = [(atom, monomial) for monomial in p.terms for atom, e in monomial if isinstance(atom, Digit) and e == 1]
    for high, above in digits:
        for low, below in digits:
            if low.of != high.of or low.stride * low.radix != high.stride:
                continue
            factor = Polynomial({Monomial(below - {(low, Fraction(1))}): p.terms[below]})
            if factor * power_of(high) * low.radix == Polynomial({above: p.terms[above]}):
                rest = Polynomial({m: c for m, c in p.terms.items() if m not in (above, below)})
                return _joined(rest + factor * _one_digit(low.of, low.stride, low.radix * high.radix))
    return p


def _one_digit(of: Polynomial, stride: Polynomial, radix: Polynomial) -> Polynomial:
    whole = stride == constant(1) and is_below(of, radix)
    return of if whole else power_of(Digit(of, stride, radix))


def marks(part: Polynomial | Monomial, index: Index) -> list[Atom]:
    """The digits, comparisons and places in `part` that are made of `index`, in the order of their texts."""
    return sorted((atom for atom in part.marks if index in atom.indices), key=lambda atom: atom.text)
