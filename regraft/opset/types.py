"""What is known of the values of a model: by annotation, else by inference.

Inference runs once, and only if something is asked that the annotations do not answer.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
from onnx import helper

from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array, dtype_from_onnx
from regraft.shapes import dims
from regraft.shapes.analysis import analyse
from regraft.shapes.facts import Facts


class Types:
    """The types of the values of `model` as it was when the first question was asked."""

    def __init__(self, model: Model):
        self.model = model

    def dtype(self, tensor: Tensor) -> np.dtype[Any] | None:
        """Its dtype; None where it is unknown or no tensor."""
        code = tensor.dtype if tensor.dtype is not None else self._facts[tensor].code
        if isinstance(code, int):
            return dtype_from_onnx(code) if code else None
        return np.dtype(code)

    def shape(self, tensor: Tensor) -> list[int | str | None] | None:
        """Its dimensions: a number, a name, or None for an unknown one."""
        if tensor.shape is not None:
            return list(tensor.shape)
        known = self._facts[tensor].dims
        return None if known is None else [dims.show(d) for d in known]

    def rank(self, tensor: Tensor) -> int | None:
        """Its number of dimensions."""
        shape = self.shape(tensor)
        return None if shape is None else len(shape)

    def value(self, tensor: Tensor) -> Array | None:
        """Its value where that is constant; of what nodes make, only small whole numbers."""
        value = constant_of(tensor)
        if value is not None or not tensor.inputs:
            return value
        fact = self._facts[tensor]
        numbers = fact.numbers
        return None if numbers is None else numbers.astype(dtype_from_onnx(fact.code))

    def name(self, tensor: Tensor) -> str | None:
        """Its type as schemas write it: `tensor(float)`, `seq(tensor(int64))`."""
        info = getattr(tensor, "info", None)
        if info is not None and info.type.WhichOneof("value") not in (None, "tensor_type"):
            return type_name(info.type)
        dtype = self.dtype(tensor)
        if dtype is not None:
            return dtype_name(dtype)
        other = self._facts[tensor].other
        return None if other is None else type_name(other)

    def proto(self, tensor: Tensor) -> onnx.TypeProto:
        """Its type as a message; empty where unknown."""
        dtype = self.dtype(tensor)
        if dtype is None:
            return self._facts[tensor].other or onnx.TypeProto()
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(dtype), self.shape(tensor))

    @functools.cached_property
    def _facts(self) -> Facts:
        return analyse(self.model)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """`tensor(float)` for float32."""
    return f"tensor({onnx.TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(dtype)).lower()})"


def type_name(proto: onnx.TypeProto) -> str | None:
    """`seq(tensor(float))`; None where it is not known to the end."""
    match proto.WhichOneof("value"):
        case "tensor_type":
            code = proto.tensor_type.elem_type
            return f"tensor({onnx.TensorProto.DataType.Name(code).lower()})" if code else None
        case "sequence_type":
            inner = type_name(proto.sequence_type.elem_type)
            return f"seq({inner})" if inner else None
        case "optional_type":
            inner = type_name(proto.optional_type.elem_type)
            return f"optional({inner})" if inner else None
    return None
