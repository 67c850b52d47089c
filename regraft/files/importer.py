"""From a `ModelProto` without weights to a `Model`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from regraft.errors import ModelError
from regraft.files.attributes import Resolve, ToGraph, attribute, attributes, constant
from regraft.files.fields import is_typed, merge, opset_list, opset_versions, pairs, text, to_variable
from regraft.files.infos import InfoReader
from regraft.files.nodes import NodeReader
from regraft.files.parts import Parts, of_message
from regraft.files.scope import Scope
from regraft.files.tensors import TensorReader
from regraft.ir import endless, schema
from regraft.ir.gc_pause import paused
from regraft.ir.graph import Constant, Function, Graph, Node, Variable
from regraft.ir.model import Model
from regraft.ir.order import sort
from regraft.ir.weights import Sparse


def import_model(proto: onnx.ModelProto, parts: Parts, path: Path | None, resolve: Resolve) -> Model:
    """The model of `proto`, whose graph is in `parts`, the value of each tensor given by `resolve`."""
    reader = _Importer(proto, resolve)
    with paused():
        graph = reader.graph(parts, None)
        graph.functions = [reader.function(f) for f in proto.functions]
    graph.producer_name, graph.producer_version = text(proto.producer_name), text(proto.producer_version)
    graph.ir_version = proto.ir_version
    header = onnx.ModelProto()
    for field, value in proto.ListFields():
        if field.name in ("graph", "functions", "metadata_props", "opset_import"):
            continue
        if isinstance(value, int | str | bytes):
            setattr(header, field.name, value if isinstance(value, int) else text(value))
        else:
            getattr(header, field.name).MergeFrom(value)
    model = Model(graph, header, pairs(proto.metadata_props), path)
    endless.check(model)
    model.claims = any(map(is_typed, (t for node in model.nodes() for t in node.outputs)))
    return model


_OWN = ("", schema.FOREIGN)
"""How files write ONNX's own domain."""


class _Importer:
    def __init__(self, proto: onnx.ModelProto, resolve: Resolve):
        self.resolve = resolve
        self.defaults = proto.ir_version >= 4  # an initializer that is an input can be overridden
        self.opsets = opset_versions(proto.opset_import)
        self.functions = frozenset(f.name for f in proto.functions if f.domain in _OWN)

    def graph(self, parts: Parts, outer: Scope | None) -> Graph:
        proto, scope = parts.rest, Scope(parts.nodes, outer)
        _check_text(*(info.name for info in (*proto.input, *proto.output)))
        self.initializers(parts, scope)
        for sparse in proto.sparse_initializer:
            scope.tensors[sparse.values.name] = Constant(sparse.values.name, Sparse(sparse))
        initializers = dict(scope.tensors)
        inputs = [t for t in (self.input(info, scope) for info in proto.input) if t is not None]
        graph = Graph(name=text(proto.name), doc_string=text(proto.doc_string), opset=self.opsets.get(""))
        graph.nodes += self.nodes(parts.nodes, scope)
        self.types(parts, scope)
        graph.inputs = inputs
        graph.outputs = [scope.find(info.name) or to_variable(info) for info in proto.output]
        graph.import_domains = opset_list(self.opsets)
        if scope.unsorted:
            sort(graph)
        used = set(graph.outputs)
        graph.unused = [
            t
            for t in initializers.values()
            if isinstance(t, Constant) and t is scope.tensors[t.name] and not t.outputs and t not in used
        ]
        graph.extra = onnx.GraphProto(
            quantization_annotation=proto.quantization_annotation, metadata_props=proto.metadata_props
        )
        return graph

    def initializers(self, parts: Parts, scope: Scope) -> None:
        reader = TensorReader()
        for order, tensor in enumerate(parts.initializers):
            small = reader.read(tensor) if isinstance(tensor, bytes) else None
            if small is not None:
                made = Constant(*small)
                made.order = order
            else:
                proto = onnx.TensorProto.FromString(tensor) if isinstance(tensor, bytes) else tensor
                _check_text(proto.name)
                made = constant(proto, self.resolve, order)
            scope.tensors[made.name] = made

    def input(self, info: onnx.ValueInfoProto, scope: Scope) -> Variable | None:
        known = scope.tensors.get(info.name)
        if isinstance(known, Constant) and not self.defaults:
            return None
        variable = to_variable(info)
        if isinstance(known, Constant):
            variable.default = known
        scope.tensors[info.name] = variable
        return variable

    def types(self, parts: Parts, scope: Scope) -> None:
        """Give the values that nodes of the graph make the types that the file declares."""
        reader = InfoReader()
        told: set[str] = set()  # what is told again is not heard
        for info in parts.value_info:
            name, known = reader.split(info)
            tensor = scope.tensors.get(name)
            if isinstance(tensor, Variable) and tensor.inputs and name not in told:  # else an outer graph tells it
                told.add(name)
                reader.give(tensor, known)
        for proto in parts.rest.output:
            tensor = scope.tensors.get(proto.name)
            if tensor is not None and tensor.inputs:
                merge(tensor, proto)

    def nodes(self, sources: Iterable[bytes | onnx.NodeProto], scope: Scope) -> list[Node]:
        reader = NodeReader(lambda proto: self.attributes(proto, scope), self.domain)
        found = []
        for source in sources:
            node = reader.read(source, scope) if isinstance(source, bytes) else None
            if node is None:
                node = self.node(onnx.NodeProto.FromString(source) if isinstance(source, bytes) else source, scope)
            found.append(node)
        return found

    def node(self, proto: onnx.NodeProto, scope: Scope) -> Node:
        _check_text(proto.op_type, proto.name, proto.domain, *proto.input, *proto.output)
        node = Node(
            proto.op_type,
            proto.name,
            self.attributes(proto, scope),
            [scope.read(name) for name in proto.input],
            [scope.write(name) for name in proto.output],
            self.domain(proto),
        )
        node.metadata = pairs(proto.metadata_props)
        if proto.doc_string:
            node.doc_string = text(proto.doc_string)
        if proto.overload:
            node.overload = text(proto.overload)
        docs = [onnx.AttributeProto(name=a.name, doc_string=a.doc_string) for a in proto.attribute if a.doc_string]
        if docs or proto.device_configurations:
            node.extra = onnx.NodeProto(attribute=docs, device_configurations=proto.device_configurations)
        return node

    def domain(self, proto: onnx.NodeProto) -> str | None:
        if proto.domain not in _OWN:
            return text(proto.domain)
        known = proto.op_type in self.functions or "" not in self.opsets
        return None if known or schema.find(proto.op_type, self.opsets[""]) else schema.FOREIGN

    def attributes(self, proto: onnx.NodeProto, scope: Scope) -> dict[str, Any]:
        return attributes(proto, self.resolve, self.bodies(scope))

    def bodies(self, scope: Scope) -> ToGraph:
        """Gives the graph of a message inside a graph of `scope`."""
        return lambda body: self.graph(of_message(body), scope)

    def function(self, proto: onnx.FunctionProto) -> Function:
        scope = Scope(proto.node, None)
        _check_text(*proto.input, *proto.output, *proto.attribute, proto.overload)
        for info in proto.value_info:
            scope.tensors[info.name] = to_variable(info)
        inputs = [scope.write(name) for name in proto.input]
        own = _Importer(onnx.ModelProto(ir_version=4, opset_import=proto.opset_import), self.resolve)
        own.opsets, own.functions = own.opsets or self.opsets, self.functions
        nodes = own.nodes(proto.node, scope)
        attrs: dict[str, Any] = dict.fromkeys(proto.attribute)
        attrs.update({a.name: attribute(a, own.resolve, own.bodies(scope)) for a in proto.attribute_proto})
        names = text(proto.name), text(proto.domain)
        function = Function(*names, doc_string=text(proto.doc_string), attrs=attrs)
        function.nodes += nodes
        function.inputs, function.outputs = inputs, [scope.read(name) for name in proto.output]
        function.opset = own.opsets.get("", self.opsets.get("", function.opset))
        function.import_domains = opset_list(own.opsets)
        function.overload = proto.overload
        if scope.unsorted:
            sort(function)
        function.extra = onnx.FunctionProto(metadata_props=proto.metadata_props)
        return function


def _check_text(*names: str) -> None:
    try:
        "".join(names)
    except TypeError as error:  # protobuf gives what is no UTF-8 as bytes
        raise ModelError(f"a name is not UTF-8: {next(n for n in names if isinstance(n, bytes))!r}") from error
