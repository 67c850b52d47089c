"""What is written once for many nodes is what each of them says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto

from regraft.files.convert import export
from regraft.ir.graph import Constant, Graph, Node, Variable
from regraft.ir.model import Model


def written(values: list[Any]) -> list[AttributeProto]:
    """The attributes of nodes that have one of `values` each."""
    nodes = [Node("F", attrs={"a": value}, domain="d") for value in values]
    return [node.attribute[0] for node in export(Model(Graph(nodes))).proto.graph.node]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of protobuf, which will take no truths for numbers
def test_what_is_equal_and_not_the_same() -> None:
    one, truth, real, zero, minus = written([1, True, 1.0, 0.0, -0.0])
    assert (one.type, truth.type, real.type) == (AttributeProto.INT, AttributeProto.INT, AttributeProto.FLOAT)
    assert [math.copysign(1, a.f) for a in (zero, minus)] == [1, -1]
    ints, truths, reals, text = written([[1, 0], [True, False], [1.0, 0.0], "1"])
    assert (ints.ints, truths.ints, reals.floats, text.s) == ([1, 0], [1, 0], [1.0, 0.0], b"1")


def test_a_list_that_was_changed_is_written_as_it_is() -> None:
    nodes = [Node("F", attrs={"a": [1]}, domain="d") for _ in range(2)]
    nodes[1].attrs["a"].append(2)
    assert [n.attribute[0].ints for n in export(Model(Graph(nodes))).proto.graph.node] == [[1], [1, 2]]


def test_a_constant_is_written_under_its_name() -> None:
    value = np.ones(2, np.float32)
    first, second, large = written([Constant("x", value), Constant("y", value), Constant("z", np.ones(2000))])
    assert (first.t.name, second.t.name) == ("x", "y")
    assert first.t.raw_data == second.t.raw_data == value.tobytes()
    assert large.t.data_location == TensorProto.EXTERNAL


def test_types_that_differ_only_in_their_dimensions() -> None:
    shapes: list[list[int | str | None] | None] = [None, [], [1], [None], ["n"], ["?"], [1]]
    made = [Variable(f"v{i}", np.dtype(np.float32), shape) for i, shape in enumerate(shapes)]
    proto = export(Model(Graph([Node("F", outputs=made, domain="d")]))).proto
    types = [info.type.tensor_type for info in proto.graph.value_info]
    assert [info.name for info in proto.graph.value_info] == [tensor.name for tensor in made]
    assert [t.HasField("shape") for t in types] == [False, *[True] * 6]
    assert [[d.WhichOneof("value") for d in t.shape.dim] for t in types[1:5]] == [
        [],
        ["dim_value"],
        [None],
        ["dim_param"],
    ]
    assert types[5] == types[3]
    assert types[6] == types[2]


def test_metadata_of_nodes() -> None:
    nodes = [Node("F", domain="d") for _ in range(2)]
    nodes[0].metadata, nodes[1].metadata = {"k": "v", "n": 1}, {"k": "v"}  # type: ignore[dict-item]
    found = [[(e.key, e.value) for e in node.metadata_props] for node in export(Model(Graph(nodes))).proto.graph.node]
    assert found == [[("k", "v"), ("n", "1")], [("k", "v")]]


@pytest.mark.parametrize("field", ["name", "op"])
def test_a_text_that_cannot_be_written_is_refused(field: str) -> None:
    node = Node("F", domain="d")
    setattr(node, field, "\ud800")
    with pytest.raises(UnicodeEncodeError):
        export(Model(Graph([node])))
