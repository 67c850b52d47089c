"""lower-trilu: every diagonal, type and shape, known or dynamic, and what is cut is cut whatever it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import regraft
from regraft.passes.lower_trilu import LowerTrilu
from regraft.verification.verify import snapshot

OPSETS = (14, 17, 18, 20, 23)
KINDS = {
    "float": np.float32,
    "float16": np.float16,
    "double": np.float64,
    "int64": np.int64,
    "int32": np.int32,
    "bool": np.bool_,
}


def trilu_model(parse, upper: int = 1, k: str = "", dtype: str = "float", opset: int = 18, shape: str = "2,3,4"):
    inputs = f"{dtype}[{shape}] x" + (", int64 k" if k == "input" else "")
    constant = f"<int64 k = {{{k}}}>" if k not in ("", "input") else ""
    body = f"y = Trilu <upper={upper}> (x{', k' if k else ''})"
    return parse(f"g ({inputs}) => ({dtype}[{shape}] y) {constant} {{ {body} }}", opset)


def values(dtype: str, shape: tuple[int, ...] = (2, 3, 4)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9, shape).astype(KINDS[dtype])


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", ["", "0", "1", "-1", "5", "-5"])
@pytest.mark.parametrize("dtype", KINDS)
def test_a_constant_mask(parse, apply, upper, k, dtype):
    found = apply(trilu_model(parse, upper, k, dtype), LowerTrilu(), inputs={"x": values(dtype)})
    assert found.ops == ["And" if dtype == "bool" else "Where"]


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", ["", "-1", "2"])
@pytest.mark.parametrize("shape", ["b,n,m", "2,n,4", "2,3,m", "n,n"])
@pytest.mark.parametrize("opset", OPSETS)
def test_a_mask_of_dynamic_dimensions(parse, apply, upper, k, shape, opset):
    model = trilu_model(parse, upper, k, opset=opset, shape=shape)
    x = values("float", (5, 5) if shape == "n,n" else (2, 3, 4))
    assert apply(model, LowerTrilu(), inputs={"x": x}).ops[-1] == "Where"


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("shape", ["2,3,4", "b,n,m"])
@pytest.mark.parametrize("k", [-2, 0, 1, 7])
def test_a_diagonal_that_the_caller_gives(parse, apply, upper, shape, k):
    model = trilu_model(parse, upper, "input", shape=shape)
    apply(model, LowerTrilu(), inputs={"x": values("float"), "k": np.array(k)})


@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
@pytest.mark.parametrize("shape", ["2,3,4", "b,n,m"])
def test_infinities_and_nan_are_cut(parse, apply, dtype, shape):
    x = np.full((2, 3, 4), -np.inf, KINDS[dtype])
    x[1] = np.nan
    apply(trilu_model(parse, 1, "1", dtype, shape=shape), LowerTrilu(), inputs={"x": x})


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), k=st.integers(-7, 7), upper=st.integers(0, 1))
@pytest.mark.parametrize("dynamic", [False, True])
def test_what_stays_is_what_numpy_keeps(parse, rows, columns, k, upper, dynamic):
    model = trilu_model(parse, upper, str(k), shape="n,m" if dynamic else f"{rows},{columns}")
    LowerTrilu().run(model, regraft.Context())
    x = np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns)
    np.testing.assert_array_equal(snapshot(model, {"x": x})["y"], (np.triu if upper else np.tril)(x, k))


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
@pytest.mark.parametrize("shape", ["2,3,4", "b,n,m"])
def test_multiplied_where_no_value_can_be_infinite(parse, apply, dtype, shape):
    model = trilu_model(parse, 0, "", dtype, shape=shape)
    found = apply(model, LowerTrilu(form="mul"), inputs={"x": values(dtype)})
    assert found.ops[-1] == ("And" if dtype == "bool" else "Mul")
    assert "Where" not in found.ops


@pytest.mark.parametrize(
    ("body", "multiplied"),
    [
        ("s = Shape(x) f = ConstantOfShape <value = float[1] {1.0}> (s) y = Trilu(f)", True),
        ("s = Shape(x) f = ConstantOfShape(s) y = Trilu(f)", True),
        ("s = Shape(x) f = Expand(low, s) u = Identity(f) y = Trilu(u)", True),
        ("s = Shape(x) f = Expand(infinite, s) y = Trilu(f)", False),
        ("y = Trilu(x)", False),
        ("f = Neg(x) y = Trilu(f)", False),
    ],
)
def test_floats_are_multiplied_only_where_they_are_known_to_be_finite(parse, lower, body, multiplied):
    model = parse(f"g (float[n,m] x) => (float[n,m] y) <float low = {{-1000}}, float infinite = {{0}}> {{ {body} }}")
    for node in model.graph.nodes:
        for tensor in node.inputs:
            if tensor.name == "infinite":
                tensor.values = np.array(-np.inf, np.float32)
    found = lower(model, LowerTrilu(form="mul"), {"x": values("float", (3, 4))})
    assert ("Trilu" not in found.ops) == multiplied
    assert ["infinity" in note for note in found.notes] == [True] * (not multiplied)


def test_it_reaches_into_branches(parse, apply):
    model = parse(
        """g (bool c, float[n,4] x) => (float[n,4] y) {
            y = If (c) <
                then_branch = t () => (float[n,4] a) { a = Trilu(x) },
                else_branch = f () => (float[n,4] b) { b = Neg(x) }
            >
        }"""
    )
    assert len(apply(model, LowerTrilu(), inputs={"c": np.array(True), "x": values("float", (3, 4))}).changes) == 1


def test_without_types_it_stays_and_why_says_so(parse):
    model = parse(
        """g (float[2,3] x) => (float[2,3] y) { y = local.f(x) }
        <domain: "local", opset_import: ["": 21]> f (a) => (b) { b = Trilu(a) }"""
    )
    context = regraft.Context()
    LowerTrilu().run(model, context)
    assert not context.changes
    assert "not known" in context.notes[0]
