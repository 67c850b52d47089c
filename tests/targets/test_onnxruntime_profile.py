"""The profile of ONNX Runtime says what ONNX Runtime says."""

from __future__ import annotations

import onnxruntime
import pytest

import regraft
from regraft.legality.verdict import check
from regraft.pipelines.registry import targets
from regraft.verification.runtime import RuntimeFailure, Session
from tests.legality.small import model

PROFILE = targets.load("onnxruntime")().profile
STATED = "1.31"

UNARY = ["Abs", "Neg", "Erf", "Gelu", "Softmax", "Tanh", "Sqrt", "Sigmoid", "IsNaN", "Identity", "Trilu", "NonZero"]
GRAPHS = {
    **{op: f"(DTYPE[2,2] x) => (KIND[A,B] y) {{ y = {op}(x) }}" for op in UNARY},
    **{op: f"(DTYPE[2,2] x) => (KIND[2,2] y) {{ y = {op}(x, x) }}" for op in ("Add", "MatMul", "Max", "Equal", "Gemm")},
    "Where": "(DTYPE[2] x, bool[2] c) => (KIND[2] y) { y = Where(c, x, x) }",
    "CumSum": "(DTYPE[2] x, int64 a) => (KIND[2] y) { y = CumSum(x, a) }",
    "ReduceMean": "(DTYPE[2] x) => (KIND y) { y = ReduceMean <keepdims = 0> (x) }",
    "Transpose": "(DTYPE[2,3] x) => (KIND[3,2] y) { y = Transpose(x) }",
    "TopK": "(DTYPE[4] x, int64[1] k) => (KIND[N] y, int64[N] i) { y, i = TopK(x, k) }",
    "Einsum": '(DTYPE[2,2] x) => (KIND[2,2] y) { y = Einsum <equation = "ij,jk->ik"> (x, x) }',
}
KINDS = {"IsNaN": "bool", "Equal": "bool", "NonZero": "int64"}
NAMES = ["float", "double", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint32", "bool"]


pytestmark = pytest.mark.skipif(
    not onnxruntime.__version__.startswith(STATED), reason=f"the profile is of onnxruntime {STATED}"
)


def refusal(made: regraft.Model) -> str:
    """What ONNX Runtime says of a model that it does not open; empty where it does."""
    try:
        Session(made)
    except RuntimeFailure as failure:
        return str(failure)
    return ""


@pytest.mark.parametrize("operator", GRAPHS)
def test_a_kernel_is_missing_where_the_profile_says_so(operator):
    for dtype in NAMES:
        made = model(GRAPHS[operator].replace("DTYPE", dtype).replace("KIND", KINDS.get(operator, dtype)))
        said = refusal(made)
        if not said or "Could not find an implementation" in said:  # else ONNX has no such operator
            assert bool(check(made, PROFILE)) == bool(said), dtype


@pytest.mark.parametrize(("opset", "version"), [(26, 13), (27, 13), (26, 14), (6, 4), (5, 4)])
def test_versions(opset, version):
    made = model("(float[2] x) => (float[2] y) { y = Neg(x) }", opset)
    made.graph.ir_version = version
    assert bool(check(made, PROFILE)) == bool(refusal(made))
