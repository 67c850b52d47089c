"""What became of a model between two looks, by its edits: which nodes came, went and are other, and which weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from regraft.ir.edits import Edits, Meaning, join
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, subgraphs, walk
from regraft.ir.graphsurgeon import adopt
from regraft.ir.model import Model
from regraft.ir.node import PLAIN
from regraft.ir.weights import Array, Value

Held = Array | Value


@dataclass
class Turn:
    """What happened to a model since the last look.

    Attributes:
        came, went: nodes that the model has now, and had not; and the other way round.
        moved: nodes that are in another graph of the model, and what is inside these.
        edited: nodes that stay where they are, and compute something else, or read something else that is not the same
            value under another name.
        touched: nodes of any kind that edits reached.
        weights: constants of many bytes that are new, or hold something else.
        dropped: constants that a graph had though nothing read them, and has no more.
        before: those that there were, and what they held.
        edits: what was told; what it says of names is what they were.
        graphs: those of the model now.
        root: whether the main graph is still the one that it was.
    """

    edits: Edits
    graphs: set[AnyGraph]
    before: dict[Constant, Held]
    root: bool = True
    came: set[Node] = field(default_factory=set)
    went: set[Node] = field(default_factory=set)
    moved: set[Node] = field(default_factory=set)
    edited: set[Node] = field(default_factory=set)
    touched: set[Node] = field(default_factory=set)
    weights: dict[Constant, None] = field(default_factory=dict)
    dropped: set[Constant] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.edits or self.dropped)

    def is_there(self, node: Node) -> bool:
        """Whether the model has the node now."""
        return node.graph in self.graphs

    def reads(self, node: Node) -> Sequence[Tensor]:
        """What a node read, or was linked to in between; of one that was not edited, what it reads."""
        return self.edits.read.get(node, node.inputs)


class Journal:
    """Follows the edits of a model from one look to the next.

    Args:
        large: bytes from which on a constant is a weight of its own, and no part of the nodes that read it.

    Attributes:
        nodes: those of all graphs, at the last look.
    """

    def __init__(self, model: Model, large: int):
        self._model, self._large = model, large
        self._edits = Edits()
        adopt(model)
        nodes = list(model.nodes())
        self.nodes = set(nodes)
        self._weights = {c: c.lazy for c in self._large_among(nodes)}
        self._follow(set(model.graphs()))

    def _follow(self, graphs: set[AnyGraph]) -> None:
        self._root, self._graphs = self._model.graph, graphs
        self._unused = {constant for graph in graphs for constant in graph.unused}
        self._told = join(self._model, self._edits)
        for graph in graphs:
            graph.edits = self._told

    def read(self) -> Turn:
        """What happened since the last look."""
        adopt(self._model)
        self._told.share()
        edits, now = self._edits, set(self._model.graphs())
        turn = Turn(edits, now, self._weights, self._model.graph is self._root)
        self._edits = Edits()
        for graph in self._graphs ^ now:
            edits.nodes.update(graph.nodes)
        if edits:
            self._sort(turn)
        kept = {constant.name for graph in now for constant in graph.unused}
        turn.dropped = {constant for constant in self._unused if constant.name not in kept and not constant.outputs}
        if turn.came or turn.went:
            self.nodes = (self.nodes - turn.went) | turn.came
        if turn.weights:
            self._weights = self._weights | {weight: weight.lazy for weight in turn.weights}
        self._told.listeners.remove(edits)
        self._follow(now)
        return turn

    def _sort(self, turn: Turn) -> None:
        edits, graphs = turn.edits, turn.graphs
        turn.touched = edits.nodes
        there = {node for node in edits.nodes if node.graph in graphs}
        turn.came = there - self.nodes
        turn.went = (edits.nodes - there) & self.nodes
        left = [node for node, graph in edits.left.items() if node.graph is not graph]
        taken = [node for node in left if node in self.nodes and turn.is_there(node)]
        inside = [inner for node in taken for body in subgraphs(node) for graph in walk(body) for inner in graph.nodes]
        turn.moved = {*taken, *(node for node in inside if node in self.nodes)}
        edited = {node for node, was in edits.were.items() if not _is_same(was, Meaning.of(node))} | edits.altered
        for value in edits.values:
            if isinstance(value, Constant) and value not in edits.known:
                edited.update(value.outputs)
        turn.edited = {node for node in edited if node in self.nodes and turn.is_there(node)} - turn.moved
        for weight in self._large_among(there, edits.values):
            if self._weights.get(weight) is not weight.lazy:
                turn.weights[weight] = None

    def _large_among(self, nodes: Iterable[Node], values: Iterable[Tensor] = ()) -> Iterator[Constant]:
        """The weights that `nodes` read, of a Constant node what it holds, and those among `values` that are read."""
        found = {tensor for node in nodes for tensor in node.inputs if type(tensor) is Constant}
        found.update([value for value in values if type(value) is Constant and value.outputs])
        found.update([v for node in nodes if node.op == "Constant" for v in node.attrs.values() if type(v) is Constant])
        return (constant for constant in found if constant.lazy.nbytes >= self._large)

    def end(self) -> None:
        """Follow the model no more."""
        self._told.listeners.remove(self._edits)
        if not self._told.listeners:
            for graph in self._graphs:
                graph.edits = None


def _is_same(one: Meaning, other: Meaning) -> bool:
    return (
        one[:3] == other[:3]
        and one.attrs.keys() == other.attrs.keys()
        and all(_is_equal(value, other.attrs[name]) for name, value in one.attrs.items())
    )


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two attributes are the same; of those that can hold others only the one itself is."""
    return one is other or (type(one) is type(other) and type(one) in PLAIN and bool(one == other))
