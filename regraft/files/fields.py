"""The message fields that stand beside nodes and tensors, read and written: types, operator sets, metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import helper

from regraft.errors import ModelError
from regraft.ir.dimensions import stated
from regraft.ir.graph import Tensor, Variable
from regraft.ir.schema import FOREIGN
from regraft.ir.weights import code_of, dtype_from_onnx

_VERSIONS = 2**31
"""More than any version of an operator set; onnx keeps them in 32 bits."""


def text(value: Any) -> str:
    """A text of a message. Raises ModelError where it is no UTF-8, which protobuf gives as bytes."""
    if isinstance(value, bytes):
        raise ModelError(f"a name is not UTF-8: {value[:60]!r}")
    return str(value)


def to_variable(info: onnx.ValueInfoProto) -> Variable:
    variable = Variable(text(info.name))
    merge(variable, info)
    return variable


def merge(variable: Tensor, info: onnx.ValueInfoProto) -> None:
    """Give `variable` the type that `info` knows."""
    if not isinstance(variable, Variable):
        return
    kind = info.type.WhichOneof("value")
    if kind == "tensor_type":
        tensor = info.type.tensor_type
        if tensor.elem_type:
            variable.dtype = dtype_from_onnx(tensor.elem_type)
        if tensor.HasField("shape"):
            variable.shape = [_dim(d) for d in tensor.shape.dim]
    elif kind:
        variable.type = kind
    denoted = info.type.denotation or any(d.denotation for d in info.type.tensor_type.shape.dim)
    if (kind and kind != "tensor_type") or denoted or info.doc_string or info.metadata_props:
        variable.info = onnx.ValueInfoProto()
        variable.info.CopyFrom(info)
        settle_dims(variable.info.type)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    match dim.WhichOneof("value"):
        case "dim_value":
            return stated(int(dim.dim_value))
        case "dim_param":
            return stated(text(dim.dim_param))
    return None


def settle_dims(proto: onnx.TypeProto) -> None:
    """Take out of `proto`, and of the types inside it, the dimensions that say nothing."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        for dim in getattr(proto, kind).shape.dim:
            if _dim(dim) is None:
                dim.ClearField("dim_value")
                dim.ClearField("dim_param")
    elif kind in ("sequence_type", "optional_type"):
        settle_dims(getattr(proto, kind).elem_type)
    elif kind == "map_type":
        settle_dims(proto.map_type.value_type)


def is_typed(tensor: Tensor) -> bool:
    return isinstance(tensor, Variable) and (
        tensor.dtype is not None or tensor.shape is not None or tensor.info is not None
    )


def to_output(tensor: Tensor) -> onnx.ValueInfoProto:
    """What a model declares of an output: what is known of it, and for the rest what it promised."""
    promised, shape = getattr(tensor, "promised", None), tensor.shape
    if promised is None or (shape is not None and len(shape) != len(promised)):
        return to_info(tensor)
    stated = promised if shape is None else [p if d is None else d for d, p in zip(shape, promised, strict=True)]
    declared = Variable(tensor.name, tensor.dtype, stated)
    declared.info = getattr(tensor, "info", None)
    return to_info(declared)


def to_info(tensor: Tensor) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=tensor.name)
    source = getattr(tensor, "info", None)
    if source is not None:
        info.CopyFrom(source)
        info.name = tensor.name
    if isinstance(tensor, Variable) and tensor.type not in (None, "tensor_type"):
        return info
    if tensor.dtype is not None or tensor.shape is not None:
        denotations = [d.denotation for d in info.type.tensor_type.shape.dim]
        if tensor.dtype is not None:
            code = code_of(tensor.dtype)
            info.type.tensor_type.elem_type = code
        info.type.tensor_type.ClearField("shape")
        if tensor.shape is not None:
            _put_shape(info.type.tensor_type.shape, tensor.shape, denotations)
    return info


def _put_shape(proto: onnx.TensorShapeProto, shape: Iterable[Any], denotations: list[str]) -> None:
    proto.SetInParent()
    for position, dim in enumerate(map(stated, shape)):
        entry = proto.dim.add()
        if isinstance(dim, str):
            entry.dim_param = dim
        elif dim is not None:
            entry.dim_value = int(dim)
        if position < len(denotations) and denotations[position]:
            entry.denotation = denotations[position]


def opset_versions(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of each operator set, by domain. Raises ModelError where a number is none that a version can be."""
    found: dict[str, int] = {}
    for entry in entries:
        domain = "" if entry.domain == FOREIGN else text(entry.domain)
        if not 0 < entry.version < _VERSIONS:
            raise ModelError(
                f"operator set '{domain or 'ai.onnx'}' of version {entry.version}: there is no such version"
            )
        found[domain] = entry.version
    return found


def opset_list(opsets: dict[str, int]) -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid(domain, version) for domain, version in opsets.items()]


def pairs(entries: Iterable[onnx.StringStringEntryProto]) -> dict[str, str]:
    return {text(entry.key): text(entry.value) for entry in entries}


def put_pairs(proto: Any, pairs: dict[str, str]) -> None:
    for key, value in pairs.items():
        proto.add(key=key, value=str(value))
