"""Where a node came from: the passes that made it, back to the nodes of the first model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from regraft.errors import UnknownNameError
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines import history
from regraft.pipelines.pass_base import Change, label


@dataclass(frozen=True)
class Origin:
    """A node, and what it was made of.

    Attributes:
        name: its name, or its first output's.
        operator: empty for one that the model no longer has: the record keeps names.
        pass_text: the pass that made it, as in the pipeline; empty for one of the first model.
        rule: the rule of the pass.
        of: what it took the place of.
        metadata: what the exporter said of it, such as the line of source that it came from.
    """

    name: str
    operator: str
    pass_text: str
    rule: str
    of: tuple[Origin, ...]
    metadata: Mapping[str, str]

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Origin]]:
        """This and all that it was made of, with how far back each is."""
        yield depth, self
        for one in self.of:
            yield from one.walk(depth + 1)


def blame(model: Model, name: str) -> Origin:
    """Where the node called `name` came from, or the one that makes the value called so.

    Raises:
        UnknownNameError: the model has none of this name.
    """
    nodes = {label(node): node for node in model.nodes()}
    makers = {tensor.name: node for node in model.nodes() for tensor in node.outputs if tensor.name}
    node = nodes.get(name) or makers.get(name)
    if node is None:
        raise UnknownNameError("node or value", name, [*nodes, *makers])
    steps = [(entry.text, change) for entry in history.read(model) for change in entry.changes]
    return _origin(label(node), len(steps), _makers(steps), nodes)


Step = tuple[int, str, Change]


def _makers(steps: list[tuple[str, Change]]) -> dict[str, list[Step]]:
    """The changes that made a node of each name, oldest first, with their places in the record."""
    found: dict[str, list[Step]] = {}
    for at, (text, change) in enumerate(steps):
        for name in change.added:
            found.setdefault(name, []).append((at, text, change))
    return found


def _origin(name: str, before: int, makers: Mapping[str, list[Step]], nodes: Mapping[str, Node]) -> Origin:
    """The origin of what was called `name` before the change with the number `before`."""
    node = nodes.get(name)
    operator = node.op if node is not None else ""
    metadata = dict(node.metadata) if node is not None and node.has_metadata else {}
    step = next((step for step in reversed(makers.get(name, [])) if step[0] < before), None)
    if step is None:
        return Origin(name, operator, "", "", (), metadata)
    at, text, change = step
    made_of = tuple(_origin(one, at, makers, nodes if one == name else {}) for one in change.removed)
    return Origin(name, operator, text, change.rule, made_of, metadata)
