"""lower-logic: every operator on every truth, whole numbers at their limits, what stays, real masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import regraft
from regraft.ir.weights import Derived
from regraft.passes.fold_constants import FoldConstants
from regraft.passes.lower_logic import LowerLogic
from regraft.passes.lower_where import LowerWhere
from regraft.pipelines.pass_base import Context

LOGIC = {"And", "Or", "Xor", "Not", "Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"}
TRUTHS = dict(zip("abc", np.array(list(itertools.product([False, True], repeat=3))).T, strict=True))
ARITHMETIC = LowerLogic(to="arithmetic")


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20, 23])
@pytest.mark.parametrize(
    "body",
    [
        "y = And(a, b)",
        "y = Or(a, b)",
        "y = Xor(a, b)",
        "y = Not(a)",
        "y = Equal(a, b)",
        "d = And(a, b) e = Not(d) f = Xor(e, c) y = Or(f, a)",
        "d = And(a, b) e = Or(d, c) f = And(d, e) y = Equal(f, c)",
    ],
)
def test_logic_of_every_truth(parse, apply, opset, body):
    model = parse(f"g (bool[8] a, bool[8] b, bool[8] c) => (bool[8] y) {{ {body} }}", opset)
    inputs = {t.name: TRUTHS[t.name] for t in model.graph.inputs}
    done = apply(model, ARITHMETIC, inputs=inputs)
    assert not LOGIC & set(done.ops)
    assert [node.attrs["to"] for node in done.model.graph.nodes if node.op == "Cast"].count(9) == 1
    assert not done.notes


EDGES = [-(2**31), -(2**31) + 1, -(2**24) - 1, -1, 0, 1, 2, 2**24, 2**24 + 1, 2**31 - 2, 2**31 - 1]


@pytest.mark.parametrize("opset", [12, 13, 20])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("op", ["Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"])
def test_comparisons_of_whole_numbers(parse, apply, opset, dtype, op):
    wide = EDGES if dtype == "int64" else EDGES[2:-2]
    pairs = np.array(list(itertools.product(wide, repeat=2)), dtype)
    limits = {"int64": (-(2**31), 2**31 - 1), "int32": (-(2**30), 2**30 - 1)}[dtype]
    model = parse(
        f"g ({dtype}[{len(pairs)}] p, {dtype}[{len(pairs)}] q) => (bool[{len(pairs)}] y) "
        f"<{dtype} low = {{{limits[0]}}}, {dtype} high = {{{limits[1]}}}> {{ "
        f"a = Max(p, low) x = Min(a, high) b = Max(q, low) z = Min(b, high) y = {op}(x, z) }}",
        opset,
    )
    done = apply(model, ARITHMETIC, inputs={"p": pairs[:, 0], "q": pairs[:, 1]})
    assert not LOGIC & set(done.ops)


@pytest.mark.parametrize("opset", [11, 23])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_equality_needs_no_limits(parse, apply, dtype, opset):
    limits = np.iinfo(dtype)
    pairs = np.array(list(itertools.product([limits.min, -1, 0, 1, limits.max], repeat=2)), dtype)
    model = parse(f"g ({dtype}[25] p, {dtype}[25] q) => (bool[25] y) {{ y = Equal(p, q) }}", opset)
    assert "Equal" not in apply(model, ARITHMETIC, inputs={"p": pairs[:, 0], "q": pairs[:, 1]}).ops


@pytest.mark.parametrize(
    ("body", "reason"),
    [("y = Greater(f, g)", "float32"), ("y = Less(i, j)", "may not fit int64"), ("y = Equal(u, u)", "uint8")],
)
def test_what_has_no_exact_form_stays(parse, apply, body, reason):
    names = {"f": "float", "g": "float", "i": "int64", "j": "int64", "u": "uint8"}
    model = parse(f"g ({', '.join(f'{t}[3] {n}' for n, t in names.items())}) => (bool[3] y) {{ {body} }}")
    inputs = {n: np.zeros(3, "f4" if t == "float" else t) for n, t in names.items()}
    done = apply(model, ARITHMETIC, inputs=inputs)
    assert not done.changes
    assert reason in done.notes[0]


def test_arithmetic_of_shapes_stays(parse, apply):
    model = parse("""g (float[N,4] x) => (int64[2] y) <int64[2] t = {4,4}> {
        s = Shape(x) e = Equal(s, t) y = Where(e, s, t) }""")
    done = apply(model, ARITHMETIC)
    assert not done.changes
    assert "fold-constants" in done.notes[0]


def test_truths_that_others_make_become_numbers(parse, apply):
    model = parse("""g (float[4] x, float[4] z, int64[4] m) => (float[4] y) {
        g = Greater(x, z) k = Cast<to = 9>(m) a = And(g, k) n = Not(a) y = Cast<to = 1>(n) }""")
    inputs = {
        "x": np.array([1, np.nan, 3, np.inf], np.float32),
        "z": np.array([0, 0, 4, np.inf], np.float32),
        "m": np.array([2**32, 1, 0, -(2**63)]),
    }
    done = apply(model, ARITHMETIC, inputs=inputs)
    assert LOGIC & set(done.ops) == {"Greater"}
    assert "float32" in done.notes[0]
    assert not any(n.op == "Cast" and n.attrs["to"] == 9 for n in done.model.graph.nodes)


def test_what_moves_truths_moves_numbers(parse, apply):
    model = parse("""g (bool[2,3] a, bool[2,3] b) => (int64[1,3,2] y) <int64[1] z = {0}, bool[2,3] k = {1,0,1,0,1,0}> {
        c = And(a, b) d = Or(c, k) e = Transpose<perm = [1,0]>(d) f = Unsqueeze(e, z) y = Cast<to = 7>(f) }""")
    done = apply(model, ARITHMETIC, inputs={"a": np.eye(2, 3, dtype=bool), "b": np.ones((2, 3), bool)})
    assert done.ops == ["Cast", "Cast", "Mul", "Max", "Transpose", "Unsqueeze", "Cast"]


def test_a_large_constant_is_not_read(parse):
    model = parse("g (bool[2,3] a) => (bool[2,3] y) <bool[2,3] k = {1,0,1,0,1,0}> { y = And(a, k) }")
    ARITHMETIC.run(model, Context())
    product = next(node for node in model.graph.nodes if node.op == "Mul")
    assert isinstance(product.inputs[1].lazy, Derived)


@pytest.mark.parametrize("choice", [True, False])
def test_truths_of_the_graph_around_are_read_in_bodies(parse, apply, choice):
    model = parse("""g (bool c, bool[8] a, bool[8] b) => (bool[8] y) {
        o = Or(a, b)
        y = If(c) <then_branch = t () => (bool[8] p) { p = And(o, a) },
                   else_branch = e () => (bool[8] q) { n = Not(b) q = Xor(n, o) }> }""")
    done = apply(model, ARITHMETIC, inputs={"c": np.array(choice), "a": TRUTHS["a"], "b": TRUTHS["b"]})
    assert not LOGIC & {node.op for node in done.model.nodes()}


# ------------------------------------------------------------------------------------------------ to=less


@pytest.mark.parametrize("opset", [12, 13, 16, 18, 23])
@pytest.mark.parametrize("op", ["GreaterOrEqual", "LessOrEqual"])
@pytest.mark.parametrize(("dtype", "nodes"), [("float", 3), ("float16", 3), ("double", 3), ("int32", 2), ("int64", 2)])
def test_or_equal(parse, apply, opset, op, dtype, nodes):
    code = {"float": "f4", "float16": "f2", "double": "f8"}.get(dtype, dtype)
    values = [-1, 0, 1, 3] if nodes == 2 else [-np.inf, -0.0, 0.0, 1, np.inf, np.nan]
    pairs = np.array(list(itertools.product(values, repeat=2)), code)
    n = len(pairs)
    model = parse(f"g ({dtype}[{n}] p, {dtype}[{n}] q) => (bool[{n}] y) {{ y = {op}(p, q) }}", opset)
    done = apply(model, LowerLogic(), inputs={"p": pairs[:, 0], "q": pairs[:, 1]})
    assert len(done.ops) == nodes
    assert not {"GreaterOrEqual", "LessOrEqual"} & set(done.ops)


# ------------------------------------------------------------------------------------------------ real masks


@pytest.mark.parametrize(
    "name",
    ["bert-cls-eager-dynamo", "bert-cls-eager-ts", "bert-cls-sdpa-dynamo", "bert-cls-sdpa-ts", "distilbert-sdpa-ts"],
)
def test_the_masks_of_exporters(artifacts, apply, name):
    model = regraft.load(artifacts / f"pytorch/{name}.onnx")
    assert "GreaterOrEqual" in [node.op for node in model.graph.nodes]
    done = apply(model, LowerLogic())
    assert "GreaterOrEqual" not in done.ops
    FoldConstants().run(done.model, Context())
    LowerWhere().run(done.model, Context())
    done = apply(done.model, ARITHMETIC)
    assert not LOGIC & set(done.ops)


def test_logic_of_an_opset_whose_max_does_not_broadcast_stays(parse):
    model = parse("g (bool[2,3] a, bool[3] b) => (bool[2,3] y) { y = Or(a, b) }", 7)
    context = Context("lower-logic")
    LowerLogic(to="arithmetic").run(model, context)
    assert [node.op for node in model.graph.nodes] == ["Or"]
    assert "run convert-opset before" in context.notes[0]
