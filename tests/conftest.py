"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder of exported models; see its README."""
    return Path(__file__).parent / "artifacts"
