"""What a file says of values inside a graph, from its bytes: each type is read once."""

from __future__ import annotations

from typing import Any, NamedTuple

import onnx

from regraft.files.fields import merge, text, to_variable
from regraft.files.protobuf import WireError, read_varint
from regraft.ir.graph import Dim, Variable
from regraft.ir.value import put_dtype, put_shape

_NAME, _TYPE = 1 << 3 | 2, 2 << 3 | 2  # tags of ValueInfoProto
_NO_DOC = b"\x1a\x00"  # its doc string, empty: torch writes it


class _Plain(NamedTuple):
    """The type of a tensor."""

    dtype: Any
    shape: list[Dim] | None


class InfoReader:
    """Gives values the types that a file declares."""

    def __init__(self) -> None:
        self._types: dict[bytes, _Plain | None] = {}

    def split(self, info: bytes | onnx.ValueInfoProto) -> tuple[str, bytes | onnx.ValueInfoProto]:
        """The name of the value; the bytes of its type, or the message where that says more.

        Raises:
            ModelError: the name is not UTF-8.
        """
        if isinstance(info, bytes):
            found = _split(info)
            if found is not None:
                return found
            info = onnx.ValueInfoProto.FromString(info)
        return text(info.name), info

    def give(self, tensor: Variable, known: bytes | onnx.ValueInfoProto) -> None:
        """Give `tensor` the type that `split` has found.

        Raises:
            ModelError: there is no such data type.
        """
        if isinstance(known, bytes):
            if known not in self._types:
                self._types[known] = _plain(onnx.TypeProto.FromString(known))
            plain = self._types[known]
            if plain is not None:
                if plain.dtype is not None:
                    put_dtype(tensor, plain.dtype)
                if plain.shape is not None:
                    put_shape(tensor, plain.shape.copy())
                return
            known = onnx.ValueInfoProto(name=tensor.name, type=onnx.TypeProto.FromString(known))
        merge(tensor, known)


def _split(data: bytes) -> tuple[str, bytes] | None:
    """The parts where there are no others, and none is damaged."""
    try:
        if data[0] != _NAME:
            return None
        size, at = read_varint(data, 1, len(data))
        name, at = data[at : at + size].decode(), at + size
        if data[at] != _TYPE:
            return None
        size, at = read_varint(data, at + 1, len(data))
    except (IndexError, UnicodeDecodeError, WireError):
        return None
    end = at + size
    return (name, data[at:end]) if end <= len(data) and data[end:] in (b"", _NO_DOC) else None


def _plain(proto: onnx.TypeProto) -> _Plain | None:
    """The type, where it is that of a tensor and says nothing else."""
    variable: Variable = to_variable(onnx.ValueInfoProto(type=proto))
    if variable.info is not None or variable.type != "tensor_type":
        return None
    return _Plain(variable.dtype, variable.shape)
