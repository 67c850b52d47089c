"""fuse-, lower- and fold-attention: every exporter's form at every opset, each contract, and what must stay."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

import regraft
from regraft.files.convert import clone, from_proto
from regraft.idioms.attention import find_attentions
from regraft.ir.graph import Constant
from regraft.ir.schema import kind
from regraft.ir.verifier import check
from regraft.ir.weights import Derived
from regraft.passes.fold_attention_scale import FoldAttentionScale
from regraft.passes.fold_constants import FoldConstants
from regraft.passes.fuse_attention import FuseAttention
from regraft.passes.lower_attention import LowerAttention
from regraft.passes.strip_dropout import StripDropout
from regraft.pipelines.pass_base import Context
from regraft.shapes import analyse
from regraft.verification.contract import exact, reassociation
from regraft.verification.inputs import make_inputs
from regraft.verification.verify import snapshot
from tests.idioms.attention_forms import FORMS, MERGE, MERGED, OPERATORS, inputs_of, make
from tests.idioms.test_attention import EXPORTS
from tests.shares import diagonal, every

AT_OPSETS = [(form, opset) for form in FORMS for opset in (11, 18, 23) if opset >= 13 or form != "keys by queries"]
AT_OPSETS += [(form, opset) for form in ("eager", "both scaled, guarded", "merged, split") for opset in (13, 17, 20)]


def apply(model, *passes) -> list[str]:
    """Run passes, each a second time too, which must change nothing; what they noted."""
    notes = []
    for each in passes:
        context, again = Context(each.name), Context(each.name)
        each.run(model, context)
        check(model)
        each.run(clone(model), again)
        assert not again.changes
        notes += context.notes
    return notes


def kinds(model) -> list[str]:
    return [kind(node) for node in model.graph.nodes]


def assert_equal(before, model, inputs, contract=reassociation, places=1) -> None:
    drift = contract.through(places).check(before, snapshot(model, inputs))
    assert drift.passed, str(drift)


# ------------------------------------------------------------------------------------------------ fuse and lower


@pytest.mark.parametrize(("form", "opset"), every(2, AT_OPSETS))
def test_every_form_becomes_one_node_and_back(form, opset):
    model = make(FORMS[form], opset)
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    assert apply(model, FuseAttention()) == []
    assert kinds(model).count("Attention") == 1
    assert not {"Softmax", "IsNaN", "Div"} & set(kinds(model))
    (node,) = (n for n in model.graph.nodes if kind(n) == "Attention")
    assert node.domain == (None if opset >= 23 else "regraft")
    assert_equal(before, model, inputs)
    called = dict(node.attrs)
    for scale in ("scores", "query"):
        written = clone(model)
        assert apply(written, LowerAttention(scale=scale)) == []
        assert kinds(written).count("Softmax") == 1
        assert_equal(before, written, inputs)
        assert apply(written, FuseAttention()) == []
        (again,) = (n for n in written.graph.nodes if kind(n) == "Attention")
        assert again.attrs == called
        assert_equal(before, written, inputs)


SIDE_BY_SIDE = [form for form in FORMS if form not in ("merged, gathered", "interleaved")]


@pytest.mark.parametrize("form", SIDE_BY_SIDE)
def test_one_canonical_form_results(form):
    model = make(FORMS[form], 18)
    apply(model, FuseAttention(), LowerAttention(infinite="finite"))
    (found,) = find_attentions(model.graph, analyse(model))
    assert found.q.layouts[-3:] == found.v.layouts[-3:] == ("b s nd", "b s n d", "b n s d")
    assert found.k.layouts[-3:] == ("b s nd", "b s n d", "b n d s")
    assert found.result.layouts == ("b n s d", "b s n d", "b s nd")
    assert [n.op for n in found.inner if n.op not in ("Add", "Mul")] == ["MatMul", "Softmax", "MatMul"]


@pytest.mark.parametrize("form", OPERATORS)
@pytest.mark.parametrize("scale", ["scores", "query"])
def test_operators_are_written_out_and_recognised(form, scale):
    model = make(OPERATORS[form], 23)
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    assert kinds(model).count("Attention") == 1
    assert_equal(before, model, inputs)
    assert apply(model, LowerAttention(scale=scale)) == []
    assert "Attention" not in kinds(model)
    assert_equal(before, model, inputs)
    apply(model, FuseAttention())
    assert kinds(model).count("Attention") == ("wider" not in form)
    assert_equal(before, model, inputs)


def test_the_operator_takes_heads_side_by_side_where_it_can():
    model = make(OPERATORS["heads apart"], 23)
    apply(model, FuseAttention())
    assert kinds(model) == ["MatMul", "Add"] * 3 + ["Attention"]
    assert model.graph.nodes[-1].attrs == {"scale": 0.5, "q_num_heads": 2, "kv_num_heads": 2}


def test_the_function_becomes_the_operator_when_the_opset_has_it():
    model = make(FORMS["eager"], 20)
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    assert model.graph.nodes[-1].domain == "regraft"
    model.opset = 23
    apply(model, FuseAttention())
    assert (model.graph.nodes[-1].op, model.graph.nodes[-1].domain) == ("Attention", None)
    assert_equal(before, model, inputs)


@pytest.mark.parametrize("scale", [0.49, 0.51])
def test_another_scale_is_noticed(scale):
    model = make(FORMS["eager"], 23)
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    model.graph.nodes[-1].attrs["scale"] = scale
    assert not reassociation.through(1).check(before, snapshot(model, inputs)).passed


AT_23 = ("bert-cls-sdpa-ts", "bert-mlm-tied-dynamo", "gpt2-eager-dynamo", "t5-encoder-dynamo", "tiny_seq32", "4.25.1")
ONCE = [(name, 0) for name in EXPORTS] + [(name, 23) for name in EXPORTS if any(part in name for part in AT_23)]


@pytest.mark.parametrize(("name", "opset"), every(3, ONCE))
def test_exports_keep_their_outputs(name, opset, artifacts):
    model = regraft.load(artifacts / name)
    apply(model, StripDropout())
    sharpen(model)
    if opset:
        regraft.run(model, f"convert-opset{{version={opset}}}")
    inputs = make_inputs(model)
    for mask in (value for key, value in inputs.items() if "mask" in key and value.ndim == 2):
        mask[0] = 0  # a row without a token
    before = snapshot(clone(model), inputs)
    assert not any(np.isnan(value).any() for value in before.values())
    assert apply(model, FuseAttention()) == []
    assert kinds(model).count("Attention") == 2
    assert_equal(before, model, inputs, places=2)
    assert apply(model, LowerAttention()) == []
    assert_equal(before, model, inputs, places=4)


def sharpen(model) -> None:
    """Draw the weights so that no Softmax is flat; those of the fixtures are so small that any scale would pass."""
    rng = np.random.default_rng(0)
    layers = [node for node in model.graph.nodes if node.op in ("MatMul", "Gemm")]
    weights = dict.fromkeys(t for node in layers for t in node.inputs if isinstance(t, Constant) and len(t.shape) == 2)
    for weight in weights:
        weight.values = rng.normal(0, 2 / np.sqrt(weight.shape[0]), weight.shape).astype(np.float32)


# ------------------------------------------------------------------------------------------------ masked throughout

ALL = {  # form: whether a row whose keys are all masked gives 0; else the mean of the values
    "choice of minus infinity": True,
    "filled where masked": True,
    "flat heads, gated": True,
    "choice of the least": False,
    "filled": False,
    "causal fill and bias": False,
}


@pytest.mark.parametrize("form", ALL)
@pytest.mark.parametrize("opset", [18, 23])
def test_a_row_that_is_masked_throughout(form, opset):
    model = make(FORMS[form], opset)
    inputs = inputs_of(model)
    for name in inputs.keys() & {"keep", "keep3"}:
        inputs[name] = inputs[name].copy()
        inputs[name][-len(inputs[name]) // 2 :] = 0
    before = snapshot(clone(model), inputs)
    if form == "filled where masked":  # without a guard it was NaN
        before = {"y": np.nan_to_num(before["y"])}
    apply(model, FuseAttention())
    assert_equal(before, model, inputs)
    apply(model, LowerAttention())
    assert_equal(before, model, inputs)
    if ALL[form]:
        assert not snapshot(model, inputs)["y"][1].any()


@pytest.mark.parametrize(
    ("form", "guards"), [("eager", 1), ("choice of the least", 0), ("choice of minus infinity", 1), ("no mask", 0)]
)
def test_only_masks_that_may_be_infinite_are_guarded(form, guards):
    model = make(FORMS[form], 18)
    apply(model, FuseAttention())
    written = clone(model)
    apply(model, LowerAttention())
    assert kinds(model).count("IsNaN") == guards
    apply(written, LowerAttention(infinite="finite"))
    assert kinds(written).count("IsNaN") == 0


# ------------------------------------------------------------------------------------------------ what must stay

PRODUCTS = FORMS["eager"].partition("d = ")[0]
TAIL = FORMS["no mask"].partition("a = Mul(s, half) ")[2]
KEPT = {
    "weights read": (FORMS["eager"], "float[batch,5,8] y, float[batch,2,5,5] p", "is an output"),
    "scores read": (FORMS["eager"] + " z = Relu(s)", "float[batch,5,8] y, float[batch,2,5,5] z", "is read by Relu"),
    "small fill": (PRODUCTS + "d = Mul(s, half) a = Where(keep, d, two) " + TAIL, "float[batch,5,8] y", "small enough"),
    "gated scores": (PRODUCTS + "d = Mul(s, half) a = Mul(d, keep_f) " + TAIL, "float[batch,5,8] y", "with the scores"),
    "gated weights": (
        PRODUCTS + "a = Mul(s, half) p0 = Softmax<axis=-1>(a) p = Mul(p0, keep_f) c = MatMul(p, v) " + MERGE,
        "float[batch,5,8] y",
        "with the weights",
    ),
    "negative scale": (PRODUCTS + "a = Neg(s) " + TAIL, "float[batch,5,8] y", "no scale of -1"),
    "another type": (
        PRODUCTS + "s1 = Cast<to=11>(s) p1 = Softmax<axis=-1>(s1) p = Cast<to=1>(p1) c = MatMul(p, v) " + MERGE,
        "float[batch,5,8] y",
        "another type",
    ),
    "training": (
        PRODUCTS + "p0 = Softmax<axis=-1>(s) p = Dropout(p0, half, yes) c = MatMul(p, v) " + MERGE,
        "float[batch,5,8] y",
        "strip-dropout",
    ),
}


@pytest.mark.parametrize("case", KEPT)
@pytest.mark.parametrize("opset", [18, 23])
def test_what_stays_and_why(case, opset):
    body, outputs, reason = KEPT[case]
    model = make(body, opset, outputs)
    before = kinds(model)
    (note,) = apply(model, FuseAttention())
    assert kinds(model) == before
    assert reason in note


BROADCAST = {
    "queries of one batch": ("1,3,4,8", "2,3,5,8", "2,3,5,8", False),
    "keys of one batch": ("2,3,4,8", "1,3,5,8", "2,3,5,8", False),
    "queries of one head": ("2,1,4,8", "2,3,5,8", "2,3,5,8", False),
    "keys of one head, values of three": ("2,3,4,8", "2,1,5,8", "2,3,5,8", False),
    "keys and values of one head": ("2,3,4,8", "2,1,5,8", "2,1,5,8", True),
    "no heads": ("2,4,8", "2,5,8", "2,5,6", True),
    "no heads, one batch": ("1,4,8", "2,5,8", "2,5,6", False),
}


@pytest.mark.parametrize("case", BROADCAST)
@pytest.mark.parametrize("opset", [18, 23])
def test_products_that_broadcast(case, opset):
    *operands, fits = BROADCAST[case]
    perm = "0,2,1" if "no heads" in case else "0,1,3,2"
    given = ", ".join(f"float[{shape}] {name}" for shape, name in zip(operands, "qkv", strict=True))
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]> g ({given}) => (y)
    {{ kt = Transpose<perm=[{perm}]>(k) s = MatMul(q, kt) p = Softmax<axis=-1>(s) y = MatMul(p, v) }}"""
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    model = from_proto(proto)
    rng = np.random.default_rng(1)
    shapes = {name: [int(d) for d in shape.split(",")] for shape, name in zip(operands, "qkv", strict=True)}
    inputs = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    before = snapshot(clone(model), inputs)
    notes = apply(model, FuseAttention())
    assert kinds(model).count("Attention") == fits
    assert fits or "repeated" in notes[0]
    assert_equal(before, model, inputs)
    apply(model, LowerAttention())
    assert_equal(before, model, inputs)


@pytest.mark.parametrize("form", OPERATORS)
def test_operators_of_opset_24(form):
    model = make(OPERATORS[form], 24)
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention(), LowerAttention())
    assert "Attention" not in kinds(model)
    assert_equal(before, model, inputs)


@pytest.mark.parametrize("extra", ["softcap=2.0", "qk_matmul_output_mode=1"])
def test_what_is_not_written_out(extra):
    body = OPERATORS["heads side by side"].replace("scale=0.5", f"scale=0.5, {extra}")
    model = make(body, 23)
    (note,) = apply(model, LowerAttention())
    assert "Attention" in kinds(model)
    assert extra.partition("=")[0] in note


def test_past_keys_stay():
    body = "y, pk, pv = Attention(q, k, v, , oldk, oldv)"
    text = f"""<ir_version: 8, opset_import: ["" : 23]> g (float[1,2,3,4] q, float[1,2,3,4] k, float[1,2,3,4] v,
        float[1,2,6,4] oldk, float[1,2,6,4] oldv) => (float[1,2,3,4] y, float[1,2,9,4] pk, float[1,2,9,4] pv)
        {{ {body} }}"""
    model = from_proto(onnx.parser.parse_model(text))
    (note,) = apply(model, FuseAttention(), LowerAttention())
    assert "past" in note
    assert kinds(model) == ["Attention"]


def test_a_name_of_an_output_stays():
    body = FORMS["eager"].replace("y = Reshape(t, merged)", "y = Reshape(t, merged)")
    model = make(body + " z = MatMul(y, wq)", 23, "float[batch,5,8] y, float[batch,5,8] z")
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    assert [t.name for t in model.graph.outputs] == ["y", "z"]
    assert_equal(before, model, inputs)


def test_attention_that_reads_attention():
    first = FORMS["eager"]
    own = set(re.findall(r"(\w+) = ", first)) - {"y"}
    second = re.sub(r"\w+", lambda found: found[0] + "_" * (found[0] in own), first.replace("(x, ", "(y, "))
    model = make(first + second.replace("y = ", "z = "), 20, "float[batch,5,8] z")
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    assert kinds(model).count("Attention") == 2
    assert "Softmax" not in kinds(model)
    assert_equal(before, model, inputs, places=2)


def test_a_mask_that_the_host_makes_finite_needs_no_guard(artifacts):
    model = regraft.load(artifacts / "pytorch" / "bert-cls-sdpa-dynamo-op23.onnx")
    report = regraft.run(model, "fold-constants,externalize-mask,lower-attention", verify="final")
    assert report.drift.passed
    assert not {"Attention", "IsNaN", "Where"} & set(kinds(model))


def test_attention_in_a_branch_and_in_a_function():
    text = """<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
    g (bool on, float[2,3,4,5] x) => (float[2,3,4,5] y) {
        z = local.attend(x)
        y = If (on) <
            then_branch = t () => (float[2,3,4,5] a) {
                k = Transpose<perm=[0,1,3,2]>(z) s = MatMul(z, k) p = Softmax<axis=-1>(s) a = MatMul(p, z) },
            else_branch = e () => (float[2,3,4,5] b) { b = Identity(z) }> }
    <domain: "local", opset_import: ["" : 18]> attend (x) => (y) {
        k = Transpose<perm=[0,1,3,2]>(x) s = MatMul(x, k) p = Softmax<axis=-1>(s) y = MatMul(p, x) }"""
    model = from_proto(onnx.parser.parse_model(text))
    inputs = {"on": np.array(True), "x": np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)}
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    inside = [kind(node) for graph in model.graphs() if graph.name != "Attention" for node in graph.nodes]
    assert inside.count("Attention") >= 1
    assert_equal(before, model, inputs)


@pytest.mark.parametrize("opset", [17, 23])
def test_half_precision(opset):
    rng = np.random.default_rng(0)
    shape = [2, 3, 4, 8]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape) for name in "qkvy"}
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [values[n] for n in "qkv"], [values["y"]])
    model = from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))
    inputs = {name: rng.normal(size=shape).astype(np.float16) for name in "qkv"}
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    assert kinds(model) == ["Attention"]
    assert_equal(before, model, inputs)
    apply(model, LowerAttention())
    assert_equal(before, model, inputs)


# ------------------------------------------------------------------------------------------------ the scale


@pytest.mark.parametrize(("form", "opset"), every(2, AT_OPSETS))
def test_the_scale_goes_into_the_weights(form, opset):
    model = make(FORMS[form], opset)
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    constants = {t.name: t.values for node in model.graph.nodes for t in node.inputs if hasattr(t, "values")}
    assert apply(model, FoldAttentionScale()) == []
    (found,) = find_attentions(model.graph, analyse(model))
    assert found.scale == pytest.approx(1)
    assert not {"half", "two", "root", "root_half"} & {t.name for node in found.nodes for t in node.inputs}
    both = form in ("both scaled, guarded", "roots of a dimension")
    assert_equal(before, model, inputs, reassociation if both else exact)
    made = [t for node in model.graph.nodes for t in node.inputs if t.name.endswith("/scaled")]
    assert len(made) == (0 if form == "two biases" else 2)
    for tensor in made:
        assert isinstance(tensor.lazy, Derived)
        old, new = constants[tensor.name.removesuffix("/scaled")], tensor.values
        columns = np.isclose(new, old / 2) & ~np.isclose(new, old)
        assert columns.sum() == old.size // (3 if form in MERGED else 1)
        assert np.array_equal(new[~columns], old[~columns])


@pytest.mark.parametrize("form", ["divided", "both scaled, guarded", "keys scaled", "merged, split"])
def test_one_factor_where_the_weights_must_stay(form):
    name = "w" if form in MERGED else "q0"
    size = 24 if form in MERGED else 8
    body = FORMS[form]
    model = make(body, 18, f"float[batch,5,8] y, float[batch,5,{size}] {name}")
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    (note,) = apply(model, FoldAttentionScale())
    assert "is an output" in note
    assert kinds(model).count("Mul") == 1
    assert "Div" not in kinds(model)
    (found,) = find_attentions(model.graph, analyse(model))
    assert found.q.scale == pytest.approx(0.5)
    assert_equal(before, model, inputs)


def test_a_layer_that_is_read_elsewhere_stays():
    model = make(FORMS["queries scaled"] + " z = Relu(q1)", 18, "float[batch,5,8] y, float[batch,5,8] z")
    before = kinds(model)
    (note,) = apply(model, FoldAttentionScale())
    assert "is read by Relu" in note
    assert kinds(model) == before


def test_scores_that_are_read_stay():
    model = make(FORMS["eager"] + " z = Relu(s)", 18, "float[batch,5,8] y, float[batch,2,5,5] z")
    (note,) = apply(model, FoldAttentionScale())
    assert "is read by Relu" in note


def test_weights_that_are_read_do_not_matter():
    model = make(FORMS["eager"], 18, "float[batch,5,8] y, float[batch,2,5,5] p")
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    assert apply(model, FoldAttentionScale()) == []
    assert_equal(before, model, inputs, exact)


def test_a_mask_that_is_multiplied_too_stays():
    model = make(PRODUCTS + "b = Add(s, bias) a = Mul(b, half) " + TAIL, 18)
    (note,) = apply(model, FoldAttentionScale())
    assert "the mask is multiplied too" in note
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FuseAttention())
    assert kinds(model).count("Attention") == 1
    assert_equal(before, model, inputs)


@pytest.mark.parametrize("name", diagonal(3, EXPORTS))
def test_the_scale_of_exports(name, artifacts):
    model = regraft.load(artifacts / name)
    apply(model, StripDropout(), FoldConstants())
    sharpen(model)
    inputs = make_inputs(model)
    before = snapshot(clone(model), inputs)
    assert apply(model, FoldAttentionScale()) == []
    operator = "op23" in name
    assert [f.scale == pytest.approx(1) for f in find_attentions(model.graph, analyse(model))] == [not operator] * 2
    assert_equal(before, model, inputs, exact if EXPORTS[name][2] == 0.25 and "sdpa" not in name else reassociation, 2)


def test_weights_that_layers_share_are_multiplied_once():
    body = (
        FORMS["eager"]
        + " r0 = MatMul(y, wq) r1 = Add(r0, bq) rr = Reshape(r1, heads) "
        + (
            "r = Transpose<perm=[0,2,1,3]>(rr) s2 = MatMul(r, kt) d2 = Mul(s2, half) p2 = Softmax<axis=-1>(d2) "
            "c2 = MatMul(p2, v) t2 = Transpose<perm=[0,2,1,3]>(c2) z = Reshape(t2, merged)"
        )
    )
    model = make(body, 18, "float[batch,5,8] z")
    inputs = inputs_of(model)
    before = snapshot(clone(model), inputs)
    apply(model, FoldAttentionScale())
    made = {t for node in model.graph.nodes for t in node.inputs if t.name.endswith("/scaled")}
    assert len(made) == 2
    assert_equal(before, model, inputs, exact)
