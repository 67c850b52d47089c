"""The nodes of a graph as a list that tells of edits, and the graphs inside nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from operator import attrgetter
from typing import Any, SupportsIndex

from regraft.ir.node import PLAIN, Node, put_graph


class Body:
    """What can stand inside a node: a graph."""


class Nodes(list[Node]):
    """The nodes of a graph, which know it; tells of every change.

    Attributes:
        graph: whose they are.
        holders: those that may have bodies.
    """

    __slots__ = ("graph", "holders")

    def __init__(self, graph: Any, nodes: Iterable[Node] = ()):
        super().__init__(nodes)
        self.graph = graph
        self.holders: set[Node] = set()
        self._take(self)

    def _edit(self) -> Any:
        """Tell that the list is edited. Returns who is told more; None: nobody."""
        edits = self.graph.edits
        if edits is not None:
            edits.graphs.add(self.graph)
        return edits

    def _take(self, nodes: Iterable[Node]) -> None:
        graph, edits = self.graph, self._edit()
        for node in nodes:
            if isinstance(node, Node):  # else graphsurgeon's, which is adopted later
                put_graph(node, graph)
                if node.attrs:
                    self.hold(node)
                if edits is not None:
                    edits.edited(node)

    def _drop(self, nodes: Iterable[Node]) -> None:
        edits, graph = self._edit(), self.graph
        ours = [node for node in nodes if isinstance(node, Node)]
        if edits is not None:
            edits.gone(ours, graph)
        self.holders.difference_update(ours)
        for node in ours:
            if node.graph is graph:
                put_graph(node, None)

    def hold(self, node: Node) -> None:
        """Note whether `node` may have bodies."""
        for value in node.attrs.values():
            if isinstance(value, Body) or (type(value) is list and (not value or isinstance(value[0], Body))):
                self.holders.add(node)
                return
        self.holders.discard(node)

    def _reordered(self) -> None:
        if (edits := self._edit()) is not None:
            edits.reordered = True

    def append(self, node: Node) -> None:
        super().append(node)
        self._take((node,))

    def extend(self, nodes: Iterable[Node]) -> None:
        added = list(nodes)
        super().extend(added)
        self._take(added)

    def insert(self, place: SupportsIndex, node: Node) -> None:
        super().insert(place, node)
        self._take((node,))

    def remove(self, node: Node) -> None:
        super().remove(node)
        self._drop((node,))

    def pop(self, place: SupportsIndex = -1) -> Node:
        node = super().pop(place)
        self._drop((node,))
        return node

    def clear(self) -> None:
        old = list(self)
        super().clear()
        self._drop(old)

    def reverse(self) -> None:
        super().reverse()
        self._reordered()

    def sort(self, **how: Any) -> None:
        super().sort(**how)
        self._reordered()

    def __setitem__(self, place: Any, nodes: Any) -> None:
        old = self[place] if isinstance(place, slice) else [self[place]]
        new = list(nodes) if isinstance(place, slice) else [nodes]
        super().__setitem__(place, new if isinstance(place, slice) else nodes)
        self._exchanged(old, new)

    def __delitem__(self, place: Any) -> None:
        old = self[place] if isinstance(place, slice) else [self[place]]
        super().__delitem__(place)
        self._drop(old)

    def exchange(self, gone: Set[Node], before: Mapping[Node, Sequence[Node]]) -> None:
        """Take out what is `gone`, and put ahead of a node the new ones that `before` has for it."""
        went = [node for node in self if node in gone]
        came: list[Node] = []
        left: list[Node] = []
        if before:
            for node in self:
                if node in before:
                    new = [one for one in before[node] if one not in gone]
                    came += new
                    left += new
                if node not in gone:
                    left.append(node)
        else:
            left = [node for node in self if node not in gone]
        super().__setitem__(slice(None), left)
        self._drop(went)
        self._take(came)

    def __iadd__(self, nodes: Iterable[Node]) -> Nodes:  # type: ignore[override, misc]
        self.extend(nodes)
        return self

    def __imul__(self, times: SupportsIndex) -> Nodes:
        raise TypeError("a node stands in a graph once")

    def _exchanged(self, old: list[Node], new: list[Node]) -> None:
        before, after = set(map(id, old)), set(map(id, new))  # graphsurgeon's own nodes have no hash
        if [n for n in old if id(n) in after] != [n for n in new if id(n) in before]:
            self._reordered()
        self._drop(n for n in old if id(n) not in after)
        self._take(n for n in new if id(n) not in before)


def bodies(nodes: Iterable[Node]) -> list[Any]:
    """The graphs that are attributes of `nodes`, not those inside them."""
    if isinstance(nodes, Nodes) and not nodes.holders:
        return []
    return _bodies_among(chain.from_iterable(map(dict.values, map(_ATTRS, nodes))))


def subgraphs(node: Node) -> Sequence[Any]:
    """The graphs that are attributes of `node`, not those inside them."""
    if not node.attrs or ((graph := node.graph) is not None and node not in graph.nodes.holders):
        return ()
    return _bodies_among(node.attrs.values())


def _bodies_among(values: Iterable[Any]) -> list[Any]:
    holders = [value for value in values if type(value) not in PLAIN]
    if not holders:
        return []
    return [body for one in holders for body in (one if type(one) is list else (one,)) if isinstance(body, Body)]


_ATTRS = attrgetter("attrs")


def walk(graph: Any) -> Iterator[Any]:
    """`graph` and every graph inside it, outer before inner."""
    stack = [graph]
    while stack:
        current = stack.pop()
        yield current
        stack += reversed(bodies(current.nodes))
