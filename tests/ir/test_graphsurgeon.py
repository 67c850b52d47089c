"""To onnx-graphsurgeon and back: nothing is lost, weights stay where they are, and its users' functions are passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import helper, numpy_helper, parser

import regraft
from regraft.errors import PassError
from regraft.files.convert import export, from_proto
from regraft.files.saving import to_proto
from regraft.ir.model import Model
from regraft.models import backend_cases
from regraft.pipelines.registry import load_file, passes
from regraft.runtime import Session

ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))

TEXT = """<ir_version: 10, opset_import: ["" : 20, "own" : 1], producer_name: "hand", producer_version: "1">
m (float[n] x, bool c, float[2] w) => (float[n] y)
<float[2] w = {1.0, 2.0}, float unused = {3.0}>
{
    scaled = own.scale <by = 2.0> (x)
    [branch] y = If (c) <
        then_branch = yes () => (float[n] a) { [inner] a = Add(scaled, w) },
        else_branch = no () => (float[n] b) { b = Identity(x) }
    >
}
<domain: "own", opset_import: ["" : 20]>
scale <by> (v) => (r) { k = Constant <value_float: float = @by> () r = Mul(v, k) }
"""
"""A default, an initializer that nothing reads, bodies that read from outside, a function."""


def is_same(model: Model, other: Model) -> bool:
    """Whether both say the same, of the same values."""
    (proto, values), (back, others) = export(model), export(other)
    return back == proto and all(a is b for a, b in zip(values, others, strict=True))


def same(model: Model, other: Model) -> None:
    assert is_same(model, other)


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_exported_models_survive(path: Path) -> None:
    model = regraft.load(path)
    before = to_proto(model)
    same(model, Model.from_graphsurgeon(model.to_graphsurgeon()))
    assert to_proto(model) == before


def test_graphsurgeon_writes_it() -> None:
    model = weighted()
    written = gs.export_onnx(model.to_graphsurgeon().cleanup())
    onnx.checker.check_model(written, full_check=True)
    x = np.random.default_rng(0).standard_normal((3, 64), np.float32)
    np.testing.assert_array_equal(Session(written).run({"x": x})["y"], Session(model).run({"x": x})["y"])


def test_bodies_functions_and_defaults_survive() -> None:
    proto = parser.parse_model(TEXT)
    proto.graph.node[1].metadata_props.add(key="k", value="v")
    proto.graph.node[1].doc_string = "said"
    model = from_proto(proto)
    theirs = model.to_graphsurgeon()
    assert type(theirs) is gs.Graph
    assert {type(node) for node in theirs.nodes} == {gs.Node}
    same(model, Model.from_graphsurgeon(theirs))


def test_backend_cases_survive() -> None:
    names = sorted(backend_cases.sources())[::37]
    models = {name: from_proto(backend_cases.read(name).model) for name in names}
    back = {name: Model.from_graphsurgeon(model.to_graphsurgeon()) for name, model in models.items()}
    assert [name for name in names if not is_same(models[name], back[name])] == []


def test_both_are_apart() -> None:
    model = from_proto(parser.parse_model(TEXT))
    before = to_proto(model)
    other = Model.from_graphsurgeon(model.to_graphsurgeon())
    other.graph.nodes[0].metadata["new"] = "1"
    other.graph.inputs[-1].default.values = np.zeros(2, np.float32)
    other.graph.unused.clear()
    other.graph.nodes.pop()
    other.graph.inputs[0].shape[0] = 7
    assert to_proto(model) == before


def weighted() -> Model:
    weight = np.arange(4096, dtype=np.float32).reshape(64, 64)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
        helper.make_node("Relu", ["product"], ["y"], "relu"),
        helper.make_node("Neg", ["product"], ["dead"], "dead"),
    ]
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 64]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def double(graph: Any) -> None:
    """Doubles the weight."""
    weight = next(node for node in graph.nodes if node.op == "MatMul").inputs[1]
    weight.values = weight.values * 2


def test_a_function_of_graphsurgeons_is_a_pass_in_a_line() -> None:
    tidy = regraft.graphsurgeon_pass("tidy", lambda graph: graph.cleanup().toposort(), regraft.exact)
    model = weighted()
    report = regraft.run(model, [tidy], verify="each")
    assert [node.name for node in model.graph.nodes] == ["product", "relu"]
    assert [(change.removed, change.added) for change in report.passes[0].changes] == [(("dead",), ())]


def test_a_value_that_such_a_pass_computes_is_the_models() -> None:
    x = np.random.default_rng(0).standard_normal((3, 64), np.float32)
    model = weighted()
    before = Session(model).run({"x": x})["y"]
    regraft.run(model, [regraft.graphsurgeon_pass("double", double)])
    np.testing.assert_allclose(Session(model).run({"x": x})["y"], 2 * before, rtol=1e-5)


def clip(graph: Any) -> None:
    """Puts a Clip in the place of each Relu."""
    for node in graph.nodes:
        if node.op == "Relu":
            node.op = "Clip"
            node.inputs.append(gs.Constant("zero", np.zeros((), np.float32)))
            made = gs.Variable("kept", np.float32, node.outputs[0].shape)
            end = gs.Node("Identity", "end", inputs=[made], outputs=list(node.outputs))
            node.outputs = [made]
            graph.nodes.append(end)


def test_what_it_makes_is_ours_and_recorded() -> None:
    model = weighted()
    report = regraft.run(model, [regraft.graphsurgeon_pass("clip", clip)], verify="each")
    assert [node.op for node in model.graph.nodes] == ["MatMul", "Clip", "Neg", "Identity"]
    (change,) = report.passes[0].changes
    assert (change.removed, change.added) == (("relu",), ("end", "relu"))
    assert model.graph.nodes[-1].metadata["regraft.pass"] == "clip"
    assert regraft.graphsurgeon_pass("clip", clip).help() == "Puts a Clip in the place of each Relu."


def test_what_is_no_graph_is_refused() -> None:
    wrong = regraft.graphsurgeon_pass("wrong", lambda graph: 3)
    with pytest.raises(PassError, match=r"pass 'wrong' failed: its function returns int; it must return a graph"):
        regraft.run(weighted(), [wrong])


def test_a_file_of_passes_may_have_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own_passes.py"
    file.write_text("import regraft\nTidy = regraft.graphsurgeon_pass('own-tidy', lambda g: g.cleanup())\n")
    monkeypatch.setattr(passes, "_added", dict(passes._added))
    assert [found.name for found in load_file(file)] == ["own-tidy"]
    model = weighted()
    regraft.run(model, "own-tidy")
    assert len(model.graph.nodes) == 2
