"""Which nodes of two models are the same, by whatever name; linear in nodes.

A node that computes the same from the same inputs is the same node. Where something before it changed, the nodes after
it decide, then its name, then those of its neighbours that are paired already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from regraft.inspection.census import operator
from regraft.inspection.fingerprint import Fingerprints
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.pipelines.pass_ import label

Key = Callable[[Fingerprints, Node], object]


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
        for key in (
            lambda f, n: (f.forward[n], f.backward[n], label(n)),
            lambda f, n: (f.forward[n], f.backward[n]),
            lambda f, n: (f.forward[n], label(n)),
            lambda f, n: f.forward[n],
            lambda f, n: (f.backward[n], label(n)),
        ):
            self._match(key)
        self._match(lambda f, n: f.backward[n], balanced=True)
        self._match(lambda f, n: (operator(n), label(n)))
        self._spread()
        self._match(lambda f, n: f.local[n], balanced=True)
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
        makers = [(old, self.after), (new, self.before)]
        if any(t.inputs and t.inputs[0] not in known for t, known in makers):
            return None
        if not old.inputs or not new.inputs or self.after[old.inputs[0]] is not new.inputs[0]:
            return False
        return _place(old) == _place(new)

    def _pair(self, old: Node, new: Node) -> None:
        self.after[old], self.before[new] = new, old

    def _match(self, key: Key, balanced: bool = False) -> None:
        """Pair the remaining nodes by `key`, in order; if `balanced`, only where both models have the same number."""
        added = self.added
        if not added:
            return
        waiting: dict[int, list[Node]] = {}
        for node in reversed(self.removed):
            waiting.setdefault(hash((self.old.scope[node], key(self.old, node))), []).append(node)
        keys = [hash((self.new.scope[node], key(self.new, node))) for node in added]
        if balanced:
            numbers = Counter(keys)
            waiting = {k: nodes for k, nodes in waiting.items() if len(nodes) == numbers[k]}
        for k, node in zip(keys, added, strict=True):
            if waiting.get(k):
                self._pair(waiting[k].pop(), node)

    def _spread(self) -> None:
        """Pair the neighbours of pairs where there is only one choice."""
        work = list(self.after.items())
        while work:
            for old, new in _neighbours(*work.pop(), self):
                if old not in self.after and new not in self.before:
                    self._pair(old, new)
                    work.append((old, new))


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


def _place(tensor: Tensor) -> int:
    return next(i for i, output in enumerate(tensor.inputs[0].outputs) if output is tensor)


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
