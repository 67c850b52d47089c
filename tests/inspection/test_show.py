from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import regraft
from regraft.files import convert
from regraft.inspection.listing import listing
from regraft.inspection.show import summarize
from regraft.ir import weights


@pytest.fixture
def model() -> regraft.Model:
    """A model with an If, a function, a table of 4 KB and two small constants."""
    table = numpy_helper.from_array(np.zeros((256, 4), np.float32), "table")
    body = helper.make_graph(
        [helper.make_node("Identity", ["row"], ["taken"])], "body", [], [helper.make_empty_tensor_value_info("taken")]
    )
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["row"], axis=0),
        helper.make_node("If", ["flag"], ["chosen"], then_branch=body, else_branch=body),
        helper.make_node("Twice", ["chosen"], ["y"], domain="own"),
        helper.make_node("Clip", ["y", "", "high"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [
            helper.make_tensor_value_info("index", onnx.TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["n", 4])],
        [table, numpy_helper.from_array(np.float32(6), "high")],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    twice = helper.make_function("own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opsets[:1])
    proto = helper.make_model(
        graph, opset_imports=opsets, functions=[twice], producer_name="by", producer_version="1.2"
    )
    proto.ir_version = 10
    return convert.from_proto(proto)


def test_the_summary_counts_everything(model):
    summary = summarize(model)
    assert summary.nodes == 7
    assert summary.subgraphs == 2
    assert summary.operators == {"Identity": 2, "Add": 1, "Clip": 1, "Gather": 1, "If": 1, "own.Twice": 1}
    assert (summary.parameters, summary.bytes) == (1025, 4100)
    assert [(t.name, t.bytes) for t in summary.biggest] == [("table", 4096), ("high", 4)]
    assert summary.opsets == {"": 21, "own": 1}
    assert summary.producer == "by 1.2"
    assert [(f.name, f.nodes) for f in summary.functions] == [("own.Twice", 1)]
    assert [str(port) for port in summary.inputs] == ["int64[n]", "bool[]"]


def test_the_summary_is_json(model):
    found = json.loads(json.dumps(summarize(model).to_dict()))
    assert found["inputs"][0] == {
        "name": "index", "type": "int64[n]", "kind": "tensor", "dtype": "int64", "shape": ["n"]
    }  # fmt: skip


def test_the_summary_reads_no_weights(model, tmp_path, monkeypatch):
    path = regraft.save(model, tmp_path / "m.onnx", "external")
    monkeypatch.setattr(weights.Stored, "load", lambda self: pytest.fail("a weight was read"))
    summary = summarize(regraft.load(path))
    assert summary.bytes == 4100
    assert list(summary.files) == [str(path), f"{path}.data"]


def test_a_tensor_that_is_read_twice_counts_once():
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])
    nodes = [helper.make_node("Add", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(np.ones(2, np.float32), "w")])
    assert summarize(convert.from_proto(helper.make_model(graph))).parameters == 2


def test_the_listing_reads_like_a_program(model):
    assert "\n".join(listing(model)) == (
        """\
graph main(index: int64[n], flag: bool[]):
    row = Gather(<table: float32[256, 4]>, index, axis=0)
    chosen = If(flag)
        else_branch():
            taken = Identity(row)
            return taken
        then_branch():
            taken = Identity(row)
            return taken
    y = own.Twice(chosen)
    z: float32[n, 4] = Clip(y, _, 6.0)
    return z

function own.Twice(a):
    b = Add(a, a)
    return b"""
    )
