"""A node as a profile sees it: its operator, its attributes, and the values that carry data."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.shapes import Fact, Facts

UNKNOWN_ATTRIBUTE = object()
"""What an attribute is that is computed, or hangs on the call of a function."""


class Site:
    """A node, its operator's `opset`, and what is known of the values around it."""

    def __init__(self, node: Node, opset: int, facts: Facts):
        self.node, self.opset, self._facts = node, opset, facts
        self.operator = schema.kind(node)

    def fact(self, tensor: Tensor) -> Fact:
        """What is known of `tensor`."""
        return self._facts[tensor]

    def place(self, key: str) -> int | None:
        """The place of an input that is named or numbered `key`; None where the opset has none of that name."""
        if key.isdecimal():
            return int(key)
        opset = self.opset if self.node.domain != schema.STAND_IN else schema.since(self.operator)
        known = schema.is_input(self.operator, key, opset)
        return schema.input_place(self.operator, key, opset) if known else None

    def input(self, key: str) -> Tensor | None:
        """The input that is named or numbered `key`; None where it is left out."""
        return _given(self.node.inputs, self.place(key))

    def output(self, key: str) -> Tensor | None:
        """The output numbered `key`."""
        return _given(self.node.outputs, int(key))

    def attribute(self, name: str) -> Any:
        """The attribute, the constant input in its place, or the default; None where there is neither.

        Axes count from the end, where the rank is known.
        """
        value = schema.attribute(self.node, name, self.opset)
        if isinstance(value, Node.AttributeRef):
            return UNKNOWN_ATTRIBUTE
        if value is None:
            place = self.place(name)
            return UNKNOWN_ATTRIBUTE if _given(self.node.inputs, place) is not None else None
        return self._from_the_end(value) if name in ("axis", "axes") else value

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the model holds the value."""
        if isinstance(tensor, Constant):
            return True
        return len(tensor.inputs) == 1 and tensor.inputs[0].op == "Constant" and not tensor.inputs[0].domain

    def data(self) -> Iterator[Tensor]:
        """The inputs and outputs that carry data.

        Left out are those to which ONNX gives one dtype (the shape of a Reshape, the truth of an Equal), and constants
        of a type that no output has (the starts of a Slice).
        """
        inputs, outputs, own = _data_places(self.node.op, self.opset, self.node.domain)
        for i, tensor in enumerate(self.node.inputs):
            if not tensor.is_empty() and i not in inputs and (i not in own or not self.is_constant(tensor)):
                yield tensor
        for i, tensor in enumerate(self.node.outputs):
            if not tensor.is_empty() and i not in outputs:
                yield tensor

    def _from_the_end(self, value: Any) -> Any:
        tensors = self.node.outputs if self.node.op == "Unsqueeze" else self.node.inputs
        dims = self.fact(tensors[0]).dims if tensors else None
        if dims is None:
            return UNKNOWN_ATTRIBUTE if np.max(value) >= 0 else value
        rank = len(dims)
        return [_negative(v, rank) for v in value] if isinstance(value, list) else _negative(value, rank)


def _negative(axis: int, rank: int) -> int:
    return axis - rank if axis >= 0 else axis


def _given(tensors: list[Tensor], place: int | None) -> Tensor | None:
    if place is None or place >= len(tensors) or tensors[place].is_empty():
        return None
    return tensors[place]


_Places = frozenset[int]


@functools.cache
def _data_places(op: str, opset: int, domain: str | None) -> tuple[_Places, _Places, _Places]:
    """The places of inputs and of outputs with one dtype only, and of inputs of a type that no output has."""
    found = schema.find(op, opset, domain)
    if found is None:
        return frozenset(), frozenset(), frozenset()
    is_open = {c.type_param_str for c in found.type_constraints if len(c.allowed_type_strs) > 1}
    made = {entry.type_str for entry in found.outputs}
    inputs = {i for i, entry in enumerate(found.inputs) if entry.type_str not in is_open}
    outputs = {i for i, entry in enumerate(found.outputs) if entry.type_str not in is_open}
    own = {i for i, entry in enumerate(found.inputs) if entry.type_str not in made}
    return frozenset(inputs), frozenset(outputs), frozenset(own)
