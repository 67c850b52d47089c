"""Give ONNX Runtime a model in memory without copying its weights.

A weight in a file becomes external data of that file, which ONNX Runtime maps. A computed one, or one at an address
that is not aligned for its dtype, is passed as an array.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import helper, numpy_helper

from regraft.files.convert import Header, export
from regraft.files.saving import INLINE_LIMIT, large_tensors
from regraft.ir.model import Model
from regraft.ir.weights import Array, Stored, Value, packed_size

_FOLDER = "session.model_external_initializers_file_folder_path"


class Change(Protocol):
    """A change of weights for one session only."""

    names: Collection[str]

    def __call__(self, name: str, array: Array) -> Array: ...


def bind_initializers(
    model: Model,
    options: Any,
    ort_value: Callable[[Array], Any],
    change: Change | None = None,
    header: Header | None = None,
) -> tuple[onnx.ModelProto, list[Any]] | None:
    """The header of `model`, and in `options` (ONNX Runtime's session options) what it needs to find the weights.

    Args:
        ort_value: makes an array a value of ONNX Runtime, without a copy.
        change: of the initializers that it names.
        header: of `model`, if it was exported already; not changed.

    Returns:
        A header, and the values that must live as long as the session; None where the weights do not fit a header
        and must be written to a file.
    """
    shared, values = header or export(model)
    proto = onnx.ModelProto()
    proto.CopyFrom(shared)
    unread = {constant.name for constant in model.graph.unused}  # ONNX Runtime drops these before it receives them
    initializers = {id(tensor): tensor for tensor in proto.graph.initializer if tensor.name not in unread}
    given: dict[str, Any] = {}
    changed = set(change.names).intersection(t.name for t in initializers.values()) if change else set()
    large = list(large_tensors(proto, values))
    if change:
        for tensor in proto.graph.initializer:
            if tensor.name in changed and tensor.data_location != onnx.TensorProto.EXTERNAL:
                array = change(tensor.name, numpy_helper.to_array(tensor))
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    room = INLINE_LIMIT - proto.ByteSize()
    for tensor, value in large:
        if change and tensor.name in changed and initializers.get(id(tensor)) is tensor:
            given[tensor.name] = ort_value(np.asarray(change(tensor.name, _load(value)), order="C"))
        elif isinstance(value, Stored) and _is_mappable(value):
            _refer(tensor, value)
        elif initializers.get(id(tensor)) is tensor and not _is_packed(value):
            given[tensor.name] = ort_value(np.asarray(_load(value), order="C"))
        elif (room := room - value.nbytes) > 0:
            _embed(tensor, _load(value))
        else:
            return None
    options.add_session_config_entry(_FOLDER, os.sep)
    if given:
        options.add_external_initializers(list(given), list(given.values()))
    return proto, list(given.values())


def _is_mappable(value: Stored) -> bool:
    """Whether ONNX Runtime, which opens files by name, finds the value there, at an address aligned for its dtype."""
    return os.name == "posix" and value.source.is_current() and value.offset % value.dtype.itemsize == 0


def _is_packed(value: Value | Array) -> bool:
    """Whether several elements share a byte."""
    code = helper.np_dtype_to_tensor_dtype(value.dtype)
    return packed_size(value.shape, code) < math.prod(value.shape) * value.dtype.itemsize


def _load(value: Value | Array) -> Array:
    return value.load() if isinstance(value, Value) else value


def _refer(tensor: onnx.TensorProto, value: Stored) -> None:
    del tensor.external_data[:]
    path = os.path.relpath(value.source.path.resolve(), os.sep)
    for key, text in (("location", path), ("offset", value.offset), ("length", value.nbytes)):
        tensor.external_data.add(key=key, value=str(text))


def _embed(tensor: onnx.TensorProto, array: Array) -> None:
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = numpy_helper.from_array(array).raw_data
