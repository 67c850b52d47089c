"""expose-position-ids: the host makes what the model made; the device takes others too."""

from __future__ import annotations

import numpy as np
import pytest

import regraft
from regraft.ir.graph import Constant
from regraft.ir.verifier import check
from regraft.passes.expose_position_ids import ExposePositionIds
from regraft.pipelines.frontend import ImportOptions
from regraft.pipelines.pass_base import Context
from regraft.verification.runtime import Session
from regraft.verification.verify import snapshot
from tests.idioms.sums import LENGTH, POSITIONS, SUMS, WEIGHTS, WIDTH, embedded, feeds, written
from tests.idioms.test_embeddings import EXPORTS
from tests.shares import diagonal

SEEN = [name for name, (roles, _) in EXPORTS.items() if "position" in roles]
OPSETS = (11, 13, 17, 18, 20, 23)


@pytest.fixture
def expose(apply):
    """Runs the pass; returns what it noted."""
    return lambda model, inputs=None, **options: apply(model, ExposePositionIds(**options), inputs=inputs).notes


def signature(model) -> dict[str, tuple[str, list]]:
    return {t.name: (str(t.dtype), t.shape) for t in model.graph.inputs}


# ------------------------------------------------------------------------------------------------ real exports


@pytest.mark.parametrize("name", diagonal(3, [name for name in SEEN if "train" not in name]))
def test_every_export(artifacts, name, expose):
    model = regraft.load(artifacts / name)
    before = signature(model)
    notes = expose(model)
    after = signature(model)
    assert {k: v for k, v in after.items() if k != "position_ids"} == before
    assert after["position_ids"] == ("int64", before["input_ids"][1])
    assert notes == []
    assert list(model.host.feeds) == ["position_ids"]
    assert "CumSum" not in {node.op for node in model.graph.nodes}


def test_a_model_that_trains(artifacts):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-ts-train.onnx")
    ExposePositionIds().run(model, Context())
    check(model)
    assert signature(model)["position_ids"] == ("int64", ["batch", "seq"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch/bert-cls-explicit-dynamo.onnx", "'position_ids' (of 64)"),
        ("pytorch/t5-encoder-dynamo.onnx", "'input_ids' (of 100)"),
        ("pytorch/t5-encoder-ts.onnx", "'input_ids' (of 100)"),
        ("pytorch/vit-dynamo.onnx", "no table"),
        ("pytorch/vit-ts.onnx", "no table"),
    ],
)
def test_where_there_is_nothing_to_expose(artifacts, name, said, expose):
    model = regraft.load(artifacts / name)
    before = signature(model)
    notes = expose(model)
    assert signature(model) == before
    assert model.host is None
    (note,) = notes
    assert said in note


POPRT = {  # the nodes that Graphcore's preparation of this model takes out by name
    *("Shape_7", "Constant_8", "Gather_9", "Constant_10", "Add_11", "Unsqueeze_12", "Constant_13", "Slice_14")
}


def test_what_the_script_of_graphcore_does(artifacts, expose):
    path = artifacts / "pytorch/transformers-4.25.1-bert-qa/model.onnx"
    before, model = regraft.load(path), regraft.load(path)
    expose(model)
    old, new = ({node.name: node for node in m.graph.nodes} for m in (before, model))
    assert old.keys() - new.keys() == POPRT
    assert new.keys() <= old.keys()
    ids, position_ids = model.graph.inputs[0], model.graph.inputs[-1]
    assert (position_ids.name, position_ids.dtype, position_ids.shape) == ("position_ids", ids.dtype, ids.shape)
    assert new["Gather_18"].inputs[1] is position_ids
    for name, node in new.items():
        if name != "Gather_18":
            assert [t.name for t in node.inputs] == [t.name for t in old[name].inputs]
    reference = np.load(path.parent / "ref.npz")
    outputs = snapshot(model, {t.name: reference[f"in_{t.name}"] for t in before.graph.inputs})
    for name, value in outputs.items():
        np.testing.assert_allclose(value, reference[f"out_{name}"], rtol=1e-4, atol=1e-5)


def test_the_length_that_the_mask_reads_stays(artifacts, expose):
    model = regraft.load(artifacts / "pytorch/bert-cls-eager-ts.onnx")
    made_of_length = {node.name for node in model.graph.nodes if node.op == "Range"}
    expose(model)
    assert {node.name for node in model.graph.nodes if node.op == "Range"} == made_of_length


# ------------------------------------------------------------------------------------------------ every form


def device_alone(model, position_ids):
    """What the device gives for these positions, and what the tables say it should."""
    given = {**feeds(), "position_ids": position_ids}
    found = Session(model.device).run({t.name: given[t.name] for t in model.graph.inputs})["y"]
    words, types = WEIGHTS["words"][given["ids"]], WEIGHTS["kinds"][given["types"]]
    return found, lambda rows: (words + types + rows[position_ids]) @ WEIGHTS["weight"]


@pytest.mark.parametrize(("position", "opset"), diagonal(3, POSITIONS, OPSETS))
def test_every_form_takes_other_positions(position, opset, expose):
    model = embedded(position, opset=opset)
    expose(model, feeds())
    length = LENGTH if "constant" in position else "S"
    assert signature(model)["position_ids"] == ("int64", ["B", length])
    ops = {node.op for node in model.graph.nodes if position != "cut of what is computed" or node.op != "Reshape"}
    assert not ops & {"Range", "CumSum", "Slice", "Expand", "Shape", "Reshape", "Equal", "Not"}
    position_ids = np.array([[5, 1, 4, 2, 3, 0], [0, 1, 2, 0, 1, 0]])
    found, expected = device_alone(model, position_ids)
    table = {
        "cut in a batch": "cube",
        "cut of what is computed": "cube",
        "constant": "fixed",
        "constant rows": "plane",
    }.get(position, "places")
    rows = WEIGHTS[table].reshape(-1, WIDTH) * (2 if position in ("scaled", "cut of what is computed") else 1)
    np.testing.assert_allclose(found, expected(rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("position", "lookups", "total"),
    diagonal(3, ["rows in a batch", "cut", "constant"], ["gather", "hot", "narrow", "nested"], SUMS),
)
def test_every_sum(total, lookups, position, expose):
    model = embedded(position, total, lookups)
    expose(model)
    assert "position_ids" in signature(model)
    check(model)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("position", ["slice", "constant", "counted"])
def test_its_name_and_dtype(dtype, position, expose):
    model = embedded(position)
    expose(model, dtype=dtype, input="places_of")
    assert signature(model)["places_of"][0] == dtype


def test_the_dtype_that_the_model_has(expose):
    position = "shape = Shape(ids) n = Gather(shape, i1) m = Cast<to = 6>(n) index = Range(j0, m, j1)"
    body = f"{position} p = Gather(places, index) w = Gather(words, ids) x = Add(w, p) y = MatMul(x, weight)"
    model = written(body, more="int32 j0 = {0}, int32 j1 = {1}")
    expose(model)
    assert signature(model)["position_ids"][0] == "int32"


def test_two_tables_of_one_index_share_the_input(expose):
    body = """shape = Shape(ids) n = Gather(shape, i1) index = Range(i0, n, i1) p = Gather(places, index)
    w = Gather(words, ids) q = Gather(words, index) a = Add(w, p) x = Add(q, a) y = MatMul(x, weight)"""
    model = written(body)
    expose(model)
    assert list(signature(model))[-1] == "position_ids"
    assert [node.inputs[1].name for node in model.graph.nodes if node.op == "Gather"].count("position_ids") == 2


def test_an_encoder_and_a_decoder_have_each_their_own(expose):
    one = "shape{0} = Shape({1}) n{0} = Gather(shape{0}, i1) r{0} = Range(i0, n{0}, i1) p{0} = Gather(places, r{0})"
    one += " w{0} = Gather(words, {1}) x{0} = Add(w{0}, p{0}) m{0} = MatMul(x{0}, weight) "
    model = written(one.format("a", "ids") + one.format("b", "types") + "y = Add(ma, mb)")
    expose(model)
    assert [name for name in signature(model) if "position" in name] == ["position_ids", "position_ids_1"]


def test_the_host_looks_no_rows_up_for_their_shape(expose):
    model = embedded("of the rows")
    expose(model)
    assert not [
        t for node in model.host.model.graph.nodes for t in node.inputs if isinstance(t, Constant) and t.size > 32
    ]


# ------------------------------------------------------------------------------------- the places before the batch

_PLACES = "shape = Shape(ids) n = Gather(shape, i1) line = Range(i0, n, i1)"
_COUNTED = "real = Cast<to = 7>({0}) counted = CumSum(real, {1}) index = Cast<to = 7>(counted)"
TURNED_IDS = {  # `turned`: rows by ids, [S, B, H]
    "rows": "w = Gather(words, ids) turned = Transpose<perm = [1, 0, 2]>(w)",
    "ids": "i = Transpose(ids) turned = Gather(words, i)",
    "sum": "w = Gather(words, ids) t = Gather(kinds, types) a = Add(t, w) turned = Transpose<perm = [1, 0, 2]>(a)",
}
TURNED_PLACES = {  # `p`: rows by the place, [S, 1, H] or [S, B, H]
    "rows": f"{_PLACES} rows = Gather(places, line) p = Reshape(rows, column)",
    "scaled": f"{_PLACES} rows = Gather(places, line) stacked = Reshape(rows, column) p = Mul(stacked, two)",
    "index": f"{_PLACES} index = Reshape(line, high) p = Gather(places, index)",
    "exchanged": f"{_PLACES} flat_line = Reshape(line, low) rows = Gather(places, flat_line)"
    " p = Transpose<perm = [1, 0, 2]>(rows)",
    "counted": f"{_COUNTED.format('types', 'i1')} rows = Gather(places, index) p = Transpose<perm = [1, 0, 2]>(rows)",
    "counted of exchanged": f"k = Transpose(types) {_COUNTED.format('k', 'i0')} p = Gather(places, index)",
    "constant": "p = Identity(stack)",
}
ORDERS = ("turned, p", "p, turned")
STACK = WEIGHTS["fixed"].reshape(LENGTH, 1, WIDTH)


def turned_sum(ids, places, order=ORDERS[0], opset=17, length: int | str = "S"):
    body = f"""{places} {ids} x = Add({order}) back = Transpose<perm = [1, 0, 2]>(x) y = MatMul(back, weight)"""
    more = "int64[3] column = {-1, 1, 4}, int64[2] high = {-1, 1}, int64[2] low = {1, -1}, "
    stack = ", ".join(map(repr, STACK.reshape(-1).tolist()))
    return written(body, opset, length, more=f"{more} float{list(STACK.shape)} stack = {{{stack}}}")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("places", TURNED_PLACES)
@pytest.mark.parametrize("ids", TURNED_IDS)
def test_places_before_the_batch(ids, places, order, expose):
    length = LENGTH if places == "constant" else "S"
    model = turned_sum(TURNED_IDS[ids], TURNED_PLACES[places], order, length=length)
    assert expose(model, feeds()) == []
    assert signature(model)["position_ids"] == ("int64", ["B", length])
    assert not {node.op for node in model.graph.nodes} & {"Range", "CumSum", "Shape", "Reshape"}
    position_ids = np.array([[5, 1, 4, 2, 3, 0], [0, 1, 2, 0, 1, 0]])
    found, expected = device_alone(model, position_ids)
    table = STACK[:, 0] if places == "constant" else WEIGHTS["places"] * (2 if places == "scaled" else 1)
    types = 0 if ids == "sum" else WEIGHTS["kinds"][feeds()["types"]] @ WEIGHTS["weight"]
    np.testing.assert_allclose(found, expected(table) - types, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("places", TURNED_PLACES)
def test_places_before_the_batch_in_every_opset(places, opset, expose):
    model = turned_sum(TURNED_IDS["rows"], TURNED_PLACES[places], "turned, p", opset, LENGTH)
    expose(model, feeds())
    assert "position_ids" in signature(model)


@pytest.mark.parametrize(
    ("opset", "before", "name"),
    diagonal(3, [13, 17, 21], ["", "set-shapes{batch=2},fold-constants,"], ["gn0.10.0-classifier", "gn0.10.0-mlm-nsp"]),
)
def test_gluonnlp(name, before, opset, artifacts):
    ids = {"data0": ("batch", 16), "data1": ("batch", 16), "data2": ("batch",), "data3": ("batch", 3)}
    shapes = {key: shape for key, shape in ids.items() if key != "data3" or "mlm" in name}
    model = regraft.open_source(artifacts / "mxnet" / name, options=ImportOptions(shapes, opset))
    with np.load(artifacts / "mxnet" / name / "ref.npz") as arrays:
        inputs = {key: arrays[f"in_{key}"] for key in shapes}
        expected = [arrays[key] for key in sorted(arrays) if key.startswith("out")]
    report = regraft.run(model, f"{before}expose-position-ids", verify="each", inputs=inputs)
    assert report.passes[-1].drift.passed
    assert signature(model)["position_ids"] == ("int64", [2 if before else "batch", 16])
    for value, right in zip(Session(model).run(inputs).values(), expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=0, atol=1e-5)


def kept(model, expose) -> None:
    (note,) = expose(model)
    assert model.host is None
    assert "along which axis" in note


_BATCH = "shape = Shape(ids) n = Gather(shape, i0) line = Range(i0, n, i1) rows = Gather(places, line)"


def test_rows_for_each_sequence_are_no_positions(expose):
    """Numbers of the sequences, not of the places."""
    kept(turned_sum(TURNED_IDS["rows"], f"{_BATCH} p = Reshape(rows, batch)"), expose)
    body = f"{_BATCH} p = Reshape(rows, column) w = Gather(words, ids) x = Add(w, p) y = MatMul(x, weight)"
    kept(written(body, more="int64[3] column = {-1, 1, 4}"), expose)


def test_axes_that_are_exchanged_otherwise(expose):
    two = "t1 = Transpose<perm = [0, 2, 1]>(w) t2 = Transpose<perm = [0, 2, 1]>(t1)"
    ids = f"w = Gather(words, ids) {two} turned = Transpose<perm = [1, 0, 2]>(t2)"
    kept(turned_sum(ids, TURNED_PLACES["rows"]), expose)


def test_rows_that_are_dealt_out_anew(expose):
    """A Reshape to [S, B, H] is no exchange of axes: it gives tokens the rows of others."""
    sizes = "s = Shape(ids) b = Gather(s, zero) n = Gather(s, one) sizes = Concat<axis = 0>(n, b, width)"
    counted = f"{_COUNTED.format('types', 'i1')} rows = Gather(places, index) p = Reshape(rows, sizes)"
    kept(turned_sum(TURNED_IDS["rows"], f"{sizes} {counted}"), expose)


@pytest.mark.parametrize("places", ["counted", "counted of exchanged"])
def test_as_many_sequences_as_places_tell_no_axis(places, expose):
    model = turned_sum(TURNED_IDS["rows"], TURNED_PLACES[places])
    regraft.run(model, f"set-shapes{{B={LENGTH},S={LENGTH}}}")
    kept(model, expose)


def test_a_constant_for_each_sequence_is_no_table(expose):
    body = "w = Gather(words, ids) x = Add(w, stack) y = MatMul(x, weight)"
    stack = ", ".join(map(repr, STACK.reshape(-1).tolist()))
    model = written(body, length=5, more=f"float{list(STACK.shape)} stack = {{{stack}}}")
    ids = np.arange(LENGTH * 5).reshape(LENGTH, 5) % 9
    (note,) = expose(model, {"ids": ids, "types": ids % 2, "mask": np.ones((LENGTH, 5, 1), np.float32)})
    assert model.host is None
    assert "no positions" in note


def test_a_table_that_is_cut_in_its_width_too_is_left_alone(expose):
    body = """shape = Shape(ids) length = Slice(shape, one, twice) ends = Concat<axis = 0>(length, width)
    starts = Identity(zeros) p = Slice(places, starts, ends) w = Gather(words, ids) x = Add(w, p)
    y = MatMul(x, weight)"""
    model = written(body, more="int64[2] zeros = {0, 0}, int64[1] twice = {2}")
    notes = expose(model)
    assert model.host is None
    assert "cut" in notes[0]


def test_the_pipeline_verifies_it(artifacts):
    model = regraft.load(artifacts / "pytorch/roberta-eager-ts.onnx")
    report = regraft.run(model, "expose-position-ids", verify="each")
    assert report.passes[0].drift.passed
