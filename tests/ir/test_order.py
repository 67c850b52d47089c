from __future__ import annotations

import numpy as np
import pytest

from regraft.errors import GraphError
from regraft.ir.graph import Graph, Node, Variable
from regraft.ir.order import reads, sort


def node(name: str, inputs: str, outputs: str, values: dict[str, Variable], **attrs: Graph) -> Node:
    def named(names: str) -> list[Variable]:
        return [values.setdefault(n, Variable(n, np.dtype(np.float32))) for n in names.split()]

    return Node("Op", name, attrs, named(inputs), named(outputs))


def graph(*specs: tuple[str, str, str]) -> Graph:
    values: dict[str, Variable] = {}
    return Graph([node(*spec, values) for spec in specs])


def order(of: Graph) -> str:
    return " ".join(n.name for n in of.nodes)


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ([], ""),
        ([("1", "x", "a"), ("2", "x", "b"), ("3", "a b", "y")], "1 2 3"),
        ([("3", "a b", "y"), ("2", "x", "b"), ("1", "x", "a")], "1 2 3"),
        ([("9", "x", "q"), ("2", "a", "y"), ("1", "x", "a"), ("8", "x", "r")], "9 1 2 8"),
        ([("2", "a a", "y"), ("1", "x", "a unread")], "1 2"),
    ],
)
def test_a_node_comes_after_what_it_reads(specs: list[tuple[str, str, str]], expected: str) -> None:
    unsorted = graph(*specs)
    sort(unsorted)
    assert order(unsorted) == expected


def test_a_sorted_graph_is_left_alone() -> None:
    chain = graph(*((str(i), f"v{i}", f"v{i + 1}") for i in range(20)))
    nodes = list(chain.nodes)
    sort(chain)
    assert chain.nodes == nodes


def test_a_long_chain_backwards_needs_no_recursion() -> None:
    chain = graph(*((str(i), f"v{i}", f"v{i + 1}") for i in reversed(range(5000))))
    sort(chain)
    assert [n.name for n in chain.nodes] == [str(i) for i in range(5000)]


@pytest.mark.parametrize(
    "specs",
    [
        [("1", "a", "a")],
        [("1", "b", "a"), ("2", "a", "b")],
        [("1", "x", "a"), ("2", "a d", "b"), ("3", "b", "c"), ("4", "c", "d")],
    ],
)
def test_a_cycle_is_refused(specs: list[tuple[str, str, str]]) -> None:
    with pytest.raises(GraphError, match=r"the graph has a cycle through node '\d' \(Op\)"):
        sort(graph(*specs))


def test_an_empty_name_makes_no_cycle() -> None:
    empty = Variable("")
    both = Graph([Node("Op", "1", None, [empty], [empty])])
    sort(both)
    assert order(both) == "1"


def test_a_body_reads_for_its_node_at_any_depth() -> None:
    values: dict[str, Variable] = {}
    deepest = Graph([node("3", "a", "z", values)], outputs=[values["z"]])
    body = Graph([node("2", "x", "w", values, g=deepest)], outputs=[Variable("direct")])
    outer = node("1", "c", "y", values, g=body)
    assert {t.name for t in reads(outer)} == {"c", "x", "a", "z", "direct"}
    main = Graph([outer, node("0", "x", "a", values)])
    sort(main)
    assert order(main) == "0 1"


def test_a_body_that_reads_what_its_node_makes_is_a_cycle() -> None:
    values: dict[str, Variable] = {}
    body = Graph([node("inner", "y", "z", values)])
    with pytest.raises(GraphError, match="cycle through node 'outer'"):
        sort(Graph([node("outer", "x", "y", values, g=body)]))
