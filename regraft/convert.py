"""`ModelProto` to `Model` and back, losing nothing.

`export` gives a header: a `ModelProto` without large values, which is the cheap interchange with every other library of
the field (checker, shape inference, onnx-ir, onnxscript, ONNX Runtime). `from_proto` reads one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import AttributeProto, helper, numpy_helper
from onnx_graphsurgeon.util import misc

from regraft.errors import ModelError
from regraft.graph import AnyGraph, Constant, Function, Graph, Node, Tensor, Variable, adopt, walk
from regraft.model import Model
from regraft.weights import Array, Held, Sources, Sparse, Value, dtype_from_onnx
from regraft.wire import LARGE, reference, slot

Resolve = Callable[[onnx.TensorProto], Value | Array]


class Header(NamedTuple):
    """A model without its large values: tensor `i` of `values` is the one whose location is `wire.reference(i)`."""

    proto: onnx.ModelProto
    values: list[Value | Array]


class TypedList(list[Any]):
    """An attribute that is an empty list, and would forget of what."""

    def __init__(self, type: int):
        super().__init__()
        self.type = type


def from_proto(proto: onnx.ModelProto, path: Path | None = None, values: list[Value | Array] | None = None) -> Model:
    """The model of a `ModelProto`.

    Args:
        path: the file it lies in; external data is looked for beside it.
        values: the large values, if `proto` is the header that `export` made.
    """
    sources = Sources(path)

    def resolve(tensor: onnx.TensorProto) -> Value | Array:
        index = slot(tensor) if values is not None else None
        return sources.value(tensor) if values is None or index is None else values[index]

    return import_model(proto, path, resolve)


def import_model(proto: onnx.ModelProto, path: Path | None, resolve: Resolve) -> Model:
    """The model of `proto`, the value of each tensor given by `resolve`."""
    reader = _Importer(proto, resolve)
    graph = reader.graph(proto.graph, None)
    graph.functions = [reader.function(f) for f in proto.functions]
    for root in (graph, *graph.functions):
        for inner in walk(root):
            inner._functions = graph.functions
    graph.producer_name, graph.producer_version = proto.producer_name, proto.producer_version
    graph.ir_version = proto.ir_version
    header = onnx.ModelProto()
    for field, value in proto.ListFields():
        if field.name in ("graph", "functions", "metadata_props", "opset_import"):
            continue
        if isinstance(value, int | str):
            setattr(header, field.name, value)
        else:
            getattr(header, field.name).MergeFrom(value)
    return Model(graph, header, _pairs(proto.metadata_props), path)


def export(model: Model) -> Header:
    """The header of `model` and its large values."""
    for graph in model.graphs():
        adopt(graph)
    proto = onnx.ModelProto()
    proto.CopyFrom(model.header)
    writer = _Exporter()
    writer.graph(model.graph, proto.graph)
    for function in model.functions:
        writer.function(function, proto.functions.add())
    proto.opset_import.extend(_opsets(model.graph))
    if model.graph.ir_version is not None:
        proto.ir_version = max(model.graph.ir_version, 4)  # before 4 an initializer had to be an input
    proto.producer_name, proto.producer_version = model.graph.producer_name, model.graph.producer_version
    _put_pairs(proto.metadata_props, model.metadata)
    return Header(proto, writer.values)


def to_proto(model: Model) -> onnx.ModelProto:
    """The header of `model`: every value of `wire.LARGE` bytes or more is left out."""
    return export(model).proto


def clone(model: Model) -> Model:
    """A copy that shares nothing with `model` but its weights."""
    proto, values = export(model)
    return from_proto(proto, model.path, values)


# ---------------------------------------------------------------------------------------------------- reading


class _Scope:
    """The values that a graph's nodes can name: its own, then those of the graphs around it."""

    def __init__(self, nodes: Iterable[onnx.NodeProto], outer: _Scope | None):
        self.outer = outer
        self.tensors: dict[str, Tensor] = {}
        self.made = {name for node in nodes for name in node.output if name}

    def find(self, name: str) -> Tensor | None:
        if name in self.tensors:
            return self.tensors[name]
        if name in self.made:
            return self.tensors.setdefault(name, Variable(name))
        return self.outer.find(name) if self.outer else None

    def read(self, name: str) -> Tensor:
        if not name:
            return Variable("")
        return self.find(name) or self.tensors.setdefault(name, Variable(name))

    def write(self, name: str) -> Tensor:
        return self.tensors.setdefault(name, Variable(name)) if name else Variable("")


class _Importer:
    def __init__(self, proto: onnx.ModelProto, resolve: Resolve):
        self.resolve = resolve
        self.defaults = proto.ir_version >= 4  # an initializer that is an input can be overridden
        self.opsets = _import_opsets(proto.opset_import)

    def graph(self, proto: onnx.GraphProto, outer: _Scope | None) -> Graph:
        scope = _Scope(proto.node, outer)
        for order, tensor in enumerate(proto.initializer):
            scope.tensors[tensor.name] = self.constant(tensor, order)
        for sparse in proto.sparse_initializer:
            scope.tensors[sparse.values.name] = Constant(sparse.values.name, Sparse(sparse))
        initializers = dict(scope.tensors)
        for info in proto.value_info:
            scope.tensors.setdefault(info.name, _variable(info))
        inputs = [t for t in (self.input(info, scope) for info in proto.input) if t is not None]
        for info in proto.output:
            if info.name in scope.made:
                _merge(scope.tensors.setdefault(info.name, _variable(info)), info)
        graph = Graph(name=proto.name, doc_string=proto.doc_string, opset=self.opsets.get(""))
        graph.nodes += [self.node(node, scope) for node in proto.node]
        graph.inputs = inputs
        graph.outputs = [scope.find(info.name) or _variable(info) for info in proto.output]
        graph.import_domains = _opset_list(self.opsets)
        used = set(graph.outputs)
        graph.unused = [
            t for t in initializers.values() if t is scope.tensors[t.name] and not t.outputs and t not in used
        ]
        graph.extra = onnx.GraphProto(
            quantization_annotation=proto.quantization_annotation, metadata_props=proto.metadata_props
        )
        return graph

    def input(self, info: onnx.ValueInfoProto, scope: _Scope) -> Variable | None:
        known = scope.tensors.get(info.name)
        if isinstance(known, Constant) and not self.defaults:
            return None
        variable = _variable(info)
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
        node = Node(
            proto.op_type,
            proto.name,
            {a.name: self.attribute(a, scope) for a in proto.attribute},
            [scope.read(name) for name in proto.input],
            [scope.write(name) for name in proto.output],
            None if proto.domain in ("", "ai.onnx") else proto.domain,
        )
        node.metadata = _pairs(proto.metadata_props)
        if proto.doc_string:
            node.doc_string = proto.doc_string
        if proto.overload:
            node.overload = proto.overload
        if proto.device_configurations:
            node.extra = onnx.NodeProto(device_configurations=proto.device_configurations)
        return node

    def attribute(self, proto: AttributeProto, scope: _Scope | None) -> Any:
        if proto.ref_attr_name:
            return gs.Node.AttributeRef(proto.ref_attr_name, misc.convert_from_onnx_attr_type(proto.type))
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
        for info in proto.value_info:
            scope.tensors[info.name] = _variable(info)
        inputs = [scope.write(name) for name in proto.input]
        own = _Importer(onnx.ModelProto(ir_version=4, opset_import=proto.opset_import), self.resolve)
        own.opsets = own.opsets or self.opsets
        nodes = [own.node(node, scope) for node in proto.node]
        attrs: dict[str, Any] = dict.fromkeys(proto.attribute)
        attrs.update({a.name: own.attribute(a, scope) for a in proto.attribute_proto})
        function = Function(proto.name, proto.domain, doc_string=proto.doc_string, attrs=attrs)
        function.nodes += nodes
        function.inputs, function.outputs = inputs, [scope.read(name) for name in proto.output]
        function.opset = own.opsets.get("", self.opsets.get("", function.opset))
        function.import_domains = _opset_list(own.opsets)
        function.overload = proto.overload
        function.extra = onnx.FunctionProto(metadata_props=proto.metadata_props)
        return function


def _variable(info: onnx.ValueInfoProto) -> Variable:
    variable = Variable(info.name)
    _merge(variable, info)
    return variable


def _merge(variable: Tensor, info: onnx.ValueInfoProto) -> None:
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


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    match dim.WhichOneof("value"):
        case "dim_value":
            return int(dim.dim_value)
        case "dim_param":
            return str(dim.dim_param) or None
    return None


def _import_opsets(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    return {"" if e.domain == "ai.onnx" else e.domain: e.version for e in entries}


def _opset_list(opsets: dict[str, int]) -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid(domain, version) for domain, version in opsets.items()]


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _pairs(entries: Iterable[onnx.StringStringEntryProto]) -> dict[str, str]:
    return {entry.key: entry.value for entry in entries}


# ---------------------------------------------------------------------------------------------------- writing


class _Exporter:
    def __init__(self) -> None:
        self.values: list[Value | Array] = []
        self.homes: dict[AnyGraph, list[Constant]] = {}

    def graph(self, graph: Graph, proto: onnx.GraphProto) -> None:
        self.homes = _homes(graph)
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
        proto.input.extend(_info(t) for t in graph.inputs)
        proto.output.extend(_info(t) for t in graph.outputs)
        ends = {*graph.inputs, *graph.outputs}
        proto.value_info.extend(_info(t) for t in _made(graph) if t not in ends and _is_typed(t))

    def function(self, function: Function, proto: onnx.FunctionProto) -> None:
        self.homes = _homes(function)
        if function.extra is not None:
            proto.CopyFrom(function.extra)
        proto.name, proto.domain, proto.doc_string = function.name, function.domain, function.doc_string
        if function.overload:
            proto.overload = function.overload
        proto.input.extend(t.name for t in function.inputs)
        proto.output.extend(t.name for t in function.outputs)
        for constant in self.homes.get(function, ()):  # a function has no initializers
            node = proto.node.add(op_type="Constant", output=[constant.name])
            attribute = node.attribute.add(name="value", type=AttributeProto.TENSOR)
            self.tensor(constant, attribute.t)
        for node in function.nodes:
            self.node(node, proto.node.add())
        for name, default in function.attrs.items():
            if default is None:
                proto.attribute.append(name)
            else:
                self.attribute(name, default, proto.attribute_proto.add())
        proto.opset_import.extend(_opsets(function))
        proto.value_info.extend(_info(t) for t in [*function.inputs, *_made(function)] if _is_typed(t))

    def node(self, node: Node, proto: onnx.NodeProto) -> None:
        if node.extra is not None:
            proto.CopyFrom(node.extra)
        proto.op_type, proto.name = node.op, node.name or ""
        if node.domain:
            proto.domain = node.domain
        if node.overload:
            proto.overload = node.overload
        if node.doc_string:
            proto.doc_string = node.doc_string
        proto.input.extend([t.name for t in node.inputs])
        proto.output.extend([t.name for t in node.outputs])
        for name, value in node.attrs.items():
            self.attribute(name, value, proto.attribute.add())
        if node.metadata:
            _put_pairs(proto.metadata_props, node.metadata)

    def attribute(self, name: str, value: Any, proto: AttributeProto) -> None:
        proto.name = name
        if isinstance(value, gs.Node.AttributeRef):
            proto.ref_attr_name = value.name
            proto.type = misc.convert_to_onnx_attr_type(value.type)
        elif isinstance(value, gs.Constant):
            proto.type = AttributeProto.TENSOR
            self.tensor(value, proto.t)
        elif isinstance(value, gs.Graph):
            proto.type = AttributeProto.GRAPH
            self._graph(value, proto.g)
        elif isinstance(value, TypedList) and not value:
            proto.type = value.type
        elif isinstance(value, list) and value and isinstance(value[0], gs.Constant):
            proto.type = AttributeProto.TENSORS
            for constant in value:
                self.tensor(constant, proto.tensors.add())
        elif isinstance(value, list) and value and isinstance(value[0], gs.Graph):
            proto.type = AttributeProto.GRAPHS
            for graph in value:
                self._graph(graph, proto.graphs.add())
        elif isinstance(value, np.ndarray):
            proto.type = AttributeProto.TENSOR
            self.tensor(Constant(name, value), proto.t)
        else:
            if isinstance(value, type | np.dtype):  # graphsurgeon takes a dtype where ONNX has its number
                value = helper.np_dtype_to_tensor_dtype(np.dtype(value))
            proto.CopyFrom(helper.make_attribute(name, value))

    def tensor(self, constant: gs.Constant, proto: onnx.TensorProto) -> None:
        value = constant._values
        if isinstance(value, Held):
            proto.CopyFrom(value.proto)
        elif isinstance(value, np.ndarray) and (value.dtype == object or value.nbytes < LARGE):
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


def _homes(root: AnyGraph) -> dict[AnyGraph, list[Constant]]:
    """Which constants are initializers of which graph: the innermost one around all their uses."""
    parents: dict[AnyGraph, AnyGraph | None] = {root: None}
    depths = {root: 0}
    homes: dict[Constant, AnyGraph] = {}
    for graph in walk(root):
        for node in graph.nodes:
            for inner in node.subgraphs():
                parents[inner], depths[inner] = graph, depths[graph] + 1
        for constant in _read_constants(graph):
            homes[constant] = _common(homes[constant], graph, parents, depths) if constant in homes else graph
    by_graph: dict[AnyGraph, list[Constant]] = {}
    for constant, graph in homes.items():
        by_graph.setdefault(graph, []).append(constant)
    return by_graph


def _read_constants(graph: AnyGraph) -> Iterable[Constant]:
    for node in graph.nodes:
        yield from (t for t in node.inputs if isinstance(t, Constant))
    yield from (t for t in graph.outputs if isinstance(t, Constant))


def _common(
    a: AnyGraph, b: AnyGraph, parents: dict[AnyGraph, AnyGraph | None], depths: dict[AnyGraph, int]
) -> AnyGraph:
    while a is not b:
        if depths[a] < depths[b]:
            a, b = b, a
        a = parents[a]  # type: ignore[assignment]  # the root is common to all
    return a


def _made(graph: AnyGraph) -> Iterable[Variable]:
    return (t for node in graph.nodes for t in node.outputs if t.name)


def _is_typed(tensor: Tensor) -> bool:
    return isinstance(tensor, Variable) and (
        tensor.dtype is not None or tensor.shape is not None or tensor.info is not None
    )


def _info(tensor: Tensor) -> onnx.ValueInfoProto:
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
            code = tensor.dtype if isinstance(tensor.dtype, int) else _code(np.dtype(tensor.dtype))
            info.type.tensor_type.elem_type = code
        info.type.tensor_type.ClearField("shape")
        if tensor.shape is not None:
            _put_shape(info.type.tensor_type.shape, tensor.shape, denotations)
    return info


def _put_shape(proto: onnx.TensorShapeProto, shape: Iterable[Any], denotations: list[str]) -> None:
    proto.SetInParent()
    for position, dim in enumerate(shape):
        entry = proto.dim.add()
        if isinstance(dim, str):
            entry.dim_param = dim
        elif dim is not None:
            entry.dim_value = int(dim)
        if position < len(denotations) and denotations[position]:
            entry.denotation = denotations[position]


def _code(dtype: np.dtype[Any]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(dtype))


def _opsets(graph: AnyGraph) -> list[onnx.OperatorSetIdProto]:
    """The operator sets that `graph` declares, and version 1 of any other that its nodes are of."""
    opsets = _import_opsets(graph.import_domains or ())
    used = {node.domain or "" for inner in walk(graph) for node in inner.nodes}
    if "" in opsets or "" in used:
        opsets[""] = graph.opset
    for domain in sorted(used - opsets.keys()):
        opsets[domain] = 1
    return _opset_list(opsets)


def _put_pairs(proto: Any, pairs: dict[str, str]) -> None:
    for key, value in pairs.items():
        proto.add(key=key, value=str(value))
