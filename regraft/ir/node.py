"""A node, and its attributes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx

from regraft.ir.value import Constant, Linked, Tensor

if TYPE_CHECKING:
    from regraft.ir.graph import Graph

_extend = list.extend

PLAIN = frozenset({int, float, str, bytes})
"""Types of attributes that hold nothing else, and that nobody can change in place."""


AttributeValue: TypeAlias = (
    "int | float | str | bytes | Sequence[int] | Sequence[float] | Sequence[str] | Constant | Graph | AttributeRef"
)
"""What an attribute may be, beside lists of constants and graphs, and ONNX's rarer types."""


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
        extra: the fields of the message that have no place here.
    """

    __slots__ = ("_metadata", "attrs", "doc_string", "domain", "extra", "graph", "name", "op", "overload")

    AttributeRef = AttributeRef

    if TYPE_CHECKING:
        op: str
        domain: str | None
        overload: str
        name: str
        doc_string: str
        attrs: dict[str, Any]
        _metadata: dict[str, str] | None
        extra: onnx.NodeProto | None
        graph: Any

    def __init__(
        self,
        op: str,
        name: str = "",
        attrs: Mapping[str, AttributeValue] | None = None,
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
        _put_metadata(self, None)
        put_doc_string(self, "")
        put_overload(self, "")
        put_extra(self, None)
        put_graph(self, None)
        self._connect()
        end = (self,)
        if inputs:
            _extend(self.inputs, inputs)
            for read in self.inputs:
                _extend(read.outputs, end)  # a list of one takes half the memory of one that was appended to
        if outputs:
            _extend(self.outputs, outputs)
            for made in self.outputs:
                _extend(made.inputs, end)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field, and tell of it where it says what the node computes."""
        if name in _MEANING:
            self.keep()
        elif name == "name" and self.graph is not None and self.graph.edits is not None:
            self.graph.edits.called.setdefault(self, self.name)
        if name == "attrs":
            value = Attributes(value)
            value.owner = self
        super().__setattr__(name, value)
        if name in _MEANING:
            self.edited()

    @property
    def metadata(self) -> dict[str, str]:
        """Its `metadata_props`; most nodes have none, and no dict for them until it is asked for."""
        if self._metadata is None:
            _put_metadata(self, {})
        return self._metadata  # type: ignore[return-value]

    @metadata.setter
    def metadata(self, metadata: dict[str, str]) -> None:
        _put_metadata(self, metadata)

    @property
    def has_metadata(self) -> bool:
        return bool(self._metadata)

    def place_of(self, output: Tensor) -> int:
        """Which of its outputs a value is."""
        return next(place for place, made in enumerate(self.outputs) if made is output)

    def edited(self, lost: Iterable[Tensor] = ()) -> None:
        """Tell whoever follows the graph that the node was edited, and makes the values `lost` no longer."""
        graph = self.graph
        if graph is not None and graph.edits is not None:
            graph.edits.edited(self, lost)

    def keep(self) -> None:
        """Tell whoever follows the graph what the node computes, ahead of a change of its operator or attributes."""
        graph = self.graph
        if graph is not None and graph.edits is not None:
            graph.edits.keep(self)

    def relinked(self, links: list[Any], items: Iterable[Any]) -> None:
        graph = self.graph
        if graph is None or graph.edits is None:
            return
        if links is self.inputs:
            graph.edits.relinked(self, items)
        else:
            graph.edits.edited(self, items)

    def __repr__(self) -> str:
        read, made = (", ".join(t.name or "-" for t in links) for links in (self.inputs, self.outputs))
        return f"<Node '{self.name}': {made} = {self.op}({read})>"


_MEANING = frozenset({"attrs", "domain", "op", "overload"})

_put_metadata, put_attrs, put_doc_string, put_domain, put_extra, put_graph, put_name, put_op, put_overload = (
    getattr(Node, field).__set__
    for field in Node.__slots__  # past `Node.__setattr__`: it takes ten times as long
)


class Attributes(dict[str, Any]):
    """The attributes of a node, by name; tells of every change but of one inside a list."""

    __slots__ = ("owner",)

    owner: Node

    def __setitem__(self, name: str, value: Any) -> None:
        self.owner.keep()
        super().__setitem__(name, value)
        self._tell()

    def __delitem__(self, name: str) -> None:
        self.owner.keep()
        super().__delitem__(name)
        self._tell()

    def __ior__(self, other: Any) -> Attributes:  # type: ignore[override, misc]
        self.update(other)
        return self

    def pop(self, *name: Any) -> Any:
        self.owner.keep()
        value = super().pop(*name)
        self._tell()
        return value

    def popitem(self) -> tuple[str, Any]:
        self.owner.keep()
        item = super().popitem()
        self._tell()
        return item

    def clear(self) -> None:
        self.owner.keep()
        super().clear()
        self._tell()

    def update(self, *args: Any, **kwargs: Any) -> None:
        if given := dict(*args, **kwargs):
            self.owner.keep()
            super().update(given)
            self._tell()

    def setdefault(self, name: str, default: Any = None) -> Any:
        self.owner.keep()
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
