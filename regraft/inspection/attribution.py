"""Attributes the differences between two models to the passes that made them, by the rewrite record."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from regraft.errors import ModelError
from regraft.inspection.census import operator
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.outside import parse_json
from regraft.pipelines import history
from regraft.pipelines.pass_base import MADE_BY, REPLACES, Change, label

T = TypeVar("T")


@dataclass(frozen=True)
class NodeName:
    """A node by its name and operator."""

    name: str
    operator: str

    @classmethod
    def of(cls, node: Node) -> NodeName:
        return cls(label(node), operator(node))


@functools.lru_cache(maxsize=1024)
def counted(operators: tuple[str, ...]) -> str:
    """`Add, 2 Mul`, or `nothing`."""
    numbers = Counter(operators)
    return ", ".join(f"{number} {name}" if number > 1 else name for name, number in numbers.items()) or "nothing"


@dataclass(frozen=True)
class NodeChange:
    """A node that both models have, and the changes of its attributes and inputs."""

    name: str
    operator: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Edit:
    """Nodes that were removed, and those that took their place; and the rule, where the pass has rules."""

    rule: str
    removed: tuple[NodeName, ...]
    added: tuple[NodeName, ...]


@dataclass(frozen=True)
class PassEdits:
    """What one pass did.

    Attributes:
        text: the pass as in the pipeline.
        undone: whether it is the first model that went through it, not the second.
    """

    text: str
    undone: bool
    edits: tuple[Edit, ...]
    changed: tuple[NodeChange, ...]


@dataclass(frozen=True)
class Rest:
    """The differences that no pass accounts for."""

    removed: tuple[NodeName, ...]
    added: tuple[NodeName, ...]
    changed: tuple[NodeChange, ...]


class Differing(NamedTuple):
    """A pair of nodes that are the same but for `details`."""

    old: Node
    new: Node
    details: tuple[str, ...]


def attribute(
    before: Model, after: Model, removed: Iterable[Node], added: Iterable[Node], changed: Iterable[Differing]
) -> tuple[tuple[PassEdits, ...], Rest]:
    """Sort nodes by the pass that removed, added or changed them."""
    ledger = _Ledger(removed, added, changed)
    entries, undone = between(before, after)
    passes = [ledger.entry(entry, undone) for entry in (reversed(entries) if undone else entries)]
    passes += ledger.marked()
    return tuple(p for p in passes if p.edits or p.changed), ledger.rest()


class _Ledger:
    """The nodes that are not accounted for yet, by name."""

    def __init__(self, removed: Iterable[Node], added: Iterable[Node], changed: Iterable[Differing]):
        self.removed = _by_name((label(node), node) for node in removed)
        self.added = _by_name((label(node), node) for node in added)
        self.changed = {id(pair): pair for pair in changed}
        self.pairs = _by_name((name, p) for p in self.changed.values() for name in {label(p.old), label(p.new)})

    def entry(self, entry: history.Entry, undone: bool) -> PassEdits:
        edits = [self.edit(change, undone) for change in entry.changes]
        names = [name for change in entry.changes for name in (*change.removed, *change.added)]
        changed = [pair for name in names for pair in self.pairs.get(name, ()) if self.changed.pop(id(pair), None)]
        kept = tuple(edit for edit in edits if edit.removed or edit.added)
        return PassEdits(entry.text, undone, kept, tuple(map(_changed, changed)))

    def edit(self, change: Change, undone: bool) -> Edit:
        removed, added = (change.added, change.removed) if undone else (change.removed, change.added)
        return Edit(change.rule, _take(self.removed, removed), _take(self.added, added))

    def marked(self) -> list[PassEdits]:
        """Edits by the marks on the nodes, where the model's record is lost."""
        found: dict[str, list[Edit]] = {}
        for node in [node for nodes in self.added.values() for node in nodes]:
            if node.has_metadata and MADE_BY in node.metadata:
                replaced = _take(self.removed, _names(node.metadata.get(REPLACES, "")))
                self.added[label(node)].remove(node)
                found.setdefault(node.metadata[MADE_BY], []).append(Edit("", replaced, (NodeName.of(node),)))
        return [PassEdits(name, False, tuple(edits), ()) for name, edits in found.items()]

    def rest(self) -> Rest:
        removed = tuple(NodeName.of(node) for nodes in self.removed.values() for node in nodes)
        added = tuple(NodeName.of(node) for nodes in self.added.values() for node in nodes)
        return Rest(removed, added, tuple(map(_changed, self.changed.values())))


def between(before: Model, after: Model) -> tuple[list[history.Entry], bool]:
    """The passes that only one of the models went through, and whether that is the first."""
    old, new = history.read(before), history.read(after)
    if len(old) > len(new) and old[: len(new)] == new:
        return old[len(new) :], True
    common = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return new[common:], False


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    table: dict[str, list[T]] = {}
    for name, item in pairs:
        table.setdefault(name, []).append(item)
    return table


def _take(table: dict[str, list[Node]], names: Iterable[str]) -> tuple[NodeName, ...]:
    return tuple(NodeName.of(node) for name in names for node in table.pop(name, ()))


def _names(text: str) -> list[str]:
    try:
        names = parse_json(text, "names")
    except ModelError:
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _changed(pair: Differing) -> NodeChange:
    return NodeChange(label(pair.new), operator(pair.new), pair.details)
