"""A fact says whether it is proven or rests on an assumption, and exact passes go by what is proven."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.analysis.certainty import ARITHMETIC, COUNTS, DIMENSIONS, LAYERS, NOTHING, TRUTHS, Certainty
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_ranges import MaskRanges, ValueRanges
from regraft.passes.lower_logic import LowerLogic
from regraft.passes.narrow_integers import NarrowIntegers
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import SHORT
from regraft.verification.verify import snapshot
from tests.analysis.test_value_facts import last, parsed

HEAD = """g (bool[2,4] c, int64[2,4] i, float[2,4] x) => (float[] y)
<float one = {1}, float far = {-10000}, float[4,4] w = {1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1}, int64 n0 = {0}>"""


@pytest.mark.parametrize(
    ("body", "assumes"),
    [
        ("y = Add(one, far)", NOTHING),
        ("a = Cast<to=1>(c) b = Sub(one, a) y = Mul(b, far)", NOTHING),
        ("y = Clip(x, far, one)", NOTHING),
        ("y = MatMul(x, w)", LAYERS),
        ("m = MatMul(x, w) y = Sigmoid(m)", LAYERS),
        ("m = MatMul(x, w) y = Where(c, one, m)", LAYERS),  # the weakest counts
        ("m = MatMul(x, w) y = Where(c, one, far)", NOTHING),
        ("m = MatMul(x, w) y = Add(m, m)", LAYERS | ARITHMETIC),
        ("y = Exp(x)", ARITHMETIC),
        ("y = Cast<to=1>(i)", COUNTS),
        ("s = Shape(x) y = Cast<to=1>(s)", DIMENSIONS),
        ("s = Shape(x) m = MatMul(x, w) t = Cast<to=1>(s) p = ReduceMax(m) y = Add(t, p)", LAYERS | DIMENSIONS),
    ],
)
def test_what_a_fact_rests_on(body, assumes):
    known = last(f"{HEAD} {{ {body} }}")
    assert known.assumes == assumes
    assert known.certainty is not Certainty.PROVEN or not assumes


def test_what_says_nothing_is_unknown():
    assert last(f"{HEAD} {{ y = Tan(x) }}").certainty is Certainty.UNKNOWN
    assert last(f"{HEAD} {{ y = Add(x, far) }}").certainty is Certainty.UNKNOWN


def test_proven_is_what_holds_without_assumptions():
    model = parsed(f"{HEAD} {{ m = MatMul(x, w) s = Sigmoid(m) t = Shape(s) y = Cast<to=1>(t) }}")
    m, s, t = (node.outputs[0] for node in model.graph.nodes[:3])
    ranges = model.facts(ValueRanges)
    assert ranges[m].finite
    assert not ranges.proven(m).finite
    assert ranges.proven(s, if_=LAYERS)[:2] == (0, 1)
    assert ranges.proven(s).certainty is Certainty.UNKNOWN
    assert ranges.proven(t, if_=DIMENSIONS)[:2] == (0, 2**31 - 1)
    assert ranges.proven(t).high == 2**63 - 1


def test_masks_are_zeros_and_ones_by_assumption():
    model = parsed(f"{HEAD} {{ y = Cast<to=1>(i) }}")
    tensor = model.graph.inputs[1]
    assert model.facts(MaskRanges)[tensor][:2] == (0, 1)
    assert model.facts(MaskRanges)[tensor].assumes == TRUTHS
    assert model.facts(ValueRanges)[tensor].high == 2**63 - 1


def test_what_a_body_counts_is_no_mask():
    model = parsed(
        """g (bool c) => (int64[] y) <int64 n = {5}, int64 s = {0}> {
        y = Loop (n, c, s) <body = b (int64 i, bool go, int64 t) => (bool on, int64 u)
        { on = Identity(go) u = Add(t, i) }>
        }"""
    )
    known = model.facts(MaskRanges)[model.graph.outputs[0]]
    assert known.high > 10


def test_axes_say_what_they_rest_on():
    body = "m = MatMul(x, w) z = Sub(one, one) y = Mul(m, z)"
    known = last(f"{HEAD} {{ {body} }}", Uniformity)
    assert known.axes == {-1, -2}
    assert known.certainty is Certainty.ASSUMED
    assert (
        last(f"{HEAD} {{ {body.replace('MatMul(x, w)', 'Cast<to=1>(c)')} }}", Uniformity).certainty is Certainty.PROVEN
    )


@pytest.mark.parametrize(("source", "is_narrow"), [("Sigmoid(m)", False), ("Cast<to=1>(c)", True)])
def test_integers_that_a_layer_decides_stay_wide(source, is_narrow):
    """NaN would be another number in 32 bits."""
    model = parsed(f"{HEAD} {{ m = MatMul(x, w) p = {source} k = Cast<to=7>(p) j = Mul(k, k) y = Cast<to=1>(j) }}")
    given = {"c": np.ones((2, 4), bool), "i": np.ones((2, 4), np.int64), "x": np.full((2, 4), np.nan, np.float32)}
    before = snapshot(model, given)
    NarrowIntegers().run(model, Context())
    kinds = {str(node.outputs[0].dtype) for node in model.graph.nodes if node.op == "Mul"}
    assert kinds == ({"int32"} if is_narrow else {"int64"})
    np.testing.assert_array_equal(snapshot(model, given)["y"], before["y"])


def test_contracts_say_that_dimensions_are_short():
    assert SHORT in NarrowIntegers().contract.assumes
    assert SHORT in LowerLogic(to="arithmetic").contract.assumes
    assert SHORT not in LowerLogic().contract.assumes
