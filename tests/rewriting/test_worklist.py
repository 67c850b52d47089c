"""Rules on a worklist: what one makes the others see, until nothing changes; and the end that is always there."""

from __future__ import annotations

import random

import onnx
import pytest

import regraft
from regraft.errors import PassError, PipelineError
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.verifier import check
from regraft.pipelines import registry
from regraft.pipelines.pass_base import Context, Pass
from regraft.pipelines.pipeline import Pipeline, Repeat
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import op
from regraft.rewriting.why import why
from regraft.verification.contract import approximation, exact, reassociation
from tests.rewriting.random_graph import random_model


def model_of(body: str):
    text = f"""<ir_version: 9, opset_import: ["" : 20]>
    g (float[2,4] x, float[2,4] y) => (float[2,4] out) {{ {body} }}"""
    return from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))


def rewrite(model, *rules) -> Context:
    class Rewrite(RulePass):
        name = "rewrite"
        contract = reassociation

        def rules(self):
            return rules

    context = Context("rewrite")
    Rewrite().run(model, context)
    check(model)
    return context


def ops(model) -> list[str]:
    return [node.op for node in model.graph.nodes]


erf_is_tanh = Rule(lambda x: op.Erf(x), lambda x: op.Tanh(x), name="erf")
tanh_is_relu = Rule(lambda x: op.Sigmoid(op.Tanh(x)), lambda x: op.Relu(x), name="tanh")
twice_relu = Rule(lambda x: op.Relu(op.Relu(x)), lambda x: op.Relu(x), name="relu")


def test_an_earlier_rule_sees_what_a_later_one_made():
    model = model_of("r = Relu(x) e = Erf(r) s = Sigmoid(e) out = Neg(s)")
    context = rewrite(model, twice_relu, tanh_is_relu, erf_is_tanh)
    assert ops(model) == ["Relu", "Neg"]
    assert [change.rule for change in context.changes] == ["erf", "tanh", "relu"]
    assert rewrite(model, twice_relu, tanh_is_relu, erf_is_tanh).changes == []


def test_a_node_that_could_not_match_is_looked_at_anew():
    model = model_of("t = Tanh(y) e = Erf(x) s = Sigmoid(e) out = Add(s, t)")
    rewrite(model, tanh_is_relu, erf_is_tanh)
    assert sorted(ops(model)) == ["Add", "Relu", "Tanh"]


def test_a_rule_whose_operators_another_brings_is_tried():
    model = model_of("out = Erf(x)")
    rewrite(model, Rule(lambda x: op.Tanh(x), lambda x: op.Relu(x), name="tanh"), erf_is_tanh)
    assert ops(model) == ["Relu"]


def test_the_readers_of_a_value_that_others_read_no_longer_are_looked_at_again():
    model = model_of("e = Exp(x) n = Neg(e) a = Abs(e) out = Add(n, a)")
    fused = Rule(lambda x: -op.Exp(x), lambda x: op.Relu(x), name="neg")
    frees = Rule(lambda x: op.Abs(op.Exp(x)), lambda x: op.Sigmoid(x), name="abs", shared=True)
    context = rewrite(model, fused, frees)
    assert [change.rule for change in context.changes] == ["abs", "neg"]
    assert sorted(ops(model)) == ["Add", "Relu", "Sigmoid"]


def test_a_match_through_nodes_that_change_nothing_is_seen_from_an_edit():
    model = model_of("e = Erf(x) i = Identity(e) j = Identity(i) out = Sigmoid(j)")
    rewrite(model, tanh_is_relu, erf_is_tanh)
    assert ops(model) == ["Relu"]


def test_an_edit_in_a_branch_is_seen_outside_of_it():
    body = """
    e = Exp(x)
    n = Neg(e)
    c = Constant<value = bool {1}>()
    b = If (c) <
      then_branch = a () => (float[2,4] r) { z = Exp(y) w = Abs(e) r = Add(z, w) },
      else_branch = b () => (float[2,4] q) { q = Relu(x) }
    >
    out = Add(n, b)"""
    model = model_of(body)
    fused = Rule(lambda x: -op.Exp(x), lambda x: op.Relu(x), name="neg")
    frees = Rule(lambda x: op.Abs(op.Exp(x)), lambda x: op.Sigmoid(x), name="abs", shared=True)
    context = rewrite(model, fused, frees)
    assert [change.rule for change in context.changes] == ["abs", "neg"]
    assert "Exp" not in ops(model)


def test_a_rule_does_not_take_what_it_made():
    model = model_of("out = Exp(x)")
    context = rewrite(model, Rule(lambda x: op.Exp(x), lambda x: op.Exp(op.Neg(x)), name="exp"))
    assert ops(model) == ["Neg", "Exp"]
    assert len(context.changes) == 1


def test_a_rule_takes_what_it_made_together_with_what_was_there():
    peel = Rule(lambda x: op.Relu(op.Abs(x)), lambda x: op.Relu(x), name="peel")
    model = model_of("a = Abs(x) b = Abs(a) c = Abs(b) out = Relu(c)")
    assert len(rewrite(model, peel).changes) == 3
    assert ops(model) == ["Relu"]
    model = model_of("a = Abs(x) e = Erf(a) r = Abs(e) out = Relu(r)")
    rewrite(model, peel, Rule(lambda x: op.Erf(x), lambda x: op.Abs(x), name="erf"))
    assert ops(model) == ["Relu"]


def test_rules_that_undo_each_other_are_named_and_nothing_is_changed():
    model = model_of("n = Neg(y) e = Exp(n) out = Add(e, x)")
    before = to_proto(model).SerializeToString()
    there = Rule(lambda x: op.Exp(x), lambda x: op.Abs(op.Sin(x)), name="there")
    back = Rule(lambda x: op.Abs(op.Sin(x)), lambda x: op.Exp(x), name="back")
    with pytest.raises(PassError, match=r"^the rules 'there', 'back' undo one another at '.*Exp.*'$"):
        rewrite(model, there, back)
    assert to_proto(model).SerializeToString() == before


def test_rules_that_always_find_more_are_stopped():
    grow = Rule(lambda x: op.Exp(x), lambda x: op.Sin(op.Neg(x)), name="grow")
    more = Rule(lambda x: op.Sin(x), lambda x: op.Exp(op.Abs(x)), name="more")
    model = model_of("out = Exp(x)")
    with pytest.raises(PassError, match=r"the rules '(grow|more)', '(grow|more)' come to no end: the last of 1021 "):
        rewrite(model, grow, more)
    assert ops(model) == ["Exp"]


def test_tries_grow_with_the_edits():
    def tries(length: int) -> int:
        names = [f"t{i}" for i in range(length)]
        steps = " ".join(f"{after} = Erf({before})" for before, after in zip(["x", *names], names, strict=False))
        model = model_of(f"{steps} out = Sigmoid({names[-1]})")
        context = rewrite(model, twice_relu, Rule(lambda x: op.Tanh(x), lambda x: op.Relu(x), name="tanh"), erf_is_tanh)
        assert ops(model) == ["Relu", "Sigmoid"]
        return sum(use.tries for use in context.rule_uses)

    assert 160 <= tries(160) < 4.5 * tries(40)


def test_the_report_has_hits_tries_and_time_of_each_rule():
    model = model_of("r = Relu(x) e = Erf(r) s = Sigmoid(e) out = Neg(s)")
    context = rewrite(model, twice_relu, tanh_is_relu, erf_is_tanh)
    assert [(use.rule, use.hits) for use in context.rule_uses] == [("relu", 1), ("tanh", 1), ("erf", 1)]
    assert all(use.tries >= use.hits and use.seconds > 0 for use in context.rule_uses)
    idle = rewrite(model_of("out = Relu(x)"), twice_relu, erf_is_tanh)
    assert [(use.rule, use.hits, use.tries) for use in idle.rule_uses] == [("relu", 0, 0), ("erf", 0, 0)]


SHRINKING = (
    Rule(lambda x: op.Neg(op.Neg(x)), lambda x: x, name="neg"),
    Rule(lambda x: op.Sqrt(op.Erf(x)), lambda x: op.Sqrt(x), name="sqrt"),
    Rule(lambda x: op.Max(x, x), lambda x: x, name="max"),
    Rule(lambda x, y: op.Erf(x - op.Erf(y)), lambda x, y: op.Sub(x, y), name="sub"),
    Rule(lambda x, y: op.Neg(op.Pow(x, y)), lambda x, y: op.Max(x, y), name="pow"),
    Rule(lambda x: op.Erf(op.Erf(x)), lambda x: op.Neg(x), name="erf"),
    Rule(lambda x, y: 2.0 * op.Max(x, y), lambda x, y: op.Erf(x), name="double", shared=True),
    Rule(lambda x, y: op.Sqrt(x) + op.Neg(y), lambda x, y: op.Pow(x, y), name="add"),
)


def test_after_the_pass_a_second_run_changes_nothing():
    draw, changes = random.Random(7), 0
    for _ in range(80):
        model = random_model(draw, 18, 40)
        draw.shuffle(rules := list(SHRINKING))
        context = rewrite(model, *rules)
        changes += len(context.changes)
        assert rewrite(model, *rules).changes == []
    assert changes > 120


class Shrink(RulePass):
    """Make a model smaller."""

    name = "shrink"
    contract = reassociation

    def rules(self):
        return (twice_relu, tanh_is_relu, erf_is_tanh)


def test_the_report_of_a_run_shows_rules_that_took_time():
    report = regraft.run(model_of("r = Relu(x) e = Erf(r) s = Sigmoid(e) out = Neg(s)"), [Shrink()])
    (one,) = report.passes
    assert one.contract == str(reassociation)
    assert len(one.changes) == 3
    written = one.to_dict()["rule_uses"]
    assert [(use["rule"], use["hits"]) for use in written] == [("relu", 1), ("tanh", 1), ("erf", 1)]
    one.seconds = 1.0
    for use, seconds in zip(one.rule_uses, (0.5, 0.01, 0.3), strict=True):
        use.seconds = seconds
    assert [line.split()[-5:] for line in report.timing().splitlines()[2:4]] == [
        ["relu:", "1", "of", "1", "try"],
        ["erf:", "1", "of", "1", "try"],
    ]


class Relus(RulePass):
    """Rewrites what a Tanh is made of."""

    name, contract = "relus", exact

    def rules(self):
        return (twice_relu, tanh_is_relu)


class Erfs(RulePass):
    """Rewrites Erf."""

    name, contract, notes_refusals = "erfs", approximation(1e-3), True

    def rules(self):
        return (erf_is_tanh, Rule(lambda x: op.Neg(x), lambda x: x, lambda x: "it stays"))


class More(Relus):
    """Does more than apply rules."""

    name = "more"

    def run(self, model, context):
        super().run(model, context)
        context.note("more")


def test_passes_made_of_rules_add_up():
    joined = Relus() + Erfs() + Erfs()
    assert str(joined) == "join(relus,erfs,erfs)"
    assert joined.contract == exact + Erfs.contract + Erfs.contract
    assert joined.removes == Relus().removes | Erfs().removes
    assert joined == Relus() + (Erfs() + Erfs()) != Relus() + Erfs()
    model = model_of("r = Relu(x) e = Erf(r) s = Sigmoid(e) out = Neg(s)")
    context = Context("join")
    (Relus() + Erfs()).run(model, context)
    assert ops(model) == ["Relu", "Neg"]
    assert [change.rule for change in context.changes] == ["erf", "tanh", "relu"]
    assert [note.partition(": ")[2] for note in context.notes] == ["it stays"]
    misses = why(model_of("t = Tanh(x) out = Neg(t)"), joined)
    assert [miss.reason for miss in misses] == ["it stays"]


def test_each_rule_of_joined_passes_takes_numbers_as_its_own_pass_does():
    class Exact(RulePass):
        name, contract = "exactly", exact

        def rules(self):
            return [Rule(lambda x: op.Max(x, 0.1), lambda x: op.Abs(x), name="max")]

    class Near(RulePass):
        name, contract = "nearly", reassociation

        def rules(self):
            return [Rule(lambda x: op.Min(x, 0.1), lambda x: op.Abs(x), name="min")]

    model = model_of("c = Constant<value_float: float = 0.1000001>() m = Max(x, c) out = Min(m, c)")
    (Exact() + Near()).run(model, Context("join"))
    assert ops(model)[1:] == ["Max", "Abs"]


def test_a_pipeline_joins_passes(monkeypatch):
    monkeypatch.setattr(registry.passes, "_added", {one.name: (one, "here") for one in (Relus, Erfs, More, Plain)})
    pipeline = Pipeline("join(relus,erfs),repeat(join(erfs,relus))")
    assert str(pipeline) == "join(relus,erfs),repeat(join(erfs,relus))"
    assert Pipeline.from_toml(pipeline.to_toml()) == pipeline == Pipeline(Relus() + Erfs(), Repeat(Erfs() + Relus()))
    for text, problem in {
        "join()": "'join' takes passes and nothing else",
        "join{rounds=2}(erfs,relus)": "'join' takes passes and nothing else",
        "join(erfs,repeat(relus))": "'join' takes passes and nothing else",
        "join(erfs,more)": "'more' does more than apply rules",
        "join(erfs,plain)": "'plain' is not made of rules",
        "join(plain,erfs)": "'plain' is not made of rules",
    }.items():
        with pytest.raises(PipelineError, match=problem.replace("(", "[(]")):
            Pipeline(text)


class Plain(Pass):
    """No rules."""

    name = "plain"
