"""`to_host`: the pair of host and device computes what the model did."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import regraft
from regraft.errors import ModelError, PassError
from regraft.files.convert import clone, from_proto
from regraft.ir.verifier import check
from regraft.opset.plan import apply, plan
from regraft.pipelines.pass_base import Context
from regraft.shapes import declare_types
from regraft.splitting import to_host
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.verify import compare, snapshot

ENCODER = """
encoder (int64[B, S] ids, int64[B, S] mask) => (float[B, S, 2] y)
<float[4, 2] table = {0, 1, 2, 3, 4, 5, 6, 7}, int64[1] axes = {2}>
{
    words = Gather (table, ids)
    floats = Cast <to = 1> (mask)
    column = Unsqueeze (floats, axes)
    masked = Mul (words, column)
    y = Add (masked, words)
}
"""


def parse(text: str, opset: int = 17):
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "local" : 1]>\n{text}'))
    declare_types(model)
    return model


def move(model, **names) -> Context:
    """Move values, by their names in the graph, and see that nothing else changed."""
    before, context = clone(model), Context("a-pass")
    inputs = make_inputs(before)
    values = {t.name: t for node in model.graph.nodes for t in (*node.inputs, *node.outputs)}
    to_host(model, {name: values[value] for name, value in names.items()}, context)
    check(model)
    check(model.host.model)
    expected, found = snapshot(before, inputs), snapshot(model, inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    return context


def device_inputs(model) -> list[str]:
    return [tensor.name for tensor in model.graph.inputs]


def ops(model) -> list[str]:
    return [node.op for node in model.graph.nodes]


def test_the_device_loses_what_only_the_value_needed():
    model = parse(ENCODER)
    context = move(model, column="column")
    assert device_inputs(model) == ["ids", "column"]
    assert ops(model) == ["Gather", "Mul", "Add"]
    assert ops(model.host.model) == ["Cast", "Unsqueeze"]
    assert model.host.feeds == {"column": model.host.model.graph.outputs[0].name}
    assert len(context.changes[0].removed) == 2
    assert context.effects == ["input 'column' from the host"]


def test_a_value_that_several_nodes_read_and_its_weights_move():
    model = parse(ENCODER)
    move(model, hidden="words")
    assert device_inputs(model) == ["mask", "hidden"]
    assert not [t for node in model.graph.nodes for t in node.inputs if t.name == "table"]
    assert model.graph.inputs[1].shape == ["B", "S", 2]
    assert model.graph.inputs[1].dtype == np.float32


def test_what_moves_later_meets_what_moved_before():
    model = parse(ENCODER)
    move(model, column="column")
    move(model, hidden="words")
    move(model, masked="masked")
    assert device_inputs(model) == ["hidden", "masked"]
    assert ops(model) == ["Add"]
    assert sorted(model.host.feeds) == ["hidden", "masked"]
    assert len(model.host.model.graph.outputs) == 2
    assert [t.name for t in model.inputs] == ["ids", "mask"]


def test_several_values_at_once():
    model = parse(ENCODER)
    move(model, hidden="words", column="column")
    assert device_inputs(model) == ["hidden", "column"]


def test_a_name_that_is_taken_gets_a_number_and_one_that_becomes_free_is_used():
    model = parse(ENCODER)
    move(model, mask="words")
    assert device_inputs(model) == ["mask", "mask_1"]
    other = parse(ENCODER)
    move(other, mask="floats")
    assert device_inputs(other) == ["ids", "mask"]
    assert other.graph.inputs[1].dtype == np.float32


def test_a_value_that_is_an_output_too():
    model = parse("g (float[N] x) => (float[N] y, float[N] z) { y = Neg (x)  z = Exp (y) }")
    move(model, y_in="y")
    assert [t.name for t in model.graph.outputs] == ["y", "z"]


def test_a_constant():
    model = parse("g (float[2] x) => (float[2] y) <float[2] c = {1, 2}> { y = Add (x, c) }")
    move(model, c="c")
    assert device_inputs(model) == ["x", "c"]


def test_all_of_the_model():
    model = parse(ENCODER)
    move(model, result="y")
    assert device_inputs(model) == ["result"]


def test_bodies_and_what_they_capture_move():
    model = parse("""
        g (bool flag, float[N] x) => (float[N] y) {
            d = Add (x, x)
            e = If (flag) <
                then_branch = then () => (float[N] a) { a = Neg (d) },
                else_branch = other () => (float[N] b) { c = Exp (d)  b = Mul (c, x) }
            >
            y = Sqrt (e)
        }""")
    before = clone(model)
    values = {t.name: t for node in model.graph.nodes for t in node.outputs}
    values["e"].dtype = np.dtype(np.float32)
    to_host(model, {"e": values["e"]}, Context())
    check(model)
    check(model.host.model)
    assert device_inputs(model) == ["e"]
    for flag in (True, False):
        inputs = {"flag": np.array(flag), "x": np.array([1, 4], np.float32)}
        np.testing.assert_array_equal(snapshot(model, inputs)["y"], snapshot(before, inputs)["y"])


def test_local_functions_go_where_they_are_called():
    model = from_proto(
        onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[N] x) => (float[N] y) { d = local.twice (x)  z = local.half (d)  y = Exp (z) }
        <domain: "local", opset_import: ["" : 17]> twice (a) => (b) { b = Add (a, a) }
        <domain: "local", opset_import: ["" : 17]>
        half (a) => (b) { c = Constant <value_float = 0.5> ()  b = Mul (a, c) }
        """)
    )
    declare_types(model)
    values = {t.name: t for node in model.graph.nodes for t in node.outputs}
    values["d"].dtype = np.dtype(np.float32)
    before = clone(model)
    to_host(model, {"d": values["d"]}, Context())
    assert [f.name for f in model.host.model.functions] == ["twice"]
    assert compare(before, model).drift.max_abs == 0


def test_two_opsets_meet_in_the_newer():
    model = parse(ENCODER, opset=13)
    move(model, column="column")
    apply(model, plan(model, 20))
    move(model, masked="masked")
    assert model.host.model.opset == 20
    other = parse(ENCODER, opset=17)
    move(other, column="column")
    apply(other, plan(other, 12))
    move(other, masked="masked")
    assert (other.opset, other.host.model.opset) == (12, 17)


def test_outputs_keep_the_dtype_that_the_caller_knows():
    model = parse("g (float[N] x) => (float[N] y) { d = Neg (x)  y = Exp (d) }")
    move(model, d="d")
    to = onnx.TensorProto.FLOAT16
    node = regraft.ir.graph.Node
    y = model.graph.outputs[0]
    half = y.copy()
    half.name, half.dtype = "y_half", np.dtype(np.float16)
    model.graph.nodes.append(node("Cast", "narrow", {"to": to}, [y], [half]))
    y.name, half.name = "y_full", "y"
    model.graph.outputs = [half]
    found = Session(model).run({"x": np.ones(2, np.float32)})
    assert {name: value.dtype for name, value in found.items()} == {"y": np.dtype(np.float32)}


def test_inputs_with_a_default_keep_it():
    model = parse("g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { d = Add (x, w)  y = Mul (d, w) }")
    before = clone(model)
    values = {t.name: t for node in model.graph.nodes for t in node.outputs}
    to_host(model, {"d": values["d"]}, Context())
    x, w = np.array([3, 4], np.float32), np.array([5, 6], np.float32)
    for inputs in ({"x": x}, {"x": x, "w": w}):
        np.testing.assert_array_equal(Session(model).run(inputs)["y"], Session(before).run(inputs)["y"])


def test_an_input_cannot_move_and_a_type_must_be_known():
    model = parse(ENCODER)
    with pytest.raises(PassError, match="'ids' is an input of the model already"):
        to_host(model, {"x": model.graph.inputs[0]}, Context())
    words = model.graph.nodes[0].outputs[0]
    words.dtype = None
    with pytest.raises(PassError, match="type of 'words' is not known"):
        to_host(model, {"x": words}, Context())
    assert model.host is None


def test_a_split_model_is_no_file(tmp_path):
    model = parse(ENCODER)
    move(model, column="column")
    with pytest.raises(ModelError, match="for a bundle"):
        regraft.save(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_verification_of_a_pipeline_runs_both_sides():
    model = parse(ENCODER)
    move(model, column="column")
    report = regraft.run(model, "eliminate-common-subexpressions,infer-shapes,fold-constants", verify="each")
    assert all(one.drift is None or one.drift.max_abs == 0 for one in report.passes)
    assert model.host is not None
