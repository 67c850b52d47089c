"""A profile says no where the compiler does: of models as exporters wrote them, with no pass to help."""

from __future__ import annotations

import pytest

import regraft
from regraft.targeting.process import CompilerError
from regraft.targeting.target import read_target
from tests.targets.compiling import compile, needs

needs("tract")

AS_IT_IS = "strip-dropout"  # finds nothing here


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("bert-static-dynamo", True),
        ("t5-encoder-dynamo", True),
        ("vit-ts", True),
        ("bert-cls-sdpa-dynamo-op23", False),
        ("bert-cls-sdpa-ts", False),
        ("bert-mlm-tied-dynamo", False),
        ("gpt2-sdpa-dynamo", False),
        ("roberta-sdpa-dynamo", False),
    ],
)
def test_tract(artifacts, tmp_path, name, taken):
    source = artifacts / f"pytorch/{name}.onnx"
    assert (read_target("tract").check(regraft.load(source)) == []) == taken
    if taken:
        assert compile("tract", source, tmp_path / "bundle", pipeline=AS_IT_IS)["drift"]["passed"]
    else:
        with pytest.raises(CompilerError):
            compile("tract", source, tmp_path / "bundle", pipeline=AS_IT_IS, check=False)
