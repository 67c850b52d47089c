"""Nodes that came and went without a word of the pass: which of them stand for which."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from regraft.ir.graph import Node, Tensor
from regraft.ir.groups import Groups
from regraft.ir.journal import Turn
from regraft.pipelines.pass_base import label

Region = tuple[list[Node], list[Node]]
"""Nodes that went, and those that came in their place."""


def regions(turn: Turn, went: Collection[Node], came: Collection[Node]) -> list[Region]:
    """The nodes in parts, of which none reads from another but values that were there before and are there after."""
    old = {name: node for node in went for name in _names(turn, node.outputs)}
    new = {tensor.name: node for node in came for tensor in node.outputs if tensor.name}
    groups = Groups()
    for nodes, made, others in ((went, old, new), (came, new, old)):
        for node in nodes:
            groups.root(node)
            for tensor in node.outputs:
                now = turn.edits.replaced.get(tensor, tensor)
                for name in (*_names(turn, [tensor]), now.name):
                    if name in others:
                        groups.join(node, others[name])
            read = turn.reads(node) if nodes is went else node.inputs
            for name in _names(turn, read):
                if name in made and name not in others:
                    groups.join(node, made[name])
    found: dict[Node, Region] = {}
    for side, nodes in enumerate((went, came)):
        for node in sorted(nodes, key=label):
            found.setdefault(groups.root(node), ([], []))[side].append(node)
    return list(found.values())


def _names(turn: Turn, values: Iterable[Tensor]) -> list[str]:
    """What values were called."""
    renamed = turn.edits.renamed
    return [name for value in values if (name := renamed.get(value, value.name))]
