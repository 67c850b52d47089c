"""Bounds and uniform axes of values: what is claimed holds for what ONNX Runtime computes, whatever the graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from regraft import shapes
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_numbering import ValueNumbers
from regraft.analysis.value_ranges import LARGEST, ValueRanges
from regraft.files.convert import from_proto
from regraft.files.loading import load
from regraft.verification.verify import snapshot

KINDS = {"f": onnx.TensorProto.FLOAT, "b": onnx.TensorProto.BOOL, "i": onnx.TensorProto.INT64}
SHAPES = [(), (4,), (3, 1), (1, 3, 4), (2, 1, 4), (2, 3, 4), (2, 1, 1)]
NUMBERS = {
    "f": [0.0, 1.0, -1.0, 0.5, 0.1, 1e-40, -1e4, 1e30, float(np.finfo(np.float32).min), -np.inf],
    "b": [0, 1],
    "i": [0, 1, -1, 7, 1 << 40, -(1 << 63), (1 << 63) - 1],
}
ELEMENTWISE = [  # operator, types of its operands, type of its result
    *[(op, "ff", "f") for op in ("Add", "Sub", "Mul", "Max", "Min")],
    *[(op, "f", "f") for op in ("Neg", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Relu", "Floor", "Ceil", "Round")],
    *[(op, "f", "f") for op in ("Sigmoid", "Tanh", "Erf", "Sin", "Sign", "Softplus", "Elu", "Selu", "Tan")],
    *[(op, "ff", "f") for op in ("Div", "Pow", "Mean", "PRelu")],
    *[(op, "fff", "f") for op in ("Sum",)],
    *[(op, "f", "b") for op in ("IsNaN", "IsInf")],
    *[(op, "ii", "i") for op in ("Add", "Sub", "Mul", "Max", "Min")],
    ("Abs", "i", "i"),
    ("Neg", "i", "i"),
    *[(op, "bb", "b") for op in ("And", "Or")],
    ("Not", "b", "b"),
    *[(op, "ii", "b") for op in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")],
    *[(op, "ff", "b") for op in ("Less", "GreaterOrEqual")],
    *[("Where", f"b{kind * 2}", kind) for kind in "fi"],
    ("Clip", "fff", "f"),
    *[("Cast", a, b) for a, b in ("bf", "bi", "if", "ib", "fb")],
]


INPUTS = {"mask": ("b", (2, 1, 4)), "length": ("i", (3, 1)), "given": ("f", (3, 4))}


MOVES = ["Transpose", "Unsqueeze", "Reshape", "Expand", "Gather", "Slice", "Concat"]
MOVES += ["Pad", "Trilu", "ScatterElements", "Softmax", "LogSoftmax", "ReduceSum", "ReduceMean", "ReduceMax"]
MOVES += ["ReduceProd", "ReduceLogSumExp", "CumSum", "Split", "MatMul"]


@dataclass
class Drawn:
    """A graph that grows, value by value."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    values: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)  # name, kind, shape

    def add(self, op: str, inputs: list[str], kind: str, shape: tuple[int, ...], **attrs: object) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attrs))
        self.values.append((name, kind, shape))

    def constant(self, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name


@st.composite
def graphs(draw: st.DrawFn) -> Drawn:
    graph = Drawn(values=[(name, kind, shape) for name, (kind, shape) in INPUTS.items()])
    for kind in "fbi":
        shape = draw(st.sampled_from(SHAPES))
        numbers = draw(st.lists(st.sampled_from(NUMBERS[kind]), min_size=2, max_size=2))
        array = np.resize(np.array(numbers), shape).astype(helper.tensor_dtype_to_np_dtype(KINDS[kind]))
        graph.values.append((graph.constant(array), kind, shape))
    for _ in range(draw(st.integers(1, 9))):
        if draw(st.booleans()):
            _compute(draw, graph)
        else:
            _move(draw, graph)
    return graph


def _compute(draw: st.DrawFn, graph: Drawn) -> None:
    op, wanted, kind = draw(st.sampled_from(ELEMENTWISE))
    operands = [draw(st.sampled_from([v for v in graph.values if v[1] == k])) for k in wanted]
    if op == "Clip":  # its bounds are scalars
        bounds = sorted(draw(st.lists(st.sampled_from(NUMBERS["f"]), min_size=2, max_size=2)))
        operands = [operands[0], *((graph.constant(np.array(bound, np.float32)), "f", ()) for bound in bounds)]
    try:
        shape = np.broadcast_shapes(*(shape for _, _, shape in operands))
    except ValueError:
        return
    if op == "PRelu" and shape != operands[0][2]:  # it does not widen
        return
    graph.add(op, [name for name, _, _ in operands], kind, shape, **({"to": KINDS[kind]} if op == "Cast" else {}))


def _move(draw: st.DrawFn, graph: Drawn) -> None:
    name, kind, shape = draw(st.sampled_from(graph.values))
    op = draw(st.sampled_from(MOVES))
    rank = len(shape)
    axis = draw(st.integers(0, max(rank - 1, 0)))
    if op == "Transpose" and rank:
        perm = draw(st.permutations(range(rank)))
        graph.add(op, [name], kind, tuple(shape[i] for i in perm), perm=perm)
    elif op == "Unsqueeze":
        graph.add(op, [name, graph.constant(np.array([axis]))], kind, (*shape[:axis], 1, *shape[axis:]))
    elif op == "Reshape" and rank:
        new = (*shape[:axis], int(np.prod(shape[axis:])))
        graph.add(op, [name, graph.constant(np.array(new))], kind, new)
    elif op == "Expand":
        new = np.broadcast_shapes(shape, tuple(3 if dim == 1 else 1 for dim in shape))
        graph.add(op, [name, graph.constant(np.array(new, np.int64))], kind, new)
    elif op == "Gather" and rank:
        index = draw(st.sampled_from([np.array([0]), np.array([[0, 0]]), np.array(0)]))
        new = (*shape[:axis], *index.shape, *shape[axis + 1 :])
        graph.add(op, [name, graph.constant(index)], kind, new, axis=axis)
    elif op == "Slice" and rank:
        bounds = [graph.constant(np.array([n])) for n in (0, 2, axis)]
        graph.add(op, [name, *bounds], kind, (*shape[:axis], min(shape[axis], 2), *shape[axis + 1 :]))
    elif op == "Concat" and rank:
        graph.add(op, [name, name], kind, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]), axis=axis)
    elif op == "Pad" and rank and kind != "b":
        pads = graph.constant(np.array([0] * rank + [1] * rank))
        value = [graph.constant(np.array(draw(st.sampled_from(NUMBERS[kind])), "f4" if kind == "f" else "i8"))]
        graph.add(op, [name, pads, *value[: draw(st.integers(0, 1))]], kind, tuple(dim + 1 for dim in shape))
    elif op == "Trilu" and rank > 1:
        graph.add(op, [name], kind, shape, upper=draw(st.integers(0, 1)))
    elif op == "ScatterElements" and rank and kind != "b":
        reduction = draw(st.sampled_from(["none", "add", "mul", "max"]))
        index = graph.constant(np.zeros(shape, np.int64))
        graph.add(op, [name, index, name], kind, shape, axis=axis, reduction=reduction)
    elif op in ("Softmax", "LogSoftmax") and rank and kind == "f":
        graph.add(op, [name], kind, shape, axis=axis)
    elif op.startswith("Reduce") and rank and kind != "b" and (kind == "f" or op != "ReduceLogSumExp"):
        if op == "ReduceMean" and kind == "i":
            return
        axes = graph.constant(np.array([axis]))
        graph.add(op, [name, axes], kind, (*shape[:axis], 1, *shape[axis + 1 :]), keepdims=1)
    elif op == "CumSum" and rank and kind != "b":
        graph.add(op, [name, graph.constant(np.array(axis))], kind, shape, exclusive=draw(st.integers(0, 1)))
    elif op == "Split" and rank and kind != "b" and shape[axis] > 1:
        sizes = graph.constant(np.array([shape[axis] - 1, 1]))
        first, last = f"s{len(graph.nodes)}", f"v{len(graph.nodes)}"
        graph.nodes.append(helper.make_node(op, [name, sizes], [first, last], axis=axis))
        graph.values.append((last, kind, (*shape[:axis], 1, *shape[axis + 1 :])))


def _model(graph: Drawn):
    kinds = {name: KINDS[kind] for name, kind, _ in graph.values}
    outputs = [helper.make_tensor_value_info(n.output[-1], kinds[n.output[-1]], None) for n in graph.nodes]
    inputs = [helper.make_tensor_value_info(name, KINDS[kind], shape) for name, (kind, shape) in INPUTS.items()]
    proto = helper.make_graph(graph.nodes, "g", inputs, outputs, graph.constants)
    model = from_proto(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=9))
    shapes.infer(model)
    return model


EXTREME = {
    "i": [0, 1, -1, 3, 1 << 31, -(1 << 53), 1 << 53],
    "f": [0.0, -0.0, 1.0, -3.0, 90.0, 1e20, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan],
}


def _inputs(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = {"mask": random.integers(0, 2, (2, 1, 4)).astype(bool)}
    if seed:
        inputs["length"] = random.choice(np.array(EXTREME["i"]), (3, 1))
        inputs["given"] = random.choice(np.array(EXTREME["f"], np.float32), (3, 4))
    else:
        inputs["length"] = random.integers(-9, 9, (3, 1))
        inputs["given"] = random.normal(size=(3, 4)).astype(np.float32)
    return inputs


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_what_is_claimed_holds(graph, seed, random):
    """Whatever is asked first, and whatever the inputs are."""
    if not graph.nodes:
        return
    model = _model(graph)
    values = snapshot(model, _inputs(seed))
    ranges, uniform = model.facts(ValueRanges), model.facts(Uniformity)
    tensors = [node.outputs[-1] for node in model.graph.nodes]
    random.shuffle(tensors)
    for tensor in tensors:
        value, known = np.asarray(values[tensor.name]), ranges[tensor]
        assert known == ValueRanges(model)[tensor]
        if known.finite:
            assert np.isfinite(value).all(), (tensor.name, known)
        numbers = [n.item() for n in value[~np.isnan(value)]] if value.dtype.kind == "f" else value.ravel().tolist()
        assert all(known.low <= n <= known.high for n in numbers), (tensor.name, known, value)
        assert uniform[tensor] == Uniformity(model)[tensor]
        for axis in uniform[tensor].axes:
            first = value.take([0], axis)
            assert ((value == first) | ((value != value) & (first != first))).all(), (tensor.name, axis, value)


# ------------------------------------------------------------------------------------------------ what masks need


def parsed(text: str):
    """A model that is written as text."""
    model = from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {text}'))
    shapes.infer(model)
    return model


def last(text: str, analysis=ValueRanges):
    """What an analysis says of the last value of a graph that is written as text."""
    model = parsed(text)
    return model.facts(analysis)[model.graph.nodes[-1].outputs[0]]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("bool", "v = Range(n0, length, n1) out = GreaterOrEqual(v, n0)", (1, 1)),
        ("bool", "v = Range(n1, length, n1) out = LessOrEqual(v, n0)", (0, 0)),
        ("bool", "v = Range(n0, length, n1) out = GreaterOrEqual(v, n1)", (0, 1)),
        ("float", "v = Cast<to=1>(c) w = Sub(one, v) out = Mul(w, far)", (-1e4, 0)),
        ("float", "v = Cast<to=1>(c) w = Sub(v, one) out = Mul(w, far)", (0, 1e4)),
        ("float", "out = Where(c, one, far)", (-1e4, 1)),
        ("float", "t = Where(yes, one, far) out = Add(t, far)", (-9999, -9999)),
    ],
)
def test_bounds_of_mask_arithmetic(kind, body, expected):
    found = last(
        f"""g (bool[2,4] c, int64 length) => ({kind}[] out) <int64 n0 = {{0}}, int64 n1 = {{1}}, float one = {{1}},
            float far = {{-10000}}, bool yes = {{1}}> {{ {body} }}"""
    )
    assert (found.low, found.high, found.finite) == (*expected, True)


def test_a_cast_to_a_type_that_numpy_names():
    model = parsed("g (int64[2,4] x) => (float[] out) { b = Cast<to=9>(x) out = Cast<to=1>(b) }")
    cast = model.graph.nodes[-1]
    cast.attrs["to"] = np.float32
    assert model.facts(ValueRanges)[cast.outputs[0]][:2] == (0, 1)


def test_a_square_keeps_what_is_known_of_its_root():
    body = "<float low = {LOW}, float three = {3}> { h = Where(c, low, three) out = Mul(h, h) }"
    graph = f"g (bool[2] c) => (float[2] out) {body}"
    assert last(graph.replace("LOW", "2"))[:2] == (4, 9)
    assert last(graph.replace("LOW", "-2"))[:2] == (0, 9)


@pytest.mark.parametrize("square", ["d = Mul(h, h)", "d = Pow(h, two)"])
def test_a_quotient_by_a_deviation_is_finite(square):
    text = """g (int64[2,4] i) => (float[] out) <float two = {2}, float small = {1e-5}, float none = {0}>"""
    body = f"h = Cast<to=1>(i) {square} v = ReduceMean(d) e = Add(v, small) s = Sqrt(e) out = Div(h, s)"
    assert last(f"{text} {{ {body} }}").finite
    assert not last(f"{text} {{ {body.replace('small', 'none')} }}").finite
    assert not last(f"{text} {{ {body.replace('Add', 'Sub')} }}").finite


@pytest.mark.parametrize(
    "body",
    [
        "out = Add(x, far)",
        "t = Add(far, far) out = Mul(t, far)",
        "out = Where(c, x, far)",
        "out = Pad(x, pads)",
        "out = Trilu(x)",
    ],
)
def test_what_may_be_infinite(body):
    text = "g (bool[2,4] c, float[2,4] x) => (float[] out) <float far = {-3.4e38}, int64[4] pads = {0, 0, 0, 1}>"
    assert not last(f"{text} {{ {body} }}").finite


@pytest.mark.parametrize(
    ("body", "axes"),
    [
        ("out = Expand(c, square)", {-3, -2}),
        ("e = Expand(c, square) out = And(e, causal)", {-3}),
        ("e = Expand(c, square) out = Transpose<perm=[0,1,3,2]>(e)", {-3, -1}),
        ("e = Expand(c, square) r = Reshape(e, heads) out = Not(r)", {-2}),
        ("out = And(c, causal)", {-3}),
    ],
)
def test_uniform_axes_of_masks(body, axes):
    text = f"""g (bool[2,1,1,4] c) => (bool[] out) <int64[4] square = {{2, 3, 4, 4}}, int64[3] heads = {{6, 4, 4}},
     bool[4,4] causal = {{1,0,0,0, 1,1,0,0, 1,1,1,0, 1,1,1,1}}> {{ {body} }}"""
    assert last(text, Uniformity).axes == axes


def test_same_arithmetic_of_the_same_is_the_same():
    text = """g (bool[2,4] c) => (float[2,4] out) <float zero = {0}, float nought = {0}, float far = {-10000}> {
    a = Where(c, zero, far) b = Where(c, nought, far) d = Where(c, far, zero) e = Cast<to=1>(c)
    out = Sum(a, b, d, e) }"""
    model = parsed(text)
    a, b, d, e = model.graph.nodes[-1].inputs
    numbers = model.facts(ValueNumbers)
    assert numbers[a] == numbers[b]
    assert len({numbers[t] for t in (a, d, e)}) == 3


def test_what_chance_makes_is_never_the_same():
    text = """g (float[2,4] x) => (float[2,4] out) { a = Bernoulli(x) b = Bernoulli(x) out = Sum(a, b) }"""
    model = parsed(text)
    a, b = model.graph.nodes[-1].inputs
    numbers = model.facts(ValueNumbers)
    assert numbers[a] != numbers[b]


# ------------------------------------------------------------------------------------------------- large constants


@pytest.mark.parametrize("number", [0.5, -np.inf, np.nan])
@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in a file"])
def test_a_constant_of_any_size_is_read_where_an_answer_hangs_on_it(tmp_path, number, stored):
    """A number at its very end counts too; behind a layer it is a weight, and nobody reads it."""
    text = (
        "g (int64[2] i, float[2,4] x) => (float[] y) <float[2,2] t = {1, 2, 3, 4}> { r = Gather(t, i) y = Add(r, r) }"
    )
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {text}')
    table = np.full((LARGEST // 1024 + 1, 1024), 0.25, np.float32)
    table[-1, -1] = number
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "t"))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    if stored:
        onnx.save(proto, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx") if stored else from_proto(proto)
    shapes.infer(model)
    known = model.facts(ValueRanges)[model.graph.outputs[0]]
    assert known.finite == (number == 0.5)
    assert not known.finite or (known.low, known.high) == (0.5, 1.0)


def test_a_weight_is_not_read(monkeypatch):
    text = """<ir_version: 9, opset_import: ["" : 20]> g (float[2,4] x) => (float[] y) <float[2,2] w = {1, 2, 3, 4}>
    { h = MatMul(x, w) y = Softmax(h) }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, LARGEST), np.float32), "w"))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    model = from_proto(proto)
    shapes.infer(model)
    monkeypatch.setattr("regraft.analysis.value_ranges._of_constant", None)
    known = model.facts(ValueRanges)[model.graph.outputs[0]]
    assert known[:2] == (0, 1)
    assert known.finite
