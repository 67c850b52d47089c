"""What functions carry of an error of what they take, as if they were exact themselves; see `rounded`."""

from __future__ import annotations

import math
from collections.abc import Callable

from regraft.proving.rounded import NoBound, Rounded


def root(x: Rounded) -> Rounded:
    """√x. Raises NoBound where x may be below zero."""
    share = x.share if x.absolute else x.relative
    if x.low < 0 or share >= 1:
        raise NoBound("domain", "a root of what may be below zero")
    least, less = math.sqrt(x.low), 1 + math.sqrt(1 - share)  # |√x' - √x| is |x' - x| / (√x' + √x)
    return Rounded(least, math.sqrt(x.high), x.relative / less, x.absolute / (least * less) if x.absolute else 0.0)


def exponential(x: Rounded) -> Rounded:
    """e^x. Raises NoBound where x may be large, or may be off by much."""
    if max(x.high, 0.0) + (x.error if x.high > 0 else 0.0) > _LARGEST_EXPONENT:
        raise NoBound("domain", "an exponential of what may be large")
    found = Rounded(math.exp(x.low), math.exp(x.high))
    if x.error < 1:
        return found.off(math.expm1(x.error), 0.0)
    if x.high > 0 or x.relative >= 1 or x.absolute > _LARGEST_EXPONENT:
        raise NoBound("domain", "an exponential of what rounding moves by more than 1")
    # |e^(x + d) - e^x| ≤ |d| · e^(x + |d|), and |x| · e^(-(1 - r) · |x|) is at most 1 / ((1 - r) · e)
    return found.off(0.0, math.exp(x.absolute) * (x.relative / ((1 - x.relative) * math.e) + x.absolute))


_LARGEST_EXPONENT = 700.0


def logarithm(x: Rounded) -> Rounded:
    """Raises NoBound where x may not be above zero."""
    if x.low <= 0 or (share := x.share) >= 1:
        raise NoBound("domain", "a logarithm of what may not be above zero")
    return Rounded(math.log(x.low), math.log(x.high), 0.0, -math.log1p(-share))


def steep(function: Callable[[float], float], slope: float) -> Callable[[Rounded], Rounded]:
    """A function that never falls, and rises by no more than `slope`."""
    return lambda x: Rounded(function(x.low), function(x.high), 0.0, slope * x.error)


def power(x: Rounded, exponent: float) -> Rounded:
    """x to an exact power. Raises NoBound where that is not known to be defined."""
    if exponent < 0:
        return power(x, -exponent).reciprocal()
    if exponent == int(exponent) and exponent <= _LARGEST_POWER:
        found = Rounded(1.0, 1.0)
        for _ in range(int(exponent)):
            found = found * x
        return found.within(0.0, math.inf) if exponent % 2 == 0 else found
    if exponent == 0.5:
        return root(x)
    if x.low <= 0 or (share := x.share) >= 1:
        raise NoBound("domain", "a power of what may not be above zero")
    if exponent * abs(math.log(x.magnitude)) > _LARGEST_EXPONENT:
        raise NoBound("domain", "a power of what may be large")
    up, down = (math.expm1(exponent * math.log1p(d)) for d in (share, -share))
    return Rounded(x.low**exponent, x.high**exponent, max(up, -down))


_LARGEST_POWER = 64
