"""Types and shapes of every value, in names of the inputs' dimensions.

`analyse` walks the graphs once. For each node ONNX's own inference for its operator comes first; `rules` and
`values` add what that cannot say: sums and products of dimensions, and shapes that are computed by nodes. What
the model declares of its inputs is believed; of what nodes make, only where nothing can be inferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from regraft.errors import GraphError
from regraft.ir.graph import Variable, walk
from regraft.ir.model import Model
from regraft.ir.weights import dtype_from_onnx
from regraft.shapes import dims
from regraft.shapes.analysis import analyse
from regraft.shapes.facts import Fact, Facts, declared

__all__ = ["Fact", "Facts", "analyse", "infer"]


def infer(model: Model) -> list[str]:
    """Give every value of the main graph and of the graphs inside it its dtype and its shape.

    Returns:
        A line for each declaration of a value inside that was wrong and is mended.

    Raises:
        GraphError: a node contradicts its operator's rules, or an output what the model declares of it.
    """
    facts = analyse(model)
    if facts.problems:
        raise GraphError(facts.problems[0])
    for tensor in model.graph.outputs:
        if isinstance(tensor, Variable):
            facts[tensor] = _settle(tensor, facts[tensor])
    mended = []
    for graph in walk(model.graph):
        for node in graph.nodes:
            for tensor in node.outputs:
                if not tensor.name or not isinstance(tensor, Variable):
                    continue
                if _contradicts(tensor, facts[tensor]):
                    mended.append(f"'{tensor.name}' was declared {tensor.dtype}{tensor.shape}: {_shown(facts[tensor])}")
                _write(tensor, facts[tensor])
        if graph is not model.graph:
            for tensor in graph.inputs:
                if isinstance(tensor, Variable) and (tensor.dtype is None or tensor.shape is None):
                    _write(tensor, facts[tensor])
    return mended


def _write(tensor: Variable, fact: Fact) -> None:
    """Declare of `tensor` what is known of it."""
    if fact.other is not None and tensor.info is None:
        tensor.info = onnx.ValueInfoProto(type=fact.other)
        tensor.type = fact.other.WhichOneof("value")
    if fact.code:
        tensor.dtype = dtype_from_onnx(fact.code)
        tensor.shape = None if fact.dims is None else [dims.show(d) for d in fact.dims]


def _settle(tensor: Variable, fact: Fact) -> Fact:
    """What is known of an output, and where that is less, what the model promises of it."""
    if _contradicts(tensor, fact):
        raise GraphError(
            f"output '{tensor.name}' is declared {tensor.dtype}{tensor.shape}, but the graph makes {_shown(fact)}; "
            "mend the declaration or the node that makes it"
        )
    said = declared(tensor)
    if fact.dims is None or said.dims is None:
        return fact
    return fact._replace(
        dims=tuple(
            d if isinstance(d, int) or (dims.is_named(d) and not isinstance(s, int)) else s
            for d, s in zip(fact.dims, said.dims, strict=True)
        )
    )


def _contradicts(tensor: Variable, fact: Fact) -> bool:
    """Whether what is declared of `tensor` cannot be, given what is known."""
    return any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in _pairs(declared(tensor), fact))


def _pairs(said: Fact, known: Fact) -> Iterator[tuple[Any, Any]]:
    if said.code and known.code:
        yield said.code, known.code
    if said.dims is not None and known.dims is not None:
        yield len(said.dims), len(known.dims)
        yield from zip(said.dims, known.dims, strict=False)


def _shown(fact: Fact) -> str:
    return f"{dtype_from_onnx(fact.code)}{[dims.show(d) for d in fact.dims or ()]}"
