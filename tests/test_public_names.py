"""The names of the public interface are what they say, whatever was imported before."""

from __future__ import annotations

import importlib
import pkgutil

import regraft


def test_no_package_hides_a_public_name() -> None:
    assert {found.name for found in pkgutil.iter_modules(regraft.__path__)}.isdisjoint(regraft.__all__)


def test_every_public_name_is_there() -> None:
    for found in pkgutil.iter_modules(regraft.__path__):
        importlib.import_module(f"regraft.{found.name}")
    assert all(
        getattr(regraft, name).__name__
        for name in regraft.__all__
        if name not in ("exact", "interface", "reassociation")
    )
