"""What changed in a model since it was last looked at.

A look compares every node with what was seen of it, in about a microsecond. So passes may edit as they like, lists and
attributes in place too: nothing has to tell of an edit, and no edit goes unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from regraft.ir.graph import AnyGraph, AttributeRef, Constant, Graph, Node, Tensor, Variable, bodies
from regraft.ir.graphsurgeon import adopt, number_dtypes

if TYPE_CHECKING:
    from regraft.ir.model import Model


@dataclass
class Changes:
    """What is not as it was.

    Attributes:
        all: whether everything may be other: at the first look, or after a change of the opset or of a function.
        nodes: those of the main graph that are new, or have another operator, other attributes, inputs or outputs, or
            a body where something is other.
        values: inputs and constants that are new or other, and what nodes made that went or are other.
    """

    all: bool = False
    nodes: set[Node] = field(default_factory=set)
    values: set[Tensor] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.all or self.nodes or self.values)

    def __ior__(self, other: Changes) -> Changes:
        self.all |= other.all
        self.nodes |= other.nodes
        self.values |= other.values
        return self


class Watch:
    """A model as it was at the last look."""

    def __init__(self) -> None:
        self._nodes: dict[Node, _Seen] = {}
        self._sources: dict[Tensor, Any] = {}  # what no node makes, as it was
        self._around: list[Any] = []

    def look(self, model: Model) -> Changes:
        """What changed since the last look."""
        adopt(model)
        around = [_operators(model.graph), *map(_frame, model.functions)]
        found = Changes(all=around != self._around)
        self._around = around
        size = 0
        for root in model.roots:
            changed, seen = self._look_at(root, found.values)
            size += seen
            if root is model.graph:
                found.nodes.update(changed)
            elif changed:
                found.all = True
        if len(self._nodes) > size:
            for node in self._nodes.keys() - set(model.nodes()):
                found.values.update(self._nodes.pop(node).outputs)
        self._look_at_sources(found.values)
        return found

    def _look_at(self, graph: AnyGraph, values: set[Tensor]) -> tuple[list[Node], int]:
        """The nodes of `graph` that changed, and the number of nodes there and in bodies."""
        nodes, changed, size = self._nodes, [], len(graph.nodes)
        for node in graph.nodes:
            seen = nodes.get(node)
            is_other = (
                seen is None
                or seen.op != node.op
                or seen.inputs != node.inputs
                or seen.outputs != node.outputs
                or seen.domain != node.domain
                or seen.overload != node.overload
                or (bool(node.attrs or seen.attrs) and seen.has_other(node.attrs))
            )
            if seen is None or is_other:
                if seen is not None:
                    values.update(seen.outputs)
                number_dtypes(node)
                seen = nodes[node] = _Seen(node)
                values.update(seen.outputs)
                self._take(seen.inputs)
            for body in seen.bodies:
                inner, more = self._look_at(body, values)
                size += more
                is_other = is_other or bool(inner)
                self._take(body.inputs)
                self._take(body.outputs)
            if is_other:
                changed.append(node)
        return changed, size

    def _take(self, values: Iterable[Tensor]) -> None:
        """Look, from now on, at those of `values` that no node makes."""
        for tensor in values:
            if not tensor.inputs and tensor.name and tensor not in self._sources:
                self._sources[tensor] = None

    def _look_at_sources(self, values: set[Tensor]) -> None:
        unread = []
        for tensor, before in self._sources.items():
            if isinstance(tensor, Constant):
                if tensor.lazy is not before:
                    self._sources[tensor] = tensor.lazy
                    values.add(tensor)
                if not tensor.outputs:
                    unread.append(tensor)
            elif (now := _declared(tensor)) != before:
                self._sources[tensor] = now
                values.add(tensor)
        for tensor in unread:
            del self._sources[tensor]


_PLAIN = frozenset({int, float, str, bytes, bool, AttributeRef})
"""Types of attributes that nobody can change in place."""


class _Seen:
    """A node as it was.

    Attributes:
        types: of its attributes: 1 equals 1.0, which is another attribute.
        others: of the attributes that can change in place, what `_frozen` gives.
        bodies: the graphs inside it.
    """

    __slots__ = ("attrs", "bodies", "domain", "inputs", "op", "others", "outputs", "overload", "types")

    def __init__(self, node: Node):
        self.op, self.domain, self.overload = node.op, node.domain, node.overload
        self.inputs, self.outputs = node.inputs.copy(), node.outputs.copy()
        self.attrs = dict(node.attrs) if node.attrs else None
        self.types: list[type] | None = None
        self.others: list[Any] | None = None
        self.bodies: list[Graph] = []
        if self.attrs:
            self.types = [*map(type, self.attrs.values())]
            if not _PLAIN.issuperset(self.types):
                self.others, self.bodies = _others(node.attrs), bodies([node])

    def has_other(self, attrs: dict[str, Any]) -> bool:
        """Whether `attrs` are not what the node had."""
        if not self.attrs or len(attrs) != len(self.attrs) or self.types != [*map(type, attrs.values())]:
            return True
        if self.others is None:
            return attrs != self.attrs
        return self.others != _others(attrs) or any(attrs[n] != v for n, v in self.attrs.items() if type(v) in _PLAIN)


class _Same:
    """Is equal to what holds the same object."""

    __slots__ = ("held",)

    def __init__(self, held: Any):
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.held is self.held

    __hash__ = None  # type: ignore[assignment]


def _others(attrs: dict[str, Any]) -> list[Any]:
    """What is equal as long as none of `attrs` was changed in place, or replaced by another of its type."""
    return [(name, _frozen(value)) for name, value in attrs.items() if type(value) not in _PLAIN]


def _frozen(value: Any) -> Any:
    if type(value) in _PLAIN or isinstance(value, np.generic):
        return type(value), value
    if isinstance(value, Constant):
        return _Same(value), _Same(value.lazy)
    if isinstance(value, Graph):
        return _frame(value)
    if isinstance(value, list | tuple):
        return [*map(_frozen, value)]
    return object()  # nobody can tell: to be on the safe side it is another


def _frame(graph: AnyGraph) -> list[Any]:
    """What a graph has beside its nodes."""
    attrs = [(name, _frozen(value)) for name, value in getattr(graph, "attrs", {}).items()]
    return [_Same(graph), _operators(graph), [*graph.inputs], [*graph.outputs], attrs]


def _operators(graph: AnyGraph) -> list[Any]:
    return [graph.opset, *((one.domain, one.version) for one in graph.import_domains or ())]


def _declared(tensor: Variable) -> list[Any]:
    shape = tensor.shape if tensor.shape is None else [*tensor.shape]
    return [tensor.dtype, shape, tensor.type, _Same(tensor.info)]
