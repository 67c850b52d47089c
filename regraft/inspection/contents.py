"""Which constants hold the same value, found by reading as little of them as possible.

Most tensors differ in dtype, shape or size, which are known without reading; most of the others in a few blocks. Only
those that agree so far are read in full, in pieces, and never mapped: memory does not follow the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable

import numpy as np

from regraft.ir.graph import Constant
from regraft.ir.weights import Absent, Array, Sparse, Stored, Value

_BLOCK = 4096
_CHUNK = 1 << 20

Group = list[Constant]


def same(constants: Iterable[Constant]) -> list[Group]:
    """The constants, each once, in groups of those that agree in dtype, shape and every bit: 0.0 is not -0.0.

    Groups, and what is in them, keep the order of `constants`.
    """
    every = list(dict.fromkeys(constants))
    place = {constant: i for i, constant in enumerate(every)}
    groups = [every] if every else []
    for key in (_kind, _samples, _digest):
        groups = [part for group in groups for part in _split(group, key)]
    return sorted(groups, key=lambda group: place[group[0]])


def sample(constant: Constant) -> Hashable:
    """Dtype, shape, and three blocks of the bytes: equal constants have equal ones, and others hardly ever."""
    return _kind(constant), _samples(constant)


def _split(group: Group, key: Callable[[Constant], Hashable]) -> Iterable[Group]:
    if len(group) < 2:
        return [group]
    parts: dict[Hashable, Group] = {}
    for constant in group:
        parts.setdefault(key(constant), []).append(constant)
    return parts.values()


def _kind(constant: Constant) -> Hashable:
    value = constant.lazy
    if isinstance(value, Sparse):
        return id(value)
    return np.dtype(value.dtype), tuple(value.shape), value.nbytes


def _samples(constant: Constant) -> Hashable:
    """The first, the middle and the last block."""
    last = max(0, constant.nbytes - _BLOCK)
    return _read(constant, [(start, _BLOCK) for start in sorted({0, last // 2, last})])


def _digest(constant: Constant) -> Hashable:
    return _read(constant, [(start, _CHUNK) for start in range(0, constant.nbytes, _CHUNK)])


def _read(constant: Constant, ranges: list[tuple[int, int]]) -> bytes:
    """A digest of ranges (start, length) of the bytes."""
    value, digest = constant.lazy, hashlib.blake2b(digest_size=32)
    if isinstance(value, Absent):  # the same where the same is missing
        return repr(value.place).encode()
    if isinstance(value, Stored):
        for start, length in ranges:
            begin = value.offset + start
            digest.update(value.source[begin : begin + min(length, value.nbytes - start)])
        return digest.digest()
    data = _bytes(constant.values)
    for start, length in ranges:
        digest.update(data[start : start + length])
    if isinstance(value, Value):
        value.release()
    return digest.digest()


def _bytes(array: Array) -> memoryview:
    if array.dtype == object:
        return memoryview("".join(f"{len(text)}:{text!r}" for text in array.ravel()).encode())
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
