from __future__ import annotations

import json
import re

import numpy as np
import pytest

import regraft
from regraft.pipelines.registry import passes as registry

PASS = '''
import regraft

class RenameGraph(regraft.Pass):
    """Give the graph another name."""
    name = "rename-graph"
    to: str = "main"

    def run(self, model, context):
        model.graph.name = self.to
'''


@pytest.fixture
def own_pass(tmp_path, monkeypatch):
    """A file with a pass, which is forgotten at the end."""
    monkeypatch.setattr(registry, "_added", {})
    path = tmp_path / "my_passes.py"
    path.write_text(PASS)
    return path


def test_rewrite_prints_a_line_a_pass_and_where_the_result_lies(run, model, tmp_path):
    out = tmp_path / "out.onnx"
    result = run("rewrite", model, "-o", out, "--pipeline", "fuse-gelu,eliminate-dead-code")
    assert result.exit_code == 0, result.stderr
    head, gelu, dead, *_, where, verdict = result.stdout.splitlines()
    assert head.split() == ["pass", "time", "nodes", "changes"]
    assert gelu.split()[0] == "fuse-gelu"
    assert gelu.endswith("2 erf")
    assert dead.split()[0] == "eliminate-dead-code"
    assert where.startswith(f"{out}: ")
    assert verdict.startswith("verified on 7 trials: ")
    assert regraft.load(out).metadata["regraft.pipeline"] == "fuse-gelu,eliminate-dead-code"


def test_rewrite_over_its_own_source(run, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.read_bytes())
    result = run("rewrite", path, "-o", path, "--pipeline", "fuse-gelu", "--verify", "final")
    assert result.exit_code == 0, result.stderr
    assert "verified" in result.stdout
    assert run("verify", model, path).exit_code == 0


def test_rewrite_with_all_that_it_can_write(run, model, tmp_path):
    report, steps = tmp_path / "report.json", tmp_path / "steps"
    options = ["--verify", "each", "--dump-dir", steps, "--report", report, "--timing", "--layout", "external"]
    result = run("rewrite", model, "-o", tmp_path / "out.onnx", "--pipeline", "fuse-gelu", *options)
    assert result.exit_code == 0, result.stderr
    assert "drift" in result.stdout
    assert "seconds" in result.stdout
    assert json.loads(report.read_text())["passes"][0]["name"] == "fuse-gelu"
    assert sorted(p.name for p in (steps / "run-1").glob("*.onnx")) == ["00-input.onnx", "01-fuse-gelu.onnx"]
    assert (tmp_path / "out.onnx.data").exists()


def test_rewrite_runs_the_default_target_and_checks_the_result(run, model, tmp_path):
    out = tmp_path / "out.onnx"
    result = run(
        "rewrite", model, "-o", out, "--target", "onnxruntime", "--verify", "final", "--inputs", "input_ids=3x9"
    )
    assert result.exit_code == 0, result.stderr
    assert "2  Gelu" in run("show", out).stdout


def test_rewrite_takes_a_pipeline_file_and_a_pass_of_ones_own(run, model, tmp_path, own_pass):
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text('pipeline = [{pass = "rename-graph", to = "mine"}]')
    result = run("rewrite", model, "-o", tmp_path / "out.onnx", "--pipeline", pipeline, "--load", own_pass)
    assert result.exit_code == 0, result.stderr
    assert regraft.load(tmp_path / "out.onnx").graph.name == "mine"


def test_passes_lists_each_with_its_help(run):
    lines = run("passes").stdout.splitlines()
    assert [line.split()[0] for line in lines] == registry.names()
    assert all(len(line.split()) > 2 for line in lines)


def test_passes_describes_one(run):
    text = run("passes", "lower-gelu").stdout
    assert "introduces  Add, Erf, Mul, Tanh" in text
    assert "form=erf|tanh|sigmoid" in text
    assert text.rstrip().endswith("lower-gelu{form=erf}")


def test_passes_says_what_is_proved_of_one(run):
    proofs = run("passes", "lower-gelu").stdout.partition("proofs\n")[2].splitlines()
    assert proofs[0].split() == ["lower-gelu", "erf", "proved"]
    (bounded,) = (line for line in proofs if line.startswith("lower-gelu{form=tanh}") and "within" in line)
    assert bounded.endswith("within 0.0004733 of the 0.000474 that the contract allows")
    assert "proofs" not in run("passes", "eliminate-dead-code").stdout


def test_passes_describes_one_in_json(run):
    found = json.loads(run("passes", "lower-gelu", "--json").stdout)
    assert found["pass"] == "lower-gelu"
    assert [option["option"] for option in found["options"]] == ["form=erf|tanh|sigmoid"]
    assert found["introduces"] == "Add, Erf, Mul, Tanh"
    assert {row["verdict"] for row in found["proofs"]} == {"proved", "within"}
    assert json.loads(run("passes", "eliminate-dead-code", "--json").stdout)["proofs"] == []


def test_the_list_of_passes_proves_nothing(run, monkeypatch):
    def refuse(*_):
        raise AssertionError("a proof that nobody asked for")

    monkeypatch.setattr("regraft.proving.passes.prove", refuse)
    assert run("passes").exit_code == 0
    assert [row["pass"] for row in json.loads(run("passes", "--json").stdout)] == registry.names()


RULES = """
from regraft import Rule, RulePass, op, option, reassociation

class TurnedRound(RulePass):
    \"\"\"A quotient turned round, and one of many numbers.\"\"\"

    name, contract = "turned-round", reassociation
    count: int = option(help="how many")

    def rules(self):
        return [Rule(lambda x, y: x / y, lambda x, y: y / x, name="quotient")]
"""


@pytest.mark.parametrize(
    ("declared", "shown", "verdicts"),
    [("", "quotient  refused: ", ["refused"]), ('count: int = option(help="how many")', "depend on the options", None)],
)
def test_passes_says_what_is_not_proved(run, tmp_path, monkeypatch, declared, shown, verdicts):
    monkeypatch.setattr(registry, "_added", {})
    path = tmp_path / "turned.py"
    path.write_text(RULES.replace('count: int = option(help="how many")', declared))
    result = run("passes", "turned-round", "--load", path)
    assert result.exit_code == 0, result.stderr
    assert shown in result.stdout.partition("proofs\n")[2]
    found = json.loads(run("passes", "turned-round", "--json", "--load", path).stdout)["proofs"]
    assert (None if found is None else [row["verdict"] for row in found]) == verdicts


@pytest.mark.parametrize("name", registry.names())
def test_passes_describes_every_pass(run, name):
    result = run("passes", name)
    assert result.exit_code == 0, result.stderr
    assert "contract" in result.stdout


def test_passes_knows_a_loaded_file(run, own_pass):
    assert "Give the graph another name." in run("passes", "rename-graph", "--load", own_pass).stdout


def test_targets(run):
    assert "\nonnxruntime  " in "\n" + run("targets").stdout
    assert "fuse-gelu" in run("targets", "onnxruntime").stdout


def test_show(run, model):
    text = run("show", model).stdout
    assert "input_ids" in text
    assert json.loads(run("show", model, "--json").stdout)["operators"]["Erf"] == 2
    assert sum(" = Erf(" in line for line in run("show", model, "--graph").stdout.splitlines()) == 2


def test_why_names_the_places_that_come_near(run, rewritten, model):
    result = run("why", model, "--pass", "fuse-gelu")
    assert result.exit_code == 0, result.stderr
    assert "operators match" in result.stdout
    misses = json.loads(run("why", model, "--pass", "fuse-gelu", "--limit", "1", "--json").stdout)
    assert len(misses) == 1
    assert misses[0]["reason"]


def test_verify_says_equal_or_different_by_its_exit_code(run, model, rewritten, tmp_path):
    assert run("verify", model, rewritten).exit_code == 0
    assert run("verify", model, rewritten, "--rtol", "0", "--atol", "0").exit_code == 1
    other = tmp_path / "other.onnx"
    run("rewrite", rewritten, "-o", other, "--pipeline", "lower-gelu{form=sigmoid}")
    assert run("verify", model, other).exit_code == 0  # its metadata say what was promised
    forgetful = regraft.load(other)
    del forgetful.metadata["regraft.contracts"]
    regraft.save(forgetful, other)
    result = run("verify", model, other)
    assert result.exit_code == 1
    assert "different" in result.stdout
    assert json.loads(run("verify", model, other, "--json").stdout)["passed"] is False


def test_verify_takes_inputs(run, model, rewritten, tmp_path):
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, **{name: np.ones((1, 4), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")})
    assert run("verify", model, rewritten, "--inputs", inputs).exit_code == 0


def test_diff_says_same_or_different_by_its_exit_code(run, model, rewritten):
    same = run("diff", model, model)
    assert (same.exit_code, same.stdout.split(":")[0]) == (0, "the same")
    different = run("diff", model, rewritten)
    assert different.exit_code == 1
    assert different.stdout.startswith("fuse-gelu\n  2 × ")
    found = json.loads(run("diff", model, rewritten, "--json").stdout)
    assert found["version"] == 2
    assert found["passes"][0]["text"] == "fuse-gelu"


def test_bench(run, model, rewritten):
    result = run("bench", model, rewritten, "--runs", "3")
    assert result.exit_code == 0, result.stderr
    assert re.search("times as fast as a|no difference shown: a takes", result.stdout)
    assert json.loads(run("bench", model, rewritten, "--runs", "2", "--json").stdout)["ratio"] > 0
