"""externalize-gates: the host computes which places count, and the device multiplies by that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

import regraft
from regraft.files.convert import clone
from regraft.ir.verifier import check
from regraft.passes.externalize_gates import ExternalizeGates
from regraft.pipelines.frontend import ImportOptions
from regraft.pipelines.pass_base import Context
from regraft.pipelines.source import open_source
from regraft.verification.runtime import Session

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
PLACES = "float[1, 4, 1] places = {0, 1, 2, 3}, float zero = {0}, float three = {3}"
BODY = """
    axes = Constant <value_ints = [1, 2]> ()
    lengths = Unsqueeze (length, axes)
    shown = Less (places, lengths)
    x = Sin (given)
"""
MODEL = f"{HEAD} main (float[B, 4, 2] given, float[B] length) => (float[B, 4, 2] y) <{PLACES}> {{{BODY} WHERE }}"
WIDE = "n = Constant <value_ints = [1, 1, 2]> ()"
INPUTS = {"given": np.arange(1, 17, dtype=np.float32).reshape(2, 4, 2), "length": np.array([1, 3], np.float32)}


def moved(text: str, folder: Path):
    """The model before and after the pass, and what the pass said."""
    onnx.save(parse_model(MODEL.replace("WHERE", text)), folder / "model.onnx")
    model = regraft.load(folder / "model.onnx")
    before, context = clone(model), Context("externalize-gates")
    ExternalizeGates().run(model, context)
    check(model)
    return before, model, context


@pytest.mark.parametrize(
    "text",
    [
        "y = Where (shown, x, zero)",
        "y = Where (shown, zero, x)",
        "hidden = Not (shown) y = Where (hidden, zero, x)",
        "h = Where (shown, x, zero) g = Tanh (h) y = Where (shown, g, zero)",
        "h = Where (shown, x, zero) g = Cos (h) y = Where (shown, zero, g)",
    ],
)
def test_the_device_multiplies_by_what_the_host_computes(text, tmp_path):
    before, model, context = moved(text, tmp_path)
    assert context.changes
    assert {node.op for node in model.nodes()} <= {"Mul", "Sin", "Tanh", "Cos"}
    assert {t.name for t in model.graph.inputs} - {"sequence_gate_2"} == {"given", "sequence_gate"}
    expected, found = Session(before).run(INPUTS)["y"], Session(model).run(INPUTS)["y"]
    np.testing.assert_array_equal(found, expected)
    assert (expected == 0).any()
    assert (expected != 0).any()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("y = Where (shown, x, three)", id="no zero"),
        pytest.param("h = Tanh (x) c = Less (h, three) y = Where (c, x, zero)", id="a condition on what is computed"),
        pytest.param("y = Where (shown, given, zero)", id="the caller may give an infinity"),
        pytest.param(f"c = Cast <to = 1> (shown) {WIDE} m = Tile (c, n) y = Where (shown, m, zero)", id="a mask"),
        pytest.param("z = Neg (zero) y = Where (shown, x, x)", id="both kept"),
    ],
)
def test_others_stay(text, tmp_path):
    _, model, context = moved(text, tmp_path)
    assert not context.changes
    assert model.host is None
    assert any("no gate" in note for note in context.notes)


AXES = "int64[1] last = {2}, int64[1] places = {1}"
MEAN = f"""{HEAD} main (float[B, 4, 2] given, int64[B, 4] mask) => (float[B, 2] y) <{AXES}> {{
    x = Sin (given)
    m = Cast <to = 1> (mask)
    wide = Unsqueeze (m, last)
    shown = Mul (x, wide)
    total = ReduceSum <keepdims = 0> (shown, places)
    count = ReduceSum <keepdims = 0> (wide, places)
    y = Div (total, count)
}}"""


def test_the_mean_over_words_is_taken_by_a_gate_and_its_sum(tmp_path):
    onnx.save(parse_model(MEAN), tmp_path / "model.onnx")
    model = regraft.load(tmp_path / "model.onnx")
    before, context = clone(model), Context("externalize-gates")
    ExternalizeGates().run(model, context)
    check(model)
    assert [node.op for node in model.graph.nodes] == ["Sin", "Mul", "ReduceSum", "Div"]
    assert [tensor.name for tensor in model.graph.inputs] == ["given", "sequence_gate", "sequence_gate_2"]
    inputs = {"given": INPUTS["given"], "mask": np.array([[1, 0, 0, 0], [1, 1, 1, 0]])}
    np.testing.assert_array_equal(Session(model).run(inputs)["y"], Session(before).run(inputs)["y"])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("int64[B, 4] mask", "float[B, 4] mask"), id="floats of the caller's"),
        pytest.param(
            ("Cast <to = 1> (mask)", "Cast <to = 1> (mask) x2 = Cos (m)", "(m, last)", "(x2, last)"), id="computed"
        ),
        pytest.param(
            (
                "(m, last)",
                "(m, last) one = ReduceSum <keepdims = 0> (m)",
                "(x, wide)",
                "(x, one)",
                "(total, count)",
                "(total, one)",
            ),
            id="one number",
        ),
    ],
)
def test_other_factors_stay(change, tmp_path):
    text = MEAN
    for old, new in zip(change[::2], change[1::2], strict=True):
        text = text.replace(old, new)
    onnx.save(parse_model(text), tmp_path / "model.onnx")
    model, context = regraft.load(tmp_path / "model.onnx"), Context("externalize-gates")
    ExternalizeGates().run(model, context)
    assert not context.changes


def test_a_sequence_mask_of_mxnet_is_the_same(artifacts):
    pipeline = "externalize-embeddings,externalize-mask,externalize-gates"
    source = artifacts / "mxnet/gn0.10.0-classifier"
    model = open_source(source, options=ImportOptions(shapes={"data0": (2, 16), "data1": (2, 16), "data2": (2,)}))
    regraft.run(model, pipeline, verify="final")
    assert "Where" not in {node.op for node in model.nodes()}
    assert "sequence_gate" in {t.name for t in model.graph.inputs}
