"""`regraft log` and `regraft blame`: what the record of a rewrite says."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.inspection.blame import blame
from regraft.inspection.census import constants
from regraft.models import bert
from regraft.pipelines import history
from regraft.pipelines.inheritance import TRACE
from regraft.pipelines.pass_base import Change


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "b.onnx"
    model = bert.build()
    for number, node in enumerate(model.graph.nodes):
        node.metadata[TRACE] = f'File "model.py", line {number}, in forward\n    x = f{number}(x)'
    regraft.run(model, "fuse-gelu,fuse-layer-norm,lower-gelu{form=tanh},convert-fp16", verify="each")
    regraft.save(model, path)
    return path


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result.output


def test_log_lists_the_passes(file: Path) -> None:
    lines = run("log", file).splitlines()
    passes = ["fuse-gelu", "fuse-layer-norm", "lower-gelu{form=tanh}", "convert-fp16"]
    assert [line.split()[0] for line in lines[1:]] == passes
    assert "2 erf" in lines[1]
    assert "reassociation" in lines[1]
    assert re.search(r"  0\.\d+ of last_hidden_state$", lines[-1])
    assert "nodes edited" in lines[-1]
    assert "weights" in lines[-1]
    rows = json.loads(run("log", file, "--json"))
    assert [row["pass"] for row in rows] == passes
    assert [change["rule"] for change in rows[0]["changes"]] == ["erf", "erf", "besides"]  # a function stands for Gelu
    assert rows[0]["contract"] == "reassociation"
    assert rows[0]["measured"]["passes"] == 1


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
    found = blame(model, node.name)
    assert (found.pass_text, found.of, dict(found.metadata)) == ("", (), dict(node.metadata))
    assert found.edits == ("convert-fp16",)
    assert len(found.source) == 1


def test_a_fused_node_has_the_source_of_what_it_replaced(file: Path) -> None:
    model = regraft.load(file)
    found = blame(model, next(node.name for node in model.graph.nodes if node.op == "Tanh"))
    assert len(found.source) == 5
    assert found.source[0].startswith("model.py:")
    assert "in forward: x = f" in found.source[0]


def test_a_weight_is_of_the_one_that_it_was(file: Path) -> None:
    model = regraft.load(file)
    weight = next(one for one in constants(model) if one.dtype == np.float16 and one.nbytes >= 1024)
    found = blame(model, weight.name)
    assert (found.operator, found.pass_text) == ("weight", "convert-fp16")
    (first,) = found.of
    assert (first.name, first.pass_text, first.of) == (weight.name, "", ())


def test_what_is_gone_is_known_by_its_old_names(file: Path) -> None:
    model, first = regraft.load(file), bert.build()
    erf = next(node for node in first.graph.nodes if node.op == "Erf")
    gone = blame(model, erf.name)
    assert gone.gone.startswith("fuse-gelu, rule erf; in its place ")
    old = history.read(model)[0].changes[0].values[0][0]
    assert old in {tensor.name for node in first.graph.nodes for tensor in node.outputs}
    assert old in blame(model, old).stands_for
    assert blame(model, model.graph.inputs[0].name).operator == "input"


def test_blame_ends_though_every_pass_replaces_everything() -> None:
    """Each of 30 passes has put 8 nodes in the place of 8: 8 to the 30th ways back, of which none is told twice."""
    model = bert.build()
    names = [[f"n{turn}_{number}" for number in range(8)] for turn in range(31)]
    changes = [Change("", tuple(old), tuple(new)) for old, new in pairwise(names)]
    history.write(model, "", [history.Entry("all", (change,)) for change in changes])
    model.graph.nodes[0].name = "n30_0"
    found = list(blame(model, "n30_0").walk())
    assert len(found) < 8 * 8 * 31
    assert any(one.is_cut for _, one in found)
    assert max(depth for depth, _ in found) == 30


def test_blame_on_the_command_line(file: Path) -> None:
    name = next(node.name for node in regraft.load(file).graph.nodes if node.op == "Tanh")
    said = run("blame", file, name).splitlines()
    assert said[0].startswith("Tanh ")
    assert "by lower-gelu{form=tanh}" in said[0]
    assert said[1].startswith("  ")
    assert sum("from the first model" in line for line in said) == 5
    assert sum("source: model.py:" in line for line in said) == 5
    assert not [line for line in said if "regraft." in line or "stack_trace" in line]
    assert json.loads(run("blame", file, name, "--json"))["of"][0]["pass"] == "fuse-gelu"
    assert "did you mean" in run("blame", file, f"{name}x", code=2)
