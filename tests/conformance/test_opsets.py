"""Every case of the ONNX backend test set, converted to other opsets: the same result or a refusal, never another one.

`CONVERTED` is the share, in each group, that must not be refused; what is, is what the other opset cannot say.
"""

from __future__ import annotations

from collections import Counter

import pytest

from regraft.errors import PassError
from regraft.files.convert import clone, from_proto
from regraft.ir.verifier import check
from regraft.models.backend_cases import Case, read, sources
from regraft.passes.convert_opset import ConvertOpset
from regraft.pipelines.pass_base import Context
from regraft.verification.contract import Contract, reassociation
from regraft.verification.runtime import RuntimeFailure

GROUPS = 24
CONVERTED = {11: 0.6, 17: 0.75, 21: 0.9, 26: 0.95}


def _is_linear(name: str) -> bool:
    return name.startswith("node/test_linear_attention_") and name.endswith("_expanded")


LACKING = {  # what ONNX Runtime 1.32.0 has no kernel for: (case, opset)
    *((f"node/test_{op}_uint64", version) for op in ("min", "max") for version in (9, 11)),
    *(("node/test_swish", version) for version in (25, 26)),
}


def _is_lacking(name: str, version: int) -> bool:
    """Whether ONNX Runtime has no kernel for the case, or it is a Scan whose shapes it cannot infer."""
    return (name, version) in LACKING or (_is_linear(name) and version in (9, 11, 13, 14))


@pytest.mark.parametrize("version", CONVERTED)
def test_a_sample_is_the_same(version: int) -> None:
    _convert_all(sorted(sources())[7::40], version)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.parametrize("version", [*CONVERTED, 9, 13, 14, 18, 20, 23, 24, 25])
def test_every_case_is_the_same(version: int, group: int) -> None:
    _convert_all(sorted(sources())[group::GROUPS], version)


def _convert_all(names: list[str], version: int) -> None:
    results = {name: _result(name, version) for name in names}
    counts = Counter(results.values())
    wrong = {name: result for name, result in results.items() if result not in ("same", "refused", "not run")}
    assert not wrong, "\n".join(f"{name}: {result}" for name, result in wrong.items())
    if version in CONVERTED and len(names) > 50:
        assert counts["same"] >= CONVERTED[version] * (counts["same"] + counts["refused"])
    assert counts["same"]


def _result(name: str, version: int) -> str:
    case = read(name)
    try:
        expected = case.outputs(case.model)
    except RuntimeFailure:
        return "not run"
    model = clone(from_proto(case.model))
    try:
        ConvertOpset(version=version).run(model, Context("convert-opset"))
        check(model)
        found = case.outputs(model)
    except PassError:
        return "refused"
    except RuntimeFailure as error:
        return "not run" if _is_lacking(name, version) else str(error)
    drifts = [reassociation.through(4).check(old, new) for old, new in zip(expected, found, strict=True)]
    failed = [str(drift) for drift in drifts if not drift.passed]
    return "; ".join(failed) if failed and not _is_correct(case, found) else "same"


def _is_correct(case: Case, found: list[dict[str, object]]) -> bool:
    """Whether the outputs are those that the case itself expects, which ONNX Runtime's kernel may miss."""
    tolerance = Contract("backend", "the tolerance of the case", rtol=case.rtol, atol=case.atol)
    wanted = [dict(zip(found[0], values, strict=True)) for _, values in case.runs]
    return all(tolerance.check(old, new).passed for old, new in zip(wanted, found, strict=True))
