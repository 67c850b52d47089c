"""What CONTRIBUTING.md shows works: each of its files is written, installed and run."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

import regraft
from regraft.cli import cli
from regraft.pipelines import registry
from regraft.testing import apply, parse

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = [(kind, textwrap.dedent(text)) for kind, text in re.findall(r"^ *```(\w+)\n(.*?)```", PAGE, re.M | re.S)]
FILES = [(*text.split("\n", 1),) for kind, text in BLOCKS if kind in ("python", "toml")]
DECLARED = "\n".join(text for name, text in FILES if name == "# pyproject.toml")
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line.startswith("regraft ")]
ROOMS = ("passes", "frontends", "targets")

SWISH = "swish (float[n] x) => (float[n] y) { y = HardSwish(x) }"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page, as if they lay in the repository and were installed, and a model to run them on."""
    for name, text in FILES:
        file = tmp_path / name.removeprefix("# ")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    groups = tomllib.loads(DECLARED)["project"]["entry-points"]
    assert groups.keys() == {f"regraft.{room}" for room in ROOMS}
    installed = tmp_path / "mine-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    lines = [f"[{group}]\n{name} = {value}" for group, names in groups.items() for name, value in names.items()]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    for room in ROOMS:
        package = importlib.import_module(f"regraft.{room}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / room)])
        for attribute, value in (("_added", {}), ("_found", None)):
            monkeypatch.setattr(getattr(registry, room), attribute, value)
    (tmp_path / "model.onnxtxt").write_text(f'<ir_version: 9, opset_import: ["" : 21]>\n{SWISH}')
    onnx.save(regraft.to_proto(parse(SWISH)), tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]  # the next test writes its own


def run(command: str) -> Result:
    return CliRunner().invoke(cli, shlex.split(command)[1:])


def test_every_command_runs(folder: Path) -> None:
    assert len(COMMANDS) > 3
    for command in COMMANDS:
        result = run(command)
        assert result.exit_code == (1 if " check " in command else 0), (command, result.output)


def test_the_tests_of_the_pass_pass(folder: Path) -> None:
    (folder / "conftest.py").write_text(f"import regraft.passes\nregraft.passes.__path__.append('{folder}/passes')\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", "tests"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_the_pass_has_its_name_by_the_entry_point_and_by_the_file(folder: Path) -> None:
    assert "Write HardSwish out." in run("regraft passes lower-hard-swish").output
    assert run("regraft rewrite model.onnx -o out.onnx --pipeline lower-hard-swish").exit_code == 0
    assert [node.op for node in regraft.load("out.onnx").graph.nodes] == ["Add", "Clip", "Mul", "Div"]
    registry.passes._found = {}
    assert "no pass named 'lower-hard-swish'" in run("regraft passes lower-hard-swish").output
    file = folder / "passes" / "lower_hard_swish.py"
    assert "Write HardSwish out." in run(f"regraft passes lower-hard-swish --load {file}").output


def test_the_condition_of_the_rule_says_why(folder: Path) -> None:
    (loaded,) = registry.load_file(folder / "rule.py")
    assert apply(parse(SWISH), loaded()).ops == ["HardSigmoid", "Mul"]
    half = parse(SWISH.replace("float", "float16"))
    assert apply(half, loaded()).ops == ["HardSwish"]
    assert [miss.reason for miss in regraft.why(half, loaded())] == ["'x' is of float16"]


def test_legalize_finds_the_pass_for_the_target(folder: Path) -> None:
    for target in ("mycc", "targets/mycc.toml"):
        refused = run(f"regraft check model.onnx --target {target}").output
        assert "HardSwish × 1: E100: HardSwish is not supported\n" in refused
        found = run(f"regraft legalize model.onnx --target {target} -o legal.onnx --json")
        assert json.loads(found.stdout)["pipeline"] == "lower-hard-swish"
        assert run(f"regraft check legal.onnx --target {target}").exit_code == 0
    assert run("regraft compile model.onnx --target mycc -o bundle").exit_code == 0


def test_the_frontend_reads_and_refuses(folder: Path) -> None:
    assert "onnxtxt" in run("regraft import --list").output
    assert [node.op for node in regraft.open_source("model.onnxtxt").graph.nodes] == ["HardSwish"]
    (folder / "bad.onnxtxt").write_text("no text of ONNX")
    refused = run("regraft show bad.onnxtxt")
    assert (refused.exit_code, refused.stderr) == (2, "regraft: error: bad.onnxtxt: not ONNX's text\n")


def test_every_file_that_is_pointed_at_is_there() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.S)
    paths = {name for name in re.findall(r"`([\w./]+)`", prose) if "/" in name or name.endswith((".md", ".toml"))}
    made = {name.removeprefix("# ") for name, _ in FILES} | {"tests/targets/test_mycc.py"}
    assert {name for name in paths - made if not (ROOT / name).exists()} == set()
    assert len(paths - made) > 10


@pytest.mark.parametrize("name", ["MOTIFS", "GENERAL"])
def test_every_table_is_there(name: str) -> None:
    (line,) = (line for line in PAGE.splitlines() if f"`{name}`" in line)
    file = re.search(r"`(tests/[\w/]+\.py)`", line)
    assert file
    assert re.search(rf"^{name} = ", (ROOT / file[1]).read_text(encoding="utf-8"), re.M)
