"""TVM takes what exporters write once shapes are known and masks are looked up no more."""

from __future__ import annotations

import json

import pytest

import regraft
from regraft.errors import TargetError
from regraft.targeting.process import CompilerError
from tests.shares import every
from tests.targets.compiling import compile, needs

needs("tvm")


@pytest.mark.parametrize(
    ("name", "sizes"),
    every(
        2,
        [
            ("bert-static-dynamo", ""),
            ("bert-cls-sdpa-ts", "{batch=2,seq=8}"),
            ("bert-cls-sdpa-dynamo-op23", "{batch=2,sequence=8}"),
            ("t5-encoder-dynamo", "{batch=2,sequence=8}"),
        ],
    ),
)
def test_models_are_taken(artifacts, tmp_path, name, sizes):
    source = artifacts / f"pytorch/{name}.onnx"
    entry = compile(f"tvm{sizes}", source, tmp_path / "bundle")
    assert entry["drift"]["passed"]
    metrics = entry["metrics"]
    assert metrics["ops"] == sum(metrics["operators"].values()) > 0
    assert not any(name.startswith("vm.") for name in metrics["operators"])
    ports = json.loads((tmp_path / "bundle/compiled/ports.json").read_text())
    assert ports["outputs"] == [tensor.name for tensor in regraft.load(source).outputs]


def test_open_shapes_stay_open_where_tvm_takes_them(artifacts, tmp_path):
    entry = compile("tvm", artifacts / "pytorch/vit-ts.onnx", tmp_path / "bundle")
    assert entry["drift"]["passed"]
    assert "batch" in regraft.load(tmp_path / "bundle").inputs[0].shape


def test_open_shapes_that_it_does_not_take_are_one_line(artifacts, tmp_path):
    with pytest.raises(TargetError) as caught:
        compile("tvm", artifacts / "pytorch/t5-encoder-ts.onnx", tmp_path / "bundle")
    assert str(caught.value).startswith("tvm ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_shape_of_no_dimensions_is_a_gap_and_refused(artifacts, tmp_path):
    source = artifacts / "pytorch/bert-cls-sdpa-ts.onnx"
    with pytest.raises(CompilerError, match=r"tvm refuses the model: .*broadcast_to expects"):
        compile("tvm{batch=2,seq=8}", source, tmp_path / "bundle", pipeline="strip-dropout", check=False)
