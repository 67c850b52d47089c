"""`.params`: arrays by name, as MXNet saves them; little-endian.

    u64 0x112, u64 0, u64 count
    per array   u32 magic, i32 storage type, i32 rank, i64 dimensions, i32 device, i32 device's number, i32 dtype, data
    u64 count, then per name u64 length, text

The magic says how old the form is: V3 and V2 are as above, V1 has no storage type, and in the oldest form the magic is
the rank, and dimensions have 32 bits. An array of rank 0 (before V3; in V3 of rank -1) has no value and ends there.
Only headers are read: an array is a `Stored` value, which stays in the file until its first use.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from onnx import TensorProto

from regraft.ir.weights import Source, Stored, stored_size
from regraft.pipelines.frontend import FrontendError
from regraft.wording import count

FILE, V1, V2, V3 = 0x112, 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_MOST_DIMENSIONS = 32
_STORAGE = {-1: "undefined", 1: "row_sparse", 2: "csr"}
_DENSE = 0
DTYPES = {
    0: TensorProto.FLOAT,
    1: TensorProto.DOUBLE,
    2: TensorProto.FLOAT16,
    3: TensorProto.UINT8,
    4: TensorProto.INT32,
    5: TensorProto.INT8,
    6: TensorProto.INT64,
    7: TensorProto.BOOL,
    12: TensorProto.BFLOAT16,
}


def is_params(start: bytes) -> bool:
    """Whether a file that starts with these 8 bytes holds arrays of MXNet."""
    return len(start) == 8 and struct.unpack("<Q", start)[0] == FILE


def read_params(path: Path) -> dict[str, Stored]:
    """The arrays of the file at `path`, by name without `arg:` and `aux:`. Arrays without a value are left out.

    Raises:
        FrontendError: the file is truncated, or has sparse arrays or unknown dtypes, which cannot be read.
    """
    reader = _Reader(path)
    if not is_params(reader.source[:8]):
        raise FrontendError(f"{path} is no .params file of MXNet: it does not start with 0x112")
    reader.take("<QQ")
    arrays = [_array(reader, index) for index in range(reader.take("<Q")[0])]
    (names,) = reader.take("<Q")
    if names != len(arrays):
        raise FrontendError(
            f"{path} has {count(len(arrays), 'array')} and {count(names, 'name')}; a list without names is no model"
        )
    named = zip([_name(reader) for _ in arrays], arrays, strict=True)
    return {name: array for name, array in named if array is not None}


class _Reader:
    """Reads on from where it stands."""

    def __init__(self, path: Path):
        self.source = Source(path)
        self.path, self.at = path, 0

    def take(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.source[self.skip(struct.calcsize(form)) : self.at])

    def skip(self, size: int) -> int:
        """Skip `size` bytes. Returns where they start."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.source):
            raise FrontendError(
                f"{self.path} is truncated: {count(len(self.source), 'byte')}, needed up to byte {self.at:,}; "
                "copy it again"
            )
        return start


def _array(reader: _Reader, index: int) -> Stored | None:
    where = f"{reader.path}: array {index}"
    (magic,) = reader.take("<I")
    if magic in (V2, V3):
        (storage,) = reader.take("<i")
        if storage != _DENSE:
            kind = _STORAGE.get(storage, "unknown")
            raise FrontendError(f"{where} has {kind} storage (type {storage}); save it dense, by tostype('default')")
    (rank,) = reader.take("<i") if magic in (V1, V2, V3) else (magic,)
    if rank == (-1 if magic == V3 else 0):
        return None
    if not 0 <= rank <= _MOST_DIMENSIONS:
        raise FrontendError(f"{where} has neither a known magic nor a rank: {rank:#x} at byte {reader.at - 4}")
    shape = reader.take(f"<{rank}{'q' if magic in (V1, V2, V3) else 'I'}")
    _, _, dtype = reader.take("<iii")
    if dtype not in DTYPES or any(dim < 0 for dim in shape):
        raise FrontendError(f"{where} has dtype {dtype} and shape {list(shape)}; known dtypes: {sorted(DTYPES)}")
    header = TensorProto(dims=shape, data_type=DTYPES[dtype])
    return Stored(header, reader.source, reader.skip(stored_size(header)))


def _name(reader: _Reader) -> str:
    (length,) = reader.take("<Q")
    start = reader.skip(length)
    try:
        name = reader.source[start : reader.at].decode()
    except UnicodeDecodeError as error:
        raise FrontendError(f"{reader.path}: a name is not UTF-8, at byte {start}") from error
    return name.removeprefix("arg:").removeprefix("aux:")
