"""externalize-mask: the device adds a bias; host and device together are the model that was."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

import regraft
from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir.verifier import check
from regraft.passes.externalize_mask import ExternalizeMask
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import interface
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.verify import snapshot
from tests.passes.constants import with_constants
from tests.shares import diagonal

ROWS, CAUSAL = (1, 1), (1, "S")
EXPORTS = {  # file: the second and third dimension of the bias, and what the mask needed that the device still has
    "pytorch/bert-cls-eager-dynamo.onnx": ROWS,
    "pytorch/bert-cls-eager-ts.onnx": ROWS,
    "pytorch/bert-cls-sdpa-dynamo.onnx": ROWS,
    "pytorch/bert-cls-sdpa-dynamo-op23.onnx": CAUSAL,  # the Attention operator of ONNX Runtime wants every row
    "pytorch/bert-cls-sdpa-ts.onnx": ROWS,
    "pytorch/bert-mlm-tied-dynamo.onnx": ROWS,
    "pytorch/bert-mlm-tied-ts.onnx": ROWS,
    "pytorch/bert-qa-eager-dynamo.onnx": ROWS,
    "pytorch/bert-static-dynamo.onnx": ROWS,
    "pytorch/distilbert-sdpa-dynamo.onnx": ROWS,
    "pytorch/distilbert-sdpa-ts.onnx": ROWS,
    "pytorch/gpt2-eager-dynamo.onnx": CAUSAL,
    "pytorch/gpt2-eager-ts.onnx": CAUSAL,
    "pytorch/gpt2-sdpa-dynamo.onnx": CAUSAL,
    "pytorch/gpt2-sdpa-ts.onnx": CAUSAL,
    "pytorch/roberta-eager-ts.onnx": ROWS,
    "pytorch/roberta-sdpa-dynamo.onnx": ROWS,
    "pytorch/t5-encoder-dynamo.onnx": ROWS,
    "pytorch/t5-encoder-ts.onnx": ROWS,
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": ROWS,
    "tensorflow/tiny_seq32_op18.onnx": ROWS,
}
LENGTHS = [1, 5, 3]


def moved(model, **options):
    context = Context("externalize-mask")
    ExternalizeMask(**options).run(model, context)
    check(model)
    return context


def padded(model, seed: int = 0):
    """Inputs of sentences of different lengths, and where they are padded."""
    inputs = make_inputs(model, seed=seed)
    (name,) = [name for name in inputs if name.endswith("mask")]
    mask = np.zeros_like(inputs[name])
    for row, length in zip(mask, itertools.cycle(LENGTHS), strict=False):
        row[:length] = 1
    return inputs | {name: mask}, mask == 0


@pytest.mark.parametrize("name", diagonal(3, EXPORTS))
def test_exports(artifacts, name):
    model = regraft.load(artifacts / name)
    split = clone(model)
    context = moved(split)
    (bias,) = [tensor for tensor in split.graph.inputs if tensor.name == "attention_bias"]
    assert len(bias.shape) == 4
    assert (bias.shape[1], bias.shape[2]) == (1, bias.shape[3] if EXPORTS[name] is CAUSAL else 1)
    assert not [tensor.name for tensor in split.graph.inputs if tensor.name.endswith("mask")]
    assert not {"IsNaN", "GatherND", "And", "GreaterOrEqual", "LessOrEqual"} & {n.op for n in split.graph.nodes}
    assert split.host is not None
    assert not {"MatMul", "Gemm", "LayerNormalization"} & {node.op for node in split.host.model.graph.nodes}
    assert not context.notes
    inputs, _ = padded(model)
    assert interface.through(4).check(snapshot(model, inputs), snapshot(split, inputs)).passed
    assert not moved(split).changes


@pytest.mark.parametrize(
    "name", ["pytorch/bert-cls-sdpa-ts.onnx", "pytorch/gpt2-eager-dynamo.onnx", *list(EXPORTS)[-2:]]
)
def test_padding_is_masked(artifacts, name):
    """What stands at a padded place does not change the others."""
    split = regraft.load(artifacts / name)
    inputs, hidden = padded(split)
    before = snapshot(split, inputs)
    moved(split)
    session = Session(split)
    (ids,) = [key for key in inputs if key == "input_ids"]
    other = inputs | {ids: np.where(hidden, 7, inputs[ids])}
    assert (other[ids] != inputs[ids]).any()
    for key, value in session.run(other).items():
        shown = ~hidden if value.shape[:2] == hidden.shape else slice(None)
        np.testing.assert_allclose(value[shown], before[key][shown], atol=1e-5)
    everything = {k: np.ones_like(v) if k.endswith("mask") else v for k, v in inputs.items()}
    assert any(np.abs(v - before[k]).max() > 1e-4 for k, v in session.run(everything).items())


@pytest.mark.parametrize("pipeline", diagonal(2, [
    "externalize-mask,expose-position-ids,externalize-embeddings,eliminate-dead-code",
    "externalize-embeddings,externalize-mask",
    "clamp-mask-value,simplify-mask,externalize-mask,externalize-embeddings",
    "simplify-mask{assume-no-empty-rows=true},lower-where,externalize-mask",
]))  # fmt: skip
@pytest.mark.parametrize("name", ["bert-cls-sdpa-ts", "bert-cls-eager-dynamo", "gpt2-eager-dynamo", "roberta-sdpa-ts"])
def test_among_other_passes(artifacts, name, pipeline):
    model = regraft.load(artifacts / f"pytorch/{name}.onnx")
    split = clone(model)
    regraft.run(split, pipeline)
    inputs, _ = padded(model)
    assert interface.through(9).check(snapshot(model, inputs), snapshot(split, inputs)).passed
    names = [tensor.name for tensor in split.graph.inputs]
    assert "attention_bias" in names
    assert "attention_mask" not in names
    if "embeddings" in pipeline:
        assert "input_ids" not in names


# ------------------------------------------------------------------------------------------------ forms

FORMS = {  # how a mask [2, 4] of ones and zeros is applied to scores s [2, 3, 4, 4]
    "(1 - m) * far": "f = Cast<to=1>(u) i = Sub(one, f) b = Mul(i, far) x = Add(s, b)",
    "added first": "f = Cast<to=1>(u) i = Sub(one, f) b = Mul(far, i) x = Add(b, s)",
    "subtracted": "f = Cast<to=1>(u) i = Sub(one, f) b = Mul(i, high) x = Sub(s, b)",
    "m - 1": "f = Cast<to=1>(u) i = Sub(f, one) b = Mul(i, high) x = Add(s, b)",
    "Where(c, 0, far)": "c = Cast<to=9>(u) b = Where(c, zero, far) x = Add(s, b)",
    "masked_fill": "f = Cast<to=1>(u) i = Sub(one, f) c = Cast<to=9>(i) x = Where(c, far, s)",
    "chosen": "c = Cast<to=9>(u) x = Where(c, s, far)",
    "chosen, computed fill": "c = Cast<to=9>(u) h = Shape(s) g = Expand(far, h) x = Where(c, s, g)",
    "expanded": "c = Cast<to=9>(u) e = Expand(c, column) b = Where(e, zero, far) x = Add(s, b)",
    "ones * m": "f = Cast<to=1>(u) o = Expand(one, column) g = Mul(o, f) i = Sub(one, g) b = Mul(i, far) x = Add(s, b)",
    "scaled after": "c = Cast<to=9>(u) b = Where(c, zero, far) y = Add(s, b) x = Mul(y, half)",
    "two masks": "c = Cast<to=9>(u) y = Where(c, s, far) b = Where(causal, zero, far) x = Add(y, b)",
    "two masks, one a constant": "c = Cast<to=9>(u) y = Where(c, s, far) x = Add(y, constant)",
    "and a learned bias": "c = Cast<to=9>(u) b = Where(c, zero, far) y = Add(s, learned) x = Add(y, b)",
    "in one sum": "c = Cast<to=9>(u) b = Where(c, zero, far) y = Add(learned, b) x = Add(s, y)",
    "of a learned bias": "c = Cast<to=9>(u) b = Where(c, learned, far) x = Add(s, b)",
    "masked_fill of a learned bias": "c = Cast<to=9>(u) h = Not(c) b = Where(h, far, learned) x = Add(b, s)",
    "causal": "c = Cast<to=9>(u) d = And(c, causal) b = Where(d, zero, far) x = Add(s, b)",
    "of rows and columns": "c = Cast<to=9>(u) t = Transpose<perm=[0,1,3,2]>(c) d = And(c, t) e = Or(d, eye)"
    " b = Where(e, zero, far) x = Add(s, b)",
    "of rank 3": "r = Squeeze(u, axis) c = Cast<to=9>(r) b = Where(c, zero, far) v = Unsqueeze(b, axis) x = Add(s, v)",
    "keys before queries": "c = Cast<to=9>(u) e = Expand(c, column) b = Where(e, zero, far)"
    " t = Transpose<perm=[0,1,3,2]>(b) z = Transpose<perm=[0,1,3,2]>(s) y = Add(z, t) x = Transpose<perm=[0,1,3,2]>(y)",
}


EVERY_ROW = ("causal", "of rows and columns")


def attention(parse, body: str, opset: int = 20, fill: float = -3e38):
    text = f"""g (int64[2,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out)
    <float zero = {{0}}, float one = {{1}}, float half = {{0.5}}, float far = {{-1}}, float high = {{1}},
     int64[1] axis = {{1}}, int64[2] axes = {{1, 2}}, int64[4] column = {{1, 1, 4, 1}},
     float[3,1,1] learned = {{0.5, -0.25, 1}}, float[1,4] constant = {{0, 0, 0, -10000}},
     bool[4,4] causal = {{1,0,0,0, 1,1,0,0, 1,1,1,0, 1,1,1,1}}, bool[4,4] eye = {{1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1}}>
    {{ u = Unsqueeze(mask, axes) s = MatMul(q, k) {body} out = Softmax<axis=-1>(x) }}"""
    return with_constants(parse(text, opset), far=fill, high=-fill)


def given(seed: int = 0):
    random = np.random.default_rng(seed)
    q, k = (random.standard_normal((2, 3, 4, 4)).astype(np.float32) for _ in range(2))
    return {"mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]]), "q": q, "k": k}


@pytest.mark.parametrize("fill", [-1e4, -1e9, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("name", FORMS)
def test_forms(parse, name, fill):
    model = attention(parse, FORMS[name], fill=fill)
    split = clone(model)
    moved(split)
    assert [tensor.name for tensor in split.graph.inputs] == ["q", "k", "attention_bias"]
    bias = snapshot(split.host.model, {"mask": given()["mask"]} | given())["attention_bias"]
    assert bias.shape == (2, 1, 4 if name in EVERY_ROW else 1, 4)
    assert set(bias.flat) == {0, -10000}
    assert interface.check(snapshot(model, given()), snapshot(split, given())).passed
    assert not moved(split).changes


GATED = {  # a mask that multiplies too, before the Softmax or behind it
    "chosen, and behind": ("f = Cast<to=1>(u) c = Cast<to=9>(u) x = Where(c, s, far)", "Mul(p, f)"),
    "added, and behind": ("f = Cast<to=1>(u) i = Sub(one, f) b = Mul(i, far) x = Add(s, b)", "Mul(f, p)"),
    "ones in numbers": ("f = Cast<to=1>(u) g = Expand(f, square) c = Cast<to=9>(g) x = Where(c, s, far)", "Mul(p, g)"),
    "masked_fill twice": ("c = Cast<to=9>(u) h = Not(c) x = Where(h, far, s)", "Where(h, zero, p)"),
    "chosen twice": ("c = Cast<to=9>(u) b = Where(c, zero, far) x = Add(s, b)", "Where(c, p, zero)"),
    "arithmetic": ("f = Cast<to=1>(u) g = Mul(s, f) i = Sub(one, f) b = Mul(i, far) x = Add(g, b)", "Identity(p)"),
}


@pytest.mark.parametrize("name", GATED)
def test_gates_that_say_the_same(parse, name):
    before, behind = GATED[name]
    text = f"""g (bool[2,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out)
    <float zero = {{0}}, float one = {{1}}, float far = {{-1e18}}, int64[2] axes = {{1, 2}},
     int64[4] square = {{1, 3, 4, 1}}>
    {{ u = Unsqueeze(mask, axes) s = MatMul(q, k) {before} p = Softmax<axis=-1>(x) out = {behind} }}"""
    model = parse(text)
    split = clone(model)
    moved(split)
    assert [n.op for n in split.graph.nodes if n.op != "Identity"] == ["MatMul", "Add", "Softmax"]
    assert [tensor.name for tensor in split.graph.inputs] == ["q", "k", "attention_bias"]
    inputs = given() | {"mask": given()["mask"] == 1}
    assert interface.check(snapshot(model, inputs), snapshot(split, inputs)).passed
    assert not moved(split).changes


@pytest.mark.parametrize("behind", ["Mul(p, i)", "Mul(p, w)", "Mul(p, v)", "Where(c, zero, p)", "Where(c, p, one)"])
def test_gates_that_say_something_else_stay(parse, behind):
    text = f"""g (bool[2,4] mask, float[2,1,1,4] w, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out)
    <float zero = {{0}}, float one = {{1}}, float far = {{-1e18}}, int64[2] axes = {{1, 2}}>
    {{ c = Unsqueeze(mask, axes) f = Cast<to=1>(c) i = Sub(one, f) v = Sigmoid(w) s = MatMul(q, k)
       x = Where(c, s, far)
       p = Softmax<axis=-1>(x) out = {behind} }}"""
    model = parse(text)
    split = clone(model)
    moved(split)
    inputs = given() | {"mask": given()["mask"] == 1, "w": np.full((2, 1, 1, 4), 0.5, np.float32)}
    assert interface.check(snapshot(model, inputs), snapshot(split, inputs)).passed


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 21, 23])
def test_opsets(parse, opset):
    model = attention(parse, FORMS["Where(c, 0, far)"], opset)
    split = clone(model)
    moved(split)
    assert interface.check(snapshot(model, given()), snapshot(split, given())).passed


def test_minus_infinity_and_the_guard_behind_it(parse):
    text = """g (int64[2,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out)
    <float zero = {0}, float far = {-1}, int64[2] axes = {1, 2}>
    { u = Unsqueeze(mask, axes) c = Cast<to=9>(u) b = Where(c, zero, far) s = MatMul(q, k) x = Add(s, b)
      p = Softmax<axis=-1>(x) n = IsNaN(p) out = Where(n, zero, p) }"""
    model = with_constants(parse(text), far=-np.inf)
    split = clone(model)
    moved(split)
    assert [node.op for node in split.graph.nodes] == ["MatMul", "Add", "Softmax"]
    assert interface.check(snapshot(model, given()), snapshot(split, given())).passed


@pytest.mark.parametrize(("value", "dtype"), [(-1e4, "float16"), (-3e4, "same"), (-1e9, "float32")])
def test_value_and_dtype_are_the_users(parse, value, dtype):
    model = attention(parse, FORMS["Where(c, 0, far)"])
    split = clone(model)
    moved(split, value=value, dtype=dtype, input="bias")
    bias = snapshot(split.host.model, given())["bias"]
    assert bias.dtype == ("float16" if dtype == "float16" else "float32")
    assert bias.min() == np.array(value, bias.dtype)
    assert interface.check(snapshot(model, given()), snapshot(split, given())).passed


@pytest.mark.parametrize(("value", "dtype"), [(0.0, "same"), (-10.0, "same"), (-1e5, "float16")])
def test_a_value_that_does_not_hide_is_refused(parse, value, dtype):
    with pytest.raises(PassError, match=r"hide|cannot hold"):
        moved(attention(parse, FORMS["Where(c, 0, far)"]), value=value, dtype=dtype)


def test_layers_that_mask_alike_share_one_input(parse):
    summands = ["b0, s0", "s1, b1", "s2, b2"]
    layers = "".join(
        f"c{i} = Cast<to=9>(u) b{i} = Where(c{i}, zero, far) x{i} = Add({summands[i]}) p{i} = Softmax<axis=-1>(x{i})"
        f" s{i + 1} = MatMul(p{i}, k) "
        for i in range(3)
    )
    model = attention(parse, f"s0 = Neg(s) {layers} x = Add(s3, s)")
    split = clone(model)
    moved(split)
    assert [tensor.name for tensor in split.graph.inputs] == ["q", "k", "attention_bias"]
    assert Counter(node.op for node in split.graph.nodes)["Add"] == 4
    assert interface.through(3).check(snapshot(model, given()), snapshot(split, given())).passed


def test_layers_that_share_a_masked_bias_share_one_sum(parse):
    body = """c = Cast<to=9>(u) b = Where(c, learned, far) y = Add(s, b) p = Softmax<axis=-1>(y) t = MatMul(p, k)
    x = Add(t, b)"""
    model = attention(parse, body)
    split = clone(model)
    moved(split)
    assert [tensor.name for tensor in split.graph.inputs] == ["q", "k", "attention_bias"]
    assert Counter(node.op for node in split.graph.nodes)["Add"] == 3
    assert interface.through(2).check(snapshot(model, given()), snapshot(split, given())).passed


def test_layers_that_mask_otherwise_do_not(parse):
    body = """c = Cast<to=9>(u) b = Where(c, zero, far) y = Add(s, b) p = Softmax<axis=-1>(y) t = MatMul(p, k)
    d = And(c, causal) e = Where(d, zero, far) x = Add(t, e)"""
    model = attention(parse, body)
    split = clone(model)
    moved(split)
    assert [tensor.name for tensor in split.graph.inputs] == ["q", "k", "attention_bias", "attention_bias_2"]
    assert interface.through(2).check(snapshot(model, given()), snapshot(split, given())).passed


STAYS = {
    "no mask": ("x = Neg(s)", "no mask to move"),
    "a constant": ("b = Where(causal, zero, far) x = Add(s, b)", "constant"),
    "a learned bias": ("x = Add(s, learned)", "no mask to move"),
    "a choice between learned biases": (
        "c = Cast<to=9>(u) b = Where(c, learned, half) x = Add(s, b)",
        "no mask to move",
    ),
    "a choice of another number": ("c = Cast<to=9>(u) x = Where(c, s, half)", "chosen instead of scores"),
    "what layers compute": ("d = Greater(s, zero) b = Where(d, zero, far) x = Add(s, b)", "no mask to move"),
    "a mask that hides nothing": (
        "h = Size(mask) r = Range(h, h, h) c = Cast<to=1>(r) m = ReduceSum(c) b = Mul(m, zero) x = Add(s, b)",
        "hides nothing",
    ),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_stays_and_why(parse, name):
    body, reason = STAYS[name]
    model = attention(parse, body)
    context = moved(model)
    assert model.host is None
    assert not context.changes
    assert any(reason in note for note in context.notes)


def test_a_bias_that_the_caller_gives_stays(parse):
    text = """g (float[2,1,1,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out)
    { s = MatMul(q, k) x = Add(s, mask) out = Softmax<axis=-1>(x) }"""
    model = parse(text)
    assert "the caller gives it" in moved(model).notes[0]
    assert model.host is None


def test_a_mask_that_something_else_reads_stays_an_input_too(parse):
    text = """g (int64[2,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out, int64[2] length)
    <float zero = {0}, float far = {-10000}, int64[2] axes = {1, 2}, int64[1] last = {1}>
    { u = Unsqueeze(mask, axes) c = Cast<to=9>(u) b = Where(c, zero, far) s = MatMul(q, k) x = Add(s, b)
      out = Softmax<axis=-1>(x) length = ReduceSum<keepdims=0>(mask, last) }"""
    model = parse(text)
    split = clone(model)
    context = moved(split)
    assert "input 'mask' stays on the device" in context.notes[0]
    assert [tensor.name for tensor in split.graph.inputs] == ["mask", "q", "k", "attention_bias"]
    old, new = snapshot(model, given()), snapshot(split, given())
    np.testing.assert_array_equal(old["length"], new["length"])
    assert interface.check(old, new).passed


def test_scores_that_are_given_out_keep_their_mask(parse):
    text = """g (int64[2,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out, float[2,3,4,4] x)
    <float zero = {0}, float far = {-1e9}, int64[2] axes = {1, 2}>
    { u = Unsqueeze(mask, axes) c = Cast<to=9>(u) b = Where(c, zero, far) s = MatMul(q, k) x = Add(s, b)
      out = Softmax<axis=-1>(x) }"""
    model = parse(text)
    assert "'x' are not for a Softmax alone" in moved(model).notes[0]
    assert model.host is None


@pytest.mark.parametrize("mask", ["c", "b"])
def test_the_attention_operator(parse, mask):
    added = "b = Where(c, zero, far)" if mask == "b" else ""
    text = f"""g (int64[2,4] mask, float[2,3,4,4] q, float[2,3,4,4] k) => (float[2,3,4,4] out)
    <float zero = {{0}}, float far = {{-1e9}}, int64[2] axes = {{1, 2}}, int64[4] rows = {{1, 1, 4, 1}}>
    {{ u = Unsqueeze(mask, axes) e = Expand(u, rows) c = Cast<to=9>(e) {added}
      out = Attention(q, k, k, {mask}) }}"""
    model = parse(text, 23)
    split = clone(model)
    moved(split)
    assert [node.op for node in split.graph.nodes] == ["Attention"]
    assert split.graph.inputs[-1].shape == [2, 1, 4, 4]
    assert interface.check(snapshot(model, given()), snapshot(split, given())).passed
