"""A compiler for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from regraft.pipelines.registry import load_file

MOODY = Path(__file__).parent / "fake" / "moody.py"


@pytest.fixture(scope="session", autouse=True)
def moody() -> Path:
    """The file of the target `moody`, which is known from then on."""
    load_file(MOODY)
    return MOODY
