"""lower-gemm and fuse-gemm: every attribute, weights left alone, the way down and up again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import helper, numpy_helper

import regraft
from regraft.files.convert import clone, from_proto
from regraft.ir.verifier import check
from regraft.ir.weights import Derived
from regraft.passes.fuse_gemm import FuseGemm
from regraft.passes.lower_gemm import LowerGemm
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot

OPSETS = (11, 13, 17, 18, 20, 23)
M, K, N = 3, 4, 5


def gemm_model(bias=(N,), weight=True, computed_bias=False, opset=17, dtype=np.float32, **attrs):
    """One Gemm; its B, and its C, are weights or inputs."""
    rng = np.random.default_rng(0)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    shapes = {
        "a": (K, M) if attrs.get("transA") else (M, K),
        "b": (N, K) if attrs.get("transB") else (K, N),
        **({} if bias is None else {"c": bias}),
    }
    is_weight = {"a": False, "b": weight, "c": not computed_bias}
    inputs = [helper.make_tensor_value_info(n, code, s) for n, s in shapes.items() if not is_weight[n]]
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(dtype), n) for n, s in shapes.items() if is_weight[n]]
    node = helper.make_node("Gemm", list(shapes), ["y"], name="gemm", **attrs)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", code, [M, N])], weights)
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7))


def run(model, one) -> Context:
    context = Context(one.name)
    one.run(model, context)
    check(model)
    return context


def ops(model) -> list[str]:
    return [node.op for node in model.graph.nodes]


def equal(before, after, inputs) -> None:
    drift = reassociation.through(1).check(snapshot(before, inputs), snapshot(after, inputs))
    assert drift.passed, str(drift)


@pytest.mark.parametrize(("factor", "fuses"), [(0.5, True), (0.1, False), (float(np.float32(0.1)), True)])
def test_a_factor_of_doubles_that_the_attribute_cannot_hold_stays(parse, factor, fuses):
    text = """g (double[2,3] x, double[3,4] w, double[4] b) => (double[2,4] y) <double f = {0}>
    { p = MatMul(x, w) s = Mul(p, f) y = Add(s, b) }"""
    model = parse(text)
    model.graph.nodes[1].inputs[1].values = np.array(factor)
    run(model, FuseGemm())
    assert (ops(model) == ["Gemm"]) == fuses


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("trans_a", "trans_b"), list(itertools.product([0, 1], repeat=2)))
@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.0)])
def test_gemm_goes_down_and_up_again(opset, trans_a, trans_b, weight, alpha, beta):
    model = gemm_model(weight=weight, opset=opset, transA=trans_a, transB=trans_b, alpha=alpha, beta=beta)
    inputs, low = make_inputs(model), clone(model)
    assert len(run(low, LowerGemm()).changes) == 1
    assert set(ops(low)) <= {"Transpose", "MatMul", "Mul", "Add"}
    equal(model, low, inputs)
    if weight:  # both changes go into it
        assert ops(low) == ["Transpose"] * trans_a + ["MatMul"] + ["Add"] * (beta != 0)
    assert not run(clone(low), LowerGemm()).changes
    up = clone(low)
    run(up, FuseGemm())
    if beta:
        assert ops(up) == ["Gemm"]
        equal(model, up, inputs)
        again = clone(up)
        run(again, LowerGemm())
        assert ops(again) == ops(low)


@pytest.mark.parametrize("bias", [None, (), (1,), (N,), (1, N), (M, 1), (M, N)])
@pytest.mark.parametrize("computed", [True, False])
def test_every_shape_of_the_bias(bias, computed):
    model = gemm_model(bias, computed_bias=computed, beta=0.5, transB=1)
    low = clone(model)
    run(low, LowerGemm())
    assert "Gemm" not in ops(low)
    equal(model, low, make_inputs(model))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types(dtype):
    model = gemm_model(dtype=dtype, alpha=0.3, beta=1.7, transB=1)
    low = clone(model)
    run(low, LowerGemm())
    assert ops(low) == ["MatMul", "Add"]
    equal(model, low, make_inputs(model))
    run(low, FuseGemm())
    assert ops(low) == ["Gemm"]


def test_a_weight_is_not_read_when_it_changes():
    model = gemm_model(transB=1, alpha=0.5)
    run(model, LowerGemm())
    assert isinstance(model.graph.nodes[0].inputs[1].lazy, Derived)


def test_a_weight_that_others_read_stays_as_it_is(parse, apply):
    model = parse("""g (float[2,3] x, int64[2] i) => (float[2,4] y, float[2,3] e)
        <float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> { y = Gemm<transB = 1>(x, w)  e = Gather(w, i) }""")
    done = apply(model, LowerGemm(), inputs={"x": np.ones((2, 3), np.float32), "i": np.array([0, 3])})
    assert sorted(done.ops) == ["Gather", "MatMul", "Transpose"]


def test_integers_with_a_factor_stay(parse):
    model = parse("g (int32[2,3] x, int32[3,2] w) => (int32[2,2] y) { y = Gemm<alpha = 0.5>(x, w) }")
    context = run(model, LowerGemm())
    assert ops(model) == ["Gemm"]
    assert "integers" in context.notes[0]


@pytest.mark.parametrize("flip", [True, False])
def test_a_transpose_goes_into_the_product(parse, apply, flip):
    left, right = ("b", "t") if flip else ("t", "b")
    model = parse(f"""g (float[3,3] a, float[3,3] b) => (float[3,3] y) {{
        t = Transpose<perm = [1,0]>(a)  y = MatMul({left}, {right}) }}""")
    run(model, FuseGemm())
    (node,) = model.graph.nodes
    assert node.op == "Gemm"
    assert node.attrs == {"transB" if flip else "transA": 1}


@pytest.mark.parametrize(
    "body",
    [
        "p = MatMul(x, w)  y = Add(p, big)",  # the bias is larger than the product
        "p = MatMul(x, w)  q = Relu(p)  y = Add(q, b)",
        "p = MatMul(z, w)  y = Add(p, b)",  # three dimensions
        "y = MatMul(x, w)",  # nothing to gain
        "p = MatMul(x, w)  r = Relu(p)  s = Add(p, b)  y = Add(r, s)",  # the product is read elsewhere
    ],
)
def test_what_is_no_gemm_stays(parse, apply, body):
    model = parse(f"""g (float[1,3] x, float[2,1,3] z) => (float[] y)
        <float[3,2] w = {{1,2,3,4,5,6}}, float[2] b = {{1,2}}, float[2,2] big = {{1,2,3,4}}> {{ {body} }}""")
    model.graph.outputs[0].shape = None
    assert not apply(model, FuseGemm()).changes


@pytest.mark.parametrize(
    "name", ["pytorch/bert-cls-eager-ts.onnx", "pytorch/distilbert-sdpa-dynamo.onnx", "tensorflow/tiny_seq32_op18.onnx"]
)
def test_real_exports(artifacts, name):
    model = regraft.load(artifacts / name)
    fused, inputs = clone(model), make_inputs(model)
    run(fused, FuseGemm())
    assert "Gemm" in ops(fused)
    equal(model, fused, inputs)
    low = clone(fused)
    run(low, LowerGemm())
    assert "Gemm" not in ops(low)
    equal(model, low, inputs)


def test_types_are_known_where_a_body_computes(parse, apply):
    model = parse("""g (bool c, float[2,3] x) => (float[2,2] y) <float[3,2] w = {1,2,3,4,5,6}, float[2] b = {1,2}> {
        y = If(c) <then_branch = t () => (float[2,2] p) { q = MatMul(x, w)  p = Add(b, q) },
                   else_branch = e () => (float[2,2] r) { r = Gemm(x, w, b) }> }""")
    run(model, FuseGemm())
    assert [node.op for node in model.nodes()].count("Gemm") == 2
