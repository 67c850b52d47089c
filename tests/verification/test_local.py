"""`--verify each` runs what a pass computes otherwise, and the whole model where that does not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import parser

import regraft
from regraft import Pass, exact, reassociation
from regraft.errors import VerificationError
from regraft.files.convert import export, from_proto
from regraft.ir.graph import Constant, Node, Variable
from regraft.ir.model import Model
from regraft.models import bert
from regraft.pipelines.pass_base import Context
from regraft.verification import local, record
from regraft.verification.alike import values_of
from regraft.verification.contract import Contract
from regraft.verification.deviation import Deviation
from regraft.verification.local import Local
from regraft.verification.runtime import Session
from regraft.verification.watch import Watch

LONG = " ".join(f"t{n} = Tanh(t{n - 1})" for n in range(1, 30))
"""Nodes beside, so that a region is a small part."""

WEIGHTS = "float[8] w = {1, 2, 3, 4, 5, 6, 7, 8}, int64[3] split = {-1, 4, 2}, int64[2] back = {-1, 8}"

Edit = Callable[[Model], None]


def made(text: str, functions: str = "", opset: int = 20) -> Model:
    """A model that computes y of x by `text`, and t29 beside."""
    head = f'<ir_version: 10, opset_import: ["" : {opset}, "own" : 1]>'
    ends = f"m (float[n, 8] x) => (float[n, 8] y, float[n, 8] t29) <{WEIGHTS}>"
    return from_proto(parser.parse_model(f"{head} {ends} {{ t0 = Neg(x) {LONG} {text} }} {functions}"))


def a_pass(edit: Edit, called: str, promised: Contract = exact) -> Pass:
    """A pass that does `edit` and tells of nothing."""

    class Edits(Pass):
        """Edit."""

        name, contract = called, promised

        def run(self, model: Model, context: Context) -> None:
            edit(model)
            context.changed("something")

    return Edits()


def node(model: Model, output: str) -> Node:
    return next(one for one in model.graph.nodes if one.outputs[0].name == output)


def renamed(model: Model) -> None:
    """A right change beside."""
    for one in model.graph.nodes:
        one.name = f"{one.name}, which makes {one.outputs[0].name}"


def set_attribute(output: str, **attributes: Any) -> Edit:
    return lambda model: node(model, output).attrs.update(attributes)


def set_operator(output: str, operator: str) -> Edit:
    return lambda model: setattr(node(model, output), "op", operator)


def set_weight(model: Model) -> None:
    weight = node(model, "y").inputs[1]
    weight.values = np.array([1, 2, 3, 4, 5, 6, 7, 9], np.float32)


def read(output: str, place: int, value: str) -> Edit:
    """Let a node read another value."""

    def edit(model: Model) -> None:
        node(model, output).inputs[place] = node(model, value).outputs[0]

    return edit


def exchange_operands(model: Model) -> None:
    one = node(model, "y")
    one.inputs = [*reversed(one.inputs)]


def exchange_outputs(model: Model) -> None:
    y, other = model.graph.outputs
    y.name, other.name = other.name, y.name
    model.graph.outputs = [other, y]


def in_body(model: Model) -> None:
    node(model, "y").attrs["then_branch"].nodes[0].op = "Sub"


def in_function(model: Model) -> None:
    model.functions[0].nodes[0].op = "Sub"


def newer(model: Model) -> None:
    model.opset = 13


def without_noise(model: Model) -> None:
    """Let what was the sum of two draws be one twice."""
    total = node(model, "s")
    total.inputs = [total.inputs[0], total.inputs[0]]


BODY = """c = Constant <value = bool {1}> () y = If (c)
<then_branch = a () => (float[n, 8] p) { p = Add (x, x) },
else_branch = b () => (float[n, 8] q) { q = Identity (x) }>"""
FUNCTION = '<opset_import: ["" : 20], domain: "own"> f (a, b) => (c) { c = Add(a, b) }'
SOFTMAX = "s = Reshape(x, split) v = Softmax(s) y = Reshape(v, back)"

WRONG: dict[str, tuple[Callable[[], Model], Edit]] = {
    "a weight": (lambda: made("y = Mul(x, w)"), set_weight),
    "an attribute": (lambda: made("y = LeakyRelu <alpha = 0.25> (x)"), set_attribute("y", alpha=0.5)),
    "an operator": (lambda: made("y = Abs(x)"), set_operator("y", "Relu")),
    "operands": (lambda: made("y = Sub(x, t3)"), exchange_operands),
    "another value": (lambda: made("a = Abs(t4) y = Mul(a, x)"), read("y", 1, "t5")),
    "outputs": (lambda: made("y = Abs(x)"), exchange_outputs),
    "a body": (lambda: made(BODY), in_body),
    "a function": (lambda: made("y = own.f(x, t3)", FUNCTION), in_function),
    "the opset": (lambda: made(SOFTMAX, opset=12), newer),
    "far from the outputs": (lambda: made("y = Add(t29, x)"), set_operator("t1", "Sigmoid")),
}


@pytest.mark.parametrize("promised", [exact, reassociation], ids=str)
@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_is_laid_to_its_pass(fault: str, promised: Contract) -> None:
    build, edit = WRONG[fault]
    passes = [a_pass(renamed, "before"), a_pass(edit, "wrong", promised), a_pass(renamed, "after")]
    with pytest.raises(VerificationError, match=r"^pass 'wrong' breaks its contract"):
        regraft.run(build(), passes, verify="each")


@pytest.mark.parametrize("fault", WRONG)
def test_no_fault_passes_for_a_part(fault: str) -> None:
    build, edit = WRONG[fault]
    model = build()
    part = Local(Watch(model))
    edit(model)
    drift = part.look(model, exact, export(model))
    assert drift is None or not drift.passed


@pytest.mark.parametrize("fault", WRONG)
def test_what_no_part_shows_the_whole_shows_and_it_is_laid_to_its_pass(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Local, "look", lambda *_: Deviation("exact", ()))
    build, edit = WRONG[fault]
    passes = [a_pass(renamed, "before"), a_pass(edit, "wrong"), a_pass(renamed, "after")]
    with pytest.raises(VerificationError, match=r"^pass 'wrong' breaks its contract"):
        regraft.run(build(), passes, verify="each")


@pytest.mark.parametrize("size", [8, 4096], ids=["small", "large"])
def test_an_array_that_is_written_to_in_place_is_found(size: int) -> None:
    model = made("y = Abs(x)")
    held = np.ones((1, size), np.float32)
    first = Constant("first", held)
    model.graph.nodes.append(Node("Slice", "cut", inputs=[first, *map(number, (0, 8, 1))], outputs=[Variable("cut")]))
    model.graph.nodes.append(Node("Add", "sum", inputs=[node(model, "y").outputs[0], node(model, "cut").outputs[0]]))
    model.graph.nodes[-1].outputs = [Variable("z", np.float32, ["n", 8])]
    model.graph.outputs.append(model.graph.nodes[-1].outputs[0])

    def write(model: Model) -> None:
        held[:] = 2

    with pytest.raises(VerificationError, match=r"^pass 'wrong' breaks its contract exact: z: "):
        regraft.run(model, [a_pass(write, "wrong")], verify="each")
    held[:] = 1
    with pytest.raises(VerificationError, match=r"^passes 'before,wrong' together break"):
        regraft.run(model, [a_pass(renamed, "before"), a_pass(write, "wrong")], verify="each")


def number(value: int) -> Constant:
    return Constant(f"number {value}", np.array([value if value != 1 else 1]))


def written_out(model: Model) -> None:
    """The absolute value as the sum of two, of which one is of a value that is there already: t0."""
    one = node(model, "a")
    x = one.inputs[0]
    up, down, turned = (Variable(name, np.float32) for name in ("up", "down", "turned"))
    model.graph.nodes.insert(0, Node("Relu", "up", inputs=[x], outputs=[up]))
    model.graph.nodes.insert(1, Node("Neg", "turned", inputs=[x], outputs=[turned]))
    model.graph.nodes.insert(2, Node("Relu", "down", inputs=[turned], outputs=[down]))
    one.op, one.inputs = "Add", [up, down]


def rename_value(model: Model) -> None:
    node(model, "a").outputs[0].name = "another"


def by_half(model: Model) -> None:
    """Another rounding: a product of a sum."""
    one = node(model, "a")
    one.op, one.inputs = "Mul", [one.inputs[0], Constant("ones", np.array(1 + 2**-23, np.float32))]


RIGHT: dict[str, tuple[str, Edit, Contract, str]] = {
    "names of nodes": ("y = Abs(x)", renamed, exact, "nothing is computed otherwise"),
    "a name": ("a = Abs(x) y = Tanh(a)", rename_value, exact, "nothing is computed otherwise"),
    "operators": ("a = Abs(x) y = Tanh(a)", written_out, exact, "1 node, now 3, on 7 trials"),
    "rounding": ("a = Identity(x) y = Tanh(a)", by_half, reassociation, "1 node, now 1, on 7 trials"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_the_part_that_changed_is_run(case: str) -> None:
    text, edit, promised, told = RIGHT[case]
    report = regraft.run(made(text), [a_pass(edit, "right", promised)], verify="each")
    (said,) = report.passes
    assert (said.verified, said.whole) == (told, False)
    assert said.drift is not None
    assert said.drift.passed
    assert report.drift is not None
    assert {one.name for one in report.drift.outputs} == {"y", "t29"}
    assert report.verdict.endswith("; 1 of 1 passes by the part that they changed")
    assert report.to_dict()["passes"][0]["verified"] == told


def test_what_only_rounding_explains_is_told_from_what_it_does_not() -> None:
    """A value may move by an ulp where rounding may differ, not where it may not."""
    with pytest.raises(VerificationError, match="pass 'wrong' breaks its contract exact"):
        regraft.run(made("a = Identity(x) y = Tanh(a)"), [a_pass(by_half, "wrong", exact)], verify="each")


def test_a_new_name_for_the_result_does_not_widen_the_region() -> None:
    model = made("a = Abs(x) b = Mul(a, t3) y = Tanh(b)")

    def write(model: Model) -> None:
        written_out(model)
        rename_value(model)

    (said,) = regraft.run(model, [a_pass(write, "right")], verify="each").passes
    assert said.verified == "1 node, now 3, on 7 trials"


def test_two_draws_are_not_one() -> None:
    model = made("r = RandomNormalLike(x) q = RandomNormalLike(x) s = Sub(r, q) y = Abs(x) z = Mul(s, t3)")
    before = values_of(model)
    assert before.numbers["r"] != before.numbers["q"]
    without_noise(model)
    assert "s" in values_of(model, before).claims


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("set-shapes{x=4x8}", "the contract is interface"),
        ("convert-fp16", "the contract is precision"),
        ("narrow-integers{assume=inputs}", "the contract assumes of inputs: integers fit 32 bits"),
    ],
)
def test_what_is_of_the_whole_is_verified_on_the_whole(text: str, why: str) -> None:
    model = made("s = Shape(x) d = Cast <to = 1> (s) e = ReduceSum <keepdims = 0> (d) y = Mul(x, e)")
    report = regraft.run(model, ["eliminate-dead-code", text, a_pass(renamed, "renamed")], verify="each")
    _, changed, after = report.passes
    assert changed.whole
    assert changed.verified.startswith(why)
    assert not after.whole


def test_a_part_that_differs_is_looked_at_in_the_whole() -> None:
    """Zero times what is other is the same."""
    model = made("a = LeakyRelu <alpha = 0.25> (x) b = Sub(w, w) y = Mul(a, b)")
    (said,) = regraft.run(model, [a_pass(set_attribute("a", alpha=0.5), "right", reassociation)], verify="each").passes
    assert said.whole
    assert said.verified.startswith("1 node, now 1, differ inside: a: ")
    assert said.drift is not None
    assert {one.name for one in said.drift.outputs} == {"y", "t29"}


def whole_runs(monkeypatch: pytest.MonkeyPatch, model: Model, passes: str) -> int:
    """How often as many nodes as in the result, at least, are made ready to run."""
    sizes: list[int] = []
    original = Session.__init__

    def init(self: Session, model: Model, **options: Any) -> None:
        sizes.append(len(model.graph.nodes))
        original(self, model, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "__init__", init)
        report = regraft.run(model, passes, verify="each")
    assert all(one.verified and not one.whole for one in report.passes if one.changed)
    return sum(size >= len(model.graph.nodes) for size in sizes)


def test_further_passes_cost_no_run_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model runs to find inputs, to record what is inside, and at the end."""
    texts = ["fold-constants", "fold-constants,fuse-layer-norm", "fold-constants,fuse-layer-norm,fuse-gelu"]
    size = bert.Size(layers=4)
    found = [whole_runs(monkeypatch, bert.build(size), f"infer-shapes,{text},eliminate-dead-code") for text in texts]
    assert found[0] == 3
    assert found[1] == found[2]  # and for its own rounding


def test_a_budget_makes_regions_larger_and_no_less_right(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = "infer-shapes,fold-constants,fuse-layer-norm"
    wide = regraft.run(bert.build(bert.Size(layers=2)), passes, verify="each").passes[-1]
    monkeypatch.setattr(record, "BUDGET", 400_000)
    monkeypatch.setattr(local, "SHARE", 1.0)
    narrow = regraft.run(bert.build(bert.Size(layers=2)), passes, verify="each").passes[-1]
    assert not narrow.whole
    nodes = [int(said.verified.partition(" ")[0]) for said in (wide, narrow)]
    assert nodes[0] < nodes[1]


def test_what_does_not_fit_is_left_out_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "BUDGET", 10 * 8 * 4)
    model = made("y = Abs(x)")
    watch = Watch(model, trials=1, inputs={"x": np.ones((1, 8), np.float32)})
    values = values_of(model)
    found = record.record(model, values, watch.samples)
    kept = [n for n in range(1, 30) if values.numbers[f"t{n}"] in found]
    assert 5 < len(kept) <= 10
    assert max(b - a for a, b in zip([0, *kept], [*kept, 30], strict=True)) <= 6


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("y = LeakyRelu <alpha = 0.25> (x)", "y = LeakyRelu <alpha = 0.25> (x)", True),
        ("y = LeakyRelu <alpha = 0.25> (x)", "y = LeakyRelu <alpha = 0.5> (x)", False),
        ("a = Abs(x) y = Neg(a)", "b = Abs(x) y = Neg(b)", True),
        ("y = Sub(x, t1)", "y = Sub(t1, x)", False),
        ("y = Add(x, t1)", "y = Mul(x, t1)", False),
        (BODY, BODY, True),
        (BODY, BODY.replace("Add (x, x)", "Add (x, t1)"), False),
        (BODY, BODY.replace("p", "r"), True),
    ],
)
def test_values_are_alike_by_how_they_are_computed(one: str, other: str, alike: bool) -> None:
    before = values_of(made(one))
    after = values_of(made(other), before)
    assert (after.outputs["y"] == before.outputs["y"] and not after.claims) == alike
