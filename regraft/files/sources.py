"""Where the values of a model's tensors come from: the message itself, or a file in the model's folder."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import helper

from regraft.errors import ModelError
from regraft.files.wire import INLINE
from regraft.ir.weights import SUB_BYTE, Absent, Held, Source, Stored, Value, dtype_of, packed_size, stored_size
from regraft.outside import whole
from regraft.wording import count


class MissingError(ModelError):
    """A file of weights that is not there."""


class Sources:
    """Opens the files that a model's tensors refer to, each once, and none outside the model's folder.

    Args:
        absent: take the weights of a file that is missing as values that cannot be read.
    """

    def __init__(self, path: Path | None, inline: Source | None = None, absent: bool = False):
        self._absent = absent
        self.folder = path.parent if path else None
        self._link = path.resolve().parent if path and path.is_symlink() else None
        self._inline = inline
        self._open: dict[str, Source] = {}

    def value(self, proto: onnx.TensorProto) -> Value:
        """The value of a tensor as it stands in a header.

        Raises:
            ModelError: the external file is missing, too short, or outside the model's folder; the size does not fit.
        """
        where = f"tensor '{proto.name}'"
        if proto.data_location != onnx.TensorProto.EXTERNAL:
            _check_held(proto, where)
            return Held(proto)
        entries = {entry.key: entry.value for entry in proto.external_data}
        try:
            source = self._source(entries.get("location", ""), where)
        except MissingError as error:
            if not self._absent:
                raise
            return Absent(proto, str(error))
        offset = whole(entries.get("offset", "0"), f"{where}: external data has offset")
        length = whole(entries.get("length", "0"), f"{where}: external data has length") or stored_size(proto)
        if length != stored_size(proto):
            raise ModelError(
                f"{where}: {count(length, 'byte')} stored, its shape {list(proto.dims)} takes {stored_size(proto):,}"
            )
        if offset + length > source.size:
            raise ModelError(
                f"{where}: {source.path} is truncated: {count(source.size, 'byte')}, "
                f"needed up to byte {offset + length:,}"
            )
        header = onnx.TensorProto()
        header.CopyFrom(proto)
        header.ClearField("external_data")
        header.ClearField("data_location")
        return Stored(header, source, offset)

    def _source(self, location: str, where: str) -> Source:
        if location == INLINE and self._inline is not None:
            return self._inline
        if location not in self._open:
            if self.folder is None:
                raise ModelError(f"{where}: external data '{location}' of a model that has no folder")
            path = self.folder / location
            try:
                if self._link and not path.exists():  # its model was written through the link
                    path = self._link / location
                homes = [folder.resolve() for folder in (self.folder, self._link) if folder]
                inside = location and any(path.resolve().is_relative_to(home) for home in homes)
                found = path.is_file()
            except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a zero byte
                raise ModelError(f"{where}: external data {location!r} is no path: {error}") from error
            if not inside:
                raise ModelError(
                    f"{where}: external data '{location}' lies outside the model's folder {self.folder}; "
                    "move it beside the model"
                )
            if not found:
                raise MissingError(f"{where}: external data file {path} is missing; put it beside the model")
            self._open[location] = Source(path)
        return self._open[location]


def _check_held(proto: onnx.TensorProto, where: str) -> None:
    """Whether the values in the message are as many as its shape says."""
    shape = list(proto.dims)
    if proto.HasField("raw_data"):
        found, needed, unit = len(proto.raw_data), stored_size(proto), "bytes"
    else:
        found, needed, unit = _entries(proto), math.prod(shape), "values"
        if SUB_BYTE.get(proto.data_type) in (2, 4):  # six bits have an entry of their own
            needed = packed_size(shape, proto.data_type)
        elif proto.data_type in (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
            needed *= 2
    if found != needed or any(dim < 0 for dim in shape):
        raise ModelError(f"{where}: has {found} {unit}, its shape {shape} takes {needed}")


def _entries(proto: onnx.TensorProto) -> int:
    dtype_of(proto)
    return len(getattr(proto, helper.tensor_dtype_to_field(proto.data_type)))
