"""clamp-mask-value: masks change and nothing else of their size; rows that show something keep their outputs."""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir.graph import Constant
from regraft.ir.verifier import check
from regraft.passes.clamp_mask_value import ClampMaskValue
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from tests.passes.constants import with_constants

EXPORTS = {  # how many constants are beyond the value
    "pytorch/bert-cls-eager-dynamo.onnx": 1,
    "pytorch/bert-cls-eager-ts.onnx": 1,
    "pytorch/bert-cls-sdpa-dynamo.onnx": 1,
    "pytorch/bert-cls-sdpa-ts.onnx": 2,
    "pytorch/bert-cls-explicit-dynamo.onnx": 0,
    "pytorch/gpt2-eager-dynamo.onnx": 1,
    "pytorch/gpt2-sdpa-ts.onnx": 2,
    "pytorch/t5-encoder-dynamo.onnx": 1,
    "pytorch/t5-encoder-ts.onnx": 1,
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": 1,
    "pytorch/vit-ts.onnx": 0,
    "tensorflow/tiny_seq32_op18.onnx": 0,
}


def apply(model, **options):
    context = Context()
    ClampMaskValue(**options).run(model, context)
    check(model)
    return context


def far(model, limit: float = -1e4) -> int:
    """How many constants go below `limit`."""
    found = {t for node in model.nodes() for t in (*node.inputs, *node.attrs.values()) if isinstance(t, Constant)}
    return sum(t.dtype.kind == "f" and bool((t.values < limit).any()) for t in found)


@pytest.mark.parametrize("name", EXPORTS)
def test_exports(artifacts, name):
    model = regraft.load(artifacts / name)
    rewritten = clone(model)
    context = apply(rewritten)
    assert len(context.changes) == EXPORTS[name]
    assert far(rewritten) == 0
    inputs = make_inputs(model)
    assert reassociation.check(snapshot(model, inputs), snapshot(rewritten, inputs)).passed
    assert not apply(rewritten).changes


Q, K = np.array([[[0.5, -1, 2], [3, 0.25, 1]]], np.float32), np.eye(3, dtype=np.float32)[None]
SHOWN = np.array([[[True, False, True], [False, True, True]]])
FORMS = {
    "added": "m = Where(c, zero, far) x = Add(s, m)",
    "subtracted": "m = Where(c, zero, high) x = Sub(s, m)",
    "chosen": "x = Where(c, s, far)",
    "chosen the other way": "n = Not(c) x = Where(n, far, s)",
    "factor": "i = Cast<to=1>(c) j = Sub(one, i) m = Mul(far, j) x = Add(m, s)",
    "factor, m - 1": "i = Cast<to=1>(c) j = Sub(i, one) m = Mul(j, high) x = Add(s, m)",
    "expanded": "f = Expand(far, shape) z = Expand(zero, shape) m = Where(c, z, f) u = Unsqueeze(m, axis)"
    " v = Squeeze(u, axis) x = Add(s, v)",
    "two masks": "m = Where(c, zero, far) o = Where(c, zero, far) t = Add(m, o) x = Add(s, t)",
    "scaled": "m = Where(c, zero, far) y = Add(s, m) x = Mul(y, half)",
    "like the scores": "h = Shape(s) f = ConstantOfShape<value = float[1] {-3e38}>(h) x = Where(c, s, f)",
}


def attention(parse, body: str, opset: int = 20, fill: float = -3e38):
    text = f"""g (bool[1,2,3] c, float[1,2,3] q, float[1,3,3] k) => (float[1,2,3] out)
    <float zero = {{0}}, float one = {{1}}, float half = {{0.5}}, float far = {{-3e38}}, float high = {{3e38}},
     int64[1] axis = {{0}}, int64[3] shape = {{1, 2, 3}}> {{ s = MatMul(q, k) {body} out = Softmax<axis=-1>(x) }}"""
    return with_constants(parse(text, opset), far=fill, high=-fill)


@pytest.mark.parametrize("fill", [-np.inf, float(np.finfo(np.float32).min), -1e18, -1e9])
@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_forms(parse, body, fill):
    """A factor of -inf is no mask: it makes NaN of what it shows."""
    if np.isinf(fill) and "Mul(" in body and "half" not in body:
        fill = -1e30
    model = attention(parse, body, fill=fill)
    rewritten = clone(model)
    assert apply(rewritten).changes
    assert far(rewritten) == 0
    inputs = {"c": SHOWN, "q": Q, "k": K}
    np.testing.assert_array_equal(snapshot(rewritten, inputs)["out"], snapshot(model, inputs)["out"])
    assert not apply(rewritten).changes


@pytest.mark.parametrize("opset", [13, 18, 23])
@pytest.mark.parametrize("value", [-1e4, -500.0, -3e4])
def test_the_value_is_the_users(parse, opset, value):
    model = attention(parse, FORMS["added"], opset)
    apply(model, value=value)
    where = next(node for node in model.graph.nodes if node.op == "Where")
    assert where.inputs[2].values == np.float32(value)


OTHERS = {
    "not before a Softmax": "y = Add(s, far) z = Relu(y) m = Where(c, zero, half) x = Add(s, m)",
    "of what layers compute": "d = Greater(s, zero) t = Where(d, s, far) e = MatMul(t, k) x = Add(e, e)",
    "compared": "d = Greater(s, far) e = Cast<to=1>(d) x = Add(s, e)",
    "a bound": "r = Max(s, far) x = Add(r, one)",
}


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_other_large_constants_stay(parse, body):
    model = attention(parse, body)
    before = far(model)
    assert before
    assert not apply(model).changes
    assert far(model) == before


def test_a_mask_that_is_read_elsewhere_stays_and_the_note_says_by_whom(parse):
    body = "m = Where(c, zero, far) n = Relu(m) y = Add(s, m) x = Add(y, n)"
    model = attention(parse, body.replace("Relu", "Cos"))
    context = apply(model)
    assert not context.changes
    (note,) = context.notes
    assert "'m' is read by" in note


def test_a_constant_that_two_read_changes_for_the_mask_only(parse):
    model = attention(parse, "m = Where(c, zero, far) r = Max(s, far) x = Add(r, m)")
    assert len(apply(model).changes) == 1
    assert far(model) == 1
    assert next(node for node in model.graph.nodes if node.op == "Max").inputs[1].name == "far"


def test_a_row_that_hides_everything_gets_the_weights_without_mask(parse):
    model = attention(parse, FORMS["added"])
    apply(model)
    inputs = {"c": np.zeros_like(SHOWN), "q": Q, "k": K}
    weights = np.exp(Q) / np.exp(Q).sum(-1, keepdims=True)
    np.testing.assert_allclose(snapshot(model, inputs)["out"], weights, atol=1e-3)


def test_a_large_constant_mask(parse):
    model = attention(parse, "x = Add(s, causal)".replace("causal", "far"))
    add = next(node for node in model.graph.nodes if node.op == "Add")
    add.inputs[1].values = np.where(SHOWN, 0, -np.inf).astype(np.float32)
    rewritten = clone(model)
    assert len(apply(rewritten).changes) == 1
    inputs = {"c": SHOWN, "q": Q, "k": K}
    np.testing.assert_array_equal(snapshot(rewritten, inputs)["out"], snapshot(model, inputs)["out"])


def test_attention_as_one_operator(parse):
    text = """g (bool[1,1,2,3] c, float[1,1,2,3] q, float[1,1,3,3] k) => (float[1,1,2,3] out)
    <float zero = {0}, float far = {-3e38}> { m = Where(c, zero, far) out = Attention(q, k, k, m) }"""
    model = parse(text, 23)
    rewritten = clone(model)
    assert len(apply(rewritten).changes) == 1
    inputs = {"c": SHOWN[None], "q": Q[None], "k": K[None]}
    np.testing.assert_array_equal(snapshot(rewritten, inputs)["out"], snapshot(model, inputs)["out"])


@pytest.mark.parametrize("value", [0.0, 10000.0])
def test_a_value_that_hides_nothing_is_refused(parse, value):
    with pytest.raises(PassError, match="hides nothing"):
        apply(attention(parse, FORMS["added"]), value=value)


def test_a_value_that_the_type_cannot_hold_is_not_used(parse):
    text = """g (bool[1,3] c, float16[1,3] q, float16[3,3] k) => (float16[1,3] out)
    <float16 zero = {0}, float16 far = {0}>
    { s = MatMul(q, k) m = Where(c, zero, far) x = Add(s, m) out = Softmax(x) }"""
    model = with_constants(parse(text), far=-np.inf)
    context = apply(model, value=-1e6)
    assert not context.changes
    assert "cannot hold" in context.notes[0]
