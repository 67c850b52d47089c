from __future__ import annotations

import onnx.parser
import pytest
from onnx import helper

import regraft
from regraft.files import convert
from regraft.inspection.census import operators
from regraft.pipelines.registry import targets
from regraft.verification.verify import compare

NAMES = targets.names()


@pytest.fixture
def model(artifacts) -> regraft.Model:
    return regraft.load(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx")


@pytest.fixture
def target():
    return targets.load("onnxruntime")()


def one_node(op: str, domain: str = "", opset: int = 21, **attributes) -> regraft.Model:
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "y")]
    node = helper.make_node(op, ["x"], ["y"], "the node", domain=domain, **attributes)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    proto = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]), opset_imports=opsets)
    proto.ir_version = 10
    return convert.from_proto(proto)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_says_what_it_is(name, model):
    target = targets.load(name)
    assert target.name == name
    assert target.help().endswith(".")
    assert len(target().passes(model))


def test_prepare_keeps_what_the_model_computes(model, target, artifacts):
    report = target.prepare(model)
    assert report.changed
    assert operators(model)["Gelu"] == 2
    assert operators(model)["LayerNormalization"] == 5
    assert compare(artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx", model).passed


@pytest.mark.parametrize(
    "name",
    [
        "pytorch/bert-cls-eager-dynamo.onnx",
        "pytorch/bert-cls-sdpa-ts.onnx",
        "pytorch/bert-cls-eager-ts-train.onnx",
        "pytorch/transformers-4.25.1-bert-qa/model.onnx",
        "tensorflow/tiny_seq32_op18.onnx",
    ],
)
def test_preparing_again_finds_nothing_to_do(target, artifacts, name):
    model = regraft.load(artifacts / name)
    target.prepare(model)
    once = operators(model)
    target.prepare(model)
    assert operators(model) == once


def test_what_nothing_needs_hides_no_pattern(target):
    model = convert.from_proto(
        onnx.parser.parse_model(
            """<ir_version: 9, opset_import: ["" : 20]>
            g (float[4] x) => (float[4] y) <float half = {0.5}, float one = {1}, float root = {1.4142135}> {
                a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)  unneeded = Neg(b)
            }"""
        )
    )
    target.prepare(model)
    assert operators(model) == {"Gelu": 1}


def test_prepare_leaves_a_newer_opset(target, artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-sdpa-dynamo.onnx")
    target.prepare(model)
    assert model.opset == 20


def test_check_takes_a_good_model(model, target):
    assert target.check(model) == []
    assert target.check(one_node("FastGelu", "com.microsoft")) == []
    assert target.check(one_node("ThresholdedRelu", alpha=1.0)) == []


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (one_node("Nonsense", "own"), "own::Nonsense: not an operator of ONNX: the node"),
        (one_node("Relu", opset=1000), "support for domain ai.onnx"),
        (one_node("Relu", surprise=1), "surprise"),
    ],
)
def test_check_says_what_is_not_taken(target, model, reason):
    (violation,) = target.check(model)
    assert reason in str(violation)


def test_a_violation_lists_its_nodes(target):
    model = one_node("Nonsense", "own")
    second = one_node("Nonsense", "own").graph.nodes[0]
    second.name = "another"
    model.graph.nodes.append(second)
    (violation,) = target.check(model)
    assert violation.nodes == ("the node", "another")
    assert str(violation).endswith("the node and 1 more")
