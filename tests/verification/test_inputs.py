"""Inputs made from what they mean, and inputs given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.errors import UnknownNameError
from regraft.files.convert import from_proto
from regraft.ir.model import Model
from regraft.verification.input_roles import longest_sequence
from regraft.verification.inputs import Given, InputError, make_inputs, read_given
from regraft.verification.runtime import Session

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
PYTORCH = sorted(ARTIFACTS.glob("pytorch/**/*.onnx"))
EXPORTS = [*PYTORCH, *ARTIFACTS.glob("tensorflow/*.onnx")]
INT, FLOAT, BOOL, STRING = TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL, TensorProto.STRING


def model_with(inputs: dict[str, Any], *nodes: onnx.NodeProto, **constants: np.ndarray) -> Model:
    """A model of `inputs`, given as (dtype, shape) or a type message, with these nodes and initializers."""
    types = {n: helper.make_tensor_type_proto(*t) if isinstance(t, tuple) else t for n, t in inputs.items()}
    infos = [helper.make_value_info(name, kind) for name, kind in types.items()]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    return from_proto(helper.make_model(helper.make_graph(nodes, "graph", infos, [], weights)))


def make(model: Model, **options: Any) -> dict[str, Any]:
    return make_inputs(model, **options)


def node(op: str, *inputs: str, out: str = "out", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [out], **attributes)


@pytest.mark.parametrize("path", EXPORTS, ids=lambda p: p.stem)
def test_exported_models_run_on_them(path: Path) -> None:
    model = regraft.load(path)
    inputs = make_inputs(model)
    if "input_ids" in inputs:
        ids = inputs["input_ids"]
        assert ids.shape == ((3, 12) if "static" in path.stem else (2, 32 if "seq32" in path.stem else 16))
        assert len(np.unique(ids)) > 5
        assert (ids >= 0).all()
    for name in ("attention_mask", "input_mask"):
        if name in inputs and inputs[name].dtype.kind in "iu":
            mask = inputs[name]
            assert mask[0].all()
            assert len(mask) == 1 or 0 < mask[1].sum() < mask.shape[1]
    for name in ("token_type_ids", "segment_ids"):
        if name in inputs:
            assert set(np.unique(inputs[name])) == {0, 1}
    assert all(np.isfinite(output).all() for output in Session(model).run(inputs).values())


def test_there_are_exports_to_test() -> None:
    assert len(EXPORTS) >= 29


@pytest.mark.parametrize("path", [p for p in PYTORCH if p.stem.startswith(("bert-cls-eager", "distilbert", "gpt2"))])
def test_the_position_table_is_found(path: Path) -> None:
    assert longest_sequence(regraft.load(path)) in (32, 64)


def test_a_short_position_table_bounds_the_sequence() -> None:
    ids = {"x": (INT, ["batch", "seq"])}
    length = [node("Shape", "x", out="shape"), node("Gather", "shape", "one", out="length")]
    positions = [node("Range", "zero", "length", "one", out="range"), node("Gather", "table", "range", out="rows")]
    scalars = {"zero": np.int64(0), "one": np.int64(1)}
    model = model_with(ids, *length, *positions, table=np.zeros((7, 4), np.float32), **scalars)
    assert make(model)["x"].shape == (2, 7)


def test_positions_that_are_counted_start_after_the_padding_index() -> None:
    steps = [node("Not", "x", out="n"), node("Cast", "n", out="i", to=INT), node("CumSum", "i", "one", out="count")]
    shift = [node("Add", "count", "one", out="positions"), node("Gather", "table", "positions", out="rows")]
    model = model_with({"x": (BOOL, ["b", "s"])}, *steps, *shift, table=np.zeros((9, 4), np.float32), one=np.array(1))
    assert make(model)["x"].shape == (2, 7)


@pytest.mark.parametrize("through", [[], ["Identity"], ["Cast"], ["Unsqueeze", "Squeeze", "Identity"]], ids=str)
@pytest.mark.parametrize("name", ["input_ids", "x"])
def test_indices_stay_in_their_table(through: list[str], name: str) -> None:
    steps, value = [], name
    for i, op in enumerate(through):
        extra = ["axes"] if "squeeze" in op.lower() else []
        attributes = {"to": TensorProto.INT32} if op == "Cast" else {}
        steps.append(node(op, value, *extra, out=(value := f"v{i}"), **attributes))
    look_up = node("Gather", "table", value)
    tables = {"table": np.zeros((30, 4), np.float32), "axes": np.array([0])}
    values = make(model_with({name: (INT, [50, 40])}, *steps, look_up, **tables))[name]
    assert values.min() == 0
    assert values.max() == 29


def test_indices_that_count_from_the_end_stay_in_their_table() -> None:
    """As Keras computes them: `x·(x ≥ 0) + (x + 30)·(x < 0)`."""
    flags = [node("Less", "x", "zero", out="below"), node("Not", "below", out="above")]
    flags += [node("Cast", f"{side}", out=f"{side}_1", to=INT) for side in ("below", "above")]
    kept = [node("Mul", "x", "above_1", out="kept"), node("Add", "x", "rows", out="more")]
    ids = [node("Mul", "more", "below_1", out="turned"), node("Add", "kept", "turned", out="ids")]
    constants = {"zero": np.array(0), "rows": np.array(30), "table": np.zeros((30, 4), np.float32)}
    values = make(model_with({"x": (INT, [50, 40])}, *flags, *kept, *ids, node("Gather", "table", "ids"), **constants))
    assert values["x"].max() == 29


def test_indices_that_are_floats_stay_in_their_table() -> None:
    """As MXNet has them."""
    gather = [node("Cast", "x", out="whole", to=INT), node("Gather", "table", "whole")]
    ids = make(model_with({"x": (FLOAT, [40, 8])}, *gather, table=np.zeros((30, 4), np.float32)))["x"]
    assert ids.dtype == np.float32
    assert (ids == np.floor(ids)).all()
    assert 20 < ids.max() < 30
    assert ids.min() == 0


@pytest.mark.parametrize("dtype", [INT, FLOAT])
def test_lengths_are_known_by_the_positions_before_them(dtype: int) -> None:
    steps = np.arange(7, dtype=np.int64 if dtype == INT else np.float32).reshape(7, 1)
    reshape = node("Reshape", "x", "shape", out="row")
    less = node("Less", "steps", "row")
    model = model_with({"x": (dtype, [200])}, reshape, less, steps=steps, shape=np.array([1, -1]))
    assert set(make(model)["x"]) == set(range(1, 8))


def test_the_smallest_table_and_its_axis_count() -> None:
    look_ups = [node("Gather", "wide", "x", out="a", axis=1), node("Gather", "long", "x", out="b")]
    tables = {"wide": np.zeros((4, 20), np.float32), "long": np.zeros((50, 4), np.float32)}
    assert make(model_with({"x": (INT, [1000])}, *look_ups, **tables))["x"].max() == 19


def test_a_table_behind_identity_nodes_and_a_constant_node() -> None:
    value = numpy_helper.from_array(np.zeros((25, 4), np.float32))
    steps = [node("Constant", out="t", value=value), node("Identity", "t", out="table"), node("Gather", "table", "x")]
    assert make(model_with({"x": (INT, [1000])}, *steps))["x"].max() == 24


def test_a_depth_that_is_no_tensor_bounds_nothing() -> None:
    steps = [node("Constant", out="depth", value_int=3), node("OneHot", "x", "depth", "values")]
    assert set(make(model_with({"x": (INT, [100])}, *steps, values=np.float32([0, 1])))["x"]) == {0, 1}


def test_one_hot_has_a_depth() -> None:
    hot = node("OneHot", "x", "depth", "values")
    constants = {"depth": np.array([3]), "values": np.float32([0, 1])}
    assert make(model_with({"x": (INT, [1000])}, hot, **constants))["x"].max() == 2


def test_token_types_come_in_two_runs() -> None:
    look_up = node("Gather", "table", "token_type_ids")
    types = make(model_with({"token_type_ids": (INT, [4, 30])}, look_up, table=np.zeros((2, 4), np.float32)))
    assert (np.diff(types["token_type_ids"], axis=-1) >= 0).all()
    assert set(np.unique(types["token_type_ids"])) == {0, 1}


def test_positions_count_up_and_stay_in_the_table() -> None:
    look_up = node("Gather", "table", "position_ids")
    inputs = make(model_with({"position_ids": (INT, [2, 10])}, look_up, table=np.zeros((8, 4), np.float32)))
    np.testing.assert_array_equal(inputs["position_ids"], [[0, 1, 2, 3, 4, 5, 6, 7, 0, 1]] * 2)


@pytest.mark.parametrize(
    ("dtype", "name", "steps"),
    [
        (INT, "attention_mask", []),
        (INT, "x", [node("Cast", "x", out="f", to=FLOAT), node("Sub", "one", "f")]),
        (INT, "x", [node("Unsqueeze", "x", "axes", out="u"), node("Cast", "u", out="b", to=BOOL), node("Not", "b")]),
        (BOOL, "x", [node("Where", "x", "one", "one")]),
        (FLOAT, "mask", [node("Sub", "one", "mask")]),
    ],
)
def test_masks_have_real_lengths(dtype: int, name: str, steps: list[onnx.NodeProto]) -> None:
    model = model_with({name: (dtype, [8, 20])}, *steps, one=np.float32(1), axes=np.array([1]))
    mask = make(model)[name].astype(int)
    assert mask[0].all()
    assert set(np.unique(mask)) == {0, 1}
    assert (np.diff(mask, axis=1) <= 0).all()
    assert mask.any(axis=1).all()
    assert len(np.unique(mask.sum(axis=1))) > 3


def test_a_mask_that_is_added_is_zero_or_very_negative() -> None:
    added = node("Add", "scores", "attention_mask")
    kinds = {"scores": (FLOAT, [4, 2, 10, 10]), "attention_mask": (FLOAT, [4, 1, 1, 10])}
    mask = make(model_with(kinds, added))["attention_mask"]
    assert set(np.unique(mask)) == {-10000, 0}
    assert (mask[0] == 0).all()


def test_dimensions_of_one_name_have_one_size() -> None:
    kinds = {"a": (FLOAT, ["batch", "seq", 8]), "b": (INT, ["seq", "batch"]), "c": (FLOAT, ["n", "past + seq"])}
    given = Given(dims={"past": 5})
    shapes = {name: value.shape for name, value in make(model_with(kinds), given=given).items()}
    assert shapes == {"a": (2, 16, 8), "b": (16, 2), "c": (2, 21)}


def test_fixed_sizes_hold_for_the_dynamic_ones_beside_them() -> None:
    kinds = {"ids": (INT, [3, 12]), "mask": (INT, [None, None])}
    assert make(model_with(kinds))["mask"].shape == (3, 12)


def test_images_have_the_channels_that_the_convolution_takes() -> None:
    conv = node("Conv", "image", "w")
    shape = make(model_with({"image": (FLOAT, ["n", "c", "h", "w"])}, conv, w=np.zeros((8, 5, 3, 3), np.float32)))
    assert shape["image"].shape == (2, 5, 32, 32)
    assert make(model_with({"image": (FLOAT, [None] * 4)}))["image"].shape == (2, 3, 32, 32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16], ids=lambda d: d.__name__)
def test_floats_are_normal(dtype: Any) -> None:
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = make(model_with({"x": (code, [10000])}))["x"]
    assert values.dtype == dtype
    assert abs(values.astype(float).mean()) < 0.05
    assert abs(values.astype(float).std() - 1) < 0.05


def test_other_types() -> None:
    floats = helper.make_tensor_type_proto(FLOAT, [3])
    kinds = {
        "sequence": helper.make_sequence_type_proto(floats),
        "optional": helper.make_optional_type_proto(floats),
        "text": (STRING, [4]),
        "flag": (BOOL, []),
        "pixels": (TensorProto.UINT8, [100]),
        "lengths": (INT, [100]),
        "labels": (INT, [100]),
    }
    values = make(model_with(kinds))
    assert [value.shape for value in values["sequence"]] == [(3,), (3,)]
    assert values["optional"].shape == (3,)
    assert all(isinstance(word, str) for word in values["text"])
    assert (values["flag"].dtype, values["flag"].shape) == (bool, ())
    assert values["pixels"].max() > 200
    assert 1 <= values["lengths"].min() < values["lengths"].max() <= 16
    assert set(values["labels"]) == {0, 1}


def test_a_sparse_tensor_must_be_given() -> None:
    with pytest.raises(InputError, match="'x' is a sparse_tensor"):
        make(model_with({"x": helper.make_sparse_tensor_type_proto(FLOAT, None)}))


def test_the_seed_decides() -> None:
    model = model_with({"a": (FLOAT, [5]), "b": (FLOAT, [5])})
    one, same, other = make(model), make(model), make(model, seed=1)
    np.testing.assert_array_equal(one["a"], same["a"])
    assert not np.array_equal(one["a"], other["a"])
    assert not np.array_equal(one["a"], one["b"])
    alone = make(model_with({"b": (FLOAT, [5])}))
    np.testing.assert_array_equal(alone["b"], one["b"])


def test_defaults_are_left_to_the_model() -> None:
    model = model_with({"x": (FLOAT, [2]), "y": (FLOAT, [2])}, node("Add", "x", "y"), y=np.float32([1, 2]))
    assert list(make(model)) == ["x"]
    assert list(make(model, given=Given(shapes={"y": (2,)}))) == ["x", "y"]


def test_given_values_fix_the_dimensions_of_the_others() -> None:
    kinds = {"a": (FLOAT, ["batch", "seq"]), "b": (FLOAT, ["batch", "seq"])}
    values = make(model_with(kinds), given=Given(values={"a": np.zeros((3, 5), np.float32)}))
    assert values["b"].shape == (3, 5)


@pytest.fixture
def model() -> Model:
    return model_with({"x": (FLOAT, ["batch", 3]), "ids": (INT, ["batch", "seq"])})


def test_inputs_from_files_and_texts(model: Model, tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "all.npz", x=x)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "some.json").write_text(json.dumps({"ids": [[1, 2], [3, 4]]}))
    for source in (f"{tmp_path}/all.npz", f"{tmp_path}/x.npy", f"x={tmp_path}/x.npy"):
        given = read_given([source], model)
        np.testing.assert_array_equal(given.values["x"], x)
    ids = read_given([f"{tmp_path}/some.json"], model).values["ids"]
    assert (ids.dtype, ids.tolist()) == (np.int64, [[1, 2], [3, 4]])
    assert read_given(["x=4x3", "ids=4x7", "batch=4", "x=5"], model) == Given(
        shapes={"x": (5,), "ids": (4, 7)}, dims={"batch": 4}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("missing.npz", "cannot read missing.npz: No such file"),
        ("model.txt", "'model.txt' is no source of inputs"),
        ("x=8x", "'8x' is no source of inputs"),
        ("list.json", "must be an object"),
        ("broken.json", "cannot read broken.json: Expecting"),
        ("ragged.json", r"input 'ids' takes int64\[batch, seq\]"),
        ("halves.json", "not all that is given are whole numbers"),
    ],
)
def test_sources_that_are_none(
    text: str, says: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[1, 2]")
    Path("broken.json").write_text("{")
    Path("ragged.json").write_text('{"ids": [[1], [2, 3]]}')
    Path("halves.json").write_text('{"ids": [[1, 2.5]]}')
    with pytest.raises(InputError, match=says):
        read_given([text], model)


@pytest.mark.parametrize("given", [Given(values={"z": 1}), Given(shapes={"z": (1,)})])
def test_an_input_that_does_not_exist(given: Given, model: Model) -> None:
    with pytest.raises(UnknownNameError, match="no input named 'z'; known: ids, x"):
        make_inputs(model, given=given)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [("x.npz", b"PK\x03\x04 no archive", "cannot read .*x.npz: "), ("x.json", b"{}", "holds 0 arrays")],
)
def test_a_damaged_or_empty_file_is_said_so(tmp_path: Path, file: str, content: bytes, says: str) -> None:
    (tmp_path / file).write_bytes(content)
    model = regraft.load(ARTIFACTS / "pytorch/bert-cls-eager-ts.onnx")
    with pytest.raises(InputError, match=says):
        read_given((f"input_ids={tmp_path / file}",), model)
