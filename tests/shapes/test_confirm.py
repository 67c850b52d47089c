"""What a file declares of the values inside is a claim: no pass believes it before inference has confirmed it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, parser

import regraft
from regraft import shapes
from regraft.files.convert import clone, from_proto
from regraft.files.saving import to_proto
from regraft.ir.model import Model


def parse(text: str, opset: int = 18, **stale: Any) -> Model:
    """A model whose values inside are declared as `stale` says."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}, "own" : 1]>\n{text}')
    claims = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in stale.items()]
    proto.graph.value_info.extend(claims)
    return from_proto(proto)


def declared(model: Model) -> dict[str, Any]:
    return {t.name: t.shape for node in model.nodes() for t in node.outputs}


X = {"x": np.arange(12, dtype=np.float32).reshape(3, 4)}
TURNED = "g (float[3,4] x) => (float[a,b] y) <int64[2] to = {3,4}> { t = Transpose<perm=[1,0]>(x) "
STALE = {  # by what goes wrong with the claim that `t` is 3 x 4
    "Reshape": TURNED + "r = Reshape(t, to) y = Relu(r) }",
    "Expand": "g (float[1,4] x) => (float[a,b] y) <int64[2] to = {3,4}> { t = Relu(x) r = Expand(t, to) y = Relu(r) }",
    "Slice": """g (float[4,3] x) => (float[a,b] y) <int64[1] s = {0}, int64[1] e = {3}>
        { t = Relu(x) r = Slice(t, s, e, s) y = Relu(r) }""",
    "Flatten": "g (float[2,2,3] x) => (float[a,b] y) { t = Relu(x) r = Flatten(t) y = Relu(r) }",
    "Squeeze": "g (float[1,4] x) => (float[] y) { t = Relu(x) r = Squeeze(t) y = Relu(r) }",
    "Sub": "g (float[1,2] x) => (float[] y) <float[3,2] c = {0,0,0,0,0,0}> { t = Relu(x) r = Sub(t, c) y = Neg(r) }",
}
PASSES = [
    "eliminate-identity", "fold-constants", "lower-expand", "lower-split", "simplify-gather", "lower-gemm",
    "eliminate-identity,fold-constants,lower-expand,eliminate-common-subexpressions",
]  # fmt: skip


@pytest.mark.parametrize("pipeline", PASSES)
@pytest.mark.parametrize("op", STALE)
def test_no_pass_believes_it(op: str, pipeline: str) -> None:
    claim = [3, 2] if op == "Sub" else [3, 4]
    report = regraft.run(parse(STALE[op], t=claim), pipeline, verify="each")
    assert [f"'t' is declared float32{claim}" in line for line in report.notes] == [True]


def test_nor_in_a_body_nor_in_a_function() -> None:
    turned = "t = Transpose<perm=[1,0]>(x) r = Reshape(t, to)"
    body = f"""g (float[3,4] x, bool c) => (float[a,b] y) <int64[2] to = {{3,4}}> {{
        y = If(c) <then_branch = n () => (float[3,4] r) <float[3,4] t> {{ {turned} }},
                   else_branch = o () => (float[3,4] e) {{ e = Relu(x) }}> }}"""
    regraft.run(parse(body), "eliminate-identity", verify="each", inputs=X | {"c": np.array(True)})
    proto = parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 18, "own" : 1]> g (float[3,4] x) => (float[a,b] y)
        <int64[2] to = {{3,4}}> {{ y = own.F(x, to) }}
        <opset_import: ["" : 18], domain: "own"> F (x, to) => (r) {{ {turned} }}"""
    )
    proto.functions[0].value_info.append(helper.make_tensor_value_info("t", 1, [3, 4]))
    model = from_proto(proto)
    regraft.run(model, "eliminate-identity", verify="each", inputs=X)
    assert declared(model)["t"] == [4, 3]


def test_what_no_rules_contradict_is_the_only_source() -> None:
    text = """g (float[N,4] x, int64[r] to) => (float[] y, float[] w) { t = own.Op(x) p = Plugin_TRT(x)
        u = Relu(t) v = Relu(p) d = NonZero(x) e = Cast<to=1>(d) w = Reshape(x, to) f = Concat<axis=0>(u, v, e)
        y = Relu(f) }"""
    model = parse(text, t=[5, 4], p=["N", 4], e=[2, 12], w=[3, 4])
    regraft.run(model, "eliminate-dead-code")
    found = declared(model)
    assert (found["t"], found["p"], found["u"], found["v"]) == ([5, 4], ["N", 4], None, None)
    regraft.run(model, "infer-shapes")
    found = declared(model)
    assert (found["u"], found["v"], found["e"], found["w"]) == ([5, 4], ["N", 4], [2, None], None)


def test_a_claim_downstream_of_the_unknown_keeps_its_dtype_alone() -> None:
    model = parse("g (float[3,4] x) => (float[] y) { t = own.Op(x) u = Relu(t) y = Relu(u) }", u=[3, 4])
    regraft.run(model, "eliminate-dead-code")
    (u,) = [t for n in model.graph.nodes for t in n.outputs if t.name == "u"]
    assert (u.dtype, u.shape) == (np.float32, None)


def test_a_value_that_is_an_output_too() -> None:
    """Its declaration is a promise: written, not believed."""
    text = """g (float[N,4] x, int64[2] s) => (float[3,4] t, float[a,b] y) <int64[2] to = {3,4}>
        { t = Reshape(x, s) y = Expand(t, to) }"""
    given = {"x": np.ones((1, 4), np.float32), "s": np.array([1, 4])}
    for pipeline in ("eliminate-identity", "infer-shapes,eliminate-identity", "lower-expand", "fold-constants"):
        model = parse(text)
        regraft.run(model, pipeline, verify="each", inputs=given)
        (t, _) = to_proto(model).graph.output
        assert [d.dim_value for d in t.type.tensor_type.shape.dim] == [3, 4]


@pytest.mark.parametrize("shape", [[3, 4], [4], [1, 4, 3], [5, 3]])
def test_an_output_declared_otherwise_is_mended_and_told(shape: list[int]) -> None:
    text = "g (float[3,4] x) => (float[4,3] o) { t = Transpose<perm=[1,0]>(x) o = Relu(t) }"
    proto = to_proto(parse(text))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("o", 1, shape))
    for pipeline in ("eliminate-dead-code", "infer-shapes", "convert-opset{version=20}", "set-shapes{x=3x4}"):
        model = from_proto(proto)
        report = regraft.run(model, pipeline, verify="final")
        assert report.notes == [f"'o' is declared float32{shape}, but the graph makes float32[4, 3]; mended"]
        (o,) = to_proto(model).graph.output
        assert [d.dim_value for d in o.type.tensor_type.shape.dim] == [4, 3]


def test_it_is_asked_once() -> None:
    model = parse(STALE["Reshape"], t=[3, 4])
    assert model.claims
    assert clone(model).claims
    assert len(shapes.confirm(model)) == 1
    assert not shapes.confirm(model)
    assert not clone(model).claims
    made = parse("g (float[3] x) => (float[3] y) { a = Relu(x) b = Relu(a) y = Relu(b) }")
    assert made.claims  # of its output
    for name in ("y",):
        assert declared(made)[name] == [3]


def test_inputs_keep_what_they_declare() -> None:
    model = parse("g (float[N,4] x) => (float[N,4] y) { t = Relu(x) y = Relu(t) }", t=["M", 4])
    regraft.run(model, "eliminate-dead-code")
    assert model.graph.inputs[0].shape == ["N", 4]
    assert declared(model)["t"] == ["N", 4]
