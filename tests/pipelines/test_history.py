"""The record of a rewrite: what edits tell, how it is written, what reads it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft
from regraft.errors import ModelError
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Variable
from regraft.ir.model import Model
from regraft.models import bert
from regraft.pipelines import history
from regraft.pipelines.dump import runs
from regraft.pipelines.history import Entry, Measured
from regraft.pipelines.inheritance import STAGE, TRACE, inherited, source_lines
from regraft.pipelines.pass_base import BESIDE, Change, Context, Derivation, Pass, label
from regraft.testing import parse
from tests.pipelines.histories import faults

TEXT = """g (float[n, 64] x, bool c) => (float[n, 64] y)
<float[64, 64] w = {1.0, HALVES}, float two = {2.0}> {
    [product] a = MatMul(x, w)
    [double] b = Mul(a, two)
    [choice] d = If(c) <
        then_branch = t () => (float[n, 64] e) { [inner] e = Neg(b) },
        else_branch = f () => (float[n, 64] h) { [other] h = Abs(b) }>
    [last] y = Add(d, b)
}""".replace("HALVES", ", ".join(["0.5"] * 4095))


def weighted() -> Model:
    return parse(TEXT)


def node(model: Model, name: str) -> Node:
    return next(one for one in model.nodes() if one.name == name)


def ran(change: Callable[[Model], None], context: Callable[[Model, Context], None] | None = None) -> list[Change]:
    """What is recorded of a pass that does `change`, and says what `context` does."""

    class Does(Pass):
        """Does it."""

        name = "does"

        def run(self, model: Model, said: Context) -> None:
            if context is not None:
                context(model, said)
            change(model)

    model = weighted()
    before = [label(one) for one in model.nodes()]
    report = regraft.run(model, [Does()])
    assert not faults(before, model, history.read(model))
    changes = [change for entry in history.read(model) for change in entry.changes]
    assert changes == report.passes[0].changes
    return changes


# ------------------------------------------------------------------------------------------------ what edits tell


def test_a_pass_that_says_nothing_is_recorded() -> None:
    def change(model: Model) -> None:
        double = node(model, "double")
        with Editor(model) as edit:
            made = edit.insert(double, "Add", [double.inputs[0], double.inputs[0]], hint="twice")
            edit.replace(double.outputs[0], made.outputs[0])
            edit.remove(double)

    assert ran(change) == [Change("", ("double",), ("twice",), (), (("b", "twice_output"),))]


def test_what_a_pass_says_is_not_believed_where_the_edits_say_otherwise() -> None:
    def lies(model: Model, context: Context) -> None:
        context.replaced([node(model, "product")], [node(model, "last")], rule="lie")

    assert ran(lambda model: None, lies) == [Change("lie", (), ())]


def test_a_node_that_is_told_of_twice_counts_once() -> None:
    def change(model: Model) -> None:
        with Editor(model) as edit:
            double = node(model, "double")
            edit.replace(double.outputs[0], double.inputs[0])
            edit.remove(double)

    def said(model: Model, context: Context) -> None:
        for rule in ("one", "two"):
            context.replaced([node(model, "double")], rule=rule)

    assert [(one.rule, one.removed) for one in ran(change, said)] == [("one", ("double",)), ("two", ())]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "op", "Sub"),
        lambda one: one.attrs.update(alpha=1),
        lambda one: one.inputs.__setitem__(1, one.inputs[0]),
    ],
    ids=["operator", "attribute", "input"],
)
def test_an_edit_in_place_is_recorded(change: Callable[[Node], None]) -> None:
    assert ran(lambda model: change(node(model, "double"))) == [Change("", (), (), ("double",))]


def test_what_is_set_to_what_it_was_is_no_edit() -> None:
    def change(model: Model) -> None:
        node(model, "double").op = "Mul"
        node(model, "choice").name = "choice"

    assert ran(change) == []


def test_another_name_is_recorded() -> None:
    def change(model: Model) -> None:
        node(model, "double").name = "renamed"
        node(model, "product").outputs[0].name = "called"

    assert ran(change) == [Change("", ("double",), ("renamed",), (), (("a", "called"),))]


def test_a_weight_that_is_assigned_is_of_what_it_was() -> None:
    def change(model: Model) -> None:
        weight = node(model, "product").inputs[1]
        weight.values = weight.values * 2

    assert ran(change) == [Change("", (), (), ("product",), (), (Derivation("w", ("w",)),))]


def test_a_small_constant_is_part_of_the_nodes_that_read_it() -> None:
    def change(model: Model) -> None:
        node(model, "double").inputs[1].values = np.array(3, np.float32)

    assert ran(change) == [Change("", (), (), ("double",))]


def test_a_new_weight_is_of_what_the_node_read_before() -> None:
    def change(model: Model) -> None:
        one = node(model, "product")
        one.inputs[1] = Constant("v", one.inputs[1].values + 1)

    (found,) = ran(change)
    assert (found.edited, found.weights) == (("product",), (Derivation("v", ("w",)),))


def test_a_folded_weight_is_of_all_that_went_into_it() -> None:
    model = parse(
        """g (float[n, 64] x) => (float[n, 64] y) <float[64, 64] w = {HALVES}, float two = {2.0}> {
        [turn] t = Transpose <perm = [1, 0]> (w) [scale] p = Mul(t, two) [product] y = MatMul(x, p) }""".replace(
            "HALVES", ", ".join(["0.5"] * 4096)
        )
    )
    regraft.run(model, "fold-constants{max-bytes=1MiB}")
    (entry,) = history.read(model)
    (made,) = [one for change in entry.changes for one in change.weights]
    assert made == Derivation("p", ("w",))  # a number is no weight of its own


def test_the_nodes_of_a_branch_that_is_taken_are_the_ifs() -> None:
    model = parse(TEXT.replace("bool c) =>", "float z) =>").replace("two = {2.0}>", "two = {2.0}, bool c = {1}>"))
    before = [label(one) for one in model.nodes()]
    regraft.run(model, "fold-constants")
    entries = history.read(model)
    assert not faults(before, model, entries)
    taken = next(change for entry in entries for change in entry.changes if change.rule == "if")
    assert {"choice", "inner"} <= {*taken.removed}
    assert len(taken.added) == 1


def test_what_comes_and_goes_in_a_pass_stays_a_link() -> None:
    def change(model: Model) -> None:
        with Editor(model) as edit:
            double = node(model, "double")
            first = edit.insert(double, "Neg", [double.inputs[0]], hint="first")
            context.replaced([double], [first], rule="one")
            edit.replace(double.outputs[0], first.outputs[0])
            edit.remove(double)
            second = edit.insert(double, "Abs", [double.inputs[0]], hint="second")
            context.replaced([first], [second], rule="two")
            edit.replace(first.outputs[0], second.outputs[0])
            edit.remove(first)

    context = Context()

    def said(model: Model, given: Context) -> None:
        nonlocal context
        context = given

    one, two = ran(change, said)
    assert (one.removed, one.added, two.removed, two.added) == (("double",), ("first",), ("first",), ("second",))
    assert one.values == (("b", "second_output"),)


def tamper(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Another operator, another weight, one node more; and no metadata."""
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    del other.metadata_props[:]
    other.graph.node[1].op_type = "Sub"
    other.graph.node[-1].output[0] = "z"
    other.graph.node.append(onnx.helper.make_node("Relu", ["z"], ["y"], "more"))
    weight = next(one for one in other.graph.initializer if one.name == "w")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * 2).tobytes()
    return other


def test_a_graph_that_is_replaced_as_a_whole_is_told_part_by_part() -> None:
    model = weighted()
    before = [label(one) for one in model.nodes()]
    regraft.run(model, "eliminate-identity,infer-shapes")
    regraft.run(model, [regraft.proto_pass("tamper", tamper)])
    entries = history.read(model)
    assert not faults(before, model, entries)
    changes = [change for change in entries[-1].changes if any(change[1:])]
    assert [(change.removed, change.added) for change in changes[:-1]] == [(("double",), ("double",)), ((), ("more",))]
    assert {"last", "product"} == {*changes[-1].edited}
    assert [made for change in changes for made in change.weights] == [Derivation("w", ("w",))]
    assert history.pipeline_of(model) == "eliminate-identity,infer-shapes,tamper"


def test_a_graph_that_is_rebuilt_and_the_same_is_no_change() -> None:
    model = weighted()
    report = regraft.run(model, [regraft.proto_pass("look", lambda proto: proto)])
    assert not report.passes[0].changed
    assert history.read(model) == []


def test_nodes_that_stand_for_each_other_are_one_change() -> None:
    def fuse(proto: onnx.ModelProto) -> None:
        nodes = {one.name: one for one in proto.graph.node}
        for first, second in (("a", "b"), ("d", "e")):
            made = onnx.helper.make_node("Gelu", [nodes[first].input[0]], [nodes[second].output[0]], f"{first}{second}")
            proto.graph.node.insert(list(proto.graph.node).index(nodes[second]), made)
            for one in (first, second):
                proto.graph.node.remove(nodes[one])

    model = parse(
        """g (float[n] x) => (float[n] y) {
            [a] v = Erf(x) [b] w = Neg(v) [d] u = Erf(w) [e] t = Neg(u) [f] y = Abs(t) }"""
    )
    regraft.run(model, [regraft.proto_pass("fuse", fuse)])
    (entry,) = history.read(model)
    assert [(one.removed, one.added) for one in entry.changes] == [(("a", "b"), ("ab",)), (("d", "e"), ("de",))]
    assert model.graph.nodes[0].metadata["regraft.pass"] == "fuse"


def test_a_pass_that_tells_of_some_has_the_rest_beside() -> None:
    def said(model: Model, context: Context) -> None:
        context.replaced([node(model, "last")], [node(model, "last")], rule="known")

    def change(model: Model) -> None:
        node(model, "last").op = "Sub"
        node(model, "double").op = "Div"

    assert ran(change, said) == [Change("known", (), (), ("last",)), Change(BESIDE, (), (), ("double",))]


# ------------------------------------------------------------------------------------------------ how it is written

CHANGES = (
    Change("rule", ("a", "b"), ("c",), (), (("x", "y"), ("z", "")), (Derivation("w", ("v", "u")),)),
    Change("rule", ("d",), (), ("e",)),
    Change("", (), ("f",)),
)
ENTRIES = [
    Entry("one{size=2}", CHANGES, "exact", Measured(1e-7, "logits", 2)),
    Entry("two", (Change("ü", (), ()),), "reassociation"),
]


def test_a_record_is_read_as_it_was_written() -> None:
    model = weighted()
    history.write(model, "one,two", ENTRIES)
    assert history.read(from_proto(to_proto(model))) == ENTRIES
    assert history.pipeline_of(model) == "one,two"


def test_a_record_of_an_older_file_is_read() -> None:
    model = weighted()
    model.metadata[history.RECORD] = json.dumps([["to-abs", [["square", ["a", "b"], ["c"]]]]])
    old = [Entry("to-abs", (Change("square", ("a", "b"), ("c",)),))]
    assert history.read(model) == old
    regraft.run(model, "eliminate-dead-code,fold-constants")
    assert history.read(model)[:1] == old


def packed(rows: object) -> str:
    model = weighted()
    history.write(model, "", ENTRIES)
    return model.metadata[history.RECORD] if rows is None else _pack(json.dumps(rows))


def _pack(text: str) -> str:
    import base64
    import zlib

    return "2:" + base64.b64encode(zlib.compress(text.encode())).decode()


@pytest.mark.parametrize(
    "text",
    [
        "[1",
        "{}",
        "2:",
        "2:?",
        "3:abcd",
        packed(None)[:-8],
        packed(None)[:40],
        _pack("[1"),
        packed([["a", "exact", None, [["rule", [[["x"], [], [], []]]]]]]),
        packed([["a", "exact", [1, 2, 3], []]]),
        packed([["a", "exact", None, [["rule", [[["x"], [], [], [["y"]], []]]]]]]),
    ],
)
def test_a_damaged_record_is_named(text: str) -> None:
    model = weighted()
    model.metadata[history.RECORD] = text
    with pytest.raises(ModelError, match=r"regraft\.record is damaged"):
        history.read(model)
    with pytest.raises(ModelError, match=r"regraft\.record is damaged"):
        regraft.run(model, "eliminate-dead-code")
    regraft.run(model, "eliminate-dead-code", record=False)
    assert history.RECORD not in model.metadata


def test_a_record_that_would_fill_the_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = weighted()
    model.metadata[history.RECORD] = _pack("[" + " " * 10_000 + "]")
    monkeypatch.setattr(history, "TEXT_LIMIT", 1000)
    with pytest.raises(ModelError, match="longer than 1000 bytes"):
        history.read(model)


def test_the_record_of_a_transformer_takes_little_of_its_file(tmp_path: Path) -> None:
    """Of the graph alone, without the weights: that of 12 layers."""
    model = bert.build(replace(bert.TINY, layers=12))
    regraft.run(model, "fold-constants,fuse-gelu,fuse-layer-norm,eliminate-identity,eliminate-dead-code")
    recorded = header_size(model)
    history.forget(model)
    assert 1.0 < recorded / header_size(model) < 1.3


def header_size(model: Model) -> int:
    return len(regraft.files.convert.export(model).proto.SerializeToString())


# ------------------------------------------------------------------------------------------------ runs


def test_contract_and_difference_stand_in_the_record() -> None:
    model = bert.build()
    regraft.run(model, "fuse-gelu,fuse-layer-norm", verify="each")
    gelu, norm = history.read(model)
    assert gelu.contract.startswith("reassociation")
    assert gelu.measured is not None
    assert (gelu.measured.passes, norm.measured and norm.measured.passes) == (1, 1)
    assert gelu.measured.max_abs < 1e-5


def test_passes_that_are_verified_together_are_measured_together() -> None:
    model = bert.build()
    regraft.run(model, "fuse-gelu,fuse-layer-norm", verify="final")
    gelu, norm = history.read(model)
    assert gelu.measured is None
    assert norm.measured is not None
    assert norm.measured.passes == 2
    assert str(norm.measured).endswith("2 passes together")


def test_without_a_record_nothing_is_left(tmp_path: Path) -> None:
    model = bert.build()
    regraft.run(model, "fuse-gelu")
    regraft.run(model, "fuse-layer-norm", record=False)
    assert not {history.RECORD, history.PIPELINE} & model.metadata.keys()
    assert not [
        one for one in model.nodes() if one.has_metadata and any(key.startswith("regraft.") for key in one.metadata)
    ]


def test_each_run_has_a_fresh_folder_of_dumps_that_carry_the_history(tmp_path: Path) -> None:
    model = bert.build()
    regraft.run(model, "fold-constants")
    first = len(history.read(model))
    for text in ("fuse-gelu,fuse-layer-norm", "lower-gelu"):
        regraft.run(model, text, dump_dir=tmp_path)
    assert [path.name for path in runs(tmp_path)] == ["run-1", "run-2"]
    steps = sorted((tmp_path / "run-1").glob("*.onnx"))
    texts = [[entry.text for entry in history.read(regraft.load(step))] for step in steps]
    assert [len(one) - first for one in texts] == [0, 1, 2]
    assert texts[2][first:] == ["fuse-gelu", "fuse-layer-norm"]
    (last,) = sorted((tmp_path / "run-2").glob("01*.onnx"))
    assert history.read(regraft.load(last)) == history.read(model)
    assert history.pipeline_of(regraft.load(steps[1])) == "fold-constants,fuse-gelu"


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    for name in ("run-9", "run-x", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "run-10").write_text("")
    regraft.run(bert.build(), "fuse-gelu", dump_dir=tmp_path)
    assert [path.name for path in runs(tmp_path)] == ["run-9", "run-11"]


# ------------------------------------------------------------------------------------------------ what is handed on


def trace(*frames: str) -> str:
    return "\n  ".join(f'File "m.py", line {frame[1:]}, in {frame[0]}\n    code{frame}' for frame in frames)


def test_source_lines_of_all_that_went_are_kept_once() -> None:
    traces = [{TRACE: trace("f1", "g2", "h3")}, {TRACE: trace("f1", "g2", "h4")}, {STAGE: "s"}]
    found = inherited(traces)
    assert found == {STAGE: "s", TRACE: trace("f1", "g2", "h3", "h4")}
    assert source_lines(found) == [f"m.py:{n} in {f}: code{f}{n}" for f, n in ("f1", "g2", "h3", "h4")]
    assert inherited([found, *traces]) == found


@pytest.mark.parametrize("text", ["", "nonsense", 'File "', 'File "a"\nFile "b", line x'])
def test_a_trace_that_is_none_gives_no_lines(text: str) -> None:
    assert source_lines({TRACE: text}) == []


def test_a_fused_node_has_the_lines_of_source_after_runs_and_files(tmp_path: Path) -> None:
    model = bert.build()
    for number, one in enumerate(model.graph.nodes):
        one.metadata[TRACE] = trace("f1", f"g{number}")
        one.metadata["pkg.torch.onnx.name_scopes"] = str(["", "bert", f"bert.{number % 2}", one.name])
    regraft.run(model, "fuse-gelu")
    regraft.save(model, tmp_path / "a.onnx")
    again = regraft.load(tmp_path / "a.onnx")
    (gelu, *_) = [one for one in again.nodes() if one.op == "Gelu"]
    lines = source_lines(gelu.metadata)
    assert len(lines) == 6  # five nodes, and what they have in common once
    assert eval_scopes(gelu)[:-1] == ["", "bert"]
    regraft.run(again, "lower-gelu{form=tanh}")
    tanh = next(one for one in again.nodes() if one.op == "Tanh")
    assert source_lines(tanh.metadata) == lines


def eval_scopes(one: Node) -> list[str]:
    import ast

    found: list[str] = ast.literal_eval(one.metadata["pkg.torch.onnx.name_scopes"])
    return found


# ------------------------------------------------------------------------------------------------ any edits


class Vandal(Pass):
    """Edits at random, and says nothing, or something, of it."""

    name = "vandal"

    def __init__(self, choices: list[tuple[int, int, bool]]):
        super().__init__()
        self.choices = choices

    def run(self, model: Model, context: Context) -> None:
        for kind, place, says in self.choices:
            nodes = list(model.graph.nodes)
            one = nodes[place % len(nodes)]
            EDITS[kind % len(EDITS)](model, one, context if says else Context())


def take_out(model: Model, one: Node, context: Context) -> None:
    if len(model.graph.nodes) > 1 and one.inputs and one.outputs[0] not in model.graph.outputs:
        context.replaced([one], list(one.inputs[0].inputs), rule="out")
        with Editor(model) as edit:
            edit.replace(one.outputs[0], one.inputs[0])
            edit.remove(one)


def put_in(model: Model, one: Node, context: Context) -> None:
    with Editor(model) as edit:
        made = edit.insert(one, "Neg", [one.inputs[0]])
        one.inputs[0] = made.outputs[0]
    context.replaced([one], [made, one], rule="in")


def swap(model: Model, one: Node, context: Context) -> None:
    if one.op == "If":
        return
    with Editor(model) as edit:
        made = edit.insert(one, "Max", list(one.inputs), hint="swapped")
        edit.replace(one.outputs[0], made.outputs[0])
        edit.remove(one)
    context.replaced([one], [made], rule="swap")


def call(model: Model, one: Node, context: Context) -> None:
    with Editor(model) as edit:
        one.name = edit.name(one.name) if one.name else ""
        if one.outputs[0] not in model.graph.outputs:
            one.outputs[0].name = edit.name(one.outputs[0].name)


def retype(model: Model, one: Node, context: Context) -> None:
    one.op = {"Neg": "Abs", "Abs": "Neg"}.get(one.op, one.op)


def weigh(model: Model, one: Node, context: Context) -> None:
    for value in one.inputs:
        if isinstance(value, Constant):
            value.values = np.asarray(value.values + np.float32(1))


def rebuild(model: Model, one: Node, context: Context) -> None:
    model.graph = from_proto(to_proto(model)).graph


def lose(model: Model, one: Node, context: Context) -> None:
    one.name = ""


def grow(model: Model, one: Node, context: Context) -> None:
    with Editor(model) as edit:
        value = Variable(edit.name("loose"))
    model.graph.nodes.append(Node("Neg", value.name, None, [one.inputs[0]], [value]))
    model.graph.cleanup()


EDITS: list[Any] = [take_out, put_in, swap, call, retype, weigh, rebuild, lose, grow]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()), max_size=8), st.integers(1, 3))
def test_the_record_holds_after_any_edits(choices: list[tuple[int, int, bool]], passes: int) -> None:
    model = weighted()
    before = [label(one) for one in model.nodes()]
    weights = {"w"}
    for number in range(passes):
        regraft.run(model, [Vandal(choices[number::passes])])
    entries = history.read(model)
    assert not faults(before, model, entries)
    told = {made.weight for entry in entries for change in entry.changes for made in change.weights}
    now = {c.name for one in model.nodes() for c in one.inputs if isinstance(c, Constant) and c.nbytes >= 1024}
    assert now <= weights | told
