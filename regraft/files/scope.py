"""The names that the nodes of a graph can say."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import onnx

from regraft.ir.graph import Tensor, Variable


class Scope:
    """The values that a graph's nodes can name: its own, then those of the graphs around it.

    Attributes:
        tensors: the graph's own, by name; those that nodes make come with their nodes.
        unsorted: whether a node may read what a later one makes.
    """

    def __init__(self, nodes: Iterable[bytes | onnx.NodeProto], outer: Scope | None):
        self._nodes, self.outer = nodes, outer
        self.tensors: dict[str, Tensor] = {}
        self.unsorted = False

    @functools.cached_property
    def _made(self) -> frozenset[str]:
        """What the nodes of the graph make, all of them."""
        nodes = (onnx.NodeProto.FromString(node) if isinstance(node, bytes) else node for node in self._nodes)
        return frozenset(name for node in nodes for name in node.output if name)

    def find(self, name: str) -> Tensor | None:
        """The value called `name`; None where no graph has it."""
        tensor = self.tensors.get(name)
        if tensor is None and name in self._made:
            self.unsorted = True
            tensor = self.tensors[name] = Variable(name)
        if tensor is None and self.outer:
            tensor = self.outer.find(name)
        return tensor

    def read(self, name: str) -> Tensor:
        """The value that a node reads as `name`."""
        if not name:
            return Variable("")
        tensor = self.tensors.get(name)
        if tensor is None and self.outer:
            tensor = self.find(name)
        if tensor is None:
            tensor = self.tensors[name] = Variable(name)
        return tensor

    def write(self, name: str) -> Tensor:
        """The value that a node makes as `name`."""
        if not name:
            return Variable("")
        tensor = self.tensors.get(name)
        if tensor is None:
            tensor = self.tensors[name] = Variable(name)
        elif not tensor.inputs:  # a node has read it, or the same one
            self.unsorted = True
        return tensor
