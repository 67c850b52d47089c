"""`convert-bf16`, under the eyes of ONNX's own evaluator: ONNX Runtime computes nothing in bfloat16 on a CPU."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import regraft
from regraft.errors import PassError
from regraft.ir.structure import check
from regraft.passes.convert_bf16 import ConvertBf16
from regraft.pipelines.pass_ import Context
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot


@pytest.mark.parametrize("name", ["pytorch/bert-cls-eager-dynamo.onnx", "pytorch/vit-dynamo.onnx"])
@pytest.mark.parametrize("mode", ["full", "matmul", "attention"])
def test_an_artifact_stays_close(artifacts, tmp_path, name, mode):
    model = regraft.load(artifacts / name)
    inputs = make_inputs(model)
    (expected,) = snapshot(model, inputs).values()
    ConvertBf16(mode=mode).run(model, Context())
    check(model)
    proto = onnx.load(regraft.save(model, tmp_path / "half.onnx"))
    onnx.checker.check_model(proto, full_check=True)
    (found,) = ReferenceEvaluator(proto).run(None, inputs)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-2 * np.abs(expected).max())
    dtypes = {tensor.dtype for node in model.graph.nodes for tensor in node.outputs}
    assert np.dtype(ml_dtypes.bfloat16) in dtypes


@pytest.mark.parametrize("io", ["keep", "bf16"])
def test_an_opset_without_bfloat16_is_refused_with_the_pass_that_helps(artifacts, io):
    model = regraft.load(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx")
    with pytest.raises(PassError, match=r"opset 11 has no bfloat16; run convert-opset\{version=13\} or newer before"):
        ConvertBf16(io=io).run(model, Context())
    regraft.run(model, "convert-opset{version=13},convert-bf16")
    assert np.dtype(ml_dtypes.bfloat16) in {tensor.dtype for node in model.graph.nodes for tensor in node.outputs}
