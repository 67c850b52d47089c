"""Twins of a model: the same graph, with wider numbers. ONNX Runtime's CPU kernels compute half precision in float32
and round where a value leaves a run of nodes. So the same operators round at other places when a node between them is
removed, which hides a change of a weight by a few ulps. The twins of two models round equally and finely, which shows
their real difference. A twin in float64 shows the effect of a model's own rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from regraft.files.convert import export, from_proto
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.ir.weights import Array, Derived, Value

_NAMES = ("float16", "bfloat16")
_DTYPES = ("to", "dtype", "output_dtype", "stash_type")
"""Attributes that name a dtype."""


def is_half(model: Model) -> bool:
    """Whether a value of the model is in half precision."""
    return any(
        getattr(t.dtype, "name", "") in _NAMES
        for m in model.sides
        for node in m.nodes()
        for t in (*node.inputs, *node.outputs)
    )


def float32_twin(model: Model) -> Model:
    """A copy of `model` that computes in float32 what it computes in half precision; weights are widened when read."""
    return _twin(model, _SINGLE)


def float64_twin(model: Model) -> Model:
    """A copy of `model` that computes in float64 what it computes in less."""
    return _twin(model, _DOUBLE)


def widened(inputs: dict[str, Any], names: Collection[str] = _NAMES, to: Any = np.float32) -> dict[str, Any]:
    """Inputs as the twin takes them."""
    return {
        name: value.astype(to) if isinstance(value, np.ndarray) and value.dtype.name in names else value
        for name, value in inputs.items()
    }


def widened_to_double(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs as the twin in float64 takes them."""
    return widened(inputs, _DOUBLE.names, _DOUBLE.dtype)


class _Width(NamedTuple):
    """What is widened, and to what."""

    names: tuple[str, ...]
    codes: tuple[int, ...]
    dtype: np.dtype[Any]
    code: int


_SINGLE = _Width(_NAMES, (TensorProto.FLOAT16, TensorProto.BFLOAT16), np.dtype(np.float32), TensorProto.FLOAT)
_DOUBLE = _Width((*_NAMES, "float32"), (*_SINGLE.codes, TensorProto.FLOAT), np.dtype(np.float64), TensorProto.DOUBLE)


def _twin(model: Model, width: _Width) -> Model:
    proto, values = export(model.device)
    twin = from_proto(_widened(proto, width), model.path, [_wide(value, width) for value in values])
    if model.host is not None:
        outputs = [tensor.copy() for tensor in model.host.outputs]
        for tensor in outputs:
            if getattr(tensor.dtype, "name", "") in width.names:
                tensor.dtype = width.dtype
        twin.host = Host(_twin(model.host.model, width), dict(model.host.feeds), outputs)
    return twin


def _wide(value: Value | Array, width: _Width) -> Value | Array:
    if getattr(value.dtype, "name", "") not in width.names:
        return value
    if isinstance(value, Value):
        return Derived([value], lambda array: array.astype(width.dtype), value.shape, width.dtype)
    return value.astype(width.dtype)


def _widened(proto: onnx.ModelProto, width: _Width) -> onnx.ModelProto:
    for message in _messages(proto):
        if isinstance(message, onnx.TensorProto) and message.data_type in width.codes:
            if message.data_location == TensorProto.EXTERNAL:
                message.data_type = width.code
            else:
                message.CopyFrom(
                    numpy_helper.from_array(numpy_helper.to_array(message).astype(width.dtype), message.name)
                )
        elif isinstance(message, onnx.TypeProto.Tensor) and message.elem_type in width.codes:
            message.elem_type = width.code
        elif isinstance(message, onnx.AttributeProto) and message.name in _DTYPES and message.i in width.codes:
            message.i = width.code
    return proto


def graphs(root: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """`root` and every graph inside it."""
    stack = [root]
    while stack:
        current = stack.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                stack += [attribute.g] if attribute.HasField("g") else []
                stack += attribute.graphs


def _messages(message: Any) -> Iterator[Any]:
    """Every message inside `message`, itself included."""
    stack = [message]
    while stack:
        current = stack.pop()
        yield current
        for field, value in current.ListFields():
            if field.type == field.TYPE_MESSAGE:
                stack += value if hasattr(value, "add") else [value]
