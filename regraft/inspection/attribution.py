"""Attributes the differences between two models to the passes that made them, by the rewrite record."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from regraft.errors import ModelError
from regraft.files.wire import LARGE
from regraft.inspection.census import operator
from regraft.inspection.places import Paths, layer_of
from regraft.ir.graph import Constant, Node
from regraft.ir.model import Model
from regraft.outside import parse_json
from regraft.pipelines import history
from regraft.pipelines.pass_base import MADE_BY, REPLACES, Change, label

T = TypeVar("T")


@dataclass(frozen=True)
class NodeName:
    """A node by its name and operator.

    Attributes:
        path: the body or function that it is in, `If_3/then/`; empty for the main graph.
        layer: the repeated module that it is of, `layer.3`, where its name or its metadata say so.
    """

    name: str
    operator: str
    path: str = ""
    layer: str = ""

    @classmethod
    def of(cls, node: Node, paths: Paths) -> NodeName:
        return cls(label(node), operator(node), paths.get(node.graph, ""), layer_of(node))

    def __str__(self) -> str:
        return f"{self.path}{self.name}"


@functools.lru_cache(maxsize=1024)
def counted(operators: tuple[str, ...]) -> str:
    """`Add, 2 Mul`, or `nothing`."""
    numbers = Counter(operators)
    return ", ".join(f"{number} {name}" if number > 1 else name for name, number in numbers.items()) or "nothing"


@dataclass(frozen=True)
class NodeChange:
    """A node that both models have, and the changes of its operator, its attributes and inputs."""

    name: str
    operator: str
    details: tuple[str, ...]
    path: str = ""

    def __str__(self) -> str:
        return f"{self.path}{self.name}"


@dataclass(frozen=True)
class Edit:
    """Nodes that were removed, and those that took their place; and the rule, where the pass has rules."""

    rule: str
    removed: tuple[NodeName, ...]
    added: tuple[NodeName, ...]

    @property
    def kind(self) -> str:
        """What became of what, `Mul, Erf -> Gelu`, constants aside, and by which rule, where that says more."""
        gone, made = (counted(_operators(nodes)) for nodes in (self.removed, self.added))
        return f"{gone} -> {made}{f'  ({self.rule})' if self.rule not in ('', gone) else ''}"


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


class Rest(NamedTuple):
    """The nodes that no pass accounts for."""

    removed: list[Node]
    added: list[Node]
    changed: tuple[NodeChange, ...]


class Differing(NamedTuple):
    """A pair of nodes that are the same but for `details`."""

    old: Node
    new: Node
    details: tuple[str, ...]


class Record(NamedTuple):
    """The passes that only one of two models went through, and whether that is the first."""

    entries: list[history.Entry]
    undone: bool


def attribute(
    record: Record, where: Paths, removed: Iterable[Node], added: Iterable[Node], changed: Iterable[Differing]
) -> tuple[tuple[PassEdits, ...], Rest]:
    """Sort nodes by the pass that removed, added or changed them; `where` has the graphs of both models."""
    ledger = _Ledger(removed, added, changed, where)
    entries = reversed(record.entries) if record.undone else record.entries
    passes = [ledger.entry(entry, record.undone) for entry in entries]
    passes += ledger.marked()
    return tuple(p for p in passes if p.edits or p.changed), ledger.rest()


def weights_by_pass(before: Model, after: Model) -> dict[str, str]:
    """The pass that accounts for each weight that came, went or is other, by its name.

    A small constant belongs to the nodes that read it.
    """
    entries, undone = between(before, after)
    old, new = (after, before) if undone else (before, after)
    found: dict[str, str] = {}
    gone: dict[str, str] = {}
    made: dict[str, str] = {}
    for text, change in ((entry.text, change) for entry in entries for change in entry.changes):
        found.update((one.weight, text) for one in change.weights)
        named = [*(one.sources for one in change.weights), *change.values]
        found |= {name: text for names in named for name in names if name not in found}
        gone |= {name: text for name in (*change.removed, *change.edited) if name not in gone}
        made |= dict.fromkeys((*change.added, *change.edited), text)
    for model, nodes in ((old, gone), (new, made)):
        for node in model.nodes():
            if (maker := nodes.get(label(node))) is not None:
                names = [one.name for one in _held_by(node) if model is old or one.nbytes < LARGE]
                found |= {name: maker for name in names if name not in found}
    return found


def _held_by(node: Node) -> Iterator[Constant]:
    """The constants that a node reads; of a Constant node, its own, under the name of what it makes, too."""
    for one in (*node.inputs, *node.attrs.values()):
        if isinstance(one, Constant):
            yield one
            yield from (Constant(made.name, one.lazy) for made in node.outputs if node.op == "Constant")


class _Ledger:
    """The nodes that are not accounted for yet, by name."""

    def __init__(self, removed: Iterable[Node], added: Iterable[Node], changed: Iterable[Differing], paths: Paths):
        self.paths = paths
        self.removed = _by_name((label(node), node) for node in removed)
        self.added = _by_name((label(node), node) for node in added)
        self.changed = {id(pair): pair for pair in changed}
        self.pairs = _by_name((name, pair) for pair in self.changed.values() for name in _names_of(pair))

    def entry(self, entry: history.Entry, undone: bool) -> PassEdits:
        edits = [self.edit(change, undone) for change in entry.changes]
        names = [name for one in entry.changes for name in (*one.removed, *one.added, *one.edited)]
        changed = [pair for name in names for pair in self.pairs.get(name, ()) if self.changed.pop(id(pair), None)]
        kept = tuple(edit for edit in edits if edit.removed or edit.added)
        return PassEdits(entry.text, undone, kept, tuple(map(self.changed_node, changed)))

    def edit(self, change: Change, undone: bool) -> Edit:
        removed, added = (change.added, change.removed) if undone else (change.removed, change.added)
        return Edit(change.rule, self.take(self.removed, removed), self.take(self.added, added))

    def take(self, table: dict[str, list[Node]], names: Iterable[str]) -> tuple[NodeName, ...]:
        """The nodes of these names, which are accounted for now."""
        return tuple([self.name(node) for name in names for node in table.pop(name, ())])

    def name(self, node: Node) -> NodeName:
        return NodeName.of(node, self.paths)

    def changed_node(self, pair: Differing) -> NodeChange:
        return NodeChange(label(pair.new), operator(pair.new), pair.details, self.paths.get(pair.new.graph, ""))

    def marked(self) -> list[PassEdits]:
        """Edits by the marks on the nodes, where the model's record is lost."""
        found: dict[str, list[Edit]] = {}
        for node in [node for nodes in self.added.values() for node in nodes]:
            if node.has_metadata and MADE_BY in node.metadata:
                replaced = self.take(self.removed, _names(node.metadata.get(REPLACES, "")))
                self.added[label(node)].remove(node)
                found.setdefault(node.metadata[MADE_BY], []).append(Edit("", replaced, (self.name(node),)))
        return [PassEdits(name, False, tuple(edits), ()) for name, edits in found.items()]

    def rest(self) -> Rest:
        removed, added = ([n for nodes in table.values() for n in nodes] for table in (self.removed, self.added))
        return Rest(removed, added, tuple(map(self.changed_node, self.changed.values())))


def between(before: Model, after: Model) -> Record:
    """What was done between two models, as their records say; nothing where these are of other models."""
    old, new = history.read(before), history.read(after)
    undone = len(old) > len(new) and old[: len(new)] == new
    if undone:
        old, new, before = new, old, after
    common = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    entries = new[common:]
    return Record(entries if _begins_with(entries, before) else [], undone)


def _begins_with(entries: Iterable[history.Entry], model: Model) -> bool:
    """Whether `model` has at least half of the nodes that `entries` take from the model that they begin with."""
    made: set[str] = set()
    taken: set[str] = set()
    for change in (change for entry in entries for change in entry.changes):
        taken.update(name for name in change.removed if name not in made)
        made.update(change.added)
    return 2 * len(taken.intersection(map(label, model.nodes()))) >= len(taken) and len(model.graph.nodes) > 0


def _operators(nodes: Iterable[NodeName]) -> tuple[str, ...]:
    """The operators of `nodes`; of constants, where there is nothing else."""
    every = tuple([node.operator for node in nodes])
    return tuple([name for name in every if name != "Constant"]) or every


def _names_of(pair: Differing) -> set[str]:
    """The nodes whose edit accounts for a difference: the two, and where only inputs differ what makes these."""
    nodes = [pair.old, pair.new]
    if all(detail.startswith("input ") for detail in pair.details):
        nodes += [maker for node in nodes[:2] for tensor in node.inputs for maker in tensor.inputs]
    return set(map(label, nodes))


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    table: dict[str, list[T]] = {}
    for name, item in pairs:
        table.setdefault(name, []).append(item)
    return table


def _names(text: str) -> list[str]:
    try:
        names = parse_json(text, "names")
    except ModelError:
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
