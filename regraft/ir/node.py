"""The nodes of a graph, and the graphs that are their attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, SupportsIndex

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
        graph: the graph whose list of nodes it is in.
        metadata: its `metadata_props`.
        extra: the fields of the message that have no place here.
    """

    __slots__ = ("attrs", "doc_string", "domain", "extra", "graph", "metadata", "name", "op", "overload")

    AttributeRef = AttributeRef

    if TYPE_CHECKING:
        op: str
        domain: str | None
        overload: str
        name: str
        doc_string: str
        attrs: dict[str, Any]
        metadata: dict[str, str]
        extra: onnx.NodeProto | None
        graph: Any

    def __init__(
        self,
        op: str,
        name: str = "",
        attrs: dict[str, Any] | None = None,
        inputs: Iterable[Tensor] = (),
        outputs: Iterable[Tensor] = (),
        domain: str | None = None,
    ):
        put_op(self, op)
        put_name(self, name)
        put_domain(self, domain)
        own = Attributes(attrs) if attrs else Attributes()
        own.owner = self
        put_attrs(self, own)
        put_metadata(self, {})
        put_doc_string(self, "")
        put_overload(self, "")
        put_extra(self, None)
        put_graph(self, None)
        self._connect(inputs, outputs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field, and tell of it where it says what the node computes."""
        if name == "attrs":
            value = Attributes(value)
            value.owner = self
        super().__setattr__(name, value)
        if name in _MEANING:
            self.edited()

    def edited(self, lost: Iterable[Tensor] = ()) -> None:
        """Tell whoever follows the graph that the node was edited, and makes the values `lost` no longer."""
        graph = self.graph
        if graph is not None and graph.edits is not None:
            graph.edits.edited(self, lost)

    def relinked(self, links: list[Any], items: Iterable[Any]) -> None:
        self.edited(items if links is self._outputs else ())

    def __repr__(self) -> str:
        read, made = (", ".join(t.name or "-" for t in links) for links in (self.inputs, self.outputs))
        return f"<Node '{self.name}': {made} = {self.op}({read})>"


_MEANING = frozenset({"attrs", "domain", "op", "overload"})

put_attrs, put_doc_string, put_domain, put_extra, put_graph, put_metadata, put_name, put_op, put_overload = (
    getattr(Node, field).__set__
    for field in Node.__slots__  # past `Node.__setattr__`: it takes ten times as long
)


class Attributes(dict[str, Any]):
    """The attributes of a node, by name; tells of every change but of one inside a list."""

    __slots__ = ("owner",)

    owner: Node

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._tell()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._tell()

    def __ior__(self, other: Any) -> Attributes:  # type: ignore[override, misc]
        self.update(other)
        return self

    def pop(self, *name: Any) -> Any:
        value = super().pop(*name)
        self._tell()
        return value

    def popitem(self) -> tuple[str, Any]:
        item = super().popitem()
        self._tell()
        return item

    def clear(self) -> None:
        super().clear()
        self._tell()

    def update(self, *args: Any, **kwargs: Any) -> None:
        if given := dict(*args, **kwargs):
            super().update(given)
            self._tell()

    def setdefault(self, name: str, default: Any = None) -> Any:
        value = super().setdefault(name, default)
        self._tell()
        return value

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # a copy is nobody's

    def _tell(self) -> None:
        node = self.owner
        if node.graph is not None:
            node.graph.nodes.hold(node)
            node.edited()


class Nodes(list[Node]):
    """The nodes of a graph, which know it; tells of every change.

    Attributes:
        graph: whose they are.
        holders: those that may have bodies.
    """

    __slots__ = ("graph", "holders")

    def __init__(self, graph: Any, nodes: Iterable[Node] = ()):
        super().__init__(nodes)
        self.graph = graph
        self.holders: set[Node] = set()
        self._take(self)

    @property
    def _edits(self) -> Any:
        """Who is told; that something comes or goes is told at once."""
        edits = self.graph.edits
        if edits is not None:
            edits.graphs.add(self.graph)
        return edits

    def _take(self, nodes: Iterable[Node]) -> None:
        graph, edits = self.graph, self._edits
        for node in nodes:
            if type(node) is Node:  # else graphsurgeon's, which is adopted later
                put_graph(node, graph)
                if node.attrs:
                    self.hold(node)
                if edits is not None:
                    edits.edited(node)

    def _drop(self, nodes: Iterable[Node]) -> None:
        edits = self._edits
        for node in nodes:
            if type(node) is Node:
                self.holders.discard(node)
                if edits is not None:
                    edits.edited(node, node.outputs)
                if node.graph is self.graph:
                    put_graph(node, None)

    def hold(self, node: Node) -> None:
        """Note whether `node` may have bodies."""
        for value in node.attrs.values():
            if isinstance(value, Body) or (type(value) is list and (not value or isinstance(value[0], Body))):
                self.holders.add(node)
                return
        self.holders.discard(node)

    def _reordered(self) -> None:
        if (edits := self._edits) is not None:
            edits.reordered = True

    def append(self, node: Node) -> None:
        super().append(node)
        self._take((node,))

    def extend(self, nodes: Iterable[Node]) -> None:
        added = list(nodes)
        super().extend(added)
        self._take(added)

    def insert(self, place: SupportsIndex, node: Node) -> None:
        super().insert(place, node)
        self._take((node,))

    def remove(self, node: Node) -> None:
        super().remove(node)
        self._drop((node,))

    def pop(self, place: SupportsIndex = -1) -> Node:
        node = super().pop(place)
        self._drop((node,))
        return node

    def clear(self) -> None:
        old = list(self)
        super().clear()
        self._drop(old)

    def reverse(self) -> None:
        super().reverse()
        self._reordered()

    def sort(self, **how: Any) -> None:
        super().sort(**how)
        self._reordered()

    def __setitem__(self, place: Any, nodes: Any) -> None:
        old = self[place] if isinstance(place, slice) else [self[place]]
        new = list(nodes) if isinstance(place, slice) else [nodes]
        super().__setitem__(place, new if isinstance(place, slice) else nodes)
        self._exchanged(old, new)

    def __delitem__(self, place: Any) -> None:
        old = self[place] if isinstance(place, slice) else [self[place]]
        super().__delitem__(place)
        self._drop(old)

    def __iadd__(self, nodes: Iterable[Node]) -> Nodes:  # type: ignore[override, misc]
        self.extend(nodes)
        return self

    def __imul__(self, times: SupportsIndex) -> Nodes:
        raise TypeError("a node stands in a graph once")

    def _exchanged(self, old: list[Node], new: list[Node]) -> None:
        before, after = set(map(id, old)), set(map(id, new))  # graphsurgeon's own nodes have no hash
        if [n for n in old if id(n) in after] != [n for n in new if id(n) in before]:
            self._reordered()
        self._drop(n for n in old if id(n) not in after)
        self._take(n for n in new if id(n) not in before)


class Body:
    """What can stand inside a node: a graph."""


def bodies(nodes: Iterable[Node]) -> list[Any]:
    """The graphs that are attributes of `nodes`, not those inside them."""
    if type(nodes) is Nodes and not nodes.holders:
        return []
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
