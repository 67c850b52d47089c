"""Small tensors from their bytes: equal ones hold one value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx

from regraft.files.protobuf import WireError, read_varint
from regraft.files.wire import LARGE
from regraft.ir.weights import SUB_BYTE, Raw, dtype_of, packed_size

_DIMS, _DATA_TYPE, _NAME, _RAW = 1 << 3, 2 << 3, 8 << 3 | 2, 9 << 3 | 2  # tags of TensorProto

_CODES = frozenset(onnx.TensorProto.DataType.values())
_OTHER = frozenset({onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING, *SUB_BYTE})  # whose elements are no bytes


class _Type(NamedTuple):
    code: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nbytes: int


class TensorReader:
    """Reads tensors that are written as protobuf does it, with `raw_data`, and with nothing beside it."""

    def __init__(self) -> None:
        self._types: dict[bytes, _Type | None] = {}
        self._values: dict[tuple[bytes, bytes], Raw] = {}

    def read(self, data: bytes) -> tuple[str, Raw] | None:
        """Name and value; None where it takes the message to tell, or to say what is damaged."""
        at, end = 0, len(data)
        try:
            while data[at] == _DIMS:
                at = read_varint(data, at + 1, end)[1]
            if data[at] != _DATA_TYPE:
                return None
            at = read_varint(data, at + 1, end)[1]
            head = data[:at]
            if data[at] != _NAME:
                return None
            size, at = read_varint(data, at + 1, end)
            name = data[at : at + size].decode()
            at += size
            if data[at] != _RAW:
                return None
            size, at = read_varint(data, at + 1, end)
        except (IndexError, UnicodeDecodeError, WireError):
            return None
        kind = self._types.get(head)
        if kind is None:
            kind = self._types[head] = _type(head)
        if kind is None or size != kind.nbytes or at + size != end or size >= LARGE:
            return None
        raw = data[at:]
        value = self._values.get((head, raw))
        if value is None:
            value = self._values[head, raw] = Raw(kind.shape, kind.dtype, kind.code, raw)
        return name, value


def _type(head: bytes) -> _Type | None:
    proto = onnx.TensorProto.FromString(head)
    code, shape = proto.data_type, tuple(proto.dims)
    if code in _OTHER or code not in _CODES or any(dim < 0 for dim in shape):
        return None
    return _Type(code, dtype_of(proto), shape, packed_size(shape, code))
