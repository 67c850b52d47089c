"""The nodes of a graph, and the graphs that are their attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

import onnx

from regraft.ir.value import Linked, Tensor


@dataclass(frozen=True)
class AttributeRef:
    """An attribute of a node in a function, which the caller of the function gives.

    Attributes:
        name: of the function's attribute.
        type: its ONNX attribute type.
    """

    name: str
    type: Any


class TypedList(list[Any]):
    """An attribute that is an empty list, and would forget of what: its ONNX attribute `type`."""

    def __init__(self, type: onnx.AttributeProto.AttributeType):
        super().__init__()
        self.type = type


class Node(Linked):
    """An operation.

    Attributes:
        op, domain: the operator.
        attrs: its attributes by name: numbers, texts, lists of them, `Constant`, `Graph`, `AttributeRef`.
        inputs, outputs: the values that it reads and makes.
        metadata: its `metadata_props`.
        extra: the fields of the message that have no place here.
    """

    __slots__ = ("attrs", "doc_string", "domain", "extra", "metadata", "name", "op", "overload")

    AttributeRef = AttributeRef

    def __init__(
        self,
        op: str,
        name: str = "",
        attrs: dict[str, Any] | None = None,
        inputs: Iterable[Tensor] = (),
        outputs: Iterable[Tensor] = (),
        domain: str | None = None,
    ):
        self.op, self.name, self.domain = op, name, domain
        self.attrs: dict[str, Any] = dict(attrs) if attrs else {}
        self.metadata: dict[str, str] = {}
        self.doc_string = self.overload = ""
        self.extra: onnx.NodeProto | None = None
        self._connect(inputs, outputs)

    def __repr__(self) -> str:
        read, made = (", ".join(t.name or "-" for t in links) for links in (self.inputs, self.outputs))
        return f"<Node '{self.name}': {made} = {self.op}({read})>"


class Body:
    """What can stand inside a node: a graph."""


def bodies(nodes: Iterable[Node]) -> list[Any]:
    """The graphs that are attributes of `nodes`, not those inside them."""
    return _bodies_among(chain.from_iterable(map(dict.values, map(_ATTRS, nodes))))


def subgraphs(node: Node) -> Sequence[Any]:
    """The graphs that are attributes of `node`, not those inside them."""
    return _bodies_among(node.attrs.values()) if node.attrs else ()


def _bodies_among(values: Iterable[Any]) -> list[Any]:
    holders = [value for value in values if type(value) not in _SIMPLE]
    if not holders:
        return []
    return [body for one in holders for body in (one if type(one) is list else (one,)) if isinstance(body, Body)]


_ATTRS = attrgetter("attrs")
_SIMPLE = frozenset({int, float, str})


def walk(graph: Any) -> Iterator[Any]:
    """`graph` and every graph inside it, outer before inner."""
    stack = [graph]
    while stack:
        current = stack.pop()
        yield current
        stack += reversed(bodies(current.nodes))
