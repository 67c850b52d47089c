"""lower-erf: the stated error is the real one, at every value, type and opset."""

from __future__ import annotations

import math

import numpy as np
import pytest

import regraft
from regraft.passes.lower_erf import RATIONAL_ERROR, TANH_ERROR, LowerErf
from regraft.rewriting.why import why
from regraft.verification.verify import snapshot

ERRORS = {"tanh": TANH_ERROR, "rational": RATIONAL_ERROR}
OPSETS = (11, 13, 17, 18, 20, 23)


def erf_model(parse, dtype: str = "float", opset: int = 18):
    return parse(f"g ({dtype}[n] x) => ({dtype}[n] y) {{ y = Erf(x) }}", opset)


def dense_floats() -> np.ndarray:
    """Every 101st positive float32 from 1e-9 to 16, and their negatives: as dense around every magnitude."""
    low, high = (np.float32(end).view(np.int32) for end in (1e-9, 16))
    positive = np.arange(low, high, 101, dtype=np.int32).view(np.float32)
    return np.concatenate([-positive, positive, np.float32([0.0, 1e-42, 3e38, -3e38])])


@pytest.mark.parametrize("form", ERRORS)
def test_the_stated_error_is_the_largest_over_the_32_bit_floats(parse, form):
    model, x = erf_model(parse), dense_floats()
    LowerErf(form=form).run(model, regraft.Context())
    found = snapshot(model, {"x": x})["y"]
    error = np.abs(found - np.array([math.erf(value) for value in x.tolist()])).max()
    assert 0.95 * ERRORS[form] < error <= ERRORS[form]


@pytest.mark.parametrize("form", ERRORS)
@pytest.mark.parametrize(("dtype", "kind"), [("float", np.float32), ("float16", np.float16)])
@pytest.mark.parametrize("opset", OPSETS)
def test_it_keeps_its_contract_at_every_type_and_opset(parse, lower, form, dtype, kind, opset):
    x = np.concatenate([np.linspace(-6, 6, 5001), [60000, -60000, 1e-7]]).astype(kind)
    assert "Erf" not in lower(erf_model(parse, dtype, opset), LowerErf(form=form), {"x": x}).ops


@pytest.mark.parametrize("form", ERRORS)
@pytest.mark.parametrize("opset", OPSETS[1:])  # ONNX Runtime has no Erf of doubles, nor Clip of them in opset 11
def test_doubles(parse, form, opset):
    model, x = erf_model(parse, "double", opset), np.linspace(-6, 6, 5001)
    LowerErf(form=form).run(model, regraft.Context())
    expected = np.array([math.erf(value) for value in x])
    assert np.abs(snapshot(model, {"x": x})["y"] - expected).max() <= ERRORS[form]


@pytest.mark.parametrize("form", ERRORS)
@pytest.mark.parametrize(("dtype", "kind"), [("float", np.float32), ("float16", np.float16)])
def test_infinities_give_one_zero_gives_zero_and_nan_stays(parse, form, dtype, kind):
    model = erf_model(parse, dtype)
    LowerErf(form=form).run(model, regraft.Context())
    found = snapshot(model, {"x": np.array([np.inf, -np.inf, 0, np.nan], kind)})["y"]
    np.testing.assert_array_equal(found, np.array([1, -1, 0, np.nan], kind))


def test_it_reaches_into_branches(parse, lower):
    model = parse(
        """g (bool c, float[4] x) => (float[4] y) {
            y = If (c) <
                then_branch = t () => (float[4] a) { a = Erf(x) },
                else_branch = e () => (float[4] b) { b = Neg(x) }
            >
        }"""
    )
    inputs = {"c": np.array(True), "x": np.float32([-1, 0, 0.5, 2])}
    assert len(lower(model, LowerErf(), inputs).changes) == 1


@pytest.mark.parametrize(("dtype", "reason"), [("int32", "no float"), ("", "not known")])
def test_what_is_no_float_stays_and_why_says_so(parse, dtype, reason):
    if dtype:
        model = parse(f"g ({dtype}[2] x) => ({dtype}[2] y) {{ y = Erf(x) }}", 12)  # it took whole numbers then
    else:
        model = parse(
            """g (float[2] x) => (float[2] y) { y = local.f(x) }
            <domain: "local", opset_import: ["": 21]> f (a) => (b) { b = Erf(a) }"""
        )
    context = regraft.Context()
    LowerErf().run(model, context)
    assert not context.changes
    assert [reason in near.reason for near in why(model, LowerErf())] == [True]


def test_those_of_an_export(artifacts, lower):
    model = regraft.load(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx")
    found = lower(model, LowerErf())
    assert len(found.changes) == 2
    assert "Erf" not in found.ops
