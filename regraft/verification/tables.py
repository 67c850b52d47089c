"""Compares tables that inputs index directly and completely, since no trial reaches every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from regraft.ir.model import Model
from regraft.ir.weights import Array, Stored, Value
from regraft.verification.input_roles import table_of
from regraft.verification.inputs import reader

_ROWS = 8  # differing rows to look up, beside the first, the last and the one that differs most
_BLOCK = 2**24  # bytes that are compared at a time

Tables = dict[str, Any]


def tables(model: Model) -> Tables:
    """The tables, unread, by the input that indexes their rows directly."""
    found = {}
    for variable in model.inputs:
        table = table_of(reader(variable, model))
        if table is not None and len(table.shape) == 2:
            found[variable.name] = table.lazy
    return found


def differing_rows(before: Tables, after: Tables) -> dict[str, Array]:
    """The rows that differ, by input. Tables of another shape or dtype are not compared."""
    found = {}
    for name, old in before.items():
        new = after.get(name)
        if new is None or _is_same(old, new) or (old.shape, old.dtype) != (new.shape, new.dtype):
            continue
        rows = _compare(_load(old), _load(new))
        if rows.size:
            found[name] = rows
    return found


def looking_up(inputs: Mapping[str, Any], rows: Mapping[str, Array]) -> dict[str, Any]:
    """`inputs` with indices of these rows, as many as fit."""
    changed = {name: np.resize(rows[name], np.shape(inputs[name])).astype(inputs[name].dtype) for name in rows}
    return {**inputs, **changed}


def _is_same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    stored = isinstance(old, Stored) and isinstance(new, Stored)
    return stored and (old.source, old.offset, old.nbytes) == (new.source, new.offset, new.nbytes)


def _load(value: Value | Array) -> Array:
    return value.load() if hasattr(value, "load") else np.asarray(value)


def _compare(old: Array, new: Array) -> Array:
    """The rows that differ: the first and last, the one that differs most, and some between."""
    step = max(1, _BLOCK // max(1, old[:1].nbytes))
    differing, largest, most = [], 0, -1.0
    for start in range(0, len(old), step):
        one, other = old[start : start + step], new[start : start + step]
        rows = np.flatnonzero((one != other).any(axis=1))
        if rows.size:
            off = np.abs(one[rows].astype(np.float64) - other[rows].astype(np.float64)).max(axis=1)
            if off.max() > most:
                largest, most = start + int(rows[off.argmax()]), float(off.max())
            differing += [start + rows]
    if not differing:
        return np.zeros(0, np.int64)
    every = np.concatenate(differing)
    between = every[np.linspace(0, every.size - 1, _ROWS).astype(int)]
    return np.array(list(dict.fromkeys([largest, *between.tolist()])))
