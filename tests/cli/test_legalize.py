"""`regraft legalize`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import regraft
from regraft.targeting.target import read_target

Run = Callable[..., Result]

PROFILE = """
operators = "any"
source = "mycc 2.1"

[[gap]]
operator = ["Erf", "Pow", "ReduceMean"]
reason = "E100: no such unit"
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A compiler without Erf, Pow and ReduceMean."""
    path = tmp_path / "mycc.toml"
    path.write_text(PROFILE)
    return path


def test_the_pipeline_is_text_for_rewrite(run: Run, model: Path, target: Path, tmp_path: Path) -> None:
    said = run("legalize", model, "--target", target, "--json")
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert found["legal"]
    again = run("rewrite", model, "-o", tmp_path / "legal.onnx", "--pipeline", found["pipeline"])
    assert again.exit_code == 0, again.output
    assert not read_target(str(target)).check(regraft.load(tmp_path / "legal.onnx"))


def test_the_explanation_says_who_removed_what(run: Run, model: Path, target: Path) -> None:
    said = run("legalize", model, "--target", target, "--explain")
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    place = lines.index("Erf × 2: E100: no such unit")
    assert lines[place + 1].startswith("  2 removed by ")
    assert "verified: the outputs before and after" in lines
    assert f"{target} takes the result" in said.stdout


def test_the_result_is_written_to_a_file(run: Run, model: Path, target: Path, tmp_path: Path) -> None:
    output = tmp_path / "legal.onnx"
    assert run("legalize", model, "--target", target, "-o", output).exit_code == 0
    assert not read_target(str(target)).check(regraft.load(output))


def test_the_result_is_written_to_a_bundle(run: Run, model: Path, target: Path, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    said = run("legalize", model, "--target", target, "-o", output)
    assert said.exit_code == 0, said.output
    assert (output / "manifest.json").exists()
    assert run("verify", model, output).exit_code == 0


def test_stuck_exits_with_1_and_writes_nothing(run: Run, model: Path, target: Path, tmp_path: Path) -> None:
    target.write_text(PROFILE.replace('"Pow", "ReduceMean"', '"Tanh", "MatMul", "Gemm", "Gather"'))
    output = tmp_path / "legal.onnx"
    said = run("legalize", model, "--target", target, "-o", output, "--limit", 5)
    assert said.exit_code == 1, said.output
    assert "stuck at MatMul: E100: no such unit" in said.stdout
    assert "  node   " in said.stdout
    assert "does not take the result" in said.stdout
    assert not output.exists()


def test_stuck_in_json(run: Run, model: Path, target: Path) -> None:
    target.write_text(PROFILE.replace('"Pow", "ReduceMean"', '"MatMul", "Gemm"'))
    said = run("legalize", model, "--target", target, "--json", "--limit", 5)
    assert said.exit_code == 1
    found = json.loads(said.stdout)
    assert not found["legal"]
    assert "MatMul" in {one["violation"]["operator"] for one in found["stuck"]}


def test_missing_sizes_exit_with_1_at_once(run: Run, model: Path) -> None:
    said = run("legalize", model, "--target", "neuron-inf1")
    assert said.exit_code == 1, said.output
    assert "tried  set-shapes: no sizes are given; say them with the target, as in 'T{batch=1}'" in said.stdout
    assert "0 pipelines tried" in said.stdout


def test_what_is_legal_needs_nothing(run: Run, model: Path) -> None:
    said = run("legalize", model, "--target", "onnxruntime")
    assert said.exit_code == 0
    assert "nothing to do" in said.stdout


def test_a_target_that_is_not_there_is_one_line(run: Run, model: Path) -> None:
    said = run("legalize", model, "--target", "neuron-inf9")
    assert said.exit_code == 2
    assert "did you mean 'neuron-inf" in said.stderr
