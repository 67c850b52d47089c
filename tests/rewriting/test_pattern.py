"""The pattern engine on small graphs: every order, bracketing and place of a constant, and what must not match."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from regraft.files.convert import from_proto
from regraft.ir.graph import Node
from regraft.ir.schema import kind
from regraft.rewriting.matcher import Matcher
from regraft.rewriting.pattern import Pattern, shown
from regraft.rewriting.term import constant, either, number, op, trace


class Sketch:
    """A graph written down operator by operator; the last value is its output."""

    def __init__(self, dtype: str = "float32", opset: int = 20):
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.dtype, self.opset = np.dtype(dtype) if dtype != "bfloat16" else dtype, opset
        self.outputs: list[str] = []

    def __call__(self, op_type: str, *inputs: str, **attrs) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=f"{op_type}_{len(self.nodes)}", **attrs))
        return name

    def number(self, value: float, how: str = "initializer", shape: tuple[int, ...] = ()) -> str:
        name = f"c{len(self.initializers)}_{len(self.nodes)}"
        tensor = numpy_helper.from_array(np.full(shape, value, self.dtype), name)
        if how == "node":
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor, name=name))
        else:
            self.initializers.append(tensor)
        return name

    def graph(self, *outputs: str):
        code = helper.np_dtype_to_tensor_dtype(self.dtype)
        infos = [helper.make_tensor_value_info(n, code, [2, 4]) for n in ("x", "y")]
        results = [helper.make_tensor_value_info(n, code, None) for n in outputs]
        graph = helper.make_graph(self.nodes, "g", infos, results, self.initializers)
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset), helper.make_opsetid("acme", 1)]
        )
        return from_proto(onnx.shape_inference.infer_shapes(proto)).graph


def found(function, graph) -> list[dict]:
    """What the pattern binds, at every node where it matches."""
    pattern, matcher = Pattern(trace(function)), Matcher(graph)
    matches = (next(matcher.match(pattern, node), None) for node in graph.nodes if kind(node) in pattern.roots)
    return [match.values for match in matches if match is not None]


def gelu(x):
    return 0.5 * x * (1 + op.Erf(x / math.sqrt(2)))


FACTORS = ("x", "half", "bracket")


@pytest.mark.parametrize("order", list(itertools.permutations(FACTORS)))
@pytest.mark.parametrize("left_first", [True, False])
@pytest.mark.parametrize("how", ["initializer", "node"])
@pytest.mark.parametrize("divides", [True, False])
def test_a_product_matches_in_every_order_and_bracketing(order, left_first, how, divides):
    s = Sketch()
    scaled = s("Div", "x", s.number(math.sqrt(2), how)) if divides else s("Mul", s.number(math.sqrt(0.5), how), "x")
    bracket = s("Add", s.number(1, how), s("Erf", scaled))
    a, b, c = ({"x": "x", "half": s.number(0.5, how), "bracket": bracket}[f] for f in order)
    out = s("Mul", s("Mul", a, b), c) if left_first else s("Mul", a, s("Mul", b, c))
    graph = s.graph(out)
    (values,) = found(gelu, graph)
    assert values["x"] is graph.inputs[0]


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 4), (1, 1)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_number_matches_any_filled_constant_of_any_float_type(shape, dtype):
    s = Sketch(dtype)
    assert found(lambda x: x * 0.044715, s.graph(s("Mul", "x", s.number(0.044715, shape=shape))))


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 1, 1)])
def test_a_constant_that_makes_the_result_larger_is_no_number(shape):
    s = Sketch()
    assert not found(lambda x: x * 0.5, s.graph(s("Mul", "x", s.number(0.5, shape=shape))))


@pytest.mark.parametrize(("value", "matches"), [(1.414214, True), (1.4142135, True), (1.4142, False), (1.5, False)])
def test_a_number_matches_within_what_exporters_round_to(value, matches):
    s = Sketch()
    assert bool(found(lambda x: x / math.sqrt(2), s.graph(s("Div", "x", s.number(value))))) is matches


def test_several_numbers_in_a_product_are_one():
    s = Sketch()
    out = s("Mul", s("Div", s("Mul", "x", s.number(3)), s.number(4)), s.number(2))
    assert found(lambda x: 1.5 * x, s.graph(out))


def test_a_difference_is_a_sum_and_a_negation_a_product():
    s = Sketch()
    assert found(lambda x: x + 2, s.graph(s("Sub", "x", s.number(-2))))
    s = Sketch()
    assert found(lambda x: x * -3, s.graph(s("Mul", s("Neg", "x"), s.number(3))))


def test_subtraction_and_division_do_not_commute():
    s = Sketch()
    graph = s.graph(s("Sub", "x", "y"))
    assert found(lambda a, b: a - b, graph)[0]["a"] is graph.inputs[0]
    s = Sketch()
    assert not found(lambda x: 2.0 / x, s.graph(s("Div", "x", s.number(2))))
    assert not found(lambda x: x - op.Neg(x), s.graph(s("Sub", s("Neg", "x"), "x")))


@pytest.mark.parametrize("swapped", [True, False])
def test_commutative_operators_match_both_ways(swapped):
    s = Sketch()
    pair = ("x", s("Exp", "y"))
    assert found(lambda x, y: op.Max(x, op.Exp(y)), s.graph(s("Max", *(pair[::-1] if swapped else pair))))


def test_one_variable_is_one_value():
    s = Sketch()
    assert not found(lambda x: x * op.Tanh(x), s.graph(s("Mul", "x", s("Tanh", "y"))))
    s = Sketch()
    assert found(lambda x: x * op.Tanh(x), s.graph(s("Mul", s("Identity", "x"), s("Tanh", "x"))))


@pytest.mark.parametrize("between", ["Identity", "Cast", "Dropout"])
def test_nodes_that_change_nothing_are_seen_through(between):
    s = Sketch()
    attrs = {"to": TensorProto.FLOAT} if between == "Cast" else {}
    inner = s(between, s("Erf", s(between, "x", **attrs)), **attrs)
    graph = s.graph(s("Add", inner, s.number(1)))
    (values,) = found(lambda x: 1 + op.Erf(x), graph)
    assert values["x"] is graph.inputs[0]


def test_nodes_that_change_something_are_not():
    s = Sketch()
    assert not found(lambda x: op.Tanh(op.Erf(x)), s.graph(s("Tanh", s("Cast", s("Erf", "x"), to=TensorProto.DOUBLE))))
    s = Sketch()
    true = numpy_helper.from_array(np.array(True), "training")
    s.initializers.append(true)
    dropped = s("Dropout", s("Erf", "x"), "", "training")
    assert not found(lambda x: op.Tanh(op.Erf(x)), s.graph(s("Tanh", dropped)))


@pytest.mark.parametrize("opset", [11, 13, 18, 20])
def test_an_attribute_is_found_also_where_the_opset_makes_it_an_input(opset):
    s = Sketch(opset=opset)
    if opset >= 18:
        s.initializers.append(numpy_helper.from_array(np.array([-1], np.int64), "axes"))
        mean = s("ReduceMean", "x", "axes")
    else:
        mean = s("ReduceMean", "x", axes=[-1])
    graph = s.graph(mean)
    assert found(lambda x, a: op.ReduceMean(x, axes=a, keepdims=1), graph)[0]["a"] == [-1]
    assert found(lambda x: op.ReduceMean(x, axes=[-1]), graph)
    assert not found(lambda x: op.ReduceMean(x, axes=[0]), graph)
    assert not found(lambda x: op.ReduceMean(x, axes=[-1], keepdims=0), graph)


def test_constants_and_numbers_are_bound_as_such():
    s = Sketch()
    s.initializers.append(numpy_helper.from_array(np.arange(4, dtype=np.float32), "w"))
    graph = s.graph(s("Add", s("Mul", "x", "w"), s.number(1e-5)))
    (values,) = found(lambda x, w, eps: x * constant(w) + number(eps), graph)
    assert values["w"].name == "w"
    assert values["eps"] == pytest.approx(1e-5)
    s = Sketch()
    assert not found(lambda x, w: op.Erf(x) * constant(w), s.graph(s("Mul", s("Erf", "x"), "y")))


def test_a_weight_of_ones_is_a_weight_and_a_bias_of_zeros_a_bias():
    s = Sketch()
    graph = s.graph(s("Add", s("Mul", s("Erf", "x"), s.number(1, shape=(4,))), s.number(0, shape=(4,))))
    (values,) = found(lambda x, w, b: op.Erf(x) * constant(w) + constant(b), graph)
    assert values["w"].shape == (4,)
    assert values["b"].shape == (4,)


def test_either_takes_the_option_that_fits():
    def square(x):
        return either(x**2.0, x * x)

    for write in (lambda s: s("Pow", "x", s.number(2)), lambda s: s("Mul", "x", "x")):
        s = Sketch()
        assert found(square, s.graph(write(s)))
    s = Sketch()
    assert not found(square, s.graph(s("Mul", "x", "y")))


def test_a_value_that_is_not_the_first_output_does_not_match():
    s = Sketch(opset=18)
    s.nodes.append(helper.make_node("Split", ["x"], ["a", "b"], num_outputs=2, axis=1, name="split"))
    assert not found(lambda x: op.Tanh(op.Split(x, num_outputs=2)), s.graph(s("Tanh", "b")))


def test_a_domain_of_its_own_is_another_operator():
    s = Sketch()
    graph = s.graph(s("Erf", "x", domain="acme"))
    assert not found(lambda x: op.Erf(x), graph)
    assert found(lambda x: op["acme"].Erf(x), graph)


def test_misses_tell_what_stopped_the_match():
    s = Sketch()
    out = s(
        "Mul", s("Mul", "x", s.number(0.25)), s("Add", s("Erf", s("Div", "x", s.number(math.sqrt(2)))), s.number(1))
    )
    graph = s.graph(out)
    misses = []
    assert next(Matcher(graph, misses).match(Pattern(trace(gelu)), graph.nodes[-1]), None) is None
    best = max(misses, key=lambda miss: miss.matched)
    assert "0.5" in best.reason
    assert "0.25" in best.reason


def test_misses_name_every_option():
    s = Sketch()
    graph = s.graph(s("Tanh", s("Exp", "x")))
    misses = []
    pattern = Pattern(trace(lambda x: op.Tanh(op.PRelu(x, either(op.Erf(x), x * 2.0)))))
    assert next(Matcher(graph, misses).match(pattern, graph.nodes[-1]), None) is None
    assert shown(either(op.Erf(op.Exp(1.0)), Pattern(op.Exp(1.0) * 2.0).term)) == "Erf or a product"


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_tree_of_the_same_product_matches(data):
    """Leaves joined at random, extra factors of one strewn in, Identities between."""
    s = Sketch()
    bracket = s("Add", s("Erf", s("Mul", "x", s.number(math.sqrt(0.5)))), s.number(1))
    split = data.draw(st.floats(0.1, 10))
    parts = ["x", bracket, s.number(0.5 * split), s.number(1 / split)]
    while len(parts) > 1:
        a = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        b = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        joined = s("Mul", a, b)
        parts.append(s("Identity", joined) if data.draw(st.booleans()) else joined)
    last = next(n for n in reversed(s.nodes) if n.op_type == "Mul")
    assert found(gelu, s.graph(last.output[0]))


def test_the_work_at_a_node_does_not_grow_with_the_graph():
    """Steps of a search over a long chain of products, counted, not timed."""

    def steps(length: int) -> int:
        s = Sketch()
        value = "x"
        for _ in range(length):
            value = s("Mul", value, s.number(1.5))
        graph = s.graph(s("Erf", value))
        calls = 0
        matcher = Matcher(graph)
        inner = matcher.source

        def counted(tensor):
            nonlocal calls
            calls += 1
            return inner(tensor)

        matcher.source = counted
        pattern = Pattern(trace(gelu))
        for node in graph.nodes:
            if isinstance(node, Node) and node.op in pattern.roots:
                next(matcher.match(pattern, node), None)
        return calls

    assert steps(400) < 4.5 * steps(100)


def test_an_array_in_a_pattern_matches_nothing():
    s = Sketch()
    graph = s.graph(s("Add", "x", s.number(1, shape=(4,))))
    assert not found(lambda x: x + np.ones(4, np.float32), graph)
    assert not found(lambda x: op.Add(op.Exp(x), np.ones(4, np.float32)), graph)
