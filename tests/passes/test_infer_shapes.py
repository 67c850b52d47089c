"""infer-shapes, as a pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import regraft
from regraft.files.saving import to_proto
from regraft.ir.verifier import check
from regraft.passes.infer_shapes import InferShapes
from regraft.pipelines.pass_base import Context


@pytest.mark.parametrize("name", ["pytorch/bert-cls-sdpa-ts.onnx", "tensorflow/tiny_seq32_op18.onnx"])
def test_inferring_twice_is_inferring_once(artifacts: Path, name: str, tmp_path: Path) -> None:
    model = regraft.load(artifacts / name)
    InferShapes().run(model, Context())
    check(model)
    once = to_proto(model)
    again = regraft.load(regraft.save(model, tmp_path / "model.onnx"))
    context = Context()
    InferShapes().run(again, context)
    assert to_proto(again) == once
    assert context.notes == []
    onnx.checker.check_model(str(tmp_path / "model.onnx"))


def test_a_wrong_declaration_is_noted(artifacts: Path) -> None:
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-dynamo.onnx")
    tensor = model.graph.nodes[5].outputs[0]
    tensor.dtype = np.dtype(np.int8)
    context = Context()
    InferShapes().run(model, context)
    (note,) = context.notes
    assert tensor.name in note
    assert "int8" in note
    assert tensor.dtype != np.int8
