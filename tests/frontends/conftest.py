"""Models of torch, where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def torch() -> Any:
    """Torch, with what its exporter needs."""
    pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript, which is not installed")
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def small(torch: Any) -> Callable[[str], Any]:
    """Makes the small model of transformers that has a name."""
    make: Callable[[str], Any] = importlib.import_module("tests.frontends.small").small
    return make
