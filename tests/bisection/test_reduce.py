"""`reduce` brings a model with one fault down to a few nodes and a few bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regraft.bisection.checks import AfterPipeline, Case, Check, CommandCheck, Fault, OutputsCheck, RefusalCheck
from regraft.bisection.ddmin import ddmin
from regraft.bisection.pieces import Whole
from regraft.bisection.reduce import Reduced, count, reduce
from regraft.errors import VerificationError
from regraft.files.convert import clone
from regraft.files.saving import to_proto
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines import manager
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import op
from regraft.targeting.target import read_target
from regraft.testing import parse
from regraft.verification.contract import reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.bisection import faults

MAKERS = [faults.rule_pass, faults.node_pass]


def small(found: Reduced, nodes: int = 8) -> Reduced:
    assert found.nodes == count(found.case.model) <= nodes
    assert len(to_proto(found.case.model).SerializeToString()) <= 100_000
    return found


def under(model: Model, one: Pass, *before: str) -> Reduced:
    """What is left of a model that a pass gets wrong; it fails by itself."""
    check = AfterPipeline(Pipeline(*before, one), OutputsCheck())
    found = small(reduce(Case(model, samples=[make_inputs(model)]), check))
    assert check(found.case) is not None
    return found


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["constant", "operand", "overflow", "epsilon"])
def test_a_fault_in_a_chain(name, make):
    fault, model = faults.FAULTS[name], chain.build(150)
    at = faults.places(model, fault.operator, "layer_norm" if name in ("operand", "epsilon") else "")[-1]
    found = under(model, make(fault, at))
    assert [node.name for node in found.case.model.graph.nodes] == [at]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("name", "place"), [("axis", "Softmax"), ("bias", "Add"), ("bias", "value/Add")])
def test_a_fault_in_a_bert(name, place, make):
    at = f"/encoder/layer.1/attention/self/{place}"
    found = under(bert.build(), make(faults.FAULTS[name], at))
    assert at in [node.name for node in found.case.model.graph.nodes]
    assert found.nodes <= 3


@pytest.mark.parametrize(("make", "operator"), [(faults.surgeon_pass, "Sub"), (faults.message_pass, "Sqrt")])
def test_a_fault_of_a_foreign_pass(make, operator):
    model = chain.build(150)
    under(model, make(faults.places(model, operator, "layer_norm")[1]), "eliminate-identity")


def test_a_pair_of_models_is_cut_at_the_same_values():
    model = chain.build(150)
    after = clone(model)
    manager.run(after, "fuse-gelu,eliminate-identity")
    spoiled = [node for node in after.graph.nodes if node.op == "Sqrt"][-1]
    spoiled.op = "Abs"
    case = Case(model, after, reassociation, samples=[make_inputs(model)])
    found = small(reduce(case, OutputsCheck()))
    assert [node.op for node in found.case.model.graph.nodes] == ["Sqrt"]
    assert [node.op for node in found.case.base.graph.nodes] == ["Abs"]


def test_a_rule_of_many_nodes_keeps_those_that_it_needs():
    model = chain.build(200)
    at = faults.places(model, "Mul", "gelu/Mul_1")[-1]

    class Planted(RulePass):
        """Factor a GELU out, at one place with another constant."""

        name = "planted-gelu"
        contract = reassociation

        def rules(self):
            def made(root):
                return lambda x: 0.5 * x + x * 0.5 * op.Erf(x * root)

            def whole(x):
                return 0.5 * (x * (1 + op.Erf(x / math.sqrt(2))))

            return [
                Rule(whole, made(1 / math.sqrt(2)), where=lambda out: out.inputs[0].name != at, name="right"),
                Rule(whole, made(0.65), where=lambda out: out.inputs[0].name == at, name="wrong"),
            ]

    found = under(model, Planted())
    assert sorted(node.op for node in found.case.model.graph.nodes) == ["Add", "Div", "Erf", "Mul", "Mul"]


BODY = """g (float[2, 8] x, bool c) => (float[2, 8] y) {
    a = Relu(x)
    b = Neg(a)
    h = If(c) <
        then_branch = t () => (float[2, 8] p) { q = Abs(b)  r = Erf(q)  p = Add(r, a) },
        else_branch = e () => (float[2, 8] s) { s = Neg(b) }
    >
    y = Sigmoid(h)
}"""

LOOP = """g (float[2, 8] x, int64 n, bool c) => (float[2, 8] y) {
    a = Relu(x)
    h = Loop(n, c, a) <body = b (int64 i, bool k, float[2, 8] v) => (bool ko, float[2, 8] w) {
        ko = Identity(k)  q = Abs(v)  r = Erf(q)  w = Add(r, a)
    }>
    y = Sigmoid(h)
}"""


@pytest.mark.parametrize("text", [BODY, LOOP], ids=["If", "Loop"])
def test_a_node_in_a_body_is_taken_out(text):
    model = parse(text)
    inputs = {"x": np.ones((2, 8), np.float32), "c": np.array(True), "n": np.array(2)}
    samples = [{t.name: inputs[t.name] for t in model.graph.inputs}]
    found = reduce(Case(model, samples=samples), has("Erf"))
    assert [node.op for node in found.case.model.graph.nodes] == ["Erf"]
    Session(found.case.model).run(found.case.samples[0])


def has(operator: str) -> Check:
    """Finds fault with a model that has an operator."""

    def check(case: Case) -> Fault | None:
        return Fault.of(operator, operator) if any(node.op == operator for node in case.model.nodes()) else None

    return check


def test_of_several_samples_the_one_that_fails_is_left():
    model = parse("g (float[n] x) => (float[n] y) { a = Neg(x) b = Sqrt(a) y = Abs(b) }")
    samples = [{"x": np.full(4, value, np.float32)} for value in (-1, -2, 3)]

    def check(case: Case) -> Fault | None:
        made = [value for one in case.samples for value in Session(case.model).run(one).values()]
        return Fault.of("nan", "not a number") if any(np.isnan(value).any() for value in made) else None

    found = reduce(Case(model, samples=samples), check)
    assert [node.op for node in found.case.model.graph.nodes] == ["Sqrt"]
    assert len(found.case.samples) == 1
    assert (found.case.samples[0]["a"] < 0).all()


def test_optional_inputs_that_do_not_matter_go():
    model = parse("g (float[2, 8] x, float[8] s, float[8] b) => (float[2, 8] y) { y = LayerNormalization(x, s, b) }")
    found = reduce(Case(model, samples=[make_inputs(model)]), has("LayerNormalization"))
    assert [tensor.name for tensor in found.case.model.graph.nodes[0].inputs] == ["x", "s"]


def test_what_a_target_refuses():
    model = bert.build()
    found = small(reduce(Case(model, samples=[make_inputs(model)]), RefusalCheck(read_target("neuron-inf1"))), 2)
    assert RefusalCheck(read_target("neuron-inf1"))(found.case) is not None


def test_a_command_decides():
    model = bert.build()
    script = "import sys; sys.exit(3 * (b'Softmax' in open(sys.argv[1], 'rb').read()))"
    found = reduce(Case(model, samples=[make_inputs(model)]), CommandCheck(f'python3 -c "{script}"'))
    assert [node.op for node in found.case.model.graph.nodes] == ["Softmax"]
    assert "exit status 3" in found.fault.text


def test_a_model_that_onnx_runtime_does_not_run_is_reduced_too():
    model = parse("g (float[4, 4] x) => (float[2, 2] y) { a = Neg(x) b = local.nowhere(a) y = Abs(b) }")
    found = reduce(Case(model, samples=[make_inputs(model)]), has("nowhere"))
    assert [node.op for node in found.case.model.graph.nodes] == ["nowhere"]
    assert found.notes == ["the model does not run in ONNX Runtime: inputs of its parts are made"]


def test_a_model_that_is_right_is_said_to_be():
    with pytest.raises(VerificationError, match="nothing wrong"):
        reduce(Case(chain.build(20), samples=[make_inputs(chain.build(20))]), has("LSTM"))


def test_a_piece_computes_what_the_whole_does():
    model = chain.build(100)
    inputs = make_inputs(model)
    whole = Whole(Case(model, samples=[inputs]))
    piece = whole.piece(whole.units[len(whole.units) // 2 :])
    found = Session(piece.model).run(piece.samples[0])
    assert np.array_equal(found["y"], Session(model).run(inputs)["y"])


@pytest.mark.parametrize("wanted", [{3}, {0, 99}, {40, 41, 42}, {5, 50, 95}])
def test_ddmin_leaves_what_is_needed(wanted):
    assert ddmin(range(100), lambda part: wanted <= {*part}) == sorted(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["constant", "operand", "epsilon", "bias", "axis"])
def test_faults_in_models_of_5000_nodes(name, make):
    fault = faults.FAULTS[name]
    model = bert.build(bert.Size(layers=45)) if name in ("bias", "axis") else chain.build(5000)
    part = {"constant": "duplicates", "bias": "self/Add", "axis": ""}.get(name, "layer_norm")
    under(model, make(fault, faults.places(model, fault.operator, part)[-1]))
