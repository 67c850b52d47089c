"""Values of constants that stay out of memory until somebody asks.

A `Value` knows its shape and dtype; `load()` gives the array. Three kinds: `Stored` lies in a file and is read when it
is asked for, `Held` is a small tensor of the header, `Derived` is computed from others each time it is loaded, so that
a change of weights costs memory one tensor at a time, while saving.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnx
from onnx import helper, numpy_helper

from regraft.errors import ModelError
from regraft.outside import open_file

Array = np.ndarray[Any, Any]

_BITS = {"UINT2": 2, "INT2": 2, "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "FLOAT6E2M3": 6, "FLOAT6E3M2": 6}

SUB_BYTE = {code: _BITS[name] for name, code in onnx.TensorProto.DataType.items() if name in _BITS}
"""Bits of an element, by data type, where several share a byte."""


_BLOCK = 1 << 14
_MOST = 1 << 30  # bytes of one read; the kernel gives less than 2 GiB


class Source:
    """A file whose bytes tensors refer to. It stays open, so that its bytes outlive a replacement of the file.

    Indexed like bytes, it reads block by block. Nothing is mapped into memory: a file that is cut short while a map of
    it is read ends the process.

    Raises:
        ModelError: the file is not there or cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path.absolute()
        self.fd = open_file(path)
        status = os.fstat(self.fd)
        self.size, self._changed = status.st_size, status.st_mtime_ns
        self._number, self._block = -1, b""

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            start, stop, _ = key.indices(self.size)
            return self._read(start, stop)
        block, base = self.block(key)
        return block[key - base]

    def block(self, at: int) -> tuple[bytes, int]:
        """The block of the file that has byte `at`, and where it begins."""
        number = at // _BLOCK
        if number != self._number:
            start = number * _BLOCK
            self._block = self._read(start, min(start + _BLOCK, self.size))
            self._number = number
        return self._block, number * _BLOCK

    def _read(self, start: int, stop: int) -> bytes:
        count = max(stop - start, 0)
        try:
            data = os.pread(self.fd, min(count, _MOST), start)
        except OSError as error:
            raise ModelError(f"cannot read {self.path}: {error.strerror}") from error
        if len(data) == count:
            self.check()
            return data
        rest = bytearray(count - len(data))
        self.read_into(memoryview(rest), start + len(data))
        return data + rest

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill `buffer` with the bytes from `start` on.

        Raises:
            ModelError: they cannot be read, or are no longer those that were there when the file was opened.
        """
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self.fd, [buffer[done : done + _MOST]], start + done)
            except OSError as error:
                raise ModelError(f"cannot read {self.path}: {error.strerror}") from error
            if not count:
                raise ModelError(f"{self.path} became shorter while it was read, at byte {start + done}")
            done += count
        self.check()

    def check(self) -> None:
        """Raise ModelError where the file was written to since it was opened."""
        status = os.fstat(self.fd)
        if (status.st_size, status.st_mtime_ns) != (self.size, self._changed):
            raise ModelError(f"{self.path} was changed since it was loaded; load it again")

    def is_current(self) -> bool:
        """Whether the file at `path` is still the one that was opened."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path))
        except FileNotFoundError:
            return False

    def __del__(self) -> None:
        fd = getattr(self, "fd", None)
        if fd is not None:
            os.close(fd)


class Value:
    """What a constant holds: `shape`, `dtype` (numpy's or ml_dtypes'), `nbytes` as stored in a file."""

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], nbytes: int):
        self.shape = tuple(shape)
        self.dtype = dtype
        self.nbytes = nbytes

    def load(self) -> Array:
        """The value as a read-only array."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget what `load` brought into memory, where that can be brought again."""


class Stored(Value):
    """A value in a file.

    Args:
        header: the tensor without its data; its name does not matter.
        source, offset: where the little-endian bytes lie.
    """

    def __init__(self, header: onnx.TensorProto, source: Source, offset: int):
        super().__init__(header.dims, dtype_of(header), stored_size(header))
        self.header, self.source, self.offset = header, source, offset

    def load(self) -> Array:
        if self.header.data_type in SUB_BYTE:
            return _frozen(numpy_helper.to_array(self._in_memory()))
        if not self.nbytes:
            return _frozen(np.empty(self.shape, self.dtype))
        array = np.empty(self.shape, self.dtype)
        self.source.read_into(array.reshape(-1).view(np.uint8).data, self.offset)
        return _frozen(array)

    def _in_memory(self) -> onnx.TensorProto:
        proto = onnx.TensorProto(dims=self.shape, data_type=self.header.data_type)
        proto.raw_data = self.source[self.offset : self.offset + self.nbytes]
        return proto


class Absent(Value):
    """A value whose file is missing; dtype, shape and the place where it should lie are known.

    Args:
        header: the tensor without its data.
        problem: what is missing, which an attempt to read it says.
    """

    def __init__(self, header: onnx.TensorProto, problem: str):
        super().__init__(header.dims, dtype_of(header), packed_size(header.dims, header.data_type))
        self.problem = problem
        self.place = tuple((entry.key, entry.value) for entry in header.external_data)

    def load(self) -> Array:
        raise ModelError(self.problem)


class Held(Value):
    """A small value, kept as the tensor it came in."""

    def __init__(self, proto: onnx.TensorProto):
        super().__init__(proto.dims, dtype_of(proto), stored_size(proto))
        self.proto = proto

    @functools.cached_property
    def _array(self) -> Array:
        raw = self.proto.raw_data
        if len(raw) == self.nbytes and self.proto.data_type not in SUB_BYTE and raw and sys.byteorder == "little":
            return np.frombuffer(raw, self.dtype).reshape(self.shape)  # as `to_array` does, in a tenth of the time
        try:
            return _frozen(numpy_helper.to_array(self.proto))
        except UnicodeDecodeError as error:
            raise ModelError(f"tensor '{self.proto.name}': a text in it is not UTF-8: {error.object!r}") from error

    def load(self) -> Array:
        return self._array


class Raw(Held):
    """A small value, kept as its little-endian bytes; it has none of the parts of a tensor beside them.

    Args:
        code: the ONNX data type, not of strings, nor of several elements to a byte.
    """

    def __init__(self, shape: Sequence[int], dtype: np.dtype[Any], code: int, raw: bytes):
        Value.__init__(self, shape, dtype, len(raw))
        self.code, self.raw = code, raw

    @property
    def proto(self) -> onnx.TensorProto:  # type: ignore[override]
        return onnx.TensorProto(dims=self.shape, data_type=self.code, raw_data=self.raw)

    @functools.cached_property
    def _array(self) -> Array:
        if self.raw and sys.byteorder == "little":
            return np.frombuffer(self.raw, self.dtype).reshape(self.shape)
        return _frozen(numpy_helper.to_array(self.proto))


class Derived(Value):
    """A value computed from other values when it is needed, and not kept.

    Args:
        inputs: what `compute` takes, in order: values or arrays.
        compute: from arrays to the array; must be pure. Its result has `shape` and `dtype`.
    """

    def __init__(
        self,
        inputs: Sequence[Value | Array],
        compute: Callable[..., Array],
        shape: Sequence[int],
        dtype: np.dtype[Any] | type,
    ):
        dtype = np.dtype(dtype)
        super().__init__(shape, dtype, packed_size(shape, helper.np_dtype_to_tensor_dtype(dtype)))
        self.inputs, self.compute = list(inputs), compute

    def load(self) -> Array:
        result = np.asarray(self.compute(*(i.load() if isinstance(i, Value) else i for i in self.inputs)))
        if result.shape != self.shape or result.dtype != self.dtype:
            raise ModelError(
                f"a derived weight came out as {result.dtype}{list(result.shape)}, "
                f"promised was {self.dtype}{list(self.shape)}"
            )
        return _frozen(result.view())

    def release(self) -> None:
        for value in self.inputs:
            if isinstance(value, Value):
                value.release()


class Sparse(Value):
    """A sparse initializer, kept as the message it came in; `load()` gives the dense array."""

    def __init__(self, proto: onnx.SparseTensorProto):
        super().__init__(proto.dims, dtype_of(proto.values), stored_size(proto.values) + stored_size(proto.indices))
        self.tensor = proto

    def load(self) -> Array:
        dense = np.zeros(self.shape, self.dtype)
        try:
            indices, values = map(numpy_helper.to_array, (self.tensor.indices, self.tensor.values))
            if indices.ndim == 1:
                dense.reshape(-1)[indices] = values
            else:
                dense[tuple(indices.T)] = values
        except (IndexError, ValueError) as error:
            raise ModelError(f"the sparse initializer '{self.tensor.values.name}' is damaged: {error}") from error
        return _frozen(dense)


def dtype_of(proto: onnx.TensorProto) -> np.dtype[Any]:
    """The numpy (or ml_dtypes) dtype of a tensor.

    Raises:
        ModelError: the tensor's data type is none that ONNX has.
    """
    return dtype_from_onnx(proto.data_type, f"tensor '{proto.name}'")


@functools.cache
def dtype_from_onnx(code: int, where: str = "a tensor") -> np.dtype[Any]:
    """The numpy (or ml_dtypes) dtype of an ONNX data type."""
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(code))
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{where}: data type {code} is unknown to onnx {onnx.__version__}") from error


def code_of(dtype: Any) -> int:
    """The ONNX data type of a dtype of numpy or ml_dtypes; one that is a number already stays."""
    return dtype if isinstance(dtype, int) else int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def is_float(dtype: Any) -> bool:
    """Whether `dtype` is one that operators compute in: half, bfloat16, single or double precision."""
    return code_of(dtype) in _FLOATS


_FLOATS = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def packed_size(shape: Sequence[int], code: int) -> int:
    """Bytes of a tensor of ONNX data type `code`, packed as `raw_data` is."""
    count = math.prod(shape)
    if code in SUB_BYTE:
        return -(-count * SUB_BYTE[code] // 8)
    return 0 if code == onnx.TensorProto.STRING else count * dtype_from_onnx(code).itemsize


def stored_size(proto: onnx.TensorProto) -> int:
    """Bytes of the tensor's values; for strings their total length."""
    return sum(map(len, proto.string_data)) or packed_size(proto.dims, proto.data_type)


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array
