from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import regraft
from regraft.errors import GraphError, ModelError, RegraftError
from regraft.files.saving import to_proto
from regraft.ir import verifier
from regraft.ir.weights import Held, Stored

WEIGHTS = np.arange(1000, dtype=np.float32)


def small_model() -> onnx.ModelProto:
    """One of each part that a reader descends into."""
    value = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["b"], name="mul")], "branch", [], [value("b", 1, None)]
    )
    constant = helper.make_node("Constant", [], ["k"], value=helper.make_tensor("", TensorProto.INT64, [2], [1, 2]))
    graph = helper.make_graph(
        [constant, helper.make_node("If", ["c"], ["y"], name="if", then_branch=branch, else_branch=branch)],
        "graph",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.float32(2), "w"), numpy_helper.from_array(np.array(True), "c")],
    )
    body = helper.make_node("Concat", ["a", "b"], ["y"], axis=-1, doc_string="doc")
    function = helper.make_function("d", "F", ["a", "b"], ["y"], [body], [helper.make_opsetid("", 21)], ["p"])
    model = helper.make_model(graph, functions=[function], ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    helper.set_model_props(model, {"key": "value"})
    return model


def large_model() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(WEIGHTS, "w")
    node = helper.make_node("Mul", ["x", "w"], ["y"], name="mul")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1000]) for n in "xy")
    return helper.make_model(helper.make_graph([node], "graph", [x], [y], [tensor]), ir_version=10)


def write(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


# ------------------------------------------------------------------------------------------------ weights stay


def test_inline_weights_stay_in_the_file(tmp_path: Path) -> None:
    model = regraft.load(write(tmp_path / "m.onnx", large_model()))
    weight = model.graph.nodes[0].inputs[1]
    assert isinstance(weight.lazy, Stored)
    assert "map" not in vars(weight.lazy.source), "mapped before a value was asked for"
    assert (weight.shape, weight.dtype, weight.nbytes) == ((1000,), np.float32, 4000)
    np.testing.assert_array_equal(weight.values, WEIGHTS)
    assert model.path == tmp_path / "m.onnx"


def test_external_weights_stay_in_their_file(tmp_path: Path) -> None:
    onnx.save(large_model(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    weight = regraft.load(str(tmp_path / "m.onnx")).graph.nodes[0].inputs[1]
    assert isinstance(weight.lazy, Stored)
    assert weight.lazy.source.path == tmp_path / "w.bin"
    np.testing.assert_array_equal(weight.values, WEIGHTS)


def test_small_weights_are_held(tmp_path: Path) -> None:
    model = regraft.load(write(tmp_path / "m.onnx", small_model()))
    assert all(isinstance(c.lazy, Held) for n in model.nodes() for c in n.inputs if hasattr(c, "lazy"))


def test_external_data_is_found_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(large_model(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    model = regraft.load("m.onnx")
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(model.graph.nodes[0].inputs[1].values, WEIGHTS)


def sparse_file(path: Path, gib: int) -> np.ndarray:
    """An inline file of `gib` tensors of 1 GiB each, which the disk holds as a hole, with a few values at the end."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Add", [f"x{i}", f"w{i}"], [f"x{i + 1}"], name=f"add{i}") for i in range(gib)]
    ends = [value("x0", TensorProto.FLOAT, []), value(f"x{gib}", TensorProto.FLOAT, [2**14, 2**14])]
    header = helper.make_model(helper.make_graph(nodes, "graph", ends[:1], ends[1:]), ir_version=10)
    graph = header.graph.SerializeToString()
    header.ClearField("graph")
    tail = np.array([1, 2, 3, 4], np.float32)
    heads = []
    for i in range(gib):
        fields = TensorProto(name=f"w{i}", dims=[2**14, 2**14], data_type=TensorProto.FLOAT).SerializeToString()
        fields += b"\x4a" + varint(2**30)
        heads.append(b"\x2a" + varint(len(fields) + 2**30) + fields)
    size = len(graph) + sum(map(len, heads)) + gib * 2**30
    with path.open("wb") as file:
        file.write(header.SerializeToString() + b"\x3a" + varint(size) + graph)
        for head in heads:
            file.write(head)
            file.seek(2**30 - tail.nbytes, os.SEEK_CUR)
            file.write(tail.tobytes())
    return tail


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value == low else bytes([low | 0x80]) + varint(value >> 7)


@pytest.mark.slow
def test_an_inline_file_of_3_gib_loads(tmp_path: Path) -> None:
    tail = sparse_file(tmp_path / "m.onnx", 3)
    model = regraft.load(tmp_path / "m.onnx")
    assert [n.inputs[1].shape for n in model.graph.nodes] == [(2**14, 2**14)] * 3
    for node in model.graph.nodes:
        np.testing.assert_array_equal(node.inputs[1].values[-1, -5:], [0, *tail])
    with pytest.raises(ModelError, match=r"3\.0 GiB do not fit an inline file \(2 GiB\); use layout 'external'"):
        regraft.save(model, tmp_path / "out.onnx", "inline")
    assert os.listdir(tmp_path) == ["m.onnx"]
    regraft.save(model, tmp_path / "out.onnx", "reference")
    again = regraft.load(tmp_path / "out.onnx")
    np.testing.assert_array_equal(again.graph.nodes[2].inputs[1].values[-1, -5:], [0, *tail])


@pytest.mark.slow
def test_an_inline_file_of_3_gib_is_written_as_external(tmp_path: Path) -> None:
    tail = sparse_file(tmp_path / "m.onnx", 3)
    regraft.save(regraft.load(tmp_path / "m.onnx"), tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").stat().st_size < 1000
    again = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    assert {e.value for t in again.graph.initializer for e in t.external_data if e.key == "location"} == {
        "out.onnx.data"
    }
    for node in regraft.load(tmp_path / "out.onnx").graph.nodes:
        np.testing.assert_array_equal(node.inputs[1].values[-1, -5:], [0, *tail])


# ------------------------------------------------------------------------------------------------ bad files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ONNX model"),
        (b"# a text file, no model\n" * 100, "not an ONNX model|truncated"),
        (b"hello", "not an ONNX model|truncated"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01" * 100, "not an ONNX model|truncated"),
        (b"PK\x03\x04" + bytes(2000), "not an ONNX model|truncated"),
        (bytes(3000), "not an ONNX model|truncated"),
        (b"<ir_version: 8>", "not an ONNX model|truncated"),
        (TensorProto(name="w", dims=[2], data_type=1, float_data=[1, 2]).SerializeToString(), "not an ONNX model"),
        (b"\x08\x0a", "no graph"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        regraft.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*m\.onnx: No such file"):
        regraft.load(tmp_path / "m.onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder; name the \.onnx file in it"):
        regraft.load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", small_model()).chmod(0)
    with pytest.raises(ModelError, match=r"cannot read .*m\.onnx: Permission denied"):
        regraft.load(tmp_path / "m.onnx")


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot read"):
        regraft.load("a" * 5000)
    with pytest.raises(ModelError, match="cannot read"):
        regraft.load("a\0b")


def test_every_truncation_is_refused_or_harmless(tmp_path: Path) -> None:
    data = small_model().SerializeToString()
    path = tmp_path / "m.onnx"
    refused = 0
    for stop in range(len(data)):
        path.write_bytes(data[:stop])
        try:
            model = regraft.load(path)
        except RegraftError:
            refused += 1
        else:
            assert to_proto(model).graph == to_proto(regraft.load(write(path, small_model()))).graph
    assert refused > 0.5 * len(data)


def test_a_truncated_weight_is_refused(tmp_path: Path) -> None:
    data = large_model().SerializeToString()
    for stop in random.Random(0).sample(range(200, len(data)), 50):
        (tmp_path / "m.onnx").write_bytes(data[:stop])
        with pytest.raises(ModelError, match=r"m\.onnx: truncated|m\.onnx: not an ONNX model"):
            regraft.load(tmp_path / "m.onnx")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_corrupt_bytes_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    original = data.draw(st.sampled_from([SMALL, LARGE_FILE]))
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(damaged), 1200) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    load_and_use(tmp_path_factory.getbasetemp() / "damaged.onnx", bytes(damaged))


SMALL = small_model().SerializeToString()
LARGE_FILE = large_model().SerializeToString()


def load_and_use(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refusal = ""
    try:
        model = regraft.load(path)
        verifier.check(model)
        regraft.save(model, path.with_name("again.onnx"))
        for node in model.nodes():
            for tensor in node.inputs:
                assert not hasattr(tensor, "lazy") or tensor.values.shape == tuple(tensor.shape)
    except RegraftError as error:
        refusal = str(error)
    assert "\n" not in refusal


def test_external_data_that_is_missing_names_file_and_tensor(tmp_path: Path) -> None:
    onnx.save(large_model(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"m\.onnx: tensor 'w': external data file .*w\.bin is missing"):
        regraft.load(tmp_path / "m.onnx")


def test_external_data_that_is_truncated_names_file_and_tensor(tmp_path: Path) -> None:
    onnx.save(large_model(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    os.truncate(tmp_path / "w.bin", 3999)
    with pytest.raises(ModelError, match=r"m\.onnx: tensor 'w': .*w\.bin is truncated: 3,999 bytes"):
        regraft.load(tmp_path / "m.onnx")


def test_a_tensor_of_a_node_is_named_by_its_node(tmp_path: Path) -> None:
    proto = small_model()
    proto.graph.node[0].name = "constant"
    proto.graph.node[0].attribute[0].t.dims[0] = 3
    with pytest.raises(ModelError, match=r"m\.onnx: node 'constant' \(Constant\): tensor '': has 2 values"):
        regraft.load(write(tmp_path / "m.onnx", proto))


def test_a_cycle_names_the_file(tmp_path: Path) -> None:
    proto = large_model()
    proto.graph.node[0].input[0] = "y"
    with pytest.raises(GraphError, match=r"m\.onnx: the graph has a cycle through node 'mul' \(Mul\)"):
        regraft.load(write(tmp_path / "m.onnx", proto))


def test_an_unsorted_graph_is_sorted(tmp_path: Path) -> None:
    proto = large_model()
    proto.graph.node.insert(0, helper.make_node("Relu", ["y"], ["z"]))
    model = regraft.load(write(tmp_path / "m.onnx", proto))
    assert [n.op for n in model.graph.nodes] == ["Mul", "Relu"]
