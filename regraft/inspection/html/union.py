"""The nodes and the ends of one model, or of two in one: what both have is one item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from regraft.inspection.align import Alignment
from regraft.ir.graph import Node, Tensor, subgraphs
from regraft.ir.model import Model


class End(NamedTuple):
    """An input or an output of a main graph."""

    kind: Literal["input", "output"]
    tensor: Tensor


Item = Node | End
Pair = tuple[Item | None, Item | None]
"""An item in the first model and in the second; twice the same where there is one model."""


def ends(model: Model) -> Iterator[End]:
    """The inputs, then the outputs."""
    yield from (End("input", tensor) for tensor in model.graph.inputs)
    yield from (End("output", tensor) for tensor in model.graph.outputs)


def single(model: Model) -> Iterator[Pair]:
    """Every item of a model."""
    yield from ((end, end) for end in ends(model))
    yield from ((node, node) for node in model.nodes())


def union(before: Model, after: Model, nodes: Alignment) -> Iterator[Pair]:
    """Every item of two models."""
    waiting: dict[object, list[End]] = {}
    for end in ends(after):
        waiting.setdefault((end.kind, nodes.ends[end.tensor]), []).append(end)
    for end in ends(before):
        found = waiting.get((end.kind, nodes.ends[end.tensor]))
        yield end, found.pop(0) if found else None
    yield from ((None, end) for found in waiting.values() for end in found)
    yield from ((node, nodes.after.get(node)) for node in before.nodes())
    yield from ((None, node) for node in after.nodes() if node not in nodes.before)


def links(model: Model) -> Iterator[tuple[Item, Item]]:
    """What reads from what; a node that has bodies reads from what computes their outputs."""
    starts: dict[Tensor, Item] = {tensor: End("input", tensor) for tensor in model.graph.inputs}

    def maker(tensor: Tensor) -> Item | None:
        node: Node | None = tensor.inputs[0] if tensor.inputs else None
        return node if node is not None else starts.get(tensor)

    for node in model.nodes():
        inner = [tensor for body in subgraphs(node) for tensor in body.outputs]
        for tensor in (*node.inputs, *inner):
            if (start := maker(tensor)) is not None:
                yield start, node
    for tensor in model.graph.outputs:
        if (start := maker(tensor)) is not None:
            yield start, End("output", tensor)
