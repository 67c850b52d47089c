"""A copy of a model: nodes, values and graphs are new, what constants hold is shared."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, TypeVar

from google.protobuf.message import Message

from regraft.ir.gc_pause import paused
from regraft.ir.graph import Constant, Function, Graph, Node, Tensor, TypedList, Variable
from regraft.ir.graphsurgeon import adopt
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.ir.node import PLAIN


@paused()
def clone(model: Model) -> Model:
    """A copy that shares nothing with `model` but its weights."""
    adopt(model)
    copied = Model(Copier().graph(model.graph), deepcopy(model.header), model.metadata, model.path)
    copied.claims = model.claims
    if model.host is not None:
        outputs = [Copier().variable(tensor) for tensor in model.host.outputs]
        copied.host = Host(clone(model.host.model), dict(model.host.feeds), outputs)
    return copied


AnyGraphT = TypeVar("AnyGraphT", Graph, Function)


class Copier:
    """Copies nodes, values and graphs; `tensors` has what was made of what, and may be told ahead what to take."""

    def __init__(self) -> None:
        self.tensors: dict[Tensor, Tensor] = {}

    def graph(self, graph: Graph) -> Graph:
        made = Graph(
            name=graph.name,
            producer_name=graph.producer_name,
            producer_version=graph.producer_version,
            functions=[self.function(function) for function in graph.functions],
            ir_version=graph.ir_version,
        )
        return self.fill(made, graph)

    def function(self, function: Function) -> Function:
        made = Function(function.name, function.domain)
        made.attrs, made.overload = self.attributes(function.attrs), function.overload
        return self.fill(made, function)

    def fill(self, made: AnyGraphT, graph: AnyGraphT) -> AnyGraphT:
        made.doc_string, made.opset = graph.doc_string, graph.opset
        made.import_domains, made.extra = deepcopy(graph.import_domains), deepcopy(graph.extra)
        made.inputs = self.values(graph.inputs)
        made.nodes += [self.node(node) for node in graph.nodes]
        made.outputs = self.values(graph.outputs)
        made.unused = self.values(graph.unused)
        return made

    def node(self, node: Node) -> Node:
        attrs = self.attributes(node.attrs) if node.attrs else None
        made = Node(node.op, node.name, attrs, self.values(node.inputs), self.values(node.outputs), node.domain)
        if node.has_metadata:
            made.metadata = dict(node.metadata)
        made.doc_string, made.overload = node.doc_string, node.overload
        if node.extra is not None:
            made.extra = deepcopy(node.extra)
        return made

    def values(self, tensors: Iterable[Tensor]) -> list[Any]:
        known = self.tensors.get
        return [known(tensor) or self.value(tensor) for tensor in tensors]

    def value(self, tensor: Tensor) -> Tensor:
        made = self.tensors[tensor] = self.constant(tensor) if isinstance(tensor, Constant) else self.variable(tensor)
        return made

    def variable(self, tensor: Variable) -> Variable:
        made = tensor.copy()
        if made.promised is not None:
            made.promised = list(made.promised)
        if made.info is not None:
            made.info = deepcopy(made.info)
        if made.default is not None:
            made.default = self.constant(made.default)
        return made

    def constant(self, constant: Constant) -> Constant:
        made = Constant(constant.name, constant.lazy)
        made.order = constant.order
        return made

    def attributes(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: value if type(value) in PLAIN else self.attribute(value) for name, value in attrs.items()}

    def attribute(self, value: Any) -> Any:
        if isinstance(value, Graph):
            return self.graph(value)
        if isinstance(value, Constant):
            return self.constant(value)
        if isinstance(value, list):
            made = TypedList(value.type) if isinstance(value, TypedList) else []
            made += [item if type(item) in PLAIN else self.attribute(item) for item in value]
            return made
        return deepcopy(value) if isinstance(value, Message) else value
