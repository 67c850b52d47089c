"""The Open Inference Protocol, version 2, over HTTP: arrays to bodies and back, as JSON or as binary tensors.

A body is a JSON object, followed by the bytes of binary tensors in the order in which it names them; the header
`Inference-Header-Content-Length` then says where the JSON ends. A claim in a body never decides how much is allocated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from regraft.errors import RegraftError
from regraft.ir.weights import Array
from regraft.outside import parse_json
from regraft.verification.signature import Port
from regraft.wording import count

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON, where not all are."""

DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BYTES": np.dtype(object),
}
"""The protocol's names of dtypes; BYTES are ONNX's strings, which are UTF-8."""

_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
_JSON_TYPES: dict[str, set[type]] = {
    "b": {bool},
    "i": {int},
    "u": {int},
    "f": {int, float},
    "V": {int, float},
    "O": {str},
}
_PREFIX = 4  # bytes before each element of BYTES, its length
_RANK, _LARGEST = 64, 2**31  # numpy's most dimensions, and a bound that keeps their product a small number
_UNSUPPORTED = ("shared_memory_region", "classification")


class ProtocolError(RegraftError):
    """A body that breaks the protocol, or asks for something unsupported; the message names the field."""


class Wanted(NamedTuple):
    """An output that a request asks for.

    Attributes:
        binary: whether to send it after the JSON.
    """

    name: str
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """A request of a client.

    Attributes:
        id: repeated in the answer.
        outputs: the requested ones, in order; empty for all.
        parameters: of the request as a whole.
    """

    inputs: dict[str, Array]
    id: str | None = None
    outputs: tuple[Wanted, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Metadata:
    """The metadata of a model; a dimension of any size is None."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def datatype(dtype: np.dtype[Any] | None) -> str:
    """The protocol's name of a dtype. Raises ProtocolError where it has none."""
    if dtype is not None and dtype.kind in "US":
        return "BYTES"
    if dtype is None or dtype not in _NAMES:
        raise ProtocolError(f"the protocol has no name for dtype {dtype}; it has {', '.join(DATATYPES)}")
    return _NAMES[dtype]


def read_header_length(text: str | None) -> int | None:
    """The value of the header `Inference-Header-Content-Length`. Raises ProtocolError where it is no number."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ProtocolError(f"{HEADER_LENGTH}: must be a number of bytes, not '{text[:20]}'")
    return int(text)


def encode_request(
    inputs: Mapping[str, Array], outputs: Sequence[str] | None = None, binary: bool = True
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request.

    Args:
        outputs: those wanted; None: all.
        binary: send tensors, and ask for them, as binary data.

    Raises:
        ProtocolError: the protocol cannot express the dtype of an array, or JSON cannot express a value.
    """
    made: dict[str, Any] = {}
    if outputs is not None:
        made["outputs"] = [{"name": name, "parameters": {"binary_data": binary}} for name in outputs]
    elif binary:
        made["parameters"] = {"binary_data_output": True}
    return _encoded(made, "inputs", ((name, value, binary) for name, value in inputs.items()))


def decode_request(body: bytes, header_length: int | None = None) -> InferRequest:
    """The request in a body.

    Args:
        header_length: bytes of the JSON; None: all.

    Raises:
        ProtocolError: it is none.
    """
    content, raw = _parted(body, header_length)
    identity = content.get("id")
    if identity is not None and not isinstance(identity, str):
        raise ProtocolError("id: must be a string")
    parameters = _parameters(content, "request")
    default = _flag(parameters, "binary_data_output", False, "parameters")
    wanted = []
    for where, entry in _entries(content, "outputs") if "outputs" in content else ():
        wanted.append(Wanted(entry["name"], _flag(_parameters(entry, where), "binary_data", default, where)))
    return InferRequest(_tensors(content, "inputs", raw), identity, tuple(wanted), parameters)


def encode_response(
    model_name: str, request: InferRequest, outputs: Mapping[str, Array]
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the answer to a request, with the `outputs` that it asks for.

    Raises:
        ProtocolError: it asks for an output that does not exist, or one that the protocol cannot express.
    """
    default = bool(request.parameters.get("binary_data_output"))
    wanted = request.outputs or tuple(Wanted(name, default) for name in outputs)
    if unknown := [one.name for one in wanted if one.name not in outputs]:
        raise ProtocolError(f"outputs: no output named '{unknown[0]}'; known: {', '.join(outputs)}")
    made: dict[str, Any] = {"model_name": model_name}
    if request.id is not None:
        made["id"] = request.id
    return _encoded(made, "outputs", ((one.name, outputs[one.name], one.binary) for one in wanted))


def decode_response(body: bytes, header_length: int | None = None) -> dict[str, Array]:
    """The outputs in the body of an answer, by name. Raises ProtocolError where it is none."""
    content, raw = _parted(body, header_length)
    return _tensors(content, "outputs", raw)


def encode_metadata(metadata: Metadata, platform: str) -> bytes:
    """The body of a model's metadata. Raises ProtocolError where a dtype has no name."""
    described = {
        part: [{"name": p.name, "datatype": datatype(p.dtype), "shape": _sizes(p)} for p in getattr(metadata, part)]
        for part in ("inputs", "outputs")
    }
    return json.dumps({"name": metadata.name, "versions": ["1"], "platform": platform, **described}).encode()


def decode_metadata(body: bytes) -> Metadata:
    """Read the metadata of a model. Raises ProtocolError where the body is none."""
    content, _ = _parted(body, None)
    name = content.get("name")
    if not isinstance(name, str):
        raise ProtocolError("name: must be a string")
    inputs, outputs = (tuple(_port(*entry) for entry in _entries(content, part)) for part in ("inputs", "outputs"))
    return Metadata(name, inputs, outputs)


def _port(where: str, entry: dict[str, Any]) -> Port:
    shape = _shape(where, entry, least=-1)
    return Port(entry["name"], dtype=_dtype(where, entry), shape=tuple(None if dim < 0 else dim for dim in shape))


def _sizes(port: Port) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in port.shape or ()]


def _encoded(
    made: dict[str, Any], part: str, tensors: Iterable[tuple[str, Array, bool]]
) -> tuple[bytes, dict[str, str]]:
    listed: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for name, array, binary in tensors:
        try:
            kind = datatype(array.dtype)
        except ProtocolError as error:
            raise ProtocolError(f"{part} '{name}': {error}") from error
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": kind}
        if binary:
            chunks.append(_to_bytes(array, kind))
            entry["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            entry["data"] = _to_list(f"{part} '{name}'", array, kind)
        listed.append(entry)
    head = json.dumps({**made, part: listed}, separators=(",", ":")).encode()
    if not chunks:
        return head, {"Content-Type": "application/json"}
    return b"".join([head, *chunks]), {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}


def _to_bytes(array: Array, kind: str) -> bytes:
    if kind != "BYTES":
        return array.tobytes()
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.reshape(-1).tolist()]
    return b"".join(chain.from_iterable((len(text).to_bytes(_PREFIX, "little"), text) for text in texts))


def _to_list(where: str, array: Array, kind: str) -> list[Any]:
    flat = array.reshape(-1)
    if kind == "BYTES":
        return [_text(where, text) if isinstance(text, bytes) else str(text) for text in flat.tolist()]
    if kind.startswith(("FP", "BF")) and not np.isfinite(flat).all():
        raise ProtocolError(f"{where}: JSON has no infinity and no NaN; ask for binary data")
    return (flat.astype(np.float32) if kind == "BF16" else flat).tolist()


def _parted(body: bytes, header_length: int | None) -> tuple[dict[str, Any], bytes]:
    """The JSON object of a body, and the bytes after it."""
    size = len(body) if header_length is None else header_length
    if not 0 <= size <= len(body):
        raise ProtocolError(f"{HEADER_LENGTH}: says {count(size, 'byte')}, and the body has {len(body):,}")
    content = parse_json(body[:size], "the body is no JSON", ProtocolError)
    if not isinstance(content, dict):
        raise ProtocolError("the body must be a JSON object")
    return content, body[size:]


def _tensors(content: dict[str, Any], part: str, raw: bytes) -> dict[str, Array]:
    """The tensors of a part of the JSON and of the bytes after it, by name."""
    made: dict[str, Array] = {}
    start = 0
    for where, entry in _entries(content, part):
        dtype, shape = _dtype(where, entry), _shape(where, entry)
        size = _parameters(entry, where).get("binary_data_size")
        if size is None:
            flat = _from_list(where, entry, dtype, shape)
        elif type(size) is not int or not 0 <= size <= len(raw) - start:
            raise ProtocolError(f"{where}: binary_data_size must be bytes, of which {len(raw) - start} are left")
        elif "data" in entry:
            raise ProtocolError(f"{where}: has both data and binary_data_size")
        else:
            flat = _from_bytes(where, raw[start : start + size], dtype, math.prod(shape))
            start += size
        try:
            made[entry["name"]] = flat.reshape(shape)
        except ValueError as error:  # an empty array whose other dimensions overflow
            raise ProtocolError(f"{where}: shape {shape} is none of an array") from error
    if start != len(raw):
        raise ProtocolError(f"{part}: {count(len(raw) - start, 'byte')} behind the JSON, of no tensor")
    return made


def _entries(content: dict[str, Any], part: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tensors that a part names, and the field of each."""
    entries = content.get(part)
    if not isinstance(entries, list):
        raise ProtocolError(f"{part}: must be a list of tensors")
    names: set[str] = set()
    for place, entry in enumerate(entries):
        where = f"{part}[{place}]"
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise ProtocolError(f"{where}: must be an object with a name")
        if name in names:
            raise ProtocolError(f"{where}: '{name}' is there twice")
        names.add(name)
        yield f"{where} '{name}'", entry


def _parameters(entry: dict[str, Any], where: str) -> dict[str, Any]:
    found = entry.get("parameters", {})
    if not isinstance(found, dict) or not all(isinstance(value, bool | int | float | str) for value in found.values()):
        raise ProtocolError(f"{where}: parameters must be an object of strings, numbers, true and false")
    if there := [name for name in _UNSUPPORTED if name in found]:
        raise ProtocolError(f"{where}: the parameter '{there[0]}' is not supported")
    return found


def _flag(parameters: dict[str, Any], name: str, default: bool, where: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise ProtocolError(f"{where}: {name} must be true or false")
    return value


def _dtype(where: str, entry: dict[str, Any]) -> np.dtype[Any]:
    name = entry.get("datatype")
    if not isinstance(name, str) or name not in DATATYPES:
        raise ProtocolError(f"{where}: datatype must be one of {', '.join(DATATYPES)}")
    return DATATYPES[name]


def _shape(where: str, entry: dict[str, Any], least: int = 0) -> list[int]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(type(dim) is int and least <= dim < _LARGEST for dim in shape):
        raise ProtocolError(f"{where}: shape must be a list of whole numbers from {least} on, below {_LARGEST:,}")
    if len(shape) > _RANK:
        raise ProtocolError(f"{where}: shape has {count(len(shape), 'dimension')}, and may have {_RANK}")
    return shape


def _from_list(where: str, entry: dict[str, Any], dtype: np.dtype[Any], shape: list[int]) -> Array:
    """The elements of a list, flat or nested as the shape says."""
    data = entry.get("data")
    if not isinstance(data, list):
        raise ProtocolError(f"{where}: has neither data, a list, nor binary_data_size")
    if data and isinstance(data[0], list):
        data = list(_unnested(where, data, shape))
    if len(data) != math.prod(shape):
        raise ProtocolError(f"{where}: data has {count(len(data), 'element')}, and shape {shape} {math.prod(shape):,}")
    if not set(map(type, data)) <= _JSON_TYPES[dtype.kind]:
        raise ProtocolError(f"{where}: data has an element that is no {_NAMES[dtype]}")
    try:
        if dtype.kind == "O":
            "".join(data).encode()
        with np.errstate(over="ignore"):
            made = np.array(data, np.float64 if dtype.kind in "fV" else dtype).astype(dtype)
    except UnicodeEncodeError as error:
        raise ProtocolError(f"{where}: data has a lone surrogate, which UTF-8 has not") from error
    except OverflowError as error:
        raise ProtocolError(f"{where}: data has a number that {_NAMES[dtype]} cannot hold") from error
    if dtype.kind in "fV" and not np.isfinite(made).all():
        raise ProtocolError(f"{where}: data has a number that {_NAMES[dtype]} cannot hold")
    return made


def _unnested(where: str, data: list[Any], shape: list[int]) -> list[Any]:
    for depth, dim in enumerate(shape):
        parts = [data] if not depth else data
        if not all(isinstance(part, list) and len(part) == dim for part in parts):
            raise ProtocolError(f"{where}: data is not nested as shape {shape} says, at axis {depth}")
        data = list(chain.from_iterable(parts))
    return data


def _from_bytes(where: str, raw: bytes, dtype: np.dtype[Any], elements: int) -> Array:
    if dtype.kind == "O":
        return _from_texts(where, raw, elements)
    if len(raw) != elements * dtype.itemsize:
        raise ProtocolError(
            f"{where}: {count(len(raw), 'byte')}, where its shape and datatype take {elements * dtype.itemsize:,}"
        )
    if dtype.kind == "b" and raw.strip(b"\0\1"):
        raise ProtocolError(f"{where}: a byte of BOOL is 0 or 1")
    return np.frombuffer(raw, dtype)


def _from_texts(where: str, raw: bytes, elements: int) -> Array:
    texts: list[str] = []
    start = 0
    while start < len(raw) and len(texts) < elements:
        end = start + _PREFIX + int.from_bytes(raw[start : start + _PREFIX], "little")
        if end > len(raw):
            raise ProtocolError(f"{where}: element {len(texts)} of BYTES ends behind the data")
        texts.append(_text(where, raw[start + _PREFIX : end]))
        start = end
    if start != len(raw) or len(texts) != elements:
        raise ProtocolError(f"{where}: its data does not have the {count(elements, 'element')} that its shape says")
    return np.array(texts, object)


def _text(where: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{where}: an element of BYTES is not UTF-8") from error
