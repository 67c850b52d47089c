"""IREE takes what exporters write, right where the compiler itself goes wrong."""

from __future__ import annotations

import json

import onnx.parser
import pytest

import regraft
from regraft.errors import TargetError
from regraft.files import convert
from regraft.files.convert import clone
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from tests.shares import every
from tests.targets.compiling import compile, needs, one_node

needs("iree")


@pytest.mark.parametrize(
    ("name", "sizes"),
    every(
        2,
        [
            ("bert-static-dynamo", ""),
            ("gpt2-sdpa-dynamo", "batch=2,sequence=8"),
            ("bert-cls-sdpa-dynamo-op23", "batch=2,sequence=8"),
        ],
    ),
)
def test_models_are_taken(artifacts, tmp_path, name, sizes):
    source = artifacts / f"pytorch/{name}.onnx"
    entry = compile(f"iree{{{sizes}}}" if sizes else "iree", source, tmp_path / "bundle")
    metrics = entry["metrics"]
    assert entry["drift"]["passed"]
    assert metrics["ops"] == sum(metrics["operators"].values()) > 0
    assert "host" in metrics["notes"][0]
    ports = json.loads((tmp_path / "bundle/compiled/ports.json").read_text())
    assert set(ports["outputs"]) == {tensor.name for tensor in regraft.load(source).outputs}


def test_open_shapes_stay_open(artifacts, tmp_path):
    entry = compile("iree", artifacts / "pytorch/t5-encoder-ts.onnx", tmp_path / "bundle")
    assert entry["drift"]["passed"]
    assert "batch" in regraft.load(tmp_path / "bundle").inputs[0].shape


@pytest.mark.slow
def test_rows_of_two_open_dimensions_are_a_gap_that_one_size_closes(artifacts, tmp_path):
    source, target = artifacts / "pytorch/gpt2-sdpa-dynamo.onnx", read_target("iree")
    assert [one.operator for one in target.check(regraft.load(source))] == ["Reshape"]
    with pytest.raises(CompilerError, match="computes something else: logits: "):
        compile("iree", source, tmp_path / "raw", check=False, pipeline="strip-dropout")
    assert compile("iree{batch=2}", source, tmp_path / "bundle")["drift"]["passed"]
    assert target.check(regraft.load(artifacts / "pytorch/gpt2-sdpa-ts.onnx")) == []


def test_dropout_of_training_is_a_gap_that_the_pipeline_closes(artifacts, tmp_path):
    source, target = artifacts / "pytorch/bert-cls-eager-ts-train.onnx", read_target("iree")
    assert [one.operator for one in target.check(regraft.load(source))] == ["Dropout"]
    assert compile("iree", source, tmp_path / "bundle")["drift"]["passed"]


def test_a_slice_that_is_expanded_must_have_a_stated_shape(tmp_path):
    model = positions()
    assert [one.operator for one in read_target("iree").check(model)] == ["Expand"]
    with pytest.raises(CompilerError, match="a dim that is not statically 1"):
        compile("iree", clone(model), tmp_path / "raw", check=False, pipeline="strip-dropout")
    assert compile("iree", model, tmp_path / "bundle")["drift"]["passed"]


def positions() -> regraft.Model:
    """Looks at the first numbers of a row, as many as there are tokens, once for each row of tokens."""
    graph = """(int64[batch, sequence] input_ids) => (int64[batch, sequence] y)
        <int64[2] table = {1, 64}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}> {
            all = ConstantOfShape <value = int64[1] {3}> (table)
            shape = Shape (input_ids)
            length = Slice (shape, one, two)
            first = Slice (all, zero, length, one)
            y = Expand (first, shape)
        }"""
    return convert.from_proto(onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> g {graph}'))


def test_gelu_by_tanh_is_a_gap_that_the_pipeline_closes(tmp_path):
    model = one_node("Gelu", {"x": [2, 64]}, approximate="tanh")
    target = read_target("iree")
    assert "computes something else: Gelu by Erf" in str(target.check(model)[0])
    with pytest.raises(CompilerError, match="computes something else: y: "):
        compile("iree", clone(model), tmp_path / "raw", check=False, pipeline="strip-dropout")
    compile("iree", model, tmp_path / "bundle")
    assert target.check(model) == []


def test_what_is_refused_is_one_line_and_its_log_stays(tmp_path):
    model = one_node("Swish", {"x": [2, 2]}, opset=24)
    with pytest.raises(TargetError, match="Swish: failed to legalize"):
        compile("iree", model, tmp_path / "bundle")
    with pytest.raises(CompilerError) as caught:
        compile("iree", model, tmp_path / "bundle", check=False)
    assert "iree refuses the model: failed to legalize operation" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "iree-compile" in (tmp_path / "bundle.log").read_text()


@pytest.mark.parametrize(("opset", "expected"), [(12, 17), (17, 17), (20, 20)])
def test_an_old_softmax_is_raised(opset, expected):
    model = one_node("Softmax", {"x": [2, 3]}, opset=opset)
    read_target("iree").prepare(model)
    assert model.opset == expected
