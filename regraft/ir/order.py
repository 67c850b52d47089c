"""The order of nodes: each after those that make what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regraft.errors import GraphError
from regraft.ir.node import Node
from regraft.ir.nodes import bodies, subgraphs, walk
from regraft.ir.value import Tensor


def reads(node: Node) -> Iterator[Tensor]:
    """The values that `node` needs: its inputs, and what its bodies take from the graphs around them."""
    yield from node.inputs
    for body in subgraphs(node):
        for graph in walk(body):
            yield from graph.outputs
            for inner in graph.nodes:
                yield from inner.inputs


def sort(graph: Any) -> None:
    """Put every node of `graph` after those it reads from, moving as few as possible.

    Raises:
        GraphError: there is a cycle.
    """
    if _is_sorted(graph):
        return
    place = {id(node): i for i, node in enumerate(graph.nodes)}  # graphsurgeon's own nodes have no hash
    makers = ([id(n) for t in reads(node) if t.name for n in t.inputs] for node in graph.nodes)
    before = [{place[n]: None for n in needed if n in place} for needed in makers]
    order: list[int] = []
    state = [0] * len(before)  # 1: on the path, 2: placed
    for root in range(len(before)):
        stack = [(root, iter(before[root]))] if not state[root] else []
        state[root] = state[root] or 1
        while stack:
            index, pending = stack[-1]
            for needed in pending:
                if state[needed] == 1:
                    raise GraphError(f"the graph has a cycle through {_label(graph.nodes[needed])}")
                if not state[needed]:
                    state[needed] = 1
                    stack.append((needed, iter(before[needed])))
                    break
            else:
                state[index] = 2
                order.append(index)
                stack.pop()
    graph.nodes[:] = [graph.nodes[i] for i in order]


def _is_sorted(graph: Any) -> bool:
    left = set(map(id, graph.nodes))
    nested = bool(bodies(graph.nodes))
    for node in graph.nodes:
        for tensor in reads(node) if nested else node.inputs:
            for producer in tensor.inputs:
                if id(producer) in left and tensor.name:
                    return False
        left.discard(id(node))
    return True


def _label(node: Node) -> str:
    return f"node '{node.name}' ({node.op})"
