"""Bytes into files: a file replaced at once or not at all, values streamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from regraft.errors import ModelError
from regraft.ir.weights import Array, Stored, Value, packed_size

_CHUNK = 1 << 20
_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # the file system, not the disk


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[int]:
    """A file that takes the place of the one at `path` when all is written, and vanishes on an error."""
    path = path.resolve()  # a link stays a link
    file, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(file, path.stat().st_mode)
        if not path.exists():
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(file, 0o666 & ~umask)
        yield file
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    finally:
        os.close(file)


def write_value(file: int, value: Value | Array, name: str) -> None:
    """Append the bytes of `value`, of the tensor called `name`.

    Raises:
        ModelError: the value cannot be computed or read.
        OSError: the disk refuses.
    """
    try:
        _write_value(file, value)
    except ModelError as error:
        raise ModelError(f"tensor '{name}': {error}") from error


def _write_value(file: int, value: Value | Array) -> None:
    if isinstance(value, Stored):
        _copy(value.source.fd, value.offset, value.nbytes, file)
        return
    array = value.load() if isinstance(value, Value) else value
    if packed_size(array.shape, helper.np_dtype_to_tensor_dtype(array.dtype)) != array.nbytes:
        write(file, numpy_helper.from_array(array).raw_data)  # several elements a byte
    else:
        write(file, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    if isinstance(value, Value):
        value.release()


def write(file: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _copy(source: int, offset: int, count: int, file: int) -> None:
    if hasattr(os, "copy_file_range"):
        try:
            while count:
                copied = os.copy_file_range(source, file, count, offset)
                if not copied:
                    break
                offset, count = offset + copied, count - copied
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
    while count:
        chunk = os.pread(source, min(count, _CHUNK), offset)
        if not chunk:
            raise ModelError(f"the file of the weights became shorter while it was read, at byte {offset}")
        write(file, chunk)
        offset, count = offset + len(chunk), count - len(chunk)
