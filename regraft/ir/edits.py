"""Who is told of edits: nodes, links, attributes and lists of nodes write down what was edited, as it happens.

All graphs of a model tell one. Whoever wants to know what happened since a look of their own has an `Edits`, too,
into which that one pours what it has: `join`, then `share` at each look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from regraft.ir.value import Constant, Variable

if TYPE_CHECKING:
    from regraft.ir.graph import AnyGraph
    from regraft.ir.model import Model
    from regraft.ir.node import Node
    from regraft.ir.value import Tensor

_OURS = (Variable, Constant)
"""Those of graphsurgeon's have no hash, and become ours later."""


class Meaning(NamedTuple):
    """What a node computes, of what it reads."""

    op: str
    domain: str | None
    overload: str
    attrs: dict[str, Any]

    @classmethod
    def of(cls, node: Node) -> Meaning:
        return cls(node.op, node.domain, node.overload, dict(node.attrs))


class Edits:
    """What was edited in the graphs that have these `Edits`, since somebody took note.

    Attributes:
        nodes: those that came, went, or have another operator, other attributes, inputs or outputs.
        values: those that a node made which makes them no longer, and constants that were assigned other values.
        graphs: those to which a node came, or from which one went.
        reordered: whether nodes stand in another order, but for those that came or went.
        renamed: values that were given another name, and the one that they had.
        called: nodes that were given another name, and the one that they had.
        left: the graph that a node went from.
        were: nodes whose operator or attributes were assigned, and what they were.
        altered: nodes whose inputs were assigned, or that have an attribute that changed in place.
        read: what nodes read whose inputs were assigned, before and after; of those that went, what they read.
        replaced: values in whose place an `Editor` put another, and that one.
        known: values that became constants, and the node that made each.
        listeners: who is told of all this at `share`.
    """

    __slots__ = (
        *("altered", "called", "graphs", "known", "left", "listeners", "nodes"),
        *("read", "renamed", "reordered", "replaced", "values", "were"),
    )

    def __init__(self) -> None:
        self.nodes: set[Node] = set()
        self.values: set[Tensor] = set()
        self.graphs: set[AnyGraph] = set()
        self.renamed: dict[Tensor, str] = {}
        self.called: dict[Node, str] = {}
        self.left: dict[Node, AnyGraph] = {}
        self.were: dict[Node, Meaning] = {}
        self.altered: set[Node] = set()
        self.read: dict[Node, tuple[Tensor, ...]] = {}
        self.replaced: dict[Tensor, Tensor] = {}
        self.known: dict[Tensor, Node] = {}
        self.reordered = False
        self.listeners: list[Edits] = []

    def clear(self) -> None:
        """Begin anew."""
        for held in self._all():
            held.clear()
        self.reordered = False

    def __bool__(self) -> bool:
        return self.reordered or any(map(bool, self._all()))

    def _all(self) -> tuple[set[Any] | dict[Any, Any], ...]:
        return *self._sets(), *self._firsts(), *self._lasts(), self.read

    def _sets(self) -> tuple[set[Any], ...]:
        return self.nodes, self.values, self.graphs, self.altered

    def _firsts(self) -> tuple[dict[Any, Any], ...]:
        """What something was at first."""
        return self.renamed, self.called, self.left, self.were

    def _lasts(self) -> tuple[dict[Any, Any], ...]:
        """What became of something in the end."""
        return self.replaced, self.known

    def share(self) -> None:
        """Tell all listeners what was edited, and begin anew."""
        for one in self.listeners:
            one._take(self)
        self.clear()

    def _take(self, other: Edits) -> None:
        for own, more in zip(self._sets(), other._sets(), strict=True):
            own |= more
        self.reordered |= other.reordered
        for mine, theirs in zip(self._firsts(), other._firsts(), strict=True):
            mine |= {key: value for key, value in theirs.items() if key not in mine} if mine else theirs
        if self.read:
            self.read |= {node: (*self.read.get(node, ()), *values) for node, values in other.read.items()}
        else:
            self.read |= other.read
        for mine, theirs in zip(self._lasts(), other._lasts(), strict=True):
            mine |= theirs

    def gone(self, nodes: Sequence[Node], graph: AnyGraph) -> None:
        """Note that `nodes` went from `graph`."""
        self.nodes.update(nodes)
        self.values.update([value for node in nodes for value in node.outputs if isinstance(value, _OURS)])
        read, left = self.read, self.left
        left.update(dict.fromkeys([node for node in nodes if node not in left] if left else nodes, graph))
        read.update([(node, (*read[node], *node.inputs) if node in read else tuple(node.inputs)) for node in nodes])

    def edited(self, node: Node, lost: Iterable[Any] = ()) -> None:
        """Note that `node` was edited, and makes the values `lost` no longer."""
        self.nodes.add(node)
        for value in lost:
            if isinstance(value, _OURS):
                self.values.add(value)

    def relinked(self, node: Node, values: Iterable[Any]) -> None:
        """Note that `node` reads `values` now, or did until now."""
        self.nodes.add(node)
        self.altered.add(node)
        self.read[node] = (*self.read.get(node, ()), *values)

    def keep(self, node: Node) -> None:
        """Note what `node` computes, ahead of a change."""
        if node not in self.were:
            self.were[node] = Meaning.of(node)

    def substituted(self, replaced: Mapping[Tensor, Tensor], known: Mapping[Tensor, Node]) -> None:
        """Note in whose place a value was put, and what became a constant."""
        self.replaced |= replaced
        self.known |= known


def join(model: Model, listener: Edits) -> Edits:
    """Let `listener` be told of edits in the graphs of `model`, which are all our own; returns what shares these."""
    edits = model.graph.edits
    if edits is None:
        edits = model.graph.edits = Edits()
    if listener not in edits.listeners:
        edits.share()
        edits.listeners.append(listener)
    return edits
