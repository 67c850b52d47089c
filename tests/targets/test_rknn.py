"""RKNN's simulator: what regraft leaves to the CPU of the SoC, and that the NPU computes the same."""

from __future__ import annotations

import pytest

import regraft
from regraft.targeting.compiled import CompiledSession
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.shares import every
from tests.targets.compiling import compile, needs, one_node

needs("rknn")

SIZES = "batch=2,sequence=8"


@pytest.mark.parametrize(
    ("name", "sizes", "left"),
    every(
        2,
        [
            ("bert-static-dynamo", "", 1),
            ("roberta-sdpa-ts", SIZES, 1),
            ("gpt2-sdpa-dynamo", SIZES, 1),
            ("t5-encoder-dynamo", SIZES, 0),
            ("vit-dynamo", "batch=2", 1),
        ],
    ),
)
def test_at_most_a_last_reshape_is_left_to_the_cpu(artifacts, tmp_path, name, sizes, left):
    source = artifacts / f"pytorch/{name}.onnx"
    entry = compile(f"rknn{{{sizes}}}" if sizes else "rknn", source, tmp_path / "bundle")
    metrics = entry["metrics"]
    assert entry["drift"]["passed"]
    assert metrics["placed"].get("CPU", 0) <= left
    assert len(metrics["leftovers"]) == metrics["placed"].get("CPU", 0)
    assert metrics["ops"] == sum(metrics["operators"].values()) == sum(metrics["placed"].values())
    assert metrics["cycles"] > 0


def test_less_is_left_than_of_the_raw_model(artifacts, tmp_path):
    source = artifacts / "pytorch/bert-static-dynamo.onnx"
    raw = compile("rknn", source, tmp_path / "raw", pipeline="convert-opset{version=19}")["metrics"]
    ours = compile("rknn", source, tmp_path / "ours")["metrics"]
    assert any("embedding" in name for name in raw["leftovers"])
    assert ours["placed"]["CPU"] < raw["placed"]["CPU"]
    assert ours["cycles"] <= raw["cycles"]


def test_a_bundle_runs_again_in_a_process_of_its_own(artifacts, tmp_path):
    source = artifacts / "pytorch/vit-ts.onnx"
    compile("rknn{batch=2}", source, tmp_path / "bundle")
    assert (tmp_path / "bundle/compiled/model.rknn").stat().st_size > 0
    with CompiledSession(tmp_path / "bundle") as session:
        inputs = make_inputs(regraft.load(tmp_path / "bundle"), seed=3)
        found = session.run(inputs)
    assert read_target("rknn").contract.check(Session(source).run(inputs), found).passed


def test_reshapes_at_the_ends_go_if_asked(artifacts, tmp_path):
    entry = compile("rknn{batch=2,remove-reshape=true}", artifacts / "pytorch/vit-ts.onnx", tmp_path / "bundle")
    assert entry["metrics"]["placed"].get("CPU", 0) == 0
    assert entry["drift"]["passed"]


def test_the_rule_that_breaks_gpt2_is_left_out(artifacts, tmp_path):
    source = artifacts / "pytorch/gpt2-sdpa-ts.onnx"
    with pytest.raises(CompilerError, match="read-only"):
        compile(f"rknn{{{SIZES},disable-rules=none}}", source, tmp_path / "bundle")


def test_what_is_left_to_the_cpu_is_told_and_not_refused(artifacts):
    target = read_target("rknn")
    model = regraft.load(artifacts / "pytorch/bert-static-dynamo.onnx")
    assert {"Gather", "GatherND"} <= {one.operator for one in target.judge(model).violations}
    assert not any(one.operator for one in target.check(model))
    target.prepare(model)
    assert target.judge(model).violations == []


def test_open_shapes_are_refused(artifacts):
    violations = read_target("rknn").check(regraft.load(artifacts / "pytorch/vit-ts.onnx"))
    assert any("set-shapes" in violation.mend for violation in violations)


def test_an_opset_that_is_too_new_is_told_by_the_profile_and_the_compiler(tmp_path):
    model = one_node("Relu", {"x": [2, 4]}, opset=20)
    assert "Unsupport onnx opset 20" in str(read_target("rknn").check(model)[0])
    with pytest.raises(CompilerError, match="Unsupport onnx opset 20"):
        compile("rknn", model, tmp_path / "bundle", pipeline="infer-shapes", check=False)
    assert compile("rknn", model, tmp_path / "bundle")["drift"]["passed"]
