"""simplify-mask: what has no effect goes, and the outputs keep every bit."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

import regraft
from regraft.passes.simplify_mask import SimplifyMask
from regraft.pipelines.pass_base import Context
from regraft.rewriting.why import why
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from tests.passes.constants import with_constants
from tests.shares import diagonal

MIN = float(np.finfo(np.float32).min)
EXPORTS = {  # what stays of the guards, of Expand and of And: (as written, if no row is empty)
    "bert-cls-eager-dynamo": ((0, 2, 0), (0, 2, 0)),
    "bert-cls-eager-ts": ((0, 0, 0), (0, 0, 0)),
    "bert-cls-sdpa-dynamo": ((0, 2, 0), (0, 2, 0)),
    "bert-cls-sdpa-ts": ((2, 0, 0), (0, 0, 0)),
    "distilbert-sdpa-ts": ((2, 0, 0), (0, 0, 0)),
    "roberta-eager-ts": ((0, 1, 0), (0, 1, 0)),
    "gpt2-sdpa-dynamo": ((0, 2, 1), (0, 2, 1)),
    "gpt2-sdpa-ts": ((2, 0, 1), (0, 0, 1)),
    "t5-encoder-ts": ((0, 0, 0), (0, 0, 0)),
    "vit-dynamo": ((0, 2, 0), (0, 2, 0)),
}


@pytest.mark.parametrize(("assume", "name"), diagonal(2, [False, True], EXPORTS))
def test_exports(artifacts, apply, name, assume):
    model = regraft.load(artifacts / f"pytorch/{name}.onnx")
    ops = Counter(apply(model, SimplifyMask(assume_no_empty_rows=assume)).ops)
    assert (ops["IsNaN"], ops["Expand"], ops["And"]) == EXPORTS[name][assume]


# ------------------------------------------------------------------------------------------------ the guard

GUARD = "p = Softmax<axis=-1>(x) n = IsNaN(p) out = Where(n, zero, p)"
CONSTANTS = f"<float zero = {{0}}, float one = {{1}}, float least = {{{MIN}}}, float inf = {{-1}}>"
ROWS = np.array([[[True, False, False], [False, False, False]]])
SCORES = np.array([[[0.5, -1, 2], [3, 0.25, 1]]], np.float32)


def attention(parse, body: str, constants: str = CONSTANTS, opset: int = 20):
    text = f"g (bool[1,2,3] c, float[1,2,3] q, float[1,3,3] k) => (float[1,2,3] out) {constants} {{ {body} {GUARD} }}"
    return with_constants(parse(text, opset), inf=-np.inf)


FINITE = {
    "no mask": "x = MatMul(q, k)",
    "least finite number": "m = Where(c, zero, least) s = MatMul(q, k) x = Add(s, m)",
    "arithmetic": "i = Cast<to=1>(c) j = Sub(one, i) m = Mul(j, least) s = MatMul(q, k) x = Add(m, s)",
    "filled": "s = MatMul(q, k) x = Where(c, s, least)",
}
EMPTY = {
    "minus infinity": "m = Where(c, zero, inf) s = MatMul(q, k) x = Add(s, m)",
    "filled with it": "s = MatMul(q, k) x = Where(c, s, inf)",
    "two of the least": "m = Where(c, zero, least) t = Add(m, m) s = MatMul(q, k) x = Add(s, t)",
    "the caller's mask": "x = Add(q, q)",
    "chosen instead of a constant": "m = Where(c, zero, inf) x = Where(c, least, m)",
    "the logarithm of a mask": "i = Cast<to=1>(c) m = Log(i) s = MatMul(q, k) x = Add(s, m)",
    "through many nodes": "m = Where(c, zero, inf) "
    + " ".join(f"{b} = Neg({a})" for a, b in pairwise(["m", *(f"n{i}" for i in range(100))]))
    + " s = MatMul(q, k) x = Add(s, n99)",
}


@pytest.mark.parametrize("body", FINITE.values(), ids=FINITE)
@pytest.mark.parametrize("opset", [13, 17, 23])
def test_a_guard_of_finite_scores_goes(parse, apply, body, opset):
    inputs = {"c": ROWS, "q": SCORES, "k": np.eye(3, dtype=np.float32)[None]}
    applied = apply(attention(parse, body, opset=opset), SimplifyMask(), inputs=inputs)
    assert "IsNaN" not in applied.ops
    assert [change.rule for change in applied.changes] == ["guard against NaN"]


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_a_guard_that_may_be_needed_stays_unless_the_user_knows_better(parse, apply, body):
    inputs = {"c": ROWS, "q": SCORES, "k": np.eye(3, dtype=np.float32)[None]}
    model = attention(parse, body)
    assert any("assume-no-empty-rows" in miss.reason for miss in why(model, SimplifyMask()))
    assert "IsNaN" in apply(model, SimplifyMask(), inputs=inputs).ops
    inputs["c"] = ~ROWS
    assert "IsNaN" not in apply(model, SimplifyMask(assume_no_empty_rows=True), inputs=inputs).ops


def test_the_option_matters_for_empty_rows_only(parse):
    """With a row that is hidden altogether the outputs differ: the option is a promise of the user's."""
    model = attention(parse, EMPTY["minus infinity"])
    inputs = {"c": ROWS, "q": SCORES, "k": np.eye(3, dtype=np.float32)[None]}
    assert not np.isnan(snapshot(model, inputs)["out"]).any()
    SimplifyMask(assume_no_empty_rows=True).run(model, Context())
    assert np.isnan(snapshot(model, inputs)["out"][0, 1]).all()


@pytest.mark.parametrize(("row", "stays"), [([0, -1, -1], False), ([-1, -1, -1], True)])
def test_a_constant_mask_is_read(parse, apply, row, stays):
    constants = f"<float zero = {{0}}, float[2,3] m = {{0, 0, 0, {', '.join(map(str, row))}}}>"
    model = attention(parse, "s = MatMul(q, k) x = Add(s, m)", constants)
    with_constants(model, m=[[0, 0, 0], np.where(np.array(row) < 0, -np.inf, 0)])
    inputs = {"c": ROWS, "q": SCORES, "k": np.eye(3, dtype=np.float32)[None]}
    assert ("IsNaN" in apply(model, SimplifyMask(), inputs=inputs).ops) == stays


@pytest.mark.parametrize(("least", "stays"), [(-65504, True), (-10000, False)])
def test_the_least_number_of_half_precision_leaves_no_room_for_scores(parse, least, stays):
    text = "g (bool[1,2,3] c, float16[1,2,3] q, float16[1,3,3] k) => (float16[1,2,3] out)"
    constants = "<float16 zero = {0}, float16 least = {0}>"
    model = parse(f"{text} {constants} {{ m = Where(c, zero, least) s = MatMul(q, k) x = Add(s, m) {GUARD} }}")
    with_constants(model, least=least)
    SimplifyMask().run(model, Context())
    assert ("IsNaN" in {node.op for node in model.graph.nodes}) == stays


@pytest.mark.parametrize("body", ["x = Where(shows, s, l)", "d = Add(s, hides) x = Add(d, m)"])
def test_a_constant_mask_beside_what_may_be_no_number_or_overflow(parse, apply, body):
    """A NaN that is chosen, a constant and a computed mask that are minus infinity together."""
    constants = (
        f"<float zero = {{0}}, float least = {{{MIN}}}, bool[1,3] shows = {{1,0,0}}, float[1,3] hides = {{0,0,0}}>"
    )
    text = f"l = Log(q) m = Where(c, zero, least) s = MatMul(q, k) {body}"
    model = attention(parse, text, constants)
    with_constants(model, hides=[[MIN, -np.inf, -np.inf]])
    inputs = {"c": ROWS, "q": SCORES, "k": np.eye(3, dtype=np.float32)[None]}
    assert "IsNaN" in apply(model, SimplifyMask(), inputs=inputs).ops


@pytest.mark.parametrize(
    ("one", "zero"), [(1.00001, 0.0), (0.99999, 0.0), (1.0, 1e-31), (1.0, -0.0), (1.0, -1e-38), (-1.0, 0.0)]
)
@pytest.mark.parametrize("branches", ["one, zero", "zero, one"])
def test_numbers_that_are_nearly_one_and_zero_are_not_taken_for_them(parse, apply, one, zero, branches):
    text = (
        f"g (bool[1,3] c) => (float[1,3] out) <float one = {{0}}, float zero = {{0}}> {{ out = Where(c, {branches}) }}"
    )
    model = with_constants(parse(text), one=one, zero=zero)
    assert "Where" in apply(model, SimplifyMask(), inputs={"c": np.array([[True, False, True]])}).ops


# ------------------------------------------------------------------------------------------------ logic and shapes

LOGIC = {
    "Where(Not c)": ("n = Not(c) out = Where(n, x, y)", ["Where"]),
    "Where(c, 1, 0)": ("out = Where(c, one, zero)", ["Cast"]),
    "Where(c, 0, 1)": ("out = Where(c, zero, one)", ["Not", "Cast"]),
    "1 - (1 - m)": ("i = Cast<to=1>(c) j = Sub(one, i) out = Sub(one, j)", ["Cast"]),
    "1 - (1 - x)": ("j = Sub(one, x) out = Sub(one, j)", ["Sub", "Sub"]),
    "cast of 1 - m": ("i = Cast<to=1>(c) j = Sub(one, i) b = Cast<to=9>(j) out = Where(b, x, y)", ["Where"]),
    "m = 0": ("i = Cast<to=1>(c) b = Equal(i, zero) out = Where(b, x, y)", ["Where"]),
}


@pytest.mark.parametrize("name", LOGIC)
def test_logic(parse, apply, name):
    body, expected = LOGIC[name]
    text = "g (bool[2,4] c, float[2,4] x, float[2,4] y) => (float[2,4] out) <float zero = {0}, float one = {1}>"
    assert apply(parse(f"{text} {{ {body} }}"), SimplifyMask()).ops == expected


NARROW = {  # body: the operators that stay
    "an Expand that is broadcast": ("m = Expand(c, shape) out = Where(m, x, zero)", ["Where"]),
    "one read further on": ("m = Expand(c, shape) v = Where(m, zero, far) out = Add(x, v)", ["Where", "Add"]),
    "one that gives the shape": ("m = Expand(c, shape) out = Where(m, zero, far)", ["Expand", "Where"]),
    "one that a reader reshapes": (
        "m = Expand(c, shape) r = Reshape(m, shape) out = Where(r, x, zero)",
        ["Expand", "Reshape", "Where"],
    ),
    "And of what is always true": (
        "s = Shape<start=0, end=1>(x) q = Squeeze(s) r = Range(n0, q, n1) u = Unsqueeze(r, axis)"
        " g = GreaterOrEqual(u, n0) m = And(g, c) out = Where(m, x, zero)",
        ["Where"],
    ),
    "And of what is not": (
        "s = Shape<start=0, end=1>(x) q = Squeeze(s) r = Range(n0, q, n1) u = Unsqueeze(r, axis)"
        " g = GreaterOrEqual(u, n1) m = And(g, c) out = Where(m, x, zero)",
        ["Shape", "Squeeze", "Range", "Unsqueeze", "GreaterOrEqual", "And", "Where"],
    ),
    "Or of what is never": ("m = Or(c, no) out = Where(m, x, zero)", ["Where"]),
    "a mask that hides nothing": (
        "v = Where(yes, zero, far) y = Add(x, v) s = Softmax<axis=-1>(y) out = Where(c, s, zero)",
        ["Softmax", "Where"],
    ),
    "zero added to something else": ("y = Add(x, zero) out = Where(c, y, zero)", ["Add", "Where"]),
    "an output of that": ("n = Neg(x) out = Add(n, zero)", ["Neg", "Add"]),
    "Where of a truth": ("v = Where(yes, x, zero) out = Neg(v)", ["Neg"]),
}


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("opset", [15, 21, 23])
def test_shapes(parse, apply, name, opset):
    body, expected = NARROW[name]
    text = f"""g (bool[1,4] c, float[3,4] x) => (float[3,4] out)
    <float zero = {{0}}, float far = {{-10000}}, int64[2] shape = {{3, 4}}, int64[1] axis = {{1}}, int64 n0 = {{0}},
     int64 n1 = {{1}}, bool yes = {{1}}, bool no = {{0}}> {{ {body} }}"""
    model = parse(text, opset)
    inputs = make_inputs(model) | {"c": np.array([[True, False, True, True]])}
    assert apply(model, SimplifyMask(), inputs=inputs).ops == expected


def test_an_expand_to_a_size_that_is_not_known_stays(parse, apply):
    text = "g (bool[1,4] c, int64[2] s, float[n,4] x) => (float[m,4] out) <float zero = {0}>"
    model = parse(f"{text} {{ m = Expand(c, s) out = Where(m, x, zero) }}")
    inputs = {"c": np.ones((1, 4), bool), "s": np.array([2, 4]), "x": np.ones((1, 4), np.float32)}
    assert apply(model, SimplifyMask(), inputs=inputs).ops == ["Expand", "Where"]


def test_an_expand_that_is_an_output_stays(parse, apply):
    text = "g (bool[1,4] c, float[3,4] x) => (float[3,4] out, bool[3,4] m) <float zero = {0}, int64[2] s = {3, 4}>"
    model = parse(f"{text} {{ m = Expand(c, s) out = Where(m, x, zero) }}")
    assert apply(model, SimplifyMask()).ops == ["Expand", "Where"]
