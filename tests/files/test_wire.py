from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from regraft.errors import ModelError
from regraft.files import wire

LARGE = np.arange(wire.LARGE, dtype=np.float32)
SMALL = np.arange(4, dtype=np.float32)


def model(*nodes: onnx.NodeProto, tensors: tuple[TensorProto, ...] = (), **fields: object) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "g", [], [], list(tensors))
    return helper.make_model(graph, **fields)


def typed(name: str, kind: int, values: np.ndarray) -> TensorProto:
    """A tensor whose values stand in `float_data`, `int64_data` and so on, not in `raw_data`."""
    return helper.make_tensor(name, kind, values.shape, values.ravel().tolist())


def stripped(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, bytes]:
    data = proto.SerializeToString()
    return onnx.ModelProto.FromString(wire.strip(data)), data


def stored(tensor: TensorProto, data: bytes) -> bytes:
    entries = {e.key: e.value for e in tensor.external_data}
    assert tensor.data_location == TensorProto.EXTERNAL
    assert entries["location"] == wire.INLINE
    start = int(entries["offset"])
    return data[start : start + int(entries["length"])]


@pytest.mark.parametrize(
    "tensor",
    [
        numpy_helper.from_array(LARGE, "w"),
        typed("w", TensorProto.FLOAT, LARGE),
        typed("w", TensorProto.DOUBLE, LARGE.astype(np.float64)),
        typed("w", TensorProto.COMPLEX64, LARGE.astype(np.complex64)),
    ],
    ids=["raw", "float_data", "double_data", "complex"],
)
def test_a_large_tensor_becomes_a_reference_to_its_bytes(tensor: TensorProto) -> None:
    values = numpy_helper.to_array(tensor)
    header, data = stripped(model(tensors=(tensor,)))
    left = header.graph.initializer[0]
    assert stored(left, data) == values.tobytes()
    assert (left.name, left.dims, left.data_type) == (tensor.name, tensor.dims, tensor.data_type)
    assert header.ByteSize() < 300


@pytest.mark.parametrize(
    "tensor",
    [
        numpy_helper.from_array(SMALL, "w"),
        typed("w", TensorProto.INT64, np.arange(5000)),
        typed("w", TensorProto.INT32, np.arange(5000, dtype=np.int32)),
        helper.make_tensor("w", TensorProto.STRING, [2], [b"a" * 3000, b"b"]),
    ],
    ids=["small", "int64 varints", "int32 varints", "strings"],
)
def test_a_tensor_that_is_small_or_no_plain_bytes_stays(tensor: TensorProto) -> None:
    proto = model(tensors=(tensor,))
    header, _ = stripped(proto)
    assert header == proto


def test_unpacked_float_data_stays() -> None:
    # protobuf parses both encodings of a repeated field: here, one tag before each float
    floats = b"".join(b"\x25" + value.tobytes() for value in LARGE)
    tensor = b"\x08\x80\x08\x10\x01" + floats + b"\x42\x01w"
    length = len(tensor)
    graph = b"\x2a" + bytes([length & 0x7F | 0x80, length >> 7]) + tensor
    length = len(graph)
    data = b"\x08\x0a" + b"\x3a" + bytes([length & 0x7F | 0x80, length >> 7]) + graph
    header = onnx.ModelProto.FromString(wire.strip(data))
    np.testing.assert_array_equal(numpy_helper.to_array(header.graph.initializer[0]), LARGE)


def test_tensors_are_found_at_any_depth() -> None:
    w = numpy_helper.from_array(LARGE, "w")
    constant = helper.make_node("Constant", [], ["c"], value=w)
    several = helper.make_node("F", [], [], domain="d", ws=[w, w])
    inner = helper.make_graph([constant], "inner", [], [], [w])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    graphs = helper.make_node("F", [], [], domain="d", gs=[helper.make_graph([branch], "outer", [], [])])
    default = helper.make_attribute("a", w)
    function = helper.make_function("d", "F", [], ["c"], [constant], [], [], [default])
    header, _ = stripped(model(constant, several, branch, graphs, functions=[function]))
    assert header.ByteSize() < 2000
    assert header.SerializeToString().count(wire.INLINE.encode()) == 1 + 2 + 4 + 4 + 2


def test_sparse_tensors_and_training_stay_whole() -> None:
    indices = numpy_helper.from_array(np.arange(LARGE.size), "")
    sparse = helper.make_sparse_tensor(numpy_helper.from_array(LARGE, "s"), indices, [5000])
    proto = model(helper.make_node("Constant", [], ["c"], sparse_value=sparse))
    proto.graph.sparse_initializer.append(sparse)
    proto.training_info.add().algorithm.initializer.append(numpy_helper.from_array(LARGE, "w"))
    header, _ = stripped(proto)
    assert header == proto


def test_splice_is_the_inverse_of_leaving_values_out() -> None:
    values = [LARGE, LARGE * 2]
    tensors = [numpy_helper.from_array(SMALL, f"{wire.reference(7)}")]
    for index, value in enumerate(values):
        tensor = TensorProto(name=f"w{index}", dims=value.shape, data_type=1, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=wire.reference(index))
        assert wire.slot(tensor) == index
        tensors.append(tensor)
    header = model(tensors=tuple(tensors))
    pieces = wire.splice(header.SerializeToString(), [v.nbytes for v in values])
    data = b"".join(values[p.index].tobytes() if isinstance(p, wire.Slot) else p for p in pieces)
    loaded = onnx.ModelProto.FromString(data).graph.initializer
    for tensor, value in zip(loaded, [SMALL, *values], strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), value)
        assert tensor.data_location == TensorProto.DEFAULT
    assert loaded[0].name == wire.reference(7)


def test_slot_of_another_tensor_is_none() -> None:
    tensor = TensorProto()
    tensor.external_data.add(key="location", value="model.data")
    assert wire.slot(tensor) is None


def test_deep_nesting_is_refused() -> None:
    data = b"x" * wire.LARGE
    for tag in [b"\x32", b"\x2a", b"\x0a"] * 2000 + [b"\x3a"]:  # graph, attribute, node, ... of the model
        data = tag + wire._varint(len(data)) + data
    with pytest.raises(ModelError, match="nested more than 100 deep"):
        wire.strip(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
@example(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" * 200)
@example(b"# a text file\n" * 200)
def test_arbitrary_bytes_strip_or_are_refused(data: bytes) -> None:
    try:
        left = wire.strip(data)
    except ModelError:
        return
    assert len(left) <= len(data)
