"""The embeddings are found in every export, in every form, and nothing else is taken for them."""

from __future__ import annotations

import pytest

import regraft
from regraft.files.convert import clone
from regraft.idioms.embeddings import Embeddings, find_embeddings
from regraft.passes.lower_layer_norm import LowerLayerNorm
from regraft.pipelines.pass_base import Context
from tests.idioms.sums import LOOKUPS, POSITIONS, SUMS, embedded, written

BERT = (["ids", "ids", "position"], True)
EXPORTS = {  # file: what chooses the rows of the summands, and whether a LayerNormalization follows
    "pytorch/bert-cls-eager-dynamo.onnx": BERT,
    "pytorch/bert-cls-eager-ts.onnx": BERT,
    "pytorch/bert-cls-eager-ts-train.onnx": BERT,
    "pytorch/bert-cls-explicit-dynamo.onnx": (["ids", "ids", "ids"], True),
    "pytorch/bert-cls-sdpa-dynamo.onnx": BERT,
    "pytorch/bert-cls-sdpa-dynamo-op23.onnx": BERT,
    "pytorch/bert-cls-sdpa-ts.onnx": BERT,
    "pytorch/bert-mlm-tied-dynamo.onnx": BERT,
    "pytorch/bert-mlm-tied-ts.onnx": BERT,
    "pytorch/bert-qa-eager-dynamo.onnx": BERT,
    "pytorch/bert-static-dynamo.onnx": BERT,
    "pytorch/distilbert-sdpa-dynamo.onnx": (["ids", "position"], True),
    "pytorch/distilbert-sdpa-ts.onnx": (["ids", "position"], True),
    "pytorch/gpt2-eager-dynamo.onnx": (["ids", "position"], False),
    "pytorch/gpt2-eager-ts.onnx": (["ids", "position"], False),
    "pytorch/gpt2-sdpa-dynamo.onnx": (["ids", "position"], False),
    "pytorch/gpt2-sdpa-ts.onnx": (["ids", "position"], False),
    "pytorch/roberta-eager-dynamo.onnx": (["fixed", "ids", "position"], True),
    "pytorch/roberta-eager-ts.onnx": (["fixed", "ids", "position"], True),
    "pytorch/roberta-sdpa-dynamo.onnx": (["fixed", "ids", "position"], True),
    "pytorch/roberta-sdpa-ts.onnx": (["fixed", "ids", "position"], True),
    "pytorch/t5-encoder-dynamo.onnx": (["ids"], False),
    "pytorch/t5-encoder-ts.onnx": (["ids"], False),
    "pytorch/transformers-4.25.1-bert-qa/model.onnx": BERT,
    "tensorflow/tiny_seq32_op18.onnx": BERT,
}


def only(model) -> Embeddings:
    (found,) = find_embeddings(model)
    return found


def roles(found: Embeddings) -> list[str]:
    return sorted(lookup.role for lookup in found.lookups)


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export(artifacts, name):
    model = regraft.load(artifacts / name)
    found = only(model)
    expected, normalized = EXPORTS[name]
    assert roles(found) == expected
    assert (found.normalized is not None) == normalized
    assert len(found.total.shape) == 3
    assert found.total.shape[:2] == found.ids.shape
    assert found.ids.name == "input_ids"


@pytest.mark.parametrize("name", ["pytorch/vit-dynamo.onnx", "pytorch/vit-ts.onnx"])
def test_patches_are_no_lookups(artifacts, name):
    assert find_embeddings(regraft.load(artifacts / name)) == []


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("total", SUMS)
@pytest.mark.parametrize("lookups", LOOKUPS)
def test_every_form(position, total, lookups):
    found = only(embedded(position, total, lookups))
    assert roles(found) == ["ids", "ids", "position"]
    assert found.total.name == "x"
    assert found.ids.shape == found.total.shape[:2]
    assert found.normalized is None
    for lookup in found.by("position"):
        assert found.way(lookup)[-1] in found.nodes
        assert found.way(lookup)[-1].op in ("Add", "Sum")


NORMALIZED = "z = LayerNormalization<axis = -1>(x, vector, vector) q = MatMul(z, weight) y = Add(q, z)"


@pytest.mark.parametrize("form", ["", "pow", "mul", "rsqrt", "fold"])
@pytest.mark.parametrize("opset", [17, 18, 20, 23])
def test_the_normalization_however_it_is_written(form, opset):
    model = embedded(rest=NORMALIZED, opset=opset)
    if form:
        LowerLayerNorm(form=form).run(model, Context())
    found = only(model)
    reads_it = next(node for node in model.graph.nodes if node.op == "MatMul")
    assert found.total.name == "x"
    assert found.normalized is reads_it.inputs[0]


@pytest.mark.parametrize(
    "rest",
    [
        "z = LayerNormalization<axis = -1>(x, vector, vector) q = MatMul(z, weight) y = Add(q, x)",  # pre-norm
        "z = Mul(x, vector) y = MatMul(z, weight)",
        "m = ReduceMean(x) z = Sub(x, m) y = Mul(z, mask)",
        "m = ReduceMean(x) d = Sub(x, m) q = Mul(d, mask) y = Add(q, m)",
    ],
)
def test_no_normalization(rest):
    found = only(embedded(rest=rest))
    assert found.normalized is None or found.normalized.name == "z"
    assert (found.normalized is not None) == rest.startswith("m = ReduceMean(x) z")


def test_a_shape_that_is_asked_of_the_rows_reads_none_of_them():
    found = only(
        embedded(rest="r = Slice(a, zero, one, one) s = Shape(r) f = Shape(a) e = Expand(mask, f) y = Add(x, e)")
    )
    assert found.total.name == "x"


def test_rows_that_are_laid_out_otherwise_behind_the_sum_are_taken_before():
    model = embedded(rest="r = Reshape(x, flat) q = MatMul(r, weight) f = Shape(x) y = Reshape(q, f)")
    assert only(model).total.name == "x"


@pytest.mark.parametrize("gate", ["z = Mul(x, mask)", "z = Mul(mask, x)"])
def test_rows_that_a_mask_makes_zero_behind_the_sum(gate):
    found = only(embedded(rest=f"{gate} y = MatMul(z, weight)"))
    assert found.total.name == "x"


def test_a_number_that_is_added_is_no_table():
    body = "w = Gather(words, ids) x = Add(w, shift) y = MatMul(x, weight)"
    found = only(written(body, more="float[1, 1, 1] shift = {1}"))
    assert (roles(found), found.total.name) == (["ids"], "x")


def test_a_sum_that_is_doubled_again_and_again():
    body = "x0 = Gather(words, ids) " + " ".join(f"x{i + 1} = Add(x{i}, x{i})" for i in range(40))
    found = only(written(f"{body} y = MatMul(x40, weight)"))
    assert len(found.nodes) == 41


def test_lookups_of_another_width_are_none():
    body = """w = Gather(words, ids) y = MatMul(w, weight) r = Gather(angles, types) c = Cos(r) s = ReduceSum(c)
    z = Add(y, s)"""
    found = only(written(body, outputs="float[B, S, 4] z", more="float[2, 3] angles = {1, 2, 3, 4, 5, 6}"))
    assert found.total.name == "w"


IDS = {  # what chooses the rows: and what the token ids are then
    "i = Transpose(ids)": "ids",
    "i = Reshape(ids, batch)": "ids",
    "s = Slice(ids, zero, one, one) i = Identity(s)": "i",
    "three = Reshape(ids, pairs) i = Reshape(three, rows_of)": "ids",
}


@pytest.mark.parametrize("made", IDS)
def test_the_token_ids_are_the_input_where_they_have_its_sizes(made):
    more = "int64[3] pairs = {-1, 2, 3}, int64[2] rows_of = {-1, 6}"
    found = only(
        written(f"{made} w = Gather(words, i) r = Reshape(w, batch) y = MatMul(r, weight)", length=6, more=more)
    )
    assert found.ids.name == IDS[made]


def test_an_encoder_and_a_decoder():
    body = "e = Gather(words, ids) d = Gather(words, types) f = MatMul(e, weight) g = MatMul(d, weight) y = Add(f, g)"
    assert [found.total.name for found in find_embeddings(written(body))] == ["e", "d"]


def test_token_types_that_no_input_chooses_are_fixed():
    body = """s = Shape(ids) none = ConstantOfShape(s) zeros = Cast<to = 7>(none) t = Gather(kinds, zeros)
    w = Gather(words, ids) x = Add(w, t) y = MatMul(x, weight)"""
    assert roles(only(written(body))) == ["fixed", "ids"]


@pytest.mark.parametrize("row", ["float[1, 1, 4] row = {1, 2, 3, 4}", "float[1, 2, 4] row = {1, 2, 3, 4, 1, 2, 3, 4}"])
def test_a_constant_of_equal_rows_is_fixed(row):
    body = "w = Gather(words, ids) x = Add(w, row) y = MatMul(x, weight)"
    assert roles(only(written(body, length=2, more=row))) == ["fixed", "ids"]


@pytest.mark.parametrize(
    "body",
    [
        "c = Gather(words, ids) f = Shape(c) g = Concat<axis = 0>(one, f) h = Reshape(c, g) m = Expand(mask, heads) "
        "r = Mul(h, m) y = ReduceMax<keepdims = 0>(r, zero)",  # as the cosines of rotary positions
        "y = MatMul(mask, row)",
        "f = Cast<to = 1>(ids) g = Exp(f) i = Cast<to = 7>(g) y = Gather(words, i)",  # chosen by what was computed
        "s = Shape(ids) n = Gather(s, i1) i = Range(i0, n, i1) p = Gather(places, i) y = Add(p, mask)",
        "i = Gather<axis = 1>(words, i0) y = Add(i, mask)",
    ],
)
def test_what_is_no_embedding(body):
    more = "float[1, 4] row = {1, 2, 3, 4}, int64[4] heads = {2, 1, 1, 1}"
    model = written(body, opset=18, more=more, outputs="float[?, ?, ?] y")
    assert find_embeddings(model) == []


def test_looking_changes_nothing(artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-ts.onnx")
    before = [(node.op, [t.name for t in node.inputs]) for node in clone(model).graph.nodes]
    find_embeddings(model)
    assert [(node.op, [t.name for t in node.inputs]) for node in model.graph.nodes] == before
