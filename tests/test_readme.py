"""The README tells what is true: its commands run, its code works, its table is complete."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

import regraft
from regraft.cli import cli
from regraft.pipelines.registry import load_file, targets
from regraft.pipelines.registry import passes as registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BEGIN = ("verifying", "importing", "bundles", "packing", "serving", "compilers", "precision")
"""Pages of `docs` whose first section is executed, after README, in this order."""


def docs(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


PAGES = [README, *(docs(name).split("\n## ")[0] for name in BEGIN)]
BLOCKS = [block for page in PAGES for block in re.findall(r"```(\w+)\n(.*?)```", page, re.S)]
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("regraft ")]
OF_TORCH = [command for command in COMMANDS if "huggingface" in command]
OF_TVM = [command for command in COMMANDS if "tvm" in command]
OF_TENSORFLOW = [command for command in COMMANDS if "tensorflow" in command]
OF_SERVING = [command for command in COMMANDS if re.match("regraft (serve|load-test|export-triton)", command)]
OWN_PASS, API = (text for kind, text in BLOCKS if kind == "python")
(PIPELINE,) = (text for kind, text in BLOCKS if kind == "toml")


@pytest.fixture
def folder(tmp_path, monkeypatch, artifacts) -> Path:
    """A folder with the files that the pages name, and a registry that forgets."""
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.chdir(tmp_path)
    shutil.copy(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx", tmp_path / "model.onnx")
    shutil.copytree(artifacts / "mxnet/gn0.10.0-classifier", tmp_path / "mxnet-bert")
    (tmp_path / "my_passes.py").write_text(OWN_PASS)
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    return tmp_path


def test_every_command_runs(folder):
    assert len(COMMANDS) > 8
    for command in COMMANDS:
        if command not in (*OF_TORCH, *OF_TENSORFLOW, *OF_TVM, *OF_SERVING):
            check(command)


def test_commands_of_torch_run(folder):
    pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript, which is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    importlib.import_module("tests.frontends.small").small("bert").save_pretrained(folder / "huggingface-bert")
    assert OF_TORCH
    for command in OF_TORCH:
        check(command)


def test_commands_of_tensorflow_run(folder, artifacts):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    shutil.copytree(artifacts / "tensorflow/tiny_seq32", folder / "tensorflow-bert")
    assert OF_TENSORFLOW
    for command in OF_TENSORFLOW:
        check(command)


def test_commands_of_serving_run(folder):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    served = importlib.import_module("tests.serving.served")
    first, *others = OF_SERVING
    bundle = shlex.split(first)[2]
    check(next(command for command in COMMANDS if f"-o {bundle} " in command))
    with served.process(*shlex.split(first)[2:], "--port", "8000") as (running, address, _):
        assert address.startswith("http://127.0.0.1:8000/")
        for command in others:
            check(command)
        running.terminate()
        assert running.wait(20) == 0


def test_commands_of_tvm_run(folder):
    pytest.importorskip("tvm", reason="tvm is not installed")
    assert OF_TVM
    for command in OF_TVM:
        check(command)


def check(command: str) -> None:
    """Run a command; 'diff' finds a difference, and 'check' what is refused."""
    result = CliRunner().invoke(cli, shlex.split(command)[1:])
    allowed = {"diff": [1], "check": [0, 1]}.get(shlex.split(command)[1], [0])
    assert result.exit_code in allowed, (command, result.output)


def test_the_pass_has_ten_lines_and_works(folder):
    assert len([line for line in OWN_PASS.splitlines() if line.strip()]) <= 10
    load_file(folder / "my_passes.py")
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    constants = {"three": 3.0, "low": 0.0, "six": 6.0}
    nodes = [
        helper.make_node("Add", ["three", "x"], ["moved"]),
        helper.make_node("Clip", ["moved", "low", "six"], ["cut"]),
        helper.make_node("Mul", ["x", "cut"], ["product"]),
        helper.make_node("Div", ["product", "six"], ["y"]),
    ]
    values = [helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], values)
    model = regraft.load(save(graph, folder / "swish.onnx"))
    regraft.run(model, "fuse-hard-swish", verify="each")
    assert [node.op for node in model.graph.nodes] == ["HardSwish"]


def save(graph: onnx.GraphProto, path: Path) -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def test_the_python_code_works(folder, capsys):
    exec(compile(API, "README.md", "exec"), {})
    assert "equal in 2 of 2 outputs" in capsys.readouterr().out


def test_the_tables_have_every_pass_and_every_target(monkeypatch):
    monkeypatch.setattr(targets, "_added", {})  # those of other tests
    rows = re.findall(r"^\| (`.*?) \|", docs("compilers"), re.M)
    assert sorted(name for row in rows for name in re.findall(r"`([\w-]+)`", row)) == targets.names()
    assert re.findall(r"^\| `([\w-]+)", docs("all-passes"), re.M) == registry.names()


def test_it_names_the_two_commands():
    two = next(text for kind, text in BLOCKS if kind == "sh" and text.startswith("make"))
    assert [line.split("#")[0].split() for line in two.splitlines()] == [["make", "demo"], ["make", "test"]]


SHOWN = re.findall(r"```sh\n(regraft [^\n]*)\n```\n\n```text\n(.*?)```", README, re.S)


def test_it_shows_what_the_commands_print(folder):
    """`...` stands for anything in its line, and where it is all of a line, for lines."""
    assert len(SHOWN) == 2
    for command, text in SHOWN:
        printed = CliRunner().invoke(cli, shlex.split(command)[1:]).stdout
        lines = [
            "(?s:.*)" if line == "..." else ".*".join(map(re.escape, line.split("..."))) for line in text.split("\n")
        ]
        assert re.search("\n".join(lines), printed), (command, printed)
