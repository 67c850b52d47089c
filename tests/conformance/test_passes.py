"""Every pass on every case of the ONNX backend test set: what it changes still gives what it promises."""

from __future__ import annotations

from typing import Any

import pytest

from regraft.errors import PassError
from regraft.files.convert import from_proto
from regraft.ir.verifier import check
from regraft.models.backend_cases import Case, read, sources
from regraft.pipelines.pass_base import Context, Pass
from regraft.pipelines.registry import passes
from regraft.verification.runtime import RuntimeFailure
from regraft.verification.verify import coarsest_float

OTHERS = {  # held against the cases elsewhere, or what they do is not to keep every number
    "convert-fp16",
    "convert-bf16",
    "convert-opset",
    "select-outputs",
    "set-shapes",
    "strip-training",
    "split-layers",
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "lower-logic": [{"to": "arithmetic"}],
    "narrow-integers": [{"assume": "all"}],
    "lower-expand": [{"form": "tile"}],
    "lower-erf": [{"form": "tanh"}],
    "lower-reduce-mean": [{"form": "matmul"}],
}
EMPTY_ROWS = {
    "node/test_attention_23_boolmask_fullymasked_row_nan_robustness",
    "node/test_attention_causal_boolmask_nan_robustness",
}
"""Cases with rows that hide everything, which `externalize-mask` does not keep."""

WITHOUT_CASES = {
    "expose-position-ids",
    "externalize-gates",
    "fuse-gelu",
    "fuse-gemm",
    "fuse-layer-norm",
    "inline-functions",
    "lower-einsum",
    "lower-gather-elements",
    "lower-layer-norm",
    "pack-sequences",
    "strip-value-info",
    "unpack-attention",
}
"""Passes for what no case that ONNX Runtime runs has."""

REFUSING = {"pack-sequences", "unpack-attention"}
"""Passes that say why they do nothing."""

LACKS_KERNEL, OLDEST_KERNELS = "Could not find an implementation", 7
ALL = [(name, {}) for name in passes.names() if name not in OTHERS]
ALL += [(name, options) for name, variants in VARIANTS.items() for options in variants]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"), ALL, ids=[f"{n}-{'-'.join(map(str, o.values()))}".strip("-") for n, o in ALL]
)
def test_what_a_pass_changes_keeps_its_contract(name: str, options: dict[str, Any]) -> None:
    made = passes.load(name)
    outcomes = {case: _problem(read(case), made(**options)) for case in sorted(sources())}
    problems = [f"{case}: {problem}" for case, problem in outcomes.items() if problem]
    assert not problems, "\n".join(problems)
    assert any(problem == "" for problem in outcomes.values()) or name in WITHOUT_CASES


def _problem(case: Case, one: Pass) -> str | None:
    """What is wrong after a pass, empty if nothing; None where it changes nothing, or ONNX Runtime cannot run it."""
    model, context = from_proto(case.model), Context(one.name)
    try:
        one.run(model, context)
    except PassError:
        if one.name not in REFUSING:
            raise
        return None
    if not context.changes and not context.effects:
        return None
    check(model)
    try:
        expected = case.outputs(case.model)
    except RuntimeFailure:
        return None
    try:
        found = case.outputs(model)
    except RuntimeFailure as failure:
        if one.name == "lower-einsum" and case.name.endswith("_bfloat16"):  # Einsum alone has kernels for it
            return None
        old = model.opset < OLDEST_KERNELS and LACKS_KERNEL in str(failure)
        return None if old else str(failure)
    if one.name == "externalize-mask" and case.name in EMPTY_ROWS:
        return ""
    contract = one.contract.through(len(context.changes))
    reference = one.reference(from_proto(case.model))
    expected = expected if reference is None else case.outputs(reference)
    drifts = [contract.check(a, b, computed_in=coarsest_float(model)) for a, b in zip(expected, found, strict=True)]
    return "; ".join(str(drift.failures[0]) for drift in drifts if not drift.passed)
