"""No edit of nodes, links, attributes or lists goes unseen: each look is held against a comparison of everything."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.ir.changes import Changes, Watch
from regraft.ir.graph import Constant, Function, Graph, Node, Variable, subgraphs, walk
from regraft.ir.model import Model


def built() -> Model:
    """A chain of nodes with attributes, two of which have a body."""
    x, nodes = Variable("x"), []
    last = x
    for i in range(8):
        out = Variable(f"v{i}")
        attrs: dict[str, Any] = {"axis": i, "perm": [0, 1]} if i % 2 else {}
        if i in (3, 6):
            inner = Variable(f"i{i}")
            attrs["body"] = Graph([Node("Relu", f"r{i}", {"to": [1]}, [last], [inner])], [], [inner])
        nodes.append(Node("Op", f"n{i}", attrs, [last, Constant(f"c{i}", np.ones(1))], [out]))
        last = out
    return Model(Graph(nodes, [x], [last]))


def snapshot(model: Model) -> dict[Node, Any]:
    """All that a node is, by node."""
    return {
        node: (
            node.op,
            node.domain,
            node.overload,
            list(node.inputs),
            list(node.outputs),
            {name: copy.copy(value) if isinstance(value, list) else value for name, value in node.attrs.items()},
            [(list(g.nodes), list(g.inputs), list(g.outputs), g.opset) for b in subgraphs(node) for g in walk(b)],
        )
        for node in model.nodes()
    }


def tops(model: Model) -> dict[Node, Node]:
    """The node of the main graph that each node is, or is in."""
    found = {}
    for top in model.graph.nodes:
        inner = [node for body in subgraphs(top) for graph in walk(body) for node in graph.nodes]
        found.update(dict.fromkeys([top, *inner], top))
    return found


def edit(model: Model, draw: Any) -> None:
    """One edit, of any kind, anywhere."""
    nodes = list(model.nodes())
    graph = draw(st.sampled_from(list(model.graphs())))
    new = Node("New", "new", {"axes": []}, [Variable("p")], [Variable("q")])
    if not nodes:
        graph.nodes.append(new)
        return
    node = draw(st.sampled_from(nodes))
    links = draw(st.sampled_from([node.inputs, node.outputs]))
    value = draw(st.sampled_from([t for one in nodes for t in (*one.inputs, *one.outputs)] or [Variable("z")]))
    place = draw(st.integers(0, 3))

    def settle(redirect: Any, *arguments: Any) -> None:
        old = list(links)
        redirect(*arguments)
        for one in old:
            (one.outputs if links is node.inputs else one.inputs).settle()

    edits: list[Any] = [
        lambda: setattr(node, "op", "Other"),
        lambda: setattr(node, "domain", "d"),
        lambda: setattr(node, "overload", "o"),
        lambda: setattr(node, "attrs", {"new": 1}),
        lambda: setattr(node, "inputs", [value]),
        lambda: setattr(node, "outputs", [value]),
        lambda: links.append(value),
        lambda: links.extend([value, Variable("e")]),
        lambda: links.insert(place, value),
        lambda: links.remove(links[0]) if links else None,
        lambda: links.pop() if links else None,
        lambda: links.clear(),
        lambda: links.__setitem__(0, value) if links else None,
        lambda: links.__setitem__(slice(0, place), [value]),
        lambda: links.__delitem__(0) if links else None,
        lambda: links.__iadd__([value]),
        lambda: settle(links.redirect, 0, value) if links else None,
        lambda: settle(links.reset, [value]),
        lambda: value.outputs.append(node),
        lambda: value.outputs.clear(),
        lambda: value.inputs.clear(),
        lambda: value.inputs.append(node),
        lambda: node.attrs.__setitem__("axis", 1.0),
        lambda: node.attrs.update(axis=place),
        lambda: node.attrs.setdefault("other", place),
        lambda: node.attrs.pop("axis", None),
        lambda: node.attrs.clear(),
        lambda: node.attrs.popitem() if node.attrs else None,
        lambda: node.attrs.__ior__({"axis": 7}),
        lambda: node.attrs.pop("body", None),
        lambda: node.attrs.__setitem__("body", Graph([new])),
        lambda: node.attrs.get("perm", []).append(place),
        lambda: graph.nodes.append(new),
        lambda: graph.nodes.insert(place, new),
        lambda: graph.nodes.remove(graph.nodes[0]) if graph.nodes else None,
        lambda: graph.nodes.pop() if graph.nodes else None,
        lambda: graph.nodes.clear(),
        lambda: graph.nodes.reverse(),
        lambda: graph.nodes.__setitem__(slice(None), [new, *graph.nodes[1:]]),
        lambda: graph.nodes.__setitem__(0, new) if graph.nodes else None,
        lambda: graph.nodes.__delitem__(slice(0, place)),
        lambda: setattr(graph, "nodes", [new]),
        lambda: graph.nodes.__iadd__([new]),
        lambda: setattr(graph, "outputs", [value]) if graph is not model.graph else None,
        lambda: setattr(graph, "inputs", [Variable("b")]) if graph is not model.graph else None,
    ]
    draw(st.sampled_from(edits))()


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_every_edit_is_seen(data: st.DataObject) -> None:
    model, watch = built(), Watch()
    assert watch.look(model).all
    assert not watch.look(model)
    for _ in range(data.draw(st.integers(1, 5))):
        before = snapshot(model)
        for _ in range(data.draw(st.integers(1, 3))):
            edit(model, data.draw)
        found, after, top = watch.look(model), snapshot(model), tops(model)
        other = {top[node] for node, state in after.items() if before.get(node) != state}
        assert other <= found.nodes
        assert found.nodes <= set(model.graph.nodes)
        made = {t for node in before for t in before[node][4]}
        still = {t for node in after for t in after[node][4]}
        assert made - still <= found.values
        assert not watch.look(model)
        for graph in model.graphs():
            assert all(node.graph is graph for node in graph.nodes)
            assert {node for node in graph.nodes if subgraphs(node)} <= graph.nodes.holders


def test_what_no_node_makes_is_compared() -> None:
    model, watch = built(), Watch()
    watch.look(model)
    constant: Any = model.graph.nodes[0].inputs[1]
    constant.values = np.zeros(3)
    assert watch.look(model) == Changes(values={constant})
    model.graph.inputs[0].shape = [4]
    assert watch.look(model) == Changes(values={model.graph.inputs[0]})
    assert not watch.look(model)


def test_order_counts() -> None:
    model, watch = built(), Watch()
    watch.look(model)
    model.graph.nodes[:] = [*model.graph.nodes[:4], Node("New", "new"), *model.graph.nodes[5:]]
    assert not watch.look(model).reordered
    model.graph.nodes[:] = [*model.graph.nodes[1:], model.graph.nodes[0]]
    assert watch.look(model).reordered


@pytest.mark.parametrize("what", ["opset", "function", "inside a function"])
def test_everything_may_be_other(what: str) -> None:
    model, watch = built(), Watch()
    function = Function("f", "d", [Node("Relu", "inner", {}, [Variable("a")], [Variable("b")])])
    if what == "inside a function":
        model.functions.append(function)
    watch.look(model)
    if what == "opset":
        model.opset = 7
    elif what == "function":
        model.functions.append(function)
    else:
        function.nodes[0].op = "Neg"
    assert watch.look(model).all
    assert not watch.look(model)


def test_a_node_with_attributes_of_another_is_not_that_one() -> None:
    model, watch = built(), Watch()
    watch.look(model)
    first, second = model.graph.nodes[:2]
    first.attrs = second.attrs
    watch.look(model)
    first.attrs["axis"] = 9
    assert watch.look(model).nodes == {first}
    assert second.attrs["axis"] == 1
    alone = copy.copy(first.attrs)
    alone["axis"] = 10
    assert not watch.look(model)


def test_an_attribute_that_callers_must_give_is_no_change() -> None:
    model, watch = built(), Watch()
    model.functions.append(Function("f", "d", [Node("Relu", "inner", {}, [Variable("a")], [Variable("b")])]))
    model.functions[0].attrs = {"axis": None}
    watch.look(model)
    assert not watch.look(model)
    model.functions[0].attrs["axis"] = 1
    assert watch.look(model).all
