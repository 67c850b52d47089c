"""The number that a float in a rule stands for: √2 for 1.4142135623730951."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from regraft.proving.atoms import Pi
from regraft.proving.polynomial import Polynomial, constant, power_of
from regraft.proving.reach import OutOfReach
from regraft.proving.roots import root

_DIGITS = {8: 12, 4: 6, 2: 2}
"""By bytes of a float: one of so many digits in decimal is that number."""
_NUMERATOR, _DENOMINATOR = {8: 1 << 12, 4: 1 << 12, 2: 1 << 4}, {8: 64, 4: 64, 2: 4}
"""By bytes of a float: the largest of what is taken for a fraction, or for the square of a root."""


def closed_form(value: Any) -> Polynomial:
    """The number that a number of Python's or numpy's stands for.

    The first of these that is within a unit in the last place of its dtype: its decimals, where they are few; a
    fraction of small whole numbers; the root of one, with π or without. Others are what they are.

    Raises:
        OutOfReach: it is no number, or not finite.
    """
    if isinstance(value, int | Fraction | np.integer | np.bool_):
        return constant(Fraction(int(value)) if not isinstance(value, Fraction) else value)
    number, size = float(value), getattr(value, "itemsize", 8)
    if not math.isfinite(number):
        raise OutOfReach(f"{number} among the numbers")
    unit = math.ulp(number) if size == 8 else abs(number) * float(ml_dtypes.finfo(value.dtype).eps)
    written = str(value)
    if len(written.partition("e")[0].replace(".", "").strip("-0")) <= _DIGITS[size]:
        return constant(Fraction(written))
    small = _fraction(number, size)
    if small is not None and abs(float(small) - number) <= unit:
        return constant(small)
    for exponent in (0, 1, -1, 2, -2):
        square = _fraction(number * number / math.pi**exponent, size)
        if square and abs(math.sqrt(float(square) * math.pi**exponent) - abs(number)) <= unit:
            found = root(square, Fraction(1, 2))
            found = found * power_of(Pi(), Fraction(exponent, 2)) if exponent else found
            return found.scaled(1 if number > 0 else -1)
    return constant(Fraction(number))


def _fraction(number: float, size: int) -> Fraction | None:
    """The nearest fraction of small whole numbers; None where the numbers are not small."""
    found = Fraction(number).limit_denominator(_DENOMINATOR[size])
    return found if abs(found.numerator) <= _NUMERATOR[size] else None
