"""What docs/custom-targets.md shows works."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import regraft
from regraft.cli import cli
from regraft.pipelines import registry

DOC = Path(__file__).parents[2] / "docs" / "custom-targets.md"
BLOCKS = re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", DOC.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The files of the page, in the working folder; what is loaded is forgotten at the end."""
    for name, text in BLOCKS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.targets, "_added", {})
    monkeypatch.setattr(registry.targets, "_found", None)
    return tmp_path


@pytest.fixture
def exported(artifacts) -> Path:
    return artifacts / "pytorch" / "bert-cls-sdpa-ts.onnx"


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_a_profile_alone_is_a_target(folder, exported):
    result = run("check", exported, "--target", "./mycc.toml")
    assert result.exit_code == 1, result.stderr
    assert "shapes are not static: E042: dynamic shape\n" in result.stdout
    assert "opset 20, not at most 17: E007: unknown operator set\n" in result.stdout
    assert "IsNaN × 2: E100: IsNaN is not supported\n" in result.stdout
    assert "  try     simplify-mask or clamp-mask-value,simplify-mask\n" in result.stdout
    assert "mycc takes " in result.stdout


def test_sizes_stand_for_open_dimensions(folder, exported):
    result = run("check", exported, "--target", "./mycc.toml{batch=1,seq=8}")
    assert "shapes are not static" not in result.stdout
    assert "multiply-accumulates" in result.stdout


def test_the_profile_s_own_pipeline_runs(folder, exported):
    result = run("compile", exported, "--target", "./mycc.toml{batch=1,seq=8}", "-o", "bundle")
    assert result.exit_code == 0, result.stderr
    assert run("check", "bundle", "--target", "./mycc.toml").exit_code == 0
    refused = run(
        "compile", exported, "--target", "./mycc.toml{batch=1,seq=8}", "-o", "other", "--pipeline", "fuse-gelu"
    )
    assert refused.exit_code == 2
    assert "mycc does not take the result: opset 20, not at most 17: E007" in refused.stderr
    assert not Path("other").exists()


def test_a_class_beside_it(folder, exported):
    target = "mycc{masks=true,batch=1,seq=8}"
    result = run("compile", exported, "--target", target, "-o", "bundle", "--load", "mycc.py", "--no-check")
    assert result.exit_code == 0, result.stderr
    assert regraft.load("bundle").host is not None
    assert "IsNaN × 2" in run("check", exported, "--target", "mycc", "--load", "mycc.py").stdout


def test_an_entry_point_names_it(folder, exported, monkeypatch):
    declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["regraft.targets"]
    installed = folder / "mycc-2.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mycc\nVersion: 2.1\n")
    (installed / "entry_points.txt").write_text(f"[regraft.targets]\nmycc = {declared['mycc']}\n")
    monkeypatch.syspath_prepend(folder)
    assert "mycc" in run("targets").stdout
    result = run("check", exported, "--target", "mycc", "--json")
    assert result.exit_code == 1, result.stderr
    assert json.loads(result.stdout)["target"] == "mycc"


def test_a_compiler(folder, exported):
    result = run("compile", exported, "--target", "runs", "-o", "bundle", "--load", "runs.py")
    assert result.exit_code == 0, result.stderr
    compiled = json.loads((folder / "bundle" / "manifest.json").read_text())["compiled"]
    assert compiled["package"] == "onnxruntime"
    assert compiled["metrics"]["notes"] == ["1 outputs"]


@pytest.mark.parametrize("name", ["mycc.toml", "mycc.py", "pyproject.toml", "runs.py", "runs.toml", "drivers/runs.py"])
def test_the_page_has_every_file(name):
    assert name in dict(BLOCKS)
