"""`regraft log` and `regraft blame`: what the record of a rewrite says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.inspection.blame import blame
from regraft.models import bert


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "b.onnx"
    model = bert.build()
    regraft.run(model, "fuse-gelu,fuse-layer-norm,lower-gelu{form=tanh}")
    regraft.save(model, path)
    return path


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.output


def test_log_lists_the_passes(file: Path) -> None:
    lines = run("log", file).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["fuse-gelu", "fuse-layer-norm", "lower-gelu{form=tanh}"]
    assert "2 erf" in lines[1]
    rows = json.loads(run("log", file, "--json"))
    assert [row["pass"] for row in rows] == ["fuse-gelu", "fuse-layer-norm", "lower-gelu{form=tanh}"]
    assert len(rows[0]["changes"]) == 2


def test_a_model_without_a_record_says_so(tmp_path: Path) -> None:
    regraft.save(bert.build(), tmp_path / "a.onnx")
    assert "no pass of regraft changed" in run("log", tmp_path / "a.onnx")


def test_blame_goes_back_to_the_first_model(file: Path) -> None:
    model = regraft.load(file)
    made = next(node for node in model.graph.nodes if node.op == "Tanh")
    found = blame(model, made.outputs[0].name)
    assert (found.operator, found.pass_text, found.rule) == ("Tanh", "lower-gelu{form=tanh}", "tanh")
    (gelu,) = found.of
    assert (gelu.pass_text, gelu.rule) == ("fuse-gelu", "erf")
    assert len(gelu.of) == 5
    assert all(not one.pass_text and not one.of for one in gelu.of)
    first = {node.name or node.outputs[0].name for node in bert.build().graph.nodes}
    assert {one.name for one in gelu.of} <= first
    assert blame(model, made.name) == found


def test_a_node_of_the_first_model_is_its_own(file: Path) -> None:
    model = regraft.load(file)
    node = next(node for node in model.graph.nodes if node.op == "MatMul")
    node.metadata["source"] = "model.py:7"
    found = blame(model, node.name)
    assert (found.pass_text, found.of, dict(found.metadata)) == ("", (), {"source": "model.py:7"})


def test_blame_on_the_command_line(file: Path) -> None:
    name = next(node.name for node in regraft.load(file).graph.nodes if node.op == "Tanh")
    said = run("blame", file, name).splitlines()
    assert said[0].startswith("Tanh ")
    assert "by lower-gelu{form=tanh}" in said[0]
    assert said[1].startswith("  ")
    assert sum("from the first model" in line for line in said) == 5
    assert json.loads(run("blame", file, name, "--json"))["of"][0]["pass"] == "fuse-gelu"
    assert "did you mean" in run("blame", file, f"{name}x", code=2)
