"""Types and shapes of every value, in names of the inputs' dimensions.

`analyse` walks the graphs once. For each node ONNX's own inference for its operator comes first; `rules` and
`values` add what that cannot say: sums and products of dimensions, and shapes that are computed by nodes. What
the model declares of its inputs is believed. Of what nodes make it is a claim, believed only where no rules of an
operator can contradict it: `confirm` holds a file's claims against the rules, once, before any pass reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from regraft.errors import GraphError
from regraft.files.fields import is_typed
from regraft.ir.graph import AnyGraph, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.ir.value import put_dtype, put_shape
from regraft.ir.weights import dtype_from_onnx
from regraft.shapes import dims
from regraft.shapes.analysis import analyse
from regraft.shapes.facts import Fact, Facts, declared

__all__ = ["Fact", "Facts", "analyse", "confirm", "declare_types", "infer"]


def infer(model: Model) -> list[str]:
    """Give every value of the main graph and of the graphs inside it its dtype and its shape.

    Returns:
        A line for each declaration that was wrong and is mended.

    Raises:
        GraphError: a node contradicts its operator's rules, or an output's dtype what the model declares of it.
    """
    facts = analyse(model)
    if facts.problems:
        raise GraphError(facts.problems[0])
    for tensor in model.graph.outputs:
        if _is_of_another_type(tensor, facts[tensor]):
            raise GraphError(f"{_wrong(tensor, facts[tensor])}; mend the declaration or the node that makes it")
    declare, mended = _Declare(model), []
    for graph in walk(model.graph):
        for tensor in _made(graph):
            mended += declare(tensor, facts[tensor])
        if graph is not model.graph:
            for tensor in graph.inputs:
                if isinstance(tensor, Variable) and (tensor.dtype is None or tensor.shape is None):
                    declare.write(tensor, facts[tensor])
    return mended


def declare_types(model: Model) -> None:
    """See to it that the values of the main graph have types and shapes, as far as they can be known."""
    nodes = (node for graph in walk(model.graph) for node in graph.nodes)
    if any(t.dtype is None or t.shape is None for node in nodes for t in node.outputs if t.name):
        infer(model)


def confirm(model: Model) -> list[str]:
    """Leave of what a file declares of the values inside, and of its outputs, only what is known of them.

    Returns:
        A line for each declaration that was wrong.
    """
    if not model.claims:
        return []
    facts, declare, mended = analyse(model), _Declare(model), []
    for graph in model.graphs():
        inner = () if graph is model.graph else graph.inputs
        for tensor in (*inner, *_made(graph)):
            if is_typed(tensor) and not (tensor in declare.outputs and _is_of_another_type(tensor, facts[tensor])):
                mended += declare(tensor, facts[tensor])
    model.claims = False
    return mended


def _made(graph: AnyGraph) -> Iterator[Variable]:
    """The values that nodes of `graph` make."""
    return (t for node in graph.nodes for t in node.outputs if t.name and isinstance(t, Variable))


class _Declare:
    """Declares of values what is known of them. A fact that many values share is looked at once.

    Attributes:
        outputs: those of the model and of its bodies: ONNX Runtime wants to know the shapes of those of a Scan.
    """

    def __init__(self, model: Model):
        self.outputs: set[Tensor] = {tensor for graph in model.graphs() for tensor in graph.outputs}
        self._known: dict[int, tuple[Fact, Any, list[Any] | None]] = {}

    def __call__(self, tensor: Variable, fact: Fact) -> list[str]:
        """Declare what is known, and say what was wrong; an output keeps the rest as a promise."""
        _, dtype, shape = self._shown(fact)
        is_same = dtype is not None and tensor.dtype is not None and tensor.dtype == dtype  # None equals float64
        if is_same and tensor.shape == shape and tensor.info is None and tensor not in self.outputs:
            return []
        wrong = [f"{_wrong(tensor, fact)}; mended"] if is_typed(tensor) and _contradicts(tensor, fact) else []
        if not wrong and tensor.shape is not None and tensor.promised is None and tensor in self.outputs:
            tensor.promised = list(tensor.shape)
        self.write(tensor, fact)
        return wrong

    def write(self, tensor: Variable, fact: Fact) -> None:
        """Declare what is known."""
        _, dtype, shape = self._shown(fact)
        if fact.other is None:
            put_shape(tensor, None if shape is None else shape.copy())
        elif tensor.info is None:
            tensor.info = onnx.ValueInfoProto(type=fact.other)
            tensor.type = fact.other.WhichOneof("value")
        if dtype is not None:
            put_dtype(tensor, dtype)

    def _shown(self, fact: Fact) -> tuple[Fact, Any, list[Any] | None]:
        """The fact, and the dtype and the shape that it says; None: unknown."""
        known = self._known.get(id(fact))
        if known is None:
            dtype = dtype_from_onnx(fact.code) if fact.code else None
            shape = None if fact.dims is None else [dims.show(d) for d in fact.dims]
            known = self._known[id(fact)] = fact, dtype, shape  # the fact is held, so that its identity stays its own
        return known


def _is_of_another_type(tensor: Tensor, fact: Fact) -> bool:
    said = declared(tensor).code if isinstance(tensor, Variable) else 0
    return said not in (0, fact.code) and fact.code != 0


def _contradicts(tensor: Variable, fact: Fact) -> bool:
    """Whether what is declared of `tensor` cannot be, given what is known."""
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in _pairs(declared(tensor), fact))


def _pairs(said: Fact, known: Fact) -> Iterator[tuple[Any, Any]]:
    if said.code and known.code:
        yield said.code, known.code
    if said.dims is not None and known.dims is not None:
        yield len(said.dims), len(known.dims)
        yield from zip(said.dims, known.dims, strict=False)


def _wrong(tensor: Tensor, fact: Fact) -> str:
    return f"'{tensor.name}' is declared {tensor.dtype}{tensor.shape}, but the graph makes {_shown(fact)}"


def _shown(fact: Fact) -> str:
    return f"{dtype_from_onnx(fact.code)}{[dims.show(d) for d in fact.dims or ()]}"
