"""Roots and powers of rational numbers, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from regraft.proving.polynomial import Atom, Polynomial, constant, power_of

_SMALL = 1 << 10
"""Primes up to here are looked for."""


@dataclass(frozen=True)
class Radicand(Atom):
    """A whole number that stands under a root: a prime, where it is small."""

    number: int
    positive = True

    @cached_property
    def text(self) -> str:
        return str(self.number)

    def settled(self, exponent: Fraction) -> tuple[Polynomial | None, Fraction]:
        whole = math.floor(exponent)
        return (constant(Fraction(self.number) ** whole), exponent - whole) if whole else (None, exponent)


def root(value: Fraction, exponent: Fraction) -> Polynomial:
    """A power of a number above zero."""
    result = constant(1)
    for number, times in factored(value).items():
        result = result * power_of(Radicand(number), exponent * times)
    return result


def factored(value: Fraction) -> dict[int, int]:
    """The factors of a number above zero and how often it has each; large ones may be no primes."""
    found: dict[int, int] = {}
    for number, sign in ((value.numerator, 1), (value.denominator, -1)):
        for prime in range(2, _SMALL):
            if prime * prime > number:
                break
            while number % prime == 0:
                found[prime] = found.get(prime, 0) + sign
                number //= prime
        whole = math.isqrt(number)
        number, times = (whole, 2) if number > 1 and whole * whole == number else (number, 1)
        if number > 1:
            found[number] = found.get(number, 0) + sign * times
    return found
