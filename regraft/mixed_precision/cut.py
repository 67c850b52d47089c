"""Settle the groups that may be either, so that as few values as possible need a cast.

A value needs one where those that make and read it are not all in one precision: the fewest casts are a minimum cut
between what is kept and what is lowered. Units that no open group ties together are settled apart, so the work stays
in proportion to the model. Of the cuts that need as few casts, the one that keeps most is taken: it rounds least.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from regraft.ir.graph import Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant

_MANY = 1 << 30
_KEPT, _LOWERED = 0, 1  # source and sink


def settle(groups: Sequence[PrecisionGroup]) -> None:
    """Decide the groups that are open. Constants need no cast: they are stored in both precisions."""
    nets = _nets(groups)
    for component in _components(nets):
        _cut(component, nets)


def _nets(groups: Iterable[PrecisionGroup]) -> list[list[PrecisionGroup]]:
    """For each value those that make and read it, where not all of them are settled."""
    members: dict[Tensor, dict[PrecisionGroup, None]] = defaultdict(dict)
    for group in groups:
        for tensor in (*group.writes, *(slot.tensor for slot in group.reads)):
            if not is_constant(tensor):
                members[tensor][group] = None
    found = [list(net) for net in members.values() if any(u.lowered is None for u in net)]
    alone = [[group] for group in groups if group.lowered is None]
    return found + alone


def _components(nets: Sequence[Sequence[PrecisionGroup]]) -> Iterator[dict[PrecisionGroup, list[int]]]:
    """Open groups that values tie together, each with the numbers of the nets that it is in."""
    places: dict[PrecisionGroup, list[int]] = defaultdict(list)
    for number, net in enumerate(nets):
        for group in net:
            if group.lowered is None:
                places[group].append(number)
    seen: set[PrecisionGroup] = set()
    for root in places:
        if root in seen:
            continue
        component, pending = {}, [root]
        seen.add(root)
        while pending:
            group = pending.pop()
            component[group] = places[group]
            near = [u for number in places[group] for u in nets[number] if u.lowered is None and u not in seen]
            for other in dict.fromkeys(near):
                seen.add(other)
                pending.append(other)
        yield component


def _cut(component: dict[PrecisionGroup, list[int]], nets: Sequence[Sequence[PrecisionGroup]]) -> None:
    flow = _Flow()
    place = {group: flow.node() for group in component}
    for number in dict.fromkeys(number for numbers in component.values() for number in numbers):
        ends = {place.get(u, _LOWERED if u.lowered else _KEPT) for u in nets[number]}
        if len(ends) == 1 or {_KEPT, _LOWERED} <= ends:
            continue  # no cast whatever is decided, or one in any case
        enter, leave = flow.node(), flow.node()
        flow.edge(enter, leave, 1)
        for end in ends:
            flow.edge(end, enter, _MANY)
            flow.edge(leave, end, _MANY)
    lowered = flow.sink_side()
    for group, number in place.items():
        if number in lowered:
            group.settle(True, "between lowered values")
        else:
            group.settle(False, "fewest casts")


class _Flow:
    """Maximum flow from `_KEPT` to `_LOWERED`, by shortest paths in phases (Dinic)."""

    def __init__(self) -> None:
        self.edges: list[list[int]] = [[], []]  # of a node, by number; edge i ^ 1 is edge i backwards
        self.to: list[int] = []
        self.room: list[int] = []

    def node(self) -> int:
        self.edges.append([])
        return len(self.edges) - 1

    def edge(self, start: int, end: int, room: int) -> None:
        for node, other, capacity in ((start, end, room), (end, start, 0)):
            self.edges[node].append(len(self.to))
            self.to.append(other)
            self.room.append(capacity)

    def sink_side(self) -> set[int]:
        """The nodes from which the sink can still be reached once the flow is as large as it can be."""
        while True:
            level = self._levels()
            if _LOWERED not in level:
                break
            tried = [0] * len(self.edges)
            while self._augment(level, tried):
                pass
        reached, pending = {_LOWERED}, [_LOWERED]
        while pending:
            for edge in self.edges[pending.pop()]:
                node = self.to[edge]
                if self.room[edge ^ 1] and node not in reached:
                    reached.add(node)
                    pending.append(node)
        return reached

    def _levels(self) -> dict[int, int]:
        level, pending = {_KEPT: 0}, deque([_KEPT])
        while pending:
            node = pending.popleft()
            for edge in self.edges[node]:
                if self.room[edge] and self.to[edge] not in level:
                    level[self.to[edge]] = level[node] + 1
                    pending.append(self.to[edge])
        return level

    def _augment(self, level: dict[int, int], tried: list[int]) -> bool:
        """Send one unit along a shortest path, past the edges that were `tried` in vain; no path carries more."""
        path: list[int] = []
        node = _KEPT
        while node != _LOWERED:
            edges = self.edges[node]
            while tried[node] < len(edges) and not self._leads_on(edges[tried[node]], level, node):
                tried[node] += 1
            if tried[node] < len(edges):
                path.append(edges[tried[node]])
                node = self.to[path[-1]]
            elif path:
                node = self.to[path.pop() ^ 1]
                tried[node] += 1
            else:
                return False
        for edge in path:
            self.room[edge] -= 1
            self.room[edge ^ 1] += 1
        return True

    def _leads_on(self, edge: int, level: dict[int, int], node: int) -> bool:
        return bool(self.room[edge]) and level.get(self.to[edge]) == level[node] + 1
