"""The elements of a constant in a row, a few megabytes at a time: memory does not follow its size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from regraft.ir.graph import Constant
from regraft.ir.weights import SUB_BYTE, Array, Sparse, Stored

PIECE = 1 << 20
"""Elements that are in memory at a time."""


def pieces(constant: Constant) -> Iterator[Array]:
    """The elements in the constant's own dtype, `PIECE` after `PIECE`."""
    value = constant.lazy
    if isinstance(value, Stored) and value.header.data_type not in SUB_BYTE and not isinstance(value, Sparse):
        step = PIECE * value.dtype.itemsize
        for start in range(0, value.nbytes, step):
            begin = value.offset + start
            yield np.frombuffer(value.source[begin : begin + min(step, value.nbytes - start)], value.dtype)
        return
    flat = np.asarray(constant.values).reshape(-1)
    yield from (flat[start : start + PIECE] for start in range(0, flat.size, PIECE))
