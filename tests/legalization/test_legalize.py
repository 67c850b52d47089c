"""Pipelines that are proposed from what a target does not take."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regraft.files.convert import clone
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.legality.profile import Profile
from regraft.legalization import legalize as legalization
from regraft.legalization.candidates import Candidates
from regraft.legalization.explain import explain
from regraft.legalization.legalize import Legalized, legalize
from regraft.models import chain
from regraft.pipelines.manager import run
from regraft.pipelines.pass_base import Context, label
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.registry import targets
from regraft.refusal import PassRef, Refusal
from regraft.targeting.target import Target, read_target
from tests.growth import calls
from tests.legality.small import model, profile
from tests.matrix.artifacts import ARTIFACTS
from tests.matrix.measures import operators
from tests.shares import diagonal

QUICK = ("bert-cls-sdpa-ts", "einsum-decoder-dynamo", "gpt2-eager-ts", "vit-dynamo")
STUCK = {"gn0.10.0-mlm-nsp": ["GatherND"]}
"""What is left for neuron-cc: hidden states of words that the caller chooses."""
NEURON, HLS4ML = "neuron-inf1", "fpga{flow=hls4ml}"
WITHOUT_GELU = """
[[gap]]
operator = ["Gelu", "Erf"]
reason = "no such unit"
"""


@cache
def exported(name: str) -> Model:
    """An exported model with the sizes of its reference, so that targets need none."""
    artifact = next(one for one in ARTIFACTS if one.name == name)
    loaded = artifact.load()
    sizes = {"batch": 2, "sequence": 8, "seq": 8} if not artifact.inputs else {}
    shapes = {n: "x".join(map(str, v.shape)) for n, v in artifact.inputs.items()}
    dims = {d for t in loaded.graph.inputs for d in t.shape or () if isinstance(d, str)}
    texts = [f"{n}={v}" for n, v in (shapes or {n: v for n, v in sizes.items() if n in dims}).items()]
    run(loaded, f"set-shapes{{{','.join(texts)}}}" if texts else "")
    return loaded


def target_of(found: Profile, **options: object) -> Target:
    """A target that is `found` and nothing else."""
    return type("Synthetic", (Target,), {"name": "synthetic", "profile": found})(**options)


def lacking(*names: str) -> Target:
    """A target without some operators."""
    return target_of(profile(f'[[gap]]\noperator = [{", ".join(map(repr, names))}]\nreason = "lacks it"'))


def assert_sound(done: Legalized, legal: Model, target: Target, before: Model) -> None:
    """Either the target takes the model, which computes the same; or what is left names nodes that are there."""
    if not done.stuck:
        assert not target.check(legal)
        assert done.report is not None
        assert done.report.drift is None or done.report.drift.passed
        again = clone(before)
        run(again, done.pipeline)
        assert operators(again) == operators(legal)
        return
    assert done.report is None
    assert operators(legal) == operators(before)
    run(legal, done.pipeline)
    names = {label(node) for node in legal.nodes()}
    for one in done.stuck:
        assert set(one.violation.nodes) <= names
        assert one.violation.reason


@pytest.mark.parametrize("name", diagonal(2, QUICK))
def test_a_list_of_operators_is_kept_to(name: str) -> None:
    before = exported(name)
    legal, target = clone(before), read_target(NEURON)
    done = legalize(legal, target)
    assert not done.stuck
    assert_sound(done, legal, target, before)


@pytest.mark.slow
@pytest.mark.parametrize("text", [NEURON, HLS4ML])
@pytest.mark.parametrize("name", [artifact.name for artifact in ARTIFACTS])
def test_every_exported_model(name: str, text: str) -> None:
    before = exported(name)
    legal, target = clone(before), read_target(text)
    done = legalize(legal, target)
    assert_sound(done, legal, target, before)
    if text == NEURON:
        assert [one.violation.operator for one in done.stuck] == STUCK.get(name, [])


@pytest.mark.parametrize("name", diagonal(2, QUICK))
def test_the_proposed_pipeline_is_no_longer_than_that_written_by_hand(name: str) -> None:
    """By hand neuron-inf1 also fuses and cleans; both are legal and verified, and the proposed one has fewer passes."""
    target, before = read_target(NEURON), exported(name)
    proposed, by_hand = clone(before), clone(before)
    done = legalize(proposed, target)
    hand = run(by_hand, target.passes(by_hand), verify="final")
    assert not target.check(by_hand)
    assert not target.check(proposed)
    assert hand.drift is not None
    assert hand.drift.passed
    assert len(done.steps) < len(hand.passes)


@pytest.mark.parametrize("text", diagonal(3, [name for name in targets.names() if name not in ("moody",)]))
def test_every_target_has_a_model_made_legal_or_says_why_not(text: str) -> None:
    before = exported("bert-cls-sdpa-ts")
    legal, target = clone(before), read_target(text)
    assert_sound(legalize(legal, target, limit=30), legal, target, before)


def test_what_is_legal_stays_as_it_is() -> None:
    legal = model("(float[2] x) => (float[2] y) { y = Relu(x) }")
    done = legalize(legal, lacking("Gelu"))
    assert (done.pipeline, done.tried, done.found, done.stuck) == ("", 0, [], [])


def test_a_lowering_whose_result_is_refused_is_lowered_on() -> None:
    legal = model("(float[2,4] x, float[4] s, float[4] b) => (float[2,4] y) { y = LayerNormalization(x, s, b) }")
    target = lacking("LayerNormalization", "ReduceMean", "Pow")
    done = legalize(legal, target)
    assert not target.check(legal)
    assert explain(done)[0] == "LayerNormalization × 1: lacks it"
    assert any(line.startswith("    ReduceMean × 2: lacks it") for line in explain(done))
    first, second = done.steps[:2]
    assert first.text.startswith("lower-layer-norm")
    assert first.made["ReduceMean", "lacks it"] == 2
    assert second.removed["ReduceMean", "lacks it"] == 2


def test_the_closer_approximation_is_taken() -> None:
    legal = model("(float[64] x) => (float[64] y) { y = Gelu(x) }")
    done = legalize(legal, target_of(profile(WITHOUT_GELU)))
    assert "lower-erf" in done.pipeline
    assert "tanh" not in done.pipeline


def test_the_mend_of_the_profile_comes_first() -> None:
    legal = model("(float[64] x) => (float[64] y) { y = Gelu(x) }")
    done = legalize(legal, target_of(profile(WITHOUT_GELU + 'mend = ["lower-gelu{form=tanh}"]')))
    assert done.pipeline == "lower-gelu{form=tanh}"


def test_a_pass_that_a_refusal_needs_is_tried() -> None:
    legal = exported("einsum-decoder-dynamo")
    done = legalize(clone(legal), lacking("Where", "Trilu"))
    assert not done.stuck
    assert "clamp-mask-value" in done.pipeline


@pytest.mark.parametrize("told", [True, False])
def test_what_a_refusal_needs_decides_and_no_word_of_it(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    target, before = lacking("Where", "Trilu"), exported("einsum-decoder-dynamo")
    expected = legalize(clone(before), target)
    refuse = Context.refuse

    def reworded(self: Context, refusal: Refusal, node: Node | None = None, heading: str = "") -> None:
        refuse(self, replace(refusal, reason="ask lower-trilu", needs=refusal.needs if told else ()), node, "nonsense")

    monkeypatch.setattr(Context, "refuse", reworded)
    monkeypatch.setattr(Context, "note", lambda self, text: self.said.append("run clamp-mask-value before"))
    done = legalize(clone(before), target)
    assert (done.pipeline == expected.pipeline) == told
    assert ("clamp-mask-value" in done.pipeline) == told


def test_what_is_needed_is_tried_unless_only_the_user_knows_its_options() -> None:
    needs = ("infer-shapes", "set-shapes", "convert-opset{version=18}", "convert-opset", "clamp-mask-value")
    refusals = [Refusal("so it is", needs=tuple(map(PassRef, needs)))]
    found = Candidates(lacking("Erf").profile).needed(refusals, {"infer-shapes"})
    assert [candidate.text for candidate in found] == ["clamp-mask-value", "convert-opset{version=18}"]


def test_what_was_said_of_a_node_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = Context.refuse
    monkeypatch.setattr(Context, "refuse", lambda self, refusal, node: refuse(self, refusal, node, "left alone"))
    (stuck,) = legalize(model("(float[3] a, float[3] b) => (bool[3] y) { y = Less(a, b) }"), lacking("Less")).stuck
    assert stuck.tried["lower-logic{to=arithmetic}"] == "left alone: it compares float32"


def test_passes_that_are_not_needed_are_dropped() -> None:
    """The mend that comes first only moves the trouble; what is found behind it needs no more of it."""
    mends = 'mend = ["eliminate-identity", "lower-gelu"]'
    graph = "(float[64] x) => (float[64] y) { z = Identity(x) y = Gelu(z) }"
    found = profile(f'[[gap]]\noperator = "Gelu"\nreason = "none"\n{mends}')
    done = legalize(model(graph), target_of(found))
    assert [step.text for step in done.steps] == ["lower-gelu", "eliminate-identity"]  # the latter as clean-up


def test_sizes_come_from_the_target() -> None:
    found = profile('[limits]\nshapes = { must = "static", reason = "E042", mend = ["set-shapes"] }')
    graph = "(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"
    done = legalize(model(graph), target_of(found, N="4"))
    assert done.pipeline == "set-shapes{N=4}"
    done = legalize(model(graph), target_of(found))
    (stuck,) = done.stuck
    assert "no sizes are given" in stuck.tried["set-shapes"]
    assert done.report is None


def test_missing_sizes_are_said_before_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    before = next(one for one in ARTIFACTS if one.name == "bert-cls-sdpa-ts").load()
    done = legalize(clone(before), read_target(NEURON))
    (stuck,) = done.stuck
    assert (done.tried, done.pipeline, done.report) == (0, "", None)
    monkeypatch.setattr("regraft.legalization.legalize.without_sizes", lambda state: [])
    searched = legalize(clone(before), read_target(NEURON), limit=10)
    assert searched.tried >= 10
    (again,) = (one for one in searched.stuck if not one.violation.operator and "shapes" in one.violation.reason)
    assert again.violation.reason == stuck.violation.reason
    assert again.tried["set-shapes"] == stuck.tried["set-shapes"]


def test_where_no_output_hangs_on_a_size_the_search_goes_on() -> None:
    """A pass may take away what is open: here the input is read for its rank alone."""
    found = profile("""
        [limits]
        shapes = { must = "static", reason = "E042", mend = ["set-shapes"] }
        [[gap]]
        operator = "Gelu"
        reason = "none"
    """)
    graph = "(float[N,3] x, float[4] z) => (int64[1] r, float[4] y) { s = Shape(x) r = Shape(s) y = Gelu(z) }"
    done = legalize(model(graph), target_of(found))
    assert done.tried
    assert "lower-gelu" in done.pipeline


def test_stuck_says_where_and_why() -> None:
    graph = "(float[3] a, float[3] b) => (bool[3] y) { y = Less(a, b) }"
    legal = model(graph)
    done = legalize(legal, lacking("Less"))
    (stuck,) = done.stuck
    assert (stuck.violation.operator, stuck.violation.nodes) == ("Less", ("Less0",))
    assert stuck.tried["lower-logic{to=arithmetic}"] == "kept Less0: it compares float32"
    assert operators(legal) == {"Less": 1}


def test_stuck_at_a_rule_says_what_did_not_match() -> None:
    graph = "(float[2,4] x, float[4] s) => (float[2,4] y, float[2,1] m) { y, m = LayerNormalization(x, s, s) }"
    (stuck,) = legalize(model(graph), lacking("LayerNormalization")).stuck
    assert "is an output of the graph too" in stuck.tried["lower-layer-norm"]


def test_stuck_without_any_pass() -> None:
    done = legalize(model("(float[2] x) => (float[2] y) { y = Tanh(x) }"), lacking("Tanh"))
    (stuck,) = done.stuck
    assert stuck.violation.operator == "Tanh"
    assert not done.pipeline


def test_stuck_because_the_way_out_is_refused_too() -> None:
    done = legalize(model("(float[64] x) => (float[64] y) { y = Gelu(x) }"), lacking("Gelu", "Mul"))
    tried = {text: reason for one in done.stuck for text, reason in one.tried.items()}
    assert any("it would leave Mul" in reason for reason in tried.values())


def test_the_search_is_bounded_and_deterministic() -> None:
    before, target = exported("bert-cls-sdpa-ts"), read_target(HLS4ML)
    one, other = (legalize(clone(before), target, limit=12) for _ in range(2))
    assert one.pipeline == other.pipeline
    assert [s.violation for s in one.stuck] == [s.violation for s in other.stuck]
    assert one.tried <= 12 + len(one.steps) ** 2 + 4


def test_the_guess_of_the_cost_follows_the_lowerings() -> None:
    costs = Candidates(lacking("Gelu", "Erf", "Tanh", "Sigmoid", "Cosh").profile)
    (one,) = lacking("Erf").check(model("(float[2] x) => (float[2] y) { y = Erf(x) }"))
    assert costs.cost([one]) == 1
    (far,) = lacking("Cosh").check(model("(float[2] x) => (float[2] y) { y = Cosh(x) }"))
    assert costs.cost([far]) > 1


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_operators_may_be_lacking(data: st.DataObject) -> None:
    before = exported(data.draw(st.sampled_from(["bert-static-dynamo", "t5-encoder-dynamo"])))
    names = data.draw(st.sets(st.sampled_from(sorted(operators(before))), min_size=1, max_size=4))
    target, legal = lacking(*sorted(names)), clone(before)
    assert_sound(legalize(legal, target, limit=25), legal, target, before)


@pytest.mark.slow
def test_work_grows_with_the_nodes() -> None:
    target = lacking("Erf", "Pow", "Identity", "Dropout", "Sqrt")

    def work(nodes: int) -> int:
        legal, done = chain.build(nodes), list[Legalized]()
        made = calls(lambda: done.append(legalize(legal, target)))
        assert not done[0].stuck
        return made

    work(100)
    assert work(2_000) < 4.5 * work(500)


def test_a_pipeline_reads_back() -> None:
    done = legalize(clone(exported("bert-cls-sdpa-ts")), read_target(NEURON))
    assert str(Pipeline(done.pipeline)) == done.pipeline


def test_a_clean_up_that_brings_back_what_was_refused_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legalization, "CLEAN_UP", "eliminate-dead-code,lower-gelu,eliminate-identity")
    legal = model("(float[2] x) => (float[2] y) { a = Gelu(x) b = Identity(a) dead = Neg(b) c = Erf(b) y = Abs(b) }")
    done = legalize(legal, lacking("Erf", "Neg"))
    assert done.pipeline == "eliminate-dead-code,eliminate-identity"
    assert [node.op for node in legal.nodes()] == ["Gelu", "Abs"]
