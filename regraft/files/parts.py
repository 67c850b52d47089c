"""A graph's message taken apart: what there is much of stays bytes, which are cheaper to read than messages."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import onnx

from regraft.files.protobuf import BYTES, WireError, fields, read_varint

_NODE, _INITIALIZER, _VALUE_INFO = 1, 5, 13  # of GraphProto
_GRAPH = 7  # of ModelProto


class Parts(NamedTuple):
    """The fields of a graph; `rest` has those that have no place of their own here."""

    nodes: Iterable[bytes | onnx.NodeProto]
    initializers: Iterable[bytes | onnx.TensorProto]
    value_info: Iterable[bytes | onnx.ValueInfoProto]
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
    graph: list[tuple[int, int]] = []  # a message that comes twice is the two joined
    for number, wire, begin, value, end in fields(data, 0, len(data)):
        if number == _GRAPH and wire == BYTES:
            graph.append((value, end))
        else:
            rest.append(data[begin:end])
    return onnx.ModelProto.FromString(b"".join(rest)), _split(data, graph) if graph else None


class _Slices:
    """Parts of some bytes, each taken out when its turn comes."""

    def __init__(self, data: bytes):
        self._data = data
        self._starts, self._ends = array("q"), array("q")

    def add(self, start: int, end: int) -> None:
        self._starts.append(start)
        self._ends.append(end)

    def __iter__(self) -> Iterator[bytes]:
        data = self._data
        return (data[start:end] for start, end in zip(self._starts, self._ends, strict=True))


def _split(data: bytes, ranges: list[tuple[int, int]]) -> Parts:
    nodes, initializers, value_info = (_Slices(data) for _ in range(3))
    parts = {_NODE: nodes, _INITIALIZER: initializers, _VALUE_INFO: value_info}
    by_tag = {number << 3 | BYTES: found for number, found in parts.items()}
    rest: list[bytes] = []
    for start, stop in ranges:
        at = start
        while at < stop:
            found = by_tag.get(data[at])
            if found is None:  # another field, or one of these with a tag that is longer than it need be
                number, wire, begin, value, end = next(fields(data, at, stop))
                if number in parts and wire == BYTES:
                    parts[number].add(value, end)
                else:
                    rest.append(data[begin:end])
            else:
                size, value = read_varint(data, at + 1, stop)
                end = value + size
                if end > stop:
                    raise WireError(f"truncated: the field at byte {at} ends at byte {end}, the data at {stop}")
                found.add(value, end)
            at = end
    return Parts(nodes, initializers, value_info, onnx.GraphProto.FromString(b"".join(rest)))
