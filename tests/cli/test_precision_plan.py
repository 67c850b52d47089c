"""`regraft precision-plan`."""

from __future__ import annotations

import numpy as np

import regraft
from regraft.verification.inputs import make_inputs


def test_a_plan_is_printed_written_and_followed(run, model, tmp_path):
    np.savez(tmp_path / "data.npz", **make_inputs(regraft.load(model)))
    plan, half = tmp_path / "plan.toml", tmp_path / "half.onnx"
    made = run("precision-plan", model, "--data", tmp_path / "data.npz", "-o", plan)
    assert made.exit_code == 0, made.stderr
    assert "ReduceMean needs the range or the digits" in made.stdout
    assert f"written to {plan}" in made.stdout
    done = run("rewrite", model, "-o", half, "--pipeline", f"convert-fp16{{plan={plan}}}", "--verify", "final")
    assert done.exit_code == 0, done.stderr
    assert half.stat().st_size < 0.7 * model.stat().st_size


def test_all_shows_what_is_lowered_too(run, model):
    short, whole = (run("precision-plan", model, *more).stdout for more in ((), ("--all",)))
    assert len(whole.splitlines()) > len(short.splitlines())


def test_a_plan_for_another_model_is_one_line(run, model, rewritten, tmp_path):
    plan = tmp_path / "plan.toml"
    assert run("precision-plan", model, "-o", plan).exit_code == 0
    done = run("rewrite", rewritten, "-o", tmp_path / "half.onnx", "--pipeline", f"convert-fp16{{plan={plan}}}")
    assert done.exit_code == 2
    assert "was made for another model" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "half.onnx").exists()
