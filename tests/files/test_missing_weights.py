"""What looks at the structure alone needs no file of weights, and says which is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.cli import cli
from regraft.errors import ModelError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model with a large and a small weight in a file that is not there."""
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 600]) for n in "xy"]
    weights = [numpy_helper.from_array(np.ones(600, np.float32), "w"), numpy_helper.from_array(np.array([0, 600]), "s")]
    nodes = [helper.make_node("Add", ["x", "w"], ["a"], "add"), helper.make_node("Reshape", ["a", "s"], ["y"])]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


LINE = "w.bin is missing, which has the values of 2 tensors\n"


@pytest.mark.parametrize(
    "words", [["show"], ["show", "--graph"], ["show", "--json"], ["check", "--target", "onnxruntime"], ["diff"]]
)
def test_what_looks_at_the_structure_works(path: Path, words: list[str]) -> None:
    command, *options = words
    result = run(command, path, *([path] if command == "diff" else []), *options)
    assert (result.exit_code, result.stderr) == (0, LINE)
    assert "add" in result.stdout.lower() or "same" in result.stdout or "takes" in result.stdout


def test_what_needs_the_values_says_so(path: Path) -> None:
    for words in (["run", path], ["rewrite", path, "-o", path.with_name("o.onnx")], ["verify", path, path]):
        result = run(*words)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "w.bin is missing; put it beside the model" in result.stderr
    with pytest.raises(ModelError, match="is missing; put it beside the model"):
        regraft.load(path)
    model = regraft.load(path, weights=False)
    with pytest.raises(ModelError, match="is missing; put it beside the model"):
        regraft.save(model, path.with_name("o.onnx"))
    assert not path.with_name("o.onnx").exists()


def test_weights_of_which_one_side_is_missing_are_not_the_same(path: Path, tmp_path: Path) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "other.bin"
    onnx.save(model, tmp_path / "other.onnx")
    result = run("diff", path, tmp_path / "other.onnx")
    assert result.exit_code == 1
    assert result.stderr.count("is missing") == 2
