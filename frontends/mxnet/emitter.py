"""Grows the ONNX graph; the shape of each value is inferred when it is made."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.weights import Array, Value, dtype_from_onnx
from regraft.pipelines.frontend import FrontendError
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Apply, Given, Term
from regraft.shapes import dims
from regraft.shapes.analysis import Walker
from regraft.shapes.facts import Facts


class Emitter:
    """The graph under construction, in the default domain at `opset`.

    Args:
        variables: the names of inputs and parameters.
        operations: the names reserved for terms.
    """

    def __init__(self, opset: int, variables: Iterable[str], operations: Iterable[str]):
        self.opset = opset
        self.nodes: list[Node] = []
        self.facts = Facts()
        self._walker = Walker(self.facts)
        self._walker.start(Model(Graph(opset=opset)))
        self._taken = set(variables)
        self._promised = {n for name in operations for n in (name, output_name(name))} - self._taken
        self._next: Counter[str] = Counter()
        self._constants: dict[tuple[Any, ...], Constant] = {}
        self._made: dict[tuple[Any, ...], Tensor] = {}
        self._own = False  # whether the next node is the term's own

    def name(self, hint: str, own: bool = False) -> str:
        """`hint`, or a similar name if that is taken, or reserved for a term and this is not the term's own."""
        name = hint
        if own:
            self._promised.discard(name)
        while name in self._taken or name in self._promised:
            self._next[hint] += 1
            name = f"{hint}_{self._next[hint]}"
        self._taken.add(name)
        return name

    def build(self, term: Term, name: str, dtype: np.dtype[Any], metadata: dict[str, str]) -> Tensor:
        """The value of `term`, whose numbers are of `dtype`.

        The node that produces it is named `name`, those before it `name/Op`; equal ones are made once.
        """
        builder = Builder(functools.partial(self._emit, name, metadata), self._store, self.opset, dtype)
        if isinstance(term, Apply):
            for operand in term.operands:
                builder(operand)
            self._own = True
            result = builder(term)
            self._own = False
            return result
        if isinstance(term, Given) and isinstance(term.value, np.ndarray):
            return self._store(term.value, f"{name}/value")
        return builder(term)

    def graph(self, name: str, inputs: list[Variable], outputs: Sequence[Tensor]) -> Graph:
        """The finished graph, without dead nodes."""
        needed: set[Node] = set()
        pending = [node for tensor in outputs for node in tensor.inputs]
        while pending:
            node = pending.pop()
            if node not in needed:
                needed.add(node)
                pending += [producer for tensor in reads(node) for producer in tensor.inputs]
        nodes = [node for node in self.nodes if node in needed]
        for node in self.nodes:
            if node not in needed:
                node.inputs.clear()
        return Graph(nodes, inputs, outputs, name=name, opset=self.opset)

    def _emit(
        self,
        stem: str,
        metadata: dict[str, str],
        op: str,
        inputs: list[Tensor],
        attrs: dict[str, Any],
        domain: str | None,
    ) -> Tensor:
        key = (op, *map(id, inputs), repr(attrs))
        if key in self._made and not self._own:
            return self._made[key]
        name = self.name(stem if self._own else f"{stem}/{op}", self._own)
        node = Node(op, name, attrs, inputs, [Variable(self.name(output_name(name), self._own))], domain)
        node.metadata.update(metadata)
        self.nodes.append(node)
        self._walker.node(node, self.opset, {})
        if self.facts.problems:
            raise FrontendError(f"{self.facts.problems[0]}; do the shapes of the inputs fit?")
        output = node.outputs[0]
        fact = self.facts[output]
        output.dtype = dtype_from_onnx(fact.code)
        output.shape = None if fact.dims is None else [dims.show(dim) for dim in fact.dims]
        self._made.setdefault(key, output)
        return output

    def _store(self, values: Array | Value, hint: str) -> Constant:
        """A constant; the same one for equal values."""
        assert isinstance(values, np.ndarray)
        key = (values.dtype, values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = Constant(self.name(hint), values)
        return self._constants[key]


def output_name(node: str) -> str:
    """MXNet's name of the output of a node."""
    return f"{node}_output"
