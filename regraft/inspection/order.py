"""An order of nodes that follows from the graph, not from the order or the names in a file."""

from __future__ import annotations

from collections.abc import Iterator

from regraft.ir.graph import AnyGraph, Node, subgraphs
from regraft.ir.model import Model
from regraft.ir.order import reads


def in_order(model: Model) -> Iterator[Node]:
    """Every node after what it reads, and what it has inside: from the outputs down, in the order of operands."""
    yield from _nodes(model.graph)
    for function in model.functions:
        yield from _nodes(function)


def _nodes(graph: AnyGraph) -> Iterator[Node]:
    seen: set[Node] = set()
    opened: set[Node] = set()
    waiting = [*reversed(graph.nodes), *(maker for tensor in reversed(graph.outputs) for maker in tensor.inputs)]
    while waiting:
        node = waiting[-1]
        if node in seen:
            waiting.pop()
            continue
        if node not in opened:  # else all that it reads is seen, but for a cycle
            opened.add(node)
            before = [maker for tensor in reads(node) for maker in tensor.inputs]
            before = [maker for maker in reversed(before) if maker not in seen and maker.graph is graph]
            if before:
                waiting += before
                continue
        seen.add(waiting.pop())
        for body in subgraphs(node):
            yield from _nodes(body)
        yield node
