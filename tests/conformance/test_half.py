"""Every case of the ONNX backend test set that ONNX Runtime runs still runs in half precision, and is close.

Inputs and outputs are lowered too: otherwise a model of one node would stay as it is, since that needs no cast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from regraft.errors import RegraftError
from regraft.files.convert import from_proto
from regraft.ir.verifier import check
from regraft.mixed_precision.dtype_support import FIRST_OPSET
from regraft.models.backend_cases import Case, read, sources
from regraft.passes.convert_fp16 import ConvertFp16
from regraft.pipelines.pass_base import Context
from regraft.verification.runtime import RuntimeFailure

GROUPS = 8
LARGE = 6e4  # above, float16 has infinities
FAR = {
    *("node/test_logsoftmax_large_number", "node/test_softmax_large_number"),  # 10,000 and 10,003 round to 10,000
    *("node/test_logsoftmax_large_number_expanded", "node/test_softmax_large_number_expanded"),
    *("node/test_logsoftmax_large_number_expanded_ver18", "node/test_softmax_large_number_expanded_ver18"),
    *("node/test_dynamicquantizelinear_min_adjusted", "node/test_dynamicquantizelinear_min_adjusted_expanded"),
    "node/test_nonmaxsuppression_iou_threshold_boundary",  # a comparison with what was rounded
    "node/test_ai_onnx_ml_tree_ensemble_set_membership",
    *("real/test_inception_v1", "real/test_squeezenet"),  # made weights, whose activations overflow
}


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_a_case_runs_and_is_close(group: int) -> None:
    problems = {name: _problem(read(name)) for name in sorted(sources())[group::GROUPS] if name not in FAR}
    failed = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    assert not failed, "\n".join(failed)


def _problem(case: Case) -> str:
    """What is wrong with a case in half precision; empty if nothing, or if ONNX Runtime does not run it anyway."""
    try:
        expected = case.outputs(case.model)
    except RuntimeFailure:
        return ""
    if any(one.version < FIRST_OPSET["float16"] for one in case.model.opset_import if not one.domain):
        return ""  # refused, with the pass that helps
    model, context = from_proto(case.model), Context()
    try:
        ConvertFp16(io="fp16").run(model, context)
        check(model)
        found = case.outputs(model)
    except RegraftError as error:
        return str(error)
    pairs = [(a, new[name], name) for old, new in zip(expected, found, strict=True) for name, a in old.items()]
    return next((f"output '{name}' differs" for a, b, name in pairs if not _is_close(a, b)), "")


def _is_close(expected: Any, found: Any) -> bool:
    if not isinstance(expected, np.ndarray) or expected.dtype.kind not in "biuf":
        return True
    if expected.dtype.kind != "f":
        return np.array_equal(expected, found)
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return False
    small = ~(np.abs(expected) >= LARGE)
    return bool(np.allclose(found[small], expected[small], rtol=2e-2, atol=2e-2, equal_nan=True))
