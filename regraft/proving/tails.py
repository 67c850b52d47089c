"""How a function of one number behaves far from 0: a polynomial, and what is left, which falls exponentially."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from regraft.proving.reach import OutOfReach


class Between(NamedTuple):
    """A number that is known to lie between two."""

    low: Fraction
    high: Fraction

    @property
    def magnitude(self) -> Fraction:
        return max(abs(self.low), abs(self.high))


ZERO = Between(Fraction(0), Fraction(0))


class Decay(NamedTuple):
    """At most factor · t^degree · exp(-rate · t)."""

    factor: Fraction
    degree: int
    rate: Fraction


@dataclass(frozen=True)
class Tail:
    """A function of t for every t ≥ `start`, which is at least 1.

    Attributes:
        polynomial: the factors by degree.
        decays: their sum bounds the distance from the polynomial.
    """

    start: Fraction
    polynomial: Mapping[int, Between]
    decays: tuple[Decay, ...] = ()

    def __add__(self, other: Tail) -> Tail:
        degrees = self.polynomial.keys() | other.polynomial.keys()
        return Tail(self.start, {d: _plus(self.at(d), other.at(d)) for d in degrees}, self.decays + other.decays)

    def __neg__(self) -> Tail:
        return replace(self, polynomial={d: Between(-c.high, -c.low) for d, c in self.polynomial.items()})

    def __sub__(self, other: Tail) -> Tail:
        return self + -other

    def __mul__(self, other: Tail) -> Tail:
        product: dict[int, Between] = {}
        for d, a in self.polynomial.items():
            for e, b in other.polynomial.items():
                product[d + e] = _plus(product.get(d + e, ZERO), _times(a, b))
        decays = [*self._spread(other), *other._spread(self)]
        decays += [
            Decay(a.factor * b.factor, a.degree + b.degree, a.rate + b.rate) for a in self.decays for b in other.decays
        ]
        return Tail(self.start, product, tuple(decays))

    def at(self, degree: int) -> Between:
        return self.polynomial.get(degree, ZERO)

    def _spread(self, other: Tail) -> list[Decay]:
        """The decays of this one times the polynomial of the other."""
        return [
            Decay(decay.factor * c.magnitude, decay.degree + d, decay.rate)
            for decay in self.decays
            for d, c in other.polynomial.items()
            if c.magnitude
        ]

    def direction(self) -> int:
        """1 where the polynomial never falls, -1 where it never rises."""
        parts = [c for d, c in self.polynomial.items() if d]
        if all(c.low >= 0 for c in parts):
            return 1
        if all(c.high <= 0 for c in parts):
            return -1
        raise OutOfReach("the sign far from 0 is not known")

    def least(self) -> Fraction:
        """What the polynomial, which never falls, is at least."""
        return sum((c.low * self.start**d for d, c in self.polynomial.items()), Fraction(0))

    def rate(self) -> Fraction:
        """A rate r such that the polynomial, which never falls, is at least r · t."""
        slope = sum((c.low * self.start ** (d - 1) for d, c in self.polynomial.items() if d), Fraction(0))
        return slope + min(self.at(0).low, Fraction(0)) / self.start

    def most(self) -> float:
        """The largest magnitude from `start` on.

        Raises:
            OutOfReach: there is none that is known.
        """
        if any(c.magnitude for d, c in self.polynomial.items() if d):
            raise OutOfReach("the two move apart far from 0")
        if any(decay.degree > decay.rate * self.start for decay in self.decays):
            raise OutOfReach("what is left far from 0 may still grow")
        start = float(self.start)
        falling = (float(d.factor) * start**d.degree * math.exp(-float(d.rate) * start) for d in self.decays)
        return (float(self.at(0).magnitude) + sum(falling)) * (1 + 1e-9)


def number(value: float, start: Fraction) -> Tail:
    return Tail(start, {0: Between(Fraction(value), Fraction(value))})


def variable(start: Fraction, sign: int) -> Tail:
    """x itself, which is t, or -t."""
    return Tail(start, {1: Between(Fraction(sign), Fraction(sign))})


def _plus(a: Between, b: Between) -> Between:
    return Between(a.low + b.low, a.high + b.high)


def _times(a: Between, b: Between) -> Between:
    corners = [x * y for x in a for y in b]
    return Between(min(corners), max(corners))


def _rising(z: Tail) -> tuple[int, Tail]:
    """1 and `z` where it does not fall, else -1 and what is left of it turned round."""
    sign = z.direction()
    return sign, z if sign > 0 else -z


def _saturates(
    above: int, below: int, decay: Callable[[Fraction], Decay], lipschitz: Fraction
) -> Callable[[Tail], Tail]:
    """A function that goes to `above` and `below`, as fast as `decay` of the rate of its operand says."""

    def of(z: Tail) -> Tail:
        sign, upward = _rising(z)
        rate = upward.rate()
        if rate * z.start < 1:
            raise OutOfReach("a function far from 0 that is not yet near its limit")
        kept = tuple(Decay(one.factor * lipschitz, one.degree, one.rate) for one in z.decays)
        limit = Fraction(above if sign > 0 else below)
        return Tail(z.start, {0: Between(limit, limit)}, (*kept, decay(rate)))

    return of


def _exp(z: Tail) -> Tail:
    sign, upward = _rising(z)
    rate = upward.rate()
    if z.decays or sign > 0 or rate <= 0:
        raise OutOfReach("an exponential that grows, or is not known well")
    return Tail(z.start, {}, (Decay(Fraction(1), 0, rate),))


def reciprocal(z: Tail) -> Tail:
    """1 / z; where z rises no more is kept than that it lies between 0 and its value at the start."""
    sign, upward = _rising(z)
    number = z.at(0)
    if not z.decays and z.polynomial.keys() <= {0} and number.low * number.high > 0:
        return Tail(z.start, {0: Between(1 / number.high, 1 / number.low)})
    if z.decays or upward.least() <= 0:
        raise OutOfReach("an inverse that is not known far from 0")
    most = 1 / upward.least()
    return Tail(z.start, {0: Between(Fraction(0), most) if sign > 0 else Between(-most, Fraction(0))})


def absolute(z: Tail) -> Tail:
    _, upward = _rising(z)
    if upward.least() < 0:
        raise OutOfReach("an absolute value that is not known far from 0")
    return upward


def clip(z: Tail, low: float, high: float) -> Tail:
    sign, upward = _rising(z)
    limit = Fraction(high if sign > 0 else low)
    if z.decays or upward.least() < sign * limit:
        raise OutOfReach("a Clip that is not known far from 0")
    return Tail(z.start, {0: Between(limit, limit)})


FUNCTIONS: dict[str, Callable[[Tail], Tail]] = {
    "Erf": _saturates(1, -1, lambda rate: Decay(Fraction(1), 0, rate), Fraction(2)),
    "Tanh": _saturates(1, -1, lambda rate: Decay(Fraction(2), 0, 2 * rate), Fraction(1)),
    "Sigmoid": _saturates(1, 0, lambda rate: Decay(Fraction(1), 0, rate), Fraction(1)),
    "Exp": _exp,
    "Reciprocal": reciprocal,
    "Abs": absolute,
}
"""1 - erf(z) ≤ exp(-z²) ≤ exp(-z) from z = 1 on; 1 - tanh(z) ≤ 2 exp(-2z); 1 - sigmoid(z) ≤ exp(-z)."""
