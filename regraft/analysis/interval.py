"""Ranges of numbers, and what a data type holds of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from regraft.ir.weights import is_float

INF = math.inf

ACTIVATION = 1e4
"""No value that a layer computes is taken to be larger, nor what is computed of such values by arithmetic."""

COUNT = 2.0**53
"""No whole number that a caller gives is taken to be larger."""


class Range(NamedTuple):
    """What is known of the elements of a value.

    Attributes:
        low, high: the least and the largest element that is a number; infinite where they are not known.
        size: no element is taken to be larger, by magnitude; infinite where one may be infinite or NaN.
        given: whether one may be only if the caller gives such.
    """

    low: float = -INF
    high: float = INF
    size: float = ACTIVATION
    given: bool = False

    @property
    def finite(self) -> bool:
        """Whether no element is infinite or NaN."""
        return self.size < INF

    @property
    def magnitude(self) -> float:
        """The largest magnitude that an element is taken to have."""
        return min(self.size, max(abs(self.low), abs(self.high))) if self.finite else INF

    @property
    def is_one_number(self) -> bool:
        """Whether all elements are the same finite number."""
        return self.finite and self.low == self.high

    @property
    def is_zero(self) -> bool:
        return self.is_one_number and self.low == 0

    @property
    def is_moderate(self) -> bool:
        """Whether it is of the size of what layers compute."""
        return self.magnitude <= ACTIVATION

    def sized(self, size: float, operands: Iterable[Range]) -> Range:
        """It as the result of `operands`, which computing makes no larger than `size` if they are finite."""
        infinite = [operand for operand in operands if not operand.finite]
        if not infinite:
            return self._replace(size=INF if math.isnan(size) else size, given=False)
        return self._replace(size=INF, given=all(operand.given for operand in infinite))


ANYTHING = Range(size=INF)
GIVEN = Range(size=INF, given=True)
"""What a caller gives in floats: a mask of -inf too."""
TRUTH = Range(0, 1)
SIZE = Range(0, 2**31 - 1, 2**31)
"""No dimension is taken to be larger."""


def number(value: float) -> Range:
    """The range of one number."""
    return Range(value, value, abs(value)) if math.isfinite(value) else Range(value, value, INF)


def both(one: Range, other: Range) -> Range:
    """What is known of a value of which both are known."""
    size = min(one.size, other.size)
    given = size == INF and (one.given or other.given)
    return Range(max(one.low, other.low), min(one.high, other.high), size, given)


def is_number(dtype: Any) -> bool:
    """Whether a dtype is none of whole numbers or truths; so is one that is not known."""
    return dtype is None or np.dtype(dtype).kind not in "biu"


def of_dtype(dtype: Any) -> Range:
    """What every value of a dtype is."""
    if is_number(dtype):
        return ANYTHING
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return TRUTH
    limits = np.iinfo(kind)
    return Range(int(limits.min), int(limits.max), min(float(limits.max), COUNT))


def largest(dtype: Any) -> float:
    """The largest finite number of a float dtype; infinite for others."""
    kind = np.dtype(dtype)
    return float(ml_dtypes.finfo(kind).max) if is_float(kind) else INF


def within(range_: Range, dtype: Any) -> Range:
    """`range_`, as far as the dtype holds it: floats are rounded and overflow to infinity, integers wrap."""
    if not is_number(dtype):
        limits = of_dtype(dtype)
        if np.dtype(dtype).kind == "b":
            return Range(max(range_.low, 0), min(range_.high, 1), 1)
        if not range_.finite or range_.low < limits.low or range_.high > limits.high:
            return limits
        return Range(math.floor(range_.low), math.ceil(range_.high), range_.magnitude)
    kind = np.dtype(np.float16 if dtype is None else dtype)  # the smallest, where it is not known
    if not is_float(kind):
        return ANYTHING
    limit = largest(kind)
    digits = np.dtype(ml_dtypes.bfloat16) if dtype is None else kind
    low, high = _down(range_.low, limit, digits), -_down(-range_.high, limit, digits)
    return Range(low, high, range_.magnitude if range_.magnitude <= limit else INF, range_.given)


def _down(bound: float, limit: float, kind: np.dtype[Any]) -> float:
    """The largest number of a float type that is no larger than `bound`."""
    if not math.isfinite(bound) or abs(bound) > limit:
        return -INF if bound < 0 else min(bound, limit)
    rounded = np.array(float(bound)).astype(kind)
    if float(rounded) > bound:
        rounded = np.nextafter(rounded, np.array(-INF).astype(kind))
    return float(rounded)
