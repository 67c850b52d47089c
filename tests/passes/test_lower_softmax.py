"""lower-softmax: both operators, before and from opset 13, and rows that are masked throughout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft
from regraft.passes.lower_softmax import LowerSoftmax
from regraft.rewriting.why import why
from regraft.verification.verify import snapshot

OPSETS = (11, 12, 13, 17, 18, 20, 23)
KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64}


def softmax_model(parse, axis: int | None = -1, op: str = "Softmax", dtype: str = "float", opset: int = 18):
    attrs = "" if axis is None else f"<axis={axis}>"
    return parse(f"g ({dtype}[2,3,n,5] x) => ({dtype}[2,3,n,5] y) {{ y = {op} {attrs} (x) }}", opset)


def scores(dtype: str = "float", spread: float = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(0, spread, (2, 3, 4, 5)).astype(KINDS[dtype])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, -1, 3, 0, 1, 2, -2])
@pytest.mark.parametrize("opset", OPSETS)
def test_every_axis_at_every_opset(parse, lower, op, axis, opset):
    found = lower(softmax_model(parse, axis, op, opset=opset), LowerSoftmax(), {"x": scores()})
    assert op not in found.ops
    assert len(found.changes) == 1


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("opset", OPSETS)
def test_every_type(parse, lower, op, dtype, opset):
    lower(softmax_model(parse, -1, op, dtype, opset), LowerSoftmax(), {"x": scores(dtype)})


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("dtype", KINDS)
def test_masks_and_large_scores(parse, lower, op, dtype):
    x = scores(dtype)
    x[0, 0, :, 2:] = -np.inf  # some masked
    x[0, 1, 0] = -np.inf  # all masked: NaN
    x[0, 2] = np.finfo(KINDS[dtype]).min  # all masked by the finite minimum: even shares
    x[1, 0, :, 1:] = -10000
    x[1, 1] += 30000
    x[1, 2, 0, 0] = np.nan
    found = lower(softmax_model(parse, -1, op, dtype), LowerSoftmax(), {"x": x})
    y = snapshot(found.model, {"x": x})["y"]
    assert np.isnan(y[0, 1, 0]).all()
    assert np.isnan(y[1, 2, 0]).all()
    assert np.isnan(y).sum() == 10


@given(st.lists(st.floats(-80, 80, width=32), min_size=5, max_size=5))
def test_shares_are_those_of_exact_arithmetic(parse, row):
    model = parse("g (float[1,5] x) => (float[1,5] y) { y = Softmax(x) }")
    LowerSoftmax().run(model, regraft.Context())
    x = np.float32([row])
    shares = np.exp(x.astype(np.float64) - x.max())
    np.testing.assert_allclose(snapshot(model, {"x": x})["y"], shares / shares.sum(), rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize(("opset", "axis", "axes"), [(12, 1, [-3, -2, -1]), (12, -2, [-2, -1]), (13, 1, [1])])
def test_before_13_all_axes_from_the_one_on_are_summed_over(parse, opset, axis, axes):
    model = softmax_model(parse, axis, opset=opset)
    LowerSoftmax().run(model, regraft.Context())
    (maximum,) = (node for node in model.graph.nodes if node.op == "ReduceMax")
    assert maximum.attrs["axes"] == axes


def test_it_reaches_into_branches_and_leaves_what_has_no_known_type(parse, lower):
    model = parse(
        """g (bool c, float[3,4] x) => (float[3,4] y) {
            h = local.shares(x)
            y = If (c) <
                then_branch = t () => (float[3,4] a) { a = Softmax(h) },
                else_branch = f () => (float[3,4] b) { b = Neg(h) }
            >
        }
        <domain: "local", opset_import: ["": 21]> shares (u) => (v) { v = Softmax(u) }"""
    )
    inputs = {"c": np.array(True), "x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    found = lower(model, LowerSoftmax(), inputs)
    assert len(found.changes) == 1
    assert "not known" in why(found.model, LowerSoftmax())[0].reason


def test_an_axis_that_the_call_of_a_function_gives_stays(parse):
    model = parse(
        """g (float[3,4] x) => (float[3,4] y) { y = local.shares <a = 0> (x) }
        <domain: "local", opset_import: ["": 21]> shares <a> (u) => (v) { v = Softmax <axis: int = @a> (u) }"""
    )
    model.functions[0].inputs[0].dtype = np.dtype(np.float32)
    context = regraft.Context()
    LowerSoftmax().run(model, context)
    assert not context.changes
    assert "function around" in why(model, LowerSoftmax())[0].reason


@pytest.mark.parametrize(
    "name",
    [
        "pytorch/bert-cls-eager-dynamo.onnx",
        "pytorch/bert-cls-sdpa-ts.onnx",
        "pytorch/transformers-4.25.1-bert-qa/model.onnx",
        "pytorch/gpt2-sdpa-dynamo.onnx",
        "tensorflow/tiny_seq32_op18.onnx",
    ],
)
def test_those_of_an_export(artifacts, lower, name):
    found = lower(regraft.load(artifacts / name), LowerSoftmax())
    assert len(found.changes) >= 2
    assert "Softmax" not in found.ops
