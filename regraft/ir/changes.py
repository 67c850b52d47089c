"""What changed in a model since it was last looked at.

Nodes, links, attributes and lists of nodes tell of edits as these happen; see `edits`. What tells of nothing is
compared with what was seen of it: what no node makes, lists among attributes, what graphs have beside their nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.ir.edits import Edits, join
from regraft.ir.graph import AnyGraph, AttributeRef, Constant, Graph, Node, Tensor, Variable, subgraphs, walk
from regraft.ir.graphsurgeon import adopt, number_dtypes
from regraft.ir.node import PLAIN

if TYPE_CHECKING:
    from regraft.ir.model import Model


@dataclass
class Changes:
    """What is not as it was.

    Attributes:
        all: whether everything may be other: at the first look, or after a change of the opset or of a function.
        nodes: those of the main graph that are new, or have another operator, other attributes, inputs or outputs, or
            a body where something is other.
        values: inputs and constants that are new, other or read no longer, and what nodes made that went or are other.
        reordered: whether nodes that were there before stand in another order.
        renamed: values that a node makes or reads that have another name.
    """

    all: bool = False
    nodes: set[Node] = field(default_factory=set)
    values: set[Tensor] = field(default_factory=set)
    reordered: bool = False
    renamed: set[Tensor] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.all or self.nodes or self.values or self.reordered or self.renamed)

    def __ior__(self, other: Changes) -> Changes:
        self.all |= other.all
        self.nodes |= other.nodes
        self.values |= other.values
        self.reordered |= other.reordered
        self.renamed |= other.renamed
        return self


class Watch:
    """A model as it was at the last look."""

    def __init__(self) -> None:
        self._edits = Edits()
        self._told: Edits | None = None  # what the graphs tell
        self._around: list[Any] | None = None
        self._lists: dict[Node, list[list[Any]]] = {}  # attributes that are lists, which change in place
        self._said: dict[Node, str] = {}  # and what was in them
        self._inside: dict[Node, list[tuple[Any, Any]]] = {}  # others that can, as they were
        self._graphs: set[AnyGraph] = set()
        self._bodies: dict[Node, list[Any]] = {}  # of nodes with bodies, what these had beside nodes
        self._sources: dict[Tensor, Any] = {}  # what no node makes

    def look(self, model: Model) -> Changes:
        """What changed since the last look."""
        if model.graph.edits is None or self._edits not in model.graph.edits.listeners:
            adopt(model)
        edits, told = self._edits, join(model, self._edits)
        said = zip(self._said.items(), map(repr, self._lists.values()), strict=True)  # 1 equals 1.0, and is another
        inside = [node for (node, before), now in said if now != before]
        inside += [node for node, held in self._inside.items() for v, seen in held if _is_other(v, seen)]
        told.nodes.update(inside)
        told.altered.update(inside)
        adopt(model)
        told.share()
        around = [*map(_frame, model.functions), _operators(model.graph)]
        found = Changes(all=around != self._around)
        self._around = around
        inner = _inner(model)
        graphs = (*model.roots, *inner)
        for graph in graphs:
            if graph.edits is not told or graph not in self._graphs or told is not self._told:
                graph.edits = told
                edits.nodes.update(graph.nodes)
        for graph in self._graphs - set(graphs):
            self._forget(graph)
        self._graphs, self._told = set(graphs), told
        bodies = {node: [*map(_frame, subgraphs(node))] for graph in graphs for node in graph.nodes.holders}
        edits.nodes.update(node for node, seen in bodies.items() if seen != self._bodies.get(node))
        self._bodies = bodies
        ends = {tensor for graph in inner for tensor in (*graph.inputs, *graph.outputs)}
        self._take(ends)
        self._see(edits.nodes)
        self._take([tensor for tensor in edits.values if tensor.outputs])
        found.nodes.update([node for node in edits.nodes if node.graph is model.graph])
        for graph in edits.graphs | {node.graph for node in edits.nodes}:
            if (holder := inner.get(graph)) is not None:
                found.nodes.add(holder)
            elif graph is not model.graph and graph in self._graphs:
                found.all = True  # in a function
        self._look_at_sources(ends)
        found.values, found.reordered, found.renamed = set(edits.values), edits.reordered, set(edits.renamed)
        edits.clear()
        return found

    def _forget(self, graph: AnyGraph) -> None:
        """Be told no longer of a graph that has gone."""
        if graph.edits is self._told:
            graph.edits = None
        for node in graph.nodes:
            self._drop(node)
            self._edits.values.update(node.outputs)

    def _drop(self, node: Node) -> None:
        """Hold on no longer to what is in the attributes of `node`."""
        self._inside.pop(node, None)
        if self._lists.pop(node, None) is not None:
            del self._said[node]

    def _see(self, nodes: Iterable[Node]) -> None:
        """Take note of nodes that are other than they were, or have gone."""
        edits, lists, inside, is_plain = self._edits, self._lists, self._inside, _PLAIN.issuperset
        texts: dict[str, str] = {}  # one for lists that are alike
        for node in nodes:
            edits.values.update(node.outputs)
            if node in lists or node in inside:
                self._drop(node)
            if node.graph is None or node.graph.edits is not self._told:
                continue
            self._take(node.inputs)
            if node.attrs and not is_plain(map(type, node.attrs.values())):
                self._hold(node, texts)

    def _hold(self, node: Node, texts: dict[str, str]) -> None:
        """Take note of the attributes of `node` that can change in place."""
        number_dtypes(node)
        lists: list[list[Any]] = []
        others: list[Any] = []
        for value in node.attrs.values():
            if type(value) is list and _PLAIN.issuperset(map(type, value)):
                lists.append(value)
            elif type(value) not in _PLAIN:
                others.append(value)
        if lists:
            self._lists[node] = lists
            said = repr(lists)
            self._said[node] = texts.setdefault(said, said)
        if others:
            self._inside[node] = [(value, _seen(value)) for value in others]

    def _take(self, values: Iterable[Tensor]) -> None:
        """Look, from now on, at those of `values` that no node makes."""
        for tensor in values:
            if not tensor.inputs and tensor not in self._sources and tensor.name:
                self._sources[tensor] = None
                self._edits.values.add(tensor)

    def _look_at_sources(self, ends: Set[Tensor]) -> None:
        """See whether what no node makes is as it was; a constant that a node reads tells of it by itself."""
        values, sources = self._edits.values, self._sources
        for tensor in ends:
            if isinstance(tensor, Constant) and tensor in sources and tensor.lazy is not sources[tensor]:
                sources[tensor] = tensor.lazy
                values.add(tensor)
        for tensor in [one for one in sources if not isinstance(one, Constant)]:
            if (now := _declared(tensor)) != sources[tensor]:
                sources[tensor] = now
                values.add(tensor)
        for tensor in [one for one in sources if not one.outputs and isinstance(one, Constant) and one not in ends]:
            del sources[tensor]
            values.add(tensor)


def _inner(model: Model) -> dict[AnyGraph, Node | None]:
    """Each graph inside another, and the node of the main graph that it is in; None: it is in a function."""
    found: dict[AnyGraph, Node | None] = {}
    for root in model.roots:
        for node in root.nodes.holders:
            for body in subgraphs(node):
                found.update(dict.fromkeys(walk(body), node if root is model.graph else None))
    return found


class _Same:
    """Is equal to what holds the same object."""

    __slots__ = ("held",)

    def __init__(self, held: Any):
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.held is self.held

    __hash__ = None  # type: ignore[assignment]


_PLAIN = PLAIN | {bool, AttributeRef, type(None)}
"""Types of attributes that nobody can change in place; a function has None for one that its callers must give."""


def _seen(value: Any) -> Any:
    """What tells whether an attribute changes in place."""
    return value.lazy if isinstance(value, Constant) else _frozen(value)


def _is_other(value: Any, seen: Any) -> bool:
    return value.lazy is not seen if isinstance(value, Constant) else bool(_frozen(value) != seen)


def _frozen(value: Any) -> Any:
    if type(value) in _PLAIN or isinstance(value, np.generic):
        return type(value), value
    if isinstance(value, Constant):
        return _Same(value), _Same(value.lazy)
    if isinstance(value, Graph):
        return _Same(value)
    if isinstance(value, list | tuple):
        return [*map(_frozen, value)]
    return object()  # nobody can tell: to be on the safe side it is another


def _frame(graph: AnyGraph) -> list[Any]:
    """What a graph has beside its nodes."""
    attrs = [(name, _frozen(value)) for name, value in getattr(graph, "attrs", {}).items()]
    return [_Same(graph), _operators(graph), [*graph.inputs], [*graph.outputs], attrs]


def _operators(graph: AnyGraph) -> list[Any]:
    return [graph.opset, *((one.domain, one.version) for one in graph.import_domains or ())]


def _declared(tensor: Variable) -> list[Any]:
    shape = tensor.shape if tensor.shape is None else [*tensor.shape]
    return [tensor.dtype, shape, tensor.type, _Same(tensor.info)]
