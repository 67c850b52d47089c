"""Passes that rewrite single nodes: what goes with a node, what is noted, weights that change while saving."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node
from regraft.ir.verifier import check
from regraft.ir.weights import Derived
from regraft.pipelines.pass_base import Context
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.conditions import is_read_once, readers_up_to
from regraft.rewriting.derive import own_weight, scaled, transposed
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import exact


class LowerSquare(NodePass):
    """Write Pow by 2 as a product, and refuse other exponents."""

    name, contract, operators = "lower-square", exact, frozenset({"Pow"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | str | None:
        if node.inputs[0].dtype == np.float64:
            return None
        if "two" not in node.inputs[1].name:
            return "its exponent is not called two"
        return Given(node.inputs[0]) * Given(node.inputs[0])


def model_of(text: str, opset: int = 17):
    return from_proto(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "local" : 1]>\n{text}'))


def run(model) -> Context:
    context = Context("lower-square")
    LowerSquare().run(model, context)
    check(model)
    return context


def test_what_only_the_node_needed_goes_with_it():
    model = model_of("""g (float[2] x, float s) => (float[2] y, float[2] z) {
        a = Neg(s) two_b = Abs(a) y = Pow(x, two_b) c = Exp(s) z = Mul(c, x) }""")
    context = run(model)
    assert [node.op for node in model.graph.nodes] == ["Mul", "Exp", "Mul"]
    (change,) = context.changes
    assert change.rule == "Pow"
    assert len(change.removed) == 3
    assert model.graph.outputs[0].name == "y"


def test_what_others_read_stays():
    model = model_of("g (float[2] x, float s) => (float[2] y, float z) { two = Neg(s) y = Pow(x, two) z = Abs(two) }")
    run(model)
    assert sorted(node.op for node in model.graph.nodes) == ["Abs", "Mul", "Neg"]


def test_a_reason_is_noted_and_silence_is_not():
    model = model_of("""g (float[2] x, float t, double[2] d, double u) => (float[2] y, double[2] z) {
        y = Pow(x, t) z = Pow(d, u) }""")
    context = run(model)
    assert not context.changes
    assert context.notes == ["kept %y: its exponent is not called two"]


def test_a_refusal_is_told_of_the_node():
    class Refusing(LowerSquare):
        """Refuse."""

        def rewrite(self, node: Node, opset: int, edit: Editor) -> Refusal:
            return run_before(INFER_SHAPES, "its rank is not known")

    context = Context()
    Refusing().run(model_of("g (float[2] x, float t) => (float[2] y) { [p] y = Pow(x, t) }"), context)
    assert context.refusals == [Refusal("its rank is not known; run infer-shapes before", "p", ("infer-shapes",))]
    assert context.notes == ["kept p: its rank is not known; run infer-shapes before"]


class LowerLeaky(LowerSquare):
    """Touch every LeakyRelu."""

    operators = frozenset({"LeakyRelu"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term:
        return op.LeakyRelu(Given(node.inputs[0]), alpha=node.attrs["alpha"])


def test_attributes_of_the_function_around_are_left_alone():
    model = model_of("""g (float[2] x) => (float[2] y) { y = local.f<a = 0.5>(x) }
        <domain: "local", opset_import: ["" : 17]> f <a> (v) => (w) { w = LeakyRelu<alpha : float = @a>(v) }""")
    context = Context()
    LowerLeaky().run(model, context)
    assert not context.changes
    assert "function around" in context.notes[0]


# ------------------------------------------------------------------------------------------------ weights


@pytest.fixture
def weights():
    """An Editor, a weight that one node reads, and one that two read."""
    model = model_of("""g (float[2] x) => (float[3] y, float[3] z)
        <float[2,3] a = {1,2,3,4,5,6}, float[2,3] b = {1,1,1,1,1,1}> {
        y = MatMul(x, a) c = Add(b, b) z = MatMul(x, c) }""")
    return Editor(model), model.graph.nodes[0].inputs[1], model.graph.nodes[1].inputs[0]


def test_a_weight_of_its_own_changes_while_saving(weights):
    edit, own, _ = weights
    changed = scaled(transposed(Given(own), (1, 0), edit), 0.5, edit)
    assert isinstance(changed, Given)
    assert isinstance(changed.value, Constant)
    assert isinstance(changed.value.lazy, Derived)
    np.testing.assert_array_equal(changed.value.values, own.values.T * np.float32(0.5))


def test_a_weight_that_others_read_changes_by_nodes(weights):
    edit, _, shared = weights
    assert own_weight(Given(shared), edit) is None
    assert transposed(Given(shared), (1, 0), edit).op == "Transpose"
    assert scaled(Given(shared), 0.5, edit).op == "Mul"
    assert transposed(Given(shared), (0, 1), edit).value is shared
    assert scaled(Given(shared), 1, edit).value is shared
    assert readers_up_to(5, shared, edit) == 2
    assert not is_read_once(shared, edit)


def test_what_changes_while_saving_can_be_saved():
    model = model_of(
        "g (float[2] x) => (float[3] y) <float[3,2] a = {1,2,3,4,5,6}> { t = Transpose(a) y = MatMul(x, t) }"
    )
    with Editor(model) as edit:
        node = model.graph.nodes[0]
        edit.replace(node.outputs[0], transposed(Given(node.inputs[0]), (1, 0), edit).value)
        edit.remove(node)
    (stored,) = to_proto(model).graph.initializer
    assert list(stored.dims) == [2, 3]
