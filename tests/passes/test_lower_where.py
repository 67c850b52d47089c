"""lower-where: the same numbers by arithmetic, and no infinity times 0."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import regraft
from regraft.files.convert import clone
from regraft.ir.verifier import check
from regraft.passes.lower_pow import LowerPow
from regraft.passes.lower_where import LowerWhere
from regraft.pipelines.pass_base import Context
from regraft.rewriting.why import why
from regraft.verification.contract import exact
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from tests.passes.constants import with_constants

MIN = float(np.finfo(np.float32).min)
ARTIFACTS = [
    "pytorch/bert-cls-eager-dynamo.onnx",
    "pytorch/bert-cls-eager-ts.onnx",
    "pytorch/gpt2-eager-dynamo.onnx",
    "pytorch/roberta-eager-ts.onnx",
    "pytorch/t5-encoder-dynamo.onnx",
    "pytorch/vit-ts.onnx",
]
C = np.array([[True, False, True, False]])
X = np.array([[1.5, -2.5e38, -7.25, 3.0e38]], np.float32)


def lowered(parse, text: str, opset: int = 20, **options):
    model = parse(text, opset)
    before = clone(model)
    LowerWhere(**options).run(model, Context())
    check(model)
    return before, model


def results(model, **inputs):
    return np.asarray(next(iter(snapshot(model, inputs).values())))


@pytest.mark.parametrize("name", ARTIFACTS)
def test_every_where_of_an_export_goes_and_nothing_else_changes(artifacts, name):
    model = regraft.load(artifacts / name)
    inputs = make_inputs(model)
    rewritten = clone(model)
    LowerWhere().run(rewritten, Context())
    check(rewritten)
    assert "Where" in {node.op for node in model.graph.nodes}
    assert "Where" not in {node.op for node in rewritten.graph.nodes}
    assert exact.check(snapshot(model, inputs), snapshot(rewritten, inputs)).passed


@pytest.mark.parametrize("opset", [11, 13, 17, 20, 23])
@pytest.mark.parametrize(
    "branches",
    ["zero, least", "least, zero", "scores, least", "least, scores", "scores, zero", "zero, scores", "one, least"],
)
def test_masks_of_the_least_finite_number(parse, opset, branches):
    """`a - b` would be infinite, and `scores` hold numbers near it."""
    text = f"""g (bool[1,4] c, float[1,4] x) => (float[1,4] out)
    <float zero = {{0}}, float one = {{1}}, float least = {{{MIN}}}> {{
        r = Relu(x) m = Neg(x) n = Relu(m) scores = Sub(r, n) out = Where(c, {branches}) }}"""
    before, after = lowered(parse, text, opset, infinite="finite")
    assert "Where" not in {node.op for node in after.graph.nodes}
    np.testing.assert_array_equal(results(after, c=C, x=X), results(before, c=C, x=X))


def test_one_product_is_enough_where_a_branch_is_zero(parse):
    text = "g (bool[1,4] c) => (float[1,4] out) <float zero = {0}, float m = {-10000}> { out = Where(c, zero, m) }"
    _, after = lowered(parse, text)
    assert sorted(node.op for node in after.graph.nodes) == ["Cast", "Mul", "Sub"]
    text = "g (bool[1,4] c) => (float[1,4] out) <float zero = {0}, float m = {-10000}> { out = Where(c, m, zero) }"
    _, after = lowered(parse, text)
    assert [node.op for node in after.graph.nodes] == ["Cast", "Mul"]


def test_a_zero_that_gives_the_result_its_shape_stays(parse):
    text = """g (bool[1,4] c) => (float[3,4] out) <float[3,4] zero = {0,0,0,0,0,0,0,0,0,0,0,0}, float m = {-10000}>
    { out = Where(c, zero, m) }"""
    before, after = lowered(parse, text)
    np.testing.assert_array_equal(results(after, c=C), results(before, c=C))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("opset", [13, 14, 23])
def test_integers(parse, dtype, opset):
    """Of small integers there is no product before opset 14."""
    text = f"g (bool[1,4] c, {dtype}[1,4] x, {dtype}[1,1] y) => ({dtype}[1,4] out) {{ out = Where(c, x, y) }}"
    before, after = lowered(parse, text, opset)
    assert ("Where" in {node.op for node in after.graph.nodes}) == (dtype == "uint8" and opset < 14)
    info = np.iinfo(dtype)
    inputs = {"c": C, "x": np.array([[info.max, info.min, info.min, 1]], dtype), "y": np.array([[info.max]], dtype)}
    np.testing.assert_array_equal(results(after, **inputs), results(before, **inputs))


@pytest.mark.parametrize("branches", ["a, b", "a, no", "no, b", "yes, b", "a, yes"])
def test_booleans(parse, branches):
    """ONNX Runtime has no Where of booleans, numpy has."""
    text = f"""g (bool[1,4] c, bool[1,4] a, bool[2,1] b) => (bool[n,m] out) <bool no = {{0}}, bool yes = {{1}}>
    {{ out = Where(c, {branches}) }}"""
    model = parse(text)
    LowerWhere().run(model, Context())
    assert "Where" not in {node.op for node in model.graph.nodes}
    values = {"c": C, "a": np.array([[True, True, False, False]]), "b": np.array([[True], [False]])}
    first, second = ({**values, "no": np.array(False), "yes": np.array(True)}[name] for name in branches.split(", "))
    np.testing.assert_array_equal(results(model, **values), np.where(C, first, second))


@pytest.mark.parametrize(
    ("dtype", "least"), [("float16", -65504.0), ("bfloat16", float(ml_dtypes.finfo("bfloat16").min))]
)
def test_half_precision(parse, dtype, least):
    text = f"""g (bool[1,4] c) => ({dtype}[1,4] out) {{ a = Constant<value_float={least}>() m = Cast<to={{}}>(a)
    b = Constant<value_float=0.0>() z = Cast<to={{}}>(b) out = Where(c, z, m) }}""".replace(
        "{}", "10" if dtype == "float16" else "16"
    )
    before, after = lowered(parse, text)
    assert "Where" not in {node.op for node in after.graph.nodes}
    if dtype == "float16":
        np.testing.assert_array_equal(results(after, c=C), results(before, c=C))


NO_NUMBERS = {
    "-inf": "out = Where(c, zero, inf)",
    "NaN guard": "r = Relu(x) n = IsNaN(r) out = Where(n, zero, r)",
    "NaN guard turned round": "r = Relu(x) n = IsNaN(r) t = Not(n) out = Where(t, r, zero)",
    "input": "out = Where(c, x, zero)",
    "computed from -inf": "m = Where(c, zero, inf) y = Add(x, m) out = Where(c, y, zero)",
    "overflow": "t = Add(least, least) s = Relu(x) z = Add(t, s) out = Where(c, z, zero)",
}


@pytest.mark.parametrize("body", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_may_be_infinite_stays_and_why_says_so(parse, body):
    constants = f"<float zero = {{0}}, float least = {{{MIN}}}, float inf = {{-1}}>"
    model = with_constants(
        parse(f"g (bool[1,4] c, float[1,4] x) => (float[1,4] out) {constants} {{ {body} }}"), inf=-np.inf
    )
    ops = [node.op for node in model.graph.nodes]
    reasons = [miss.reason for miss in why(model, LowerWhere())]
    LowerWhere().run(model, Context())
    assert [node.op for node in model.graph.nodes] == ops
    assert reasons
    assert all("infini" in reason for reason in reasons)


def test_minus_infinity_becomes_the_least_finite_number_if_that_is_asked_for(parse):
    text = "g (bool[1,4] c) => (float[1,4] out) <float zero = {0}, float inf = {-1}> { out = Where(c, zero, inf) }"
    model = with_constants(parse(text), inf=-np.inf)
    LowerWhere(infinite="finite").run(model, Context())
    assert "Where" not in {node.op for node in model.graph.nodes}
    np.testing.assert_array_equal(results(model, c=C), np.where(C, 0, MIN).astype(np.float32))


def test_wheres_in_a_branch_of_if(parse):
    text = """g (bool c, bool[1,4] d) => (float[1,4] out) <float zero = {0}, float m = {-3e38}> {
        out = If (c) <then_branch = t () => (float[1,4] y) { y = Where(d, zero, m) },
                      else_branch = e () => (float[1,4] z) { z = Where(d, m, zero) }> }"""
    before, after = lowered(parse, text)
    assert "Where" not in {node.op for node in after.nodes()}
    for c in (True, False):
        inputs = {"c": np.array(c), "d": C}
        np.testing.assert_array_equal(results(after, **inputs), results(before, **inputs))


def test_it_is_joined_with_others(parse, apply):
    text = """g (bool[4] c, bool[4] d) => (float[4] out) <float two = {2}, float low = {-3}>
    { x = Where(c, two, low) y = Cast<to=1>(d) z = Where(d, x, y) out = Pow(z, two) }"""
    done = apply(parse(text), LowerWhere() + LowerPow())
    assert not {"Where", "Pow"} & set(done.ops)


@pytest.mark.parametrize(("carried", "is_kept"), [("Mul(s, s)", True), ("Tanh(m)", False), ("Identity(s)", False)])
def test_what_grows_from_round_to_round_is_not_taken_for_finite(parse, carried, is_kept):
    """Of an infinite value a layer makes no number either, and that times 0 is no 0."""
    model = parse(
        f"""g (bool[2,2] c, float[2,2] x) => (float[2,2] y, float[k,2,2] all)
        <float[2,2] w = {{1, 2, 3, 4}}, float zero = {{0}}, int64 n = {{9}}, bool t = {{1}}> {{
        y, all = Loop (n, t, x) <body = b (int64 i, bool go, float[2,2] s) => (bool on, float[2,2] u, float[2,2] z)
        {{ on = Identity(go) m = MatMul(s, w) u = {carried} z = Where(c, m, zero) }}> }}"""
    )
    given = {"c": np.array([[1, 0], [0, 1]], bool), "x": np.full((2, 2), 100, np.float32)}
    before = snapshot(model, given)
    LowerWhere().run(model, Context())
    body = model.graph.nodes[0].attrs["body"]
    assert ("Where" in {node.op for node in body.nodes}) == is_kept
    np.testing.assert_allclose(snapshot(model, given)["all"], before["all"], rtol=1e-6)
