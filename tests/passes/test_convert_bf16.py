"""`convert-bf16`, under the eyes of ONNX's own evaluator: ONNX Runtime computes nothing in bfloat16 on a CPU."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import regraft
from regraft.errors import PassError
from regraft.files.saving import to_proto
from regraft.ir.verifier import check
from regraft.passes.convert_bf16 import ConvertBf16
from regraft.pipelines.pass_base import Context
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


@pytest.mark.parametrize(("opset", "lowered"), [(14, False), (16, True)])  # the first that has bfloat16 there
@pytest.mark.parametrize(
    "body",
    [
        "r = If (flag) <then_branch = t () => (float[2,4] a) { a = Abs(p) },"
        " else_branch = e () => (float[2,4] b) { b = Tanh(p) }>",
        "three = Constant <value = int64 {3}> () r = Loop (three, , p) <body = l (int64 i, bool go, float[2,4] s) =>"
        " (bool on, float[2,4] n) { on = Identity(go) n = Neg(s) }>",
    ],
    ids=["If", "Loop"],
)
def test_bodies_have_bfloat16_where_their_operator_has(body, opset, lowered, parse):
    model = parse(
        f"g (float[2,4] x, bool flag) => (float[2,4] y) <float[4,4] w = {{{', '.join(['0.5'] * 16)}}}>"
        f" {{ p = MatMul(x, w) {body} y = MatMul(r, w) }}",
        opset,
    )
    ConvertBf16(mode="full").run(model, Context())
    onnx.checker.check_model(to_proto(model), full_check=True)
    made = next(node for node in model.graph.nodes if node.op in ("If", "Loop"))
    assert (made.outputs[0].dtype == ml_dtypes.bfloat16) == lowered


@pytest.mark.parametrize(("opset", "lowered"), [(15, False), (17, True)])  # as Where
def test_a_function_has_bfloat16_where_its_own_operators_have(opset, lowered, parse):
    model = parse(
        "g (float[2,3,4] q, float[2,5,4] k, bool[2,3,5] mask) => (float[2,3,4] y) <float none = {-10000}>"
        " { t = Transpose <perm = [0, 2, 1]> (k) s = MatMul(q, t) h = Where(mask, s, none) a = Softmax <axis = -1> (h)"
        " y = MatMul(a, k) }",
        opset,
    )
    regraft.run(model, "infer-shapes,fuse-attention,convert-bf16{mode=full}")
    onnx.checker.check_model(to_proto(model), full_check=True)
    assert any(t.dtype == ml_dtypes.bfloat16 for node in model.nodes() for t in node.outputs) or not lowered
