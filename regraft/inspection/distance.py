"""How far two constants of the same shape are from each other, read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from regraft.inspection.elements import pieces
from regraft.ir.graph import Constant
from regraft.ir.weights import Array, Value


class Distance(NamedTuple):
    """How far two tensors are from each other.

    Attributes:
        differing: how many elements differ; NaN equals NaN, and zero minus zero.
        max_abs: the largest difference; None where the elements are no numbers.
        cosine: of both; 1 where both are zero, None where an element is not finite, or no number.
    """

    differing: int
    max_abs: float | None = None
    cosine: float | None = None


def distance(one: Constant, other: Constant) -> Distance:
    """How far `other` is from `one`, of the same shape; each is read once."""
    are_numbers = all(np.dtype(constant.dtype).kind not in "OSU" for constant in (one, other))
    try:
        both = zip(pieces(one), pieces(other), strict=True)
        return _of_numbers(both) if are_numbers else Distance(sum(int(np.count_nonzero(a != b)) for a, b in both))
    finally:
        for value in (one.lazy, other.lazy):
            if isinstance(value, Value):
                value.release()


def _of_numbers(both: Iterable[tuple[Array, Array]]) -> Distance:
    differing, most, product, squares = 0, 0.0, 0.0, [0.0, 0.0]
    with np.errstate(all="ignore"):
        for a, b in both:
            x, y = _wide(a), _wide(b)
            gap = np.abs(x - y)
            gap[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0
            are_whole = a.dtype == b.dtype and a.dtype.kind in "iu"  # float64 has not all of them
            differing += int(np.count_nonzero(a != b if are_whole else gap))
            most = max(most, float(np.max(np.nan_to_num(gap, nan=math.inf, posinf=math.inf), initial=0.0)))
            product += float(np.vdot(x, y).real)
            squares = [square + float(np.vdot(z, z).real) for square, z in zip(squares, (x, y), strict=True)]
    return Distance(differing, most, _cosine(product, *squares))


def _cosine(product: float, one: float, other: float) -> float | None:
    if not math.isfinite(product + one + other):
        return None
    if not one or not other:
        return float(one == other)
    return max(-1.0, min(1.0, product / math.sqrt(one) / math.sqrt(other)))


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
