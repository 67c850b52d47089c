"""Which calls are alike: what inference says of one holds for the other."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import onnx

from regraft.files.exporter import Exporter
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.node import PLAIN
from regraft.shapes.facts import Fact
from regraft.shapes.inference import small_array
from regraft.shapes.op_call import Call

_READ_FLOATS = frozenset({"Range", "Resize", "Upsample"})
"""ONNX's operators whose shapes depend on the value of an input of floats; of other domains' nothing is known."""

_NOT_AT_ONCE = _READ_FLOATS | {"Cast", "CastLike", "Constant"}
"""Operators of which the facts of the inputs do not say all: elements are told from floats too."""


class Keys:
    """Keys of calls. What is equal gets one number, so that a key is a few numbers, and is found without reading."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._seen: dict[tuple[int, int, bool], tuple[Any, int]] = {}  # by identity of what is kept there
        self._held: list[Fact] = []

    def forget(self) -> None:
        """Hold on to no value and no fact; what is equal keeps its number. Keys of `at_once` mean nothing any more."""
        self._seen.clear()
        self._held.clear()

    def at_once(self, node: Node, opset: int, inputs: list[Fact]) -> Hashable:
        """A key from the identity of facts, for most nodes; None for one with which there is more to it.

        A fact that holds for one of two nodes with the same key holds for the other, where `of` gives them one key.
        """
        outputs = node.outputs
        if len(outputs) != 1 or node.op in _NOT_AT_ONCE or node.domain:
            return None
        if not outputs[0].name or isinstance(outputs[0], Constant):
            return None
        attrs = plain(node.attrs) if node.attrs else ()
        return None if attrs is None else (node.op, opset, attrs, *map(id, inputs))

    def hold(self, inputs: list[Fact]) -> None:
        """Let no other fact get the identity of one of `inputs`, which a key speaks of."""
        self._held += inputs

    def of(self, call: Call) -> Hashable:
        """The key of `call`."""
        node = call.node
        reads = bool(node.domain) or node.op in _READ_FLOATS
        attrs = tuple([(name, _attribute_key(value)) for name, value in call.attrs.items()]) if call.attrs else ()
        inputs = [self._input(tensor, fact, reads) for tensor, fact in zip(node.inputs, call.inputs, strict=True)]
        made = [not tensor.name for tensor in node.outputs]
        return node.op, node.domain or "", call.opset, attrs, tuple(inputs), len(made), any(made) and tuple(made)

    def _input(self, tensor: Tensor, fact: Fact, reads: bool) -> int:
        if not tensor.name:
            return -1
        source = tensor if reads or isinstance(tensor, Constant) else None  # what makes it may be a Constant node
        key = (id(source), id(fact), reads)
        if key not in self._seen:
            number = self._numbers.setdefault(_content(tensor, fact, reads), len(self._numbers))
            self._seen[key] = ((source, fact), number)
        return self._seen[key][1]


def plain(attrs: dict[str, Any]) -> Hashable:
    """A key of attributes that are numbers, texts and lists of them; None where there are others."""
    key: list[Any] = []
    for name, value in attrs.items():
        kind = type(value)
        if kind in PLAIN:
            key += name, kind, value
        elif kind is list and PLAIN.issuperset(kinds := [*map(type, value)]):
            key += name, len(value), *kinds, *value
        else:
            return None
    return tuple(key)


def _attribute_key(value: Any) -> Hashable:
    if type(value) in PLAIN:
        return type(value), value
    if type(value) is list and value:
        return tuple(map(_attribute_key, value))
    proto = onnx.AttributeProto()
    Exporter().attribute("", value, proto)
    return proto.SerializeToString()


def _content(tensor: Tensor, fact: Fact, reads: bool) -> Hashable:
    is_number = isinstance(tensor, Constant) and tensor.dtype.kind in "fV"
    array = None if is_number and not reads else small_array(tensor, fact)
    content = None if array is None else repr(array.tolist()) if array.dtype.hasobject else array.tobytes()
    value = None if fact.value is None else tuple(fact.value.flat)
    return fact.code, fact.dims, content, value, None if fact.other is None else fact.other.SerializeToString()
