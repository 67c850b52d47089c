"""Every case of the ONNX backend test set that ONNX Runtime runs gives the same result after a rewrite.

The bar is equality with what ONNX Runtime, optimisations off, gave before. Cases run in groups: a test for each would
take longer in pytest than in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import regraft
from regraft.errors import RegraftError
from regraft.ir.model import Model
from regraft.models.backend_cases import Case, read, sources
from regraft.pipelines.manager import run
from regraft.verification.contract import Contract, exact
from regraft.verification.runtime import Runnable, RuntimeFailure
from tests.shares import diagonal

CLEAN_UP = (
    "eliminate-identity,eliminate-common-subexpressions,fold-constants,infer-shapes,strip-dropout,strip-training,"
    "deduplicate-initializers,eliminate-dead-code"
)
GROUPS = 32
VERSIONS = {"onnx": "1.23.2", "onnxruntime": "1.31.1"}
RUN, CORRECT = 1621, 1599  # with these versions; 8 more where the en_US.UTF-8 locale is installed

Rewrite = Callable[[Model], Any]


def unchanged(model: Model) -> None:
    """Load and save, and nothing between."""


def clean_up(model: Model) -> None:
    run(model, CLEAN_UP)


@pytest.mark.parametrize(("rewrite", "group"), diagonal(4, [unchanged, clean_up], range(GROUPS)))
def test_the_result_is_the_same(rewrite: Rewrite, group: int, tmp_path: Path) -> None:
    problems = {name: _problem(read(name), rewrite, tmp_path) for name in sorted(sources())[group::GROUPS]}
    failed = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    assert not failed, "\n".join(failed)


def test_a_wrong_rewrite_is_noticed(tmp_path: Path) -> None:
    def negate(model: Model) -> None:
        model.graph.nodes[0].op = "Neg"

    assert "values differ too much" in _problem(read("node/test_relu"), negate, tmp_path)
    assert not _problem(read("node/test_neg"), negate, tmp_path)


@pytest.mark.skipif(any(version(name) != VERSIONS[name] for name in VERSIONS), reason="counted with other versions")
def test_no_fewer_cases_run() -> None:
    results = [_is_correct(read(name)) for name in sources()]
    assert len(results) - results.count(None) >= RUN
    assert results.count(True) >= CORRECT


def _problem(case: Case, rewrite: Rewrite, folder: Path) -> str:
    """What a rewrite did to a case; empty if nothing, or if ONNX Runtime does not run the case anyway."""
    before, after = folder / "before.onnx", folder / "after.onnx"
    before.write_bytes(case.model.SerializeToString())
    try:
        model = regraft.load(before)
        rewrite(model)
        regraft.save(model, after)
        expected = _outputs(case, before)
        if expected is None:
            return ""
        pairs = list(zip(expected, case.outputs(after), strict=True))
    except RegraftError as error:
        return str(error)
    if rewrite is clean_up:
        pairs = [(_without_loss(case, old, new), new) for old, new in pairs]
    drifts = [exact.check(old, new) for old, new in pairs]
    return "; ".join(str(drift) for drift in drifts if not drift.passed)


def _without_loss(case: Case, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What must be left: strip-training takes the loss from a model that has another output, as it should."""
    loss = "z" if case.name.startswith("node/test_sce_") and len(old) > 1 else None
    return {name: value for name, value in old.items() if name in new or name != loss}


def _tolerance(case: Case) -> Contract:
    return Contract("backend", "the tolerance of the case", rtol=case.rtol, atol=case.atol)


def _outputs(case: Case, model: Runnable) -> list[dict[str, Any]] | None:
    try:
        return case.outputs(model)
    except RuntimeFailure:
        return None


def _is_correct(case: Case) -> bool | None:
    """Whether ONNX Runtime gives the outputs that the case expects; None if it does not run it."""
    outputs = _outputs(case, case.model)
    if outputs is None:
        return None
    tolerance = _tolerance(case)
    expected = [dict(zip(outputs[0], values, strict=True)) for _, values in case.runs]
    return all(tolerance.check(old, new).passed for old, new in zip(expected, outputs, strict=True))
