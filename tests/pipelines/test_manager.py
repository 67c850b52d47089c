from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import numpy_helper, parser

import regraft
from regraft.errors import GraphError, PassError, PipelineError, VerificationError
from regraft.files.convert import from_proto
from regraft.ir.graph import Constant, Node, Variable
from regraft.pipelines import history
from regraft.pipelines.manager import run
from regraft.pipelines.options import Shapes, option
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline, Repeat
from regraft.refusal import INFER_SHAPES, run_before
from regraft.verification.contract import approximation, exact, interface, reassociation
from regraft.verification.inputs import Given
from regraft.verification.runtime import Session

TEXT = """
<ir_version: 10, opset_import: ["" : 20]>
m (float[batch, 64] x, float[batch] label) => (float[batch, 64] y, float[1] loss) {
    [root] r = Sqrt(x2)
    [square] x2 = Mul(x, x)
    [add] y = Add(r, w)
    [mean] m = ReduceMean<keepdims=0>(y)
    [sum] s = ReduceSum<keepdims=0>(label)
    [loss_node] l = Add(m, s)
    [shape] one = Constant<value_ints: ints = [1]>()
    [reshape] loss = Reshape(l, one)
}
"""


def make_model() -> onnx.ModelProto:
    text = TEXT.replace("    [root] r = Sqrt(x2)\n", "").replace("[add]", "[root] r = Sqrt(x2)\n    [add]")
    proto = parser.parse_model(text)
    weight = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)[:1]
    big = np.arange(64 * 64, dtype=np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    proto.graph.initializer.append(numpy_helper.from_array(big, "big"))
    return proto


@pytest.fixture
def model(tmp_path):
    proto = make_model()
    proto.graph.node.append(onnx.helper.make_node("Identity", ["big"], ["big_out"], "big"))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("big_out", onnx.TensorProto.FLOAT, [4096]))
    onnx.save(proto, tmp_path / "model.onnx")
    return regraft.load(tmp_path / "model.onnx")


def named(model, name):
    return next(node for node in model.nodes() if node.name == name)


class ToAbs(Pass):
    """Sqrt(x * x) is |x|."""

    name = "to-abs"
    contract = reassociation

    def run(self, model, context):
        root, square = named(model, "root"), named(model, "square")
        new = gs.Node("Abs", "abs", inputs=[square.inputs[0]], outputs=list(root.outputs))
        root.outputs.clear()
        model.graph.nodes.insert(model.graph.nodes.index(square), new)
        context.replaced([square, root], [new], rule="square-root")
        context.note("one found")
        for node in (root, square):
            node.inputs.clear()
            node.outputs.clear()
            model.graph.nodes.remove(node)


class AddConstant(Pass):
    """Adds to the output."""

    name = "add-constant"
    amount: float = option(1e-3)
    contract = exact

    def run(self, model, context):
        for graph in model.graphs():
            add = named(model, "add")
            weight = add.inputs[1]
            shifted = Constant("w_shifted", weight.values + np.float32(self.amount))
            add.inputs[1] = shifted
            graph.cleanup()


class AddApproximately(AddConstant):
    name = "add-approximately"
    contract = approximation(2e-3)


class Nothing(Pass):
    """Does nothing."""

    name = "nothing"

    def run(self, model, context):
        pass


class Rename(Pass):
    """Renames a node."""

    name = "rename"

    def run(self, model, context):
        model.graph.nodes[0].name = "renamed"


class DropLabel(Pass):
    """Drops the loss."""

    name = "drop-label"
    contract = interface

    def run(self, model, context):
        graph = model.graph
        gone = [named(model, name) for name in ("mean", "sum", "loss_node", "shape", "reshape")]
        graph.outputs = [tensor for tensor in graph.outputs if tensor.name != "loss"]
        graph.inputs = [tensor for tensor in graph.inputs if tensor.name != "label"]
        context.replaced(gone)
        for node in gone:
            node.inputs.clear()
            node.outputs.clear()
            graph.nodes.remove(node)


class Freeze(Pass):
    """Freezes shapes."""

    name = "freeze"
    contract = interface
    shapes: Shapes = option({})

    def run(self, model, context):
        for tensor in model.graph.inputs:
            if tensor.name in self.shapes:
                tensor.shape = list(self.shapes[tensor.name])


class Fails(Pass):
    """Fails."""

    name = "fails"

    def run(self, model, context):
        for node in model.nodes():
            if node.op == "Sqrt":
                raise ValueError("no root\nof evil")


class Breaks(Pass):
    """Leaves a value that nothing makes."""

    name = "breaks"

    def run(self, model, context):
        named(model, "add").inputs[0] = Variable("nowhere")


def test_report_says_what_each_pass_did(model, tmp_path):
    report = run(model, [Nothing, ToAbs])
    nothing, to_abs = report.passes
    assert (nothing.changed, to_abs.changed, report.changed) == (False, True, True)
    assert (to_abs.nodes_before, to_abs.nodes_after) == (9, 8)
    assert to_abs.changes[0].removed == ("square", "root")
    assert to_abs.changes[0].added == ("abs",)
    assert to_abs.rules() == {"square-root": 1}
    assert to_abs.notes == ["one found"]
    assert to_abs.contract == "reassociation"
    assert to_abs.peak_memory > 10e6
    assert to_abs.peak_growth >= 0
    assert 0 < report.seconds < 10
    report.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["pipeline"] == "nothing,to-abs"
    nothing_else = {"edited": [], "values": [], "weights": []}
    change = {"rule": "square-root", "removed": ["square", "root"], "added": ["abs"]}
    assert written["passes"][1]["changes"] == [change | nothing_else]
    table = report.timing().splitlines()
    assert len(table) == 4
    assert re.search(r"9\s+-1\s+\d+  to-abs", table[2])


class Refuses(Pass):
    """Says that it needs types; an error if it is strict."""

    name = "refuses"
    strict: bool = option(False)

    def run(self, model, context):
        refusal = run_before(INFER_SHAPES, "its rank is not known")
        if self.strict:
            raise PassError(refusal)
        context.refuse(refusal, named(model, "add"))


def test_the_report_has_refusals_as_data(model):
    (said,) = run(model, [Refuses]).passes
    (refusal,) = said.refusals
    assert (refusal.node, refusal.needs) == ("add", ("infer-shapes",))
    assert said.notes == ["kept add: its rank is not known; run infer-shapes before"]
    reason = "its rank is not known; run infer-shapes before"
    assert json.loads(run(model, [Refuses]).to_json())["passes"][0]["refusals"] == [
        {"node": "add", "reason": reason, "needs": ["infer-shapes"]}
    ]


def test_what_a_failing_pass_needs_is_kept(model):
    with pytest.raises(PassError, match=r"pass 'refuses.*' failed.*: its rank is not known") as failed:
        run(model, [Refuses(strict=True)])
    assert failed.value.needs == ("infer-shapes",)
    with pytest.raises(PassError) as failed:
        run(model, [Fails])
    assert failed.value.needs == ()


def test_the_model_carries_the_record(model, tmp_path):
    run(model, [Nothing, ToAbs])
    run(model, [DropLabel])
    regraft.save(model, tmp_path / "out.onnx")
    again = regraft.load(tmp_path / "out.onnx")
    assert history.pipeline_of(again) == "nothing,to-abs,drop-label"
    entries = history.read(again)
    assert [entry.text for entry in entries] == ["to-abs", "drop-label"]
    assert entries[0].changes[0].rule == "square-root"
    assert entries[1].changes[0].removed == ("mean", "sum", "loss_node", "shape", "reshape")
    made = named(again, "abs")
    assert made.metadata["regraft.pass"] == "to-abs"
    assert json.loads(made.metadata["regraft.replaces"]) == ["square", "root"]


def test_who_asks_is_told_after_each_pass(model):
    seen = []

    def after(said):
        seen.append((said.text, said.changed, len(model.graph.nodes)))

    nodes = len(model.graph.nodes)
    run(model, "eliminate-dead-code,repeat(fold-constants)", after=after)
    folded = len(model.graph.nodes)
    assert seen == [
        ("eliminate-dead-code", False, nodes),
        ("fold-constants", True, folded),
        ("fold-constants", False, folded),
    ]
    assert folded < nodes


def test_a_damaged_record_is_named(model):
    model.metadata[history.RECORD] = "[1"
    with pytest.raises(regraft.RegraftError, match=r"regraft\.record is damaged"):
        run(model, [Nothing])


def test_dumps_hold_each_changed_graph_and_one_copy_of_the_weights(model, tmp_path):
    report = run(model, [ToAbs, Nothing, AddConstant()], dump_dir=tmp_path / "dumps")
    folder = tmp_path / "dumps" / "run-1"
    files = sorted(path.name for path in folder.iterdir())
    graphs = ["00-input.onnx", "01-to-abs.onnx", "03-add-constant.onnx"]
    assert [name for name in files if name.endswith(".onnx")] == graphs
    assert sum((folder / name).stat().st_size for name in files) < 1.5 * model.path.stat().st_size
    assert report.passes[0].dump == folder / "01-to-abs.onnx"
    assert report.passes[1].dump is None
    nodes = [len(regraft.load(folder / name).graph.nodes) for name in graphs]
    assert nodes == [9, 8, 8]
    inputs = {"x": np.ones((2, 64), np.float32), "label": np.ones(2, np.float32)}
    y = [Session(folder / name).run(inputs) for name in graphs]
    np.testing.assert_array_equal(y[0]["big_out"], np.arange(4096, dtype=np.float32))
    np.testing.assert_array_equal(y[1]["big_out"], y[0]["big_out"])
    np.testing.assert_allclose(y[2]["y"], y[0]["y"] + 1e-3, rtol=1e-6)


def test_a_dump_folder_that_cannot_be(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(regraft.RegraftError, match="cannot make the dump folder"):
        run(model, [Nothing], dump_dir=tmp_path / "file")


def test_each_reports_the_drift_of_what_changed(model):
    report = run(model, [Nothing, ToAbs, AddApproximately()], verify="each")
    nothing, to_abs, add = (one.drift for one in report.passes)
    assert nothing is None
    assert to_abs.passed
    assert to_abs.max_abs < 1e-6
    assert {output.name for output in add.outputs} == {"y"}  # the others are computed as before
    assert add.max_abs == pytest.approx(1e-3, rel=1e-2)
    assert {output.name for output in report.drift.outputs} == {"y", "loss", "big_out"}


@pytest.mark.parametrize("trials", [1, 3])
def test_each_runs_what_a_pass_changed_before_and_after_for_each_trial(model, monkeypatch, trials):
    """The model runs to begin with and to record what is inside, then two regions, then it around `DropLabel`."""
    runs = []
    original = Session.run
    monkeypatch.setattr(Session, "run", lambda self, *args: runs.append(1) or original(self, *args))
    report = run(model, [Nothing, ToAbs, Nothing, AddApproximately(), DropLabel()], verify="each", trials=trials)
    assert len(runs) == (2 + 2 * 2 + 2) * trials
    assert report.trials == trials


def test_final_checks_the_contracts_together(model):
    report = run(model, [ToAbs, AddApproximately()], verify="final")
    assert [one.drift for one in report.passes] == [None, None]
    assert report.drift.passed
    assert report.drift.contract == "reassociation+approximation(0.002)"


@pytest.mark.parametrize("verify", ["each", "final"])
def test_a_broken_contract_names_pass_output_drift_and_bound(model, verify, tmp_path):
    with pytest.raises(VerificationError) as raised:
        run(model, [Nothing, ToAbs, AddConstant(amount=0.5)], verify=verify)
    message = str(raised.value)
    assert "add-constant{amount=0.5}" in message
    assert re.search(r"y: \d+ of \d+ values differ, which an exact contract does not allow: \S+ became \S+", message)
    assert "\n" not in message


def test_none_does_not_run_the_model(model, monkeypatch):
    monkeypatch.setattr(Session, "run", None)
    run(model, [AddConstant(amount=0.5)])


@pytest.mark.parametrize("verify", ["each", "final"])
@pytest.mark.parametrize(
    ("passes", "removed"),
    [
        ([DropLabel], ("loss",)),
        ([Freeze(x="8x64")], ()),
        ([Freeze(x="8x64"), DropLabel, ToAbs], ("loss",)),
        ([DropLabel, ToAbs, Freeze(x="8x64")], ("loss",)),
    ],
    ids=["outputs", "shapes", "shapes-first", "shapes-last"],
)
def test_interface_changes_compare_what_is_left(model, verify, passes, removed):
    report = run(model, passes, verify=verify)
    drifts = [report.drift] if verify == "final" else [one.drift for one in report.passes]
    assert all(drift.passed for drift in drifts)
    assert removed in [drift.removed for drift in drifts]
    assert all("y" in [output.name for output in drift.outputs] for drift in drifts)


def test_a_pass_that_hides_an_interface_change_is_found(model):
    class Sly(DropLabel):
        name = "sly"
        contract = exact

    with pytest.raises(VerificationError, match=r"pass 'sly' at node 'mean' breaks .* exact: loss: the output is gone"):
        run(model, [Sly], verify="each")


def test_a_random_output_is_named_and_not_compared():
    text = """<ir_version: 10, opset_import: ["" : 20]>
    m (float[4] x) => (float[4] y, float[4] noise) { y = Abs(x) noise = RandomNormalLike(x) }"""
    report = run(from_proto(parser.parse_model(text)), [Rename], verify="each")
    assert report.unstable == ["noise"]
    assert [output.name for output in report.passes[0].drift.outputs] == ["y"]


def test_a_failed_verification_says_where_the_graph_before_it_lies(model, tmp_path):
    with pytest.raises(VerificationError, match=r"the graph before it: .*01-to-abs\.onnx"):
        run(model, [ToAbs, AddConstant()], verify="each", dump_dir=tmp_path / "d")
    with pytest.raises(VerificationError, match=r"the graph before it: .*01-to-abs\.onnx"):
        run(regraft.load(model.path), [ToAbs, AddConstant()], verify="final", dump_dir=tmp_path / "e")


def test_given_inputs_are_used(model):
    x = np.full((3, 64), 7, np.float32)
    inputs = {"x": x, "label": np.zeros(3, np.float32)}
    assert run(model, [ToAbs], verify="each", inputs=inputs).passes[0].drift.max_abs == 0
    with pytest.raises(VerificationError, match="input 'x' no longer fits"):
        run(model, [Freeze(x="8x64")], verify="each", inputs=inputs)


def test_a_given_shape_may_change(model):
    report = run(model, [ToAbs, Freeze(x="8x64")], verify="each", inputs=Given(shapes={"x": [3, 64]}))
    assert all(one.drift.passed for one in report.passes)


def test_a_bug_in_a_pass_names_pass_node_place_and_file(model):
    before = Path(model.path).read_bytes()
    with pytest.raises(PassError) as raised:
        run(model, [Nothing, Fails])
    message = str(raised.value)
    for words in ("pass 'fails'", str(model.path), "node 'root' (Sqrt)", "test_manager.py, line", "ValueError"):
        assert words in message
    assert message.endswith("no root of evil")
    assert isinstance(raised.value.__cause__, ValueError)
    assert Path(model.path).read_bytes() == before


def test_a_bug_that_shows_in_a_library_is_placed_in_the_pass(model):
    class Reshapes(Pass):
        name = "reshapes"

        def run(self, model, context):
            np.zeros(4).reshape(model.graph.nodes[0].op, 3)

    with pytest.raises(PassError, match=r"in test_manager\.py, line \d+: TypeError"):
        run(model, [Reshapes])


def test_nothing_done_leaves_no_record(model):
    run(model, [])
    assert not model.metadata
    run(model, [Nothing])
    assert model.metadata == {"regraft.pipeline": "nothing"}


def test_a_failure_says_where_the_graph_before_it_lies(model, tmp_path):
    with pytest.raises(GraphError, match=r"the graph before it: .*01-to-abs\.onnx") as raised:
        run(model, [ToAbs, Breaks], dump_dir=tmp_path / "d")
    assert regraft.load(tmp_path / "d" / "run-1" / "01-to-abs.onnx").graph.nodes
    assert "breaks" in str(raised.value)


def test_a_pass_that_breaks_the_graph_is_named(model):
    with pytest.raises(GraphError, match=r"pass 'breaks' left a broken graph.*'nowhere'"):
        run(model, [Breaks])


def test_a_graph_that_is_broken_before_any_pass():
    proto = make_model()
    proto.graph.node[0].input[0] = "nothing makes it"
    with pytest.raises(GraphError, match="broken before any pass"):
        run(from_proto(proto), [Nothing])


def test_an_unknown_way_of_verifying(model):
    with pytest.raises(PipelineError, match="none, final, each"):
        run(model, [Nothing], verify="always")


def test_progress_shows_and_changes_nothing(model, capsys):
    class Slow(Pass):
        name = "slow"

        def run(self, model, context):
            context.note(str(sum(1 for _ in context.progress(model.graph.nodes, len(model.graph.nodes)))))

    assert run(model, [Slow, ToAbs], progress=True).passes[0].notes == ["9"]
    assert capsys.readouterr().out == ""


class FoldIdentity(Pass):
    """Reads a weight itself, not its Identity."""

    name = "fold-identity"

    def run(self, model, context):
        for node in model.graph.nodes:
            if node.op == "MatMul":
                node.inputs[1] = node.inputs[1].inputs[0].inputs[0]
        model.graph.cleanup()


def test_a_product_rounds_alike_with_a_stored_and_a_computed_weight():
    text = """<ir_version: 10, opset_import: ["" : 20]>
    m (float[1, 384] x) => (float[1, 1536] y) { v = Identity(w) y = MatMul(x, v) }"""
    proto = parser.parse_model(text)
    weight = np.random.default_rng(0).standard_normal((384, 1536), np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    assert run(from_proto(proto), [FoldIdentity], verify="each").passes[0].drift.passed


def test_half_floats_inside_count():
    node = Node("Cast", "c", {"to": 10}, [Variable("x", np.float32, [4])], [Variable("h", np.dtype(np.float16), [4])])
    back = Node("Cast", "d", {"to": 1}, [node.outputs[0]], [Variable("y", np.float32, [4])])
    graph = regraft.ir.graph.Graph([node, back], inputs=node.inputs, outputs=back.outputs, opset=20)
    from regraft.verification.verify import coarsest_float

    assert coarsest_float(regraft.Model(graph)) == np.float16


class Halve(Pass):
    """Takes one of two names in a row away; what is left needs another round."""

    name = "halve"

    def run(self, model, context):
        last = model.graph.nodes[-1]
        if last.op == "Identity":
            before = last.inputs[0].inputs[0]
            output = last.outputs[0]
            last.outputs.clear()
            last.inputs.clear()
            model.graph.nodes.remove(last)
            before.outputs[:] = [output]
            context.replaced([last])


def chain_of_identities(length):
    text = "".join(f"v{i} = Identity({f'v{i - 1}' if i else 'y'}) " for i in range(length - 1))
    body = f"y = Neg(x) {text} out = Identity(v{length - 2})"
    header = '<ir_version: 9, opset_import: ["" : 20]>'
    return from_proto(parser.parse_model(f"{header} g (float x) => (float out) {{ {body} }}"))


def test_a_group_is_repeated_until_nothing_changes():
    model = chain_of_identities(3)
    report = run(model, Pipeline(Nothing, Repeat(Halve, Nothing), Nothing))
    assert [node.op for node in model.graph.nodes] == ["Neg"]
    rounds = [(one.name, one.rounds, one.changed) for one in report.passes]
    assert rounds[:3] == [("nothing", (), False), ("halve", (1,), True), ("nothing", (1,), False)]
    assert rounds[-3:] == [("halve", (4,), False), ("nothing", (4,), False), ("nothing", (), False)]
    assert len(rounds) == 1 + 2 * 4 + 1
    assert report.pipeline == "nothing,repeat(halve,nothing),nothing"
    assert "halve (round 2)" in report.timing()
    assert report.to_dict()["passes"][1]["rounds"] == (1,)
    assert not any(one.notes for one in report.passes)
    assert len(history.read(model)) == 3


def test_a_group_that_still_changes_something_after_its_last_round_says_so():
    model = chain_of_identities(5)
    report = run(model, Pipeline(Repeat(Halve, Nothing, rounds=2)))
    assert len(model.graph.nodes) == 4
    assert [one.notes for one in report.passes][-1] == [
        "the last of 2 rounds changed something still: repeat{rounds=2}(halve,nothing)"
    ]


def test_groups_in_groups_count_their_rounds_and_an_empty_one_does_nothing():
    report = run(chain_of_identities(2), Pipeline(Repeat(Nothing, Repeat(Halve)), Repeat()))
    assert [one.rounds for one in report.passes] == [(1,), (1, 1), (1, 2), (1, 3), (2,), (2, 1)]
