"""fuse- and lower-, -gelu and -layer-norm: every exporter's form, every operand order, each contract."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.files.convert import clone, from_proto
from regraft.ir.schema import kind
from regraft.ir.verifier import check
from regraft.passes.fuse_gelu import FuseGelu
from regraft.passes.fuse_layer_norm import FuseLayerNorm
from regraft.passes.lower_gelu import LowerGelu
from regraft.passes.lower_layer_norm import LowerLayerNorm
from regraft.pipelines.pass_base import Context
from regraft.rewriting.why import why
from regraft.verification.contract import exact, reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from tests.shares import diagonal

GELU_FORMS = ("erf", "tanh", "sigmoid")
NORM_FORMS = ("pow", "mul", "rsqrt", "fold")
EXPORTS = {  # file: (Gelus, LayerNormalizations) as the model's config says
    "pytorch/bert-cls-eager-dynamo.onnx": (2, 5),
    "pytorch/bert-cls-eager-ts.onnx": (2, 5),
    "pytorch/bert-cls-sdpa-dynamo.onnx": (2, 5),
    "pytorch/bert-cls-sdpa-ts.onnx": (2, 5),
    "pytorch/bert-qa-eager-dynamo.onnx": (2, 5),
    "pytorch/distilbert-sdpa-dynamo.onnx": (2, 5),
    "pytorch/distilbert-sdpa-ts.onnx": (2, 5),
    "pytorch/bert-cls-eager-ts-train.onnx": (2, 5),
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": (2, 5),
    "tensorflow/tiny_seq32_op18.onnx": (2, 5),
}


def apply(model, *passes) -> list[int]:
    """Run passes; how many changes each made."""
    contexts = [Context(p.name) for p in passes]
    for each, context in zip(passes, contexts, strict=True):
        each.run(model, context)
        check(model)
    return [len(context.changes) for context in contexts]


def count(model) -> tuple[int, int]:
    kinds = [kind(node) for node in model.graph.nodes]
    return kinds.count("Gelu"), kinds.count("LayerNormalization")


def check_contract(contract, model, rewritten, inputs, places: int) -> None:
    drift = contract.through(places).check(snapshot(model, inputs), snapshot(rewritten, inputs))
    assert drift.passed, str(drift)


# ------------------------------------------------------------------------------------------------ real exports


@pytest.mark.parametrize("name", EXPORTS)
def test_all_are_found_in_every_export(artifacts, name):
    model = regraft.load(artifacts / name)
    rewritten = clone(model)
    apply(rewritten, FuseGelu(), FuseLayerNorm())
    assert count(rewritten) == EXPORTS[name]
    if "train" not in name:  # its Dropouts draw
        check_contract(reassociation, model, rewritten, make_inputs(model), sum(EXPORTS[name]))
    left = {kind(node) for node in rewritten.graph.nodes} & {"Erf", "Sqrt", "Pow", "Reciprocal"}
    assert not left


@pytest.mark.parametrize("name", diagonal(3, [name for name in EXPORTS if "train" not in name]))
@pytest.mark.parametrize(("gelu", "norm"), list(zip((*GELU_FORMS, "erf"), NORM_FORMS, strict=True)))
def test_lowering_keeps_its_contract_and_is_found_again(artifacts, name, gelu, norm):
    model = regraft.load(artifacts / name)
    inputs = make_inputs(model)
    fused = clone(model)
    apply(fused, FuseGelu(), FuseLayerNorm())
    lowered = clone(fused)
    lower_gelu, lower_norm = LowerGelu(form=gelu), LowerLayerNorm(form=norm)
    assert apply(lowered, lower_gelu, lower_norm) == list(EXPORTS[name])
    assert count(lowered) == (0, 0)
    check_contract(lower_gelu.contract + lower_norm.contract, fused, lowered, inputs, sum(EXPORTS[name]))
    if gelu != "sigmoid":
        assert apply(lowered, FuseGelu(), FuseLayerNorm()) == list(EXPORTS[name])
        assert count(lowered) == EXPORTS[name]


# ------------------------------------------------------------------------------------------------ written by hand


def elementwise(body: str, opset: int = 18, dtype: str = "float", shape: str = "2,8", initializers: str = ""):
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
    g ({dtype}[{shape}] x) => ({dtype}[{shape}] out) {initializers} {{ {body} }}"""
    return from_proto(onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text)))


CONSTANTS = "<float half={0.5}, float one={1}, float root2={1.4142135}, float three={3}, float two={2}, \
float c={0.044715}, float s={0.7978846}>"


@pytest.mark.parametrize("bracket", ["one, e", "e, one"])
@pytest.mark.parametrize("order", list(itertools.permutations(["x", "half", "b"])))
@pytest.mark.parametrize("left_first", [True, False])
def test_every_operand_order_of_the_erf_form(bracket, order, left_first):
    first, second, third = order
    product = f"p = Mul({first}, {second}) out = Mul(p, {third})"
    if not left_first:
        product = f"p = Mul({second}, {third}) out = Mul({first}, p)"
    model = elementwise(f"d = Div(x, root2) e = Erf(d) b = Add({bracket}) {product}", initializers=CONSTANTS)
    rewritten = clone(model)
    assert apply(rewritten, FuseGelu()) == [1]
    assert [kind(n) for n in rewritten.graph.nodes] == ["Gelu"]
    check_contract(reassociation, model, rewritten, make_inputs(model), 1)


@pytest.mark.parametrize(
    "inner", ["n = Neg(x) d = Div(n, root2)", "n = Neg(x) d = Mul(invroot2, n)", "d = Div(x, minusroot2)"]
)
@pytest.mark.parametrize("order", ["p = Mul(half, x) out = Mul(p, b)", "p = Mul(b, half) out = Mul(x, p)"])
def test_every_writing_of_the_erfc_form(inner, order):
    numbers = CONSTANTS[:-1] + ", float invroot2={0.70710677}, float minusroot2={-1.4142135}>"
    model = elementwise(f"{inner} e = Erf(d) b = Sub(one, e) {order}", initializers=numbers)
    rewritten = clone(model)
    assert apply(rewritten, FuseGelu()) == [1]
    assert [kind(n) for n in rewritten.graph.nodes] == ["Gelu"]
    check_contract(reassociation, model, rewritten, make_inputs(model), 1)


INNER = {
    "pow": "k = Pow(x, three) m = Mul(c, k) a = Add(x, m) t = Mul(s, a)",
    "product": "q = Mul(x, x) k = Mul(q, x) m = Mul(k, c) a = Add(m, x) t = Mul(a, s)",
    "bracket": "q = Mul(x, x) m = Mul(c, q) o = Add(one, m) a = Mul(x, o) t = Mul(s, a)",
    "fast": "q = Pow(x, two) m = Mul(q, c) o = Add(m, one) y = Mul(s, x) t = Mul(y, o)",
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize(
    "outer", ["b = Add(one, h) p = Mul(half, x) out = Mul(p, b)", "b = Add(h, one) p = Mul(half, b) out = Mul(x, p)"]
)
@pytest.mark.parametrize("opset", [11, 18, 20])
def test_every_writing_of_the_tanh_form(inner, outer, opset):
    model = elementwise(f"{INNER[inner]} h = Tanh(t) {outer}", opset, initializers=CONSTANTS)
    rewritten = clone(model)
    assert apply(rewritten, FuseGelu()) == [1]
    (node,) = rewritten.graph.nodes
    assert kind(node) == "Gelu"
    assert node.attrs["approximate"] == "tanh"
    check_contract(reassociation, model, rewritten, make_inputs(model), 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("d = Div(x, two) e = Erf(d) b = Add(e, one) p = Mul(x, b) out = Mul(p, half)", "0.5"),
        ("d = Div(x, root2) e = Erf(d) b = Add(e, two) p = Mul(x, b) out = Mul(p, half)", "constant 1"),
        ("d = Div(x, root2) e = Erf(d) b = Sub(one, e) p = Mul(x, b) out = Mul(p, half)", ""),
        ("d = Div(x, root2) e = Erf(d) b = Add(e, one) n = Neg(x) p = Mul(n, b) out = Mul(p, half)", ""),
        ("d = Div(x, root2) e = Erf(d) b = Add(e, one) p = Mul(x, b) q = Mul(p, half) out = Add(q, b)", "read by"),
        ("out = Gelu(x)", "it is the operator already"),
        (
            "k = Pow(x, two) m = Mul(c, k) a = Add(x, m) t = Mul(s, a) h = Tanh(t) b = Add(one, h) p = Mul(half, x) "
            "out = Mul(p, b)",
            "",
        ),
    ],
)
def test_what_is_not_gelu_stays_and_why_says_so(body, reason):
    model = elementwise(body, 20, initializers=CONSTANTS)
    before = [node.op for node in model.graph.nodes]
    assert apply(model, FuseGelu()) == [0]
    assert [node.op for node in model.graph.nodes] == before
    assert any(reason in near.reason for near in why(model, FuseGelu()))


@pytest.mark.parametrize("opset", [11, 13, 17, 20, 23])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("form", GELU_FORMS)
def test_gelu_goes_down_and_up_at_every_opset_and_type(opset, dtype, approximate, form):
    x = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [64, 8])
    y = helper.make_tensor_value_info("y", x.type.tensor_type.elem_type, [64, 8])
    node = helper.make_node("Gelu", ["x"], ["y"], approximate=approximate, name="gelu")
    graph = helper.make_graph([node], "g", [x], [y])
    model = from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
    written = clone(model)
    apply(written, LowerGelu())
    written.opset = opset
    values = {"x": np.linspace(-6, 6, 512).reshape(64, 8).astype(dtype)}
    reference = snapshot(written, values)
    assert apply(written, FuseGelu()) == [1]
    assert written.graph.nodes[0].domain == ("regraft" if opset < 20 else None)
    lower = LowerGelu(form=form)
    assert apply(written, lower) == [1]
    contract = (
        lower.contract
        if approximate == "none"
        else LowerGelu(form="sigmoid").contract
        if form == "sigmoid"
        else reassociation
    )
    drift = contract.through(1).check(reference, snapshot(written, values))
    assert drift.passed, str(drift)


def gelu_of(approximate: str, x: np.ndarray) -> np.ndarray:
    """What the operator means, in double precision."""
    if approximate == "none":
        return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("form", GELU_FORMS)
def test_the_stated_bounds_are_the_real_ones(parse, form):
    """Whatever the Gelu is lowered, over all that a float32 holds."""
    far = np.geomspace(1e-30, 1e12, 20_001)
    x = np.concatenate([np.linspace(-12, 12, 240_001), far, -far]).astype(np.float32)
    largest, bound = {}, LowerGelu(form=form).contract.bound
    for approximate in ("none", "tanh"):
        model = parse(f'g (float[n] x) => (float[n] y) {{ y = Gelu<approximate="{approximate}">(x) }}')
        apply(model, LowerGelu(form=form))
        meant = gelu_of(approximate, x.astype(np.float64))
        difference = np.abs(snapshot(model, {"x": x})["y"] - meant) - 4 * np.spacing(np.abs(meant).astype(np.float32))
        largest[approximate] = difference.max()
    rounding = 2e-6  # 1 + Erf keeps the rounding of 1 where Gelu is small
    assert max(largest.values()) <= (bound or rounding)
    assert not bound or max(largest.values()) > 0.98 * bound


# ------------------------------------------------------------------------------------------------ LayerNormalization


def norm_model(form: str, opset: int, dtype: str = "float32", axis: int = -1, seed: int = 0):
    """One LayerNormalization of opset 17, lowered to `form`, as a model of `opset`."""
    rng = np.random.default_rng(seed)
    shape = [3, 5, 8]
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    dims = shape[axis:]
    parameters = [numpy_helper.from_array(rng.normal(size=dims).astype(dtype), name) for name in ("scale", "bias")]
    node = helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["y"], axis=axis, epsilon=1e-5, name="norm")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", code, shape)],
        [helper.make_tensor_value_info("y", code, shape)],
        parameters,
    )
    model = from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", max(opset, 17))], ir_version=8))
    if form:
        apply(model, LowerLayerNorm(form=form))
    if opset < 17:
        assert opset >= 13 or not any(n.op == "Cast" for n in model.graph.nodes)
        model.opset = opset
    return model


@pytest.mark.parametrize("form", NORM_FORMS)
@pytest.mark.parametrize("opset", [11, 13, 16, 17, 18, 20])
@pytest.mark.parametrize("axis", [-1, -2])
def test_layer_norm_is_found_in_every_form_and_opset(form, opset, axis):
    model = norm_model(form, opset, axis=axis)
    inputs = make_inputs(model)
    before = snapshot(model, inputs)
    assert apply(model, FuseLayerNorm()) == [1]
    (node,) = model.graph.nodes
    assert kind(node) == "LayerNormalization"
    assert node.attrs["axis"] == axis
    assert node.attrs["epsilon"] == pytest.approx(1e-5)
    assert reassociation.through(1).check(before, snapshot(model, inputs)).passed
    for again in NORM_FORMS:
        copy = clone(model)
        assert apply(copy, LowerLayerNorm(form=again)) == [1]
        assert reassociation.through(1).check(before, snapshot(copy, inputs)).passed


@pytest.mark.parametrize("form", NORM_FORMS)
def test_half_precision_is_computed_in_float32_as_the_operator_says(form):
    model = norm_model("", 17, "float16")
    inputs = {"x": np.random.default_rng(1).normal(300, 50, (3, 5, 8)).astype(np.float16)}
    before = snapshot(model, inputs)
    assert apply(model, LowerLayerNorm(form=form)) == [1]
    assert {node.attrs["to"] for node in model.graph.nodes if node.op == "Cast"} == {
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
    }
    assert reassociation.through(1).check(before, snapshot(model, inputs)).passed


def decomposed(body: str, initializers: str, opset: int = 13, shape: str = "2,3,4"):
    return elementwise(body, opset, shape=shape, initializers=f"<float e={{0.00001}}, float two={{2}}, {initializers}>")


CENTRED = "m = ReduceMean<axes=[-1]>(x) d = Sub(x, m) p = Pow(d, two) v = ReduceMean<axes=[-1]>(p) "


@pytest.mark.parametrize(
    ("name", "body", "initializers"),
    [
        (
            "affine",
            "a = Add(v, e) r = Sqrt(a) n = Div(d, r) k = Mul(w, n) out = Add(b, k)",
            "float[4] w={1,2,3,4}, float[4] b={0,0,0,0}",
        ),
        (
            "broadcast weights",
            "a = Add(e, v) r = Sqrt(a) n = Div(d, r) k = Mul(n, w) out = Add(k, b)",
            "float[1,1,4] w={1,1,1,1}, float b={0.5}",
        ),
        ("scaled", "a = Add(v, e) r = Sqrt(a) n = Div(d, r) out = Mul(n, w)", "float[4] w={1,2,3,4}"),
        ("shifted", "a = Add(v, e) r = Sqrt(a) n = Div(d, r) out = Add(b, n)", "float[4] b={1,2,3,4}"),
        ("plain", "a = Add(v, e) r = Sqrt(a) out = Div(d, r)", "float[4] w={1,2,3,4}"),
        (
            "root as a power",
            "a = Add(v, e) r = Pow(a, h) n = Div(d, r) out = Mul(n, w)",
            "float h={0.5}, float[4] w={1,2,3,4}",
        ),
        (
            "inverse root as a power",
            "a = Add(v, e) r = Pow(a, h) n = Mul(r, d) out = Mul(n, w)",
            "float h={-0.5}, float[4] w={1,2,3,4}",
        ),
        (
            "Keras's",
            "a = Add(v, e) q = Sqrt(a) r = Reciprocal(q) s = Mul(r, w) y = Mul(x, s) n = Neg(m) o = Mul(n, s) "
            "t = Add(o, b) out = Add(y, t)",
            "float[4] w={1,2,3,4}, float[4] b={1,0,0,1}",
        ),
        (
            "one over the root",
            "a = Add(v, e) q = Sqrt(a) r = Div(one, q) n = Mul(d, r) out = Mul(w, n)",
            "float one={1}, float[4] w={1,2,3,4}",
        ),
    ],
)
@pytest.mark.parametrize("opset", [13, 17])
def test_writings_of_layer_norm(name, body, initializers, opset):
    model = decomposed(CENTRED + body, initializers, opset)
    inputs = make_inputs(model)
    before = snapshot(model, inputs)
    assert apply(model, FuseLayerNorm()) == [1], [near.reason for near in why(model, FuseLayerNorm())]
    assert count(model) == (0, 1)
    assert reassociation.through(1).check(before, snapshot(model, inputs)).passed


def test_a_difference_that_is_made_twice_is_found():
    body = """m = ReduceMean<axes=[-1]>(x) d = Sub(x, m) m2 = ReduceMean<axes=[2]>(x) d2 = Sub(x, m2) p = Mul(d2, d2)
    v = ReduceMean<axes=[-1]>(p) a = Add(v, e) r = Sqrt(a) n = Div(d, r) out = Mul(n, w)"""
    model = decomposed(body.replace("axes=[2]", "axes=[-1]"), "float[4] w={1,2,3,4}")
    assert apply(model, FuseLayerNorm()) == [1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("r = Sqrt(v) a = Add(r, e) n = Div(d, a) out = Mul(n, w)", ""),  # epsilon outside the root: another function
        ("a = Add(v, e) r = Sqrt(a) n = Div(d, r) k = Mul(n, w) out = Add(k, d)", "read by"),
        ("a = Add(v, e) r = Sqrt(a) n = Div(x, r) out = Mul(n, w)", ""),
    ],
)
def test_what_is_not_layer_norm_stays(body, reason):
    model = decomposed(CENTRED + body, "float[4] w={1,2,3,4}")
    assert apply(model, FuseLayerNorm()) == [0]
    assert any(reason in near.reason for near in why(model, FuseLayerNorm()))


@pytest.mark.parametrize("body", ["out = Div(d, r)", "n = Div(d, r) out = Add(n, b)"])
@pytest.mark.parametrize("opset", [13, 17])
def test_without_scale_the_shape_must_be_known(body, opset):
    text = f"""<ir_version: 8, opset_import: ["" : {opset}, "local" : 1]>
    g (float[2,4] x) => (float[2,4] y) {{ y = local.norm(x) }}
    <domain: "local", opset_import: ["" : {opset}]> norm (x) => (out) {{
        b = Constant<value_float = 3.0>() e = Constant<value_float = 0.00001>() two = Constant<value_float = 2.0>()
        {CENTRED} a = Add(v, e) r = Sqrt(a) {body}
    }}"""
    model = from_proto(onnx.parser.parse_model(text))
    inputs = make_inputs(model)
    before = snapshot(model, inputs)
    apply(model, FuseLayerNorm())
    assert reassociation.through(1).check(before, snapshot(model, inputs)).passed


def test_a_bias_of_higher_rank_widens_the_result():
    body = "m = ReduceMean<axes=[-1]>(x) d = Sub(x, m) p = Mul(d, d) v = ReduceMean<axes=[-1]>(p) "
    body += "a = Add(v, e) r = Sqrt(a) n = Div(d, r) k = Mul(n, w) wide = Add(k, b) out = Squeeze(wide)"
    model = decomposed(body, "float[4] w={1,2,3,4}, float[1,4] b={1,2,3,4}", shape="4")
    inputs = make_inputs(model)
    before = snapshot(model, inputs)
    apply(model, FuseLayerNorm())
    assert "Add" in [node.op for node in model.graph.nodes]
    assert reassociation.through(1).check(before, snapshot(model, inputs)).passed


@pytest.mark.parametrize("axes", ["[0]", "[1]", "[0,1]"])
def test_a_mean_over_other_axes_is_no_layer_norm(axes):
    body = CENTRED.replace("[-1]", axes) + "a = Add(v, e) r = Sqrt(a) n = Div(d, r) out = Mul(n, w)"
    model = decomposed(body, "float[4] w={1,2,3,4}")
    assert apply(model, FuseLayerNorm()) == [0]
    assert any("axes" in near.reason for near in why(model, FuseLayerNorm()))


def test_a_layer_norm_whose_mean_is_read_stays():
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[2,4] x) => (float[2,4] y, float[2,1] m)
    <float[4] w = {1,1,1,1}> { y, m = LayerNormalization(x, w) }"""
    model = from_proto(onnx.parser.parse_model(text))
    assert apply(model, LowerLayerNorm()) == [0]


def test_nothing_to_do_changes_nothing(artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-dynamo.onnx")
    before = snapshot(model, make_inputs(model))
    assert apply(model, FuseGelu(), FuseLayerNorm()) == [0, 0]
    assert exact.check(before, snapshot(model, make_inputs(model))).passed


def test_a_function_that_nobody_calls_says_its_type_by_its_constants():
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]> g (float[2] x) => (float[2] y) { y = Neg(x) }
    <domain: "local", opset_import: ["" : 17]> gelu (x) => (y) {
        half = Constant<value_float = 0.5>()  one = Constant<value = float {1}>()
        root = Constant<value = float {1.4142135}>()
        a = Div(x, root)  b = Erf(a)  c = Add(b, one)  d = Mul(x, c)  y = Mul(d, half)
    }"""
    model = from_proto(onnx.parser.parse_model(text))
    assert apply(model, FuseGelu()) == [1]
    assert [kind(node) for node in model.functions[0].nodes if node.op != "Constant"] == ["Gelu"]


def test_the_function_becomes_the_operator_when_the_opset_has_it():
    model = norm_model("pow", 13)
    apply(model, FuseLayerNorm())
    assert model.graph.nodes[0].domain == "regraft"
    model.opset = 17
    assert apply(model, FuseLayerNorm()) == [1]
    assert model.graph.nodes[0].domain is None
