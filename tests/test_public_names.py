"""The names of the public interface are what they say, whatever was imported before."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

import regraft

ROOT = Path(__file__).parents[1]
PACKAGES = [found.name for found in pkgutil.iter_modules([str(ROOT / "regraft")])] + ["passes", "frontends", "targets"]


def test_no_package_hides_a_public_name() -> None:
    assert set(PACKAGES).isdisjoint(regraft.__all__)


def test_no_public_name_becomes_a_module() -> None:
    for name in PACKAGES:
        importlib.import_module(f"regraft.{name}")
    assert not any(isinstance(getattr(regraft, name), ModuleType) for name in regraft.__all__)


def test_the_repository_is_whole_without_being_installed(tmp_path: Path) -> None:
    """Where another regraft is installed, or none, its root is enough."""
    code = (
        "import regraft.passes, regraft.frontends.onnx, regraft.targets, regraft.models.chain as m\nprint(m.__file__)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-S", "-c", code]  # -S: without the finder of an editable installation
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == ROOT / "models" / "chain.py"


@pytest.mark.parametrize("room", ["passes", "frontends", "targets"])
def test_every_file_of_a_room_is_registered(room: str) -> None:
    """An entry point for each module that defines a pass, a frontend or a target, and no other."""
    registered = {entry.value for entry in entry_points(group=f"regraft.{room}") if entry.value.startswith("regraft.")}
    defined = set()
    for found in pkgutil.iter_modules([str(ROOT / room)]):
        module = importlib.import_module(f"regraft.{room}.{found.name}")
        own = [item for item in vars(module).values() if getattr(item, "__module__", "") == module.__name__]
        defined |= {
            f"{module.__name__}:{item.__name__}"
            for item in own
            if vars(item).get("name") is not None and isinstance(item, type)
        }
    assert registered == defined
