"""Attention is found in every exporter's form, and what is none is not."""

from __future__ import annotations

import onnx.parser
import pytest

import regraft
from regraft import shapes
from regraft.files.convert import from_proto
from regraft.idioms.attention import find_attentions, look_at
from regraft.idioms.projection import Projection, find_projection
from regraft.refusal import Refusal
from tests.idioms.attention_forms import FORMS, MERGED, OPERATORS, make
from tests.shares import diagonal

EXPORTS = {  # file: heads, elements of a head and scale, as the model's config says; whether NaNs become 0
    "pytorch/bert-cls-eager-dynamo.onnx": (4, 16, 0.25, False),
    "pytorch/bert-cls-eager-ts.onnx": (4, 16, 0.25, False),
    "pytorch/bert-cls-eager-ts-train.onnx": (4, 16, 0.25, False),
    "pytorch/bert-cls-sdpa-dynamo.onnx": (4, 16, 0.25, True),
    "pytorch/bert-cls-sdpa-ts.onnx": (4, 16, 0.25, True),
    "pytorch/bert-qa-eager-dynamo.onnx": (4, 16, 0.25, False),
    "pytorch/distilbert-sdpa-dynamo.onnx": (4, 16, 0.25, True),
    "pytorch/distilbert-sdpa-ts.onnx": (4, 16, 0.25, True),
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": (4, 16, 0.25, False),
    "tensorflow/tiny_seq32_op18.onnx": (4, 16, 0.25, False),
    "pytorch/bert-cls-explicit-dynamo.onnx": (4, 8, 8**-0.5, False),
    "pytorch/bert-cls-sdpa-dynamo-op23.onnx": (4, 8, 8**-0.5, True),
    "pytorch/bert-mlm-tied-dynamo.onnx": (4, 8, 8**-0.5, True),
    "pytorch/bert-mlm-tied-ts.onnx": (4, 8, 8**-0.5, True),
    "pytorch/bert-static-dynamo.onnx": (4, 8, 8**-0.5, False),
    "pytorch/gpt2-eager-dynamo.onnx": (4, 8, 8**-0.5, False),
    "pytorch/gpt2-eager-ts.onnx": (4, 8, 8**-0.5, False),
    "pytorch/gpt2-sdpa-dynamo.onnx": (4, 8, 8**-0.5, True),
    "pytorch/gpt2-sdpa-ts.onnx": (4, 8, 8**-0.5, True),
    "pytorch/roberta-eager-dynamo.onnx": (4, 8, 8**-0.5, False),
    "pytorch/roberta-eager-ts.onnx": (4, 8, 8**-0.5, False),
    "pytorch/roberta-sdpa-dynamo.onnx": (4, 8, 8**-0.5, True),
    "pytorch/roberta-sdpa-ts.onnx": (4, 8, 8**-0.5, True),
    "pytorch/t5-encoder-dynamo.onnx": (4, 8, 1.0, False),
    "pytorch/t5-encoder-ts.onnx": (4, 8, 1.0, False),
    "pytorch/vit-dynamo.onnx": (4, 8, 8**-0.5, True),
    "pytorch/vit-ts.onnx": (4, 8, 8**-0.5, False),
}


def found_in(model, graph=None):
    return find_attentions(graph or model.graph, shapes.analyse(model))


@pytest.mark.parametrize("name", EXPORTS)
def test_both_layers_of_every_export_are_found(name, artifacts):
    model = regraft.load(artifacts / name)
    heads, size, scale, zeroes = EXPORTS[name]
    found = found_in(model)
    assert len(found) == 2
    places = {node: place for place, node in enumerate(model.graph.nodes)}
    for each in found:
        assert (each.heads, each.head_dim, each.zeroes_nan) == (heads, size, zeroes)
        assert each.scale == pytest.approx(scale, rel=1e-6)
        assert each.result.is_merged
        merged = "gpt2" in name
        assert len(each.projections) == (1 if merged else 3)
        assert {node.op for node in each.projections} == {"Gemm" if merged else "MatMul"}
        assert [places[n] for n in each.result.nodes] == sorted(places[n] for n in each.result.nodes)
        assert not {node.op for node in each.nodes} & {"Shape", "Concat", "Gemm", "LayerNormalization"}
    assert not set(found[0].nodes) & set(found[1].nodes)


@pytest.mark.parametrize("name", diagonal(3, EXPORTS))
def test_the_types_that_a_model_declares_tell_nearly_as_much(name, artifacts):
    model = regraft.load(artifacts / name)
    shapes.infer(model)
    assert [each.heads for each in find_attentions(model.graph)] == [EXPORTS[name][0]] * 2


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20, 23])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_at_every_opset(form, opset):
    found = found_in(make(FORMS[form], opset))
    if form == "keys by queries" and opset < 13:
        assert not found  # a Softmax over axis 2 ran over the last axis too
        return
    (each,) = found
    assert (each.heads, each.head_dim) == (2, 4)
    assert each.scale == pytest.approx(1.0 if form == "two biases" else 0.5)
    assert len(each.projections) == (1 if form in MERGED else 3)
    assert each.result.is_merged
    assert each.zeroes_nan == ("IsNaN" in FORMS[form])
    assert len(each.parts) == {"no mask": 0, "two biases": 2, "causal fill and bias": 2}.get(form, 1)


@pytest.mark.parametrize("form", OPERATORS)
def test_the_operator_is_found(form):
    (each,) = found_in(make(OPERATORS[form], 23))
    assert each.head_dim == 4
    assert each.scale == pytest.approx(0.5)
    assert each.causal == ("causal" in form)
    assert bool(each.masks) == ("condition" in form or "masked" in form)
    assert each.scores is each.softmax is each.context


LAYOUTS = {
    "eager": ("b s nd", "b n s d", "b s nd", "b s nd"),
    "flat heads, bias": ("b s nd", "bn s d", "b s nd", "b s nd"),
    "two-dimensional layers": ("b s n d", "b n s d", "b s n d", "bs nd"),
    "interleaved": ("s b n d", "bn s d", "s b n d", "s b nd"),
    "keys by queries": ("b s nd", "b n d s", "b s nd", "b s nd"),
}


@pytest.mark.parametrize("form", LAYOUTS)
def test_layouts_say_where_the_heads_are(form):
    (each,) = found_in(make(FORMS[form], 18))
    source, entering, keys, output = LAYOUTS[form]
    assert (each.q.layouts[0], each.q.layouts[-1]) == (source, entering)
    assert each.k.layouts[0] == keys
    assert each.result.layouts[-1] == output


@pytest.mark.parametrize("form", [*MERGED, "eager", "two-dimensional layers"])
def test_the_columns_of_a_merged_layer(form):
    model = make(FORMS[form], 18)
    facts = shapes.analyse(model)
    (each,) = find_attentions(model.graph, facts)
    parts = [find_projection(operand.view.source, 18, facts) for operand in (each.q, each.k, each.v)]
    assert all(isinstance(part, Projection) for part in parts)
    if form in MERGED:
        assert len({part.layer for part in parts}) == 1
        assert (sum(part.columns.astype(int) for part in parts) == 1).all()
        first = {"interleaved": [*range(4), *range(12, 16)]}.get(form, list(range(8)))
        assert parts[0].columns.nonzero()[0].tolist() == first
    else:
        assert all(part.is_whole for part in parts)


def test_the_layer_before_a_rotation():
    turn = "a0 = Slice(q, at0, at2, axis3) a1 = Slice(q, at2, at4, axis3) a2 = Neg(a1) a3 = Concat<axis=3>(a2, a0) "
    turn += "a4 = Mul(q, turns) a5 = Mul(a3, turns) qt = Add(a4, a5) s = MatMul(qt, kt) "
    body = FORMS["eager"].replace("s = MatMul(q, kt) ", turn)
    (each,) = found_in(make(body, 18))
    assert each.q.layouts == ("b n s d",)
    assert [node.outputs[0].name for node in each.projections] == ["q0", "k0", "v0"]


# ------------------------------------------------------------------------------------------------ what is none

NONE = {
    "a classifier": ("s = MatMul(x, w) y = Softmax<axis=-1>(s)", "over the same axis"),
    "a gate": ("s = MatMul(x, k) p = Softmax<axis=-1>(s) y = Mul(p, p)", "over the same axis"),
    "logits from elsewhere": ("p = Softmax<axis=-1>(x) y = MatMul(p, k)", "no MatMul makes"),
    "a mixture of constants": ("s = MatMul(x, w) p = Softmax<axis=-1>(s) y = MatMul(p, w)", "constant"),
    "over the batch": ("s = MatMul(x, k) p = Softmax<axis=0>(s) y = MatMul(p, k)", "last two"),
    "over the queries": ("s = MatMul(x, k) p = Softmax<axis=1>(s) y = MatMul(p, k)", "over the same axis"),
    "scores turned in between": (
        "s = MatMul(x, k) p = Softmax<axis=-1>(s) t = Transpose<perm=[0,2,1]>(p) y = MatMul(t, k)",
        "over the same axis",
    ),
    "widened by a mask": (
        "s = MatMul(x, k) a = Add(s, wide) p = Softmax<axis=-1>(a) y = MatMul(p, k)",
        "no MatMul makes",
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_a_softmax_that_is_none_and_why(name):
    body, reason = NONE[name]
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[2,4,4] x, float[2,4,4] k, float[3,2,4,4] wide)
    => (float[a,b,c] y) <float[4,4] w = {{1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}}> {{ {body} }}"""
    model = from_proto(onnx.parser.parse_model(text))
    if name == "widened by a mask":
        model.graph.outputs[0].shape = None
    (softmax,) = (node for node in model.graph.nodes if node.op == "Softmax")
    said = look_at(model.graph, shapes.analyse(model))[softmax]
    assert isinstance(said, Refusal)
    assert reason in said.reason
    assert found_in(model) == []


def test_rank_that_is_not_known_is_said():
    text = """<ir_version: 8, opset_import: ["" : 18, "other" : 1]> g (float[2,4,4] x) => (float[2,4,4] y) {
        q = other.Unknown(x) s = MatMul(q, x) p = Softmax<axis=-1>(s) y = MatMul(p, x) }"""
    model = from_proto(onnx.parser.parse_model(text))
    (said,) = look_at(model.graph, shapes.analyse(model)).values()
    assert said == Refusal("the rank of an operand is not known; run infer-shapes before", needs=("infer-shapes",))


def test_einsums_are_to_be_lowered(artifacts):
    model = regraft.load(artifacts / "pytorch/einsum-decoder-dynamo.onnx")
    assert all(said.needs == ("lower-einsum",) for said in look_at(model.graph, shapes.analyse(model)).values())
    regraft.run(model, "lower-einsum")
    assert [each.heads for each in found_in(model)] == [4, 4]


def test_attention_in_a_branch():
    text = """<ir_version: 8, opset_import: ["" : 18]> g (bool on, float[2,4,4] x) => (float[2,4,4] y) {
        y = If (on) <
            then_branch = t () => (float[2,4,4] a) {
                k = Transpose<perm=[0,2,1]>(x) s = MatMul(x, k) p = Softmax<axis=-1>(s) a = MatMul(p, x) },
            else_branch = e () => (float[2,4,4] b) { b = Identity(x) }> }"""
    model = from_proto(onnx.parser.parse_model(text))
    assert [len(found_in(model, graph)) for graph in model.graphs()] == [0, 1, 0]


def test_the_search_is_linear_in_chains():
    steps = 3000
    body = "".join(f"h{i + 1} = Add(h{i}, h{i}) " for i in range(steps))
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g (float[2,4,4] h0) => (float[2,4,4] y) {{
        {body} p = Softmax<axis=-1>(h{steps}) y = MatMul(p, h0) }}"""
    assert found_in(from_proto(onnx.parser.parse_model(text))) == []
