"""Functions of one number on many intervals at once: enclosures of their values and slopes, rounded outward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

_LIBRARY = 2.0**-48
"""What exp, tanh and erf may be off by, relative to the value: sixteen units in the last place."""
_TINY = 1e-300

erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])


class Interval(NamedTuple):
    """From `low` to `high`, element by element."""

    low: Array
    high: Array

    def __add__(self, other: Interval) -> Interval:  # type: ignore[override]
        return _outward(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return _outward(self.low - other.high, self.high - other.low)

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __mul__(self, other: Interval) -> Interval:  # type: ignore[override]
        corners = np.stack([a * b for a in self for b in other])
        return _outward(corners.min(0), corners.max(0))

    @property
    def magnitude(self) -> Array:
        """The largest absolute value."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def least_magnitude(self) -> Array:
        return np.where((self.low <= 0) & (self.high >= 0), 0.0, np.minimum(np.abs(self.low), np.abs(self.high)))


def _outward(low: Array, high: Array) -> Interval:
    return Interval(np.nextafter(low, -np.inf), np.nextafter(high, np.inf))


def _computed(low: Array, high: Array) -> Interval:
    """What a library computed, widened by what it may be off."""
    return Interval(low - np.abs(low) * _LIBRARY - _TINY, high + np.abs(high) * _LIBRARY + _TINY)


def point(value: Array) -> Interval:
    return Interval(value, value)


class Jet(NamedTuple):
    """A function on intervals: its values, and its slopes there."""

    value: Interval
    slope: Interval

    def __add__(self, other: Jet) -> Jet:  # type: ignore[override]
        return Jet(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other: Jet) -> Jet:
        return Jet(self.value - other.value, self.slope - other.slope)

    def __neg__(self) -> Jet:
        return Jet(-self.value, -self.slope)

    def __mul__(self, other: Jet) -> Jet:  # type: ignore[override]
        return Jet(self.value * other.value, self.slope * other.value + self.value * other.slope)


def constant(value: float, like: Array) -> Jet:
    return Jet(point(np.full_like(like, value)), point(np.zeros_like(like)))


def _sigmoid(z: Array) -> Array:
    return np.where(z < 0, np.exp(np.minimum(z, 0)), 1.0) / (1.0 + np.exp(-np.abs(z)))


def _bell(slope: Callable[[Array], Array], z: Interval) -> Interval:
    """The values on `z` of a positive function that falls away from 0 on both sides."""
    return _computed(slope(z.magnitude), slope(z.least_magnitude))


def _rising(function: Callable[[Array], Array], slopes: Callable[[Interval], Interval]) -> Callable[[Jet], Jet]:
    def of(z: Jet) -> Jet:
        value = _computed(function(z.value.low), function(z.value.high))
        return Jet(value, slopes(z.value) * z.slope)

    return of


def _tanh_slope(z: Array) -> Array:
    return (1.0 / np.cosh(np.minimum(z, 700.0))) ** 2


def reciprocal(z: Jet) -> Jet:
    """1 / z; without a bound where 0 is among the values."""
    with np.errstate(divide="ignore", invalid="ignore"):
        around = (z.value.low <= 0) & (z.value.high >= 0)
        low = np.where(around, -np.inf, 1.0 / z.value.high)
        high = np.where(around, np.inf, 1.0 / z.value.low)
        value = _outward(low, high)
        return Jet(value, -(value * value) * z.slope)


def absolute(z: Jet) -> Jet:
    below, above = z.value.high <= 0, z.value.low >= 0
    sign = Interval(np.where(above, 1.0, -1.0), np.where(below, -1.0, 1.0))
    return Jet(Interval(z.value.least_magnitude, z.value.magnitude), sign * z.slope)


def clip(z: Jet, low: float, high: float) -> Jet:
    outside = (z.value.high <= low) | (z.value.low >= high)
    inside = (z.value.low >= low) & (z.value.high <= high)
    share = Interval(np.where(inside, 1.0, 0.0), np.where(outside, 0.0, 1.0))
    return Jet(Interval(np.clip(z.value.low, low, high), np.clip(z.value.high, low, high)), share * z.slope)


FUNCTIONS: dict[str, Callable[[Jet], Jet]] = {
    "Erf": _rising(erf, lambda z: _bell(lambda v: 2 / math.sqrt(math.pi) * np.exp(-v * v), z)),
    "Tanh": _rising(np.tanh, lambda z: _bell(_tanh_slope, z)),
    "Sigmoid": _rising(_sigmoid, lambda z: _bell(lambda v: _sigmoid(v) * _sigmoid(-v), z)),
    "Exp": _rising(np.exp, lambda z: _computed(np.exp(z.low), np.exp(z.high))),
    "Reciprocal": reciprocal,
    "Abs": absolute,
}
