"""lower-reciprocal: a division in every dtype and opset, and nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.passes.lower_reciprocal import LowerReciprocal

KINDS = {"float": np.float32, "float16": np.float16, "double": np.float64}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21, 23])
def test_it_keeps_its_contract_at_every_type_and_opset(parse, lower, dtype, opset):
    model = parse(f"g ({dtype}[n] x) => ({dtype}[n] y) {{ y = Reciprocal(x) }}", opset)
    x = np.concatenate([np.linspace(-3, 3, 102), [1e4, -1e-3, np.inf, -np.inf, np.nan]]).astype(KINDS[dtype])
    found = lower(model, LowerReciprocal(), {"x": x})
    assert found.ops == ["Div"]
    assert found.model.graph.nodes[0].inputs[0].values.dtype == KINDS[dtype]


def test_a_division_stays_as_it_is(parse, lower):
    model = parse("g (float[2] x) => (float[2] y) <float one = {1}> { y = Div(one, x) }")
    assert not lower(model, LowerReciprocal()).changes


def test_it_reaches_into_branches(parse, lower):
    model = parse(
        """g (bool c, float[4] x) => (float[4] y) {
            y = If (c) <
                then_branch = t () => (float[4] a) { a = Reciprocal(x) },
                else_branch = f () => (float[4] b) { b = Neg(x) }
            >
        }"""
    )
    inputs = {"c": np.array(True), "x": np.float32([-1, 3, 0.5, 2])}
    assert len(lower(model, LowerReciprocal(), inputs).changes) == 1


@pytest.mark.parametrize(("name", "count"), [("t5-encoder-dynamo.onnx", 5), ("t5-encoder-ts.onnx", 0)])
def test_those_of_an_export(artifacts, lower, name, count):
    assert len(lower(regraft.load(artifacts / "pytorch" / name), LowerReciprocal()).changes) == count
