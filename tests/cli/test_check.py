"""`regraft check`."""

from __future__ import annotations

import json

import pytest

PROFILE = """
operators = "any"
source = "mycc 2.1"
[limits]
opset = { max = 20, reason = "E1" }
[[gap]]
operator = "Erf"
reason = "E2: Erf is not supported"
source = "a forum"
mend = ["lower-erf", "fuse-gelu"]
[[gap]]
operator = "Add"
when = { rank = { min = 5 } }
reason = "E3"
"""


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "mycc.toml"
    path.write_text(PROFILE)
    return path


def test_says_what_where_who_says_so_and_what_to_do(run, model, profile):
    result = run("check", model, "--target", profile)
    assert result.exit_code == 1, result.stderr
    first, nodes, source, mend, *rest = result.stdout.splitlines()
    assert first == "Erf × 2: E2: Erf is not supported"
    assert nodes.startswith("  nodes   Erf_")
    assert source == "  source  a forum"
    assert mend == "  try     lower-erf or fuse-gelu"
    assert any(line.startswith("mycc takes 2") and line.endswith("open dimensions") for line in rest)
    assert "as stated by:         mycc 2.1" in rest
    assert "passes that may help: lower-erf" in rest
    assert f"as with known sizes:  --target '{profile}{{batch=1,sequence=64}}'" in rest
    assert f"find the pipeline:    regraft legalize {model} --target '{profile}' --explain" in rest


def test_a_model_that_is_taken(run, rewritten, profile):
    result = run("check", rewritten, "--target", profile)
    assert result.exit_code == 0
    assert "(100 %)" in result.stdout
    assert "help" not in result.stdout


@pytest.mark.parametrize(("share", "code"), [("99%", 0), ("0.99", 0), ("100%", 1), ("99.9%", 1), ("0", 0)])
def test_enough_is_enough(run, model, profile, share, code):
    assert run("check", model, "--target", profile, "--min-share", share).exit_code == code


def test_no_share_makes_up_for_a_file_that_is_refused(run, model, profile):
    profile.write_text(PROFILE.replace("max = 20", "max = 9"))
    result = run("check", model, "--target", profile, "--min-share", "1%")
    assert result.exit_code == 1
    assert result.stdout.startswith("opset 11, not at most 9: E1\n")


def test_names_some_nodes_or_all(run, model, profile):
    profile.write_text(PROFILE.replace('"Erf"', '"MatMul"'))
    few, every = (run("check", model, "--target", profile, *more).stdout for more in ((), ("--all",)))
    assert few.splitlines()[1].endswith(" more")
    assert every.splitlines()[1].count(",") == 16
    assert few.splitlines()[0] == every.splitlines()[0] == "MatMul × 17: E2: Erf is not supported"


def test_operators_with_one_reason_stand_together(run, model, profile):
    profile.write_text('operators = "listed"\nsource = "a list"\n[listed]\nnames = []\nmend = { Erf = ["lower-erf"] }')
    heading, *lines = run("check", model, "--target", profile).stdout.splitlines()
    assert heading == "not in the list of operators"
    erf = next(place for place, line in enumerate(lines) if line.startswith("  Erf × 2 "))
    assert lines[erf].count("Erf_") == 2
    assert lines[erf + 1].strip() == "try lower-erf"


def test_json(run, model, profile):
    result = run("check", model, "--target", f"{profile}{{batch=2}}", "--json")
    found = json.loads(result.stdout)
    (violation,) = found["violations"]
    assert violation["operator"] == "Erf"
    assert len(violation["nodes"]) == 2
    assert violation["mend"] == ["lower-erf", "fuse-gelu"]
    assert found["mend"] == ["lower-erf"]
    assert found["share"]["taken"] == found["share"]["nodes"] - 2
    assert found["target"] == "mycc{batch=2}"


def test_a_bundle_is_its_device(run, model, profile, tmp_path):
    bundle = tmp_path / "bundle"
    assert run("rewrite", model, "-o", bundle, "--pipeline", "fuse-gelu,externalize-mask").exit_code == 0
    result = run("check", bundle, "--target", profile)
    assert result.exit_code == 0
    assert "on the host that is" in result.stdout


def test_a_source_of_another_framework(run, artifacts, profile):
    folder = artifacts / "mxnet" / "gn0.8.3-classifier"
    shapes = [f"--shape=data{i}={shape}" for i, shape in enumerate(("2x8", "2x8", "2"))]
    result = run("check", folder, "--target", profile, *shapes)
    assert result.exit_code == 1, result.stderr
    assert "Erf × 2" in result.stdout


@pytest.mark.parametrize(
    ("target", "more", "problem"),
    [
        ("onnxruntim", (), "no target named 'onnxruntim'; did you mean 'onnxruntime'?"),
        ("./none.toml", (), "cannot read none.toml: No such file or directory"),
        ("onnxruntime{level=some}", (), "onnxruntime: option level: 'some' is not one of basic, extended, all"),
        ("onnxruntime,onnxruntime", (), "names 2 targets; name one"),
        ("onnxruntime{rows=2}", (), "set-shapes"),
        ("onnxruntime", ("--min-share", "99"), "'99' is not a share; write 99% or 0.99"),
        ("onnxruntime", ("--min-share", "many"), "'many' is not a share"),
    ],
)
def test_errors_are_one_line(run, model, target, more, problem):
    result = run("check", model, "--target", target, *more)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_onnx_runtime_says_itself_whether_it_opens_a_model(run, model):
    result = run("check", model, "--target", "onnxruntime")
    assert result.exit_code == 0, result.stdout


def test_targets_says_what_one_takes(run):
    shown = run("targets", "neuron-inf1").stdout.partition("what it takes")[2]
    assert shown.splitlines()[1] == "operators  69 listed"
    assert "models with dynamic shapes are not supported" in shown
    assert "as stated by: AWS Neuron SDK v1.7.1" in shown
