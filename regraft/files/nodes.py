"""Nodes from their bytes.

Most nodes of a file are alike but for their names: what comes after those is read once, as a message, and its bytes are
the key to it. Documentation and metadata, which differ, are cut out before. A node that is written in another way than
by protobuf itself, or that has bodies, is left to its message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import onnx
from onnx import AttributeProto

from regraft.files.fields import text
from regraft.files.memo import Memo
from regraft.files.protobuf import WireError, read_varint
from regraft.files.scope import Scope
from regraft.ir.graph import Constant, Node, TypedList

_INPUT, _OUTPUT, _NAME, _OP_TYPE, _ATTRIBUTE, _DOC, _DOMAIN, _OVERLOAD, _METADATA = (n << 3 | 2 for n in range(1, 10))
"""The tags of the fields of NodeProto; all of them are texts or messages."""

_ALIKE = frozenset({_OP_TYPE, _ATTRIBUTE, _DOMAIN, _OVERLOAD})
_SHORT = 128  # bytes; a longer rest has metadata, or an attribute that hardly comes twice

_SHARED = frozenset({AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING})
_COPIED = frozenset({AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS, AttributeProto.TENSOR})


class _Kind(NamedTuple):
    """What nodes have in common."""

    op: str
    domain: str | None
    overload: str
    attrs: dict[str, Any]
    copied: list[str]  # those of `attrs` that every node has its own of


class NodeReader:
    """Reads the nodes of one graph or function.

    Args:
        attributes: gives those of a message.
        domain: gives the domain of an operator that has none in the file.
    """

    def __init__(
        self,
        attributes: Callable[[onnx.NodeProto], dict[str, Any]],
        domain: Callable[[onnx.NodeProto], str | None],
    ):
        self._attributes, self._domain = attributes, domain
        self._kinds: dict[bytes, _Kind | None] = {}
        self._pairs = Memo(_pair)

    def read(self, data: bytes, scope: Scope) -> Node | None:
        """The node; None where it takes its message to tell.

        Raises:
            ModelError: an attribute is damaged.
        """
        inputs: list[str] = []
        outputs: list[str] = []
        name = ""
        at, end = 0, len(data)
        try:
            while at < end:
                tag = data[at]
                if tag > _NAME:
                    break
                size, begin = data[at + 1], at + 2
                if size > 127:
                    size, begin = read_varint(data, at + 1, end)
                at = begin + size
                if at > end:
                    return None
                said = data[begin:at].decode()
                if tag == _INPUT:
                    inputs.append(said)
                elif tag == _OUTPUT:
                    outputs.append(said)
                elif tag == _NAME:
                    name = said
                else:
                    return None
            rest = data[at:]
            kind, doc, metadata = self._kinds.get(rest) if end - at < _SHORT else None, "", None
            if kind is None:
                parts = self._cut(rest)
                if parts is None:
                    return None
                alike, doc, metadata = parts
                kind = self._kinds.get(alike) or self._kind(alike, name)
                if kind is None:
                    return None
        except (IndexError, UnicodeDecodeError, WireError):
            return None  # damaged: the message says how
        op, domain, overload, attrs, copied = kind
        known = scope.tensors.get
        read = [known(said) or scope.read(said) for said in inputs]
        if copied:
            attrs = {**attrs, **{key: _fresh(attrs[key]) for key in copied}}
        node = Node(op, name, attrs, read, [scope.write(said) for said in outputs], domain)
        if overload:
            node.overload = overload
        if doc:
            node.doc_string = doc
        if metadata:
            node.metadata = metadata
        return node

    def _cut(self, data: bytes) -> tuple[bytes, str, dict[str, str]] | None:
        """What follows the names but for documentation and metadata, and those; None where there is more in it."""
        alike, doc = b"", ""
        metadata: dict[str, str] = {}
        pairs = self._pairs
        at, end = 0, len(data)
        while at < end:
            start, tag, size = at, data[at], data[at + 1]
            if size < 0x80:
                begin = at + 2
            elif data[at + 2] < 0x80:
                size, begin = size & 0x7F | data[at + 2] << 7, at + 3
            else:
                size, begin = read_varint(data, at + 1, end)
            at = begin + size
            if at > end:
                return None
            if tag == _METADATA:
                entry = data[begin:at]
                key, value = pairs[entry]
                metadata[key] = value
            elif tag in _ALIKE:
                alike += data[start:at]
            elif tag == _DOC:
                doc = data[begin:at].decode()
            else:
                return None
        return alike, doc, metadata

    def _kind(self, data: bytes, name: str) -> _Kind | None:
        """What the rest of a node says; None where nodes cannot have it in common."""
        if data not in self._kinds:
            self._kinds[data] = self._read(onnx.NodeProto.FromString(data), name)
        return self._kinds[data]

    def _read(self, proto: onnx.NodeProto, name: str) -> _Kind | None:
        shared = all(
            (a.type in _SHARED or a.type in _COPIED or a.ref_attr_name) and not a.doc_string for a in proto.attribute
        )
        if not shared:
            return None
        proto.name = name
        attrs = self._attributes(proto)
        copied = [key for key, value in attrs.items() if isinstance(value, list | Constant)]
        return _Kind(text(proto.op_type), self._domain(proto), text(proto.overload), attrs, copied)


def _pair(data: bytes) -> tuple[str, str]:
    """An entry of metadata."""
    entry = onnx.StringStringEntryProto.FromString(data)
    key, value = entry.key, entry.value
    return key if type(key) is str else text(key), value if type(value) is str else text(value)


def _fresh(value: Any) -> Any:
    """A list or a constant that is equal, for a node of its own."""
    if isinstance(value, Constant):
        return Constant(value.name, value.lazy)
    return TypedList(value.type) if isinstance(value, TypedList) else list(value)
