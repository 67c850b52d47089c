"""MNN takes what exporters write once the guards against NaN are gone, and computes it right."""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.errors import TargetError
from regraft.files.convert import clone
from regraft.targeting.compiled import CompiledSession
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from tests.targets.compiling import compile, needs, one_node

needs("mnn")


@pytest.mark.parametrize(
    "name",
    [
        "bert-cls-sdpa-dynamo-op23",
        "bert-cls-sdpa-ts",
        "distilbert-sdpa-dynamo",
        "gpt2-sdpa-ts",
        "roberta-sdpa-dynamo",
        "t5-encoder-ts",
        "vit-ts",
    ],
)
def test_open_shapes_stay_open(artifacts, tmp_path, name):
    source = artifacts / f"pytorch/{name}.onnx"
    entry = compile("mnn{threads=1}", source, tmp_path / "bundle")
    assert entry["drift"]["passed"]
    assert entry["metrics"]["ops"] == sum(entry["metrics"]["operators"].values()) > 0
    inputs = make_inputs(regraft.load(source), seed=1)
    with CompiledSession(tmp_path / "bundle") as session:
        found = session.run(inputs)
    for output, value in Session(source).run(inputs).items():
        assert found[output].dtype == value.dtype
        assert abs(found[output] - value).max() < 1e-4


def test_a_row_that_is_masked_throughout_gives_what_the_guard_gave(artifacts, tmp_path):
    source = artifacts / "pytorch/bert-cls-sdpa-ts.onnx"
    compile("mnn", source, tmp_path / "bundle")
    inputs = make_inputs(regraft.load(source), seed=1)
    inputs["attention_mask"] = np.zeros_like(inputs["attention_mask"])
    with CompiledSession(tmp_path / "bundle") as session:
        found = session.run(inputs)
    for output, value in Session(source).run(inputs).items():
        assert abs(found[output] - value).max() < 1e-4


def test_a_guard_is_refused_before_and_by_the_converter(artifacts, tmp_path):
    source = artifacts / "pytorch/bert-cls-sdpa-dynamo.onnx"
    with pytest.raises(TargetError, match="mnn does not take the result: IsNaN: These Op Not Support"):
        compile("mnn", source, tmp_path / "bundle", pipeline="strip-dropout")
    with pytest.raises(CompilerError, match="mnn refuses the model: These Op Not Support: ONNX::IsNaN"):
        compile("mnn", source, tmp_path / "bundle", pipeline="strip-dropout", check=False)


def test_what_mnn_approximates_is_a_gap_that_the_pipeline_closes(tmp_path):
    model = one_node("Gelu", {"x": [64, 64]})
    assert "computes something else" in str(read_target("mnn").check(model)[0])
    with pytest.raises(CompilerError, match="computes something else: y: "):
        compile("mnn", clone(model), tmp_path / "raw", check=False, pipeline="strip-dropout")
    assert compile("mnn", model, tmp_path / "bundle")["drift"]["passed"]


def test_a_scalar_of_no_shape_is_a_gap_that_the_pipeline_closes(artifacts):
    target, model = read_target("mnn"), regraft.load(artifacts / "pytorch/t5-encoder-ts.onnx")
    assert [one.operator for one in target.check(model)] == ["ConstantOfShape"]
    target.prepare(model)
    assert target.check(model) == []
