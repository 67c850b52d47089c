"""Where a node, a value or a weight came from: the passes that made it, back to what the first model had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from regraft.errors import UnknownNameError
from regraft.inspection.census import constants
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.outside import DEPTH
from regraft.pipelines import history
from regraft.pipelines.inheritance import TRACE, source_lines
from regraft.pipelines.pass_base import BESIDE, MADE_BY, REPLACES, Change, label

WEIGHT, INPUT = "weight", "input"
"""What stands for the operator of a weight, and of an input of the model."""


@dataclass(frozen=True)
class Origin:
    """A node or a weight, and what it was made of.

    Attributes:
        name: its name, or its first output's.
        operator: empty for one that the model no longer has: the record keeps names.
        pass_text: the pass that made it, as in the pipeline; empty for one of the first model.
        rule: the rule of the pass.
        of: what it took the place of; of a weight, the weights that it was computed from.
        metadata: what the exporter said of it and of those that it took the place of.
        edits: the passes that changed it since, and their rules.
        stands_for: what values that it makes were called before.
        gone: the pass that took it away, and what is in its place; empty for what the model has.
        is_cut: whether it was made of something that is told elsewhere, or that is too far back.
    """

    name: str
    operator: str
    pass_text: str
    rule: str
    of: tuple[Origin, ...]
    metadata: Mapping[str, str]
    edits: tuple[str, ...] = ()
    stands_for: tuple[str, ...] = ()
    gone: str = ""
    is_cut: bool = False

    @property
    def source(self) -> list[str]:
        """The lines of source that it came from, as torch's exporter wrote them down; outermost first."""
        return source_lines(self.metadata)

    @property
    def other_metadata(self) -> dict[str, str]:
        """The metadata that nothing else here tells."""
        return {key: value for key, value in self.metadata.items() if key not in (MADE_BY, REPLACES, TRACE)}

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Origin]]:
        """This and all that it was made of, with how far back each is."""
        yield depth, self
        for one in self.of:
            yield from one.walk(depth + 1)


def blame(model: Model, name: str) -> Origin:
    """Where the node called `name` came from, or the one that makes the value called so, or the weight.

    What the model no longer has is found by the record.

    Raises:
        UnknownNameError: neither the model nor its record has this name.
    """
    return _Blame(model).of(name)


class _Step(NamedTuple):
    """A change, and its place in the record."""

    at: int
    text: str
    change: Change

    def __str__(self) -> str:
        return f"{self.text}{f', rule {self.rule}' * bool(self.rule)}"

    @property
    def rule(self) -> str:
        """The rule, where the pass named one."""
        return "" if self.change.rule == BESIDE else self.change.rule


class _Blame:
    def __init__(self, model: Model):
        self.model = model
        self.nodes = {label(node): node for node in model.nodes()}
        every = [(entry.text, change) for entry in history.read(model) for change in entry.changes]
        self.steps = [_Step(at, text, change) for at, (text, change) in enumerate(every)]
        self.made, self.edited, self.went = (dict[str, list[_Step]]() for _ in range(3))
        self.weights, self.renamed, self.replaced = (dict[str, list[_Step]]() for _ in range(3))
        for step in self.steps:
            change = step.change
            for table, names in (
                (self.made, change.added),
                (self.edited, change.edited),
                (self.went, change.removed),
                (self.weights, [weight for weight, _ in change.weights]),
                (self.renamed, [new for _, new in change.values]),
                (self.replaced, [old for old, _ in change.values]),
            ):
                for name in names:
                    table.setdefault(name, []).append(step)
        self.seen: set[tuple[str, int]] = set()

    def of(self, name: str) -> Origin:
        makers = {tensor.name: node for node in self.nodes.values() for tensor in node.outputs if tensor.name}
        if (node := self.nodes.get(name) or makers.get(name)) is not None:
            return self.node(label(node), len(self.steps), node, 0)
        held = {constant.name for constant in constants(self.model)}
        if name in held or name in self.weights:
            return self.weight(name, len(self.steps), 0)
        inputs = [tensor.name for tensor in self.model.graph.inputs]
        if name in inputs:
            return Origin(name, INPUT, "", "", (), {}, stands_for=self.former(name, len(self.steps)))
        if name in self.replaced and (now := self.latest(name)) != name:
            return self.of(now)
        if name in self.went:
            return self.absent(name)
        raise UnknownNameError("node or value", name, [*self.nodes, *makers, *held, *inputs])

    def latest(self, name: str) -> str:
        """What stands in the end for a value that was called `name`."""
        at = -1
        while (step := next((one for one in self.replaced.get(name, ()) if one.at > at), None)) is not None:
            name, at = next(new for old, new in step.change.values if old == name), step.at
        return name

    def former(self, name: str, before: int) -> tuple[str, ...]:
        """What the value called `name` was called ahead of the change with the number `before`, latest first."""
        found: dict[str, None] = {}
        while (step := _last(self.renamed.get(name, ()), before)) is not None:
            name, before = next(old for old, new in step.change.values if new == name), step.at
            found[name] = None
        return tuple(found)

    def node(self, name: str, before: int, node: Node | None, depth: int) -> Origin:
        """The origin of what was called `name` before the change with the number `before`; `node`: what it is now."""
        step = _last(self.made.get(name, ()), before)
        start = -1 if step is None else step.at
        edits = tuple(dict.fromkeys(str(one) for one in self.edited.get(name, ()) if start <= one.at < before))
        operator, metadata = ("", {}) if node is None else (node.op, dict(node.metadata) if node.has_metadata else {})
        values = [] if node is None else [tensor.name for tensor in node.outputs]
        stands_for = tuple(old for value in values for old in self.former(value, before))
        if step is None:
            return Origin(name, operator, "", "", (), metadata, edits, stands_for)
        removed, is_cut = step.change.removed, self.is_cut(name, start, depth)
        of = [self.node(one, start, node if one == name else None, depth + 1) for one in removed if not is_cut]
        rule, is_cut = step.rule, is_cut and bool(removed)
        return Origin(name, operator, step.text, rule, tuple(of), metadata, edits, stands_for, is_cut=is_cut)

    def weight(self, name: str, before: int, depth: int) -> Origin:
        step = _last(self.weights.get(name, ()), before)
        if step is None:
            return Origin(name, WEIGHT, "", "", (), {}, stands_for=self.former(name, before))
        sources = next(made.sources for made in step.change.weights if made.weight == name)
        is_cut = self.is_cut(f"%{name}", step.at, depth)
        of = tuple(self.weight(one, step.at, depth + 1) for one in sources if not is_cut)
        return Origin(name, WEIGHT, step.text, step.rule, of, {}, is_cut=is_cut and bool(sources))

    def absent(self, name: str) -> Origin:
        """The origin of a node that went."""
        step = self.went[name][-1]
        found = self.node(name, step.at, None, 0)
        place = f"; in its place {', '.join(step.change.added)}" if step.change.added else ""
        return replace(found, gone=f"{step}{place}")

    def is_cut(self, name: str, at: int, depth: int) -> bool:
        """Whether what `name` was made of by a change is told already, or lies too far back."""
        known = (name, at) in self.seen or depth >= DEPTH
        self.seen.add((name, at))
        return known


def _last(steps: list[_Step] | tuple[()], before: int) -> _Step | None:
    return next((step for step in reversed(steps) if step.at < before), None)
