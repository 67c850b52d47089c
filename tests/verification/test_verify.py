"""Comparing two models by what they compute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.errors import VerificationError
from regraft.verification.contract import approximation, exact, interface
from regraft.verification.runtime import RuntimeFailure
from regraft.verification.verify import Verdict, compare, snapshot

PYTORCH = Path(__file__).parents[1] / "artifacts/pytorch"
X = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(
    *nodes: onnx.NodeProto, inputs: Sequence[str] = ("x",), outputs: Sequence[str] = ("y",), **constants: Any
) -> onnx.ModelProto:
    def infos(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in names]

    weights = [numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def plus(constant: Any, name: str = "y") -> Any:
    return model(node("Add", "x c", name), outputs=[name], c=constant)


def test_equal_models() -> None:
    verdict = compare(plus(1), plus(1), contract=exact)
    assert verdict.passed
    assert verdict.summary == "equal in 1 of 1 output on 7 trials, contract 'exact': no difference"


def test_different_models_and_the_worst_place() -> None:
    off = np.zeros((3, 4))
    off[1, 2] = 0.5
    verdict = compare(plus(1), plus(1 + off), {"x": X})
    (output,) = verdict.drift.outputs
    assert not verdict.passed
    assert output.place == (1, 2)
    assert output.max_abs == 0.5
    assert output.max_rel == pytest.approx(0.5 / 7)
    assert output.cosine < 1
    assert verdict.summary.startswith("different in 1 of 1 output: y: 1 of 12 values differ too much")


def test_the_contract_decides() -> None:
    near = plus(1), plus(1.0003)
    assert not compare(*near, {"x": X}).passed
    assert compare(*near, {"x": X}, contract=approximation(4e-4)).passed


@pytest.mark.parametrize("exporter", ["bert-cls-eager", "bert-cls-sdpa", "distilbert-sdpa"])
def test_two_exports_of_one_network_are_equal(exporter: str) -> None:
    paths = PYTORCH / f"{exporter}-ts.onnx", PYTORCH / f"{exporter}-dynamo.onnx"
    assert compare(*paths).passed
    assert compare(regraft.load(paths[0]), onnx.load(paths[1])).passed


def test_two_networks_differ() -> None:
    verdict = compare(PYTORCH / "bert-cls-eager-ts.onnx", PYTORCH / "distilbert-sdpa-ts.onnx")
    assert not verdict.passed
    assert verdict.inputs.removed == ("token_type_ids",)


def test_outputs_that_come_and_go() -> None:
    two = model(node("Add", "x c"), node("Neg", "x", "z"), outputs=["y", "z"], c=1)
    fewer, more = compare(two, plus(1)), compare(plus(1), two)
    assert not fewer.passed
    assert fewer.outputs.removed == ("z",)
    assert not more.passed
    assert more.outputs.added == ("z",)
    assert not compare(two, plus(1), contract=exact).passed
    assert compare(two, plus(1), contract=interface).passed


def test_inputs_that_come_and_go() -> None:
    one, two = model(node("Neg", "x")), model(node("Neg", "x"), node("Neg", "u", "z"), inputs=["x", "u"])
    assert compare(two, one).notes == ["input u is gone"]
    assert compare(one, two).notes == ["input u is new"]
    assert not compare(one, two).passed
    assert compare(one, two, contract=interface).passed


def test_renamed_inputs_and_outputs() -> None:
    renamed = model(node("Add", "input c", "output"), inputs=["input"], outputs=["output"], c=1)
    verdict = compare(plus(1), renamed)
    assert not verdict.passed
    assert compare(plus(1), renamed, names={"x": "input", "y": "output"}).passed
    assert verdict.notes == ["input x is now input", "output y is now output"]
    assert [output.name for output in verdict.drift.outputs if output.passed] == ["y"]


def test_names_that_only_the_user_knows() -> None:
    before = model(node("Sub", "a b"), inputs=["a", "b"])
    after = model(node("Sub", "p q"), inputs=["p", "q"])
    assert not compare(before, after).passed
    assert compare(before, after, names={"a": "p", "b": "q"}).passed
    assert not compare(before, after, names={"a": "q", "b": "p"}).passed


def test_nothing_in_common() -> None:
    two = model(node("Neg", "x", "p"), node("Abs", "x", "q"), outputs=["p", "q"])
    with pytest.raises(VerificationError, match="no output in common: y before, p, q after"):
        compare(plus(1), two)


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike"])
def test_a_random_output_is_reported_not_compared(op: str) -> None:
    both = model(node(op, "x", "r"), node("Neg", "x"), outputs=["r", "y"])
    verdict = compare(both, both)
    assert verdict.passed
    assert verdict.unstable == ("r",)
    assert [output.name for output in verdict.drift.outputs] == ["y"]
    assert "random, so not compared: r" in verdict.summary
    only = compare(model(node(op, "x", "r"), outputs=["r"]), model(node(op, "x", "r"), outputs=["r"]))
    assert not only.passed
    assert only.summary == "undecided: two runs of the model before differ in every output (r)"


def test_a_random_output_of_another_shape_fails() -> None:
    before = model(node("RandomNormalLike", "x", "n"), node("Identity", "n"))
    after = model(node("RandomNormalLike", "x", "n"), node("ReduceSum", "n"))
    after.graph.output[0].type.tensor_type.ClearField("shape")
    verdict = compare(before, after)
    assert not verdict.passed
    assert "shape [3, 4] became [1, 1]" in verdict.summary


def test_dropout_of_a_training_export_is_random() -> None:
    path = PYTORCH / "bert-cls-eager-ts-train.onnx"
    assert compare(path, path).unstable == ("logits",)


def test_given_inputs_are_used() -> None:
    absolute, same = model(node("Abs", "x")), model(node("Identity", "x"))
    assert compare(absolute, same, {"x": X}, contract=exact).passed
    assert not compare(absolute, same, {"x": -X}, contract=exact).passed


def test_a_model_that_does_not_run() -> None:
    with pytest.raises(RuntimeFailure, match="NoSuchOp"):
        compare(plus(1), model(node("NoSuchOp", "x")))


def test_snapshot() -> None:
    both = model(node("RandomNormalLike", "x", "r"), node("Neg", "x"), outputs=["r", "y"])
    np.testing.assert_array_equal(snapshot(both, {"x": X})["y"], -X)


@pytest.fixture
def different() -> Verdict:
    two = model(node("Add", "x c"), node("Neg", "x", "z"), outputs=["y", "z"], c=np.inf)
    return compare(two, plus(1), {"x": X})


def test_json(different: Verdict) -> None:
    content = json.loads(different.to_json(), parse_constant=pytest.fail)
    assert content["passed"] is False
    assert content["outputs"]["removed"] == ["z"]
    assert content["drift"]["outputs"][0]["max_abs"] == "inf"
    assert content["drift"]["outputs"][0]["place"] == [0, 0]


def test_table(different: Verdict) -> None:
    text = str(different)
    assert "12 of 12 values changed to or from NaN or infinity" in text
    assert "output z is gone" in text
