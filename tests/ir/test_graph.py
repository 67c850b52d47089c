from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest

from regraft.ir.changes import Watch
from regraft.ir.graph import Constant, Function, Graph, Node, Variable, subgraphs, walk
from regraft.ir.graphsurgeon import adopt
from regraft.ir.model import Model
from regraft.ir.weights import Derived


def twins() -> list[tuple[object, object]]:
    return [
        (Node("Relu", "n"), Node("Relu", "n")),
        (Variable("v"), Variable("v")),
        (Constant("c", np.ones(1)), Constant("c", np.ones(1))),
        (Graph(name="g"), Graph(name="g")),
        (Function("f", "d"), Function("f", "d")),
    ]


@pytest.mark.parametrize("index", range(5))
def test_equality_is_identity(index: int) -> None:
    one, other = twins()[index]
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2


def test_a_constant_reads_its_value_each_time() -> None:
    calls = []
    constant = Constant("c", Derived([], lambda: calls.append(1) or np.ones((2, 3), np.float32), [2, 3], np.float32))
    assert (constant.shape, constant.dtype, constant.nbytes, constant.size) == ((2, 3), np.float32, 24, 6)
    assert not calls
    np.testing.assert_array_equal(constant.values, 1)
    np.testing.assert_array_equal(constant.values, 1)
    assert len(calls) == 2
    constant.values = np.zeros(1)
    assert (constant.size, constant.values) == (1, 0)


def test_walk_finds_the_graphs_of_lists_too() -> None:
    deep = Graph(name="deep")
    inner = [Graph([Node("Op", attrs={"g": deep})], name="first"), Graph(name="second")]
    listed = Node("Op", attrs={"gs": inner, "numbers": [1], "empty": []})
    last = Graph(name="last")
    root = Graph([listed, Node("Op", attrs={"g": last})], name="root")
    assert list(subgraphs(listed)) == inner
    assert [g.name for g in walk(root)] == ["root", "first", "deep", "second", "last"]


def test_adopt_takes_over_what_graphsurgeon_made() -> None:
    weight = gs.Constant("w", np.ones(1))
    body = gs.Graph([gs.Node("Relu", "inner", outputs=[gs.Variable("z")])])
    outer = gs.Node("Op", "outer", {"g": body}, [gs.Variable("x"), weight], [gs.Variable("y")])
    body.nodes.append(gs.Node("Neg", "captures", inputs=[outer.outputs[0]], outputs=[gs.Variable("n")]))
    graph = Graph([outer], outputs=outer.outputs)
    adopt(Model(graph))
    ours = graph.nodes[0]
    assert type(ours) is Node
    assert ours.metadata == {}
    assert [type(t) for t in (*ours.inputs, *ours.outputs)] == [Variable, Constant, Variable]
    assert graph.outputs == ours.outputs
    inside = ours.attrs["g"]
    assert type(inside) is Graph
    assert inside.unused == []
    assert [type(node) for node in inside.nodes] == [Node, Node]
    assert inside.nodes[1].inputs == ours.outputs
    assert ours.outputs[0].inputs == [ours]
    assert ours.outputs[0].outputs == [inside.nodes[1]]
    assert len({ours, *ours.inputs, inside}) == 4


def test_a_function_with_an_overload_is_another_function() -> None:
    plain, other = Function("f", "d"), Function("f", "d")
    other.overload = "v2"
    assert plain.unique_id == ("d", "f")
    assert other.unique_id == ("d", "f", "v2")


def test_a_dtype_among_the_attributes_becomes_its_number() -> None:
    node = gs.Node("Cast", attrs={"to": np.float16}, inputs=[gs.Variable("x")], outputs=[gs.Variable("y")])
    graph = Graph(nodes=[node, Node("Cast", attrs={"to": np.float32})])
    Watch().look(Model(graph))
    assert graph.nodes[1].attrs["to"] == onnx.TensorProto.FLOAT
    assert graph.nodes[0].attrs["to"] == onnx.TensorProto.FLOAT16
