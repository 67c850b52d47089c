"""A Loop's counter and condition have in the body the rank that the body declares, as ONNX Runtime has it."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnx.parser
import pytest

import regraft
from regraft import shapes
from regraft.files.convert import from_proto
from regraft.verification.verify import snapshot

X = np.array([3.5, -2.0, 1.0], np.float32)
PIPELINES = [
    "infer-shapes",
    "strip-value-info,infer-shapes,fold-constants,eliminate-identity,eliminate-common-subexpressions",
    "convert-opset{version=21}",
    "lower-where,lower-expand,lower-range{max-length=8},lower-logic{to=arithmetic},simplify-gather",
    "narrow-integers,eliminate-dead-code,deduplicate-initializers",
    "set-shapes{x=3}",
]


def loop(counter: str, condition: str, trips: str = "", start: str = "") -> onnx.ModelProto:
    """A Loop whose outputs tell the ranks of the counter and of the condition inside; `none` declares no shape."""
    i, c = (f"{kind}{'' if dims == 'none' else dims}" for kind, dims in (("int64", counter), ("bool", condition)))
    proto = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        g (float[3] x) => (float[n] y, int64[a, b] counters, int64[e, f] conditions, float[k, m] sums)
        <int64{trips} most = {{3}}, bool{start} go = {{1}}, int64[1] flat = {{-1}}>
        {{ y, counters, conditions, sums = Loop (most, go, x)
          <body = b ({i} i, {c} c, float[k] s) => ({c} go_on, float[k2] grown, int64[p] si, int64[q] sc, float[r] t) {{
             si = Shape(i) sc = Shape(c) f = Cast<to=1>(i) one = Reshape(f, flat)
             grown = Concat<axis=0>(one, s) w = Where(c, f, f) t = Add(w, f) go_on = Identity(c) }}> }}"""
    )
    body = proto.graph.node[0].attribute[0].g
    for value in (*body.output, *proto.graph.output):
        value.type.tensor_type.ClearField("shape")
    if condition == "none":
        body.input[1].type.tensor_type.ClearField("shape")
    return proto


RUNS = [
    (counter, condition, trips, start)
    for counter, condition, trips, start in itertools.product(
        ("", "[1]", "[n]"), ("", "[1]", "none"), ("", "[1]"), ("", "[1]")
    )
    if condition in ("none", start)  # others contradict themselves, and ONNX Runtime says so
]


@pytest.mark.parametrize("declared", RUNS, ids=lambda declared: "-".join(part or "scalar" for part in declared))
def test_what_is_inferred_inside_a_loop_is_so(declared):
    counter, condition, _, start = declared
    model = from_proto(loop(*declared))
    shapes.infer(model)
    body = model.graph.nodes[0].attrs["body"]
    ranks = {t.name: t.shape for node in body.nodes for t in node.outputs if t.name in ("si", "sc", "f")}
    assert ranks == {
        "si": [1 if counter else 0],
        "sc": [1 if (start if condition == "none" else condition) else 0],
        "f": [1] if counter else [],
    }
    found = snapshot(model, {"x": X})
    assert np.shape(found["counters"]) == (3, *ranks["si"])
    assert np.shape(found["conditions"]) == (3, *ranks["sc"])


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("declared", [("[1]", "", "[1]", ""), ("[1]", "[1]", "[1]", "[1]"), ("", "none", "", "[1]")])
def test_passes_keep_what_a_loop_computes(declared, pipeline):
    proto = loop(*declared)
    before = snapshot(from_proto(proto), {"x": X})
    model = from_proto(proto)
    regraft.run(model, regraft.Pipeline.parse(pipeline))
    after = snapshot(model, {"x": X})
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
