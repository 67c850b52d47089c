"""Bodies of the Open Inference Protocol: round trips, tritonclient's own, and hostile ones."""

from __future__ import annotations

import json
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from regraft.serving.protocol import (
    DATATYPES,
    HEADER_LENGTH,
    InferRequest,
    Metadata,
    ProtocolError,
    Wanted,
    decode_metadata,
    decode_request,
    decode_response,
    encode_metadata,
    encode_request,
    encode_response,
    read_header_length,
)
from regraft.verification.signature import Port

_NUMBERS = {name: dtype for name, dtype in DATATYPES.items() if name not in ("BYTES", "BF16")}
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def _tensors(finite: bool) -> st.SearchStrategy[np.ndarray]:
    shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    numbers = st.sampled_from(list(_NUMBERS.values())).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            shapes,
            elements={"allow_nan": not finite, "allow_infinity": not finite} if dtype.kind == "f" else None,
        )
    )
    brains = arrays.arrays(np.float32, shapes, elements=st.integers(-256, 256).map(float)).map(
        lambda array: array.astype(ml_dtypes.bfloat16)
    )
    return st.one_of(numbers, brains, arrays.arrays(object, shapes, elements=_TEXTS))


def _length(headers: dict[str, str]) -> int | None:
    return read_header_length(headers.get(HEADER_LENGTH))


def _assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name])


@given(st.dictionaries(_TEXTS.filter(bool), _tensors(finite=False), max_size=3))
def test_binary_round_trip(tensors):
    body, headers = encode_request(tensors)
    request = decode_request(body, _length(headers))
    _assert_same(tensors, request.inputs)
    body, headers = encode_response("model", request, tensors)
    _assert_same(tensors, decode_response(body, _length(headers)))


@given(st.dictionaries(_TEXTS.filter(bool), _tensors(finite=True), max_size=3))
def test_json_round_trip(tensors):
    body, headers = encode_request(tensors, binary=False)
    request = decode_request(body, _length(headers))
    _assert_same(tensors, request.inputs)
    body, headers = encode_response("model", request, tensors)
    assert headers["Content-Type"] == "application/json"
    _assert_same(tensors, decode_response(body, _length(headers)))


@given(st.binary(max_size=200), st.none() | st.integers(-2, 300))
def test_any_bytes_are_read_or_refused(body, length):
    with pytest.raises(ProtocolError):
        decode_request(body, length)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["INT64", "BYTES", "x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size"]), inner, max_size=6
        )
    ),
    max_leaves=12,
)


@given(_ANYTHING, _ANYTHING, _ANYTHING, st.binary(max_size=9))
def test_any_json_is_read_or_refused(inputs, outputs, parameters, raw):
    head = json.dumps({"inputs": inputs, "outputs": outputs, "parameters": parameters}).encode()
    with suppress(ProtocolError):
        assert isinstance(decode_request(head + raw, len(head)), InferRequest)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", [*_NUMBERS, "BYTES"])
def test_tritonclient_asks_and_reads(name, binary):
    http = pytest.importorskip("tritonclient.http")
    dtype = DATATYPES[name]
    array = np.array([["a", "é"], ["", "b"]], object) if name == "BYTES" else np.array([[0, 1], [1, 0]], dtype)
    tensor = http.InferInput("x", list(array.shape), name)
    tensor.set_data_from_numpy(array, binary_data=binary)
    wanted = [http.InferRequestedOutput("x", binary_data=binary)]
    client = http.InferenceServerClient
    body, length = client.generate_request_body([tensor], outputs=wanted, request_id="7", priority=3)
    request = decode_request(body, length)
    assert (request.id, request.outputs, request.parameters) == ("7", (Wanted("x", binary),), {"priority": 3})
    _assert_same({"x": array}, request.inputs)

    body, headers = encode_response("model", request, {"x": array, "unasked": array})
    result = client.parse_response_body(body, header_length=_length(headers))
    given = result.as_numpy("x")
    if name == "BYTES" and binary:
        given = np.vectorize(bytes.decode, otypes=[object])(given)
    np.testing.assert_array_equal(given, array)
    assert result.get_response()["id"] == "7"
    assert result.as_numpy("unasked") is None


def test_tritonclient_without_outputs_gets_all_as_binary():
    http = pytest.importorskip("tritonclient.http")
    tensor = http.InferInput("x", [1], "BF16").set_data_from_numpy(np.ones(1, ml_dtypes.bfloat16))
    body, length = http.InferenceServerClient.generate_request_body([tensor])
    request = decode_request(body, length)
    body, headers = encode_response("model", request, {"a": request.inputs["x"], "b": np.zeros(2, np.float16)})
    result = http.InferenceServerClient.parse_response_body(body, header_length=_length(headers))
    assert result.as_numpy("a").tolist() == [1.0]
    assert result.as_numpy("b").dtype == np.float16


def test_nested_lists_and_mixed_tensors():
    head = {
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [3, 4]]},
            {"name": "b", "datatype": "INT16", "shape": [1], "parameters": {"binary_data_size": 2}},
        ],
        "outputs": [{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(head).encode()
    request = decode_request(text + b"\2\1", len(text))
    assert request.inputs["a"].tolist() == [[1, 2.5], [3, 4]]
    assert request.inputs["b"].tolist() == [258]
    assert request.outputs == (Wanted("y", True), Wanted("z", False))


def _request(**changes: object) -> bytes:
    tensor = {"name": "x", "datatype": "INT64", "shape": [2], "data": [1, 2]} | changes
    return json.dumps({"inputs": [{k: v for k, v in tensor.items() if v is not ...}]}).encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "inputs: must be a list"),
        (b"[" * 100_000, "nested more than 100 deep"),
        (b'{"inputs": ' + b"[" * 100_000, "nested more than 100 deep"),
        (b'{"inputs": [], "id": 7}', "id: must be a string"),
        (b'{"inputs": [], "parameters": []}', "parameters must be an object"),
        (b'{"inputs": [], "parameters": {"a": null}}', "parameters must be an object"),
        (b'{"inputs": [], "parameters": {"binary_data_output": 1}}', "must be true or false"),
        (b'{"inputs": [], "outputs": null}', "outputs: must be a list"),
        (b'{"inputs": [], "outputs": [{"name": "y"}, {"name": "y"}]}', "'y' is there twice"),
        (b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}', "not supported"),
        (b'{"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": 0}}]}', "must be true or false"),
        (b'{"inputs": [{"name": ""}]}', "an object with a name"),
        (b'{"inputs": [7]}', "inputs[0]: must be an object"),
        (_request(name=None), "an object with a name"),
        (_request(datatype="INT128"), "inputs[0] 'x': datatype must be one of BOOL"),
        (_request(datatype=["INT64"]), "datatype must be one of"),
        (_request(shape=2), "shape must be a list"),
        (_request(shape=[-2]), "shape must be a list"),
        (_request(shape=[True, 2]), "shape must be a list"),
        (_request(shape=[2.0]), "shape must be a list"),
        (_request(shape=[2**62]), "shape must be a list"),
        (_request(shape=[1] * 65 + [2]), "66 dimensions"),
        (_request(shape=[2**30] * 60), "data has 2 elements"),
        (_request(shape=[0] + [2**30] * 60, data=[]), "is none of an array"),
        (_request(shape=[3]), "data has 2 elements"),
        (_request(shape=[2, 1]), None),
        (_request(shape=[1, 2], data=[[1], [2]]), "not nested as shape"),
        (_request(shape=[2, 1], data=[[1], 2]), "not nested as shape"),
        (_request(shape=[], data=[[1]]), "no INT64"),
        (_request(data="12"), "neither data, a list"),
        (_request(data=...), "neither data, a list"),
        (_request(data=[1, True]), "no INT64"),
        (_request(data=[1, 2.0]), "no INT64"),
        (_request(data=[1, None]), "no INT64"),
        (_request(data=[1, 2**63]), "cannot hold"),
        (_request(datatype="UINT8", data=[1, -1]), "cannot hold"),
        (_request(datatype="BOOL", data=[0, 1]), "no BOOL"),
        (_request(datatype="FP32", data=["1", "2"]), "no FP32"),
        (_request(datatype="FP32", data=[1, float("nan")]), "cannot hold"),
        (_request(datatype="FP32", data=[1, float("inf")]), "cannot hold"),
        (_request(datatype="FP32", data=[1, 1e39]), "cannot hold"),
        (_request(datatype="FP16", data=[1, 70000]), "cannot hold"),
        (_request(datatype="FP64", data=[1, 10**400]), "cannot hold"),
        (_request(datatype="FP32", data=[1, 7]).replace(b"7", b"1e999"), "cannot hold"),
        (_request(datatype="BYTES", data=[1, 2]), "no BYTES"),
        (_request(datatype="BYTES", data=["a", "\ud800"]), "lone surrogate"),
        (_request(data=[1, 7]).replace(b"7", b"7" * 5000), "no JSON"),
        (_request(parameters={"binary_data_size": 16}), "of which 0 are left"),
        (_request(parameters={"shared_memory_region": "a"}), "not supported"),
        ((_request()[:-2] + b', {"name": "x", "datatype": "INT64", "shape": [0], "data": []}]}'), "'x' is there twice"),
    ],
)
def test_what_a_request_says_wrong_is_named(body, says):
    if says is None:
        assert decode_request(body).inputs["x"].tolist() == [[1], [2]]
        return
    with pytest.raises(ProtocolError, match=r"^[^\n]+$") as caught:
        decode_request(body)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "raw", "says"),
    [
        ({"parameters": {"binary_data_size": 16}, "data": ...}, b"\0" * 15, "of which 15 are left"),
        ({"parameters": {"binary_data_size": 16}, "data": ...}, b"\0" * 17, "1 byte behind the JSON"),
        ({"parameters": {"binary_data_size": 8}, "data": ...}, b"\0" * 8, "8 bytes, where its shape"),
        ({"parameters": {"binary_data_size": -1}, "data": ...}, b"", "must be bytes"),
        ({"parameters": {"binary_data_size": 16.0}, "data": ...}, b"\0" * 16, "must be bytes"),
        ({"parameters": {"binary_data_size": True}, "data": ...}, b"\0", "must be bytes"),
        ({"parameters": {"binary_data_size": 16}}, b"\0" * 16, "both data and"),
        ({}, b"\0", "1 byte behind the JSON"),
        ({"datatype": "BOOL", "data": ..., "parameters": {"binary_data_size": 2}}, b"\1\2", "0 or 1"),
        ({"datatype": "BYTES", "data": ..., "parameters": {"binary_data_size": 5}}, b"\2\0\0\0a", "ends behind"),
        ({"datatype": "BYTES", "data": ..., "parameters": {"binary_data_size": 5}}, b"\1\0\0\0a", "the 2 elements"),
        ({"datatype": "BYTES", "data": ..., "parameters": {"binary_data_size": 3}}, b"\0\0\0", "ends behind"),
        ({"datatype": "BYTES", "data": ..., "parameters": {"binary_data_size": 5}}, b"\1\0\0\0\xff", "not UTF-8"),
        ({"shape": [2**30] * 3, "data": ..., "parameters": {"binary_data_size": 8}}, b"\0" * 8, "8 bytes, where"),
    ],
)
def test_bytes_that_disagree_with_the_json_are_refused(changes, raw, says):
    head = _request(**changes)
    with pytest.raises(ProtocolError) as caught:
        decode_request(head + raw, len(head))
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["-1", "1.5", "", " 7", "٧", "9" * 30])
def test_a_header_length_is_a_number(text):
    with pytest.raises(ProtocolError, match=HEADER_LENGTH):
        read_header_length(text)


@pytest.mark.parametrize("length", [-1, 999])
def test_a_header_length_lies_within_the_body(length):
    with pytest.raises(ProtocolError, match=HEADER_LENGTH):
        decode_request(_request(), length)


def test_what_cannot_be_said_is_an_error():
    request = InferRequest({})
    with pytest.raises(ProtocolError, match="outputs 'y': JSON has no infinity"):
        encode_response("model", request, {"y": np.array([np.inf], np.float32)})
    with pytest.raises(ProtocolError, match="outputs 'y': the protocol has no name for dtype complex64"):
        encode_response("model", request, {"y": np.zeros(1, np.complex64)})
    with pytest.raises(ProtocolError, match="no output named 'z'; known: y"):
        encode_response("model", InferRequest({}, outputs=(Wanted("z", True),)), {"y": np.zeros(1)})


def test_metadata_round_trip():
    said = Metadata(
        "model",
        (Port("ids", dtype=np.dtype(np.int64), shape=(None, 16)),),
        (Port("y", dtype=np.dtype(ml_dtypes.bfloat16), shape=()),),
    )
    assert decode_metadata(encode_metadata(said, "onnxruntime_onnx")) == said
    with pytest.raises(ProtocolError, match="name: must be a string"):
        decode_metadata(b"{}")
    with pytest.raises(ProtocolError, match="shape must be"):
        decode_metadata(b'{"name": "m", "inputs": [{"name": "x", "datatype": "BOOL", "shape": [-2]}], "outputs": []}')
