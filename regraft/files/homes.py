"""Which graph of a file has a constant among its initializers."""

from __future__ import annotations

from regraft.ir.graph import AnyGraph, Constant, bodies


def homes_of(root: AnyGraph) -> dict[AnyGraph, list[Constant]]:
    """The constants that each graph has: the innermost one around all their uses."""
    parents: dict[AnyGraph, AnyGraph | None] = {root: None}
    depths = {root: 0}
    homes: dict[Constant, AnyGraph] = {}
    stack = [root]
    while stack:
        graph = stack.pop()
        inner = bodies(graph.nodes)
        for body in inner:
            parents[body], depths[body] = graph, depths[graph] + 1
        stack += reversed(inner)
        constants = [t for node in graph.nodes for t in node.inputs if isinstance(t, Constant)]
        constants += [t for t in graph.outputs if isinstance(t, Constant)]
        for constant in constants:
            homes[constant] = _common(homes[constant], graph, parents, depths) if constant in homes else graph
    by_graph: dict[AnyGraph, list[Constant]] = {}
    for constant, graph in homes.items():
        by_graph.setdefault(graph, []).append(constant)
    return by_graph


def _common(
    a: AnyGraph, b: AnyGraph, parents: dict[AnyGraph, AnyGraph | None], depths: dict[AnyGraph, int]
) -> AnyGraph:
    while a is not b:
        if depths[a] < depths[b]:
            a, b = b, a
        a = parents[a]  # type: ignore[assignment]  # the root is common to all
    return a
