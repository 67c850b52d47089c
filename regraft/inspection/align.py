"""Which nodes of two models are the same; linear in nodes.

Where the record says what was done between the models, names tell. Else a node that computes the same from the same
inputs, for the same readers, is the same node; then names tell where neighbours agree, then weights by what they hold.
The others are paired in the order of the graph, by ever less of them, and by neighbours that are paired already.
"""

from __future__ import annotations

import functools
import itertools
from bisect import bisect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from regraft.inspection import keys
from regraft.inspection.attribution import between
from regraft.inspection.fingerprint import Fingerprints
from regraft.inspection.order import in_order
from regraft.inspection.sequence import common, increasing
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.pipelines.pass_base import label

Check = Callable[[Node, Node, Mapping[Node, Node]], bool]
"""Whether a pair may be made, beside the others that are proposed."""

_NEAR = 64  # neighbours of a node that are looked at
_LIKE, _UNLIKE = 0.5, 0.3  # Dice's coefficient from which neighbours are paired, at first and at last
_PLACES = 400  # pairs of neighbours that are weighed against each other


class Alignment:
    """The pairs of nodes of two models that are the same.

    Attributes:
        after, before: the other node of a pair, from the first model to the second and back.
        old, new: the fingerprints of each model.
        ends: keys of the inputs and outputs of the main graphs, which are equal where two belong together.
        record: what was done between the models.
    """

    def __init__(self, before: Model, after: Model):
        self.ends = _ends(before, after)
        self.old, self.new = Fingerprints(before, self.ends), Fingerprints(after, self.ends)
        self.after: dict[Node, Node] = {}
        self.before: dict[Node, Node] = {}
        self._left, self._right = list(self.old.forward), list(self.new.forward)
        self._models = before, after
        self.record = between(before, after)
        if self.record.entries:
            self._match(keys.name)
            self._leave_to_record()
        self._drop_idle()
        self._pair_all(recorded=bool(self.record.entries))

    def _leave_to_record(self) -> None:
        """Look for no partner of what went or came as the record says."""
        changes = [change for entry in self.record.entries for change in entry.changes]
        sides = ({name for c in changes for name in c.removed}, {name for c in changes for name in c.added})
        gone, came = reversed(sides) if self.record.undone else sides
        self._left = [node for node in self._left if label(node) not in gone]
        self._right = [node for node in self._right if label(node) not in came]

    def _pair_all(self, recorded: bool) -> None:
        self._match(keys.exact_and_name, balanced=True)
        self._match(keys.of_readers(keys.exact), balanced=True)
        if not recorded:
            self._match(keys.of_readers(keys.name), self._agree)
        self._match(keys.weights)
        for key in (keys.forward, keys.backward):
            self._match(keys.of_readers(key))
        for key in (keys.exact, keys.forward):
            self._follow(key)
        self._match(keys.local)
        for key in (keys.local, keys.readers, keys.outline, keys.name, keys.form, keys.kind):
            self._follow(key)
            self._spread()
        self._spread(_UNLIKE)
        self._match(keys.backward)
        for key in (keys.exact, keys.forward):
            self._match(key, balanced=True)
        self._match(keys.name)
        if not recorded:
            self._left, self._right = self.removed, self.added
            self._match(keys.only_name, self._stand_alone)

    @property
    def removed(self) -> list[Node]:
        """The nodes that only the first model has."""
        return [node for node in self.old.forward if node not in self.after]

    @property
    def added(self) -> list[Node]:
        """The nodes that only the second model has."""
        return [node for node in self.new.forward if node not in self.before]

    def same_value(self, old: Tensor, new: Tensor) -> bool | None:
        """Whether two values are the same; None where one comes from a node that only one model has."""
        if self.old.value(old) == self.new.value(new):
            return True
        if not old.inputs and not new.inputs:
            return self.ends.get(old, old.name) == self.ends.get(new, new.name)
        maker, other = (tensor.inputs[0] if tensor.inputs else None for tensor in (old, new))
        if (maker is not None and maker not in self.after) or (other is not None and other not in self.before):
            return None
        if maker is None or other is None or self.after[maker] is not other:
            return False
        return maker.place_of(old) == other.place_of(new)

    def _pair(self, old: Node, new: Node) -> None:
        self.after[old], self.before[new] = new, old

    def _match(self, key: keys.Key, check: Check | None = None, balanced: bool = False) -> None:
        """Pair nodes by `key` where each side has one of it; if `balanced`, as many as the other, in their order."""
        if not self._left or not self._right:
            return
        right = keys.grouped(self.new, self._right, key)
        left = keys.grouped(self.old, self._left, key, among=right)
        found = [
            pair
            for old, new in ((old, right[k]) for k, old in left.items())
            if len(old) == len(new) and (balanced or len(old) == 1)
            for pair in zip(old, new, strict=True)
        ]
        proposed = dict(found)
        for old, new in found if check is None else [pair for pair in found if check(*pair, proposed)]:
            self._pair(old, new)
        if found:
            self._drop_idle()

    @functools.cached_property
    def _places(self) -> list[dict[Node, int]]:
        """Of each side the nodes with their places in the order of the graph."""
        return [{node: i for i, node in enumerate(in_order(model))} for model in self._models]

    def _follow(self, key: keys.Key) -> None:
        """Pair nodes by `key` in the order of the graph, between those that are paired already."""
        if not any(node.inputs for node in self._right):
            return
        left, right = self._places
        kept = increasing(sorted((left[old], right[new]) for old, new in self.after.items()))
        bounds = [[pair[side] for pair in kept] for side in (0, 1)]
        came = _by_gap(self._right, right, bounds[1])
        gone = _by_gap(self._left, left, bounds[0], came)
        for gap, old in gone.items():
            new = came[gap]
            for i, j in common(keys.of_all(self.old, old, key), keys.of_all(self.new, new, key)):
                self._pair(old[i], new[j])
        self._drop_idle()

    def _spread(self, least: float = _LIKE) -> None:
        """Pair the neighbours of pairs, those first that have most neighbours in common, and no fewer than `least`."""
        if not self._left or not self._right:
            return
        around = {near for node in self._right for _, near in _around(node)}
        work = [pair for pair in self.after.items() if pair[1] in around]
        while work:
            for pair in self._neighbours(*work.pop(), least):
                if pair[0] not in self.after and pair[1] not in self.before:
                    self._pair(*pair)
                    work.append(pair)
        self._drop_idle()

    def _neighbours(self, old: Node, new: Node, least: float) -> list[tuple[Node, Node]]:
        left = [(place, node) for place, node in _around(old) if node not in self.after]
        right = [(place, node) for place, node in _around(new) if node not in self.before] if left else []
        if len(left) * len(right) > _PLACES:
            return []
        alike = [
            (a, b, self._likeness(a, b, {}), p == q)
            for p, a in left
            for q, b in right
            if self.old.operator[a] == self.new.operator[b] and self.old.scope[a] == self.new.scope[b]
        ]
        alike.sort(key=lambda one: one[2:], reverse=True)
        return [(a, b) for a, b, likeness, _ in alike if likeness >= least]

    def _agree(self, old: Node, new: Node, proposed: Mapping[Node, Node]) -> bool:
        """Whether at least half of the neighbours are paired, or proposed, too."""
        return self._likeness(old, new, proposed) >= _LIKE

    def _likeness(self, old: Node, new: Node, proposed: Mapping[Node, Node]) -> float:
        """Dice's coefficient of the neighbours, what is read and what reads apart."""
        near = [(place[0], node) for place, node in itertools.islice(_around(old), _NEAR)]
        other = {(place[0], node) for place, node in itertools.islice(_around(new), _NEAR)}
        both = sum((side, self.after.get(node) or proposed.get(node)) in other for side, node in near)
        return 2 * both / max(1, len(near) + len(other))

    def _stand_alone(self, old: Node, new: Node, proposed: Mapping[Node, Node]) -> bool:
        """Whether everything around two nodes is paired."""
        return all(near in self.after for _, near in _around(old)) and all(
            near in self.before for _, near in _around(new)
        )

    def _drop_idle(self) -> None:
        """Leave the nodes that have no pair yet, and may find one: the other model has some of their operator left."""
        left = [node for node in self._left if node not in self.after]
        right = [node for node in self._right if node not in self.before]
        old, new = self.old.operator, self.new.operator
        both = {old[node] for node in left} & {new[node] for node in right}
        self._left = [node for node in left if old[node] in both]
        self._right = [node for node in right if new[node] in both]


def _by_gap(
    nodes: Iterable[Node], places: Mapping[Node, int], bounds: list[int], among: Container[int] | None = None
) -> dict[int, list[Node]]:
    """The nodes that read something, in order, by how many of `bounds` come before them, or those of `among`."""
    found: dict[int, list[Node]] = {}
    for node in nodes:
        if node.inputs:
            gap = bisect(bounds, places[node])
            if among is None or gap in among:
                found.setdefault(gap, []).append(node)
    for held in found.values():
        held.sort(key=places.__getitem__)
    return found


def _around(node: Node) -> Iterator[tuple[tuple[bool, int], Node]]:
    """The nodes that `node` reads from, and those that read from it, with the place of the value."""
    for place, tensor in enumerate(node.inputs):
        for maker in tensor.inputs:
            yield (True, place), maker
    for place, tensor in enumerate(node.outputs):
        for reader in tensor.outputs:
            yield (False, place), reader


def _ends(before: Model, after: Model) -> dict[Tensor, object]:
    """Inputs, and outputs, belong together by name, the others in order."""
    found: dict[Tensor, object] = {}
    for kind in ("inputs", "outputs"):
        sides = [getattr(model.graph, kind) for model in (before, after)]
        common = {t.name for t in sides[0]} & {t.name for t in sides[1]}
        for side in sides:
            found |= {t: (kind, t.name) for t in side if t.name in common and t not in found}
            rest = [t for t in side if t.name not in common and t not in found]
            found |= {t: (kind, i) for i, t in enumerate(rest)}
    return found
