"""Nodes that were built anew and are the same: of a whole graph that a pass replaced, say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from regraft.ir.edits import Meaning
from regraft.ir.equality import equal
from regraft.ir.graph import Constant, Graph, Node, Tensor
from regraft.ir.journal import Turn
from regraft.pipelines.pass_base import label

Key = tuple[str, str, str]


class Rebuilt:
    """Tells which nodes are those that there were.

    Args:
        turn: what happened to the model.
        former: what a node was called.
    """

    def __init__(self, turn: Turn, former: Callable[[Node], str]):
        self._turn, self._former = turn, former

    def pairs(self, went: Iterable[Node], came: Iterable[Node]) -> list[tuple[Node, Node]]:
        """The nodes of one name and one operator, as they were and as they are."""
        waiting: dict[Key, list[Node]] = {}
        for node in sorted(went, key=self._former):
            waiting.setdefault(self._key(self._former(node), self._meant(node)), []).append(node)
        keys = [(node, self._key(label(node), Meaning.of(node))) for node in sorted(came, key=label)]
        return [(waiting[key].pop(), node) for node, key in keys if waiting.get(key)]

    def is_same(self, old: Node, new: Node) -> bool:
        """Whether a node computes what it computed, of what it read."""
        read = list(self._turn.reads(old))
        return (
            len(read) == len(new.inputs)
            and all(map(self._is_alike, read, new.inputs))
            and list(map(self._called, old.outputs)) == [tensor.name for tensor in new.outputs]
            and _has_same(self._meant(old).attrs, new.attrs)
        )

    def weights(self) -> list[Constant]:
        """The new weights that hold what one of their name held."""
        before, named = self._turn.before, {self._called(weight): weight for weight in self._turn.before}
        return [
            weight
            for weight in self._turn.weights
            if (old := named.get(weight.name)) is not None and before[old] is old.lazy and equal(old, weight)
        ]

    def _meant(self, node: Node) -> Meaning:
        return self._turn.edits.were.get(node) or Meaning.of(node)

    def _key(self, name: str, meaning: Meaning) -> Key:
        return name, meaning.domain or "", meaning.op

    def _called(self, value: Tensor) -> str:
        return self._turn.edits.renamed.get(value, value.name)

    def _is_alike(self, old: Tensor, new: Tensor) -> bool:
        if isinstance(old, Constant) and isinstance(new, Constant):
            return old not in self._turn.edits.values and equal(old, new)
        return self._called(old) == new.name


def _has_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return old.keys() == new.keys() and all(_is_equal(value, new[name]) for name, value in old.items())


def _is_equal(old: Any, new: Any) -> bool:
    """Whether attributes are the same, but for what is inside graphs: their nodes are compared by themselves."""
    if isinstance(old, Constant) and isinstance(new, Constant):
        return equal(old, new)
    if isinstance(old, Graph) and isinstance(new, Graph):
        return True
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_is_equal, old, new))
    return type(old) is type(new) and bool(old == new)
