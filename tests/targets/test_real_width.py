"""Layers as wide as those of BERT-base, on 128 tokens: compilers have limits that small models do not reach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from regraft.errors import TargetError
from regraft.models import bert
from regraft.pipelines.registry import targets
from tests.targets.compiling import compile

COMPILERS = ("onnxruntime", "openvino", "iree", "tvm", "mnn", "tract", "litert", "rknn")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILERS)
def test_wide_layers_are_compiled_and_right(name, tmp_path):
    try:
        targets.load(name)().python()
    except TargetError as missing:
        pytest.skip(str(missing))
    model = bert.build(replace(bert.BASE, layers=2, vocabulary=1000))
    assert compile(f"{name}{{batch=1,sequence=128}}", model, tmp_path / "bundle")["drift"]["passed"]
