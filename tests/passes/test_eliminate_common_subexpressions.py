from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft
from regraft.ir.graph import Constant, Graph, Node, Variable
from regraft.ir.model import Model
from regraft.passes.eliminate_common_subexpressions import EliminateCommonSubexpressions
from regraft.passes.eliminate_dead_code import EliminateDeadCode

# nodes that compute a and b from x; y = Sub(a, b)
ONE = {
    "equal": "a = Exp(x) b = Exp(x)",
    "operands": "n = Neg(x) a = Add(x, n) b = Add(n, x)",
    "chain": "c = Neg(x) d = Neg(x) a = Exp(c) b = Exp(d)",
    "attributes": "a = Softmax<axis=1>(x) b = Softmax<axis=1>(x)",
    "constants": "c = Constant<value_float=1.5>() d = Constant<value_float=1.5>() a = Mul(x, c) b = Mul(x, d)",
    "tensors": "c = Constant<value=float[1] {2}>() d = Constant<value=float[1] {2}>() a = Mul(x, c) b = Mul(x, d)",
    "no-input": 'a = Clip(x, "", one) b = Clip(x, "", one)',
    "one-of-two-outputs": "a, c = Split<num_outputs=2, axis=0>(x) b, d = Split<num_outputs=2, axis=0>(x)",
}
TWO = {
    "operator": "a = Exp(x) b = Sin(x)",
    "input": "n = Neg(x) a = Exp(x) b = Exp(n)",
    "order": "n = Neg(x) a = Sub(x, n) b = Sub(n, x)",
    "order-of-three": "n = Neg(x) e = Exp(x) a = Sum(x, n, e) b = Sum(e, n, x)",
    "attributes": "a = Softmax<axis=1>(x) b = Softmax<axis=0>(x)",
    "default": "a = Softmax<axis=1>(x) b = Softmax(x)",
    "zeros": "c = Constant<value_float=0.0>() d = Constant<value_float=-0.0>() a = Mul(x, c) b = Mul(x, d)",
    "tensor-type": "c = Constant<value=int32[1] {2}>() d = Constant<value=int64[1] {2}>() a = Pow(x, c) b = Pow(x, d)",
    "tensor-value": "c = Constant<value=float[1] {2}>() d = Constant<value=float[1] {3}>() a = Mul(x, c) b = Mul(x, d)",
    "omitted-input": 'a = Clip(x, "", one) b = Clip(x, one)',
    "random": "a = RandomNormalLike<seed=1.0>(x) b = RandomNormalLike<seed=1.0>(x)",
    "bernoulli": "p = Sigmoid(x) a = Bernoulli<seed=1.0>(p) b = Bernoulli<seed=1.0>(p)",
}


def model_of(parse, nodes):
    return parse(f"g (float[2,2] x) => (float y) <float one = {{1}}> {{ {nodes} y = Sub(a, b) }}")


@pytest.mark.parametrize("nodes", ONE.values(), ids=ONE)
def test_equal_nodes_become_one(parse, apply, nodes):
    model = model_of(parse, nodes)
    apply(model, EliminateCommonSubexpressions())
    left, right = model.graph.nodes[-1].inputs
    assert left is right


@pytest.mark.parametrize("nodes", TWO.values(), ids=TWO)
def test_other_nodes_stay_two(parse, nodes):
    model, context = model_of(parse, nodes), regraft.Context()
    EliminateCommonSubexpressions().run(model, context)
    assert not context.changes


def test_dropout_stays(parse):
    nodes = "y = Dropout(x, r, t) z = Dropout(x, r, t)"
    model = parse(f"g (float[2] x) => (float[2] y, float[2] z) <float r = {{0.5}}, bool t = {{1}}> {{ {nodes} }}")
    context = regraft.Context()
    EliminateCommonSubexpressions().run(model, context)
    assert not context.changes


@pytest.mark.parametrize("equal", [True, False])
def test_large_tensors_are_compared_by_value(equal):
    values = np.arange(5000, dtype=np.float32)
    other = values.copy()
    other[3000] += 0 if equal else 1  # outside the sampled blocks
    made = [Variable(name, np.float32, (5000,)) for name in ("a", "b", "y")]
    nodes = [
        Node("Constant", "a", {"value": Constant("a", values)}, [], [made[0]]),
        Node("Constant", "b", {"value": Constant("b", other)}, [], [made[1]]),
        Node("Sub", "y", {}, made[:2], [made[2]]),
    ]
    model = Model(Graph(nodes, [], made[2:], name="g", opset=20))
    EliminateCommonSubexpressions().run(model, regraft.Context())
    assert len(model.graph.nodes) == (2 if equal else 3)


@pytest.mark.parametrize(
    ("text", "ops"),
    [
        ("y = Exp(x) z = Exp(x)", ["Exp", "Identity"]),
        ("a = Exp(x) z = Exp(x) y = Neg(a)", ["Exp", "Neg"]),
        ("y = Identity(x) z = Identity(x)", ["Identity", "Identity"]),
    ],
)
def test_outputs_keep_their_names(parse, apply, text, ops):
    model = parse(f"g (float[2] x) => (float[2] y, float[2] z) {{ {text} }}")
    assert apply(model, EliminateCommonSubexpressions()).ops == ops
    assert [t.name for t in model.graph.outputs] == ["y", "z"]


def test_a_node_serves_bodies_and_not_the_other_way(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y, float[2] z) {
            a = Exp(x)
            p = If(c) <then_branch = t () => (float[2] u) { b = Exp(x) d = Sin(x) e = Cos(x) u = Sum(b, d, e) },
                       else_branch = f () => (float[2] v) { e = Cos(x) v = Neg(e) }>
            z = Sin(x)
            y = Add(p, a)
        }"""
    )
    apply(model, EliminateCommonSubexpressions())
    assert sorted(node.op for node in model.nodes()) == ["Add", "Cos", "Cos", "Exp", "If", "Neg", "Sin", "Sin", "Sum"]


def test_an_equal_node_that_is_the_output_of_a_body(parse, apply):
    model = parse(
        """g (float[2] x, bool c) => (float[2] y, float[2] a) {
            a = Exp(x)
            y = If(c) <then_branch = t () => (float[2] u) { u = Exp(x) },
                       else_branch = e () => (float[2] v) { v = Neg(x) }>
        }"""
    )
    apply(model, EliminateCommonSubexpressions())
    assert sorted(node.op for node in model.nodes()) == ["Exp", "Identity", "If", "Neg"]


def test_ifs_stay(parse):
    branches = "<then_branch = t () => (float[2] u) { u = Exp(x) }, else_branch = e () => (float[2] v) { v = Neg(x) }>"
    text = f"g (float[2] x, bool c) => (float[2] y) {{ a = If(c) {branches} b = If(c) {branches} y = Add(a, b) }}"
    model, context = parse(text), regraft.Context()
    EliminateCommonSubexpressions().run(model, context)
    assert not context.changes


def test_references_to_attributes_are_compared_by_name(parse, apply):
    model = parse(
        """g (float[2,2] x) => (float[2,2] y) { y = local.f<p=0, q=1>(x) }
        <domain: "local", opset_import: ["" : 21]> f<p, q>(a) => (b) {
            c = Softmax<axis: int = @p>(a) d = Softmax<axis: int = @q>(a) e = Softmax<axis: int = @p>(a)
            b = Sum(c, d, e) }"""
    )
    assert len(apply(model, EliminateCommonSubexpressions()).changes) == 1


OPS = st.sampled_from(["Add", "Mul", "Sub", "Max"])
DAGS = st.lists(st.tuples(OPS, st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=25)


@settings(max_examples=40)
@given(dag=DAGS, ends=st.sets(st.integers(0, 24), min_size=1, max_size=4))
def test_random_graphs_keep_every_bit(apply, dag, ends):
    values = [Variable(name, np.float32, (3,)) for name in ("x", "y")]
    inputs, nodes = values[:], []
    for i, (op, left, right) in enumerate(dag):
        out = Variable(f"v{i}", np.float32, (3,))
        nodes.append(Node(op, f"n{i}", {}, [values[left % len(values)], values[right % len(values)]], [out]))
        values.append(out)
    outputs = [values[2 + i] for i in sorted({end % len(dag) for end in ends})]
    model = Model(Graph(nodes, inputs, outputs, name="g", opset=20))
    apply(model, EliminateCommonSubexpressions())
    apply(model, EliminateDeadCode())
    keys = [(n.op, *sorted(map(id, n.inputs))) for n in model.graph.nodes if n.op in ("Add", "Mul")]
    assert len(keys) == len(set(keys))
