"""LiteRT takes what exporters write once its shapes are folded; the profile says what it refuses before that."""

from __future__ import annotations

import pytest

import regraft
from regraft.targeting.compiled import CompiledSession
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from tests.shares import diagonal
from tests.targets.compiling import compile, needs, one_node

needs("litert")


@pytest.mark.parametrize(
    "name",
    diagonal(
        2,
        [
            "bert-cls-sdpa-ts",
            "bert-cls-sdpa-dynamo-op23",
            "gpt2-sdpa-dynamo",
            "roberta-sdpa-dynamo",
            "t5-encoder-ts",
            "minilm",
        ],
    ),
)
def test_models_are_taken(artifacts, tmp_path, name):
    if name == "minilm":
        from regraft.models import minilm

        source = minilm.model_path()
    else:
        source = artifacts / f"pytorch/{name}.onnx"
    entry = compile(f"litert{{threads=1,{inputs_of(source)}}}", source, tmp_path / "bundle")
    assert entry["drift"]["passed"]
    assert entry["metrics"]["ops"] == sum(entry["metrics"]["operators"].values())
    assert entry["metrics"]["subgraphs"] > 0


def inputs_of(source):
    """Sizes for each input: names of dimensions differ from export to export."""
    return ",".join(f"{tensor.name}=2x8" for tensor in regraft.load(source).inputs)


def test_names_types_and_layout_stay(tmp_path):
    model = one_node("Softmax", {"x::0": [1, 3, 8, 5]}, axis=1)
    compile("litert", model, tmp_path / "bundle", pipeline="infer-shapes")
    with CompiledSession(tmp_path / "bundle") as session:
        assert {port.name: list(port.shape) for port in session.inputs} == {"x::0": [1, 3, 8, 5]}


def test_gelu_is_one_operator_by_erf_only(artifacts, tmp_path):
    by_erf = compile("litert", artifacts / "pytorch/bert-static-dynamo.onnx", tmp_path / "bert")["metrics"]
    gpt2 = artifacts / "pytorch/gpt2-sdpa-dynamo.onnx"
    by_tanh = compile(f"litert{{{inputs_of(gpt2)}}}", gpt2, tmp_path / "gpt2")["metrics"]
    assert "GELU" in by_erf["operators"]
    assert "TANH" in by_tanh["operators"]
    assert "GELU" not in by_tanh["operators"]


def test_what_the_profile_says_is_what_the_compiler_says(artifacts, tmp_path):
    source = artifacts / "pytorch/bert-cls-sdpa-ts.onnx"
    target, model = read_target("litert"), regraft.load(source)
    assert any("open shapes" in one.reason for one in target.check(model))
    regraft.run(model, f"set-shapes{{{inputs_of(source)}}}")
    (violation,) = [one for one in target.check(model) if one.operator == "Concat"]
    with pytest.raises(CompilerError, match="ONNX_CONCAT"):
        compile("litert", model, tmp_path / "raw", pipeline="strip-dropout", check=False)
    assert violation.reason.endswith("ONNX_CONCAT")


def test_the_source_is_not_overwritten(artifacts, tmp_path):
    source = tmp_path / "model.onnx"
    source.write_bytes((artifacts / "pytorch/vit-ts.onnx").read_bytes())
    before = source.read_bytes()
    compile("litert{batch=1}", source, tmp_path / "bundle")
    assert source.read_bytes() == before
