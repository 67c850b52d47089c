"""Which nodes of two models are the same, by whatever name; linear in nodes.

A node that computes the same from the same inputs is the same node. Where something before it changed, the nodes after
it decide, then its name, then those of its neighbours that are paired already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from operator import attrgetter
from typing import NamedTuple

from regraft.inspection.census import operator
from regraft.inspection.fingerprint import Fingerprints
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.pipelines.pass_base import label


class _Row(NamedTuple):
    """A node, and what it is told by."""

    node: Node
    scope: int
    forward: int
    backward: int
    operator: str
    label: str


class Alignment:
    """The pairs of nodes of two models that are the same.

    Attributes:
        after, before: the other node of a pair, from the first model to the second and back.
        old, new: the fingerprints of each model.
        ends: keys of the inputs and outputs of the main graphs, which are equal where two belong together.
    """

    def __init__(self, before: Model, after: Model):
        self.ends = _ends(before, after)
        self.old, self.new = Fingerprints(before, self.ends), Fingerprints(after, self.ends)
        self.after: dict[Node, Node] = {}
        self.before: dict[Node, Node] = {}
        self._pair_all()

    def _pair_all(self) -> None:
        common = set(map(operator, self.old.forward)).intersection(map(operator, self.new.forward))
        self._left, self._right = _rows(self.old, common), _rows(self.new, common)
        for fields in (
            ("scope", "forward", "backward", "label"),
            ("scope", "forward", "backward"),
            ("scope", "forward", "label"),
            ("scope", "forward"),
            ("scope", "backward", "label"),
        ):
            self._match(attrgetter(*fields))
        self._match(attrgetter("scope", "backward"), balanced=True)
        self._match(attrgetter("scope", "operator", "label"))
        self._spread()
        if self._left and self._right:
            sides = ((self.old, self._left), (self.new, self._right))
            local = {n: h for side, rows in sides for n, h in side.local(row.node for row in rows).items()}
            self._match(lambda row: (row.scope, local[row.node]), balanced=True)
            self._spread()

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

    def _match(self, key: Callable[[_Row], Hashable], balanced: bool = False) -> None:
        """Pair the remaining nodes by `key`, in order; if `balanced`, only where both models have the same number."""
        if not self._left or not self._right:
            return
        keys = list(map(key, self._right))
        waiting: dict[Hashable, list[Node]] = {k: [] for k in keys}
        for k, row in zip(map(key, reversed(self._left)), reversed(self._left), strict=True):
            if k in waiting:
                waiting[k].append(row.node)
        if balanced:
            numbers = Counter(keys)
            waiting = {k: nodes for k, nodes in waiting.items() if len(nodes) == numbers[k]}
        for k, row in zip(keys, self._right, strict=True):
            if waiting.get(k):
                self._pair(waiting[k].pop(), row.node)
        self._drop_idle()

    def _spread(self) -> None:
        """Pair the neighbours of pairs where there is only one choice."""
        around = {near for row in self._right for near in _around(row.node)}
        work = [pair for pair in self.after.items() if pair[1] in around]
        while work:
            for old, new in _neighbours(*work.pop(), self):
                if old not in self.after and new not in self.before:
                    self._pair(old, new)
                    work.append((old, new))
        self._drop_idle()

    def _drop_idle(self) -> None:
        """Leave the rows that have no pair yet, and may find one: the other model has some of their operator left."""
        left = [row for row in self._left if row.node not in self.after]
        right = [row for row in self._right if row.node not in self.before]
        common = {row.operator for row in left} & {row.operator for row in right}
        self._left = [row for row in left if row.operator in common]
        self._right = [row for row in right if row.operator in common]


def _rows(side: Fingerprints, common: set[str]) -> list[_Row]:
    """The nodes of the operators in `common`."""
    scope, forward, backward = side.scope, side.forward, side.backward
    named = [(node, op) for node in forward if (op := operator(node)) in common]
    return [_Row(node, scope[node], forward[node], backward[node], op, label(node)) for node, op in named]


def _around(node: Node) -> Iterator[Node]:
    """The nodes that `node` reads from, and those that read from it."""
    for tensor in node.inputs:
        yield from tensor.inputs
    for tensor in node.outputs:
        yield from tensor.outputs


def _neighbours(old: Node, new: Node, known: Alignment) -> Iterator[tuple[Node, Node]]:
    for a, b in zip(old.inputs, new.inputs, strict=False):
        if a.inputs and b.inputs and _alike(a.inputs[0], b.inputs[0], known):
            yield a.inputs[0], b.inputs[0]
    for a, b in zip(old.outputs, new.outputs, strict=False):
        readers: dict[str, tuple[list[Node], list[Node]]] = {}
        for side, (tensor, done) in enumerate(((a, known.after), (b, known.before))):
            for node in dict.fromkeys(tensor.outputs):
                if node not in done:
                    readers.setdefault(operator(node), ([], []))[side].append(node)
        for left, right in readers.values():
            if len(left) == len(right) == 1 and _alike(left[0], right[0], known):
                yield left[0], right[0]


def _alike(old: Node, new: Node, known: Alignment) -> bool:
    return operator(old) == operator(new) and known.old.scope[old] == known.new.scope[new]


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
