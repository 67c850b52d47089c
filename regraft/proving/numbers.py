"""The number that a float in a rule stands for: √2 for 1.4142135623730951."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from regraft.proving.atoms import Pi
from regraft.proving.polynomial import Polynomial, constant, power_of
from regraft.proving.reach import OutOfReach
from regraft.proving.roots import root

_DIGITS = 12
"""A float of so many digits in decimal is that number."""
_NUMERATOR, _DENOMINATOR = 1 << 12, 64
"""The largest of what is taken for a fraction, or for the square of a root."""


def closed_form(value: Any) -> Polynomial:
    """The number that a number of Python's or numpy's stands for.

    The first of these that is within a unit in the last place of it: its decimals, where they are few; a fraction of
    small whole numbers; the root of one, with π or without. Others are what they are.

    Raises:
        OutOfReach: it is no number, or not finite.
    """
    if isinstance(value, int | Fraction | np.integer | np.bool_):
        return constant(Fraction(int(value)) if not isinstance(value, Fraction) else value)
    number = float(value)
    if not math.isfinite(number):
        raise OutOfReach(f"{number} among the numbers")
    written = Fraction(repr(number))
    if len(repr(number).partition("e")[0].replace(".", "").strip("-0")) <= _DIGITS:
        return constant(written)
    small = _fraction(number)
    if small is not None and _is_near(float(small), number):
        return constant(small)
    for exponent in (0, 1, -1, 2, -2):
        square = _fraction(number * number / math.pi**exponent)
        if square and _is_near(math.sqrt(float(square) * math.pi**exponent), abs(number)):
            found = root(square, Fraction(1, 2))
            found = found * power_of(Pi(), Fraction(exponent, 2)) if exponent else found
            return found.scaled(1 if number > 0 else -1)
    return constant(Fraction(number))


def _fraction(number: float) -> Fraction | None:
    """The nearest fraction of small whole numbers; None where the numbers are not small."""
    found = Fraction(number).limit_denominator(_DENOMINATOR)
    return found if abs(found.numerator) <= _NUMERATOR else None


def _is_near(found: float, number: float) -> bool:
    return abs(found - number) <= math.ulp(number)
