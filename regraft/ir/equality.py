"""Whether two weights hold the same bytes; files are compared in pieces, and no weight is held in memory for it."""

from __future__ import annotations

import os

import numpy as np
from onnx import numpy_helper

from regraft.ir.graph import Constant
from regraft.ir.weights import Absent, Array, Sparse, Stored, Value

_PIECE = 1 << 20


def equal(one: Constant, other: Constant) -> bool:
    """Whether both have the same dtype, shape and bytes: NaN equals NaN, and zero is not minus zero."""
    a, b = one.lazy, other.lazy
    if a is b:
        return True
    if one.dtype != other.dtype or tuple(one.shape) != tuple(other.shape):
        return False
    if isinstance(a, Absent) or isinstance(b, Absent):  # the same where the same is missing; else nobody knows
        return isinstance(a, Absent) and isinstance(b, Absent) and a.place == b.place
    if isinstance(a, Stored) and isinstance(b, Stored):
        return a.nbytes == b.nbytes and (_same_place(a, b) or _same_bytes(a, b))
    if isinstance(a, Sparse) or isinstance(b, Sparse):
        return isinstance(a, Sparse) and isinstance(b, Sparse) and _same_entries(a, b)
    try:
        return _same_elements(_load(a), _load(b))
    finally:
        for value in (a, b):
            if isinstance(value, Value):
                value.release()


def _same_place(a: Stored, b: Stored) -> bool:
    same_file = os.path.samestat(os.fstat(a.source.fd), os.fstat(b.source.fd))
    return same_file and a.offset == b.offset


def _same_bytes(a: Stored, b: Stored) -> bool:
    for done in range(0, a.nbytes, _PIECE):
        length = min(_PIECE, a.nbytes - done)
        first, second = (v.source[v.offset + done : v.offset + done + length] for v in (a, b))
        if first != second:
            return False
    return True


def _same_entries(a: Sparse, b: Sparse) -> bool:
    return all(
        np.array_equal(numpy_helper.to_array(x), numpy_helper.to_array(y))
        for x, y in ((a.tensor.indices, b.tensor.indices), (a.tensor.values, b.tensor.values))
    )


def _load(value: Array | Value) -> Array:
    return value if isinstance(value, np.ndarray) else value.load()


def _same_elements(a: Array, b: Array) -> bool:
    if a.dtype.hasobject:
        return bool(a.tolist() == b.tolist())
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
