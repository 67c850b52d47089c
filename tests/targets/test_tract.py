"""tract takes what exporters write, with open shapes where it can, and says in one line where it cannot."""

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

needs("tract")


@pytest.mark.parametrize(
    "name",
    [
        "bert-cls-sdpa-dynamo",
        "bert-cls-sdpa-dynamo-op23",
        "bert-cls-sdpa-ts",
        "roberta-sdpa-dynamo",
        "t5-encoder-ts",
        "vit-dynamo",
    ],
)
def test_open_shapes_stay_open(artifacts, tmp_path, name):
    source = artifacts / f"pytorch/{name}.onnx"
    entry = compile("tract", source, tmp_path / "bundle")
    assert entry["drift"]["passed"]
    assert entry["metrics"]["ops"] == sum(entry["metrics"]["operators"].values()) > 0
    inputs = make_inputs(regraft.load(source), seed=1)
    with CompiledSession(tmp_path / "bundle") as session:
        found = session.run(inputs)
    for output, value in Session(source).run(inputs).items():
        assert abs(found[output] - value).max() < 1e-4


def test_sizes_help_where_open_shapes_are_refused(artifacts, tmp_path):
    source = artifacts / "pytorch/gpt2-sdpa-dynamo.onnx"
    with pytest.raises(TargetError, match="tract does not take the result: LessOrEqual: Can not broadcast"):
        compile("tract", source, tmp_path / "bundle")
    assert compile("tract{batch=2,sequence=8}", source, tmp_path / "bundle")["drift"]["passed"]


def test_a_running_sum_is_of_narrow_integers(artifacts):
    target = read_target("tract")
    model = regraft.load(artifacts / "pytorch/roberta-sdpa-dynamo.onnx")
    assert "CumSum: TDim is not a number" in [str(one).partition(": node")[0] for one in target.check(model)]
    target.prepare(model)
    assert target.check(model) == []


def test_a_refusal_is_one_line_without_a_trace(tmp_path):
    model = one_node("Det", {"x": [2, 2]}, output=[])
    with pytest.raises(CompilerError) as caught:
        compile("tract", model, tmp_path / "bundle", check=False)
    assert str(caught.value).startswith("tract refuses the model: ")
    assert len(str(caught.value).splitlines()) == 1
    assert "backtrace" not in str(caught.value)
