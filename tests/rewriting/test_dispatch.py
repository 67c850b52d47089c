"""Which rules may match at a node: never too few, and few enough to spare the searches."""

from __future__ import annotations

import itertools
import random

import onnx
import pytest

from regraft.files.convert import from_proto
from regraft.models import chain
from regraft.passes.fuse_gelu import FuseGelu
from regraft.passes.fuse_layer_norm import FuseLayerNorm
from regraft.pipelines.manager import run
from regraft.pipelines.pass_base import Context
from regraft.rewriting import dispatch
from regraft.rewriting.dispatch import Dispatch
from regraft.rewriting.matcher import Matcher, uniform
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import Number, Var, either, op, term
from tests.rewriting.random_graph import random_model


def read_off(draw: random.Random, tensor, depth: int):
    """A pattern of the graph at `tensor`: operands swapped, what changes nothing left out, quotients as products."""
    node = tensor.inputs[0] if tensor.inputs else None
    if node is not None and node.op in ("Identity", "Cast"):
        return read_off(draw, node.inputs[0], depth)
    if not depth or node is None or node.op == "Constant":
        value = uniform(tensor)
        if value is None or draw.random() < 0.3:
            return Var(f"v{id(tensor)}")
        return draw.choice([term(value[0]), Var(f"n{id(tensor)}", "number")])
    operands = [read_off(draw, one, depth - (draw.random() < 0.8)) for one in node.inputs]
    if node.op == "ReduceMean":
        return op.ReduceMean(operands[0], axes=Var("axes"), keepdims=Var("keep"))
    if node.op in ("Add", "Mul", "Max"):
        draw.shuffle(operands)
    if node.op == "Div" and isinstance(operands[1], Number) and draw.random() < 0.5:
        return operands[0] * (1 / operands[1].value)
    found = getattr(op, node.op)(*operands)
    return draw.choice([found, either(op.Tanh(operands[0]), found)])


def rule_of(pattern) -> Rule:
    return Rule(lambda: pattern, lambda: None)


@pytest.mark.parametrize("opset", [13, 18])
def test_no_rule_that_matches_is_left_out(opset):
    draw = random.Random(opset)
    matched = spared = 0
    for _ in range(40):
        graph = random_model(draw, opset).graph
        ends = [node.outputs[0] for node in graph.nodes if node.op not in ("Constant", "Identity", "Cast")]
        rules = [rule_of(read_off(draw, draw.choice(ends), 3)) for _ in range(10)]
        matcher = Matcher(graph)
        known = Dispatch(rules, matcher)
        for rule, node in itertools.product(rules, graph.nodes):
            found = next(matcher.match(rule.compiled, node), None)
            matched += found is not None
            spared += rule not in known.rules_at(node)
            assert found is None or rule in known.rules_at(node)
    assert matched > 200
    assert spared > 4 * matched


class Counted(Matcher):
    searches = 0

    def match(self, pattern, root):
        Counted.searches += 1
        return super().match(pattern, root)


@pytest.mark.parametrize("base", [FuseGelu, FuseLayerNorm])
def test_places_that_look_otherwise_are_not_searched(base, monkeypatch):
    model = chain.build(600, opset=20)
    run(model, "strip-dropout,infer-shapes,fold-constants,eliminate-identity")
    one, context = base(), Context(base.name)
    monkeypatch.setattr(base, "matcher", lambda self, graph, misses: Counted(graph, misses))
    Counted.searches = 0
    one.run(model, context)
    assert len(context.changes) > 5
    assert Counted.searches <= 2 * len(context.changes)  # what was made is looked at too


def test_sixty_rules_look_as_often_as_one(monkeypatch):
    looks = 0
    inner = dispatch.look

    def counted(tensor, depth, links, matcher, ops=()):
        nonlocal looks
        looks += 1
        return inner(tensor, depth, links, matcher, ops)

    monkeypatch.setattr(dispatch, "look", counted)
    graph = chain.build(300).graph
    products = [node for node in graph.nodes if node.op in ("Mul", "Div")]
    counts = []
    for many in (1, 60):
        rules = [rule_of(op.Erf(Var("x")) * (2.5 + k)) for k in range(many)]
        known, looks = Dispatch(rules, Matcher(graph)), 0
        found = [rule for rule, node in itertools.product(rules, products) if rule in known.rules_at(node)]
        assert len(found) < many * len(products) / 2
        counts.append(looks)
    assert counts[0] == counts[1] > 100


def test_what_is_known_of_a_node_is_asked_anew_when_the_graph_has_changed():
    text = """<ir_version: 9, opset_import: ["" : 20]>
    g (float[4] x) => (float[4] out) { a = Exp(x) out = Neg(a) }"""
    graph = from_proto(onnx.parser.parse_model(text)).graph
    rule = Rule(lambda x: op.Neg(op.Erf(x)), lambda x: x)
    known = Dispatch([rule], Matcher(graph))
    first, last = graph.nodes
    assert rule not in known.rules_at(last)
    first.op = "Erf"
    known.forget(last)
    assert rule in known.rules_at(last)
