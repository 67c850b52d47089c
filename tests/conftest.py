"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder of exported models; see its README."""
    return Path(__file__).parent / "artifacts"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the acceptance matrix's files."""
    pytest.importorskip("torch", reason="the files of the matrix are made by torch")
    from tests.acceptance.models import make

    folder = tmp_path_factory.mktemp("acceptance")
    make(folder)
    return folder
