"""Fields that many nodes and values have alike, as bytes: each is written once, and merged into their messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import AttributeProto

from regraft.files.fields import to_info
from regraft.files.memo import Memo
from regraft.files.wire import LARGE, sized
from regraft.ir.graph import Constant, Node, Variable
from regraft.ir.weights import Held

_ATTRIBUTE, _METADATA = b"\x2a", b"\x4a"  # tags of NodeProto


class Encoder:
    """Gives the bytes of fields.

    Args:
        attribute: gives the message of an attribute.
    """

    def __init__(self, attribute: Callable[[str, Any], AttributeProto]):
        self._attribute = attribute
        self._attributes: dict[tuple[Any, ...], bytes] = {}
        self._entries = Memo(_entry)
        self._types: dict[tuple[Any, ...], bytes] = {}

    def attribute(self, name: str, value: Any) -> bytes | None:
        """An attribute of a node; None of a kind that hardly comes twice, or holds a graph or a large tensor."""
        kind = type(value)
        key: tuple[Any, ...]
        if kind is int or kind is str:
            key = name, kind, value
        elif kind is float:
            key = name, kind, value.hex()  # 0.0 is equal to -0.0
        elif kind is list and set(map(type, value)) == {int}:
            key = name, kind, *value
        elif kind is Constant and isinstance(value.lazy, Held) and value.nbytes < LARGE:
            key = name, value.name, value.lazy
        else:
            return None
        found = self._attributes.get(key)
        if found is None:
            found = self._attributes[key] = sized(_ATTRIBUTE, self._attribute(name, value).SerializeToString())
        return found

    def metadata(self, node: Node) -> bytes:
        """The metadata of a node."""
        entries = self._entries
        return b"".join([entries[pair] for pair in node.metadata.items()])

    def type(self, tensor: Variable) -> bytes:
        """The type of a tensor of which nothing else is known."""
        key = tensor.dtype, None if tensor.shape is None else tuple(tensor.shape)
        found = self._types.get(key)
        if found is None:
            found = self._types[key] = to_info(tensor).type.SerializeToString()
        return found


def _entry(pair: tuple[str, Any]) -> bytes:
    """An entry of metadata, as a field of a node."""
    key, value = pair
    return sized(_METADATA, onnx.StringStringEntryProto(key=key, value=str(value)).SerializeToString())
