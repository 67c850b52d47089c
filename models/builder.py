"""Grow a model operation by operation, with names and constants as exporters write them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.models.random_weights import normal


class Builder:
    """A graph under construction.

    Args:
        opset: version of the default operator set, 11 or later.
        constant_nodes: small constants are Constant nodes, as TorchScript writes them, and not initializers.
        seed: of the generated weights.
    """

    def __init__(self, opset: int, constant_nodes: bool = False, seed: int = 0):
        self.opset, self.constant_nodes, self.seed = opset, constant_nodes, seed
        self.nodes: list[Node] = []
        self._scope: tuple[str, ...] = ()
        self._names: Counter[str] = Counter()
        self._weights = 0

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of nodes that are made inside are `.../name/...`."""
        outer = self._scope
        self._scope = (*outer, name)
        yield
        self._scope = outer

    @property
    def path(self) -> str:
        """The open scopes, joined by dots."""
        return ".".join(self._scope)

    def __call__(self, op: str, *inputs: Tensor, **attributes: Any) -> Variable:
        """Append a node with one output, and return the output."""
        name = self._name(op)
        output = Variable(f"{name}_output_0")
        self.nodes.append(Node(op, name, attributes, inputs, [output]))
        return output

    def constant(self, value: Any, dtype: Any = np.float32) -> Tensor:
        """A small constant, in the style of this builder."""
        array = np.asarray(value, dtype)
        if self.constant_nodes:
            return self("Constant", value=Constant("value", array))
        return Constant(self._name("constant"), array)

    def ints(self, *values: int) -> Tensor:
        """An int64 vector."""
        return self.constant(values, np.int64)

    def weight(self, name: str, shape: Sequence[int], scale: float, mean: float = 0.0) -> Constant:
        """An initializer of random float32 values; its name is `scope.scope.name`."""
        self._weights += 1
        value = normal(self.seed, self._weights, shape, scale, mean)
        return Constant(f"{self.path}.{name}", value)

    def unsqueeze(self, x: Tensor, axis: int) -> Variable:
        """Insert a dimension of size 1."""
        if self.opset < 13:
            return self("Unsqueeze", x, axes=[axis])
        return self("Unsqueeze", x, self.ints(axis))

    def mean(self, x: Tensor) -> Variable:
        """The mean over the last axis, which stays with length 1."""
        if self.opset < 18:
            return self("ReduceMean", x, axes=[-1], keepdims=1)
        return self("ReduceMean", x, self.ints(-1), keepdims=1)

    def dimension(self, x: Tensor, axis: int) -> Variable:
        """The length of one axis, int64 [1], by the chain that TorchScript writes for it."""
        return self.unsqueeze(self("Gather", self("Shape", x), self.constant(axis, np.int64), axis=0), 0)

    def model(self, name: str, inputs: Sequence[Variable], outputs: Sequence[Tensor]) -> Model:
        """The finished model."""
        graph = Graph(self.nodes, list(inputs), list(outputs), name=name, opset=self.opset)
        graph.producer_name = "regraft.models"
        return Model(graph)

    def _name(self, op: str) -> str:
        stem = "/" + "/".join((*self._scope, op))
        self._names[stem] += 1
        count = self._names[stem] - 1
        return f"{stem}_{count}" if count else stem
