"""Whatever is wrong with the input: one line, exit code 2, no traceback, and nothing is overwritten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

OLD = b"what was there before"


def info(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [512])


def small(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [info("x")], [info("y")], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def relu() -> onnx.ModelProto:
    return small(helper.make_node("Relu", ["x"], ["y"], "relu"))


def with_external(location: str) -> bytes:
    tensor = onnx.TensorProto(name="w", dims=[512], data_type=onnx.TensorProto.FLOAT)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return small(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(tensor,)).SerializeToString()


def with_weight() -> bytes:
    weight = numpy_helper.from_array(np.ones(512, np.float32), "w")
    return small(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(weight,)).SerializeToString()


def cycle() -> bytes:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], "one"), helper.make_node("Relu", ["a"], ["b"], "two")]
    return small(*nodes, helper.make_node("Relu", ["b"], ["y"])).SerializeToString()


FILES: dict[str, tuple[bytes, str]] = {
    "text": (b"hello, this is no model\n", "not an ONNX model"),
    "empty": (b"", "not an ONNX model"),
    "binary": (bytes(range(256)) * 8, "not an ONNX model"),
    "truncated": (with_weight()[:-100], "truncated"),
    "missing external data": (with_external("weights.bin"), "weights.bin"),
    "external data outside": (with_external("../../secret"), "outside the model's folder"),
    "external data elsewhere": (with_external("/etc/hostname"), "outside the model's folder"),
    "cycle": (cycle(), "cycle"),
    "value that nothing makes": (small(helper.make_node("Relu", ["z"], ["y"], "n")).SerializeToString(), "'z'"),
}


@pytest.fixture
def fails(run, tmp_path) -> Callable[..., str]:
    """Run a command that must fail as it should; the line on stderr."""

    def check(*arguments: object) -> str:
        out = tmp_path / "out.onnx"
        out.write_bytes(OLD)
        before = sorted(p.name for p in tmp_path.iterdir())
        result = run(*arguments, *(["-o", out] if arguments[0] == "rewrite" else []))
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith("regraft: error: ")
        assert result.stderr.count("\n") == 1
        assert "unexpected" not in result.stderr
        assert out.read_bytes() == OLD
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        return result.stderr

    return check


@pytest.mark.parametrize("kind", FILES)
def test_a_bad_file(fails, tmp_path, kind):
    content, what = FILES[kind]
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    line = fails("rewrite", path, "--pipeline", "eliminate-dead-code")
    assert what in line
    assert str(path) in line


@pytest.mark.parametrize("command", ["show", "diff", "verify", "bench", "why"])
@pytest.mark.parametrize("kind", ["text", "truncated", "missing external data"])
def test_a_bad_file_in_other_commands(fails, tmp_path, command, kind):
    if command in ("show", "diff") and kind == "missing external data":
        pytest.skip("they do without weights")
    path = tmp_path / "bad.onnx"
    path.write_bytes(FILES[kind][0])
    more = {"show": [], "why": ["--pass", "fuse-gelu"]}.get(command, [path])
    assert FILES[kind][1] in fails(command, path, *more)


@pytest.mark.parametrize("command", ["show", "rewrite"])
def test_no_such_file(fails, tmp_path, command):
    assert "nowhere.onnx" in fails(command, tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("command", ["show", "why", "run"])
def test_a_misspelt_file(fails, tmp_path, command):
    (tmp_path / "better.onnx").touch()
    more = ["--pass", "fuse-gelu"] if command == "why" else []
    assert f"did you mean '{tmp_path}/better.onnx'?" in fails(command, tmp_path / "beter.onnx", *more)
    assert "did you mean" not in fails(command, tmp_path / "zzzzz" / "beter.onnx", *more)


def test_a_folder(fails, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "is an empty folder, which no frontend knows" in fails("rewrite", folder)


@pytest.mark.parametrize(
    ("pipeline", "what"),
    [
        ("fold-constant", "did you mean 'fold-constants'"),
        ("fold-constants{max-byte=1}", "did you mean 'max-bytes'"),
        ("fold-constants{max-bytes=lots}", "max-bytes"),
        ("lower-gelu{form=quick}", "erf, tanh, sigmoid"),
        ("fold-constants{", "column"),
        ("nowhere.toml", "nowhere.toml"),
        ("set-shapes{no_such_input=8x128}", "no_such_input"),
        ("set-shapes{input_ids=8x128x3}", "input_ids"),
        ("convert-opset{version=99999}", "99999"),
    ],
)
def test_a_bad_pipeline(fails, model, pipeline, what):
    assert what in fails("rewrite", model, "--pipeline", pipeline)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--target", "onnxrun"], "did you mean 'onnxruntime'"),
        (["--load", "nowhere.py"], "nowhere.py"),
        (["--verify", "final", "--inputs", "nowhere.npz"], "nowhere.npz"),
        (["--verify", "final", "--inputs", "input_idz=2x4"], "input_idz"),
        (["--verify", "final", "--inputs", "input_ids=2x4x4"], "input_ids"),
        (["--layout", "reference", "--pipeline", "eliminate-dead-code"], "layout 'reference'"),
    ],
)
def test_bad_options(fails, model, options, what):
    assert what in fails("rewrite", model, *options)


def test_no_such_pass_target_or_command(fails):
    assert "did you mean 'fuse-gelu'" in fails("passes", "fuse-gelo")
    assert "did you mean 'onnxruntime'" in fails("targets", "onnx-runtime")


def test_why_takes_one_pass(fails, model):
    assert "takes one pass" in fails("why", model, "--pass", "fuse-gelu,lower-gelu")


def test_a_place_that_cannot_be_written(run, model, tmp_path):
    (tmp_path / "mine.txt").touch()
    for out in (tmp_path, tmp_path / "no" / "folder" / "x.onnx"):
        result = run("rewrite", model, "-o", out, "--pipeline", "eliminate-dead-code")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "cannot write" in result.stderr


def test_a_pass_that_breaks_its_promise_writes_nothing(fails, tmp_path, model, monkeypatch):
    monkeypatch.setattr("regraft.pipelines.registry.passes._added", {})
    own = tmp_path / "liar.py"
    own.write_text(
        "import regraft\n"
        "class Liar(regraft.Pass):\n"
        '    """Promise equality and drop a Gelu."""\n'
        '    name = "liar"\n'
        "    def run(self, model, context):\n"
        "        node = next(n for n in model.graph.nodes if n.op == 'Erf')\n"
        "        node.op = 'Tanh'\n"
    )
    line = fails("rewrite", model, "--pipeline", "liar", "--load", own, "--verify", "each")
    assert "liar" in line
    assert "exact" in line


def test_models_that_cannot_be_compared(fails, tmp_path, model):
    other = tmp_path / "relu.onnx"
    other.write_bytes(relu().SerializeToString())
    fails("verify", model, other)


def test_a_report_that_cannot_be_written_leaves_no_model(run, model, tmp_path):
    result = run("rewrite", model, "-o", tmp_path / "out.onnx", "--report", tmp_path / "no" / "report.json")
    assert result.exit_code == 2
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("place", ["the model", "the output"])
def test_a_report_takes_the_place_of_no_model(run, model, tmp_path, place):
    before, out = model.read_bytes(), tmp_path / "out.onnx"
    model = tmp_path / "model.onnx"
    model.write_bytes(before)
    result = run("rewrite", model, "-o", out, "--report", model if place == "the model" else out)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "would take the place of" in result.stderr
    assert model.read_bytes() == before
    assert not out.exists()


def test_a_plan_takes_the_place_of_no_model(run, model, tmp_path):
    before = model.read_bytes()
    model = tmp_path / "model.onnx"
    model.write_bytes(before)
    result = run("precision-plan", model, "-o", model)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "the plan goes to a .toml file" in result.stderr
    assert model.read_bytes() == before
