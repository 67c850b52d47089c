"""Which values of a model and of what a pass made of it are computed alike.

A value has a number by how it is computed: of the same values, by the same operator of the same version, with the same
attributes. So two values of one number are equal bit for bit. Names do not count, but for one thing: a value that is
computed otherwise claims to be the one that had its name before; or one that is gone, if a node read that in its place.
Claims are what verification looks into.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf.message import Message

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, AttributeRef, Constant, Graph, Node, Tensor, subgraphs
from regraft.ir.model import Model
from regraft.ir.node import PLAIN
from regraft.ir.weights import Absent, Array, Stored, Value

_SMALL = 1 << 12
"""Bytes of a constant that is read to number it; a larger one is known by where it lies."""

_NOTHING = -1


@dataclass
class Values:
    """The values of a model.

    Attributes:
        numbers: of what is known as the model runs, in the main graph, by name; and of constants in the place of such.
        outputs: the numbers of the model's outputs, by name.
        claims: the names of those that are computed otherwise than before, and what they were called then.
        fixed: the names of those that are the same for all inputs.
        functions: what each local function computes.
        nodes: of each node in the main graph, by the name of what it makes first: its operator, and what it reads.
        overwritten: whether an array that the model before holds, too, was written to: then that is no longer what it
            was.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    functions: dict[tuple[str, ...], Hashable] = field(default_factory=dict)
    nodes: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    overwritten: bool = False
    keys: dict[Hashable, tuple[int, ...]] = field(default_factory=dict, repr=False)
    held: list[Any] = field(default_factory=list, repr=False)  # what keys know by its place, so that it stays
    sums: dict[int, int] = field(default_factory=dict, repr=False)  # of arrays that anyone may write to
    count: Iterator[int] = field(default_factory=itertools.count, repr=False)


def values_of(model: Model, before: Values | None = None) -> Values:
    """The values of `model`; those that are computed as values of `before` have their numbers."""
    return _Numbering(before or Values()).of(model)


class _Numbering:
    def __init__(self, before: Values):
        self._before, self._found = before, Values(count=before.count)
        self._number: dict[Tensor, int] = {}
        self._former: dict[str, str] = {}  # names of values that are gone, by those in whose place they are
        self._depth = 0  # of bodies

    def of(self, model: Model) -> Values:
        found, graph = self._found, model.graph
        for function in model.functions:
            found.functions[function.unique_id] = self._body(function)
        for tensor in graph.inputs:
            default = None if tensor.default is None else self._content(tensor.default.lazy)
            self._number[tensor] = found.numbers[tensor.name] = self._one(("input", tensor.name, default))
        found.nodes = {node.outputs[0].name: _told(node) for node in graph.nodes if node.outputs}
        self._former = _renamed(self._before, graph)
        for node in graph.nodes:
            self._make(node)
            if self._is_fixed(node):
                found.fixed.update(tensor.name for tensor in node.outputs)
        found.outputs = {tensor.name: self._of(tensor) for tensor in graph.outputs}
        return found

    def _of(self, tensor: Tensor) -> int:
        """The number of a value that a node reads; of one that nothing is known of, a new one."""
        if isinstance(tensor, Constant) and tensor not in self._number:
            number = self._stored(tensor.name, self._content(tensor.lazy))
            if self._depth:
                return number  # the main graph may know it by its name
            self._number[tensor] = number
        if tensor not in self._number:
            self._number[tensor] = next(self._found.count) if tensor.name else _NOTHING
        return self._number[tensor]

    def _make(self, node: Node) -> None:
        """Number what `node` makes."""
        held = schema.constant_node_value(node) if node.op == "Constant" and not node.domain else None
        if held is not None:
            tensor = node.outputs[0]
            numbers: tuple[int, ...] = (self._stored(tensor.name, self._content(_lazy(node, held))),)
        else:
            key = self._key(node)
            known = self._before.keys.get(key) or self._found.keys.get(key)
            numbers = known or tuple(map(self._claimed, node.outputs))
            self._found.keys[key] = numbers
        for tensor, number in zip(node.outputs, numbers, strict=True):
            self._number[tensor] = number
            if tensor.name and not self._depth:
                self._found.numbers[tensor.name] = number

    def _claimed(self, tensor: Tensor) -> int:
        """The number of the value before which `tensor` claims to be; a new one where there is none."""
        name = self._former.get(tensor.name, tensor.name)
        number = None if self._depth else self._before.numbers.get(name)
        if number is None:
            return next(self._found.count)
        self._found.claims[tensor.name] = name
        return number

    def _stored(self, name: str, content: Hashable) -> int:
        """The number of a constant: of what it holds, or of what was computed before under its name."""
        former = None if self._depth else self._before.numbers.get(name)
        known = self._before.keys.get(content)
        if former is None or known == (former,):
            return self._one(content)
        in_place = "in place of", name, content
        if in_place not in self._before.keys:
            self._found.claims[name] = name
        self._found.keys[in_place] = (former,)
        self._found.numbers[name] = former
        return former

    def _one(self, key: Hashable) -> int:
        known = self._before.keys.get(key) or self._found.keys.get(key) or (next(self._found.count),)
        self._found.keys[key] = known
        return known[0]

    def _key(self, node: Node) -> Hashable:
        """What is the same for nodes that compute the same of the same."""
        opset = node.graph.opset
        rule = schema.find(node.op, opset, node.domain)
        version = rule.since_version if rule else schema.versions(node.graph).get(node.domain or "", 0)
        attrs = tuple(
            (name, self._attribute(value)) for name, value in sorted(node.attrs.items()) if not isinstance(value, Graph)
        )
        bodies = tuple((name, self._body(body)) for name, body in sorted(node.attrs.items()) if isinstance(body, Graph))
        drawn = tuple(tensor.name for tensor in node.outputs) if schema.draws(node) else ()  # two draws are not alike
        made = len(node.outputs)
        return (
            *(node.op, node.domain or "", node.overload, version, made, attrs, bodies, drawn),
            *map(self._of, node.inputs),
        )

    def _body(self, graph: AnyGraph) -> Hashable:
        """What a graph gives of what it is given, and of what it takes from around it."""
        self._depth += 1
        for place, tensor in enumerate(graph.inputs):
            self._number[tensor] = self._one(("given", self._depth, place))
        for node in graph.nodes:
            self._make(node)
        found = len(graph.inputs), tuple(map(self._of, graph.outputs))
        self._depth -= 1
        return found

    def _attribute(self, value: Any) -> Hashable:
        if isinstance(value, Constant):
            return self._content(value.lazy)
        if isinstance(value, list | tuple):
            return type(value).__name__, tuple(map(self._attribute, value))
        if isinstance(value, Message):
            return value.SerializeToString(deterministic=True)
        if type(value) in PLAIN or isinstance(value, AttributeRef | np.dtype | bool):
            return type(value).__name__, repr(value)  # 1 is not 1.0, and 0.0 is not -0.0
        return next(self._found.count)  # nobody can tell: it is another

    def _content(self, held: Array | Value) -> Hashable:
        self._see_writes(held)
        if held.nbytes <= _SMALL and not isinstance(held, Absent):
            values = held if isinstance(held, np.ndarray) else held.load()
            content = tuple(values.flat) if values.dtype.hasobject else values.tobytes()
            return "array", str(values.dtype), values.shape, content
        if isinstance(held, Stored):
            self._found.held.append(held.source)
            return "stored", id(held.source), held.offset, str(held.dtype), held.shape
        self._found.held.append(held)
        return "held", id(held), self._found.sums.get(id(held))

    def _see_writes(self, held: Array | Value) -> None:
        if not isinstance(held, np.ndarray) or not held.flags.writeable or held.dtype.hasobject or not held.size:
            return
        total = zlib.crc32(np.ascontiguousarray(held).view(np.uint8).data)
        self._found.held.append(held)
        self._found.sums[id(held)] = total
        self._found.overwritten |= self._before.sums.get(id(held), total) != total

    def _is_fixed(self, node: Node) -> bool:
        fixed = self._found.fixed
        return not (schema.draws(node) or subgraphs(node)) and all(
            isinstance(tensor, Constant) or not tensor.name or tensor.name in fixed for tensor in node.inputs
        )


def _told(node: Node) -> tuple[str, list[str]]:
    return node.op, [tensor.name for tensor in node.inputs]


def _renamed(before: Values, graph: Graph) -> dict[str, str]:
    """The names of values that are gone, by those of new ones that nodes read in their place."""
    made = {tensor.name for node in graph.nodes for tensor in node.outputs}
    found: dict[str, set[str]] = {}
    for node in graph.nodes:
        op, names = before.nodes.get(node.outputs[0].name, ("", [])) if node.outputs else ("", [])
        if op == node.op and len(names) == len(node.inputs):
            for name, tensor in zip(names, node.inputs, strict=True):
                if tensor.name in made and tensor.name not in before.numbers and name not in made:
                    found.setdefault(tensor.name, set()).add(name)
    return {new: name for new, names in found.items() if len(names) == 1 for name in names}


def _lazy(node: Node, values: Array) -> Array | Value:
    """What a Constant node holds, unread where it is a tensor."""
    held = node.attrs.get("value")
    return held.lazy if isinstance(held, Constant) else values
