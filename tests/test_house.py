"""One direction of imports: a room of the core knows those below it, the folders know the core, and not each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = (
    *("refusal", "errors", "wording", "outside", "interrupt", "ops", "ir", "files", "shapes", "analysis"),
    *("packers", "verification", "opset", "pipelines", "rewriting", "folding", "idioms", "lowering"),
    *("splitting", "inspection", "proving", "legality", "bundling", "targeting"),
    *("batching", "runtime", "legalization", "packing", "mixed_precision", "bisection", "serving", "testing", "cli"),
)
"""The rooms of the core, from the lowest: `docs/architecture.md` says what each is for."""

FOLDERS = ("passes", "frontends", "targets", "models")


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Lines and modules of the product that a file imports when it runs, at its top or inside a function."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "regraft":
            yield from ((node.lineno, f"regraft.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("regraft."):
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.startswith("regraft."))


@cache
def arrows(folder: Path) -> list[tuple[str, str, str]]:
    """Which room imports which, and where."""
    return [
        (
            file.relative_to(folder).parts[0].removesuffix(".py"),
            module.split(".")[1],
            f"{file.relative_to(ROOT)}:{line} {module}",
        )
        for file in sorted(folder.rglob("*.py"))
        for line, module in imported(file)
    ]


def test_every_room_has_its_place() -> None:
    rooms = {found.name for found in (ROOT / "regraft").iterdir() if (found / "__init__.py").exists()}
    files = {found.stem for found in (ROOT / "regraft").glob("*.py")} - {"__init__"}
    assert rooms | files == set(ORDER)


def test_rooms_know_those_below_them() -> None:
    core = [found for found in arrows(ROOT / "regraft") if found[0] != "__init__" and found[1] in ORDER]
    assert core
    assert [at for room, other, at in core if ORDER.index(other) > ORDER.index(room)] == []


def test_the_core_knows_no_pass_frontend_or_target() -> None:
    assert [at for _, other, at in arrows(ROOT / "regraft") if other in FOLDERS] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_do_not_know_each_other(folder: str) -> None:
    assert [at for _, other, at in arrows(ROOT / folder) if other in FOLDERS and other != folder] == []
