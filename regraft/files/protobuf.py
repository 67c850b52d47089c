"""Protobuf's wire format, read field by field: https://protobuf.dev/programming-guides/encoding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, overload

from regraft.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""

_HEAD = 3  # bytes of a tag and a length below 16,384


class WireError(ModelError):
    """Bytes that are not protobuf, or end too early."""


class File(Protocol):
    """A file that is read like bytes, and block by block."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def block(self, at: int) -> tuple[bytes, int]:
        """The bytes around `at`, and where they begin."""


Buffer = bytes | File


def fields(buffer: Buffer, start: int, stop: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, wire type, start of the field, start of its value, end) of each field of a message, in order.

    Raises:
        WireError: the bytes are not protobuf, or end too early.
    """
    at = start
    block, base, room = b"", 0, 0
    while at < stop:
        begin = at
        if not base <= at < base + room:
            block, base = _block(buffer, at)
            room = len(block) - _HEAD
        i = at - base
        if i < room and block[i] & 0x87 == BYTES and block[i] > 7 and block[i + 1] & block[i + 2] < 0x80:
            # most fields by far: a tag of one byte, a length of one or two
            tag, wire, length, value = block[i], BYTES, block[i + 1], at + 2
            if length > 0x7F:
                length, value = length & 0x7F | block[i + 2] << 7, at + 3
            at = value + length
        else:
            tag, wire, value, at = _field(buffer, at, stop)
        if at > stop:
            raise WireError(f"truncated: the field at byte {begin} ends at byte {at}, the data at {stop}")
        yield tag >> 3, wire, begin, value, at


def _field(buffer: Buffer, begin: int, stop: int) -> tuple[int, int, int, int]:
    """Tag, wire type, start of the value and end of the field at `begin`."""
    tag, at = read_varint(buffer, begin, stop)
    wire = tag & 7 if tag >> 3 else None  # no field has number 0
    value = at
    if wire == BYTES:
        length, value = read_varint(buffer, at, stop)
        at = value + length
    elif wire == VARINT:
        while at < stop and buffer[at] & 0x80:
            at += 1
        at += 1
    elif wire == FIXED32:
        at += 4
    elif wire == FIXED64:
        at += 8
    else:
        raise WireError(f"not an ONNX model: no protobuf field at byte {begin}")
    return tag, wire, value, at


def _block(buffer: Buffer, at: int) -> tuple[bytes, int]:
    """Bytes around `at`, and where they begin."""
    return (buffer, 0) if isinstance(buffer, bytes) else buffer.block(at)


def read_varint(buffer: Buffer, at: int, stop: int) -> tuple[int, int]:
    """The number at `at`, and where it ends.

    Raises:
        WireError: none ends before `stop`.
    """
    if at < stop and (byte := buffer[at]) < 0x80:
        return byte, at + 1
    result = shift = 0
    while at < stop and shift < 64:
        byte = buffer[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise WireError(f"not an ONNX model, or truncated: no number at byte {at}")
