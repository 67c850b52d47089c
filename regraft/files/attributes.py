"""The attributes of a node, from their messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import AttributeProto, helper

from regraft.errors import ModelError
from regraft.files.fields import settle_dims, text
from regraft.ir.graph import AttributeRef, Constant, Graph, TypedList
from regraft.ir.weights import Array, Value

Resolve = Callable[[onnx.TensorProto], Value | Array]
"""Gives the value of a tensor."""

ToGraph = Callable[[onnx.GraphProto], Graph]
"""Gives the graph of a message."""


def attributes(node: onnx.NodeProto, resolve: Resolve, graph: ToGraph) -> dict[str, Any]:
    """The attributes of `node` by name.

    Raises:
        ModelError: one of them is damaged; the message names the node.
    """
    try:
        return {text(a.name): attribute(a, resolve, graph) for a in node.attribute}
    except ModelError as error:
        raise ModelError(f"node '{node.name}' ({node.op_type}): {error}") from error


def attribute(proto: AttributeProto, resolve: Resolve, graph: ToGraph) -> Any:
    """The value of an attribute."""
    if proto.ref_attr_name:
        return AttributeRef(text(proto.ref_attr_name), proto.type)
    match proto.type:
        case AttributeProto.INT:
            return proto.i
        case AttributeProto.FLOAT:
            return proto.f
        case AttributeProto.STRING:
            return _text(proto.s)
        case AttributeProto.TENSOR:
            return constant(proto.t, resolve)
        case AttributeProto.GRAPH:
            return graph(proto.g)
        case AttributeProto.TYPE_PROTO:
            settle_dims(proto.tp)
            return proto.tp
        case AttributeProto.SPARSE_TENSOR:
            return proto.sparse_tensor
    values = helper.get_attribute_value(proto) if proto.type else None
    if values is None:
        raise ModelError(f"attribute '{proto.name}' has no type that onnx {onnx.__version__} knows")
    if not values:
        return TypedList(proto.type)
    match proto.type:
        case AttributeProto.STRINGS:
            return [_text(s) for s in values]
        case AttributeProto.TENSORS:
            return [constant(t, resolve) for t in values]
        case AttributeProto.GRAPHS:
            return [graph(g) for g in values]
    return list(values)


def constant(tensor: onnx.TensorProto, resolve: Resolve, order: int | None = None) -> Constant:
    made = Constant(tensor.name, resolve(tensor))
    made.order = order
    return made


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
