"""Encoders of today's families with the heads that users put on them, packed and verified end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

import regraft
from tests.packing.test_passes import PIPELINES

pytest.importorskip("torch", reason="the encoders are made by torch")
pytest.importorskip("transformers", reason="the encoders are made by transformers")

from tests.packing.encoders import FAMILIES, HEADS_OF_USERS, export


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True], ids=["ts", "dynamo"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, dynamo: bool, tmp_path: Path) -> None:
    _check(export(tmp_path, family, "mean", "eager", dynamo))


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True], ids=["ts", "dynamo"])
@pytest.mark.parametrize("head", HEADS_OF_USERS)
def test_heads(head: str, dynamo: bool, tmp_path: Path) -> None:
    _check(export(tmp_path, "bert", head, "sdpa", dynamo))


def _check(path: Path) -> None:
    for form in PIPELINES.values():
        model = regraft.load(path)
        report = regraft.run(model, form, verify="final")
        assert report.drift is not None
        assert report.drift.compared
        assert report.drift.max_abs <= 1e-5
