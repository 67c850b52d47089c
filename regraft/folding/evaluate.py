"""Compute, in ONNX Runtime and now, what nodes make of constants.

ONNX Runtime runs the nodes as they are written, so the results are those of the model, bit for bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.files.wire import LARGE
from regraft.ir.graph import AnyGraph, Constant, Graph, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.weights import Array, Derived, Sparse, Value, dtype_from_onnx, packed_size
from regraft.ops.traits import REARRANGES
from regraft.shapes.facts import Facts
from regraft.shapes.keys import plain
from regraft.verification.runtime import Session

LAZY = 1 << 16
"""Bytes from which a result is computed while saving, not kept."""

Base = Array | Value


class Program:
    """Nodes that compute `outputs`, as a function of the large ones among `bases`.

    Args:
        nodes: in order; all they read is in `bases` or made by one of them.
        bases: the values to start from.
        graph: whose operator sets the nodes are of.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Tensor],
        bases: Mapping[Tensor, Base],
        graph: AnyGraph,
        facts: Facts,
    ):
        names = {tensor: f"v{i}" for i, tensor in enumerate([*bases, *(t for n in nodes for t in n.outputs)])}
        own: dict[Tensor, Tensor] = {t: _constant(names[t], held) for t, held in bases.items() if held.nbytes < LARGE}
        self.feeds = {names[t]: held for t, held in bases.items() if t not in own}
        for tensor, held in bases.items():
            if tensor not in own:
                own[tensor] = Variable(names[tensor], np.dtype(held.dtype), list(held.shape))
        inputs = [t for t in own.values() if isinstance(t, Variable)]
        for node in nodes:
            for tensor in node.outputs:
                code = facts[tensor].code
                own[tensor] = Variable(names[tensor] if tensor.name else "", dtype_from_onnx(code) if code else None)
        copies = [_copy(node, own) for node in nodes]
        self.outputs = {names[t]: t for t in outputs}
        self._model = Model(
            Graph(copies, inputs, [own[t] for t in outputs], opset=graph.opset, import_domains=graph.import_domains)
        )

    def run(self) -> dict[Tensor, Array]:
        """The outputs. Raises RuntimeFailure where ONNX Runtime refuses or fails."""
        try:
            return self._run(*(held if isinstance(held, np.ndarray) else held.load() for held in self.feeds.values()))
        finally:
            for held in self.feeds.values():
                if isinstance(held, Value):
                    held.release()

    def _run(self, *arrays: Array) -> dict[Tensor, Array]:
        results = Session(self._model).run(dict(zip(self.feeds, arrays, strict=True)))
        return {self.outputs[name]: np.asarray(value) for name, value in results.items()}

    def later(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Derived:
        """Its one output as a value that is computed when it is needed."""
        (output,) = self.outputs.values()
        return Derived(list(self.feeds.values()), lambda *arrays: self._run(*arrays)[output], shape, dtype)


def cone(outputs: Sequence[Tensor], bases: Mapping[Tensor, Base], order: Mapping[Node, int]) -> list[Node]:
    """The nodes that make `outputs` from `bases`, in order."""
    found: set[Node] = set()
    stack = list(outputs)
    while stack:
        tensor = stack.pop()
        if tensor.name and tensor not in bases and tensor.inputs[0] not in found:
            found.add(tensor.inputs[0])
            stack += tensor.inputs[0].inputs
    return sorted(found, key=order.__getitem__)


class Evaluator:
    """Computes values that depend on `bases` only, those that are alike once.

    Attributes:
        failed: why, of each node that could not run.
    """

    def __init__(self, bases: Mapping[Tensor, Base], order: Mapping[Node, int], facts: Facts):
        self.bases, self.order, self.facts = bases, order, facts
        self.failed: dict[Node, str] = {}

    def values(self, outputs: Sequence[Tensor]) -> dict[Tensor, Array | Derived]:
        """The values of `outputs`, the large ones as values to be computed later."""
        batches: dict[Any, list[Tensor]] = {}
        results: dict[Tensor, Array | Derived] = {}
        for tensor in outputs:
            if self.size(tensor) >= LAZY:
                results |= self._later(tensor)
            else:
                graph = tensor.inputs[0].graph
                versions = tuple((e.domain, e.version) for e in graph.import_domains or ())
                batches.setdefault((graph.opset, versions), []).append(tensor)
        for batch in batches.values():
            results |= self._once(batch)
        return results

    def size(self, tensor: Tensor) -> int:
        """Bytes of `tensor`, whose shape is known."""
        fact = self.facts[tensor]
        return packed_size(fact.sizes or (), fact.code)

    def _once(self, outputs: list[Tensor]) -> dict[Tensor, Array | Derived]:
        """The values of `outputs`, of one graph's operators; of those that are computed alike the first is computed."""
        first: dict[Tensor, Tensor] = {}
        alike: dict[Node, list[Node]] = {}
        known: dict[Hashable, Node] = {}
        for node in self._nodes(outputs):
            twin = known.setdefault(self._key(node, first), node)
            alike.setdefault(twin, []).append(node)
            first.update(zip(node.outputs, twin.outputs, strict=True))
        made = self._now(list(dict.fromkeys(first[tensor] for tensor in outputs)))
        for node in [node for node in self.failed if node in alike]:
            self.failed.update(dict.fromkeys(alike[node], self.failed[node]))
        return {tensor: made[first[tensor]] for tensor in outputs if first[tensor] in made}

    def _key(self, node: Node, first: Mapping[Tensor, Tensor]) -> Hashable:
        """What nodes that compute the same have in common; `first` has for what they read what stands for it."""
        attrs = plain(node.attrs)
        if attrs is None:
            return node
        read = [_contents(self.bases[t]) if t in self.bases else first.get(t) for t in node.inputs]
        return node.op, node.domain, attrs, tuple(read), tuple(bool(t.name) for t in node.outputs)

    def _now(self, outputs: list[Tensor]) -> dict[Tensor, Array | Derived]:
        program = self._program(outputs)
        try:
            return dict(program.run())
        except RegraftError as error:
            if len(outputs) > 1:
                half = len(outputs) // 2
                return self._now(outputs[:half]) | self._now(outputs[half:])
            self._blame(outputs[0], error)
            return {}

    def _later(self, output: Tensor) -> dict[Tensor, Array | Derived]:
        program = self._program([output])
        try:
            if not all(node.op in REARRANGES for node in self._nodes([output])):  # these cannot fail
                program.run()
        except RegraftError as error:
            self._blame(output, error)
            return {}
        fact = self.facts[output]
        return {output: program.later(fact.sizes or (), dtype_from_onnx(fact.code))}

    def _blame(self, output: Tensor, error: RegraftError) -> None:
        """Find the node that fails when `output` is computed."""
        for node in self._nodes([output]):
            try:
                self._program([t for t in node.outputs if t.name]).run()
            except RegraftError as cause:
                self.failed[node] = str(cause)
                return
        self.failed[output.inputs[0]] = str(error)

    def _nodes(self, outputs: Sequence[Tensor]) -> list[Node]:
        return cone(outputs, self.bases, self.order)

    def _program(self, outputs: Sequence[Tensor]) -> Program:
        nodes = self._nodes(outputs)
        read = {t: self.bases[t] for n in nodes for t in n.inputs if t in self.bases}
        return Program(nodes, outputs, read, outputs[0].inputs[0].graph, self.facts)


def _contents(held: Base) -> Hashable:
    """What tells a small array from others; any other value is itself alone."""
    if isinstance(held, np.ndarray) and held.nbytes < LARGE and not held.dtype.hasobject:
        return held.dtype, held.shape, held.tobytes()
    return id(held)


def _constant(name: str, held: Base) -> Constant:
    return Constant(name, held.load() if isinstance(held, Sparse) else held)


def _copy(node: Node, own: Mapping[Tensor, Tensor]) -> Node:
    inputs = [own[t] if t.name else Variable("") for t in node.inputs]
    return Node(node.op, node.name, node.attrs, inputs, [own[t] for t in node.outputs], node.domain)
