"""From a `ModelProto` without weights to a `Model`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, helper

from regraft.errors import ModelError
from regraft.files.fields import is_typed, merge, opset_list, opset_versions, pairs, settle_dims, text, to_variable
from regraft.ir import endless, schema
from regraft.ir.collector import paused
from regraft.ir.graph import AttributeRef, Constant, Function, Graph, Node, Tensor, TypedList, Variable
from regraft.ir.model import Model
from regraft.ir.order import sort
from regraft.ir.weights import Array, Sparse, Value

Resolve = Callable[[onnx.TensorProto], Value | Array]


def import_model(proto: onnx.ModelProto, path: Path | None, resolve: Resolve) -> Model:
    """The model of `proto`, the value of each tensor given by `resolve`."""
    reader = _Importer(proto, resolve)
    with paused():
        graph = reader.graph(proto.graph, None)
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


class _Scope:
    """The values that a graph's nodes can name: its own, then those of the graphs around it."""

    def __init__(self, nodes: Iterable[onnx.NodeProto], outer: _Scope | None):
        self.outer = outer
        self.tensors: dict[str, Tensor] = {}
        self.coming = {name for node in nodes for name in node.output if name}
        self.unsorted = False  # whether a node read what a later one makes

    def find(self, name: str) -> Tensor | None:
        if name in self.coming:
            self.unsorted = True
            return self.tensors.setdefault(name, Variable(name))
        if name in self.tensors:
            return self.tensors[name]
        return self.outer.find(name) if self.outer else None

    def read(self, name: str) -> Tensor:
        if not name:
            return Variable("")
        return self.find(name) or self.tensors.setdefault(name, Variable(name))

    def write(self, name: str) -> Tensor:
        self.coming.discard(name)
        return self.tensors.setdefault(name, Variable(name)) if name else Variable("")


class _Importer:
    def __init__(self, proto: onnx.ModelProto, resolve: Resolve):
        self.resolve = resolve
        self.defaults = proto.ir_version >= 4  # an initializer that is an input can be overridden
        self.opsets = opset_versions(proto.opset_import)
        self.functions = frozenset(f.name for f in proto.functions if f.domain in _OWN)

    def graph(self, proto: onnx.GraphProto, outer: _Scope | None) -> Graph:
        scope = _Scope(proto.node, outer)
        _check_text(*(t.name for t in proto.initializer))
        _check_text(*(info.name for info in (*proto.value_info, *proto.input, *proto.output)))
        for order, tensor in enumerate(proto.initializer):
            scope.tensors[tensor.name] = self.constant(tensor, order)
        for sparse in proto.sparse_initializer:
            scope.tensors[sparse.values.name] = Constant(sparse.values.name, Sparse(sparse))
        initializers = dict(scope.tensors)
        for info in proto.value_info:
            if info.name in scope.coming:  # of an outer value, the outer graph tells the type
                scope.tensors.setdefault(info.name, to_variable(info))
        inputs = [t for t in (self.input(info, scope) for info in proto.input) if t is not None]
        for info in proto.output:
            if info.name in scope.coming:
                merge(scope.tensors.setdefault(info.name, to_variable(info)), info)
        graph = Graph(name=text(proto.name), doc_string=text(proto.doc_string), opset=self.opsets.get(""))
        graph.nodes += [self.node(node, scope) for node in proto.node]
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

    def input(self, info: onnx.ValueInfoProto, scope: _Scope) -> Variable | None:
        known = scope.tensors.get(info.name)
        if isinstance(known, Constant) and not self.defaults:
            return None
        variable = to_variable(info)
        if isinstance(known, Constant):
            variable.default = known
        scope.tensors[info.name] = variable
        return variable

    def constant(self, tensor: onnx.TensorProto, order: int | None = None) -> Constant:
        constant = Constant(tensor.name, self.resolve(tensor))
        constant.order = order
        return constant

    def node(self, proto: onnx.NodeProto, scope: _Scope | None) -> Node:
        assert scope is not None
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
        docs = [AttributeProto(name=a.name, doc_string=a.doc_string) for a in proto.attribute if a.doc_string]
        if docs or proto.device_configurations:
            node.extra = onnx.NodeProto(attribute=docs, device_configurations=proto.device_configurations)
        return node

    def domain(self, proto: onnx.NodeProto) -> str | None:
        if proto.domain not in _OWN:
            return proto.domain
        known = proto.op_type in self.functions or "" not in self.opsets
        return None if known or schema.find(proto.op_type, self.opsets[""]) else schema.FOREIGN

    def attributes(self, proto: onnx.NodeProto, scope: _Scope) -> dict[str, Any]:
        try:
            return {text(a.name): self.attribute(a, scope) for a in proto.attribute}
        except ModelError as error:
            raise ModelError(f"node '{proto.name}' ({proto.op_type}): {error}") from error

    def attribute(self, proto: AttributeProto, scope: _Scope | None) -> Any:
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
                return self.constant(proto.t)
            case AttributeProto.GRAPH:
                return self.graph(proto.g, scope)
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
                return [self.constant(t) for t in values]
            case AttributeProto.GRAPHS:
                return [self.graph(g, scope) for g in values]
        return list(values)

    def function(self, proto: onnx.FunctionProto) -> Function:
        scope = _Scope(proto.node, None)
        _check_text(*proto.input, *proto.output, *proto.attribute, proto.overload)
        for info in proto.value_info:
            scope.tensors[info.name] = to_variable(info)
        inputs = [scope.write(name) for name in proto.input]
        own = _Importer(onnx.ModelProto(ir_version=4, opset_import=proto.opset_import), self.resolve)
        own.opsets, own.functions = own.opsets or self.opsets, self.functions
        nodes = [own.node(node, scope) for node in proto.node]
        attrs: dict[str, Any] = dict.fromkeys(proto.attribute)
        attrs.update({a.name: own.attribute(a, scope) for a in proto.attribute_proto})
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


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
