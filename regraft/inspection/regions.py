"""Nodes that went and nodes that came, by what took the place of what: told from the graphs alone.

A node goes with its readers where these go together, so that a region makes one value that others read; what several
regions share is one of its own. A new region took the place of an old one where nodes that stayed, or outputs, read its
value where they read the other's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from itertools import chain
from typing import NamedTuple

from regraft.inspection.align import Alignment
from regraft.inspection.fingerprint import bodies
from regraft.ir.graph import Node, Tensor, subgraphs
from regraft.ir.groups import Groups
from regraft.ir.model import Model


class Region(NamedTuple):
    """Nodes of the first model, and those of the second that took their place; one side may have none."""

    removed: list[Node]
    added: list[Node]


def regions(
    before: Model, after: Model, nodes: Alignment, removed: Iterable[Node], added: Iterable[Node]
) -> list[Region]:
    """The regions that `removed` and `added` fall into, in the order of the graphs."""
    sides = dict.fromkeys(removed), dict.fromkeys(added)
    ends = dict(_ends(before, after, nodes))
    heads = _heads(nodes.old.forward, sides[0], set(ends)) | _heads(nodes.new.forward, sides[1], set(ends.values()))
    groups = Groups()
    for node, head in heads.items():
        groups.join(node, head)
    for old, new in _replaced(sides[0], nodes, ends):
        if new.inputs and new.inputs[0] in sides[1]:
            groups.join(old.inputs[0], new.inputs[0])
    found: dict[Node, Region] = {}
    for side, own in enumerate(sides):
        for node in own:
            found.setdefault(groups.root(node), Region([], []))[side].append(node)
    return list(found.values())


def _heads(order: Collection[Node], own: Collection[Node], ends: Set[Tensor]) -> dict[Node, Node]:
    """The last node of the region of each node of `own`; `order` has readers after what they read."""
    found: dict[Node, Node] = {}
    holders = {t: node for node in own for body in subgraphs(node) for t in body.outputs}
    for node in reversed([node for node in order if node in own]):
        readers = (reader for tensor in node.outputs for reader in tensor.outputs)
        read_by = {found.get(reader) for reader in (*readers, *(holders[t] for t in node.outputs if t in holders))}
        head = read_by.pop() if len(read_by) == 1 and ends.isdisjoint(node.outputs) else None
        found[node] = head or node
    return found


def _replaced(
    removed: Iterable[Node], nodes: Alignment, ends: Mapping[Tensor, Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Values of removed nodes, and those that are read in their place."""
    for tensor in chain.from_iterable(node.outputs for node in removed):
        if tensor in ends:
            yield tensor, ends[tensor]
        for reader in tensor.outputs:
            if (other := nodes.after.get(reader)) is not None:
                yield from (pair for pair in zip(reader.inputs, other.inputs, strict=False) if pair[0] is tensor)


def _ends(before: Model, after: Model, nodes: Alignment) -> Iterator[tuple[Tensor, Tensor]]:
    """The outputs of graphs that both models have."""
    now = {nodes.ends[tensor]: tensor for tensor in after.graph.outputs}
    yield from ((t, now[nodes.ends[t]]) for t in before.graph.outputs if nodes.ends[t] in now)
    functions = {function.unique_id: function for function in after.functions}
    for function in before.functions:
        if (same := functions.get(function.unique_id)) is not None:
            yield from zip(function.outputs, same.outputs, strict=False)
    for holder in (holder for graph in before.graphs() for holder in graph.nodes.holders):
        if (other := nodes.after.get(holder)) is not None:
            for (_, old), (_, new) in zip(bodies(holder), bodies(other), strict=False):
                yield from zip(old.outputs, new.outputs, strict=False)
