"""ONNX Runtime compiles ahead of time, in a process of its own."""

from __future__ import annotations

import pytest

import regraft
from regraft.errors import TargetError
from tests.targets.compiling import compile, one_node


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_levels(artifacts, tmp_path, level):
    source = artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx"
    entry = compile(f"onnxruntime{{level={level},threads=1}}", source, tmp_path / "bundle")
    assert entry["drift"]["passed"]
    assert entry["target"] == f"onnxruntime{{threads=1,level={level}}}".replace(",level=extended", "")
    compiled = regraft.load(tmp_path / "bundle/compiled/model.onnx")
    assert entry["metrics"]["ops"] == len(compiled.graph.nodes) < len(regraft.load(source).graph.nodes)
    assert any(node.domain == "com.microsoft" for node in compiled.nodes()) == (level != "basic")


def test_nothing_is_written_of_a_model_that_is_not_taken(tmp_path):
    with pytest.raises(TargetError, match=r"does not take the result: own::Nonsense: .*: the node"):
        compile("onnxruntime", one_node("Nonsense", {"x": [2]}, domain="own"), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
