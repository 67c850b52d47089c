"""Write a model, its weights streamed from where they lie to where they go.

Unchanged bytes are copied file to file by the kernel; derived weights are computed one at a time. All is written to a
temporary file beside the destination, which replaces it at the end: a crash or a full disk leaves the old file as it
was.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from regraft import wire
from regraft.convert import export
from regraft.errors import ModelError
from regraft.model import Model
from regraft.weights import Array, Source, Stored, Value, packed_size

Layout = Literal["auto", "inline", "external", "reference"]
LAYOUTS: tuple[Layout, ...] = ("auto", "inline", "external", "reference")

INLINE_LIMIT = 2**31 - 1
"""Bytes of the largest message that protobuf parses."""

_PAGE = 4096  # external data at multiples of it can be memory-mapped (onnx.proto, external_data)
_CHUNK = 1 << 20
_CANNOT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # the file system, not the disk


def save(model: Model, path: str | os.PathLike[str], layout: Layout = "auto") -> Path:
    """Write `model` to `path`; the file may be the one its weights come from.

    Args:
        layout: where the weights go.
            "inline": into the file itself, up to 2 GB.
            "external": into one file beside it, `<name>.data`.
            "reference": they stay where they are; the source must lie in the folder of `path`, or below. Weights that
            changed go to `<name>.data`.
            "auto": inline if it fits, else external.

    Raises:
        ModelError: the layout is impossible, or the disk refuses; what was at `path` is still there.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise ModelError(f"no layout named '{layout}'; known: {', '.join(LAYOUTS)}")
    if path.is_dir():
        raise ModelError(f"cannot write {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise ModelError(f"cannot write {path}: there is no folder {path.parent}")
    proto, values = export(model)
    try:
        if layout == "inline" or (layout == "auto" and _inline_size(proto, values) <= INLINE_LIMIT):
            _save_inline(proto, values, path)
        else:
            _save_external(proto, values, path, refer=layout == "reference")
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    return path


def _inline_size(proto: onnx.ModelProto, values: list[Value | Array]) -> int:
    return proto.ByteSize() + sum(_size(v) for v in values)


def _size(value: Value | Array) -> int:
    if isinstance(value, Value):
        return value.nbytes
    return packed_size(value.shape, helper.np_dtype_to_tensor_dtype(value.dtype))


def _save_inline(proto: onnx.ModelProto, values: list[Value | Array], path: Path) -> None:
    size = _inline_size(proto, values)
    if size > INLINE_LIMIT:
        raise ModelError(f"{path}: {size / 2**30:.1f} GiB do not fit an inline file (2 GiB); use layout 'external'")
    with _replacing(path) as file:
        for piece in wire.splice(proto.SerializeToString(), [_size(v) for v in values]):
            if isinstance(piece, wire.Slot):
                _write_value(file, values[piece.index])
            else:
                _write(file, piece)


def _save_external(proto: onnx.ModelProto, values: list[Value | Array], path: Path, refer: bool) -> None:
    old = _own_data(path)
    data = next(p for p in _data_names(path) if not p.exists())  # what is at `path` may read the others until the end
    moved = []
    for tensor, value in large_tensors(proto, values):
        del tensor.external_data[:]
        if refer and isinstance(value, Stored):
            _refer(tensor, _location(value, path), value.offset, value.nbytes)
        else:
            moved.append((tensor, value))
    try:
        if moved:
            with _replacing(data) as file:
                _write_data(file, moved, data.name)
        with _replacing(path) as file:
            _write(file, proto.SerializeToString())
    except BaseException:
        data.unlink(missing_ok=True)
        raise
    for stale in old - _own_data(path):
        stale.unlink()


def _write_data(file: int, moved: list[tuple[onnx.TensorProto, Value | Array]], name: str) -> None:
    offsets: dict[int, int] = {}  # a value that two tensors share is written once
    end = 0
    for tensor, value in moved:
        if id(value) not in offsets:
            offsets[id(value)] = os.lseek(file, -(-end // _PAGE) * _PAGE, os.SEEK_SET)
            end = offsets[id(value)] + _size(value)
            _write_value(file, value)
        _refer(tensor, name, offsets[id(value)], _size(value))


def _data_names(path: Path) -> Iterator[Path]:
    """`model.onnx.data`, then `model.onnx.1.data` and so on."""
    yield path.with_name(path.name + ".data")
    yield from (path.with_name(f"{path.name}.{n}.data") for n in itertools.count(1))


def _own_data(path: Path) -> set[Path]:
    """The data files that an earlier save wrote beside the model at `path`, and that it still reads."""
    written = set(itertools.takewhile(Path.exists, _data_names(path)))
    if not written or not path.exists():
        return set()
    try:
        source = Source(path)
        proto = onnx.ModelProto.FromString(wire.strip(source.map))
    except (ModelError, DecodeError):
        return set()  # not a model: nothing of ours
    read = {path.with_name(e.value) for t in _tensors(proto) for e in t.external_data if e.key == "location"}
    return written & read


def _location(value: Stored, path: Path) -> str:
    source = value.source.path.resolve()
    if source == path.resolve() or not source.is_relative_to(path.parent.resolve()):
        raise ModelError(
            f"layout 'reference': the weights stay in {source}, so the model must be another file "
            f"in that folder, not {path}; or use layout 'external'"
        )
    if not value.source.is_current():
        raise ModelError(f"layout 'reference': {source} was replaced since it was read; use layout 'external'")
    return source.relative_to(path.parent.resolve()).as_posix()


def _refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    for key, text in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=text)


def large_tensors(
    proto: onnx.ModelProto, values: list[Value | Array]
) -> Iterator[tuple[onnx.TensorProto, Value | Array]]:
    """Each tensor whose value the header of `convert.export` leaves out, with that value."""
    for tensor in _tensors(proto):
        index = wire.slot(tensor)
        if index is not None:
            yield tensor, values[index]


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every dense tensor that can be large: initializers and attributes, also in subgraphs and functions."""
    stack: list[Any] = [proto.graph, *proto.functions]
    while stack:
        graph = stack.pop()
        yield from getattr(graph, "initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    yield attribute.t
                elif attribute.type == onnx.AttributeProto.GRAPH:
                    stack.append(attribute.g)
                elif attribute.type in (onnx.AttributeProto.TENSORS, onnx.AttributeProto.GRAPHS):
                    yield from attribute.tensors
                    stack.extend(attribute.graphs)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[int]:
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


def _write_value(file: int, value: Value | Array) -> None:
    if isinstance(value, Stored):
        _copy(value.source.fd, value.offset, value.nbytes, file)
        return
    array = value.load() if isinstance(value, Value) else value
    if packed_size(array.shape, helper.np_dtype_to_tensor_dtype(array.dtype)) != array.nbytes:
        _write(file, numpy_helper.from_array(array).raw_data)  # several elements a byte
    else:
        _write(file, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    if isinstance(value, Value):
        value.release()


def _write(file: int, data: bytes | memoryview) -> None:
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
        _write(file, chunk)
        offset, count = offset + len(chunk), count - len(chunk)
