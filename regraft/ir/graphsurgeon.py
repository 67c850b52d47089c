"""The doors to onnx-graphsurgeon: a graph of its own from ours, and ours from what it, or a pass, has left.

It is imported by whoever goes through a door; where nobody has, nothing can be its own.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from regraft.ir.edits import Edits
from regraft.ir.graph import (
    AnyGraph,
    AttributeRef,
    Constant,
    Function,
    Graph,
    Node,
    Tensor,
    TypedList,
    Variable,
    subgraphs,
    walk,
)
from regraft.ir.weights import Array, Value, code_of

if TYPE_CHECKING:
    from regraft.ir.model import Model

_ORIGIN = "regraft"
"""The attribute by which what was made for graphsurgeon knows what it was made from."""

_ALONE = frozenset({int, float, str, bytes, bool, TypedList, AttributeRef, Constant, Graph, np.ndarray})
"""Attributes that nothing has to be done about."""


def to_graphsurgeon(graph: Graph) -> Any:
    """A graph of onnx-graphsurgeon's own, which shares no list with `graph`; a weight is read when it asks for it."""
    return _Copy().graph(graph, graph.functions)


def from_graphsurgeon(theirs: Any) -> Graph:
    """The graph that graphsurgeon's graph stands for; what it was made from tells what it has no place for."""
    import onnx_graphsurgeon as gs

    adoption = _Adoption(gs)
    graph = adoption.emptied(theirs)
    for one in theirs.functions:
        function = Function(one.name, one.domain, one.nodes, one.inputs, one.outputs, one.doc_string, one.opset)
        function.import_domains = one.import_domains
        function.attrs = {name: adoption.attribute(value) for name, value in one.attrs.items()}
        _restore(function, one, ("overload", "extra", "unused"))
        graph.functions.append(function)
    roots: list[AnyGraph] = [graph, *graph.functions]
    for root in roots:
        adoption.graph(root)
    return graph


def adopt(model: Model) -> None:
    """Put nodes, values and bodies of our own in the place of those that graphsurgeon made.

    Where edits are told, only what was edited is looked at.
    """
    gs = sys.modules.get("onnx_graphsurgeon")
    if gs is None:
        return
    adoption, told = _Adoption(gs), dict[Edits, None]()
    for root in model.roots:
        if root.edits is None:
            adoption.graph(root)
        else:
            told[root.edits] = None
            for graph in walk(root):
                adoption.ends(graph)
    for edits in told:
        adoption.edited(edits)


def number_dtypes(node: Node) -> None:
    """Put ONNX's number in the place of each attribute that is a dtype, as graphsurgeon and numpy's users write one."""
    for name, value in node.attrs.items():
        if isinstance(value, type | np.dtype):
            dict.__setitem__(node.attrs, name, code_of(value))  # means the same: no edit


class _Adoption:
    """What was put in the place of what, in one graph and those inside it."""

    def __init__(self, gs: Any):
        self.gs = gs
        self.tensors: dict[int, Tensor] = {}
        self.theirs: list[Any] = []  # kept, so that no two have one id

    def graph(self, graph: AnyGraph) -> None:
        self.nodes(graph)
        if not _are_ours(chain.from_iterable((*node.inputs, *node.outputs) for node in graph.nodes)):
            for node in graph.nodes:
                self.links(node)
        self.ends(graph)
        for node in graph.nodes:
            if node.attrs:
                self.attributes(node)
                for body in subgraphs(node):
                    self.graph(body)

    def edited(self, edits: Edits) -> None:
        """What came into graphs since somebody took note of their edits."""
        for graph in list(edits.graphs):
            self.nodes(graph)
        for node in list(edits.nodes):
            if node.graph is None:
                continue
            self.links(node)
            self.attributes(node)
            for body in subgraphs(node):
                if body.edits is None:
                    self.graph(body)

    def nodes(self, graph: AnyGraph) -> None:
        if not set(map(type, graph.nodes)) <= {Node}:
            graph.nodes[:] = [node if isinstance(node, Node) else self.node(node) for node in graph.nodes]

    def ends(self, graph: AnyGraph) -> None:
        if not _are_ours((*graph.inputs, *graph.outputs)):
            graph.inputs = [self.tensor(tensor) for tensor in graph.inputs]
            graph.outputs = [self.tensor(tensor) for tensor in graph.outputs]

    def links(self, node: Node) -> None:
        for links in (node.inputs, node.outputs):
            if not _are_ours(links):
                self.exchange(links)

    def attributes(self, node: Node) -> None:
        if not set(map(type, node.attrs.values())) <= _ALONE:
            ours = {name: self.attribute(value) for name, value in node.attrs.items()}
            node.attrs.update({name: value for name, value in ours.items() if value is not node.attrs[name]})

    def node(self, theirs: Any) -> Node:
        ours = Node(theirs.op, theirs.name, theirs.attrs, theirs.inputs, theirs.outputs, theirs.domain)
        ours.metadata = vars(theirs).get("metadata", {})
        _restore(ours, theirs, ("metadata", "doc_string", "overload", "extra"))
        for links in (ours.inputs, ours.outputs):
            for tensor in links:
                if isinstance(tensor, Variable | Constant):  # one of theirs goes with its links
                    far = links.far(tensor)
                    list.__setitem__(far, slice(None), [node for node in far if node is not theirs])
        return ours

    def exchange(self, links: Any) -> None:
        for place, tensor in enumerate(links):
            if not isinstance(tensor, Variable | Constant):
                ours = self.tensor(tensor)
                list.__setitem__(links, place, ours)
                list.append(links.far(ours), links.owner)
                links.owner.edited()

    def tensor(self, theirs: Any) -> Tensor:
        if isinstance(theirs, Variable | Constant):
            return theirs
        if id(theirs) not in self.tensors:
            self.theirs.append(theirs)
            if isinstance(theirs, self.gs.Constant):
                constant = self.tensors[id(theirs)] = Constant(theirs.name, _value(theirs._values))
                _restore(constant, theirs, ("order",))
            else:
                variable = Variable(theirs.name, theirs.dtype, theirs.shape, theirs.type)
                self.tensors[id(theirs)] = variable
                _restore(variable, theirs, ("info", "promised", "default"))
                if (default := variable.default) is not None:
                    variable.default = Constant(default.name, default.lazy)
                    variable.default.order = default.order
        return self.tensors[id(theirs)]

    def emptied(self, theirs: Any) -> Graph:
        """The graph, whose nodes and values are still to be taken over."""
        graph = Graph(theirs.nodes, theirs.inputs, theirs.outputs, theirs.name, theirs.doc_string, theirs.opset)
        graph.import_domains, graph.ir_version = theirs.import_domains, theirs.ir_version
        graph.producer_name, graph.producer_version = theirs.producer_name, theirs.producer_version
        _restore(graph, theirs, ("extra", "unused"))
        return graph

    def attribute(self, value: Any) -> Any:
        gs = self.gs
        if isinstance(value, list) and not isinstance(value, TypedList):
            ours = [self.attribute(item) for item in value]
            return ours if any(a is not b for a, b in zip(ours, value, strict=True)) else value
        if isinstance(value, gs.Node.AttributeRef):
            from onnx_graphsurgeon.util import misc

            return AttributeRef(value.name, misc.convert_to_onnx_attr_type(value.type))
        if isinstance(value, gs.Tensor):
            return self.tensor(value)
        if isinstance(value, gs.Graph):
            return self.emptied(value)
        return value


def _are_ours(tensors: Iterable[Any]) -> bool:
    return set(map(type, tensors)) <= {Variable, Constant}


def _value(held: Any) -> Array | Value:
    """What a constant of graphsurgeon holds, read where it is one of its own lazy values."""
    value: Array | Value = held if isinstance(held, np.ndarray) else vars(held).get(_ORIGIN) or held.load()
    return value


def _restore(ours: Any, theirs: Any, fields: Iterable[str]) -> None:
    """Give `ours` what it had when `theirs` was made from it."""
    if (before := vars(theirs).get(_ORIGIN)) is not None and type(before) is type(ours):
        for field in fields:
            held = getattr(before, field)
            setattr(ours, field, held.copy() if isinstance(held, dict | list) else held)


@functools.cache
def _lazy_values() -> Any:
    """The class of values that graphsurgeon reads when it needs them."""
    from onnx_graphsurgeon.ir.tensor import LazyValues

    class Unread(LazyValues):
        def __init__(self, held: Value):
            self.shape, self.dtype, self.nbytes = held.shape, held.dtype, held.nbytes
            setattr(self, _ORIGIN, held)

        def load(self) -> Array:
            return np.array(getattr(self, _ORIGIN).load())  # its users may write into what they get

        @property
        def tensor(self) -> onnx.TensorProto:
            return numpy_helper.from_array(self.load())

    return Unread


class _Copy:
    """What was made of what, for graphsurgeon."""

    def __init__(self) -> None:
        import onnx_graphsurgeon as gs

        self.gs = gs
        self.tensors: dict[Tensor, Any] = {}

    def graph(self, ours: AnyGraph, functions: Iterable[Function] = ()) -> Any:
        inputs, outputs = (list(map(self.tensor, ends)) for ends in (ours.inputs, ours.outputs))
        common: dict[str, Any] = {"name": ours.name, "doc_string": ours.doc_string, "opset": ours.opset}
        common |= {"inputs": inputs, "outputs": outputs, "import_domains": ours.import_domains}
        nodes = list(map(self.node, ours.nodes))
        if isinstance(ours, Function):
            attrs = {name: self.attribute(value) for name, value in ours.attrs.items()}
            made = self.gs.Function(domain=ours.domain, nodes=nodes, attrs=attrs, **common)
        else:
            common |= {"producer_name": ours.producer_name, "producer_version": ours.producer_version}
            called = list(map(self.graph, functions))
            made = self.gs.Graph(nodes, functions=called, ir_version=ours.ir_version, **common)
        setattr(made, _ORIGIN, ours)
        return made

    def node(self, ours: Node) -> Any:
        attrs = {name: self.attribute(value) for name, value in ours.attrs.items()}
        read, written = (list(map(self.tensor, links)) for links in (ours.inputs, ours.outputs))
        made = self.gs.Node(ours.op, ours.name, attrs, read, written, ours.domain)
        setattr(made, _ORIGIN, ours)
        return made

    def tensor(self, ours: Tensor) -> Any:
        if ours not in self.tensors:
            if isinstance(ours, Constant):
                held = ours.lazy
                made = self.gs.Constant(ours.name, held if isinstance(held, np.ndarray) else _lazy_values()(held))
            else:
                shape = None if ours.shape is None else list(ours.shape)
                made = self.gs.Variable(ours.name, ours.dtype, shape, ours.type)
            setattr(made, _ORIGIN, ours)
            self.tensors[ours] = made
        return self.tensors[ours]

    def attribute(self, value: Any) -> Any:
        if isinstance(value, TypedList):
            return value
        if isinstance(value, list):
            return list(map(self.attribute, value))
        if isinstance(value, AttributeRef):
            from onnx_graphsurgeon.util import misc

            return self.gs.Node.AttributeRef(value.name, misc.convert_from_onnx_attr_type(value.type))
        if isinstance(value, Constant):
            return self.tensor(value)
        return self.graph(value) if isinstance(value, Graph) else value
