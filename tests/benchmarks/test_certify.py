"""The pairs that provers are compared on."""

from __future__ import annotations

from pathlib import Path

import pytest

import regraft
from tests.benchmarks import certify


@pytest.mark.parametrize("fixed", [False, True])
def test_pairs_are_what_rules_make_of_a_model(fixed: bool, tmp_path: Path) -> None:
    found = {}
    for text, before, after in certify.pairs("chain", fixed, tmp_path):
        models = regraft.load(before), regraft.load(after)
        found[text] = [len(model.graph.nodes) for model in models]
        assert all(isinstance(dim, int) for dim in models[0].graph.inputs[0].shape) == fixed
    assert found["fuse-gelu"][1] < found["fuse-gelu"][0]
    assert found["lower-pow"][1] >= found["lower-pow"][0]
    assert "eliminate-dead-code" not in found


def test_the_reason_is_that_of_the_window_inside() -> None:
    assert certify._innermost("input a ~ b: input c ~ d: unsupported op Gelu; input 'x' has no range") == (
        "unsupported op Gelu"
    )


def test_totals_count_what_failed() -> None:
    rows = [
        {"prover": "a", "sizes": "open", "proved": 2, "not": 0, "seconds": 1.0, "MB": 3},
        {"prover": "a", "sizes": "open", "proved": 1, "not": 4, "seconds": 0.5, "MB": 9},
        {"prover": "a", "sizes": "open", "note": "needs z3"},
    ]
    (total,) = certify._totals(rows)
    assert total == {
        "prover": "a",
        "sizes": "open",
        "pairs": 3,
        "all proved": 1,
        "proved": 3,
        "not": 4,
        "failed": 1,
        "seconds": 1.5,
        "most MB": 9,
    }
