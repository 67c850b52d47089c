"""The variables of a SavedModel in their file: TensorBundle, TensorFlow's checkpoint format.

`PREFIX.index` is a table of LevelDB: sorted blocks of (name, entry), and an index of the blocks.

    footer, 48 bytes   handle of the meta index, handle of the index (offset and size, varints), padding, magic
    block              entries, the places of restarts (u32 each), their count (u32); then 1 byte: 0 is uncompressed
    entry              varints: bytes shared with the name before, bytes of its own, bytes of the value; then these

The value of the empty name is a BundleHeaderProto, all others are BundleEntryProto: dtype, shape, shard, offset, size.
`PREFIX.data-SHARD-of-COUNT` holds the values, little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnx import TensorProto

from regraft.errors import ModelError
from regraft.files.protobuf import fields, read_varint
from regraft.ir.weights import Source, Stored, stored_size
from regraft.pipelines.frontend import FrontendError
from regraft.wording import count

_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
_SHARDS, _BIG_ENDIAN = 1, 2  # fields of the header
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _SLICES = 1, 2, 3, 4, 5, 7  # fields of an entry
_DIM = 2

DTYPES = {
    1: TensorProto.FLOAT,
    2: TensorProto.DOUBLE,
    3: TensorProto.INT32,
    4: TensorProto.UINT8,
    5: TensorProto.INT16,
    6: TensorProto.INT8,
    9: TensorProto.INT64,
    10: TensorProto.BOOL,
    14: TensorProto.BFLOAT16,
    17: TensorProto.UINT16,
    19: TensorProto.FLOAT16,
    22: TensorProto.UINT32,
    23: TensorProto.UINT64,
}
"""TensorFlow's data types that ONNX has, by number."""


def read_checkpoint(prefix: Path) -> dict[str, Stored]:
    """The variables of the checkpoint at `prefix`, by name. Texts are left out, and variables saved in slices.

    Raises:
        FrontendError: a file is missing, truncated or damaged.
    """
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        raise FrontendError(f"{index} is missing: it says where the variables lie; copy the whole SavedModel")
    data = index.read_bytes()
    try:
        entries = {name: _message(value) for name, value in _table(data)}
    except (ModelError, struct.error, IndexError) as error:
        raise FrontendError(f"{index} is truncated or damaged: {error}; copy it again") from error
    header = entries.pop(b"", {})
    if header.get(_BIG_ENDIAN):
        raise FrontendError(f"{index}: the variables are big-endian; save them on a little-endian machine")
    count = header.get(_SHARDS, [1])[0]
    shards = [prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{count:05d}") for shard in range(count)]
    sources = [Source(shard) for shard in shards]
    return {
        name.decode(): _stored(name.decode(), entry, sources)
        for name, entry in entries.items()
        if entry.get(_DTYPE, [0])[0] in DTYPES and _SLICES not in entry
    }


def _stored(name: str, entry: dict[int, list[Any]], sources: list[Source]) -> Stored:
    shape = [_message(dim).get(1, [0])[0] for shape in entry.get(_SHAPE, []) for dim in _message(shape).get(_DIM, [])]
    header = TensorProto(dims=shape, data_type=DTYPES[entry[_DTYPE][0]])
    source = sources[entry.get(_SHARD, [0])[0]]
    offset, size = entry.get(_OFFSET, [0])[0], entry.get(_SIZE, [0])[0]
    if stored_size(header) != size:
        raise FrontendError(f"{source.path}: variable '{name}' of shape {shape} has {count(size, 'byte')}")
    if offset + size > len(source):
        raise FrontendError(
            f"{source.path} is truncated: {count(len(source), 'byte')}, variable '{name}' ends at byte "
            f"{offset + size:,}; copy it again"
        )
    return Stored(header, source, offset)


def _message(data: bytes) -> dict[int, list[Any]]:
    """The fields of a protobuf message: numbers, and bytes."""
    found: dict[int, list[Any]] = {}
    for number, wire, _, start, end in fields(data, 0, len(data)):
        found.setdefault(number, []).append(read_varint(data, start, end)[0] if wire == 0 else data[start:end])
    return found


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names and values of the table `data`."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ModelError("it does not end as a table does")
    at = len(data) - _FOOTER
    for _ in range(2):  # of the meta index: its offset and size
        _, at = read_varint(data, at, len(data))
    for _, handle in _block(data, at):
        yield from _block(handle, 0, data)


def _block(handle: bytes, at: int, data: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the block that a handle names: offset and size, at byte `at` of `handle`."""
    data = handle if data is None else data
    offset, at = read_varint(handle, at, len(handle))
    size, at = read_varint(handle, at, len(handle))
    if data[offset + size]:
        raise ModelError(f"the block at byte {offset} is compressed, which TensorFlow does not do")
    (restarts,) = struct.unpack_from("<I", data, offset + size - 4)
    at, stop, name = offset, offset + size - 4 - 4 * restarts, b""
    while at < stop:
        shared, at = read_varint(data, at, stop)
        own, at = read_varint(data, at, stop)
        length, at = read_varint(data, at, stop)
        name = name[:shared] + data[at : at + own]
        at += own + length
        yield name, data[at - length : at]
