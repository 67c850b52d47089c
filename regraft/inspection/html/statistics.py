"""The statistics of a weight, read in pieces: memory does not follow its size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from regraft.inspection.elements import pieces
from regraft.inspection.listing import attribute_text
from regraft.ir.graph import Constant
from regraft.ir.weights import Array, Value
from regraft.wording import count

LIMIT = 128 << 20
"""Bytes of the largest weight whose statistics are computed, where nobody says otherwise."""

SHOWN = 8  # elements that are shown themselves
BINS = 24

Statistics = dict[str, Any]


def statistics(constant: Constant, limit: int = LIMIT) -> Statistics:
    """What the page shows of a constant: `values` of a small one, else min, max, mean, std, zeros and a histogram.

    `left_out` says why there is none of this: the file is missing, or too large, or holds no numbers.
    """
    if not constant.is_known:
        return {"left_out": "its file is missing"}
    if constant.size <= SHOWN:
        return {"values": attribute_text(constant)}
    if constant.dtype == object or np.dtype(constant.dtype).kind in "cSU":
        return {"left_out": f"it holds {'complex numbers' if np.dtype(constant.dtype).kind == 'c' else 'text'}"}
    if constant.nbytes > limit:
        return {"left_out": f"larger than {count(limit, 'byte')}, the limit for statistics"}
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a figure beyond float64 is left out
            return _figures(constant)
    finally:
        if isinstance(constant.lazy, Value):
            constant.lazy.release()


def _figures(constant: Constant) -> Statistics:
    low, high, total, zeros, count = math.inf, -math.inf, 0.0, 0, 0
    for piece in _wide(constant):
        zeros += piece.size - int(np.count_nonzero(piece))
        finite = piece[np.isfinite(piece)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            total, count = total + float(finite.sum()), count + finite.size
    found: Statistics = {"elements": constant.size, "zeros": zeros, "not_finite": constant.size - count}
    if not count:
        return found
    mean, squares, bins = total / count, 0.0, np.zeros(BINS, np.int64)
    for piece in _wide(constant):
        finite = piece[np.isfinite(piece)]
        squares += float(np.square(finite - mean).sum())
        bins += _histogram(finite, low, high)
    figures = {"min": low, "max": high, "mean": mean, "std": math.sqrt(squares / count)}
    rounded = {name: float(f"{value:.5g}") for name, value in figures.items() if math.isfinite(value)}
    return found | rounded | {"histogram": bins.tolist()}


def _wide(constant: Constant) -> Iterator[Array]:
    """The elements as float64, piece by piece."""
    return (piece.astype(np.float64) for piece in pieces(constant))


def _histogram(finite: Array, low: float, high: float) -> Array:
    """How many elements lie in each of `BINS` equal parts from `low` to `high`."""
    if low == high:
        return np.bincount([BINS // 2], [finite.size], minlength=BINS).astype(np.int64)
    scaled = (finite / 2 - low / 2) / (high / 2 - low / 2) * BINS  # halves, since the whole range may overflow
    return np.bincount(np.minimum(scaled.astype(np.int64), BINS - 1), minlength=BINS)
