"""The names of the public interface are what they say, whatever was imported before."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import regraft


def test_no_package_hides_a_public_name() -> None:
    assert {found.name for found in pkgutil.iter_modules(regraft.__path__)}.isdisjoint(regraft.__all__)


def test_no_public_name_becomes_a_module() -> None:
    for found in pkgutil.iter_modules(regraft.__path__):
        importlib.import_module(f"regraft.{found.name}")
    assert not any(isinstance(getattr(regraft, name), ModuleType) for name in regraft.__all__)
