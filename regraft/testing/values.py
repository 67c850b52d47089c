"""Values on which a rule may show that it is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regraft.testing.fitting import Shapes

Array = np.ndarray[Any, Any]

SETS = ("ties", "constants", "ordinary", "positive", "negative", "zeros", "large", "tiny")
"""In the order in which they are tried: what is easy to read first."""

NARROW = ("ties", "constants", "ordinary", "positive", "negative", "zeros")
"""The sets for dtypes whose range or precision ends soon."""


def draw(
    name: str, shapes: Shapes, dtypes: Mapping[str, np.dtype[Any]], near: Sequence[float], whole: bool, turn: int = 0
) -> dict[str, Array]:
    """Values of the set `name`, by operand; others each `turn`.

    Args:
        near: numbers that a rule compares with; values lie on both sides of them.
        whole: whether zeros are left out, and whole numbers stay small: something divides.
    """
    random = np.random.default_rng([SETS.index(name), turn, *b"rule"])
    return {each: _values(name, shapes[each], dtypes[each], near, whole, random) for each in dtypes}


def turning_points(constants: Sequence[float]) -> list[float]:
    """Where a rule with such constants may turn: at them, their opposites, and sums of two."""
    signed = [sign * one for one in constants[:8] for sign in (1, -1)]
    sums = [a + b for a, b in itertools.combinations(signed, 2)]
    return list(dict.fromkeys([*signed, *sums]))[:64]


def _values(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], near: Sequence[float], whole: bool, random: Any
) -> Array:
    if dtype.kind == "b":
        return np.asarray(random.random(shape) < 0.5) if name != "zeros" else np.zeros(shape, bool)
    if dtype.kind in "iu":
        return _integers(name, shape, dtype, near, whole, random)
    drawn = np.asarray(random.normal(size=shape))
    match name:
        case "ties":
            drawn = np.asarray(random.integers(-2, 5, shape), np.float64)
        case "constants" if near:
            drawn = random.choice(near, shape) + random.choice((0.0, 0.0, 1.0, -1.0, 0.25, -0.25, 1e-3, -1e-3), shape)
        case "positive":
            drawn = np.abs(drawn) * 3
        case "negative":
            drawn = -np.abs(drawn) * 3
        case "zeros":
            drawn = np.zeros(shape)
        case "large":
            drawn = np.sign(drawn) * np.exp(random.uniform(2, 5.5, shape))
        case "tiny":
            drawn = drawn * 1e-6
    with np.errstate(over="ignore"):
        return np.asarray(drawn).astype(dtype)


def _integers(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], near: Sequence[float], whole: bool, random: Any
) -> Array:
    limits = np.iinfo(dtype)
    low, high = {
        "positive": (1, 40),
        "negative": (-40, 0),
        "zeros": (0, 1),
        "large": (limits.min // 2, limits.max // 2),
    }.get(name, (-4, 8))
    drawn = np.asarray(random.integers(max(low, limits.min), high, shape, dtype=np.int64))
    if name == "constants" and near:
        drawn = random.choice([int(one) for one in near], shape) + random.integers(-1, 2, shape)
    drawn = np.clip(drawn, limits.min, limits.max).astype(dtype)
    return np.where(drawn == 0, np.asarray(1, dtype), drawn) if whole else drawn
