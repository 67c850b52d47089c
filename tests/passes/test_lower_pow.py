"""lower-pow: every exponent it takes, of every sign of base, and the others that stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft
from regraft.passes.lower_pow import LowerPow
from regraft.rewriting.why import why
from regraft.verification.verify import snapshot

OPSETS = (11, 13, 17, 18, 20, 23)
KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64, "int32": np.int32, "int64": np.int64}


def pow_model(parse, exponent, dtype: str = "float", opset: int = 18, of: str | None = None):
    model = parse(f"g ({dtype}[n] x) => ({dtype}[m] y) <{of or dtype} e = {{0}}> {{ y = Pow(x, e) }}", opset)
    (node,) = model.graph.nodes
    node.inputs[1].values = np.array(exponent, KINDS[of or dtype])
    return model


@pytest.mark.parametrize("exponent", [1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -8])
@pytest.mark.parametrize("opset", OPSETS)
def test_whole_exponents(parse, lower, exponent, opset):
    x = np.concatenate([np.linspace(-3, 3, 60), [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(np.float32)
    found = lower(pow_model(parse, exponent, opset=opset), LowerPow(), {"x": x})
    assert set(found.ops) <= {"Mul", "Reciprocal", "Identity"}


@pytest.mark.parametrize("exponent", [0.5, -0.5, 1.5, -1.5, 2.5, -7.5])
@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
@pytest.mark.parametrize("opset", OPSETS)
def test_half_exponents(parse, lower, exponent, dtype, opset):
    x = np.concatenate([np.geomspace(0.25, 9, 40), [0.0, np.inf, -2.0, np.nan]]).astype(KINDS[dtype])
    found = lower(pow_model(parse, exponent, dtype, opset), LowerPow(), {"x": x})
    assert "Sqrt" in found.ops
    assert "Pow" not in found.ops


@pytest.mark.parametrize("exponent", [2, 3, 8, -1, -2, 0.5])
def test_half_precision(parse, lower, exponent):
    x = np.concatenate([np.linspace(0.3, 3, 60), [0.0, np.inf]]).astype(np.float16)
    x = x if exponent == 0.5 else np.concatenate([-x, x])
    lower(pow_model(parse, exponent, "float16"), LowerPow(), {"x": x})


@pytest.mark.parametrize(("exponent", "squarings"), [(2, 1), (3, 2), (4, 2), (7, 4), (8, 3)])
def test_powers_are_made_by_squaring(parse, exponent, squarings):
    model = pow_model(parse, exponent)
    LowerPow().run(model, regraft.Context())
    assert [node.op for node in model.graph.nodes] == ["Mul"] * squarings


@pytest.mark.parametrize("base", ["float", "float16", "int32", "int64"])
@pytest.mark.parametrize("of", ["float", "float16", "int32", "int64"])
@pytest.mark.parametrize("opset", [12, 13, 15, 23])
def test_base_and_exponent_of_different_types(parse, lower, base, of, opset):
    x = np.arange(-9, 9).astype(KINDS[base])
    model = pow_model(parse, 3, base, opset, of)
    if "float16" in (base, of) and base != of:  # ONNX Runtime cannot run those before: against numpy
        LowerPow().run(model, regraft.Context())
        np.testing.assert_array_equal(snapshot(model, {"x": x})["y"], x * x * x)
    else:
        assert lower(model, LowerPow(), {"x": x}).ops == ["Mul", "Mul"]


@pytest.mark.parametrize("dims", ["", "[1]", "[1,1]", "[3]"])
def test_an_exponent_of_one_value_and_any_shape_that_fits(parse, lower, dims):
    values = "2, 2, 2" if dims == "[3]" else "2"
    model = parse(f"g (float[4, 3] x) => (float[4, 3] y) <float{dims} e = {{{values}}}> {{ y = Pow(x, e) }}")
    assert lower(model, LowerPow()).ops == ["Mul"]


@pytest.mark.parametrize(
    ("shape", "dims", "values", "reason"),
    [
        ("[3]", "[2, 1]", "2, 2", "shape"),
        ("", "[1]", "2", "shape"),
        ("[1]", "[3]", "2, 2, 2", "shape"),
        ("[n]", "[3]", "2, 2, 2", "shape"),
        ("[3]", "[3]", "2, 3, 2", "one number"),
        ("[3]", "", "0", "exponent is 0"),
        ("[3]", "", "9", "exponent is 9"),
        ("[3]", "", "1.7", "exponent is 1.7"),
        ("[3]", "", "nan", "exponent is nan"),
        ("[3]", "", "inf", "exponent is inf"),
    ],
)
def test_what_would_differ_stays_and_why_says_so(parse, shape, dims, values, reason):
    out = {"[2, 1]": "[2, 3]", "[1]": "[1]"}.get(dims, "[3]")
    model = parse(f"g (float{shape} x) => (float{out} y) <float{dims} e = {{{values}}}> {{ y = Pow(x, e) }}")
    context = regraft.Context()
    LowerPow().run(model, context)
    assert not context.changes
    assert [reason in note for note in context.notes] == [True]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("exponent", [2, 3, 4, 5, 8])
def test_powers_of_whole_numbers_that_overflow(parse, lower, dtype, exponent):
    """Up to the third they are products to ONNX Runtime; beyond, it computes them in double precision."""
    limits = np.iinfo(dtype)
    x = np.array([3, -3, 50_000, 94_906_267, 2**16, limits.max, limits.min], dtype)
    found = lower(pow_model(parse, exponent, dtype), LowerPow(), {"x": x})
    assert ("Pow" in found.ops) == (exponent > 3)
    text = (
        f"g ({dtype}[n] x) => ({dtype}[n] y) <{dtype} low = {{-9}}, {dtype} high = {{9}}, {dtype} e = {{{exponent}}}>"
    )
    small = parse(f"{text} {{ c = Clip(x, low, high) y = Pow(c, e) }}")
    assert "Pow" not in lower(small, LowerPow(), {"x": x}).ops


@pytest.mark.parametrize("exponent", [-1, 0.5])
def test_whole_numbers_keep_inverse_and_root(parse, exponent):
    model = pow_model(parse, exponent, "int64", of="float")
    context = regraft.Context()
    LowerPow().run(model, context)
    assert not context.changes
    assert "no float" in why(model, LowerPow())[0].reason


def test_a_dynamic_exponent_stays(parse):
    model = parse("g (float[3] x, float e) => (float[3] y) { y = Pow(x, e) }")
    context = regraft.Context()
    LowerPow().run(model, context)
    assert not context.changes


def test_a_power_of_one_is_its_base_and_outputs_keep_their_names(parse, lower):
    model = parse("g (float[3] x) => (float[3] y) <float e = {1}> { a = Pow(x, e)  b = Neg(a)  y = Pow(b, e) }")
    assert lower(model, LowerPow()).ops == ["Neg"]


def test_it_works_in_branches_and_functions(parse, lower):
    model = parse(
        """g (bool c, float[4] x) => (float[4] y) {
            h = local.square(x)
            y = If (c) <
                then_branch = t () => (float[4] a) { e = Constant<value_float = -0.5>()  a = Pow(h, e) },
                else_branch = f () => (float[4] b) { b = Neg(h) }
            >
        }
        <domain: "local", opset_import: ["": 21]> square (u) => (v) { e = Constant<value_float = 2.0>()  v = Pow(u, e) }
        """
    )
    inputs = {"c": np.array(True), "x": np.float32([-1, 3, 0.5, 2])}
    assert len(lower(model, LowerPow(), inputs).changes) == 2


@given(
    exponent=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4, 0.5, -0.5, 1.5, -2.5]),
    values=st.lists(st.floats(0.03125, 16, width=32), min_size=1, max_size=20),
    negative=st.booleans(),
)
def test_the_power_is_that_of_exact_arithmetic(parse, exponent, values, negative):
    x = np.float32(values) * np.float32(-1 if negative and exponent == int(exponent) else 1)
    model = pow_model(parse, exponent)
    LowerPow().run(model, regraft.Context())
    found = snapshot(model, {"x": x})["y"]
    np.testing.assert_allclose(found, x.astype(np.float64) ** exponent, rtol=16 * 2.0**-23)


@pytest.mark.parametrize(
    ("name", "count"),
    [("transformers-4.25.1-bert-qa/model.onnx", 5), ("t5-encoder-ts.onnx", 5), ("gpt2-eager-ts.onnx", 2)],
)
def test_those_of_an_export(artifacts, lower, name, count):
    found = lower(regraft.load(artifacts / "pytorch" / name), LowerPow())
    assert len(found.changes) == count
    assert "Pow" not in found.ops
