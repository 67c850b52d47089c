"""What graphsurgeon's users put into a graph becomes ours, wherever it stands and whenever it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import parser

from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir import verifier
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Graph, Node, Variable
from regraft.ir.model import Model
from regraft.shapes import analyse
from tests.ir.test_graphsurgeon import TEXT


def append_a_node(model: Model) -> None:
    (output,) = model.graph.outputs
    made = gs.Variable("added", np.float32)
    model.graph.nodes.append(gs.Node("Relu", "theirs", inputs=[output], outputs=[made]))


def insert_a_node_inside(model: Model) -> None:
    body = branch(model)
    made = gs.Variable("added", np.float32)
    body.nodes.append(gs.Node("Relu", "theirs", inputs=[body.outputs[0]], outputs=[made]))
    body.outputs = [made]


def read_a_constant(model: Model) -> None:
    branch(model).nodes[0].inputs[1] = gs.Constant("theirs", np.ones(2, np.float32))


def make_a_value(model: Model) -> None:
    made = gs.Variable("theirs", np.float32)
    model.graph.nodes[0].outputs.append(made)
    model.graph.nodes[0].outputs.pop()
    model.graph.nodes[-1].outputs[0] = made
    model.graph.outputs = [made]


def make_a_value_of_what_goes(model: Model) -> None:
    read_a_constant(model)
    first = model.graph.nodes[0]
    first.outputs.append(gs.Variable("theirs", np.float32))
    model.graph.nodes.remove(first)
    del first.outputs[1]
    model.graph.nodes.insert(0, first)


def give_a_body(model: Model) -> None:
    made = gs.Variable("theirs", np.float32)
    value = gs.Constant("one", np.ones(1, np.float32))
    inner = gs.Graph([gs.Node("Identity", inputs=[value], outputs=[made])], outputs=[made], name="their_branch")
    named(model, "branch").attrs["else_branch"] = inner


def give_a_list_of_tensors(model: Model) -> None:
    node = model.graph.nodes[0]
    node.attrs["own_list"] = [gs.Constant("theirs", np.ones(1, np.float32))]


def named(model: Model, name: str) -> Node:
    return next(node for node in model.nodes() if node.name == name)


def branch(model: Model) -> Graph:
    body: Graph = named(model, "branch").attrs["then_branch"]
    return body


PUT: list[Callable[[Model], None]] = [
    append_a_node,
    insert_a_node_inside,
    read_a_constant,
    make_a_value,
    make_a_value_of_what_goes,
    give_a_body,
    give_a_list_of_tensors,
]


def everything(model: Model) -> Iterator[Any]:
    """All nodes, values and attributes."""
    for graph in model.graphs():
        yield from (*graph.inputs, *graph.outputs)
        for node in graph.nodes:
            yield from (node, *node.inputs, *node.outputs)
            for value in node.attrs.values():
                yield from value if isinstance(value, list) else (value,)


def open_editor(model: Model) -> None:
    with Editor(model):
        pass


@pytest.mark.parametrize("look", [verifier.check, analyse, open_editor])
@pytest.mark.parametrize("followed", [False, True], ids=["at first", "after a look"])
@pytest.mark.parametrize("put", PUT)
def test_it_becomes_ours(put: Callable[[Model], None], followed: bool, look: Callable[[Model], Any]) -> None:
    model = from_proto(parser.parse_model(TEXT))
    if followed:
        analyse(model)
    put(model)
    assert any(isinstance(one, gs.Node | gs.Tensor | gs.Graph) for one in everything(model))
    look(model)
    assert not any(isinstance(one, gs.Node | gs.Tensor | gs.Graph) for one in everything(model))
    for node in model.nodes():
        assert isinstance(node, Node)
        assert all(isinstance(value, Variable | Constant) for value in (*node.inputs, *node.outputs))
        assert all(node in value.outputs for value in node.inputs)
        assert all(value.inputs == [node] for value in node.outputs if value.name)


def test_a_model_that_holds_theirs_is_sound_in_the_end() -> None:
    model = from_proto(parser.parse_model(TEXT))
    analyse(model)
    read_a_constant(model)
    give_a_body(model)
    verifier.check(model)
    onnx.checker.check_model(to_proto(model))
