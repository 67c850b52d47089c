"""The way of one value through a graph, and the places where it is all in one value again."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Set

from regraft.ir.graph import AnyGraph, Node, Tensor
from regraft.ir.order import reads
from regraft.ops.traits import PRODUCTS, QUANTIZED_PRODUCTS, SHAPE_ONLY


def is_about_shape(node: Node) -> bool:
    """Whether `node` reads the shape of a value, and nothing of what is in it."""
    return not node.domain and node.op in SHAPE_ONLY


class Stream:
    """What is computed from `start` on the way to `ends`.

    Attributes:
        nodes: those on the way, in order.
        place: the place of each.
        made: all values that are computed from `start`, and `start` itself.
        cuts: the values that every path to the last of the ends goes through, in order, `start` first: what is computed
            after one of them knows `start` by it alone.
    """

    def __init__(self, graph: AnyGraph, start: Tensor, ends: Iterable[Tensor]):
        ahead = list(_reached(graph, start))
        self.made = {start, *(t for node in ahead for t in node.outputs)}
        ends = self.made.intersection(ends)
        self.nodes = _needed(ahead, ends)
        self.place = {node: place for place, node in enumerate(self.nodes)}
        self.cuts: list[Tensor] = []
        self._places: list[int] = []
        for place, tensor in self._find_cuts(start, ends):
            self.cuts.append(tensor)
            self._places.append(place)

    def _find_cuts(self, start: Tensor, ends: Set[Tensor]) -> Iterator[tuple[int, Tensor]]:
        last = {tensor: place for place, node in enumerate(self.nodes) for tensor in reads(node)}
        last = dict.fromkeys(ends, len(self.nodes)) | last  # an end on the way to another is only handed out
        far = last.get(start, -1)  # the last place that reads what was made so far
        yield -1, start
        for place, node in enumerate(self.nodes):
            read = [tensor for tensor in node.outputs if tensor in last]
            if far <= place and len(read) == 1:
                yield place, read[0]
            far = max(far, *(last[tensor] for tensor in read))

    def first_cut(self, node: Node) -> int:
        """Which cut is the first that `node`, which is on the way, leads to."""
        return bisect_left(self._places, self.place[node])

    def has_product(self, cut: int) -> bool:
        """Whether a matrix product stands between a cut and the next."""
        first, last = self._places[cut] + 1, self._places[cut + 1] + 1
        return any(node.op in PRODUCTS | QUANTIZED_PRODUCTS for node in self.nodes[first:last])


def ancestors(tensor: Tensor) -> set[Tensor]:
    """`tensor`, and the values that it is computed from."""
    found = {tensor}
    pending = [tensor]
    while pending:
        for node in pending.pop().inputs:
            new = [] if is_about_shape(node) else [t for t in reads(node) if t not in found]
            found.update(new)
            pending += new
    return found


def _reached(graph: AnyGraph, start: Tensor) -> Iterator[Node]:
    made = {start}
    for node in graph.nodes:
        if not is_about_shape(node) and any(tensor in made for tensor in reads(node)):
            made.update(node.outputs)
            yield node


def _needed(nodes: list[Node], ends: Set[Tensor]) -> list[Node]:
    """Those of `nodes` that `ends` need."""
    needed, kept = set(ends), []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(reads(node))
            kept.append(node)
    return kept[::-1]
