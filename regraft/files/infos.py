"""The types of values from their bytes: each is read once."""

from __future__ import annotations

from typing import Any, NamedTuple

import onnx

from regraft.files.fields import to_variable
from regraft.files.wire import WireError, read_varint
from regraft.ir.graph import Dim, Variable

_NAME, _TYPE = 1 << 3 | 2, 2 << 3 | 2  # tags of ValueInfoProto


class _Type(NamedTuple):
    dtype: Any
    shape: list[Dim] | None


class InfoReader:
    """Reads what a file says of a value, where that is its type and nothing else."""

    def __init__(self) -> None:
        self._types: dict[bytes, _Type | None] = {}

    def read(self, data: bytes) -> tuple[str, _Type] | None:
        """Name and type; None where it takes the message to tell.

        Raises:
            ModelError: the type is damaged.
        """
        try:
            if data[0] != _NAME:
                return None
            size, at = read_varint(data, 1, len(data))
            name, at = data[at : at + size].decode(), at + size
            if data[at] != _TYPE:
                return None
            size, at = read_varint(data, at + 1, len(data))
            if at + size != len(data):
                return None
        except (IndexError, UnicodeDecodeError, WireError):
            return None
        rest = data[at:]
        if rest not in self._types:
            self._types[rest] = _plain(onnx.TypeProto.FromString(rest))
        found = self._types[rest]
        return None if found is None else (name, found)


def _plain(proto: onnx.TypeProto) -> _Type | None:
    """The type of a tensor; None where it is another one, or says more."""
    variable: Variable = to_variable(onnx.ValueInfoProto(type=proto))
    if variable.info is not None or variable.type != "tensor_type":
        return None
    return _Type(variable.dtype, variable.shape)
