"""`bisect` names the one match that a pass got wrong, in about log2 of the matches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from regraft.bisection.bisect import bisect
from regraft.bisection.checks import Case, CommandCheck, Fault, OutputsCheck, RefusalCheck
from regraft.bisection.finding import Finding
from regraft.bisection.search import Search
from regraft.errors import UnknownNameError
from regraft.ir.editor import Editor
from regraft.ir.model import Model
from regraft.models import bert, chain
from regraft.pipelines.foreign import graphsurgeon_pass
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, op
from regraft.targeting.target import read_target
from regraft.testing import parse
from tests.bisection import faults

MAKERS = [faults.rule_pass, faults.node_pass]


def check(model: Model, passes: list[str | Pass], one: Pass, at: str) -> Finding:
    found = bisect(model, Pipeline(passes), OutputsCheck(trials=1))
    assert (found.verdict, found.pass_name, found.nodes[0]) == ("found", str(one), at), str(found)
    assert found.runs <= math.log2(len(model.graph.nodes)) + 6
    return found


def attention(name: str) -> list[str]:
    """The places in a BERT whose outputs show a fault: masks, and biases."""
    return [f"/encoder/layer.0/attention/self/{name}", f"/encoder/layer.1/attention/self/{name}"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["constant", "operand", "overflow", "epsilon"])
def test_a_fault_in_a_chain(name, make):
    fault, model = faults.FAULTS[name], chain.build(100)
    at = faults.places(model, fault.operator, "layer_norm" if name in ("operand", "epsilon") else "")[0]
    one = make(fault, at)
    found = check(model, ["eliminate-identity", one, "eliminate-dead-code"], one, at)
    assert found.rule == ("wrong" if make is faults.rule_pass else fault.operator)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("name", "place"), [("axis", "Softmax"), ("bias", "Add"), ("bias", "query/Add")])
def test_a_fault_in_a_bert(name, place, make):
    at = attention(place)[1]
    one = make(faults.FAULTS[name], at)
    check(bert.build(), ["fuse-gelu", one], one, at)


@pytest.mark.parametrize(("make", "operator"), [(faults.surgeon_pass, "Sub"), (faults.message_pass, "Sqrt")])
def test_a_fault_of_a_foreign_pass_is_taken_apart(make, operator):
    model = chain.build(150)
    at = faults.places(model, operator, "layer_norm")[1]
    one = make(at)
    found = check(model, ["eliminate-identity", "fuse-gelu", one], one, at)
    assert (found.nodes, found.notes) == ((at,), [])


def test_nodes_are_called_as_before_the_pass():
    class Twice(NodePass):
        """Write a Sigmoid as a Tanh in two steps, of which the second is wrong."""

        name = "twice"
        operators = frozenset({"Sigmoid", "Tanh"})

        def run(self, model, context):
            for operator in ("Sigmoid", "Tanh"):
                with Editor(model) as edit:
                    for node in edit.live_nodes(model.graph):
                        if node.op == operator:
                            self._at(node, model.graph, edit, context)
                            if context.spent:
                                return

        def rewrite(self, node, opset, edit):
            x = Given(node.inputs[0])
            return 0.5 + 0.5 * op.Tanh(0.5 * x) if node.op == "Sigmoid" else op.Tan(x)

    model = parse("g (float[n] x) => (float[n] y) { y = Sigmoid(x) }")
    model.graph.nodes[0].name = "gate"
    found = bisect(model, Pipeline(Twice()), OutputsCheck(trials=1))
    assert found.nodes == ("gate",), str(found)


def test_a_model_that_stands_the_check():
    found = bisect(chain.build(50), Pipeline("fuse-gelu"), OutputsCheck(trials=1))
    assert (found.verdict, found.runs) == ("nothing fails", 2)
    assert str(found).startswith("nothing fails")


def test_a_model_that_fails_before_any_pass():
    model = parse("g (float[2, 3] x) => (float[2, 2] y) { y = MatMul(x, x) }")
    found = bisect(model, Pipeline("fuse-gelu"), OutputsCheck(trials=1))
    assert found.verdict == "fails before any pass"
    assert str(found).startswith("the model itself fails before any pass: ")


def test_a_pass_that_crashes_names_the_match():
    at = faults.places(chain.build(100), "Sigmoid")[1]

    class Crashes(NodePass):
        """Fail at one node."""

        name = "crashes"
        operators = frozenset({"Sigmoid"})

        def rewrite(self, node, opset, edit):
            if node.name == at:
                raise ZeroDivisionError
            return 1 / (1 + op.Exp(-Given(node.inputs[0])))

    found = bisect(chain.build(100), Pipeline("fuse-gelu", Crashes()), OutputsCheck(trials=1))
    assert (found.pass_name, found.change) == ("crashes", 2)
    assert at in found.fault


def test_a_whole_pass_where_it_cannot_be_taken_apart():
    def spoil(graph):
        graph.outputs[0].name = "z"

    one = graphsurgeon_pass("spoil", spoil)()
    found = bisect(chain.build(50), Pipeline(one), OutputsCheck(trials=1))
    assert (found.pass_name, found.change) == ("spoil", 0)
    assert found.notes == ["pass 'spoil' cannot be taken apart: the outputs are other"]


def test_what_a_target_refuses_before_any_pass_does_not_count():
    target = read_target("neuron-inf1")
    assert target.check(chain.build(100))  # open dimensions
    at = faults.places(chain.build(100), "Sigmoid")[2]
    one = faults.node_pass(faults.Fault("Sigmoid", lambda x: 1 / (1 + op.Exp(-x)), lambda x: op.Hardmax(x)), at)
    found = bisect(chain.build(100), Pipeline("eliminate-identity", one), RefusalCheck(target))
    assert (found.nodes, found.pass_name) == ((at,), "planted-nodes"), str(found)


def test_a_command_decides():
    at = faults.places(chain.build(100), "Sigmoid")[-1]
    one = faults.node_pass(faults.FAULTS["constant"], at)
    # 1.25 is in the file only after the wrong match
    script = "import sys; sys.exit(b'1.25' in open(sys.argv[1], 'rb').read())"
    found = bisect(chain.build(100), Pipeline("fuse-gelu", one), CommandCheck(f'python3 -c "{script}" {{}}'))
    assert (found.nodes, found.pass_name) == ((at,), "planted-nodes")
    assert "exit status 1" in found.fault


def test_passes_that_the_check_needs_are_kept():
    at = faults.places(chain.build(60), "Sigmoid")[0]
    one = faults.node_pass(faults.FAULTS["constant"], at)

    def wants_no_erf(case: Case) -> Fault | None:
        if any(node.op == "Erf" for node in case.model.nodes()):
            return Fault.of("outputs", "there is an Erf")
        return OutputsCheck(trials=1)(case)

    pipeline = Pipeline(one, "lower-erf")
    assert bisect(chain.build(60), pipeline, wants_no_erf).verdict == "fails before any pass"
    assert bisect(chain.build(60), pipeline, wants_no_erf, keep=["lower-erf"]).nodes == (at,)
    with pytest.raises(UnknownNameError):
        bisect(chain.build(60), pipeline, wants_no_erf, keep=["fuse-gelu"])


@pytest.mark.parametrize("guilty", [1, 2, 31, 64, 100])
def test_the_search_looks_log2_times(guilty):
    search = Search(lambda n: Fault.of("x", "x") if n >= guilty else None, [1] * 100)
    assert search.run(Fault.of("x", "x")) == guilty
    assert len(search.seen) - 2 <= 7


def test_a_check_that_is_not_monotone_is_said_to_be():
    failing = {*range(3, 20), 64, *range(50, 60), 32, 16}
    search = Search(lambda n: Fault.of("x", "x") if n in failing else None, [1] * 64)
    found = search.run(Fault.of("x", "x"))
    assert found in failing
    assert found - 1 not in failing
    assert search.passes_after(found) is not None


def test_bisect_leaves_the_model_as_it_is():
    model = chain.build(60)
    before = [node.op for node in model.graph.nodes]
    bisect(model, Pipeline("fuse-gelu,fuse-layer-norm"), OutputsCheck(trials=1))
    assert [node.op for node in model.graph.nodes] == before


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["constant", "operand", "epsilon"])
@pytest.mark.parametrize("nodes", [500, 2000])
def test_faults_in_long_chains(name, make, nodes):
    fault, model = faults.FAULTS[name], chain.build(nodes)
    part = "layer_norm" if name in ("operand", "epsilon") else "duplicates"
    for at in np.array(faults.places(model, fault.operator, part))[[0, -1]]:
        one = make(fault, str(at))
        check(model, ["eliminate-identity", "fuse-gelu", one, "eliminate-dead-code"], one, str(at))
