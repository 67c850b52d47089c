"""Bytes into files: a file replaced at once or not at all, values streamed into it.

What is being written has a name of its own, `.NAME.*.partial`, beside the destination, and is locked by whoever writes
it. What nobody locks is left of a process that died, and the next one that writes to the same place removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from regraft.errors import ModelError
from regraft.interrupt import cleaning
from regraft.ir.weights import Array, Stored, Value, packed_size
from regraft.outside import kind_of_file

_CHUNK = 1 << 20
_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # the file system, not the disk
_CANNOT_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_PARTIAL = ".partial"


def real_path(path: Path) -> Path:
    """Where what is written to `path` goes: the end of its links, so that a link stays a link.

    Raises:
        ModelError: the links go round; or what is there is no plain file.
    """
    try:
        real = path.resolve(strict=False)
        kind = kind_of_file(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
    if kind:
        raise ModelError(f"cannot write {path}: it is {kind}; name a file")
    if not real.parent.is_dir():
        raise ModelError(f"cannot write {path}: there is no folder {path.parent}")
    return real


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Put `data` at `path`, at once or not at all. Raises ModelError where that cannot be."""
    real = real_path(path)
    try:
        with replacing(real) as file:
            write(file, data)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[int]:
    """A file that takes the place of the one at `path` when all is written, and vanishes on an error."""
    with partial(path) as (file, name):
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(file, path.stat().st_mode)
        yield file
        os.fsync(file)
        os.replace(name, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def partial(path: Path) -> Iterator[tuple[int, Path]]:
    """A new file to write what goes to `path`, and its name; it is gone at the end, unless it was renamed."""
    remove_stale(path)
    with cleaning():
        file, name = _create(path)
        try:
            yield file, name
        finally:
            name.unlink(missing_ok=True)
            os.close(file)


@contextlib.contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, gone at the end."""
    remove_stale(path)
    with cleaning():
        while True:
            name = _name(path)
            name.mkdir(0o755)
            folder = _opened(name, os.O_RDONLY)
            if folder is not None:
                break
        try:
            yield name
        finally:
            shutil.rmtree(name, ignore_errors=True)
            os.close(folder)


def _create(path: Path) -> tuple[int, Path]:
    while True:
        name = _name(path)
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # as the umask has it
        file = _opened(name, os.O_RDWR)
        if file is not None:
            return file, name


def _name(path: Path) -> Path:
    ending = f".{secrets.token_hex(4)}{_PARTIAL}"
    return path.with_name(f".{path.name}"[: 255 - len(ending)] + ending)


def _opened(name: Path, flags: int) -> int | None:
    """A locked descriptor of `name`; None where somebody took it for stale before it was locked."""
    try:
        file = os.open(name, flags | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # a file system without locks: then nothing of it is taken for stale
        fcntl.flock(file, fcntl.LOCK_EX)
    if os.fstat(file).st_nlink:
        return file
    os.close(file)
    return None


def remove_stale(path: Path) -> None:
    """Remove what processes that died have left beside `path`."""
    ours = f".{path.name}"[: 255 - len(_PARTIAL) - 9]
    try:
        found = [entry for entry in os.scandir(path.parent) if entry.name.endswith(_PARTIAL)]
    except OSError:
        return  # whoever writes there will say why it cannot
    for entry in found:
        if entry.name[: -len(_PARTIAL) - 9] != ours:
            continue
        try:
            file = os.open(entry.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError:
            continue  # gone meanwhile, or another user's
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
        except OSError:
            continue  # somebody writes it, or it cannot be known
        finally:
            os.close(file)


def settle(file: int, name: Path, wanted: Iterator[Path]) -> Path:
    """Give the file that was written the first of the `wanted` names that is free, overwriting nothing."""
    os.fsync(file)
    for place in wanted:
        try:
            os.link(name, place)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            try:
                os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                continue
            os.replace(name, place)
        sync_folder(place.parent)
        return place
    raise AssertionError("the names do not end")


def take_place(new: Path, folder: Path) -> None:
    """Let the folder `new` take the place of the one at `folder`, which comes to stand at `new`, if there is one."""
    if not folder.exists():
        new.rename(folder)
    elif not _exchange(new, folder):
        old = new.with_name("old")
        folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if not folder.exists():
                old.rename(folder)
            raise
    sync_folder(folder.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders change places at once, so that there is always one; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0)


def sync_folder(folder: Path) -> None:
    """Bring the names in `folder` to the disk, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


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
        value.source.check()
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
