"""lower-div: exact by powers of two, one rounding by others, and never by what has no reciprocal."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft
from regraft.ir.graph import Constant
from regraft.ir.weights import Derived, Held, Stored
from regraft.passes.lower_div import LowerDiv, is_normal, reciprocal
from regraft.rewriting.why import why
from regraft.verification.verify import snapshot

OPSETS = (11, 13, 17, 18, 20, 23)
KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64}
TYPES = {**KINDS, "bfloat16": ml_dtypes.bfloat16}


def div_model(parse, divisor, dtype: str = "float", opset: int = 18):
    model = parse(f"g ({dtype}[n] x) => ({dtype}[n] y) <{dtype} c = {{0}}> {{ y = Div(x, c) }}", opset)
    model.graph.nodes[0].inputs[1].values = np.array(divisor, TYPES[dtype])
    return model


@pytest.mark.parametrize("divisor", [8, -0.25, 2.0**-14, 1.4142135, -3, 11.313708])
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("opset", OPSETS)
def test_it_keeps_its_contract_at_every_type_and_opset(parse, lower, divisor, dtype, opset):
    x = np.concatenate([np.linspace(-3, 3, 101), [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(KINDS[dtype])
    assert lower(div_model(parse, divisor, dtype, opset), LowerDiv(), {"x": x}).ops == ["Mul"]


@given(exponent=st.integers(-14, 14), values=st.lists(st.floats(width=16), min_size=1), negative=st.booleans())
@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_powers_of_two_keep_every_bit(parse, apply, dtype, exponent, values, negative):
    model = div_model(parse, (-1) ** negative * 2.0**exponent, dtype)
    x = np.array([0.0 if np.isnan(value) else value for value in values], KINDS[dtype])
    assert apply(model, LowerDiv(divisors="powers-of-two"), inputs={"x": x}).ops == ["Mul"]


def test_the_contract_is_that_of_the_divisors():
    assert str(LowerDiv().contract) == "reassociation"
    assert str(LowerDiv(divisors="powers-of-two").contract) == "exact"


@pytest.mark.parametrize(
    ("dtype", "divisor"),
    [
        *[(dtype, bad) for dtype in TYPES for bad in (0.0, -0.0, np.inf, np.nan)],
        ("float", 1e-39),
        ("float", 1e38),
        ("float16", 40000.0),
        ("float16", 1e-5),
        ("bfloat16", 2.0**127),
        ("double", 1e-310),
    ],
)
def test_a_divisor_without_a_normal_reciprocal_stays_and_why_says_so(parse, dtype, divisor):
    model = div_model(parse, divisor, dtype)
    context = regraft.Context()
    LowerDiv().run(model, context)
    assert not context.changes
    assert "no normal number" in context.notes[0]


@pytest.mark.parametrize("dtype", TYPES)
@given(value=st.floats(2.0**-13, 2.0**13, width=16), sign=st.sampled_from([1, -1]))
def test_the_reciprocal_is_rounded_once(dtype, value, sign):
    divisor = np.array(sign * value, TYPES[dtype])
    found = reciprocal(divisor)
    assert is_normal(found)
    assert found.dtype == divisor.dtype
    error = abs(float(found) * float(divisor) - 1)
    assert error <= float(ml_dtypes.finfo(TYPES[dtype]).eps)


def test_a_table_of_divisors_broadcasts_as_before(parse, lower):
    model = parse("g (float[2,1,3] x) => (float[2,2,3] y) <float[2,1] c = {2, 3}> { y = Div(x, c) }")
    assert lower(model, LowerDiv()).ops == ["Mul"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("g (float[2] x) => (float[2] y) <float c = {3}> { y = Div(c, x) }", "must be a constant"),
        ("g (float[2] x, float[2] c) => (float[2] y) { y = Div(x, c) }", "must be a constant"),
        ("g (int64[2] x) => (int64[2] y) <int64 c = {2}> { y = Div(x, c) }", "no floats"),
        ("g (float[2] x) => (float[2] y) <float[2] c = {2, 0}> { y = Div(x, c) }", "no normal number"),
    ],
)
def test_what_stays_and_why(parse, text, reason):
    model = parse(text)
    context = regraft.Context()
    LowerDiv().run(model, context)
    assert not context.changes
    assert reason in why(model, LowerDiv())[0].reason


def test_of_powers_of_two_only_those_go(parse, lower):
    model = parse("g (float[2] x) => (float[2] y) <float a = {4}, float b = {3}> { h = Div(x, a)  y = Div(h, b) }")
    assert lower(model, LowerDiv(divisors="powers-of-two")).ops == ["Mul", "Div"]


def test_a_divisor_that_others_read_stays_for_them(parse, lower):
    model = parse("g (float[2] x) => (float[2] y) <float c = {3}> { h = Div(x, c)  y = Add(h, c) }")
    assert lower(model, LowerDiv()).ops == ["Mul", "Add"]


def test_the_reciprocal_of_a_weight_is_computed_while_saving(parse, tmp_path):
    model = parse("g (float[1000] x) => (float[1000] y) <float[1] c = {0}> { y = Div(x, c) }")
    values = np.random.default_rng(0).uniform(1, 2, 1000).astype(np.float32)
    model.graph.nodes[0].inputs[1].values = values
    regraft.save(model, tmp_path / "model.onnx")
    model = regraft.load(tmp_path / "model.onnx")
    (node,) = model.graph.nodes
    assert isinstance(node.inputs[1].lazy, Stored)
    LowerDiv().run(model, regraft.Context())
    (node,) = model.graph.nodes
    assert isinstance(node.inputs[1], Constant)
    assert isinstance(node.inputs[1].lazy, Derived)
    regraft.save(model, tmp_path / "out.onnx")
    x = np.linspace(-1, 1, 1000, dtype=np.float32)
    found = snapshot(regraft.load(tmp_path / "out.onnx"), {"x": x})["y"]
    np.testing.assert_allclose(found, x / values, rtol=2.0**-22)


def test_a_constant_node_and_a_small_one_of_a_file(parse, lower, tmp_path):
    model = parse(
        "g (float[2] x) => (float[2] y) <float c = {3}> { k = Constant<value_float=4.0>() h = Div(x, k) y = Div(h, c) }"
    )
    regraft.save(model, tmp_path / "model.onnx")
    model = regraft.load(tmp_path / "model.onnx")
    assert any(isinstance(t.lazy, Held) for node in model.graph.nodes for t in node.inputs if isinstance(t, Constant))
    assert [op for op in lower(model, LowerDiv()).ops if op != "Constant"] == ["Mul", "Mul"]


def test_it_reaches_into_branches_and_functions(parse, lower):
    model = parse(
        """g (bool c, float[4] x) => (float[4] y) {
            h = local.third(x)
            y = If (c) <
                then_branch = t () => (float[4] a) { e = Constant<value_float = 7.0>()  a = Div(h, e) },
                else_branch = f () => (float[4] b) { b = Neg(h) }
            >
        }
        <domain: "local", opset_import: ["": 21]> third (u) => (v) { e = Constant<value_float = 3.0>()  v = Div(u, e) }
        """
    )
    inputs = {"c": np.array(True), "x": np.float32([-1, 3, 0.5, 2])}
    assert len(lower(model, LowerDiv(), inputs).changes) == 2


@pytest.mark.parametrize(
    ("name", "divisors", "count"),
    [
        ("transformers-4.25.1-bert-qa/model.onnx", "all", 4),
        ("transformers-4.25.1-bert-qa/model.onnx", "powers-of-two", 2),
        ("t5-encoder-ts.onnx", "all", 2),
        ("t5-encoder-dynamo.onnx", "all", 2),
    ],
)
def test_those_of_an_export(artifacts, lower, name, divisors, count):
    found = lower(regraft.load(artifacts / "pytorch" / name), LowerDiv(divisors=divisors))
    assert len(found.changes) == count
