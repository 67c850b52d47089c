"""What half precision can hold, and what lies in constants: read block by block, one constant at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import ml_dtypes
import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Tensor
from regraft.ir.weights import Array, Value
from regraft.mixed_precision.precision_groups import SINGLE

T = TypeVar("T")

_BLOCK = 1 << 18  # elements that are looked at at once


@dataclass(frozen=True)
class FloatLimits:
    """What a half-precision dtype can hold."""

    dtype: np.dtype[Any]

    @cached_property
    def largest(self) -> float:
        """The largest finite value."""
        return float(ml_dtypes.finfo(self.dtype).max)

    @cached_property
    def smallest(self) -> float:
        """The smallest value that has all digits."""
        return float(ml_dtypes.finfo(self.dtype).smallest_normal)

    @cached_property
    def rounding(self) -> float:
        """How far rounding moves a value, as a share of it."""
        return float(ml_dtypes.finfo(self.dtype).eps) / 2

    @cached_property
    def whole(self) -> float:
        """Up to here every whole number is held exactly."""
        return 1 / self.rounding

    @cached_property
    def bound(self) -> float:
        """What clipped values become. Two such masks and a score can be added; a moderate score is rounded away."""
        return 0.75 * 2.0 ** math.floor(math.log2(self.largest))

    @property
    def is_narrow(self) -> bool:
        """Whether the range is smaller than that of 32-bit floats, so that squares may leave it."""
        return self.largest < float(np.finfo(SINGLE).max) / 2


class Extent(NamedTuple):
    """Of the finite elements of a constant.

    Attributes:
        low, high: the smallest and the largest; 0 where there is none.
        whole: whether all are whole numbers.
    """

    low: float = 0.0
    high: float = 0.0
    whole: bool = True

    @property
    def size(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)

    @property
    def extreme(self) -> float:
        """The element of the largest magnitude."""
        return self.low if -self.low > self.high else self.high


class Gain(NamedTuple):
    """How much a product with a constant can enlarge.

    Attributes:
        peak: the largest sum of magnitudes that one result is made with.
        norm: the largest root of a sum of squares that one result is made with.
        total: the root of the sum of all squares.
    """

    peak: float = math.inf
    norm: float = math.inf
    total: float = math.inf


class Constants:
    """What constants hold, each found out once. No weight stays in memory."""

    def __init__(self, limits: FloatLimits) -> None:
        self._limits = limits
        self._known: dict[tuple[int, str], tuple[Any, Any]] = {}

    def extent(self, constant: Tensor) -> Extent:
        """What its elements are."""
        return self._once(constant, "extent", _extent)

    def least(self, constant: Tensor) -> float:
        """The smallest magnitude of an element but zero; infinite where there is none."""
        return self._once(constant, "least", _least)

    def error(self, constant: Tensor) -> float:
        """How far half precision moves an element at the most."""
        return self._once(constant, "error", self._error)

    def gain(self, constant: Tensor, over: Sequence[int]) -> Gain:
        """What a product that sums over the axes `over` of the constant can make of numbers of size 1."""
        return self._once(constant, f"gain {sorted(over)}", lambda values: _gain(values, over))

    def values(self, constant: Tensor) -> Array:
        """Its elements in double precision; for small ones."""
        values = schema.constant_of(constant)
        return np.zeros(0) if values is None or values.dtype == object else values.astype(np.float64)

    def _once(self, constant: Tensor, what: str, find: Callable[[Array], T]) -> T:
        held = constant.lazy if isinstance(constant, Constant) else constant
        key = (id(held), what)
        if key not in self._known:
            values = schema.constant_of(constant)
            numbers = np.zeros(0) if values is None or values.dtype == object else values
            self._known[key] = held, find(numbers)
            if isinstance(held, Value):
                held.release()
        found: T = self._known[key][1]
        return found

    def _error(self, values: Array) -> float:
        worst = 0.0
        for block in _finite(values):
            rounded = np.clip(block, -self._limits.largest, self._limits.largest).astype(self._limits.dtype)
            worst = max(worst, float(np.abs(block - rounded.astype(block.dtype)).max(initial=0)))
        return worst


def _blocks(values: Array) -> Iterator[Array]:
    flat = values.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK]


def _finite(values: Array) -> Iterator[Array]:
    for piece in _blocks(values):
        block = piece if piece.dtype.kind == "f" else piece.astype(np.float64)
        if math.isfinite(block.min()) and math.isfinite(block.max()):  # NaN is the least and the largest
            yield block
        else:
            yield block[np.isfinite(block)]


def _extent(values: Array) -> Extent:
    low, high, whole = math.inf, -math.inf, True
    for block in _finite(values):
        low, high = min(low, float(block.min(initial=np.inf))), max(high, float(block.max(initial=-np.inf)))
        whole = whole and bool((np.trunc(block) == block).all())
    return Extent(low, high, whole) if low <= high else Extent()


def _least(values: Array) -> float:
    sizes = (np.abs(block) for block in _finite(values))
    return min((float(np.min(size, where=size > 0, initial=np.inf)) for size in sizes), default=math.inf)


@np.errstate(over="ignore")  # a bound that is infinite is one
def _gain(values: Array, over: Sequence[int]) -> Gain:
    if not values.size or not values.ndim:
        alone = float(np.abs(values).sum())
        return Gain(alone, alone, alone)
    axes = tuple(sorted(axis % values.ndim for axis in over))
    if 0 in axes:
        return _gain_of_columns(values, axes)
    tops, roots, total = 0.0, 0.0, 0.0
    for piece in _rows(values):
        rows = np.moveaxis(piece, axes, range(-len(axes), 0)).reshape(*_others(piece.shape, axes), -1)
        tops = max(tops, float(np.max(np.abs(rows).sum(-1))))
        squares = np.einsum("...i,...i->...", rows, rows)
        roots, total = max(roots, float(np.max(squares))), total + float(np.sum(squares, dtype=np.float64))
    return _rounded_up(tops, roots, total)


def _gain_of_columns(values: Array, axes: tuple[int, ...]) -> Gain:
    """Where sums run over the first axis, along which a constant is read in pieces."""
    peak: Any = 0.0
    square: Any = 0.0
    for piece in _rows(values):
        size = np.abs(piece)
        peak = peak + size.sum(axes)
        square = square + np.square(size, out=size).sum(axes)
    return _rounded_up(float(np.max(peak)), float(np.max(square)), float(np.sum(square, dtype=np.float64)))


def _rows(values: Array) -> Iterator[Array]:
    many = max(1, _BLOCK // max(1, values.size // len(values)))
    for start in range(0, len(values), many):
        piece = values[start : start + many]
        yield piece if piece.dtype.kind == "f" else piece.astype(np.float64)


def _others(shape: Sequence[int], axes: tuple[int, ...]) -> list[int]:
    return [length for axis, length in enumerate(shape) if axis not in axes]


def _rounded_up(peak: float, square: float, total: float) -> Gain:
    """What was summed in single precision is a bound all the same."""
    slack = 1.001
    return Gain(slack * peak, slack * math.sqrt(square), slack * math.sqrt(total))
