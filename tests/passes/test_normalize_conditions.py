"""normalize-conditions: every If whose condition has one element gets a scalar."""

import numpy as np
import pytest
from onnx import helper, numpy_helper, parser

import regraft
from regraft.files.convert import from_proto
from regraft.files.saving import to_proto
from regraft.ir.schema import kind

BRANCHES = "<then_branch = t () => (float[2] a) { a = Abs (x) }, else_branch = e () => (float[2] b) { b = Neg (x) }>"
INPUTS = [{"x": np.array([-1, 2], np.float32), "c": value} for value in (True, False)]


def parse(text, opset=18):
    return from_proto(parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "own" : 1]> {text}'))


def conditions(model):
    """The shape of each If's condition."""
    return [node.inputs[0].shape for node in model.nodes() if kind(node) == "If"]


@pytest.mark.parametrize("opset", [11, 12, 13, 18, 21])
@pytest.mark.parametrize("shape", [[1], [1, 1], [1, 1, 1]])
def test_a_computed_condition(shape, opset):
    dims = ",".join(map(str, shape))
    for given in INPUTS:
        model = parse(f"g (float[2] x, bool[{dims}] c) => (float[2] y) {{ n = Not (c) y = If (n) {BRANCHES} }}", opset)
        feeds = given | {"c": np.full(shape, given["c"])}
        regraft.run(model, "normalize-conditions", verify="each", inputs=feeds)
        assert [n.op for n in model.graph.nodes] == ["Not", "Squeeze", "If"]
        assert conditions(model) == [[]]


@pytest.mark.parametrize("value", [True, False])
def test_a_constant_one(value):
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[2] x) => (float[2] y) {{ y = If (c) {BRANCHES} }}'
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.array([value]), "c"))
    model = from_proto(proto)
    regraft.run(model, "normalize-conditions", verify="each", inputs={"x": INPUTS[0]["x"]})
    assert [n.op for n in model.graph.nodes] == ["If"]
    assert list(to_proto(model).graph.initializer[0].dims) == []


@pytest.mark.parametrize("shape", ["bool", "bool[n]", "bool[]"])
def test_a_scalar_and_what_is_not_known_stay(shape):
    model = parse(f"g (float[2] x, {shape} c) => (float[2] y) {{ y = If (c) {BRANCHES} }}")
    report = regraft.run(model, "normalize-conditions")
    assert [n.op for n in model.graph.nodes] == ["If"]
    assert not report.passes[0].changes


def test_inside_a_body_and_of_an_outer_value():
    inner = f"i = If (n) {BRANCHES}"
    text = f"""g (float[2] x, bool[1] c) => (float[2] y) {{ n = Not (c)
        y = If (c) <then_branch = o () => (float[2] i) {{ {inner} }}, else_branch = p () => (float[2] z)
        {{ z = Relu (x) }}> }}"""
    for given in INPUTS:
        model = parse(text)
        regraft.run(model, "normalize-conditions", verify="each", inputs=given | {"c": np.array([given["c"]])})
        assert conditions(model) == [[], []]


def test_two_of_one_condition_and_an_output_of_it():
    text = f"""g (float[2] x, bool[1] c) => (float[2] y, bool[1] n) {{ n = Not (c) a = If (n) {BRANCHES}
        b = If (n) {BRANCHES.replace("a = Abs", "a = Exp")} y = Add (a, b) }}"""
    text = text.replace("a = If", "p = If").replace("b = If", "q = If").replace("Add (a, b)", "Add (p, q)")
    model = parse(text)
    regraft.run(model, "normalize-conditions", verify="each", inputs={"c": np.array([True]), "x": INPUTS[0]["x"]})
    assert conditions(model) == [[], []]
    assert model.graph.outputs[1].shape == [1]


def test_in_a_function():
    text = f"""g (float[2] x, bool[1] c) => (float[2] y) {{ y = own.F (x, c) }}
        <opset_import: ["" : 18], domain: "own"> F (x, c) => (y) {{ n = Not (c) y = If (n) {BRANCHES} }}"""
    proto = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18, "own" : 1]> {text}')
    proto.functions[0].value_info.append(helper.make_tensor_value_info("n", 9, [1]))
    model = from_proto(proto)
    regraft.run(model, "normalize-conditions", verify="each", inputs={"c": np.array([True]), "x": INPUTS[0]["x"]})
    assert conditions(model) == [[]]


def test_the_default_pipeline_does_it(tmp_path):
    from click.testing import CliRunner

    from regraft.cli import cli

    model = parse(f"g (float[2] x, bool[1,1] c) => (float[2] y) {{ y = If (c) {BRANCHES} }}")
    regraft.save(model, tmp_path / "m.onnx")
    done = CliRunner().invoke(cli, ["rewrite", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "o.onnx")])
    assert done.exit_code == 0, done.output
    assert conditions(regraft.load(tmp_path / "o.onnx")) == [None]  # value infos are stripped
    assert "Squeeze" in [n.op for n in regraft.load(tmp_path / "o.onnx").graph.nodes]
