"""Intervals that hold the elements of a value, and what a data type holds of numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from regraft.analysis.certainty import ARITHMETIC, DIMENSIONS, NOTHING, Assumption, Certainty
from regraft.ir.weights import is_float

INF = math.inf

ACTIVATION = 1e4
"""No value that a layer computes is taken to be larger, nor what is computed of such values by arithmetic."""

COUNT = 2.0**53
"""No whole number is taken to be larger that becomes a float."""


class Interval(NamedTuple):
    """What is known of the elements of a value.

    Attributes:
        low, high: the least and the largest element that is a number; infinite where they are not known.
        size: no element is larger, by magnitude; infinite where one may be infinite or NaN.
        given: whether one may be only if the caller gives such.
        assumes: what all of this rests on, beside proof.
    """

    low: float = -INF
    high: float = INF
    size: float = ACTIVATION
    given: bool = False
    assumes: Assumption = NOTHING

    @property
    def certainty(self) -> Certainty:
        """How certain it is: it is unknown where nothing is said."""
        says = self.low > -INF or self.high < INF or self.finite
        return Certainty.UNKNOWN if not says else Certainty.ASSUMED if self.assumes else Certainty.PROVEN

    @property
    def finite(self) -> bool:
        """Whether no element is infinite or NaN."""
        return self.size < INF

    @property
    def magnitude(self) -> float:
        """The largest magnitude that an element has."""
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

    def sized(self, size: float, operands: Iterable[Interval]) -> Interval:
        """It as computed of `operands`, which makes it no larger than `size` if they are finite."""
        infinite = [operand for operand in operands if not operand.finite]
        if not infinite:
            return self._replace(size=INF if math.isnan(size) else size, given=False)
        given = all(operand.given for operand in infinite)
        return self._replace(size=INF, given=given).assuming(ARITHMETIC if given else NOTHING)

    def kept(self, size: float, operands: Iterable[Interval]) -> Interval:
        """As `sized`, by what makes nothing infinite that was finite, however often it is done."""
        return self.sized(size, operands)._replace(assumes=self.assumes)

    def assuming(self, what: Assumption) -> Interval:
        """It, if `what` is true."""
        if what is NOTHING or self.assumes is what:
            return self
        return self._replace(assumes=what if self.assumes is NOTHING else self.assumes | what)


ANYTHING = Interval(size=INF)
GIVEN = Interval(size=INF, given=True)
"""What a caller gives in floats: a mask of -inf too."""
TRUTH = Interval(0, 1, 1.0)
SIZE = Interval(0, 2**31 - 1, 2.0**31, assumes=DIMENSIONS)
"""A dimension."""


def number(value: float) -> Interval:
    """The range of one number."""
    return Interval(value, value, abs(value)) if math.isfinite(value) else Interval(value, value, INF)


def both(one: Interval, other: Interval) -> Interval:
    """What is known of a value of which both are known."""
    for this, that in ((one, other), (other, one)):
        if this.low >= that.low and this.high <= that.high and this.size <= that.size and this.finite:
            return this
    size = min(one.size, other.size)
    given = size == INF and (one.given or other.given)
    low, high, assumes = max(one.low, other.low), min(one.high, other.high), one.assumes | other.assumes
    return Interval(low, high, size, given, assumes)


def hull(intervals: Collection[Interval]) -> Interval:
    """What is known of a value of which each element lies in one of `intervals`."""
    found = Interval(min(r.low for r in intervals), max(r.high for r in intervals))
    size = max(r.magnitude for r in intervals)
    return found.kept(size, intervals).assuming(assumed(intervals))


def assumed(intervals: Iterable[Interval]) -> Assumption:
    """What any of `intervals` assumes."""
    found = NOTHING
    for one in intervals:
        if one.assumes is not found and one.assumes is not NOTHING:
            found = one.assumes if found is NOTHING else found | one.assumes
    return found


def is_number(dtype: Any) -> bool:
    """Whether a dtype is none of whole numbers or truths; so is one that is not known."""
    return dtype is None or np.dtype(dtype).kind not in "biu"


@functools.cache
def of_dtype(dtype: Any) -> Interval:
    """What every value of a dtype is."""
    if is_number(dtype):
        return ANYTHING
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return TRUTH
    limits = np.iinfo(kind)
    low, high = int(limits.min), int(limits.max)
    return Interval(low, high, float(max(-low, high)))


@functools.cache
def largest(dtype: Any) -> float:
    """The largest finite number of a float dtype; infinite for others."""
    kind = np.dtype(dtype)
    return float(ml_dtypes.finfo(kind).max) if is_float(kind) else INF


def within(interval: Interval, dtype: Any) -> Interval:
    """`interval`, as far as the dtype holds it: floats are rounded and overflow to infinity, integers wrap."""
    if not is_number(dtype):
        limits = of_dtype(dtype)
        if np.dtype(dtype).kind == "b":
            low, high = max(interval.low, 0), min(interval.high, 1)
            return TRUTH if low <= 0 and high >= 1 else Interval(low, high, 1.0, assumes=interval.assumes)
        is_inside = interval.finite and interval.low >= limits.low and interval.high <= limits.high
        if not is_inside or (interval.low, interval.high) == limits[:2]:
            return limits
        low, high = math.floor(interval.low), math.ceil(interval.high)
        return Interval(low, high, float(max(abs(low), abs(high))), assumes=interval.assumes)
    kind = np.dtype(np.float16 if dtype is None else dtype)  # the smallest, where it is not known
    if not is_float(kind):
        return ANYTHING
    limit = largest(kind)
    digits = np.dtype(ml_dtypes.bfloat16) if dtype is None else kind
    low, high = _down(interval.low, limit, digits), -_down(-interval.high, limit, digits)
    size = interval.magnitude if interval.magnitude <= limit else INF
    says = low > -INF or high < INF or size < INF or interval.given
    return Interval(low, high, size, interval.given, interval.assumes) if says else ANYTHING


def _down(bound: float, limit: float, kind: np.dtype[Any]) -> float:
    """The largest number of a float type that is no larger than `bound`."""
    if not math.isfinite(bound) or abs(bound) > limit:
        return -INF if bound < 0 else min(bound, limit)
    rounded = np.array(float(bound)).astype(kind)
    if float(rounded) > bound:
        rounded = np.nextafter(rounded, np.array(-INF).astype(kind))
    return float(rounded)
