"""The float32 twin of a model in half precision: the same graph, with wider numbers.

ONNX Runtime's CPU kernels compute half precision in float32 and round where a value leaves a run of nodes, so that the
same operators round elsewhere when a node between them goes, and a change of a weight by a few ulps drowns. The twins
of two models round alike and finely: what the models compute shows there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from regraft.files.convert import export, from_proto
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.ir.weights import Array, Derived, Value

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_NAMES = ("float16", "bfloat16")
_DTYPES = ("to", "dtype", "output_dtype", "stash_type")
"""Attributes that name a dtype."""


def is_half(model: Model) -> bool:
    """Whether a value of the model is in half precision."""
    sides = (model, model.host.model) if model.host else (model,)
    return any(
        getattr(t.dtype, "name", "") in _NAMES
        for m in sides
        for node in m.nodes()
        for t in (*node.inputs, *node.outputs)
    )


def float32_twin(model: Model) -> Model:
    """A copy of `model` that computes in float32 what it computes in half precision; weights are widened when read."""
    proto, values = export(model.device)
    twin = from_proto(_widened(proto), model.path, [_wide(value) for value in values])
    if model.host is not None:
        outputs = [tensor.copy() for tensor in model.host.outputs]
        for tensor in outputs:
            if getattr(tensor.dtype, "name", "") in _NAMES:
                tensor.dtype = np.dtype(np.float32)
        twin.host = Host(float32_twin(model.host.model), dict(model.host.feeds), outputs)
    return twin


def widened(inputs: dict[str, Any]) -> dict[str, Any]:
    """Inputs as the twin takes them."""
    return {
        name: value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype.name in _NAMES else value
        for name, value in inputs.items()
    }


def _wide(value: Value | Array) -> Value | Array:
    if getattr(value.dtype, "name", "") not in _NAMES:
        return value
    if isinstance(value, Value):
        return Derived([value], lambda array: array.astype(np.float32), value.shape, np.float32)
    return value.astype(np.float32)


def _widened(proto: onnx.ModelProto) -> onnx.ModelProto:
    for message in _messages(proto):
        if isinstance(message, onnx.TensorProto) and message.data_type in HALVES:
            if message.data_location == TensorProto.EXTERNAL:
                message.data_type = TensorProto.FLOAT
            else:
                message.CopyFrom(
                    numpy_helper.from_array(numpy_helper.to_array(message).astype(np.float32), message.name)
                )
        elif isinstance(message, onnx.TypeProto.Tensor) and message.elem_type in HALVES:
            message.elem_type = TensorProto.FLOAT
        elif isinstance(message, onnx.AttributeProto) and message.name in _DTYPES and message.i in HALVES:
            message.i = TensorProto.FLOAT
    return proto


def _messages(message: Any) -> Iterator[Any]:
    """Every message inside `message`, itself included."""
    stack = [message]
    while stack:
        current = stack.pop()
        yield current
        for field, value in current.ListFields():
            if field.type == field.TYPE_MESSAGE:
                stack += value if hasattr(value, "add") else [value]
