"""Lengths of sequences: of a file, or of sets that others measured packing on."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from regraft.errors import UnknownNameError
from regraft.outside import read_arrays, read_text
from regraft.packers.limits import Array, PackingError


class Lengths(NamedTuple):
    """Tokens of each sequence, in the order in which they come, and of the longest that there may be."""

    values: Array
    longest: int


def read_lengths(source: str | Path) -> Lengths:
    """The lengths of a set in `SETS` or of a file.

    A file is text with a number a line, JSON with a list, or an array in .npy.

    Raises:
        PackingError: the file is none of these, or has no lengths.
        UnknownNameError: there is neither a set nor a file of this name.
    """
    if str(source) in SETS:
        return SETS[str(source)]()
    path = Path(source)
    if not path.suffix and not path.exists():
        raise UnknownNameError("file or set of lengths", str(source), SETS)
    values = _numbers(path)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "iu" or values.min() < 1:
        raise PackingError(f"{path}: lengths are whole numbers from 1 on, a line each or a list of them")
    return Lengths(values.astype(np.int64), int(values.max()))


def _numbers(path: Path) -> Array:
    if path.suffix == ".npy":
        return np.asarray(next(iter(read_arrays(path, PackingError).values())))
    text = read_text(path, PackingError)
    try:
        listed = json.loads(text) if text.lstrip().startswith("[") else text.split()
        return np.array([_whole(one) for one in listed], np.int64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise PackingError(f"{path}: no list of whole numbers: {error}") from error


def _whole(one: object) -> int:
    if isinstance(one, bool) or not isinstance(one, int | str) or len(str(one)) > 18:
        raise ValueError(f"{str(one)[:20]!r} is none")
    return int(one)


def _seed() -> Lengths:
    """The 1,600 synthetic requests of PopRT's packing example."""
    drawn = np.random.RandomState(2023).normal(128, 128, size=1600).astype(np.int32)
    return Lengths(np.clip(drawn, 1, 256).astype(np.int64), 256)


def _short() -> Lengths:
    """Short texts beside a limit that few come near, as in search and in chat: 4,096 of 20 tokens in the mean."""
    drawn = np.random.RandomState(2023).lognormal(2.75, 0.7, size=4096).astype(np.int64)
    return Lengths(np.clip(drawn, 1, 128), 128)


def _measured(name: str) -> Lengths:
    """What packedBERT counted, in an order drawn by chance."""
    counts = json.loads(files("regraft.packers").joinpath("histograms.json").read_text())[name]
    values = np.repeat(np.arange(1, len(counts) + 1, dtype=np.int64), counts)
    np.random.RandomState(0).shuffle(values)
    return Lengths(values, len(counts))


SETS: dict[str, Callable[[], Lengths]] = {
    "seed004": _seed,
    "squad": partial(_measured, "squad"),
    "wikipedia": partial(_measured, "wikipedia"),
    "short": _short,
}
"""Sets of lengths by name."""
