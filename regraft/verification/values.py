"""Values of generated inputs, by the input's meaning and the trial."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from regraft.ir.weights import Array
from regraft.verification.input_roles import InputRole
from regraft.verification.trials import Trial

WORDS = np.array(["the", "Graph", "keeps", "what", "IT", "means", "when", "a", "node", "gives", "way"], dtype=object)
SEQUENCE = 16
_UNBOUNDED = 100  # rows of a table that was not found
_LARGE = 30.0
_OUTLIER, _EVERY = 120.0, 13  # one in so many: e to its power is more than float32 holds
_SMALL_TABLE = 4096  # rows that a sweep looks up one after the other
_HIDDEN = -1e4
_MEDIUM = 100_000
_SIZES = {"signed": (1, 6), "medium": (2, 9), "wide": (2, 41)}
_PROBED = 0.4  # the share of values that the model compares the input with


def make_values(what: InputRole, shape: tuple[int, ...], dtype: np.dtype[Any], trial: Trial, random: Any) -> Array:
    """An array of `dtype` and `shape`."""
    found = np.array(_values(what, shape, dtype, trial, random)).astype(dtype)
    rows = what.rows or _UNBOUNDED
    if what.kind in ("index", "segment") and trial.probes and dtype.kind == "f" and rows < _SMALL_TABLE:
        found.reshape(-1)[1::2] += dtype.type(0.25)  # some take the whole part
    if trial.probes and what.asked and found.size:
        flat = found.reshape(-1)
        asked = np.clip(what.asked, *_limits(dtype)) if dtype.kind in "iu" else np.array(what.asked)
        places = random.random(flat.size) < (_PROBED if flat.size > 2 * len(asked) else 1)
        flat[places] = np.resize(random.permutation(asked), int(places.sum())).astype(dtype)
    return found


def _values(what: InputRole, shape: tuple[int, ...], dtype: np.dtype[Any], trial: Trial, random: Any) -> Any:
    length = shape[-1] if shape else 1
    match what.kind:
        case "index":
            return _indices(shape, what.rows or _UNBOUNDED, trial, random)
        case "segment":
            return np.sort(random.integers(0, what.rows or 2, shape), axis=-1) if shape else 0
        case "position":
            return _positions(shape, what.rows or length + trial.shift or 1, trial)
        case "mask":
            return _mask(shape, trial, random)
        case "bias":
            return (_mask(shape, trial, random) - 1) * -_HIDDEN
        case "length":
            return random.integers(1, (what.rows or SEQUENCE) + 1, shape)
        case "choice":
            known = np.array(what.choices, dtype)
            unknown = ["?"] if dtype == np.object_ else [known.max() + 1]
            choices = np.concatenate([np.array(unknown, dtype), known]) if trial.probes else known
            return np.resize(np.roll(choices, -trial.shift), shape)
        case "integer":
            return _integers(shape, dtype, what.sizes, trial, random)
        case "boolean":
            return random.integers(0, 2, shape)
        case "string":
            return random.choice(WORDS, shape)
    return _floats(shape, what.sizes, trial, random)


def _indices(shape: tuple[int, ...], rows: int, trial: Trial, random: Any) -> Array:
    """Rows of a table with `rows`."""
    found: Array = random.integers(0, min(rows, 2) if trial.indices == "first" else rows, shape)
    flat = found.reshape(-1)
    if trial.indices == "ends" and flat.size:
        flat[0] = rows - 1
        flat[flat.size // 2] = 0
    elif trial.indices == "sweep" and rows <= _SMALL_TABLE:
        flat[:] = np.arange(flat.size) % rows
    return flat.reshape(shape)


def _positions(shape: tuple[int, ...], rows: int, trial: Trial) -> Array:
    """Counted up from `shift`; with left padding, from another index in each row."""
    steps = np.broadcast_to(np.arange(shape[-1] if shape else 1), shape or (1,))
    if trial.masks == "left" and len(shape) > 1:
        hidden = 1 + np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) % max(1, shape[-1] // 2)
        steps = np.maximum(steps - hidden, 0)
    return np.asarray((steps + trial.shift) % rows).reshape(shape)


def _integers(shape: tuple[int, ...], dtype: np.dtype[Any], sizes: bool, trial: Trial, random: Any) -> Array:
    """Labels, flags, counts: integers of unknown meaning. Those that sizes depend on stay small."""
    if dtype == np.uint8:  # pixels
        return np.asarray(random.integers(0, 256, shape))
    if trial.integers == "flags":
        return np.asarray(random.integers(0, 2, shape))
    if sizes:
        return np.asarray(random.integers(*_SIZES[trial.integers], shape))
    low, high = _limits(dtype)
    if trial.integers == "signed":
        found = np.asarray(random.integers(max(low, -5), min(high, 6), shape))
    elif trial.integers == "medium":
        found = np.asarray(random.integers(max(low, -_MEDIUM), min(high, _MEDIUM), shape))
    else:
        wide = min(high, 2**40)  # sums and products of a few still fit 64 bits
        found = np.asarray(random.integers(max(low, -wide), wide, shape))
        found = np.where(np.asarray(random.integers(0, 2, shape)) > 0, found, found % 1000 - (500 if low else 0))
        if found.ndim and len(found) > 1:
            found[0], found[-1] = np.maximum(np.abs(found[0]), 1), np.maximum(-np.abs(found[-1]) - 1, low)
    if found.size:
        found.reshape(-1)[0] = min(max(trial.lead, low), high)
    return found


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    info = ml_dtypes.iinfo(dtype)
    return int(info.min), int(info.max)


def _floats(shape: tuple[int, ...], sizes: bool, trial: Trial, random: Any) -> Array:
    found = np.asarray(random.standard_normal(shape))
    match "ordinary" if sizes else trial.floats:
        case "large":
            large = np.asarray(found * _LARGE)
            large.reshape(-1)[::_EVERY] = _OUTLIER
            return np.concatenate([np.abs(large[:1]), large[1:]]) if large.ndim else np.abs(large)
        case "zeros":
            return np.copysign(0.0, found)
        case "ties":
            return np.asarray(np.round(found * 2) / 2)
        case "negative":
            return np.asarray(-np.abs(found))
    return found


def _mask(shape: tuple[int, ...], trial: Trial, random: Any) -> Any:
    """Ones and zeros along the last axis, each row of the first axis in its own way; the first is often full."""
    if not shape:
        return np.int64(1)
    rows, length = (shape[0], shape[-1]) if len(shape) > 1 else (2, shape[0])
    steps = np.arange(length)
    lengths = random.integers(max(1, length // 4), max(2, length), rows)
    lengths[:1] = length
    match trial.masks:
        case "ones":
            seen = np.ones((rows, length), bool)
        case "left":
            seen = steps >= length - lengths[:, None]
        case "holes":
            seen = random.random((rows, length)) < 0.7
            seen[:, :1] = seen[:1] = True
        case _:
            seen = steps < lengths[:, None]
    if trial.masks == "hiding":
        seen[-1] = False
    ones = seen.astype(np.int64)
    return ones[-1] if len(shape) == 1 else np.broadcast_to(ones.reshape(rows, *[1] * (len(shape) - 2), length), shape)
