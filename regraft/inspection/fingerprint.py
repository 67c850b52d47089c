"""Fingerprints of nodes: hashes of what leads to a node, of what follows it, and of its neighbours.

Names do not count, nor does whether a default is stated, and whether a constant is an initializer or a node's. Large
constants count by dtype and shape only: no weight is read. Each takes one pass over the nodes, when it is first asked
for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from regraft.files.wire import LARGE
from regraft.inspection.attributes import meant
from regraft.inspection.census import operator
from regraft.ir.graph import AnyGraph, Constant, Graph, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.node import PLAIN
from regraft.ir.weights import Sparse

_BITS = 2**61 - 1
_NEAR = 64  # readers that tell a node


class Fingerprints:
    """The fingerprints of all nodes of a model, which must stay as it is.

    Args:
        ends: the key of each input and output of the main graph.

    Attributes:
        forward: of the operator, its attributes and bodies, and everything before it.
        scope: of where the node's graph is: in which function, in which attribute.
        operator: the operator of each node, with its domain.
    """

    def __init__(self, model: Model, ends: Mapping[Tensor, object]):
        self.forward: dict[Node, int] = {}
        self.scope: dict[Node, int] = {}
        self.operator: dict[Node, str] = {}
        self._attributes: dict[Node, int] = {}
        self._local: dict[Node, int] = {}
        self._plain: dict[tuple[str, int], int] = {}  # of operators without attributes
        self._values: dict[Tensor, int] = {}
        self._starts: dict[AnyGraph, dict[Tensor, int]] = {}
        self._opsets: dict[AnyGraph, int] = {}
        self._root(model.graph, 0, {t: hash(end) for t, end in ends.items()})
        for function in model.functions:
            base = hash(function.unique_id)
            self._root(function, base, {t: hash((base, i)) for i, t in enumerate(function.inputs)})

    @functools.cached_property
    def backward(self) -> dict[Node, int]:
        """Of the operator, its attributes, and everything after it."""
        found: dict[Node, int] = {}
        uses: dict[Tensor, int] = {}
        for graph, starts in self._starts.items():
            for place, tensor in enumerate(graph.outputs):
                _use(uses, tensor, starts.get(tensor, place))
            self._backward(graph, found, uses)
        return found

    def local(self, node: Node) -> int:
        """Of the operators of `node` and its neighbours, its attributes, and its constants."""
        if node in self._local:
            return self._local[node]
        before = [_maker(t) if held(t) is None else self.value(t) for t in node.inputs]
        readers = [hash((one.op, one.inputs.index(t))) for t in node.outputs for one in t.outputs[:_NEAR]]
        found = self._local[node] = hash((self._attributes[node], *before, *sorted(readers)))
        return found

    def meant(self, node: Node) -> Mapping[str, Any]:
        """The attributes of `node`, those that say a default aside."""
        return meant(node, self._opsets[node.graph])

    def readers(self, node: Node) -> int:
        """Of the operator of `node`, and of those that read from it."""
        read_by = {reader.op for tensor in node.outputs for reader in tensor.outputs[:_NEAR]}
        return hash((self.operator[node], *sorted(read_by)))

    def outline(self, node: Node, makers: bool = True) -> int:
        """Of the operator of `node`, of the shapes of its constants, and of the operators that it reads from."""
        constants = map(held, node.inputs)
        before = [
            tuple(constant.shape) if constant is not None else _maker(tensor) if makers else 0
            for tensor, constant in zip(node.inputs, constants, strict=True)
        ]
        return hash((self.operator[node], *before))

    def value(self, tensor: Tensor) -> int:
        """The forward fingerprint of a value; of a constant, of dtype and shape, and of the elements if it is small."""
        found = self._values.get(tensor, 0)
        if not found and isinstance(tensor, Constant):
            found = self._values[tensor] = constant_hash(tensor)
        return found

    def _root(self, graph: AnyGraph, scope: int, starts: dict[Tensor, int]) -> None:
        self._starts[graph] = starts
        self._values.update((tensor, start) for tensor, start in starts.items() if not isinstance(tensor, Constant))
        self._forward(graph, scope, graph.opset)

    def _forward(self, graph: AnyGraph, scope: int, opset: int) -> None:
        self._opsets[graph] = opset
        known, value, values, holders = self._values.get, self.value, self._values, graph.nodes.holders
        for node in graph.nodes:
            self.scope[node] = scope
            attributes = self._attributes[node] = self._kind(node, opset)
            head = hash((attributes, *[known(tensor) or value(tensor) for tensor in node.inputs]))
            if node in holders:
                head = self._through_bodies(node, head, scope, opset)
            self.forward[node] = head
            for i, tensor in enumerate(node.outputs):
                values[tensor] = hash((head, i))
            if node.op == "Constant" and node.outputs and (constant := held(node.outputs[0])) is not None:
                values[node.outputs[0]] = constant_hash(constant)

    def _kind(self, node: Node, opset: int) -> int:
        """A hash of the operator and its attributes."""
        name = self.operator[node] = operator(node)
        if not node.attrs and (name, opset) in self._plain:
            return self._plain[name, opset]
        attributes = meant(node, opset)
        found = hash((name, *sorted((key, attribute_hash(value)) for key, value in attributes.items())))
        if not node.attrs:
            self._plain[name, opset] = found
        return found

    def _through_bodies(self, node: Node, head: int, scope: int, opset: int) -> int:
        results = [head]
        for place, body in bodies(node):
            for i, tensor in enumerate(body.inputs):
                self._values[tensor] = hash((head, place, i))
            self._forward(body, hash((scope, place)), opset)
            results.append(hash((place, *map(self.value, body.outputs))))
        return hash(tuple(results))

    def _backward(self, graph: AnyGraph, found: dict[Node, int], uses: dict[Tensor, int]) -> None:
        used, holders = uses.get, graph.nodes.holders
        for node in reversed(graph.nodes):
            tail = found[node] = hash((self._attributes[node], *[used(tensor, 0) for tensor in node.outputs]))
            if node in holders:
                for place, body in bodies(node):
                    for i, tensor in enumerate(body.outputs):
                        _use(uses, tensor, hash((tail, place, i)))
                    self._backward(body, found, uses)
            for i, tensor in enumerate(node.inputs):
                _use(uses, tensor, hash((tail, i)))


def bodies(node: Node) -> Iterator[tuple[tuple[str, int], Graph]]:
    """The graphs that are attributes of `node`, each with the attribute's name and the index in its list."""
    for name, value in node.attrs.items():
        for i, body in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(body, Graph):
                yield (name, i), body


def attribute_hash(value: Any) -> int:
    """A hash of an attribute's value; bodies count as nothing."""
    if type(value) in PLAIN:
        return hash(repr(value))  # NaN equals NaN so
    if isinstance(value, Graph):
        return 0
    if isinstance(value, Constant):
        return constant_hash(value)
    if isinstance(value, Node.AttributeRef):
        return hash(("reference", value.name))
    if isinstance(value, list):
        return hash((getattr(value, "type", 0) if not value else 0, *map(attribute_hash, value)))
    if hasattr(value, "SerializeToString"):
        return hash(value.SerializeToString(deterministic=True))
    return hash(repr(value))


def constant_hash(constant: Constant) -> int:
    """A hash of dtype and shape, and of the elements where there are few."""
    content: Any = None
    if constant.nbytes < LARGE and constant.is_known and not isinstance(constant.lazy, Sparse):
        values = constant.values
        content = repr(values.tolist()) if values.dtype.hasobject else values.tobytes()
    return hash((_name(constant.dtype), tuple(constant.shape), content))


_name = functools.cache(str)
"""The name of a dtype, which NumPy puts together each time."""


def _use(uses: dict[Tensor, int], tensor: Tensor, use: int) -> None:
    """Count one use more of `tensor`."""
    if not isinstance(tensor, Constant):
        uses[tensor] = (uses.get(tensor, 0) + use) & _BITS


def held(tensor: Tensor) -> Constant | None:
    """The constant that `tensor` is, as an initializer or by a Constant node."""
    if isinstance(tensor, Constant):
        return tensor
    maker = tensor.inputs[0] if tensor.inputs else None
    value = maker.attrs.get("value") if maker is not None and maker.op == "Constant" and not maker.domain else None
    return value if isinstance(value, Constant) else None


def _maker(tensor: Tensor) -> int:
    return hash(tensor.inputs[0].op) if tensor.inputs else 1
