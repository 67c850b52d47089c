"""What is claimed of values inside If, Loop, Scan and functions, and of what leaves them, holds in every round."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from regraft import shapes
from regraft.analysis.certainty import ARITHMETIC, LAYERS, NOTHING, Certainty
from regraft.analysis.scalar_constants import ScalarConstants
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_numbering import ValueNumbers
from regraft.analysis.value_ranges import ValueRanges
from regraft.files.convert import from_proto
from regraft.ir.graph import Tensor, walk
from regraft.ir.model import Model
from regraft.verification.verify import snapshot
from tests.analysis.test_value_facts import KINDS, Drawn, _compute, _move, parsed

CARRIED = {"mask": ("b", (2, 1, 4)), "length": ("i", (3, 1)), "given": ("f", (3, 4)), "one": ("f", ())}
EXTREME = {
    "b": [0, 1],
    "i": [0, 1, -1, 3, 1 << 31, 1 << 62, -(1 << 63), (1 << 63) - 1],
    "f": [0.0, -0.0, 1.0, -3.0, 0.5, 90.0, 1e20, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan],
}


def looped(graph: Drawn, ends: dict[str, str], op: str, rounds: int) -> Model:
    """A loop around `graph` that carries `ends`, and gives all that its nodes make in each round."""
    kinds = {name: KINDS[kind] for name, kind, _ in graph.values}
    made = [(node.output[-1], f"all_{node.output[-1]}") for node in graph.nodes]
    nodes = [*graph.nodes, *(helper.make_node("Identity", [end], [f"next_{name}"]) for name, end in ends.items())]
    nodes += [helper.make_node("Identity", [name], [copy]) for name, copy in made]
    states = [helper.make_tensor_value_info(name, KINDS[kind], shape) for name, (kind, shape) in CARRIED.items()]
    outs = [
        helper.make_tensor_value_info(f"next_{name}", KINDS[kind], shape) for name, (kind, shape) in CARRIED.items()
    ]
    outs += [helper.make_tensor_value_info(copy, kinds[name], None) for name, copy in made]
    inputs = [helper.make_tensor_value_info(f"in_{name}", KINDS[k], shape) for name, (k, shape) in CARRIED.items()]
    feeds = [value.name for value in inputs]
    given = [f"out_{name}" for name in CARRIED] + [f"stack_{name}" for name, _ in made]
    constants = list(graph.constants)
    if op == "Loop":
        go = [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
        ]
        nodes.append(helper.make_node("Identity", ["go"], ["on"]))
        body = helper.make_graph(
            nodes, "body", [*go, *states], [helper.make_tensor_value_info("on", TensorProto.BOOL, ()), *outs]
        )
        constants += [
            numpy_helper.from_array(np.array(rounds), "rounds"),
            numpy_helper.from_array(np.array(True), "yes"),
        ]
        outer = helper.make_node("Loop", ["rounds", "yes", *feeds], given, body=body)
    else:
        line = helper.make_tensor_value_info("line", TensorProto.FLOAT, (2,))
        body = helper.make_graph(nodes, "body", [*states, line], outs)
        constants.append(numpy_helper.from_array(np.ones((max(rounds, 1), 2), np.float32), "lines"))
        outer = helper.make_node("Scan", [*feeds, "lines"], given, body=body, num_scan_inputs=1)
    outputs = [helper.make_tensor_value_info(n, kinds[n.partition("_")[2]], None) for n in given]
    proto = helper.make_graph([outer], "g", inputs, outputs, constants)
    model = from_proto(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    shapes.infer(model)
    return model


@st.composite
def loops(draw: st.DrawFn) -> tuple[Model, int]:
    graph = Drawn(values=[(name, kind, shape) for name, (kind, shape) in CARRIED.items()])
    numbers = {"f": [0.0, 1.0, -1.0, 0.5, -1e4, 1e30, -np.inf], "b": [0, 1], "i": [0, 1, -1, 7, 1 << 40]}
    for kind in "fbi":
        shape = draw(st.sampled_from([(), (4,), (3, 1), (3, 4), (2, 1, 4)]))
        drawn = draw(st.lists(st.sampled_from(numbers[kind]), min_size=2, max_size=2))
        array = np.resize(np.array(drawn), shape).astype(helper.tensor_dtype_to_np_dtype(KINDS[kind]))
        graph.values.append((graph.constant(array), kind, shape))
    for _ in range(draw(st.integers(1, 8))):
        (_compute if draw(st.integers(0, 2)) else _move)(draw, graph)
    ends = {}
    for name, (kind, shape) in CARRIED.items():
        ends[name] = draw(st.sampled_from([n for n, k, s in graph.values[::-1] if k == kind and s == shape]))
    return looped(graph, ends, draw(st.sampled_from(["Loop", "Scan"])), draw(st.integers(0, 5))), draw(
        st.integers(0, 9)
    )


def drawn_inputs(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    dtypes = {"b": np.bool_, "i": np.int64, "f": np.float32}
    return {
        f"in_{name}": random.choice(np.array(EXTREME[kind], dtypes[kind]), shape)
        if seed
        else np.ones(shape, dtypes[kind])
        for name, (kind, shape) in CARRIED.items()
    }


def holds(model: Model, tensor: Tensor, values: list[np.ndarray]) -> None:
    """Hold what is claimed of `tensor` against what it is, round after round."""
    known, axes = model.facts(ValueRanges)[tensor], model.facts(Uniformity)[tensor]
    number = model.facts(ScalarConstants)[tensor]
    for value in (one for one in values if one.size):
        if known.finite and not known.assumes & (ARITHMETIC | LAYERS):
            assert np.isfinite(value).all(), (tensor.name, known)
        numbers = [n.item() for n in value[~np.isnan(value)]] if value.dtype.kind == "f" else value.ravel().tolist()
        if not known.assumes & (ARITHMETIC | LAYERS):
            assert all(known.low <= n <= known.high for n in numbers), (tensor.name, known, value)
        for axis in axes.axes if axes.assumes is NOTHING else ():
            first = value.take([0], axis)
            assert ((value == first) | ((value != value) & (first != first))).all(), (tensor.name, axis, value)
        if number is not None:
            np.testing.assert_allclose(value.astype(np.float64), number, rtol=1e-5)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(loops(), st.randoms(use_true_random=False))
def test_what_is_claimed_holds_in_every_round(drawn, random):
    model, seed = drawn
    (node,) = model.graph.nodes
    values = snapshot(model, drawn_inputs(seed))
    body = node.attrs["body"]
    inner = {t.name: t for n in body.nodes for t in n.outputs}
    pairs = [(t, [np.asarray(values[t.name])]) for t in node.outputs]
    stacked = {
        t.name.removeprefix("stack_"): np.asarray(values[t.name]) for t in node.outputs if t.name.startswith("stack_")
    }
    pairs += [(inner[name], list(rounds)) for name, rounds in stacked.items()]
    random.shuffle(pairs)
    for tensor, rounds in pairs:
        holds(model, tensor, rounds)
        assert model.facts(ValueRanges)[tensor] == ValueRanges(model)[tensor]
        assert model.facts(Uniformity)[tensor] == Uniformity(model)[tensor]
    numbers = model.facts(ValueNumbers)
    for one in stacked:
        for other in stacked:
            if numbers[inner[one]] == numbers[inner[other]]:
                np.testing.assert_array_equal(stacked[one], stacked[other])
    for one in node.outputs[: len(CARRIED)]:
        before = next(t for t in model.graph.inputs if t.name == one.name.replace("out_", "in_"))
        if numbers[one] == numbers[before]:
            np.testing.assert_array_equal(values[one.name], drawn_inputs(seed)[before.name])


# ---------------------------------------------------------------------------------------------------- what is known


def loop(body: str, kind: str = "int64", start: str = "0") -> Model:
    """A loop of nine rounds that carries `s`, of which `body` makes `u`."""
    return parsed(
        f"""g (float[2,2] w) => ({kind}[] y, {kind}[] all)
        <{kind} s0 = {{{start}}}, int64 n = {{9}}, bool t = {{1}}> {{
        y, all = Loop (n, t, s0) <body = b (int64 i, bool go, {kind} s) => (bool on, {kind} u, {kind} v)
        <{kind} one = {{1}}, {kind} ten = {{10}}, {kind} two = {{2}}>
        {{ on = Identity(go) {body} v = Identity(u) }}> }}"""
    )


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("u = Identity(s)", (0, 0)),
        ("p = Add(s, one) u = Min(p, ten)", (0, 10)),
        ("u = Sub(one, s)", (0, 1)),
        ("p = Equal(s, one) u = Cast<to=7>(p)", (0, 0)),
        ("p = Equal(s, ten) u = Cast<to=7>(p)", (0, 0)),
        ("p = Less(s, ten) u = Cast<to=7>(p)", (0, 1)),
        ("u = Identity(i)", (0, 8)),
        ("u = Add(s, one)", None),
        ("u = Mul(s, two)", (0, 0)),
        ("c = Cast<to=9>(s) u = If (c) <then_branch = p () => (int64 a) { a = Identity(two) }, "
         "else_branch = q () => (int64 e) { e = Identity(ten) }>", (0, 10)),
    ],
)  # fmt: skip
def test_a_loop_of_whole_numbers(body, ends):
    model = loop(body)
    known = model.facts(ValueRanges)[model.graph.outputs[0]]
    for name, value in snapshot(model, {"w": np.zeros((2, 2), np.float32)}).items():
        if name in ("y", "all"):
            assert known.low <= np.min(value) <= np.max(value) <= known.high
    if ends is None:
        assert known.high > 2**53
    else:
        assert known[:2] == ends
        assert known.certainty is Certainty.PROVEN


def test_what_is_asked_first_makes_no_difference():
    """What there is before the first round and after each is known before what the loop carries is asked for."""
    model = loop("h = Identity(two) u = Add(h, ten)")
    body = model.graph.nodes[0].attrs["body"]
    ranges = ValueRanges(model)
    assert ranges[model.graph.nodes[0].inputs[2]].is_zero
    assert ranges[body.outputs[1]][:2] == (12, 12)
    assert ranges[body.inputs[2]][:2] == (0, 12)
    assert ValueRanges(model)[body.inputs[2]][:2] == (0, 12)


@pytest.mark.parametrize(
    ("body", "is_finite"),
    [
        ("u = Mul(s, s)", False),
        ("u = Add(s, one)", False),
        ("u = Exp(s)", False),
        ("e = Exp(s) u = Relu(e)", False),
        ("m = MatMul(w, w) r = ReduceSum<keepdims=0>(m) u = Add(s, r)", False),
        ("u = Neg(s)", False),  # an infinity that the caller gives would stay one
        ("u = Tanh(s)", False),
        ("h = Floor(s) u = Max(h, ten)", False),
        ("h = Cast<to=10>(s) u = Cast<to=1>(h)", False),
        ("u = Identity(one)", True),
        ("m = MatMul(w, w) u = ReduceMax<keepdims=0>(m)", True),
        ("v0 = Mul(w, s) m = MatMul(v0, w) u = ReduceMax<keepdims=0>(m)", True),
    ],
)
def test_what_a_loop_carries_is_finite_only_where_a_layer_makes_it(body, is_finite):
    """A value may grow from round to round; that layers give moderate numbers is assumed, and the fact says so."""
    model = loop(body, "float", "2")
    known = model.facts(ValueRanges)[model.graph.outputs[0]]
    assert known.finite == is_finite
    assert known.given == (body in ("u = Neg(s)", "u = Tanh(s)", "h = Floor(s) u = Max(h, ten)"))
    if is_finite:
        assert (known.certainty is Certainty.PROVEN) == ("MatMul" not in body)
    inner = next(t for graph in walk(model.graph) for t in graph.inputs if t.name == "s")
    assert model.facts(ValueRanges)[inner].finite == is_finite


def test_the_branches_of_an_if_are_joined():
    model = parsed(
        """g (bool c, float[2,3] x) => (float[] y, float[] z)
        <float a = {1}, float b = {-7}, float[1,3] r = {4, 5, 6}> {
        y, z = If (c)
        <then_branch = p () => (float d, float[2,3] e) <int64[2] s = {2, 3}> { d = Identity(a) e = Expand(r, s) },
        else_branch = q () => (float f, float[2,3] g) { f = Identity(b) g = Identity(x) }> }"""
    )
    y, z = model.graph.outputs
    ranges, axes, numbers = (model.facts(one) for one in (ValueRanges, Uniformity, ValueNumbers))
    assert ranges[y][:3] == (-7, 1, 7)
    assert not ranges[z].finite
    assert axes[z].axes == set()
    then, other = (model.graph.nodes[0].attrs[name] for name in ("then_branch", "else_branch"))
    assert axes[then.outputs[1]].axes == {-2}
    assert len({numbers[t] for t in (y, z, then.outputs[0], other.outputs[0], other.outputs[1])}) == 5


def test_branches_that_give_the_same_are_the_same():
    model = parsed(
        """g (bool c, float[2,3] x) => (float[] y, float[] n) { n = Neg(x)
        y = If (c) <then_branch = p () => (float[2,3] e) { e = Neg(x) },
        else_branch = q () => (float[2,3] g) { g = Neg(x) }> }"""
    )
    y, n = model.graph.outputs
    assert model.facts(ValueNumbers)[y] == model.facts(ValueNumbers)[n]


FUNCTIONS = """<ir_version: 9, opset_import: ["" : 20, "l" : 1]>
g (float[2,3] x, int64[3] i) => (float[] y, float[] z) <float[2] a = {1, 2}, float[2] b = {3, 9}> {
y = l.f(a) z = l.f(b) }
<opset_import: ["" : 20], domain: "l"> f (p) => (q) { q = Neg(p) }"""


def test_a_function_says_what_holds_for_every_call():
    model = from_proto(onnx.parser.parse_model(FUNCTIONS))
    y, z = model.graph.outputs
    ranges, numbers = model.facts(ValueRanges), model.facts(ValueNumbers)
    assert ranges[y][:3] == ranges[z][:3] == (-9, -1, 9)
    assert numbers[y] != numbers[z]


def test_attributes_of_a_call_are_not_known_in_the_function():
    text = FUNCTIONS.replace("l.f(a)", "l.f<v = 5.0>(a)").replace("l.f(b)", "l.f<v = 3.0>(b)")
    text = text.replace("f (p) => (q) { q = Neg(p) }", "f <v>(p) => (q) { q = LeakyRelu<alpha: float = @v>(p) }")
    model = from_proto(onnx.parser.parse_model(text))
    known = model.facts(ValueRanges)[model.graph.outputs[0]]
    assert known.certainty is Certainty.UNKNOWN
