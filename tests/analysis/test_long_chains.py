"""What is known of a value does not depend on how far it must be looked for, nor on what was asked before."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from regraft import shapes
from regraft.analysis.affine_index import AffineIndices
from regraft.analysis.scalar_constants import ScalarConstants
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_numbering import ValueNumbers
from regraft.analysis.value_ranges import ValueRanges
from regraft.files.convert import from_proto
from regraft.idioms.attention import find_attentions
from regraft.idioms.mask_products import MaskProducts
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.passes.lower_where import LowerWhere
from regraft.passes.simplify_gather import SimplifyGather
from regraft.pipelines.pass_base import Context
from regraft.shapes.analysis import analyse
from regraft.verification.verify import snapshot

LENGTHS = [50, 200, 2000]
F32 = onnx.TensorProto.FLOAT
LEAST = float(np.finfo(np.float32).min)


def chain(start: str, ops: list[str], length: int, *, name: str = "n") -> tuple[list[onnx.NodeProto], str]:
    """`length` nodes in a row from `start`, of `ops` in turn; each is an operator, or one and its second input."""
    nodes, last = [], start
    for i, text in zip(range(length), itertools.cycle(ops), strict=False):
        op, *others = text.split()
        nodes.append(helper.make_node(op, [last, *others], [f"{name}{i}"]))
        last = f"{name}{i}"
    return nodes, last


def model_of(
    nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, list[Any]]], out: str, **constants: Any
) -> Model:
    proto = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(out, F32, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = from_proto(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
    shapes.infer(model)
    return model


def masked(length: int) -> Model:
    """A chain of Neg from a Where that holds -inf, chosen or not at its end."""
    nodes = [helper.make_node("Where", ["c", "x", "hides"], ["m"])]
    more, last = chain("m", ["Neg"], length)
    end = helper.make_node("Where", ["c", last, "zero"], ["y"])
    constants = {"hides": np.float32(-np.inf), "zero": np.float32(0), "one": np.float32(1)}
    nodes = [helper.make_node("Cast", ["i"], ["x"], to=F32), *nodes, *more, end]
    return model_of(
        nodes, {"c": (onnx.TensorProto.BOOL, [2, 4]), "i": (onnx.TensorProto.INT64, [2, 4])}, "y", **constants
    )


def orders(model: Model) -> list[list[Tensor]]:
    """Every value, in several orders."""
    tensors = [t for node in model.graph.nodes for t in node.outputs]
    shuffled = random.Random(0).sample(tensors, len(tensors))
    return [tensors, tensors[::-1], shuffled, [tensors[-1]]]


@pytest.mark.parametrize("length", LENGTHS)
def test_an_infinity_is_seen_from_any_distance(length):
    for order in orders(model := masked(length)):
        ranges = ValueRanges(model)
        assert not any(ranges[tensor].finite for tensor in order[:-1] if tensor.name.startswith(("n", "m")))
        assert not ranges[model.graph.outputs[0].inputs[0].inputs[1]].finite
    context = Context()
    LowerWhere().run(model, context)
    assert "Where" in {node.op for node in model.graph.nodes}
    assert any("infinite" in note for note in context.notes)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_finite_is_so_from_any_distance(length):
    ops = ["Neg", "Abs", "Relu", "Identity", "Max zero", "Mul one", "Tanh"]
    nodes, last = chain("x", ops, length)
    nodes = [
        helper.make_node("Cast", ["i"], ["x"], to=F32),
        *nodes,
        helper.make_node("Where", ["c", last, "zero"], ["y"]),
    ]
    inputs = {"c": (onnx.TensorProto.BOOL, [4]), "i": (onnx.TensorProto.INT64, [4])}
    model = model_of(nodes, inputs, "y", zero=np.float32(0), one=np.float32(1))
    answers = []
    for order in orders(model):
        ranges = ValueRanges(model)
        found = {tensor.name: ranges[tensor] for tensor in order}
        answers.append(found)
        assert all(known.finite for known in found.values())
    assert answers[0] == answers[1] == answers[2]
    given = {"c": np.array([1, 0, 1, 0], bool), "i": np.array([-3, 2, 2**53, -(2**53)])}
    before = snapshot(model, given)
    LowerWhere().run(model, Context())
    assert "Where" not in {node.op for node in model.graph.nodes}
    np.testing.assert_array_equal(snapshot(model, given)["y"], before["y"])


@pytest.mark.parametrize("length", LENGTHS)
def test_a_mask_is_the_same_in_all_rows_from_any_distance(length):
    nodes, last = chain("e", ["Neg", "Abs", "Add one"], length)
    nodes = [helper.make_node("Cast", ["c"], ["f"], to=F32), helper.make_node("Expand", ["f", "shape"], ["e"]), *nodes]
    inputs = {"c": (onnx.TensorProto.BOOL, [2, 1, 4])}
    model = model_of(nodes, inputs, last, shape=np.array([2, 5, 4]), one=np.float32([[1, 2, 3, 4]]))
    for order in orders(model):
        uniform = Uniformity(model)
        assert all(uniform[tensor].axes == {-2} for tensor in order)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_number_is_known_from_any_distance(length):
    nodes, last = chain("eight", ["Sqrt", "Mul eight", "Div eight", "Neg", "Neg", "Reshape flat", "Squeeze"], length)
    nodes.append(helper.make_node("Mul", ["x", last], ["y"]))
    model = model_of(nodes, {"x": (F32, [4])}, "y", eight=np.float32(64), flat=np.array([1]))
    expected = snapshot(model, {"x": np.ones(4, np.float32)})["y"][0]
    for order in orders(model):
        numbers = ScalarConstants(model)
        for tensor in order:
            numbers[tensor]
        assert numbers[model.graph.nodes[-1].inputs[1]] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_places_are_counted_from_any_distance(length):
    nodes, last = chain(
        "r", ["Add one", "Sub one", "Mul one", "Identity", "Unsqueeze first", "Squeeze first"], length * 2
    )
    nodes = [helper.make_node("Range", ["zero", "three", "one"], ["r"]), *nodes]
    nodes.append(helper.make_node("Gather", ["x", last], ["y"]))
    constants = {"zero": np.array(0), "one": np.array(1), "three": np.array(3), "first": np.array([0])}
    nodes[0] = helper.make_node("Range", ["zero", "size", "one"], ["r"])
    nodes.insert(0, helper.make_node("Squeeze", ["dims", "first"], ["size"]))
    nodes.insert(0, helper.make_node("Shape", ["x"], ["dims"]))
    model = model_of(nodes, {"x": (F32, ["n"])}, "y", **constants)
    for order in orders(model):
        indices = AffineIndices(model)
        for tensor in order:
            indices[tensor]
        index = indices[model.graph.nodes[-1].inputs[1]]
        assert index is not None
        assert index.start == 0
        assert index.steps == (1,)
    SimplifyGather().run(model, Context())
    assert "Gather" not in {node.op for node in model.graph.nodes}


@pytest.mark.parametrize("length", LENGTHS)
def test_whole_numbers_are_told_from_any_distance(length):
    nodes, last = chain("f", ["Add one", "Mul one", "Identity", "Sub one"], length)
    nodes = [helper.make_node("Cast", ["i"], ["f"], to=F32), *nodes, helper.make_node("Add", [last, "half"], ["y"])]
    inputs = {"i": (onnx.TensorProto.INT64, [4])}
    model = model_of(nodes, inputs, "y", one=np.float32(1), half=np.float32(0.5))
    for order in orders(model):
        gates = MaskProducts(ValueNumbers(model), ValueRanges(model))
        assert [gates._whole[t] for t in order] == [t.name != "y" for t in order]


@pytest.mark.parametrize("length", [1, 20, 200, 1000])
def test_attention_is_found_over_any_distance(length):
    """Scales, biases and views between the products, and between the layers and the products."""
    heads: Callable[[str], list[onnx.NodeProto]] = lambda name: [  # noqa: E731
        helper.make_node("MatMul", ["x", f"w{name}"], [name]),
        helper.make_node("Reshape", [name, "split"], [f"{name}s"]),
        helper.make_node("Transpose", [f"{name}s"], [f"{name}h"], perm=[0, 2, 1, 3]),
    ]
    nodes = [node for name in "qkv" for node in heads(name)]
    far, query = chain("qh", ["Mul two", "Div two"], length * 2, name="far")
    nodes += [*far, helper.make_node("Transpose", ["kh"], ["kt"], perm=[0, 1, 3, 2])]
    nodes.append(helper.make_node("MatMul", [query, "kt"], ["scores"]))
    more, last = chain("scores", ["Mul two", "Add bias", "Div two", "Identity"], length * 4)
    nodes += [*more, helper.make_node("Softmax", [last], ["p"], axis=-1)]
    after, weights = chain("p", ["Identity", "Mul gate"], length * 2, name="p")
    nodes += [*after, helper.make_node("MatMul", [weights, "vh"], ["y"])]
    rng = np.random.default_rng(0)
    constants = {f"w{name}": rng.normal(size=(8, 8)).astype(np.float32) for name in "qkv"}
    constants |= {
        "two": np.float32(2),
        "bias": np.ones((1, 1, 1, 3), np.float32),
        "gate": np.ones((1, 1, 1, 3), np.float32),
    }
    model = model_of(nodes, {"x": (F32, [1, 3, 8])}, "y", split=np.array([0, 0, 2, 4]), **constants)
    (found,) = find_attentions(model.graph, analyse(model))
    assert found.scale == pytest.approx(1)
    assert len(found.biases) == len(found.gates) == length
    assert [operand.projection.outputs[0].name for operand in (found.q, found.k, found.v)] == ["q", "k", "v"]


def test_each_value_is_looked_at_once_whatever_is_asked(monkeypatch):
    looked: list[Tensor] = []
    step = ValueRanges.step

    def counting(ranges, tensor):
        looked.append(tensor)
        return step(ranges, tensor)

    monkeypatch.setattr(ValueRanges, "step", counting)
    model = masked(2000)
    ranges = ValueRanges(model)
    for order in orders(model):
        for tensor in order:
            ranges[tensor]
    assert len(looked) == len(set(looked)) <= len(model.graph.nodes) + 5


RISKY = {  # what makes an infinity or NaN of finite numbers, x whole and y a layer's
    "Log": "b = Log(x)",
    "Log of what a layer gives": "b = Log(y)",
    "Sqrt below zero": "b = Sqrt(x)",
    "division by what may be zero": "b = Div(y, x)",
    "division of zero": "b = Div(zero, x)",
    "Reciprocal": "b = Reciprocal(x)",
    "Exp": "b = Exp(x)",
    "Pow": "b = Pow(x, half)",
    "Pow below zero": "k = Neg(one) b = Pow(x, k)",
    "Tan": "b = Tan(y)",
    "Atanh": "b = Atanh(x)",
    "Acos": "b = Acos(x)",
    "Sinh": "b = Sinh(x)",
    "cubes of large whole numbers": "d = Mul(x, x) b = Mul(d, d)",
    "Softmax of -inf": "m = Where(c, least, far) t = Add(m, m) b = Softmax(t)",
    "overflow of a sum": "b = Add(least, least)",
    "overflow of a Sum": "b = Sum(least, y, least)",
    "overflow of a product": "b = Mul(least, x)",
    "overflow of a Cast": "h = Cast<to=10>(x) b = Cast<to=1>(h)",
    "NaN through Max": "l = Log(x) b = Max(l, zero)",
    "NaN through Min": "l = Log(x) b = Min(l, zero)",
    "NaN through Clip": "l = Sqrt(x) b = Clip(l, zero, one)",
    "NaN through Relu": "l = Log(x) b = Relu(l)",
    "an infinity that Relu keeps": "e = Exp(x) b = Relu(e)",
    "infinity through a layer": "l = Log(x) b = MatMul(l, w)",
    "infinity through a Split": "l = Log(x) a, b = Split<axis=1, num_outputs=2>(l)",
    "infinity through a LayerNormalization": "l = Log(x) b = LayerNormalization(l, g)",
    "padding with -inf": "b = Pad(x, pads, hides)",
    "an If": "l = Log(x) b = If (t) <then_branch = p () => (float[2,4] o) { o = Identity(x) }, "
    "else_branch = q () => (float[2,4] u) { u = Identity(l) }>",
    "a Loop": "b = Loop (n, t, x) <body = k (int64 i, bool go, float[2,4] s) => (bool on, float[2,4] u) "
    "{ on = Identity(go) u = Mul(s, s) }>",
    "a mean of large numbers": "m = Where(c, least, least) b = ReduceMean<keepdims=1>(m)",
    "products of elements": "b = ReduceProd<keepdims=1>(x)",
    "scattered products": 'b = ScatterElements<axis=1, reduction="mul">(x, places, x)',
    "Mod": "b = Mod<fmod=1>(x, x)",
    "LogSumExp": "b = ReduceLogSumExp<keepdims=1>(x)",
    "noise": "b = RandomNormalLike(x)",
    "an operator of another domain": "b = other.Op(x)",
}


@pytest.mark.parametrize("body", RISKY.values(), ids=RISKY)
def test_a_where_stays_whose_branch_may_be_no_number(body):
    text = f"""<ir_version: 9, opset_import: ["" : 20, "other" : 1]>
    g (int64[2,4] i, float[2,4] raw, bool[2,4] c, bool t) => (float[] z)
    <float zero = {{0}}, float one = {{1}}, float half = {{0.5}}, float far = {{-10000}}, float least = {{{LEAST}}},
     float[4,4] w = {{{",".join("1" * 16)}}}, float[4] g = {{1,1,1,1}}, int64 n = {{9}}, int64[4] pads = {{0,0,0,1}},
     int64[2,4] places = {{0,0,0,0,1,1,1,1}}, float hides = {{0}}>
    {{ x = Cast<to=1>(i) y = MatMul(raw, w) {body} choice = Cast<to=9>(b) z = Where(choice, b, zero) }}"""
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for tensor in proto.graph.initializer:
        if tensor.name == "hides":
            tensor.CopyFrom(numpy_helper.from_array(np.float32(-np.inf), "hides"))
    model = from_proto(proto)
    context = Context()
    LowerWhere().run(model, context)
    kept = [node for node in model.graph.nodes if node.op == "Where" and node.outputs[0].name == "z"]
    assert kept, [node.op for node in model.graph.nodes]
    assert any("infinite" in note for note in context.notes)


def test_an_einsum_of_one_large_constant_has_a_range_too():
    node = helper.make_node("Einsum", ["table"], ["y"], equation="ij->ji")
    model = model_of([node], {"x": (F32, [1])}, "y", table=np.ones((300, 300), np.float32))
    assert model.facts(ValueRanges)[model.graph.outputs[0]].finite
