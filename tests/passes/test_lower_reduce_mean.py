"""lower-reduce-mean: every way to say the axes, every form, and half precision without overflow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft
from regraft.passes.lower_reduce_mean import LowerReduceMean
from regraft.verification.verify import snapshot

OPSETS = (11, 13, 17, 18, 20, 23)
KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64}


def mean_model(parse, axes="[-1]", keep: int = 1, dtype: str = "float", opset: int = 18, shape: str = "2,3,8"):
    rest = f"g ({dtype}[{shape}] x) => ({dtype}[] y)"
    if axes is None:
        return parse(f"{rest} {{ y = ReduceMean <keepdims={keep}> (x) }}", opset)
    if opset < 18:
        return parse(f"{rest} {{ y = ReduceMean <axes={axes}, keepdims={keep}> (x) }}", opset)
    values = axes.strip("[]")
    count = len(values.split(","))
    return parse(f"{rest} <int64[{count}] a = {{{values}}}> {{ y = ReduceMean <keepdims={keep}> (x, a) }}", opset)


def unranked(model):
    """`model` without a promise of the shape of its output."""
    model.graph.outputs[0].shape = None
    return model


@pytest.mark.parametrize("axes", ["[-1]", "[2]", "[0]", "[0, 2]", "[-2, -1]", None])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("order", ["sum-first", "scale-first"])
@pytest.mark.parametrize("opset", OPSETS)
def test_as_a_sum(parse, lower, axes, keep, order, opset):
    model = unranked(mean_model(parse, axes, keep, opset=opset))
    found = lower(model, LowerReduceMean(order=order))
    assert found.ops == (["ReduceSum", "Mul"] if order == "sum-first" else ["Mul", "ReduceSum"])


@pytest.mark.parametrize("axes", ["[-1]", "[2]"])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("opset", OPSETS)
def test_as_a_product(parse, lower, axes, keep, dtype, opset):
    model = unranked(mean_model(parse, axes, keep, dtype, opset))
    assert lower(model, LowerReduceMean(form="matmul")).ops == ["MatMul"]


@pytest.mark.parametrize("keep", [0, 1])
def test_a_product_of_a_vector(parse, lower, keep):
    assert lower(unranked(mean_model(parse, "[0]", keep, shape="8")), LowerReduceMean(form="matmul")).ops == ["MatMul"]


@pytest.mark.parametrize("opset", OPSETS)
def test_half_precision_does_not_overflow(parse, lower, opset):
    model = unranked(mean_model(parse, dtype="float16", opset=opset, shape="4,768"))
    x = np.random.default_rng(0).uniform(200, 400, (4, 768)).astype(np.float16)
    assert lower(model, LowerReduceMean(), {"x": x}).ops == ["Mul", "ReduceSum"]
    with np.errstate(over="ignore"):
        assert np.isinf(x.sum(-1, dtype=np.float16)).all()


@settings(deadline=None)
@given(
    data=st.lists(st.floats(-1000, 1000, width=16), min_size=24, max_size=24),
    form=st.sampled_from(["sum", "matmul"]),
    order=st.sampled_from(["sum-first", "scale-first"]),
)
def test_the_mean_is_that_of_exact_arithmetic(parse, data, form, order):
    model = unranked(mean_model(parse))
    LowerReduceMean(form=form, order=order).run(model, regraft.Context())
    x = np.float32(data).reshape(1, 3, 8).repeat(2, 0)
    found = snapshot(model, {"x": x})["y"]
    exact = x.mean(-1, keepdims=True, dtype=np.float64)
    assert (np.abs(found - exact) <= 8 * 2.0**-23 * np.abs(x).max()).all()


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("g (float[2,n] x) => (float[2,1] y) <int64[1] a={-1}> { y = ReduceMean(x, a) }", {}, "(n)"),
        ("g (float[2,n] x) => (float y) { y = ReduceMean <keepdims=0> (x) }", {}, "set-shapes"),
        ("g (int64[2,4] x) => (int64[2,1] y) <int64[1] a={-1}> { y = ReduceMean(x, a) }", {}, "no float"),
        ("g (float[2,4] x, int64[1] a) => (float[p,q] y) { y = ReduceMean(x, a) }", {}, "no constant"),
        (
            "g (float[2,4] x) => (float[2,4] y) { y = ReduceMean <noop_with_empty_axes=1> (x) }",
            {},
            "forwards its input",
        ),
        ("g (float16[2,32768] x) => (float16[2,1] y) <int64[1] a={-1}> { y = ReduceMean(x, a) }", {}, "no normal"),
        ("g (float[2,0] x) => (float[2,1] y) <int64[1] a={-1}> { y = ReduceMean(x, a) }", {}, "no normal"),
        ("g (float[2,4] x) => (float[1,4] y) <int64[1] a={0}> { y = ReduceMean(x, a) }", {"form": "matmul"}, "last"),
        ("g (float[2,4] x) => (float[1,1] y) { y = ReduceMean(x) }", {"form": "matmul"}, "last axis, not for all"),
    ],
)
def test_what_stays_and_why(parse, text, options, reason):
    model = parse(text)
    context = regraft.Context()
    LowerReduceMean(**options).run(model, context)
    assert not context.changes
    assert reason in context.notes[0]


def test_a_dynamic_dimension_beside_the_axes_does_not_matter(parse, lower):
    model = unranked(mean_model(parse, shape="batch,seq,8"))
    assert lower(model, LowerReduceMean()).ops == ["ReduceSum", "Mul"]


def test_an_empty_list_of_axes_is_all_of_them(parse, lower):
    model = parse("g (float[2,4] x) => (float[1,1] y) <int64[0] a={}> { y = ReduceMean(x, a) }")
    assert lower(model, LowerReduceMean()).ops == ["ReduceSum", "Mul"]


def test_it_reaches_into_branches(parse, lower):
    model = parse(
        """g (bool c, float[3,4] x) => (float[3,1] y) <int64[1] axes = {-1}> {
            y = If (c) <
                then_branch = t () => (float[3,1] a) { a = ReduceMean(x, axes) },
                else_branch = f () => (float[3,1] b) { b = ReduceMax(x, axes) }
            >
        }"""
    )
    inputs = {"c": np.array(True), "x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    assert len(lower(model, LowerReduceMean(), inputs).changes) == 1


@pytest.mark.parametrize("form", ["sum", "matmul"])
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("pytorch/transformers-4.25.1-bert-qa/model.onnx", 10),
        ("pytorch/t5-encoder-ts.onnx", 5),
        ("pytorch/t5-encoder-dynamo.onnx", 5),
        ("tensorflow/tiny_seq32_op18.onnx", 10),
    ],
)
def test_those_of_an_export(artifacts, lower, form, name, count):
    found = lower(regraft.load(artifacts / name), LowerReduceMean(form=form))
    assert len(found.changes) == count
    assert "ReduceMean" not in found.ops
