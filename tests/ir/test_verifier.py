from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import parser

import regraft
from regraft.errors import GraphError
from regraft.files.convert import from_proto
from regraft.ir import verifier
from regraft.ir.graph import Constant, Graph, Node, Variable
from regraft.ir.model import Model
from tests.shares import diagonal

ARTIFACTS = sorted((Path(__file__).parents[1] / "artifacts").rglob("*.onnx"))

SOUND = """<ir_version: 10, opset_import: ["": 21, "com.example": 1]>
g (float[4] x, bool c) => (float[4] y) <float w = {2}> {
    [scale] s = Mul(x, w)
    [branch] b = If(c) <
        then_branch = t () => (float[4] p) { [inner] p = Add(s, w) },
        else_branch = e () => (float[4] q) { [other] q = Add(s, x) }>
    [custom] u, m = com.example.Op(b, , w)
    [last] y = F(u)
}
<domain: "", opset_import: ["": 21]> F (a) => (z) { [body] z = Relu(a) }"""


def sound() -> Model:
    return from_proto(parser.parse_model(SOUND))


def node(model: Model, name: str) -> Node:
    return next(n for n in model.nodes() if n.name == name)


def test_a_sound_model_passes() -> None:
    verifier.check(sound())


@pytest.mark.parametrize("path", diagonal(3, ARTIFACTS), ids=lambda p: p.stem)
def test_exported_models_pass(path: Path) -> None:
    verifier.check(regraft.load(path))


def read_unmade(model: Model) -> None:
    node(model, "custom").inputs[0] = Variable("nowhere")


def read_unmade_in_a_body(model: Model) -> None:
    node(model, "inner").inputs[0] = Variable("nowhere")


def read_a_body_from_outside(model: Model) -> None:
    node(model, "custom").inputs[0] = node(model, "inner").outputs[0]


def read_the_other_branch(model: Model) -> None:
    node(model, "other").inputs[0] = node(model, "inner").outputs[0]


def read_too_early(model: Model) -> None:
    model.graph.nodes.reverse()


def read_from_a_function(model: Model) -> None:
    node(model, "body").inputs[0] = node(model, "scale").outputs[0]


def output_unmade(model: Model) -> None:
    model.graph.outputs = [Variable("nowhere")]


def make_twice(model: Model) -> None:
    node(model, "last").outputs.append(node(model, "scale").outputs[0])


def make_an_input(model: Model) -> None:
    node(model, "last").outputs.append(model.graph.inputs[0])


def make_a_constant(model: Model) -> None:
    node(model, "last").outputs.append(Constant("k", np.ones(1)))


def list_a_node_twice(model: Model) -> None:
    model.graph.nodes.append(node(model, "scale"))


def clash(model: Model) -> None:
    node(model, "last").outputs.append(Variable("s"))


def clash_of_constants(model: Model) -> None:
    node(model, "custom").inputs.append(Constant("w", np.ones(1)))


def clash_with_an_outer_value(model: Model) -> None:
    node(model, "inner").outputs[0].name = "s"


def unnamed_constant(model: Model) -> None:
    node(model, "custom").inputs.append(Constant("", np.ones(1)))


def unknown(model: Model) -> None:
    node(model, "scale").op = "Mull"


def too_new(model: Model) -> None:
    node(model, "scale").op = "RotaryEmbedding"


def lost_link(model: Model) -> None:
    list.clear(node(model, "scale").outputs[0].inputs)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (read_unmade, r"node 'custom' \(Op\): reads 'nowhere', which nothing before it makes"),
        (read_unmade_in_a_body, r"node 'inner' \(Add\): reads 'nowhere'"),
        (read_a_body_from_outside, r"node 'custom' \(Op\): reads 'p'"),
        (read_the_other_branch, r"node 'other' \(Add\): reads 'p'"),
        (read_too_early, r"node 'last' \(F\): reads 'u'"),
        (read_from_a_function, r"node 'body' \(Relu\): reads 's'"),
        (output_unmade, "the outputs of graph 'g': reads 'nowhere'"),
        (
            make_twice,
            r"value 's' is made twice, the second time by node 'last' \(F\)|node 'scale' .* is not the one maker",
        ),
        (make_an_input, "value 'x' is made twice"),
        (make_a_constant, r"node 'last' \(F\) is not the one maker of its output 'k'"),
        (list_a_node_twice, "value 's' is made twice"),
        (clash, r"two values are called 's', one of them at node 'last'"),
        (clash_of_constants, r"two values are called 'w', one of them at node 'custom'"),
        (clash_with_an_outer_value, "two values are called 's'"),
        (unnamed_constant, r"node 'custom' \(Op\) has a value without a name"),
        (unknown, r"node 'scale' \(Mull\): no ONNX operator named 'Mull'; did you mean 'Mul'\?"),
        (too_new, "opset 21 has no RotaryEmbedding, which came with opset 23"),
        (lost_link, "is not the one maker of its output 's'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_found(damage: object, message: str) -> None:
    model = sound()
    damage(model)  # type: ignore[operator]
    with pytest.raises(GraphError, match=message):
        verifier.check(model)


FLAT = """<ir_version: 10, opset_import: ["": 21, "com.example": 1]>
g (float[4] x, bool c) => (float[4] y) <float w = {2}> {
    [scale] s = Mul(x, w)
    [branch] b = Clip(s, , w)
    [custom] u, m = com.example.Op(b, , w)
    [last] y = Relu(u)
}"""


def lose_an_attribute(model: Model) -> None:
    node(model, "last").op = "Gather"


def rename(model: Model) -> None:
    node(model, "scale").outputs[0].name = "b"


def forget_a_name(model: Model) -> None:
    model.graph.inputs[0].name = ""


def give_an_input_twice(model: Model) -> None:
    model.graph.inputs = [*model.graph.inputs, model.graph.inputs[0]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (read_unmade, "reads 'nowhere'"),
        (read_too_early, "reads 'u'"),
        (output_unmade, "the outputs of graph 'g': reads 'nowhere'"),
        (make_twice, "value 's' is made twice|is not the one maker"),
        (make_an_input, "value 'x' is made twice"),
        (make_a_constant, "is not the one maker of its output 'k'"),
        (list_a_node_twice, "value 's' is made twice"),
        (clash, "two values are called 's'"),
        (clash_of_constants, "two values are called 'w'"),
        (unnamed_constant, "has a value without a name"),
        (unknown, "no ONNX operator named 'Mull'"),
        (too_new, "opset 21 has no RotaryEmbedding"),
        (lose_an_attribute, "takes 2 inputs, and it has 1"),
        (rename, "two values are called 'b'"),
        (forget_a_name, "reads ''|without a name"),
        (give_an_input_twice, "value 'x' is made twice"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_check_after_another_finds_what_came_since(damage: object, message: str) -> None:
    model = from_proto(parser.parse_model(FLAT))
    verifier.check(model)
    verifier.check(model)
    damage(model)  # type: ignore[operator]
    for _ in range(2):
        with pytest.raises(GraphError, match=message):
            verifier.check(model)


def test_a_check_looks_closely_only_where_something_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = from_proto(parser.parse_model(FLAT.replace("com.example.Op(b, , w)", "Dropout(b, w)")))
    verifier.check(model)
    looked: list[Node] = []
    monkeypatch.setattr(verifier, "misfit", lambda node, wanted: looked.append(node))
    node(model, "last").op = "Sqrt"
    verifier.check(model)
    assert looked == [node(model, "last")]


def test_operators_of_other_domains_are_not_judged() -> None:
    model = sound()
    node(model, "custom").op = "Whatever"
    verifier.check(model)


def test_a_body_may_use_the_names_of_its_sibling() -> None:
    model = sound()
    node(model, "other").outputs[0].name = "p"
    verifier.check(model)


def test_bodies_of_any_depth_are_checked() -> None:
    body = Graph([Node("Relu", "deep", None, [Variable("nowhere")], [Variable("z")])], opset=21)
    for level in range(30):
        body = Graph([Node("Op", f"level{level}", {"g": body}, domain="d")], opset=21)
    with pytest.raises(GraphError, match="node 'deep'"):
        verifier.check(Model(body))
