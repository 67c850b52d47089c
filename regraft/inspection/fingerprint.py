"""Fingerprints of nodes: hashes of what leads to a node, of what follows it, and of its neighbours.

Names do not count, and large constants count by dtype and shape only: no weight is read. Each takes one pass over the
nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regraft.files.wire import LARGE
from regraft.inspection.census import operator
from regraft.ir.graph import AnyGraph, Constant, Graph, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import Sparse

_BITS = 2**61 - 1


class Fingerprints:
    """The fingerprints of all nodes of a model.

    Args:
        ends: the key of each input and output of the main graph.

    Attributes:
        forward: of the operator, its attributes and bodies, and everything before it.
        backward: of the operator, its attributes, and everything after it.
        local: of the operator, its attributes, and its neighbours.
        scope: of where the node's graph is: in which function, in which attribute.
    """

    def __init__(self, model: Model, ends: Mapping[Tensor, object]):
        self.forward: dict[Node, int] = {}
        self.backward: dict[Node, int] = {}
        self.local: dict[Node, int] = {}
        self.scope: dict[Node, int] = {}
        self._attributes: dict[Node, int] = {}
        self._values: dict[Tensor, int] = {}
        self._uses: dict[Tensor, int] = {}
        self._constants: dict[Constant, int] = {}
        self._graph(model.graph, 0, {t: hash(end) for t, end in ends.items()})
        for function in model.functions:
            base = hash(function.unique_id)
            self._graph(function, base, {t: hash((base, i)) for i, t in enumerate(function.inputs)})
        self._neighbours()

    def attribute(self, value: Any) -> int:
        """A hash of an attribute's value; bodies count as nothing."""
        if isinstance(value, Graph):
            return 0
        if isinstance(value, Constant):
            return self.constant(value)
        if isinstance(value, Node.AttributeRef):
            return hash(("reference", value.name))
        if isinstance(value, list):
            return hash((getattr(value, "type", 0) if not value else 0, *map(self.attribute, value)))
        if hasattr(value, "SerializeToString"):
            return hash(value.SerializeToString(deterministic=True))
        return hash(repr(value))  # NaN equals NaN so

    def constant(self, constant: Constant) -> int:
        """A hash of dtype and shape, and of the value if it is small."""
        if constant not in self._constants:
            content: Any = None
            if constant.nbytes < LARGE and constant.is_known and not isinstance(constant.lazy, Sparse):
                values = constant.values
                content = repr(values.tolist()) if values.dtype.hasobject else values.tobytes()
            self._constants[constant] = hash((str(constant.dtype), tuple(constant.shape), content))
        return self._constants[constant]

    def value(self, tensor: Tensor) -> int:
        """The forward fingerprint of a value."""
        return self.constant(tensor) if isinstance(tensor, Constant) else self._values.get(tensor, 0)

    def _graph(self, graph: AnyGraph, scope: int, starts: Mapping[Tensor, int]) -> None:
        self._values.update(starts)
        self._forward(graph, scope)
        for place, tensor in enumerate(graph.outputs):
            self._use(tensor, starts.get(tensor, place))
        self._backward(graph)

    def _forward(self, graph: AnyGraph, scope: int) -> None:
        for node in graph.nodes:
            self.scope[node] = scope
            attributes = tuple(sorted((name, self.attribute(value)) for name, value in node.attrs.items()))
            self._attributes[node] = hash((operator(node), attributes))
            head = hash((self._attributes[node], *map(self.value, node.inputs)))
            results = [head]
            for place, body in bodies(node):
                for i, tensor in enumerate(body.inputs):
                    self._values[tensor] = hash((head, place, i))
                self._forward(body, hash((scope, place)))
                results.append(hash((place, *map(self.value, body.outputs))))
            self.forward[node] = hash(tuple(results))
            for i, tensor in enumerate(node.outputs):
                self._values[tensor] = hash((self.forward[node], i))

    def _backward(self, graph: AnyGraph) -> None:
        for node in reversed(graph.nodes):
            tail = hash((self._attributes[node], *(self._uses.get(t, 0) for t in node.outputs)))
            self.backward[node] = tail
            for place, body in bodies(node):
                for i, tensor in enumerate(body.outputs):
                    self._use(tensor, hash((tail, place, i)))
                self._backward(body)
            for i, tensor in enumerate(node.inputs):
                self._use(tensor, hash((tail, i)))

    def _neighbours(self) -> None:
        readers: dict[Tensor, int] = {}
        for node in self.forward:
            for i, tensor in enumerate(node.inputs):
                if not isinstance(tensor, Constant):
                    readers[tensor] = (readers.get(tensor, 0) + hash((node.op, i))) & _BITS
        for node in self.forward:
            before = [self.constant(t) if isinstance(t, Constant) else _maker(t) for t in node.inputs]
            self.local[node] = hash((self._attributes[node], *before, *(readers.get(t, 0) for t in node.outputs)))

    def _use(self, tensor: Tensor, use: int) -> None:
        if not isinstance(tensor, Constant):
            self._uses[tensor] = (self._uses.get(tensor, 0) + use) & _BITS


def bodies(node: Node) -> Iterator[tuple[tuple[str, int], Graph]]:
    """The graphs that are attributes of `node`, each with the attribute's name and the index in its list."""
    for name, value in node.attrs.items():
        for i, body in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(body, Graph):
                yield (name, i), body


def _maker(tensor: Tensor) -> int:
    return hash(tensor.inputs[0].op) if tensor.inputs else 1
