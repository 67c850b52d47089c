"""externalize-embeddings: the host looks up, the device takes hidden states, and together they give every bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regraft
from regraft.ir.graph import Constant, Tensor
from regraft.ir.verifier import check
from regraft.passes.expose_position_ids import ExposePositionIds
from regraft.passes.externalize_embeddings import ExternalizeEmbeddings
from regraft.passes.lower_layer_norm import LowerLayerNorm
from regraft.pipelines.pass_base import Context
from regraft.verification.runtime import Session
from tests.idioms.sums import LENGTH, LOOKUPS, POSITIONS, SUMS, WEIGHTS, embedded, feeds, written
from tests.idioms.test_embeddings import EXPORTS, NORMALIZED
from tests.shares import diagonal

RUN = [name for name in EXPORTS if "train" not in name]
OPSETS = (11, 17, 23)


@pytest.fixture
def externalize(apply):
    """Runs the pass; returns what it noted."""
    return lambda model, inputs=None, **options: apply(model, ExternalizeEmbeddings(**options), inputs=inputs).notes


def inputs_of(model) -> dict[str, list]:
    return {t.name: t.shape for t in model.graph.inputs}


def constants(model) -> list[Constant]:
    read = (t for graph in model.graphs() for node in graph.nodes for t in node.inputs)
    return [t for t in dict.fromkeys(read) if isinstance(t, Constant)]


def tables(model) -> list[list[int]]:
    return [list(t.shape) for t in constants(model) if len(t.shape) == 2 and t.shape[0] in (66, 100, 200)]


# ------------------------------------------------------------------------------------------------ real exports


@pytest.mark.parametrize(
    ("name", "layer_norm"),
    [
        *diagonal(3, RUN, [False]),
        *diagonal(2, [name for name in RUN if "sdpa" not in name and "mlm" not in name], [True]),
    ],
)
def test_every_export(artifacts, name, layer_norm, externalize):
    model = regraft.load(artifacts / name)
    ids = next(t for t in model.graph.inputs if t.name == "input_ids")
    notes = externalize(model, layer_norm=layer_norm)
    assert not inputs_of(model).keys() & {"input_ids", "token_type_ids", "segment_ids", "position_ids"}
    assert inputs_of(model)["hidden_states"][:2] == ids.shape
    assert list(model.host.feeds) == ["hidden_states"]
    assert tables(model) == ([[100, 32]] if "tied" in name else [])
    normalized = EXPORTS[name][1]
    assert any("no LayerNormalization" in note for note in notes) == (layer_norm and not normalized)
    assert any("stays" in note for note in notes) == ("tied" in name)
    has_mean = {node.op for node in model.host.model.graph.nodes} & {"LayerNormalization", "ReduceMean"}
    assert bool(has_mean) == (layer_norm and normalized)


@pytest.mark.parametrize(
    "name", diagonal(2, [n for n in RUN if n.endswith(("eager-ts.onnx", "model.onnx", "op18.onnx"))])
)
def test_positions_may_be_exposed_before(artifacts, name, apply):
    model, original = regraft.load(artifacts / name), regraft.load(artifacts / name)
    ExposePositionIds().run(model, Context())
    apply(model, ExternalizeEmbeddings(), like=original)
    assert not inputs_of(model).keys() & {"input_ids", "position_ids"}
    assert list(model.host.feeds) == ["hidden_states"]


def test_a_model_that_trains(artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-ts-train.onnx")
    ExternalizeEmbeddings(layer_norm=True).run(model, Context())
    check(model)
    assert list(inputs_of(model)) == ["attention_mask", "hidden_states"]


@pytest.mark.parametrize("name", ["pytorch/bert-mlm-tied-dynamo.onnx", "pytorch/bert-mlm-tied-ts.onnx"])
def test_a_tied_decoder_keeps_the_table_and_shares_it(artifacts, name, externalize):
    model = regraft.load(artifacts / name)
    notes = externalize(model)
    (stays,) = [note for note in notes if "stays" in note]
    assert "Transpose" in stays
    here, there = ([t for t in constants(m) if list(t.shape) == [100, 32]] for m in (model, model.host.model))
    assert here[0].name == there[0].name
    assert here[0].lazy is there[0].lazy


@pytest.mark.parametrize("name", ["pytorch/vit-dynamo.onnx", "pytorch/vit-ts.onnx"])
def test_patches_stay(artifacts, name, externalize):
    model = regraft.load(artifacts / name)
    before = inputs_of(model)
    notes = externalize(model)
    assert inputs_of(model) == before
    assert model.host is None
    assert notes == ["no embeddings: no table is looked up by token ids"]


def test_the_pipeline_verifies_it(artifacts):
    model = regraft.load(artifacts / "tensorflow/tiny_seq32_op18.onnx")
    text = "expose-position-ids{dtype=int32},externalize-embeddings{layer-norm=true,input=x}"
    report = regraft.run(model, text, verify="each")
    assert [one.drift.passed for one in report.passes] == [True, True]
    assert "x" in inputs_of(model)


# ------------------------------------------------------------------------------------------------ every form


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("position", POSITIONS)
def test_every_form_of_positions(position, opset, externalize):
    model = embedded(position, opset=opset)
    externalize(model, feeds())
    assert list(inputs_of(model)) == ["mask", "hidden_states"]
    length = LENGTH if "constant" in position else "S"
    assert inputs_of(model)["hidden_states"] == ["B", length, 4]
    assert [t.name for t in constants(model)] == ["weight"]
    x = np.random.default_rng(3).normal(size=(2, LENGTH, 4)).astype(np.float32)
    found = Session(model.device).run({"hidden_states": x, "mask": feeds()["mask"]})["y"]
    np.testing.assert_allclose(found, x @ WEIGHTS["weight"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("total", SUMS)
@pytest.mark.parametrize("lookups", LOOKUPS)
def test_every_sum(total, lookups, externalize):
    model = embedded("range", total, lookups)
    externalize(model, feeds())
    assert [node.op for node in model.graph.nodes] == ["MatMul"]


@pytest.mark.parametrize("form", ["pow", "mul", "rsqrt", "fold"])
@pytest.mark.parametrize("opset", OPSETS)
def test_the_normalization_in_every_form(form, opset, externalize):
    model = embedded(rest=NORMALIZED, opset=max(opset, 17))
    LowerLayerNorm(form=form).run(model, Context())
    if opset < 17:
        regraft.run(model, f"convert-opset{{version={opset}}}")
    externalize(model, feeds(), layer_norm=True)
    assert sorted(node.op for node in model.graph.nodes) == ["Add", "MatMul"]


ASKING = {  # how `rest` asks for sizes, and what is left on the device to answer
    "the ids": "f = Shape(ids) e = Expand(unit, f) q = ReduceSum<keepdims = 0>(e) y = Add(x, q)",
    "the types": "f = Shape(types) e = Expand(unit, f) q = ReduceSum<keepdims = 0>(e) y = Add(x, q)",
    "the words": "f = Shape(w) e = Expand(unit, f) y = Add(x, e)",
    "the sum": "f = Shape(x) e = Expand(unit, f) y = Add(x, e)",
    "a cut of the words": "r = Slice(w, zero, one, minus) f = Shape(r) e = Expand(unit, f) y = Add(x, e)",
}


@pytest.mark.parametrize("opset", [13, 17, 23])
@pytest.mark.parametrize("asking", ASKING)
def test_who_asks_for_the_shape_of_ids_is_given_that_of_the_rows(asking, opset, externalize):
    model = embedded("slice", rest=ASKING[asking], opset=opset)
    externalize(model, feeds())
    assert list(inputs_of(model)) == ["mask", "hidden_states"]
    assert "Gather" not in {node.op for node in model.graph.nodes if node.inputs[0] in constants(model)}


def test_sizes_that_the_positions_are_made_of_are_made_on_both_sides(externalize):
    model = embedded("range", rest="c = Cast<to = 1>(n) y = Add(x, c)")
    externalize(model, feeds())
    assert list(inputs_of(model)) == ["mask", "hidden_states"]
    assert [node.op for node in model.graph.nodes][-1] == "Add"


def test_fixed_shapes_need_no_node(externalize):
    model = embedded("constant", rest="f = Shape(ids) e = Expand(unit, f) q = ReduceSum<keepdims = 0>(e) y = Add(x, q)")
    for tensor in model.graph.inputs:
        tensor.shape = [2, *tensor.shape[1:]]
    externalize(model, feeds())
    assert "Shape" not in {node.op for node in model.graph.nodes}


def test_ids_that_are_read_elsewhere_stay_and_it_is_said(externalize):
    model = embedded(rest="o = Equal(ids, i1) c = Cast<to = 1>(o) s = ReduceSum(c) y = Add(x, s)")
    notes = externalize(model, feeds())
    assert list(inputs_of(model)) == ["ids", "mask", "hidden_states"]
    (note,) = notes
    assert "'ids' stays" in note


def without_names():
    """A model whose inputs do not say that they are of one shape, and that asks for the shape of one."""
    model = embedded("slice", rest="f = Shape(ids) e = Expand(unit, f) q = ReduceSum<keepdims = 0>(e) y = Add(x, q)")
    for tensor in model.graph.inputs:
        tensor.shape = [None] * len(tensor.shape)
    model.graph.outputs[0].shape = [None, None, 4]
    return model


def test_ids_whose_sizes_the_rows_need_not_have_stay(externalize):
    model = without_names()
    notes = externalize(model, {**feeds(), "ids": feeds()["ids"][:1]})
    assert list(inputs_of(model)) == ["ids", "mask", "hidden_states"]
    assert "set-shapes" in notes[0]


def test_named_sizes_let_them_go(externalize):
    model = without_names()
    regraft.run(model, "set-shapes{ids=BxS,types=BxS}")
    externalize(model, feeds())
    assert list(inputs_of(model)) == ["mask", "hidden_states"]


LAID_OUT = {
    "one row a token": """
        i = Reshape(ids, minus) w = Gather(words, i) j = Reshape(types, minus) t = Gather(kinds, j) x = Add(w, t)
        q = MatMul(x, weight) f = Shape(mask) k = Slice(f, zero, two_places) l = Concat<axis = 0>(k, width)
        y = Reshape(q, l)""",
    "places first": """
        w = Gather(words, ids) turned = Transpose<perm = [1, 0, 2]>(w) shape = Shape(ids) n = Gather(shape, i1)
        index = Range(i0, n, i1) rows = Gather(places, index) p = Reshape(rows, column) x = Add(turned, p)
        q = MatMul(x, weight) y = Transpose<perm = [1, 0, 2]>(q)""",
}


LAID_OUT["ids turned"] = LAID_OUT["places first"].replace(
    "w = Gather(words, ids) turned = Transpose<perm = [1, 0, 2]>(w)", "i = Transpose(ids) turned = Gather(words, i)"
)


@pytest.mark.parametrize("layout", LAID_OUT)
@pytest.mark.parametrize("opset", [11, 17, 23])
def test_the_device_takes_rows_whatever_their_layout(layout, opset, externalize):
    more = "int64[1] two_places = {2}, int64[3] column = {-1, 1, 4}"
    model = written(LAID_OUT[layout], opset, more=more)
    externalize(model, feeds())
    assert inputs_of(model)["hidden_states"] == ["B", "S", 4]
    assert not inputs_of(model).keys() & {"ids"}


def test_an_encoder_and_a_decoder(externalize):
    body = (
        """e = Gather(words, ids) d = Gather(words, types) f = MatMul(e, weight) g = MatMul(d, weight) y = Add(f, g)"""
    )
    model = written(body)
    notes = externalize(model, feeds())
    assert list(inputs_of(model)) == ["mask", "hidden_states", "hidden_states_1"]
    assert notes == []
    assert len([t for t in constants(model.host.model) if len(t.shape) == 2]) == 1


def test_a_name_that_is_taken_gets_a_number(externalize):
    model = embedded(rest="y = Mul(x, mask)".replace("Mul", "Add"))
    externalize(model, feeds(), input="mask")
    assert list(inputs_of(model)) == ["mask", "mask_1"]


def test_rows_that_are_an_output_too(externalize):
    model = written(
        "w = Gather(words, ids) t = Gather(kinds, types) x = Add(w, t) y = MatMul(x, weight)",
        outputs="float[B, S, 4] x, float[B, S, 4] y",
    )
    externalize(model, feeds())
    assert "hidden_states" in inputs_of(model)
    assert [t.name for t in model.graph.outputs] == ["x", "y"]


def test_half_precision_tables(externalize):
    body = "w = Gather(small, ids) r = Cast<to = 1>(w) t = Gather(kinds, types) x = Add(r, t) y = MatMul(x, weight)"
    model = written(body, more=f"float[9, 4] small = {{{', '.join(map(str, range(36)))}}}")
    (small,) = [t for t in constants(model) if t.name == "small"]
    small.values = small.values.astype(np.float16)
    externalize(model, feeds())
    (hidden,) = [t for t in model.graph.inputs if t.name == "hidden_states"]
    assert hidden.dtype == np.float32


def test_a_body_that_asks_for_the_shape_of_ids(externalize):
    body = """w = Gather(words, ids) t = Gather(kinds, types) x = Add(w, t) some = ReduceMax<keepdims = 0>(mask)
    on = Cast<to = 9>(some)
    f = If (on) <then_branch = a () => (int64[2] s) { s = Shape(ids) },
                 else_branch = b () => (int64[2] r) { r = Shape(types) }>
    e = Expand(unit, f) q = ReduceSum<keepdims = 0>(e) y = Add(x, q)"""
    model = written(body)
    externalize(model, feeds())
    assert list(inputs_of(model)) == ["mask", "hidden_states"]


def names(values: list[Tensor]) -> list[str]:
    return [value.name for value in values]


def test_two_runs_of_the_pass_give_the_same_names(artifacts):
    made = []
    for _ in range(2):
        model = regraft.load(artifacts / "pytorch/roberta-sdpa-ts.onnx")
        ExternalizeEmbeddings().run(model, Context())
        made.append([(node.name, names(node.inputs), names(node.outputs)) for node in model.graph.nodes])
    assert made[0] == made[1]


# ------------------------------------------------------------------------------------------------ any sum


def mixed(draw, terms: list[str]) -> str:
    """Nodes that add `terms` to `x`, two at a time, in any order, with what hands values on between."""
    body = ""
    while len(terms) > 1:
        one, other = (terms.pop(draw(st.integers(0, len(terms) - 1))) for _ in range(2))
        name = f"m{len(body)}"
        between = draw(st.sampled_from(["Identity({0})", "Dropout({0})", "Mul({0}, two)", "Cast<to = 1>({0})"]))
        body += f" s{name} = Add({one}, {other}) {name} = {between.format(f's{name}')}"
        terms.append(name)
    return f"{body} x = Add({terms[0]}, vector)"


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sum(externalize, data):
    lookups = LOOKUPS[data.draw(st.sampled_from(sorted(LOOKUPS)))]
    positions = POSITIONS[data.draw(st.sampled_from([name for name in POSITIONS if "constant" not in name]))]
    body = mixed(data.draw, ["w", "t", "p"])
    model = written(f"{lookups} {positions} {body} y = MatMul(x, weight)")
    externalize(model, feeds())
    assert [node.op for node in model.graph.nodes] == ["MatMul"]
    assert list(inputs_of(model)) == ["mask", "hidden_states"]
