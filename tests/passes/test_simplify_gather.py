"""simplify-gather: lookups at their own places become views, others stay; outputs keep every bit."""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.passes.simplify_gather import SimplifyGather
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session

MASK = np.arange(6, dtype=np.int64).reshape(2, 3)

PLACES = """z = Constant<value_int = 0>() o = Constant<value_int = 1>()
    s = Shape(m) b = Gather(s, z) n = Gather(s, o) r = Range(z, b, o) c = Range(z, n, o)
    r4 = Unsqueeze(r, after) c4 = Unsqueeze(c, before)"""
AXES = "int64[3] after = {1,2,3}, int64[3] before = {0,1,2}, int64[1] last = {-1}, int64[1] flat = {-1}"

COMPUTED = {
    "one index for all": "f = Reshape(m, flat) w = Mul(r4, n) i = Add(c4, w) y = Gather(f, i)",
    "flattened to a column": """f = Flatten<axis = 2>(m) w = Mul(r4, n) i = Add(c4, w) g = Gather(f, i)
        e = Reshape(g, flat) t = Shape(i) y = Reshape(e, t)""",
    "an index for each axis": """d = Max(r4, c4) t = Shape(d) rb = Expand(r4, t) cb = Expand(c4, t)
        ru = Unsqueeze(rb, last) cu = Unsqueeze(cb, last) i = Concat<axis = -1>(ru, cu) y = GatherND(m, i)""",
}


@pytest.mark.parametrize("body", COMPUTED.values(), ids=COMPUTED)
def test_places_that_are_computed(parse, apply, body):
    model = parse(f"g (int64[B,S] m) => (int64[B,1,1,S] y) <{AXES}> {{ {PLACES} {body} }}")
    done = apply(model, SimplifyGather(), inputs={"m": MASK})
    assert done.ops[-1] == "Unsqueeze"
    assert not {"Gather", "GatherND"} & set(done.ops[done.ops.index("Unsqueeze") :])


def grid(*shape: int) -> str:
    return ", ".join(str(number) for number in np.indices(shape).reshape(len(shape), -1).T.ravel())


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
@pytest.mark.parametrize(
    ("shape", "indices", "ops"),
    [
        ("2,1,1,3,2", grid(2, 3), ["Unsqueeze"]),
        ("2,3,2", grid(2, 3), ["Identity"]),
        ("3,2,2", grid(2, 3), ["GatherND"]),
        ("1,3,1,2", grid(1, 3), ["GatherND"]),
        ("2,3,2", grid(2, 3).replace("1, 2", "1, 1"), ["GatherND"]),
        ("2,3,2", grid(2, 3).replace("1, 2", "1, -1"), ["GatherND"]),
        ("2,1", "0, 1", ["Identity"]),
        ("2,1", "1, 0", ["GatherND"]),
    ],
)
def test_places_that_are_constant(parse, apply, opset, shape, indices, ops):
    model = parse(f"g (int64[2,3] m) => (int64[] y) <int64[{shape}] i = {{{indices}}}> {{ y = GatherND(m, i) }}", opset)
    model.graph.outputs[0].shape = None
    assert apply(model, SimplifyGather(), inputs={"m": MASK}).ops == ops


@pytest.mark.parametrize(
    ("attributes", "indices", "ops"),
    [
        ("axis = 0", "0, 1", ["Identity"]),
        ("axis = -2", "0, 1", ["Identity"]),
        ("axis = 0", "-2, -1", ["Gather"]),
        ("axis = 0", "1, 0", ["Gather"]),
        ("axis = 1", "0, 1", ["Gather"]),
    ],
)
def test_one_axis(parse, apply, attributes, indices, ops):
    model = parse(f"g (int64[2,3] m) => (int64[] y) <int64[2] i = {{{indices}}}> {{ y = Gather<{attributes}>(m, i) }}")
    model.graph.outputs[0].shape = None
    assert apply(model, SimplifyGather(), inputs={"m": MASK}).ops == ops


def test_rows_of_batches_stay(parse, apply):
    model = parse("""g (int64[2,3] m) => (int64[2,2] y) <int64[2,2,1] i = {0, 1, 0, 1}> {
        y = GatherND<batch_dims = 1>(m, i) }""")
    assert apply(model, SimplifyGather(), inputs={"m": MASK}).ops == ["GatherND"]


@pytest.mark.parametrize("name", ["bert-cls-sdpa-ts", "bert-cls-sdpa-dynamo", "gpt2-sdpa-ts", "t5-encoder-dynamo"])
def test_masks_of_real_exports(artifacts, name):
    path = artifacts / f"pytorch/{name}.onnx"
    model = regraft.load(path)
    regraft.run(model, "fold-constants,simplify-gather,eliminate-dead-code")
    assert not {"GatherND", "Flatten"} & {node.op for node in model.nodes()}
    inputs = make_inputs(model)
    for output, value in Session(path).run(inputs).items():
        np.testing.assert_array_equal(Session(model).run(inputs)[output], value)
