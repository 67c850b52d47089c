"""lower-split and lower-expand: every form, what is left, and why."""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.files.convert import clone
from regraft.passes.lower_expand import LowerExpand
from regraft.passes.lower_split import LowerSplit

OPSETS = (11, 13, 17, 18, 20, 23)


def split_text(opset: int, attrs: str, sizes: str, parts: str, dims: str = "6,4", stated: bool = True) -> str:
    """A Split of x; sizes are an attribute before opset 13."""
    if opset >= 13:
        weights = f"<int64[{sizes.count(',') + 1}] s = {{{sizes}}}>" if stated else ""
        call = f"Split<{attrs}>(x{', s' if stated else ''})"
    else:
        weights = ""
        call = f"Split<{attrs}{f', split = [{sizes}]' if stated else ''}>(x)"
    outputs = ", ".join(f"float[] {name}" for name in parts.split(", "))
    return f"g (float[{dims}] x) => ({outputs}) {weights} {{ {parts} = {call} }}"


def unshaped(model):
    for tensor in model.graph.outputs:
        tensor.shape = None
    return model


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(
    ("attrs", "sizes", "parts"),
    [
        ("axis = 0", "1, 2, 3", "a, b, c"),
        ("axis = -1", "3, 1", "a, b"),
        ("axis = 1", "4", "a"),
        ("axis = 0", "6, 0", "a, b"),
    ],
)
def test_stated_sizes(parse, apply, opset, attrs, sizes, parts):
    done = apply(unshaped(parse(split_text(opset, attrs, sizes, parts), opset)), LowerSplit())
    assert set(done.ops) <= {"Slice", "Identity"}
    assert len(done.ops) == len(parts.split(", "))


@pytest.mark.parametrize("opset", OPSETS)
def test_equal_parts(parse, apply, opset):
    attrs = "axis = 0" + (", num_outputs = 3" if opset >= 18 else "")
    done = apply(unshaped(parse(split_text(opset, attrs, "", "a, b, c", stated=False), opset)), LowerSplit())
    assert done.ops == ["Slice"] * 3


@pytest.mark.parametrize("opset", [18, 23])
def test_the_last_of_num_outputs_is_smaller(parse, apply, opset):
    text = split_text(opset, "axis = 0, num_outputs = 4", "", "a, b, c, d", "7,2", stated=False)
    assert apply(unshaped(parse(text, opset)), LowerSplit()).ops == ["Slice"] * 4


def test_a_part_that_nothing_reads_makes_no_slice(parse, apply):
    model = parse("g (float[4] x) => (float[2] y) <int64[2] s = {2,2}> { a, b = Split(x, s)  y = Neg(b) }")
    assert apply(model, LowerSplit()).ops == ["Slice", "Neg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("g (float[N] x) => (float[M] a, float[M] b) { a, b = Split<num_outputs = 2>(x) }", "equal parts"),
        ("g (float[4] x, int64[2] s) => (float[M] a, float[K] b) { a, b = Split(x, s) }", "computed"),
    ],
)
def test_sizes_that_are_not_known_stay(parse, apply, text, reason):
    inputs = {"x": np.arange(4, dtype=np.float32), "s": np.array([1, 3])}
    model = parse(text)
    done = apply(model, LowerSplit(), inputs={t.name: inputs[t.name] for t in model.graph.inputs})
    assert done.ops == ["Split"]
    assert reason in done.notes[0]


@pytest.mark.parametrize(
    "name", ["pytorch/transformers-4.25.1-bert-qa/model.onnx", "pytorch/bert-qa-eager-dynamo.onnx"]
)
def test_the_split_of_question_answering(artifacts, apply, name):
    done = apply(regraft.load(artifacts / name), LowerSplit())
    assert "Split" not in done.ops
    assert len(done.changes) == 1


# ------------------------------------------------------------------------------------------------ Expand


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("dtype", ["float", "double", "float16", "int32", "int64", "bool", "uint8"])
@pytest.mark.parametrize("form", ["mul", "tile"])
def test_an_expand_that_is_needed(parse, apply, opset, dtype, form):
    model = parse(f"g ({dtype}[3,1] x) => ({dtype}[2,3,4] y) <int64[3] s = {{2,3,4}}> {{ y = Expand(x, s) }}", opset)
    code = {"float": "f4", "double": "f8", "float16": "f2", "int32": "i4", "int64": "i8", "bool": "?", "uint8": "u1"}
    done = apply(model, LowerExpand(form=form), inputs={"x": np.array([[0], [1], [3]]).astype(code[dtype])})
    wanted = {"bool": "And", "uint8": "Tile"}.get(dtype, "Mul") if form == "mul" else "Tile"
    assert done.ops[-1] == wanted
    assert set(done.ops) <= {wanted, "Unsqueeze"}


@pytest.mark.parametrize("opset", [11, 18])
def test_every_bit_of_a_float_stays(parse, apply, opset):
    model = parse("g (float[1,4] x) => (float[2,4] y) <int64[2] s = {2,4}> { y = Expand(x, s) }", opset)
    x = np.array([[-0.0, np.inf, np.nan, 1e-42]], np.float32)
    assert apply(model, LowerExpand(), inputs={"x": x}).ops == ["Mul"]


@pytest.mark.parametrize(
    ("text", "ops"),
    [
        ("g (float[2,3] x) => (float[2,3] y) <int64[2] s = {2,1}> { z = Expand(x, s)  y = Neg(z) }", ["Neg"]),
        ("g (float[N,3] x) => (float[N,3] y) { s = Shape(x)  z = Expand(x, s)  y = Neg(z) }", ["Neg"]),
        ("g (float[3] x) => (float[1,1,3] y) <int64[3] s = {1,1,1}> { y = Expand(x, s) }", ["Unsqueeze"]),
        ("g (float[1,3] x, float[N,3] w) => (float[N,3] y) { s = Shape(w)  z = Expand(x, s)  y = Add(z, w) }", ["Add"]),
        (
            "g (int64[1,3] x, float[N,3] w) => (float[N,3] y) <float o = {0}> "
            "{ s = Shape(w)  z = Expand(x, s)  b = Cast<to = 9>(z)  c = Not(b)  y = Where(c, w, o) }",
            ["Cast", "Not", "Where"],
        ),
        ("g (float[N,1,3] x) => (float[N,4,3] y) <int64[3] s = {1,4,1}> { y = Expand(x, s) }", ["Mul"]),
    ],
)
def test_an_expand_that_readers_do_not_need(parse, apply, text, ops):
    assert apply(parse(text), LowerExpand()).ops == ops


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # the reader's other input is as small
        ("g (float[1,3] x, float[N,3] w) => (float[N,3] y) { s = Shape(w)  z = Expand(x, s)  y = Add(z, x) }", "(N)"),
        # an output of the graph
        ("g (float[1,3] x, float[N,3] w) => (float[N,3] y) { s = Shape(w)  y = Expand(x, s) }", "(N)"),
        # MatMul sums over the axis
        (
            "g (float[1,1] x, float[N,N] w) => (float[N,N] y) { s = Shape(w)  z = Expand(x, s)  y = MatMul(z, w) }",
            "(N, N)",
        ),
        # only one of two readers broadcasts
        (
            "g (float[1,3] x, float[N,3] w) => (float[N,3] y, float[3] r) <int64[1] a = {0}> "
            "{ s = Shape(w)  z = Expand(x, s)  y = Add(z, w)  r = ReduceSum<keepdims = 0>(z, a) }",
            "(N)",
        ),
    ],
)
def test_an_expand_whose_size_is_needed_and_not_known_stays(parse, apply, text, reason):
    done = apply(parse(text), LowerExpand())
    assert "Expand" in done.ops
    assert reason in done.notes[0]


def test_a_size_that_may_be_there_already_is_not_tiled(parse, apply):
    model = parse("g (float[N,3] x) => (float[4,3] y) <int64[2] s = {4,3}> { y = Expand(x, s) }")
    done = apply(clone(model), LowerExpand(form="tile"), inputs={"x": np.ones((4, 3), np.float32)})
    assert done.ops == ["Expand"]
    assert "may have the size already" in done.notes[0]
    assert apply(model, LowerExpand(), inputs={"x": np.ones((4, 3), np.float32)}).ops == ["Mul"]


@pytest.mark.parametrize("form", ["mul", "tile"])
@pytest.mark.parametrize(
    "name", ["bert-cls-eager-ts", "bert-cls-sdpa-ts", "distilbert-sdpa-ts", "bert-cls-eager-dynamo"]
)
def test_real_exports(artifacts, apply, name, form):
    done = apply(regraft.load(artifacts / f"pytorch/{name}.onnx"), LowerExpand(form=form))
    left = done.ops.count("Expand")
    assert left == len(done.notes)
    assert left == (0 if name.endswith("ts") else 2)
