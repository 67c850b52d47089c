"""What docs/passes.md shows works: each file is written and run, each command is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.pipelines import registry
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.registry import load_file
from regraft.testing import apply, check_rules, parse
from regraft.testing.rules import examine_passes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "passes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
FILES = dict(text.split("\n", 1) for kind, text in BLOCKS if kind != "sh")
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
PASSES = [name.removeprefix("# ") for name in FILES if name.endswith(".py") and "test_" not in name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Path) -> Iterator[Path]:
    """The files of the page, beside a model."""
    for room in (registry.passes, registry.targets):
        monkeypatch.setattr(room, "_added", {})
        monkeypatch.setattr(room, "_found", None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copy(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx", tmp_path / "model.onnx")
    for name, text in FILES.items():
        (tmp_path / name.removeprefix("# ")).write_text(text, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("my_passes", None)


def one(text: str) -> regraft.Pass:
    return Pipeline.parse(text).passes[0]


def test_every_command_runs(folder: Path) -> None:
    assert len(COMMANDS) > 6
    for command in COMMANDS:
        result = CliRunner().invoke(cli, shlex.split(command)[1:])
        assert result.exit_code == 0, (command, result.output)


def test_every_file_is_loaded(folder: Path) -> None:
    found = [each.name for name in PASSES for each in load_file(name)]
    assert found == [
        *("fuse-hard-swish", "shorten", "approximate-gelu", "store-fills", "collapse-transposes", "show-weights"),
    ]


def test_every_rule_is_right(folder: Path) -> None:
    load_file("patterns.py")
    load_file("approximate.py")
    check_rules(one("shorten"))
    check_rules(one("approximate-gelu{form=sigmoid}"))
    assert [found.rule for found in examine_passes([one("shorten")])] == ["Mul", "Pow", "magnitude", "ReduceMean"]


def test_the_node_pass_refuses_with_what_would_help(folder: Path) -> None:
    load_file("store_fills.py")
    body = "g (int64[1] n) => (float[m] y, float[8] z) <int64[1] k = {8}>"
    found = apply(
        parse(f"{body} {{ y = ConstantOfShape(n) z = ConstantOfShape(k) }}"),
        one("store-fills"),
        inputs={"n": np.array([3])},
    )
    assert found.ops == ["ConstantOfShape", "Identity"]
    assert [refusal.needs for refusal in found.refusals] == [("fold-constants",)]
    small = apply(
        parse(f"{body} {{ y = ConstantOfShape(n) z = ConstantOfShape(k) }}"),
        one("store-fills{max-bytes=16}"),
        inputs={"n": np.array([3])},
    )
    assert any("it takes 32, more than max-bytes=16" in note for note in small.notes)


def test_the_editor_collapses_transposes(folder: Path) -> None:
    load_file("editing.py")
    body = "a = Transpose<perm=[1,0,2]>(x) b = Transpose<perm=[2,0,1]>(a) y = Transpose<perm=[0,2,1]>(b)"
    found = apply(parse(f"g (float[2,3,4] x) => (float[p,q,r] y) {{ {body} }}"), one("collapse-transposes"))
    assert found.ops == ["Transpose"]
    unstated = parse("g (float[2,3] x) => (float[p,q] y) { a = Transpose(x) y = Transpose(a) }")
    assert [one.reason for one in apply(unstated, one("collapse-transposes")).refusals] == ["its order is not stated"]


def test_the_weights_are_shown(folder: Path) -> None:
    load_file("editing.py")
    model = parse("g (float[2,3] x) => (float[2,3] y) { a = Softmax(x) y = Relu(a) }")
    regraft.run(model, "show-weights", verify="each")
    assert [tensor.name for tensor in model.outputs] == ["y", "a"]


def test_the_tests_pass(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={folder}",
        "test_my_passes.py",
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_package_makes_its_pass_known(folder: Path) -> None:
    names = tomllib.loads(FILES["# pyproject.toml"])["project"]["entry-points"]["regraft.passes"]
    installed = folder / "my_passes-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-passes\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in names.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[regraft.passes]", *lines]))
    assert names.keys() <= set(registry.passes.names())
    for name in names:
        assert registry.passes.load(name).name == name


def test_what_is_wrong_is_said_as_the_page_says(folder: Path) -> None:
    text = FILES["# my_passes.py"].replace("x * op.Clip", "op.Clip").replace("op.HardSwish(x)", "(x + 3.0) / 6.0")
    (folder / "wrong.py").write_text(text)
    result = CliRunner().invoke(cli, ["test", "wrong.py"])
    assert result.exit_code == 1
    assert "x = [[4.]]: 1 before, 1.16667 after" in result.output
    assert "x = [[4.]]: 1 before, 1.16667 after" in PAGE


def test_readme_has_the_same_pass() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert FILES["# my_passes.py"] in readme
    assert onnx.defs.has("HardSwish")
