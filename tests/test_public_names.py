"""The names of the public interface are what they say, whatever was imported before."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

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


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="module 'regraft' has no attribute 'lod'"):
        regraft.lod  # noqa: B018
    with pytest.raises(ImportError, match="lod"):
        exec("from regraft import lod")


def test_an_old_name_works_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(regraft._RENAMED, "read", "load")
    with pytest.warns(DeprecationWarning, match=r"^regraft.read is now regraft.load$") as caught:
        assert regraft.read is regraft.load
    assert caught[0].filename == __file__
    assert "read" not in regraft.__all__


def test_every_old_name_has_a_new_one() -> None:
    assert set(regraft._RENAMED.values()) <= set(regraft.__all__)
    assert set(regraft._RENAMED).isdisjoint(regraft.__all__)


def test_names_are_listed_before_they_are_imported() -> None:
    code = "import regraft, sys; print(*dir(regraft)); print(*sys.modules); from regraft import *; print(*dir())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    listed, modules, imported = (set(line.split()) for line in done.stdout.splitlines())
    assert set(regraft.__all__) <= listed & imported
    assert modules.isdisjoint({"numpy", "onnx", "regraft.ir"})


UNTYPED = {
    "option": "stands where an attribute of any type is declared, like dataclasses.field",
    "Rule.where": "what a pattern binds: values, numbers, attributes",
    "Rule.__init__": "the same",
    "Rule.verdict": "the same",
    "Rule.result": "the same",
}
"""Public signatures with Any in them, beside that of arrays and dtypes, and why."""


def signatures(value: Any, name: str) -> dict[str, str]:
    """The annotations of a function, or of the public methods and attributes of a class."""
    if inspect.isfunction(value):
        return {name: " ".join(map(str, value.__annotations__.values()))}
    found = {f"{name}.{key}": str(said) for key, said in inspect.get_annotations(value).items()}
    for key, member in vars(value).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function):
            found |= signatures(function, f"{name}.{key}")
    return {key: said for key, said in found.items() if not re.search(r"\._[^_]", key)}


def test_public_signatures_say_what_they_take() -> None:
    public = [(getattr(regraft, name), name) for name in regraft.__all__]
    every = [
        (one, f"{name}({one.__name__})" if one is not value else name)
        for value, name in public
        for one in (value.__mro__ if inspect.isclass(value) else [value])
        if inspect.isfunction(one) or (inspect.isclass(one) and one.__module__.startswith("regraft."))
    ]
    said = {key: text for value, name in every for key, text in signatures(value, name).items()}
    untyped = {key for key, text in said.items() if re.search(r"\bAny\b", re.sub(r"(NDArray|dtype)\[Any\]", "", text))}
    assert len(said) > 100
    assert untyped == set(UNTYPED)


@pytest.mark.slow
def test_type_checkers_know_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    program = tmp_path / "program.py"
    program.write_text("import regraft\nreveal_type(regraft.load('a.onnx'))\nregraft.load(3)\nregraft.lod\n")
    found, _, _ = mypy.run([f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={tmp_path}", str(program)])
    reveal, argument, unknown = found.splitlines()[:3]
    assert 'Revealed type is "regraft.ir.model.Model"' in reveal
    assert 'Argument 1 to "load" has incompatible type "int"' in argument
    assert "Module has no attribute" in unknown


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
