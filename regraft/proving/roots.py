"""Roots and powers of rational numbers, exactly."""

from __future__ import annotations

import math
from fractions import Fraction

from regraft.proving.atoms import Radicand
from regraft.proving.polynomial import Polynomial, constant, power_of

_SMALL = 1 << 10
"""Primes up to here are looked for."""


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
