"""OpenVINO takes what exporters write, with open shapes too, and finds its fusions."""

from __future__ import annotations

import pytest

import regraft
from regraft.errors import TargetError
from regraft.targeting.compiled import CompiledSession
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.targets.compiling import compile, needs, one_node

needs("openvino")


@pytest.mark.parametrize(
    "name",
    [
        "bert-cls-sdpa-ts",
        "bert-cls-sdpa-dynamo-op23",
        "gpt2-sdpa-dynamo",
        "roberta-sdpa-ts",
        "t5-encoder-dynamo",
        "vit-ts",
        "transformers-4.25.1-bert-qa/model",
    ],
)
def test_models_are_taken_with_open_shapes(artifacts, tmp_path, name):
    source = artifacts / f"pytorch/{name}.onnx"
    entry = compile("openvino", source, tmp_path / "bundle")
    assert entry["drift"]["passed"]
    larger = make_inputs(regraft.load(source), seed=1)
    with CompiledSession(tmp_path / "bundle") as session:
        found = session.run(larger)
    assert set(found) == set(Session(source).run(larger))


def test_the_pipeline_helps_and_the_fusions_are_found(artifacts, tmp_path):
    source = artifacts / "pytorch/bert-cls-sdpa-dynamo.onnx"
    raw = compile("openvino", source, tmp_path / "raw", pipeline="strip-dropout")["metrics"]
    entry = compile("openvino{threads=1}", source, tmp_path / "bundle")
    metrics = entry["metrics"]
    assert metrics["ops"] < raw["ops"]
    assert metrics["operators"]["MVN"] == 5
    assert metrics["ops"] == sum(metrics["operators"].values())
    assert entry["target"] == "openvino{threads=1}"
    assert entry["version"].startswith("2026")


def test_a_value_that_is_handed_through_keeps_its_names(tmp_path):
    model = one_node("Identity", {"x": [2, 3]})
    assert compile("openvino", model, tmp_path / "bundle", pipeline="infer-shapes")["drift"]["passed"]


def test_what_is_refused_is_one_line_and_its_log_stays(tmp_path):
    model = one_node("Det", {"x": [2, 2]}, output=[])
    with pytest.raises(TargetError, match="Det: No conversion rule found: the node"):
        compile("openvino", model, tmp_path / "bundle")
    with pytest.raises(CompilerError) as caught:
        compile("openvino", model, tmp_path / "bundle", check=False)
    assert "openvino refuses the model: Model wasn't fully converted" in str(caught.value)
    assert "operations: Det-20 (log: " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "Exception from" in (tmp_path / "bundle.log").read_text()


def test_what_openvino_reads_otherwise_is_a_gap_that_the_pipeline_closes(tmp_path):
    model = one_node("Softmax", {"x": [2, 3, 4]}, opset=12, axis=1)
    target = read_target("openvino")
    assert "computes something else" in str(target.check(model)[0])
    with pytest.raises(CompilerError, match="computes something else: y: "):
        compile("openvino", regraft.files.convert.clone(model), tmp_path / "raw", check=False, pipeline="strip-dropout")
    compile("openvino", model, tmp_path / "bundle")
    assert target.check(model) == []
