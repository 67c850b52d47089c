"""Operators that runtimes keep in ONNX's own domain: taken as they are, and for none of ONNX's."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import parser
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

import regraft
from regraft.cli import cli
from regraft.errors import GraphError
from regraft.files.convert import clone, from_proto
from regraft.files.saving import to_proto
from regraft.ir import schema, verifier
from regraft.ir.graph import Node
from regraft.targeting.target import read_target

PLAIN = "y = SimplifiedLayerNormalization <epsilon = 0.01, stash_type = 1> (i, g)"
BODIES = {
    "main graph": f"{{ i = Identity (x) {PLAIN} z = Relu (y) }}",
    "subgraph": f"""{{ c = Constant <value = bool {{1}}> () i = Identity (x)
        z = If (c) <then_branch = t () => (float[N,4] y) {{ {PLAIN} }}, else_branch = e () => (float[N,4] o)
        {{ o = Identity (i) }}> }}""",
}
FUNCTION = '<opset_import: ["" : 14], domain: "own"> F (i, g) => (y) { ' + PLAIN + " }"


def made(body, functions=""):
    text = f"""<ir_version: 8, opset_import: ["" : 14, "own" : 1]>
      g (float[N,4] x) => (float[N,4] z) <float[4] g = {{1, 2, 3, 4}}> {body} {functions}"""
    return parser.parse_model(text)


MODELS = {name: made(body) for name, body in BODIES.items()}
MODELS["function"] = made("{ i = Identity (x) y = own.F (i, g) z = Relu (y) }", FUNCTION)


@pytest.fixture(params=MODELS)
def proto(request):
    return MODELS[request.param]


def test_what_is_read_is_written(proto):
    model = from_proto(proto)
    (node,) = [n for n in model.nodes() if n.op == "SimplifiedLayerNormalization"]
    assert node.domain == schema.FOREIGN
    for written in (to_proto(model), to_proto(clone(model))):
        assert "ai.onnx" not in str(written)
        assert {o.domain: o.version for o in written.opset_import} == {"": 14, "own": 1}


PIPELINES = [
    "convert-opset{version=20,only=older,otherwise=keep},infer-shapes,fold-constants,eliminate-identity,strip-value-info",
    "convert-opset{version=17}",
    "convert-fp16",
    "eliminate-identity,fold-constants",
]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_pipelines_take_it(proto, pipeline):
    model = from_proto(proto)
    given = {"x": np.arange(8, dtype=np.float32).reshape(2, 4)}
    report = regraft.run(model, pipeline, verify="final", inputs=given)
    assert "SimplifiedLayerNormalization" in {n.op for n in model.nodes()}
    (line,) = report.notes
    assert line.startswith("SimplifiedLayerNormalization, at node 'y', is taken for a runtime's own")


COMMANDS = (
    "show m, show m --graph, diff m m, verify m m, run m, check m --target onnxruntime, rewrite m -o o.onnx,"
    "bench m m --runs 1"
)


@pytest.mark.parametrize("words", COMMANDS.split(","))
def test_commands_take_it(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(MODELS["main graph"], "m")
    done = CliRunner().invoke(cli, words.split())
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("op", "said"), [("NMS_TRT", "own"), ("Reluu", "did you mean 'Relu'?"), ("Gelu", "opset 20")])
def test_a_note_names_it(op, said):
    model = from_proto(made(f"{{ y = {op} (x) z = Relu (y) }}"))
    (line,) = regraft.run(model, "eliminate-dead-code").notes
    assert op in line
    assert said in line


def test_a_pass_makes_none_by_mistake():
    class Mistaken(regraft.Pass):
        """Write Gelu where there is none."""

        name = "mistaken"

        def run(self, model, context):
            model.graph.nodes[-1].op = "Gelu"

    with pytest.raises(GraphError, match="opset 14 has no Gelu"):
        regraft.run(from_proto(made("{ z = Relu (x) }")), [Mistaken()])


def test_a_pass_may_make_one_on_purpose():
    model = from_proto(made("{ z = Relu (x) }"))
    old = model.graph.nodes[0]
    model.graph.nodes[0] = Node("Plugin_TRT", "p", inputs=list(old.inputs), outputs=list(old.outputs), domain="ai.onnx")
    old.inputs.clear()
    old.outputs.clear()
    verifier.check(model)
    assert to_proto(model).graph.node[0].domain == ""


def test_nothing_is_assumed_of_it():
    """Its shape is what the model declares, and its value is not merged with another's of the same inputs."""
    body = "{ a = Draw_TRT (x) b = Draw_TRT (x) d = Sub (a, b) s = Shape (a) r = Reshape (d, s) z = Relu (r) }"
    model = from_proto(made(body))
    tidy = "fold-constants,eliminate-common-subexpressions,eliminate-identity,eliminate-dead-code"
    regraft.run(model, f"infer-shapes,{tidy}")
    assert [n.op for n in model.graph.nodes] == ["Draw_TRT", "Draw_TRT", "Sub", "Shape", "Reshape", "Relu"]


def test_a_function_of_the_model_is_none():
    text = """<ir_version: 8, opset_import: ["" : 14]> g (float[N,4] x) => (float[N,4] z) { z = Twice (x) }
      <opset_import: ["" : 14], domain: ""> Twice (a) => (b) { b = Add (a, a) }"""
    model = from_proto(parser.parse_model(text))
    assert model.graph.nodes[0].domain is None
    assert not regraft.run(model, "infer-shapes").notes


def test_a_value_that_nothing_makes_is_refused_all_the_same():
    with pytest.raises(GraphError, match="nothing before it makes"):
        regraft.run(from_proto(made("{ z = Plugin_TRT (lost) }")), "infer-shapes")


def test_the_operators_that_onnx_runtime_keeps_are_in_its_profile():
    kept = {
        kernel.op_name
        for kernel in runtime.get_all_opkernel_def()
        if not kernel.domain and kernel.provider == "CPUExecutionProvider" and "Memcpy" not in kernel.op_name
        if schema.find(kernel.op_name, kernel.version_range[0]) is None
    }
    assert set(read_target("onnxruntime").profile.foreign) == kept


def test_tensorrt_takes_its_plugins():
    model = from_proto(made("{ n = EfficientNMS_TRT (x) y = Mine_TRT (n) z = Relu (y) }"))
    (violation,) = read_target("tensorrt").check(model)
    assert violation.operator == "ai.onnx::Mine_TRT"
