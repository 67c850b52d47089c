"""A node as the shape rules see it."""

from __future__ import annotations

from typing import Any

from regraft.ir import schema
from regraft.ir.graph import Node
from regraft.shapes.facts import UNKNOWN, Fact


class Call:
    """A node, and what is known of its inputs.

    Attributes:
        attrs: its attributes, references to those of a function resolved.
    """

    def __init__(self, node: Node, opset: int, inputs: list[Fact], attrs: dict[str, Any]):
        self.node, self.opset, self.inputs, self.attrs = node, opset, inputs, attrs

    def fact(self, place: int) -> Fact:
        """What is known of the input at `place`; `UNKNOWN` where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else UNKNOWN

    def given(self, name: str) -> bool:
        """Whether the attribute or the input called `name` is there."""
        if not schema.is_input(self.node.op, name, self.opset, self.node.domain):
            return name in self.attrs
        place = schema.input_place(self.node.op, name, self.opset, self.node.domain)
        return place < len(self.node.inputs) and not self.node.inputs[place].is_empty()

    def get(self, name: str) -> Any:
        """The attribute, or the elements of the input, called `name`, else the default; None where it is unknown."""
        if not schema.is_input(self.node.op, name, self.opset, self.node.domain):
            return self.attrs[name] if name in self.attrs else schema.attribute(_bare(self.node), name, self.opset)
        place = schema.input_place(self.node.op, name, self.opset, self.node.domain)
        value = self.fact(place).value
        return None if value is None else value.tolist()

    def whole(self, name: str) -> Any:
        """`get`, if all is numbers."""
        got = self.get(name)
        return got if all(isinstance(v, int) for v in (got if isinstance(got, list) else [got])) else None


def _bare(node: Node) -> Node:
    return Node(node.op, domain=node.domain)
