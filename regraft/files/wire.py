"""A serialized model without its weights, and weights put back.

A large tensor's bytes never leave the file. `strip` walks an ONNX file and returns the model's header, in which such a
tensor is an external reference into that file; `splice` is the inverse, and returns the pieces of an inline file:
header bytes between tensors. Field numbers: onnx.proto.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from regraft.errors import ModelError
from regraft.files.protobuf import BYTES, VARINT, Buffer, fields
from regraft.outside import DEPTH, first_bytes

if TYPE_CHECKING:
    import onnx

INLINE = "regraft:inline"
"""Location, in a header, of a tensor whose bytes lie in the model file itself."""

LARGE = 1024
"""Bytes from which a tensor is left in its file."""

_SLOT = "regraft:slot:"
_CHECKED = 1  # depth of a graph: its fields, and those of the model, are all looked at, so that none is cut short
_FIRST_FIELD, _IR_VERSIONS = 0x08, range(3, 64)


@dataclass(frozen=True, eq=False)
class _Message:
    """A protobuf message that can hold tensors: the fields to descend into, by number."""

    fields: dict[int, _Message] = field(default_factory=dict)


# Sparse tensors and training_info stay whole in the header: nothing edits them.
_TENSOR = _Message()
_ATTRIBUTE = _Message({5: _TENSOR, 10: _TENSOR})
_NODE = _Message({5: _ATTRIBUTE})
_GRAPH = _Message({1: _NODE, 5: _TENSOR})
_ATTRIBUTE.fields.update({6: _GRAPH, 11: _GRAPH})
_FUNCTION = _Message({7: _NODE, 11: _ATTRIBUTE})
_MODEL = _Message({7: _GRAPH, 25: _FUNCTION})

_DIMS, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 4, 8, 9, 10, 13, 14
_PLAIN = (_FLOATS, _RAW, _DOUBLES)  # fields whose bytes are the little-endian tensor itself


@dataclass(frozen=True)
class Slot:
    """The place of tensor number `index`, of this name, in the pieces of an inline file; `nbytes` long."""

    index: int
    nbytes: int
    name: str


Piece = bytes | Slot


def begins_as_model(path: Path) -> bool:
    """Whether the file at `path` begins as an exporter writes a model: with the IR version, a small number."""
    start = first_bytes(path, 2)
    return len(start) == 2 and start[0] == _FIRST_FIELD and start[1] in _IR_VERSIONS


def strip(buffer: Buffer) -> bytes:
    """The serialized `ModelProto` in `buffer`, every tensor of `LARGE` bytes or more made a reference.

    A reference is `external_data` with location `INLINE` and the offset and length in `buffer`. Only headers are read.

    Raises:
        ModelError: the bytes are not protobuf, or end too early.
    """
    large = _Walk(buffer, lambda start, stop: stop - start >= LARGE, _strip_tensor)
    return b"".join(_data(large.pieces(0, len(buffer), _MODEL)))


def splice(header: bytes, sizes: list[int]) -> list[Piece]:
    """The pieces of an inline file: `header`, with a `Slot` in place of each tensor marked by `reference`."""
    places = [m.start() for m in re.finditer(re.escape(_SLOT.encode()), header)]

    def holds_slot(start: int, stop: int) -> bool:
        at = bisect.bisect_left(places, start)
        return at < len(places) and places[at] < stop

    def fill(walk: _Walk, start: int, stop: int) -> list[Piece] | None:
        kept, name, index = b"", "", None
        for number, _, begin, value, end in fields(walk.buffer, start, stop):
            if number == _EXTERNAL:
                index = int(header[value:end].partition(_SLOT.encode())[2])
            elif number != _LOCATION:
                kept += header[begin:end]
            if number == _NAME:
                name = header[value:end].decode()
        if index is None:
            return None  # a name that looks like a mark
        return [kept + _tag(_RAW, BYTES) + _varint(sizes[index]), Slot(index, sizes[index], name)]

    return _Walk(header, holds_slot, fill).pieces(0, len(header), _MODEL)


def reference(index: int) -> str:
    """Location that marks a tensor as number `index`, for `splice`."""
    return f"{_SLOT}{index}"


def slot(tensor: onnx.TensorProto) -> int | None:
    """The number that `reference` gave the tensor; None for any other."""
    for entry in tensor.external_data:
        if entry.key == "location" and entry.value.startswith(_SLOT):
            return int(entry.value[len(_SLOT) :])
    return None


@dataclass
class _Walk:
    buffer: Buffer
    visit: Callable[[int, int], bool]  # is there anything to change between start and stop?
    change: Callable[[_Walk, int, int], list[Piece] | None]  # new pieces of a tensor message

    def pieces(self, start: int, stop: int, message: _Message) -> list[Piece]:
        return self.message(start, stop, message) or [self.buffer[start:stop]]

    def message(self, start: int, stop: int, message: _Message, depth: int = 0) -> list[Piece] | None:
        """The new pieces of a message; None where nothing of it changes."""
        if depth > DEPTH:
            raise ModelError(f"not an ONNX model: messages nested more than {DEPTH} deep at byte {start}")
        pieces: list[Piece] = []
        done = start
        for number, wire, begin, value, end in fields(self.buffer, start, stop):
            child = message.fields.get(number)
            if child is None or wire != BYTES or not self.visit(value, end):
                if depth > _CHECKED and not self.visit(end, stop):
                    break
                continue
            inner = self.change(self, value, end) if child is _TENSOR else self.message(value, end, child, depth + 1)
            if inner is None:
                continue
            length = sum(p.nbytes if isinstance(p, Slot) else len(p) for p in inner)
            pieces += [self.buffer[done:begin] + _tag(number, BYTES) + _varint(length), *inner]
            done = end
        if not pieces:
            return None
        pieces.append(self.buffer[done:stop])
        return pieces


def _strip_tensor(walk: _Walk, start: int, stop: int) -> list[Piece] | None:
    kept = b""
    payload: list[tuple[int, int]] = []
    for number, wire, begin, value, end in fields(walk.buffer, start, stop):
        if number in _PLAIN and wire == BYTES and end - value >= LARGE:
            payload.append((value, end - value))
        elif number in (_FLOATS, _DOUBLES) or end - begin >= LARGE:
            return None  # values one by one, or varints: protobuf must decode them
        else:
            kept += walk.buffer[begin:end]
    if len(payload) != 1:
        return None
    offset, length = payload[0]
    entries = (("location", INLINE), ("offset", str(offset)), ("length", str(length)))
    external = b"".join(_bytes_field(_EXTERNAL, _entry(key, value)) for key, value in entries)
    return [kept + external + _tag(_LOCATION, VARINT) + b"\x01"]


def _data(pieces: list[Piece]) -> list[bytes]:
    return [piece for piece in pieces if isinstance(piece, bytes)]


def _entry(key: str, value: str) -> bytes:
    return _bytes_field(1, key.encode()) + _bytes_field(2, value.encode())


def _bytes_field(number: int, payload: bytes) -> bytes:
    return sized(_tag(number, BYTES), payload)


def sized(tag: bytes, payload: bytes) -> bytes:
    """`tag`, and `payload` behind its length."""
    length = len(payload)
    return tag + (_LENGTHS[length] if length < 0x80 else _varint(length)) + payload


_LENGTHS = [bytes([length]) for length in range(0x80)]


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
