"""Running models: what goes in, what comes out, and weights that are not copied."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.errors import ModelError
from regraft.files import wire
from regraft.files.convert import export, from_proto
from regraft.ir.model import Model
from regraft.ir.weights import Derived
from regraft.verification.runtime import RuntimeFailure, Session

SIZE = 1000
DTYPES = [np.float32, np.float64, np.float16, np.int64, np.int8, np.uint8, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn]
PACKED = [ml_dtypes.int4, ml_dtypes.uint4]


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    *,
    functions: Any = (),
    **parts: Any,
) -> onnx.ModelProto:
    """A model; the types of inputs and outputs are (dtype, shape), or a type message."""

    def infos(types: dict[str, Any]) -> list[onnx.ValueInfoProto]:
        made = {name: helper.make_tensor_type_proto(*t) if isinstance(t, tuple) else t for name, t in types.items()}
        return [helper.make_value_info(name, kind) for name, kind in made.items()]

    graph = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), **parts)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)


def code(dtype: Any) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def weight(dtype: Any = np.float32) -> np.ndarray:
    return (np.arange(SIZE) % 7).astype(dtype)


def holder(dtype: Any, place: str = "initializer") -> onnx.ModelProto:
    """A model that gives its weight as float32; the weight stands in `place`."""
    tensor = numpy_helper.from_array(weight(dtype), "w")
    out = {"y": (TensorProto.FLOAT, [SIZE])}
    cast = helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    if place == "initializer":
        return graph_model([cast], {}, out, initializer=[tensor])
    if place == "constant":
        return graph_model([constant, cast], {}, out)
    if place == "function":
        body = helper.make_function("local", "Weight", [], ["y"], [constant, cast], [helper.make_opsetid("", 21)])
        return graph_model([helper.make_node("Weight", [], ["y"], domain="local")], {}, out, functions=[body])
    result = [helper.make_tensor_value_info("y", *out["y"])]
    branches = [helper.make_graph([cast], f"branch{i}", [], result, [tensor]) for i in range(2)]
    choose = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    return graph_model([choose], {}, out, initializer=[numpy_helper.from_array(np.array(True), "c")])


def identity(kind: Any) -> onnx.ModelProto:
    return graph_model([helper.make_node("Identity", ["x"], ["y"])], {"x": kind}, {"y": kind})


def stored(proto: onnx.ModelProto, folder: Path, layout: str, shift: int = 0) -> Model:
    """`proto` read from a file; `shift` more bytes stand before an inline weight."""
    proto.doc_string = "." * shift
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    if layout == "external":
        regraft.save(regraft.load(path), path, "external")
    return regraft.load(path)


@pytest.mark.parametrize("place", ["initializer", "constant", "function", "branch"])
@pytest.mark.parametrize(("layout", "shift"), [("external", 0), *[("inline", shift) for shift in range(8)]])
def test_weights_wherever_they_lie(place: str, layout: str, shift: int, tmp_path: Path) -> None:
    model = stored(holder(np.float64, place), tmp_path, layout, shift)
    np.testing.assert_array_equal(Session(model).run({})["y"], weight())


@pytest.mark.parametrize("layout", ["external", "inline"])
@pytest.mark.parametrize("dtype", [*DTYPES, *PACKED], ids=lambda d: np.dtype(d).name)
def test_weights_of_every_dtype(dtype: Any, layout: str, tmp_path: Path) -> None:
    model = stored(holder(dtype), tmp_path, layout)
    np.testing.assert_array_equal(Session(model).run({})["y"], weight())


@pytest.mark.parametrize("dtype", [*DTYPES, *PACKED], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_weights_that_are_computed(dtype: Any, place: str) -> None:
    model = from_proto(holder(dtype, place))
    node = model.graph.nodes[0]
    constant = node.inputs[0] if place == "initializer" else node.attrs["value"]
    constant.values = Derived([weight(dtype)], np.flip, [SIZE], dtype)
    np.testing.assert_array_equal(Session(model).run({})["y"], weight()[::-1])


def test_weights_that_nothing_reads() -> None:
    proto = holder(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight(), "unread"))
    np.testing.assert_array_equal(Session(from_proto(proto)).run({})["y"], weight())


def test_a_weight_of_a_replaced_file_is_the_old_one(tmp_path: Path) -> None:
    model = stored(holder(np.float32), tmp_path, "external")
    data = tmp_path / "model.onnx.data"
    other = tmp_path / "other"
    other.write_bytes(bytes(data.stat().st_size))
    os.replace(other, data)
    np.testing.assert_array_equal(Session(model).run({})["y"], weight())


def test_weights_too_large_for_a_header_go_through_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regraft.verification.bind_initializers.INLINE_LIMIT", SIZE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = from_proto(holder(np.float32, "constant"))
    model.graph.nodes[0].attrs["value"].values = weight()[::-1].copy()
    np.testing.assert_array_equal(Session(model).run({})["y"], weight()[::-1])
    assert not list(tmp_path.iterdir())


def table_model(rows: int) -> onnx.ModelProto:
    """A lookup in a table of `rows` x 1024 floats, without its values."""
    table = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, 1024], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights"), ("offset", "0"), ("length", str(rows * 4096))):
        table.external_data.add(key=key, value=value)
    types = {"i": (TensorProto.INT64, [1])}, {"y": (TensorProto.FLOAT, [1, 1024])}
    return graph_model([helper.make_node("Gather", ["w", "i"], ["y"])], *types, initializer=[table])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A model with 3 GiB of weights, all zero but the last row; on disk it takes a few KiB."""
    rows = 3 << 18
    with open(tmp_path / "weights", "wb") as file:
        file.seek((rows - 1) * 4096)
        file.write(np.arange(1024, dtype=np.float32).tobytes())
    (tmp_path / "model.onnx").write_bytes(table_model(rows).SerializeToString())
    return tmp_path / "model.onnx"


def private_bytes() -> int:
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured through /proc")
def test_three_gigabytes_are_not_copied(table: Path) -> None:
    before = private_bytes()
    row = Session(regraft.load(table)).run({"i": np.array([-1])})["y"]
    np.testing.assert_array_equal(row[0], np.arange(1024))
    assert private_bytes() - before < 64 << 20


def test_an_inline_file_that_protobuf_cannot_read(table: Path, tmp_path: Path) -> None:
    """3 GiB inline, by its path: the row asked for lies at the end of the file."""
    proto, values = export(regraft.load(table))
    path = tmp_path / "inline.onnx"
    with open(path, "wb") as file:
        for piece in wire.splice(proto.SerializeToString(), [value.nbytes for value in values]):
            if isinstance(piece, wire.Slot):
                file.seek(piece.nbytes - 4096, os.SEEK_CUR)
                file.write(np.arange(1024, dtype=np.float32).tobytes())
            else:
                file.write(piece)
    np.testing.assert_array_equal(Session(path).run({"i": np.array([-1])})["y"][0], np.arange(1024))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("shape", [(3, 2), (), (0, 2)], ids=str)
def test_arrays_of_every_dtype_come_back(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    result = Session(identity((code(dtype), None))).run({"x": array})["y"]
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("dtype", PACKED, ids=lambda d: np.dtype(d).name)
def test_packed_dtypes_in_and_out(dtype: Any) -> None:
    array = np.array([[1, 2, 3], [4, 5, 7]]).astype(dtype)
    there = [helper.make_node("Cast", ["x"], ["f"], to=1), helper.make_node("Cast", ["f"], ["y"], to=code(dtype))]
    kind = (code(dtype), [2, 3])
    result = Session(graph_model(there, {"x": kind}, {"y": kind, "f": (1, [2, 3])})).run({"x": array})
    assert result["y"].dtype == array.dtype
    np.testing.assert_array_equal(result["y"], array)
    np.testing.assert_array_equal(result["f"], array.astype(np.float32))


FLOATS = helper.make_tensor_type_proto(TensorProto.FLOAT, None)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (helper.make_sequence_type_proto(FLOATS), [np.ones(2, np.float32), np.ones((1, 2), np.float32)]),
        (helper.make_sequence_type_proto(FLOATS), []),
        (helper.make_optional_type_proto(FLOATS), np.ones(2, np.float32)),
        (helper.make_optional_type_proto(FLOATS), None),
        (helper.make_optional_type_proto(helper.make_sequence_type_proto(FLOATS)), [np.ones(2, np.float32)]),
        (helper.make_tensor_type_proto(TensorProto.STRING, None), np.array(["a", "bc"], dtype=object)),
    ],
    ids=["sequence", "empty sequence", "optional", "none", "optional sequence", "strings"],
)
def test_other_types_come_back(kind: onnx.TypeProto, value: Any) -> None:
    result = Session(identity(kind)).run({"x": value})["y"]
    np.testing.assert_equal(result, value)


def test_ports_say_what_a_model_takes() -> None:
    (port,) = Session(identity((TensorProto.BFLOAT16, ["batch", 3, None]))).inputs
    assert str(port) == "bfloat16[batch, 3, ?]"
    (port,) = Session(identity(helper.make_sequence_type_proto(FLOATS))).outputs
    assert str(port) == "seq(float32[...])"


def test_an_input_with_a_default_may_be_left_out() -> None:
    proto = identity((TensorProto.FLOAT, [1]))
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([5]), "x"))
    session = Session(proto)
    assert not session.inputs
    assert session.run({})["y"] == 5
    assert session.run({"x": np.float32([6])})["y"] == 6


def test_only_the_outputs_asked_for() -> None:
    session = Session(identity((TensorProto.FLOAT, [1])))
    assert list(session.run({"x": np.float32([1])}, ["y"])) == ["y"]
    with pytest.raises(RuntimeFailure, match="no output named 'z'; known: y"):
        session.run({"x": np.float32([1])}, ["z"])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, r"no value for input 'x', float32\[2, n\]"),
        ({"x": np.ones((2, 1), np.float32), "z": 1}, "no input named 'z'; known: x"),
        ({"x": np.ones((2, 1))}, r"'x' takes float32\[2, n\], not float64"),
        ({"x": np.ones((3, 1), np.float32)}, r"'x' takes float32\[2, n\], not shape \[3, 1\]"),
        ({"x": np.ones(2, np.float32)}, r"'x' takes float32\[2, n\], not shape \[2\]"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Any], says: str) -> None:
    with pytest.raises(RuntimeFailure, match=says):
        Session(identity((TensorProto.FLOAT, [2, "n"]))).run(inputs)


def test_a_tensor_is_no_sequence() -> None:
    with pytest.raises(RuntimeFailure, match="'x' is a sequence: give a list, not ndarray"):
        Session(identity(helper.make_sequence_type_proto(FLOATS))).run({"x": np.ones(2, np.float32)})


def test_a_sequence_beside_a_dtype_of_ml_dtypes() -> None:
    nodes = [helper.make_node("SequenceAt", ["x", "i"], ["y"]), helper.make_node("Cast", ["y"], ["z"], to=16)]
    index = [numpy_helper.from_array(np.array(0), "i")]
    model = graph_model(nodes, {"x": helper.make_sequence_type_proto(FLOATS)}, {"z": (16, None)}, initializer=index)
    with pytest.raises(RuntimeFailure, match="'x': ONNX Runtime takes no sequence beside"):
        Session(model).run({"x": [np.ones(2, np.float32)]})


def test_what_onnx_runtime_says_fits_a_line() -> None:
    lookup = holder(np.float32)
    lookup.graph.node[0].op_type = "NoSuchOp"
    with pytest.raises(RuntimeFailure, match=r"refuses the model: .*NoSuchOp") as refused:
        Session(lookup)
    reshape = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    kinds = {"x": (1, [4]), "s": (7, [1])}, {"y": (1, None)}
    with pytest.raises(RuntimeFailure, match=r"failed: .*cannot be reshaped") as failed:
        Session(graph_model(reshape, *kinds)).run({"x": np.ones(4, np.float32), "s": np.array([3])})
    for error in (refused, failed):
        assert "\n" not in str(error.value)
        assert "onnxruntime::" not in str(error.value)
        assert ".cc:" not in str(error.value)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        Session(tmp_path / "missing.onnx")
    (tmp_path / "text.onnx").write_text("this is no model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        Session(tmp_path / "text.onnx")


def test_onnx_runtime_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    proto = holder(np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight(), "unused"))
    Session(proto, optimize=True).run({})
    assert capfd.readouterr() == ("", "")
