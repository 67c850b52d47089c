"""From a `Model` to a `ModelProto` without weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from regraft.files.encoding import Encoder
from regraft.files.fields import is_typed, opset_list, opset_versions, to_info, to_output
from regraft.files.homes import homes_of
from regraft.files.wire import LARGE, reference
from regraft.ir import schema
from regraft.ir.graph import (
    AnyGraph,
    AttributeRef,
    Constant,
    Function,
    Graph,
    Node,
    TypedList,
    Variable,
    walk,
)
from regraft.ir.weights import Array, Held, Raw, Sparse, Value, code_of

_STRINGS = "OUS"  # numpy's kinds of them


class Exporter:
    def __init__(self) -> None:
        self.values: list[Value | Array] = []
        self.homes: dict[AnyGraph, list[Constant]] = {}
        self.encoder = Encoder(self.made_attribute)

    def graph(self, graph: Graph, proto: onnx.GraphProto) -> None:
        self.homes = homes_of(graph)
        self._graph(graph, proto)

    def _graph(self, graph: Graph, proto: onnx.GraphProto) -> None:
        if graph.extra is not None:
            proto.CopyFrom(graph.extra)
        proto.name, proto.doc_string = graph.name, graph.doc_string
        for node in graph.nodes:
            self.node(node, proto.node.add())
        constants = [*self.homes.get(graph, ()), *graph.unused]
        constants += [t.default for t in graph.inputs if isinstance(t, Variable) and t.default is not None]
        for constant in sorted(constants, key=lambda c: c.order if c.order is not None else len(constants)):
            if isinstance(constant.lazy, Sparse):
                sparse = proto.sparse_initializer.add()
                sparse.CopyFrom(constant.lazy.tensor)
                sparse.values.name = constant.name
            else:
                self.tensor(constant, proto.initializer.add())
        proto.input.extend(to_info(t) for t in graph.inputs)
        proto.output.extend(to_output(t) for t in graph.outputs)
        ends = {*graph.inputs, *graph.outputs}
        for tensor in _made(graph):
            if is_typed(tensor) and tensor not in ends:
                self.info(tensor, proto.value_info.add())

    def function(self, function: Function, proto: onnx.FunctionProto) -> None:
        self.homes = homes_of(function)
        if function.extra is not None:
            proto.CopyFrom(function.extra)
        proto.name, proto.domain, proto.doc_string = function.name, function.domain, function.doc_string
        if function.overload:
            proto.overload = function.overload
        proto.input.extend(t.name for t in function.inputs)
        proto.output.extend(t.name for t in function.outputs)
        for constant in self.homes.get(function, ()):  # a function has no initializers
            made = proto.node.add(op_type="Constant", output=[constant.name])
            attribute = made.attribute.add(name="value", type=AttributeProto.TENSOR)
            self.tensor(constant, attribute.t)
        for node in function.nodes:
            self.node(node, proto.node.add())
        for name, default in function.attrs.items():
            if default is None:
                proto.attribute.append(name)
            else:
                self.attribute(name, default, proto.attribute_proto.add())
        proto.opset_import.extend(opsets(function))
        proto.value_info.extend(to_info(t) for t in [*function.inputs, *_made(function)] if is_typed(t))

    def node(self, node: Node, proto: onnx.NodeProto) -> None:
        docs: dict[str, str] = {}
        if node.extra is not None:
            proto.CopyFrom(node.extra)
            docs = {a.name: a.doc_string for a in proto.attribute}
            del proto.attribute[:]
        proto.op_type, proto.name = node.op, node.name or ""
        if node.domain and node.domain != schema.FOREIGN:
            proto.domain = node.domain
        if node.overload:
            proto.overload = node.overload
        if node.doc_string:
            proto.doc_string = node.doc_string
        proto.input.extend([t.name for t in node.inputs])
        proto.output.extend([t.name for t in node.outputs])
        for name, value in node.attrs.items():
            field = self.encoder.attribute(name, value)
            if field is None:
                self.attribute(name, value, proto.attribute.add())
            else:
                proto.MergeFromString(field)
            if name in docs:
                proto.attribute[-1].doc_string = docs[name]
        if node.has_metadata:
            proto.MergeFromString(self.encoder.metadata(node))

    def info(self, tensor: Variable, proto: onnx.ValueInfoProto) -> None:
        if tensor.info is not None or tensor.type != "tensor_type":
            proto.CopyFrom(to_info(tensor))
        else:
            proto.name = tensor.name
            proto.type.MergeFromString(self.encoder.type(tensor))

    def made_attribute(self, name: str, value: Any) -> AttributeProto:
        made = AttributeProto()
        self.attribute(name, value, made)
        return made

    def attribute(self, name: str, value: Any, proto: AttributeProto) -> None:
        proto.name = name
        if isinstance(value, AttributeRef):
            proto.ref_attr_name = value.name
            proto.type = value.type
        elif isinstance(value, Constant):
            proto.type = AttributeProto.TENSOR
            self.tensor(value, proto.t)
        elif isinstance(value, Graph):
            proto.type = AttributeProto.GRAPH
            self._graph(value, proto.g)
        elif isinstance(value, TypedList) and not value:
            proto.type = value.type
        elif isinstance(value, list) and value and isinstance(value[0], Constant):
            proto.type = AttributeProto.TENSORS
            for constant in value:
                self.tensor(constant, proto.tensors.add())
        elif isinstance(value, list) and value and isinstance(value[0], Graph):
            proto.type = AttributeProto.GRAPHS
            for graph in value:
                self._graph(graph, proto.graphs.add())
        elif isinstance(value, np.ndarray):
            proto.type = AttributeProto.TENSOR
            self.tensor(Constant(name, value), proto.t)
        else:
            is_dtype = isinstance(value, type | np.dtype)  # as numpy's users write one
            proto.CopyFrom(helper.make_attribute(name, code_of(value) if is_dtype else value))

    def tensor(self, constant: Constant, proto: onnx.TensorProto) -> None:
        value = constant.lazy
        if type(value) is Raw:
            proto.dims.extend(value.shape)
            proto.data_type, proto.raw_data = value.code, value.raw
        elif isinstance(value, Held) and (value.nbytes < LARGE or value.dtype.kind in _STRINGS):
            proto.CopyFrom(value.proto)
        elif isinstance(value, np.ndarray) and value.dtype.kind in _STRINGS:
            proto.CopyFrom(numpy_helper.from_array(value.astype(object)))
        elif isinstance(value, np.ndarray) and value.nbytes < LARGE:
            proto.CopyFrom(numpy_helper.from_array(value))
        elif isinstance(value, Value) and value.nbytes < LARGE:
            proto.CopyFrom(numpy_helper.from_array(value.load()))
        else:
            header = getattr(value, "header", None)
            if header is not None:
                proto.CopyFrom(header)
            else:
                proto.dims.extend(value.shape)
                proto.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
            proto.data_location = onnx.TensorProto.EXTERNAL
            proto.external_data.add(key="location", value=reference(len(self.values)))
            self.values.append(value)
        proto.name = constant.name


def _made(graph: AnyGraph) -> Iterable[Variable]:
    return (t for node in graph.nodes for t in node.outputs if t.name)


def opsets(graph: AnyGraph) -> list[onnx.OperatorSetIdProto]:
    """The operator sets that `graph` declares, and version 1 of any other that its nodes are of."""
    opsets = opset_versions(graph.import_domains or ())
    used = {node.domain or "" for inner in walk(graph) for node in inner.nodes}
    used = {"" if domain == schema.FOREIGN else domain for domain in used}
    if "" in opsets or "" in used:
        opsets[""] = graph.opset
    for domain in sorted(used - opsets.keys()):
        opsets[domain] = 1
    return opset_list(opsets)
