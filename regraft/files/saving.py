"""Write a model, its weights streamed from where they lie to where they go.

Unchanged bytes are copied file to file by the kernel; derived weights are computed one at a time. All is written to a
temporary file beside the destination, which replaces it at the end: a crash or a full disk leaves the old file as it
was.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from regraft.errors import ModelError
from regraft.files import wire
from regraft.files.convert import export
from regraft.files.stream import partial, real_path, replacing, settle, write, write_value
from regraft.ir.gc_pause import paused
from regraft.ir.model import Model
from regraft.ir.weights import Array, Source, Stored, Value, packed_size

Layout = Literal["auto", "inline", "external", "reference"]
LAYOUTS: tuple[Layout, ...] = ("auto", "inline", "external", "reference")

INLINE_LIMIT = 2**31 - 1
"""Bytes of the largest message that protobuf parses."""

_PAGE = 4096  # external data at multiples of it can be memory-mapped (onnx.proto, external_data)


Places = dict[int, tuple[str, int]]
"""Where values lie, by their `id`: a file in the folder of a model, and the offset in it."""


def save(model: Model, path: str | os.PathLike[str], layout: Layout = "auto") -> Path:
    """Write `model` to `path`; the file may be the one its weights come from.

    Args:
        layout: where the weights go.
            "inline": into the file itself, up to 2 GB.
            "external": into one file beside it, `<name>.data`.
            "reference": they stay where they are; the source must lie in the folder of `path`, or below. Weights that
            changed go to `<name>.data`.
            "auto": inline if it fits, else external.
            The data file of a model that is replaced goes with it, unless another model refers to it.

    Raises:
        ModelError: the layout is impossible, or the disk refuses; what was at `path` is still there.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise ModelError(f"no layout named '{layout}'; known: {', '.join(LAYOUTS)}")
    if model.host is not None:
        raise ModelError(
            f"cannot write {path}: part of the model runs on the host; "
            f"name a folder, for a bundle: {path.with_suffix('')}"
        )
    return save_sharing(model, path, layout, {})


@paused()
def save_sharing(model: Model, path: Path, layout: Layout, places: Places) -> Path:
    """Like `save`, but values that `places` has stay there; those that go to a data file are put into it.

    A model that shares values with another in its folder has external data, whatever the layout.
    """
    said, path = path, real_path(path)
    proto, values = export(model)
    try:
        old = _own_data(path)
        shares = any(id(value) in places for value in values)
        header = proto.SerializeToString()
        size = len(header) + sum(map(_size, values))
        if not shares and (layout == "inline" or (layout == "auto" and size <= INLINE_LIMIT)):
            _save_inline(header, values, size, path)
        else:
            _save_external(proto, values, path, layout == "reference", places)
    except OSError as error:
        raise ModelError(f"cannot write {said}: {error.strerror or error}; nothing was changed") from error
    except ModelError as error:
        raise ModelError(f"cannot write {said}: {error}") from error
    for stale in _unused(old, path):
        stale.unlink(missing_ok=True)
    return said


def to_proto(model: Model) -> onnx.ModelProto:
    """The model as a message with every weight in it.

    Raises:
        ModelError: it would be larger than the 2 GiB that protobuf writes, or part of it runs on the host.
    """
    if model.host is not None:
        raise ModelError("part of the model runs on the host: take its device, or write a bundle")
    proto, values = export(model)
    size = proto.ByteSize() + sum(map(_size, values))
    if size > INLINE_LIMIT:
        raise ModelError(f"{size / 2**30:.1f} GiB do not fit a ModelProto (2 GiB); save the model to a file")
    for tensor, value in large_tensors(proto, values):
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        array = value.load() if isinstance(value, Value) else value
        tensor.raw_data = numpy_helper.from_array(array).raw_data
    return proto


def _size(value: Value | Array) -> int:
    if isinstance(value, Value):
        return value.nbytes
    return packed_size(value.shape, helper.np_dtype_to_tensor_dtype(value.dtype))


def _save_inline(header: bytes, values: list[Value | Array], size: int, path: Path) -> None:
    if size > INLINE_LIMIT:
        raise ModelError(f"{size / 2**30:.1f} GiB do not fit an inline file (2 GiB); use layout 'external'")
    with replacing(path) as file:
        for piece in wire.splice(header, [_size(v) for v in values]):
            if isinstance(piece, wire.Slot):
                write_value(file, values[piece.index], piece.name)
            else:
                write(file, piece)


def _save_external(
    proto: onnx.ModelProto, values: list[Value | Array], path: Path, refer: bool, places: Places
) -> None:
    moved = []
    for tensor, value in large_tensors(proto, values):
        del tensor.external_data[:]
        if id(value) in places:
            _refer(tensor, *places[id(value)], _size(value))
        elif refer and isinstance(value, Stored):
            _refer(tensor, _location(value, path), value.offset, value.nbytes)
        else:
            moved.append((tensor, value))
    data = _write_data(path, moved, places) if moved else None
    try:
        for tensor, value in moved:
            _refer(tensor, *places[id(value)], _size(value))
        with replacing(path) as file:
            write(file, proto.SerializeToString())
    except BaseException:
        if data is not None:
            data.unlink(missing_ok=True)
        raise


def _write_data(path: Path, moved: list[tuple[onnx.TensorProto, Value | Array]], places: Places) -> Path:
    """The new data file of the model at `path`; where its values lie is put into `places`.

    Its name is free when all is written: what is at `path` may read the others, and another may write there too.
    """
    end, offsets = 0, {}
    with partial(path) as (file, name):
        for tensor, value in moved:
            if id(value) not in offsets:  # a value that two tensors share is written once
                offsets[id(value)] = os.lseek(file, -(-end // _PAGE) * _PAGE, os.SEEK_SET)
                end = offsets[id(value)] + _size(value)
                write_value(file, value, tensor.name)
        data = settle(file, name, _data_names(path))
    places.update({number: (data.name, offset) for number, offset in offsets.items()})
    return data


def _data_names(path: Path) -> Iterator[Path]:
    """`model.onnx.data`, then `model.onnx.1.data` and so on."""
    yield path.with_name(path.name + ".data")
    yield from (path.with_name(f"{path.name}.{n}.data") for n in itertools.count(1))


def _own_data(path: Path) -> set[Path]:
    """The data files that an earlier save wrote beside the model at `path`, and that it still reads."""
    name = re.compile(re.escape(path.name) + r"(\.\d+)?\.data")
    if not path.exists() or not any(name.fullmatch(p.name) for p in path.parent.iterdir()):
        return set()
    return {path.with_name(location) for location in _locations(path) if name.fullmatch(location)}


def _unused(old: set[Path], path: Path) -> set[Path]:
    """Those of `old` that no model refers to, neither the one at `path` nor another in its folder or above."""
    if not old:
        return old
    used: set[Path] = set()
    for folder in (path.parent, *path.parent.parents):
        with contextlib.suppress(OSError):
            for entry in sorted(folder.iterdir()):
                if entry.is_file() and (
                    entry.suffix == ".onnx" or (folder == path.parent and wire.begins_as_model(entry))
                ):
                    used.update((folder / location).resolve() for location in _locations(entry))
    return {file for file in old if file.resolve() not in used}


def _locations(path: Path) -> set[str]:
    """The data files that the model at `path` refers to; none where no model is there."""
    try:
        proto = onnx.ModelProto.FromString(wire.strip(Source(path)))
    except (ModelError, DecodeError):
        return set()
    return {e.value for t in _tensors(proto) for e in t.external_data if e.key == "location" and "\0" not in e.value}


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
