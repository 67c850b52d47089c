"""Real model files through the command line: none that ONNX Runtime takes is refused, and none comes out wrong."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from regraft.cli import cli
from tests.acceptance.contestants import Contestant, Refused
from tests.real import page
from tests.real.files import ROOT, files, missing, wanted
from tests.real.nodes import HEADINGS, TOOLS, left

pytestmark = pytest.mark.slow

FILES = files()
PAGE, VERSIONS = page.read((ROOT / "docs/real-models.md").read_text(encoding="utf-8"))
UP, DOWN = 22, 13
LIGHT = "onnx/backend/test/data/light"
ENDLESS = {f"{LIGHT}/light_inception_v1.onnx", f"{LIGHT}/light_squeezenet.onnx"}
"""Samples whose weights are all one, so that their values grow beyond float16 on any input."""
each = pytest.mark.parametrize("name", FILES)


@pytest.mark.parametrize("package", wanted())
def test_a_package_has_its_files(package: str) -> None:
    if package in missing():
        pytest.skip(f"{package} is not installed; `make real-models` does that")
    ours = {name for name in FILES if _plain(name.partition("/")[0]) == _plain(package)}
    assert ours
    assert ours <= PAGE.keys()


def run(*words: object) -> str:
    """The last line of a command that succeeds."""
    return ended(0, *words)


def ended(code: int, *words: object) -> str:
    """The last line of a command that ends with this code, and with no exception."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    lines = result.output.strip().splitlines() or [""]
    assert result.exit_code == code, lines[-1]
    return lines[-1]


@each
def test_the_default_pipeline(name: str, tmp_path: Path) -> None:
    source, target = FILES[name], tmp_path / "better.onnx"
    run("rewrite", source, "-o", target, "--verify", "final")
    assert ended(0, "diff", source, source)
    assert ended(1, "diff", source, target)
    assert run("show", source)
    assert run("show", target)
    run("verify", source, target)


@each
def test_half_precision(name: str, tmp_path: Path) -> None:
    source, target = FILES[name], tmp_path / "half.onnx"
    command = ("rewrite", source, "-o", target, "--pipeline", "convert-fp16")
    if name in ENDLESS:
        assert "changed to or from NaN or infinity" in ended(2, *command)
        assert not target.exists()
        command = (*command, "--verify", "none")
    run(*command)
    onnx.checker.check_model(onnx.load(target))
    run("show", target)


@each
def test_newer_and_older_opsets(name: str, tmp_path: Path) -> None:
    source, newer, older = FILES[name], tmp_path / "newer.onnx", tmp_path / "older.onnx"
    run("rewrite", source, "-o", newer, "--pipeline", f"convert-opset{{version={UP}}}", "--verify", "final")
    run("rewrite", newer, "-o", older, "--pipeline", f"convert-opset{{version={DOWN}}}", "--verify", "final")


@pytest.mark.parametrize("tool", TOOLS, ids=HEADINGS)
@each
def test_the_page_says_how_many_nodes_are_left(name: str, tool: Contestant, tmp_path: Path) -> None:
    try:
        if tool.package and tool.version() != VERSIONS[tool.name]:
            pytest.skip(f"counted with {tool.name} {VERSIONS[tool.name]}")
    except Refused as absent:
        pytest.skip(str(absent))
    assert left(tool, FILES[name], tmp_path) == PAGE[name][tool.name]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
