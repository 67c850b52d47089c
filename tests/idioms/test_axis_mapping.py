"""What a view says of the axes of a value is held against the arrays."""

from __future__ import annotations

import math

import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from regraft import shapes
from regraft.files.convert import from_proto
from regraft.idioms.axis_mapping import Axis, leaves, regroup, trace
from regraft.regions.numbers import number
from regraft.shapes.dims import symbol
from regraft.verification.verify import snapshot


@st.composite
def chains(draw):
    """A shape, and Reshapes and Transposes that are possible one after another."""
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4))
    steps, current = [], list(shape)
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            perm = draw(st.permutations(range(len(current))))
            current = [current[place] for place in perm]
            steps.append(("Transpose", list(perm)))
        else:
            current = draw(regrouped(current))
            steps.append(("Reshape", current))
    return shape, steps


@st.composite
def regrouped(draw, shape):
    """Another shape of as many elements: neighbours merged, or one axis split, or an axis of one put in."""
    shape, place = list(shape), draw(st.integers(0, len(shape) - 1))
    kind = draw(st.sampled_from(["merge", "split", "one"]))
    if kind == "merge" and place + 1 < len(shape):
        return [*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]]
    if kind == "split":
        inner = draw(st.sampled_from([d for d in range(1, shape[place] + 1) if shape[place] % d == 0]))
        return [*shape[:place], shape[place] // inner, inner, *shape[place + 1 :]]
    return [*shape[:place], 1, *shape[place:]]


@given(chains())
@settings(max_examples=150, deadline=None)
def test_axes_say_how_to_make_the_value(chain):
    shape, steps = chain
    model = model_of(shape, steps)
    view = trace(model.graph.outputs[0], shapes.analyse(model))
    source = np.arange(math.prod(shape)).reshape(shape)
    expected = source
    for op, argument in steps:
        expected = expected.transpose(argument) if op == "Transpose" else expected.reshape(argument)
    if view.source is not model.graph.inputs[0]:  # it was not told how the axes are regrouped
        return
    fine = leaves(axis for group in view.axes[0] for axis in group)
    wanted = [leaf for group in view.axes[-1] for leaf in leaves(group)]
    inside = [leaf for leaf in wanted if leaf in fine]
    assert all(leaf.size == 1 for leaf in {*wanted, *fine} - {*inside})
    kept = [leaf for leaf in fine if leaf in inside]
    moved = source.reshape([leaf.size for leaf in kept]).transpose([kept.index(leaf) for leaf in inside])
    assert np.array_equal(moved.reshape(expected.shape), expected)


def model_of(shape, steps):
    nodes, constants, last = [], [], "x"
    for number_, (op, argument) in enumerate(steps):
        name = f"y{number_}"
        if op == "Transpose":
            nodes.append(helper.make_node(op, [last], [name], perm=argument))
        else:
            constants.append(numpy_helper.from_array(np.array(argument, np.int64), f"s{number_}"))
            nodes.append(helper.make_node(op, [last, f"s{number_}"], [name]))
        last = name
    given_ = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        nodes, "g", [given_], [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], constants
    )
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


B, S = symbol("batch"), symbol("seq")


@pytest.mark.parametrize(
    ("shape", "target", "groups"),
    [
        ([B, S, 64], [B, S, 4, 16], [1, 1, 1, 1]),
        ([B * S, 64], [B, S, 64], [1, 1, 1]),
        ([B, S, 64], [B * S, 64], [2, 1]),
        ([B, 4, S, 16], [B * 4, S, 16], [2, 1, 1]),
        ([S, B], [B, S], None),
        ([4, 6], [6, 4], None),
        ([1, 8], [8], [2]),
        ([8], [1, 8, 1], [1, 1, 1]),
    ],
)
def test_regrouping(shape, target, groups):
    made = regroup([[Axis(size)] for size in shape], target)
    assert (made if made is None else [len(leaves(group)) for group in made]) == groups
    if made is not None:
        assert [math.prod(leaf.size for leaf in leaves(group)) for group in made] == target


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("y = Sqrt(four)", 2.0),
        ("s = Shape(x) i = Gather(s, one) f = Cast<to=1>(i) r = Sqrt(f) y = Div(unit, r)", 1 / 3),
        ("s = Shape(x) f = Cast<to=1>(s) y = Sqrt(f)", None),
        ("z = ConstantOfShape<value=float[1]{2.5}>(shape) y = Mul(z, four)", 10.0),
        ("y = Relu(x)", None),
        ("e = Expand(four, shape) y = Pow(e, half)", 2.0),
    ],
)
def test_numbers(body, value):
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[n,9] x) => (y)
    <float four = {{4}}, float unit = {{1}}, float half = {{0.5}}, int64 one = {{1}}, int64[2] shape = {{2,3}}>
    {{ {body} }}"""
    model = from_proto(onnx.parser.parse_model(text))
    found = number(model.graph.nodes[-1].outputs[0], shapes.analyse(model))
    assert found == (None if value is None else pytest.approx(value))
    if value is not None:
        made = snapshot(model, {"x": np.zeros((2, 9), np.float32)})["y"]
        assert np.allclose(made, value)
