"""lower-range: the numbers where they are known, a Slice of them where a dimension is not, and what is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft
from regraft.errors import PassError
from regraft.passes.lower_range import LowerRange
from regraft.passes.set_shapes import SetShapes
from regraft.pipelines.pass_base import Context
from regraft.verification.verify import snapshot

OPSETS = (11, 13, 17, 18, 20, 23)


def constant_range(parse, start, limit, delta, dtype: str = "int64", opset: int = 18):
    constants = f"<{dtype} s = {{{start}}}, {dtype} l = {{{limit}}}, {dtype} d = {{{delta}}}>"
    return parse(f"g () => ({dtype}[n] y) {constants} {{ y = Range(s, l, d) }}", opset)


def positions(parse, start: int = 0, delta: int = 1, dims: str = "batch,seq", dtype: str = "int64", opset: int = 18):
    """Range(start, dimension 1 of x, delta), as exporters write it."""
    cast = "l = Identity(size)" if dtype == "int64" else "l = Cast <to=6> (size)"
    return parse(
        f"""g (float[{dims}] x) => ({dtype}[n] y)
        <{dtype} s = {{{start}}}, {dtype} d = {{{delta}}}, int64 one = {{1}}> {{
            shape = Shape(x)  size = Gather(shape, one)  {cast}  y = Range(s, l, d)
        }}""",
        opset,
    )


@given(start=st.integers(-20, 20), limit=st.integers(-20, 20), delta=st.integers(-5, 5).filter(bool))
@pytest.mark.parametrize("dtype", ["int64", "int32", "float"])
def test_of_constants_the_numbers(parse, apply, start, limit, delta, dtype):
    found = apply(constant_range(parse, start, limit, delta, dtype), LowerRange(), inputs={})
    assert "Range" not in found.ops


@pytest.mark.parametrize("opset", OPSETS)
def test_of_fixed_dimensions_the_numbers_and_the_arithmetic_goes(parse, apply, opset):
    found = apply(positions(parse, dims="2,7", opset=opset), LowerRange(), inputs={"x": np.zeros((2, 7), np.float32)})
    assert found.ops == ["Identity"]
    assert found.notes == []


@pytest.mark.parametrize("start", [0, 2, 9])
@pytest.mark.parametrize("delta", [1, 3])
@pytest.mark.parametrize("dtype", ["int64", "int32"])
@pytest.mark.parametrize("opset", OPSETS)
def test_of_a_dynamic_dimension_a_slice(parse, apply, start, delta, dtype, opset):
    model = positions(parse, start, delta, dtype=dtype, opset=opset)
    found = apply(model, LowerRange(max_length=8), inputs={"x": np.zeros((2, 8), np.float32)})
    assert found.ops[-1] == "Slice"
    for size in range(9):
        y = snapshot(found.model, {"x": np.zeros((1, size), np.float32)})["y"]
        np.testing.assert_array_equal(y, np.arange(start, size, delta))
        assert y.dtype == np.dtype(dtype)


def test_both_ends_may_be_dynamic(parse, apply):
    model = parse(
        """g (float[past,1] p, float[new,1] x) => (int64[n] y) <int64 zero = {0}, int64 d = {1}> {
            a = Shape(p)  before = Gather(a, zero)  b = Shape(x)  now = Gather(b, zero)
            all = Add(before, now)  y = Range(before, all, d)
        }"""
    )
    inputs = {"p": np.zeros((3, 1), np.float32), "x": np.zeros((4, 1), np.float32)}
    found = apply(model, LowerRange(max_length=16), inputs=inputs)
    assert "Range" not in found.ops
    np.testing.assert_array_equal(snapshot(found.model, inputs)["y"], [3, 4, 5, 6])


@pytest.mark.parametrize(
    ("text", "max_length", "note"),
    [
        (
            "g (float[n] x) => (int64[m] y) <int64 s={0}, int64 d={1}> { l = Size(x) y = Range(s, l, d) }",
            0,
            "max-length",
        ),
        ("g (int64 l) => (int64[m] y) <int64 s={0}, int64 d={1}> { y = Range(s, l, d) }", 9, "not negative"),
        ("g (int64 d) => (int64[m] y) <int64 s={0}, int64 l={4}> { y = Range(s, l, d) }", 9, "delta"),
        (
            "g (float[n] x) => (int64[m] y) <int64 s={-1}, int64 d={1}> { l = Size(x) y = Range(s, l, d) }",
            9,
            "not negative",
        ),
        (
            "g (float[n] x) => (int64[m] y) <int64 s={9}, int64 d={-1}> { l = Size(x) y = Range(s, l, d) }",
            9,
            "not negative",
        ),
        (
            "g (float[n] x) => (float[m] y) <float s={0}, float d={1}> "
            "{ z = Size(x) l = Cast<to=1>(z) y = Range(s, l, d) }",
            9,
            "whole numbers",
        ),
        ("g () => (float[m] y) <float s={0}, float l={1}, float d={0.1}> { y = Range(s, l, d) }", 0, "fold-constants"),
        ("g () => (float[m] y) <float s={0}, float l={inf}, float d={1}> { y = Range(s, l, d) }", 0, "finite"),
    ],
)
def test_what_stays_and_why(parse, text, max_length, note):
    model = parse(text)
    context = regraft.Context()
    LowerRange(max_length=max_length).run(model, context)
    assert not context.changes
    assert len(context.notes) == 1
    assert note in context.notes[0]


def test_it_reaches_into_branches_and_functions(parse, apply):
    model = parse(
        """g (bool c, float[n] x) => (int64[m] y) <int64 s = {0}, int64 d = {1}, int64[1] one = {1}> {
            l = Size(x)
            y = If (c) <
                then_branch = t () => (int64[p] a) { a = Range(s, l, d) },
                else_branch = f () => (int64[q] b) { b = local.five() }
            >
        }
        <domain: "local", opset_import: ["": 21]> five () => (v) {
            a = Constant<value_int = 0>()  b = Constant<value_int = 5>()  c = Constant<value_int = 1>()
            v = Range(a, b, c)
        }"""
    )
    inputs = {"c": np.array(True), "x": np.zeros(3, np.float32)}
    assert len(apply(model, LowerRange(max_length=4), inputs=inputs).changes) == 2


EXPORTS = {
    "bert-cls-eager-dynamo": 2,
    "bert-cls-eager-ts": 3,
    "bert-cls-sdpa-dynamo-op23": 2,
    "bert-mlm-tied-dynamo": 3,
    "distilbert-sdpa-ts": 3,
    "gpt2-eager-dynamo": 3,
    "gpt2-sdpa-ts": 3,
    "roberta-eager-ts": 3,
    "t5-encoder-dynamo": 2,
    "t5-encoder-ts": 5,
}


@pytest.mark.parametrize("name", EXPORTS)
def test_those_of_an_export_with_its_dimensions_left_open(artifacts, apply, name):
    model = regraft.load(artifacts / f"pytorch/{name}.onnx")
    found = apply(model, LowerRange(max_length=64))
    assert len(found.changes) == EXPORTS[name], found.notes
    assert "Range" not in found.ops


@pytest.mark.parametrize("name", EXPORTS)
def test_those_of_an_export_with_fixed_shapes(artifacts, apply, name):
    model = regraft.load(artifacts / f"pytorch/{name}.onnx")
    SetShapes(**{t.name: "2x16" for t in model.graph.inputs}).run(model, regraft.Context())
    found = apply(model, LowerRange())
    assert len(found.changes) == EXPORTS[name], found.notes
    assert "Range" not in found.ops


def test_a_length_is_not_negative(parse):
    model = parse("g (float[n] x) => (float[n] y) { y = Neg (x) }")
    with pytest.raises(PassError, match="a length cannot be negative"):
        LowerRange(max_length=-1).run(model, Context())
