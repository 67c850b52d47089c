"""A graph's message taken apart: what there is much of stays bytes, which are cheaper to read than messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx

from regraft.files.wire import WireError, fields, read_varint

_NODE, _INITIALIZER, _VALUE_INFO = 1, 5, 13  # of GraphProto
_GRAPH = 7  # of ModelProto
_BYTES = 2  # the wire type of messages


class Parts(NamedTuple):
    """The fields of a graph; `rest` has those that have no place of their own here."""

    nodes: Sequence[bytes | onnx.NodeProto]
    initializers: Sequence[bytes | onnx.TensorProto]
    value_info: Sequence[bytes | onnx.ValueInfoProto]
    rest: onnx.GraphProto


def of_message(graph: onnx.GraphProto) -> Parts:
    """The parts of a graph that is a message already."""
    return Parts(graph.node, graph.initializer, graph.value_info, graph)


def of_bytes(data: bytes) -> tuple[onnx.ModelProto, Parts | None]:
    """A serialized model without its graph, and the parts of that; None where it has none.

    Raises:
        WireError: the bytes are not protobuf, or end too early.
        DecodeError: protobuf cannot parse the bytes.
    """
    rest: list[bytes] = []
    graph: list[bytes] = []
    for number, wire, begin, value, end in fields(data, 0, len(data)):
        if number == _GRAPH and wire == _BYTES:
            graph.append(data[value:end])
        else:
            rest.append(data[begin:end])
    model = onnx.ModelProto.FromString(b"".join(rest))
    return model, _split(b"".join(graph)) if graph else None  # a message that comes twice is the two joined


def _split(data: bytes) -> Parts:
    parts: dict[int, list[bytes]] = {_NODE: [], _INITIALIZER: [], _VALUE_INFO: []}
    by_tag = {number << 3 | _BYTES: found for number, found in parts.items()}
    rest: list[bytes] = []
    at, stop = 0, len(data)
    while at < stop:
        found = by_tag.get(data[at])
        if found is None:  # another field, or one of these with a tag that is longer than it need be
            number, wire, begin, value, end = next(fields(data, at, stop))
            if number in parts and wire == _BYTES:
                parts[number].append(data[value:end])
            else:
                rest.append(data[begin:end])
        else:
            size, value = read_varint(data, at + 1, stop)
            end = value + size
            if end > stop:
                raise WireError(f"truncated: the field at byte {at} ends at byte {end}, the data at {stop}")
            found.append(data[value:end])
        at = end
    return Parts(parts[_NODE], parts[_INITIALIZER], parts[_VALUE_INFO], onnx.GraphProto.FromString(b"".join(rest)))
