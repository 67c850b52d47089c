"""Numbers as they are computed: the exact ones lie in an interval, and the computed ones are only so far from them.

A computed x' of an exact x is off by at most relative · |x| + absolute. The functions here carry that through one step,
second-order terms included, as if the step itself were exact; `Rounded.rounded` then rounds what it gives. Higham,
Accuracy and Stability of Numerical Algorithms, 2002, chapters 2 and 3.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import ml_dtypes
import numpy as np

from regraft.proving.reach import OutOfReach

Why = Literal["range", "operator", "division", "domain", "size", "choice", "dtype", "overflow"]
"""What stands in the way of a bound: a range that is not known, an operator without a rule, a division by what may be
0, a function where it may not be defined, an open size, a choice by rounded numbers, a dtype that is not known, a
number that may be larger than the dtype holds."""


class NoBound(OutOfReach):
    """There is none, and why."""

    def __init__(self, why: Why, detail: str):
        super().__init__(detail)
        self.why: Why = why


class Format(NamedTuple):
    """How a float dtype rounds.

    Attributes:
        unit: a number is moved by at most this share of it,
        tiny: or, where it is so small that it loses digits, by this.
        largest: the largest finite number.
    """

    unit: float
    tiny: float
    largest: float


@functools.cache
def format_of(dtype: Any) -> Format:
    """The format of a float dtype; numbers too small for all digits are kept with fewer, as IEEE 754 says."""
    limits = ml_dtypes.finfo(np.dtype(dtype))
    return Format(float(limits.eps) / 2, float(limits.smallest_subnormal) / 2, float(limits.max))


@dataclass(frozen=True)
class Rounded:
    """Elements of a tensor, exact and computed.

    Attributes:
        low, high: between them lie the exact ones, which are finite.
        relative, absolute: a computed x' is off by at most relative · |x| + absolute.
        reached: what came up on the way may be so large, partial sums too; 0: no more than the result.
    """

    low: float
    high: float
    relative: float = 0.0
    absolute: float = 0.0
    reached: float = 0.0

    @property
    def magnitude(self) -> float:
        return max(abs(self.low), abs(self.high))

    @property
    def least(self) -> float:
        """The smallest magnitude."""
        return 0.0 if self.low <= 0 <= self.high else min(abs(self.low), abs(self.high))

    @property
    def is_exact(self) -> bool:
        return not self.relative and not self.absolute

    @property
    def error(self) -> float:
        """How far a computed one is off, at most."""
        return self.relative * self.magnitude + self.absolute if self.relative else self.absolute

    @property
    def peak(self) -> float:
        """The largest magnitude that was computed on the way."""
        return max(self.reached, self.magnitude + self.error)

    @property
    def share(self) -> float:
        """The share of itself by which one is off, at most."""
        return self.relative + (self.absolute / self.least if self.least else math.inf)

    def off(self, relative: float, absolute: float) -> Rounded:
        """The same exact numbers, computed so."""
        return replace(self, relative=relative, absolute=absolute, reached=0.0)

    def within(self, low: float, high: float) -> Rounded:
        """It, where the exact ones are known to lie between these, too."""
        return replace(self, low=min(max(self.low, low), high), high=max(min(self.high, high), low))

    def rounded(self, to: Format, units: float = 1.0, tiny: float = 0.0) -> Rounded:
        """It, moved once more by `units` roundings, and by `tiny`."""
        growth = units * to.unit
        absolute = self.absolute * (1 + growth) + to.tiny + tiny
        return replace(self, relative=_compound(self.relative, growth), absolute=absolute)

    def stored(self, to: Format) -> Rounded:
        """Numbers that these, which a dtype holds, stand for: each was rounded once."""
        low = self.low - (abs(self.low) * to.unit + to.tiny) if self.low else 0.0
        high = self.high + (abs(self.high) * to.unit + to.tiny) if self.high else 0.0
        return Rounded(low, high).rounded(to)

    def __neg__(self) -> Rounded:
        return replace(self, low=-self.high, high=-self.low)

    def __add__(self, other: Rounded) -> Rounded:
        found = Rounded(self.low + other.low, self.high + other.high)
        if _has_one_sign(self, other):  # |x| + |y| is |x + y|, of which most may be the one that is off by more
            more, less = (self, other) if self.relative >= other.relative else (other, self)
            whole = more.magnitude + less.least
            shares = more.relative * more.magnitude + less.relative * less.least
            return found.off(shares / whole if whole else 0.0, self.absolute + other.absolute)
        return found.off(0.0, self.error + other.error)

    def __sub__(self, other: Rounded) -> Rounded:
        return self + -other

    def __mul__(self, other: Rounded) -> Rounded:
        corners = [x * y for x in (self.low, self.high) for y in (other.low, other.high)]
        absolute = self.magnitude * other.absolute * (1 + self.relative)
        absolute += other.magnitude * self.absolute * (1 + other.relative) + self.absolute * other.absolute
        return Rounded(min(corners), max(corners), _compound(self.relative, other.relative), absolute)

    def times(self, factor: float) -> Rounded:
        """Times an exact number."""
        return self * Rounded(factor, factor)

    def squared(self) -> Rounded:
        return (self * self).within(0.0, math.inf)

    def reciprocal(self) -> Rounded:
        """1 / x. Raises NoBound where 0 lies among the exact or the computed ones."""
        if not self.least:
            raise NoBound("division", "a division by what may be 0")
        if (share := self.share) >= 1:
            raise NoBound("division", "a division by what rounding may make 0")
        return Rounded(1 / self.high, 1 / self.low, share / (1 - share))

    def total(self, count: int, to: Format) -> Rounded:
        """The sum of `count` such numbers, in whatever order it is taken.

        Each order is off by at most (count - 1) · u · Σ|x|, for any count, which is less than with γ: Jeannerod and
        Rump, Improved Error Bounds for Inner Products in Floating-Point Arithmetic, 2013.
        """
        growth = (count - 1) * to.unit
        found = Rounded(count * self.low, count * self.high, reached=count * (self.magnitude + self.error))
        if _has_one_sign(self):
            absolute = count * self.absolute * (1 + growth)
            return replace(found, relative=_compound(self.relative, growth), absolute=absolute)
        return replace(found, absolute=count * self.error + growth * found.reached)

    def dot(self, other: Rounded, mass: float, share: float, count: int, to: Format) -> Rounded:
        """The sum of `count` products, in whatever order: off by at most count · u · Σ|x · y| (Jeannerod and Rump).

        Args:
            mass: the largest Σ|x · y|.
            share: the largest Σ|y|.
        """
        carried = share * self.error + count * (self.magnitude + self.error) * other.absolute
        carried += other.relative * (mass + share * self.error)
        reached = mass + carried
        low, high = (0.0 if _has_one_sign(self, one) else end for one, end in ((other, -mass), (-other, mass)))
        return Rounded(low, high, 0.0, carried + count * (to.unit * reached + to.tiny), reached)


def _compound(one: float, other: float) -> float:
    """The share by which a product is off; the shares are too small to add 1 to them."""
    return one + other + one * other


def _has_one_sign(*several: Rounded) -> bool:
    return all(one.low >= 0 for one in several) or all(one.high <= 0 for one in several)


def largest_of(*several: Rounded) -> Rounded:
    """The largest of the elements at each place."""
    return _one_of(Rounded(max(r.low for r in several), max(r.high for r in several)), several)


def smallest_of(*several: Rounded) -> Rounded:
    return -largest_of(*(-one for one in several))


def _one_of(found: Rounded, several: tuple[Rounded, ...]) -> Rounded:
    """Where rounding may have taken another: of one sign, that is off by no larger share."""
    if _has_one_sign(*several) and all(r.relative < 1 for r in several):
        return found.off(max(r.relative for r in several), max(r.absolute for r in several))
    return found.off(0.0, max(r.error for r in several))


def either(*several: Rounded) -> Rounded:
    """Elements each of which is one of those that are given."""
    found = Rounded(min(r.low for r in several), max(r.high for r in several))
    return found.off(max(r.relative for r in several), max(r.absolute for r in several))
