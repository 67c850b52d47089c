"""What attention is masked with: the padding alone, or more, such as a distance, a window or an order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from regraft.folding.evaluate import Base, Program
from regraft.idioms.attention import Attention
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ops.traits import ELEMENTWISE, VIEWS
from regraft.packing.tokens import SIZING, Tokens
from regraft.regions.origin import origin
from regraft.rewriting.matcher import is_constant
from regraft.verification.runtime import RuntimeFailure

_FILLS = (VIEWS - {"Flatten", "Reshape"}) | {"ConstantOfShape", "Expand"}
"""What gives every place a number that it is given, beside operators that work element by element."""


def find_idle(attentions: Iterable[Attention], graph: AnyGraph, mask: Tensor, tokens: Tokens) -> set[Tensor]:
    """The values that change no score between tokens that are shown: they hide padding, and do nothing else.

    Such a value is a function, at each place, of what the mask says of that place's key or query; and it is what
    changes nothing where all are shown. What is computed of places, such as a window, is none.

    Args:
        mask: the input [B, S] that says which tokens are there.
    """
    parts = dict(pair for one in attentions for pair in _parts(one))
    order = {node: number for number, node in enumerate(graph.nodes)}
    return {
        tensor
        for tensor, unchanging in parts.items()
        if _is_of(mask, tensor, tokens) and _where_all_are_shown(tensor, graph, order, tokens) == unchanging
    }


def _parts(one: Attention) -> Iterator[tuple[Tensor, float]]:
    """What meets scores and weights, and what it is where it changes none."""
    yield from ((bias.tensor, 0) for bias in one.biases)
    yield from ((mask.tensor, mask.keeps) for mask in one.masks)
    yield from ((gate, 1) for gate in (*one.score_gates, *one.gates))


def _is_of(mask: Tensor, tensor: Tensor, tokens: Tokens) -> bool:
    """Whether each element follows from the mask at its key, and at its query."""
    known = tokens.facts[tensor].dims
    if known is None or any(tokens.counts_at(tensor, axis) for axis in range(1 - len(known), -2)):
        return False
    pending, seen = [tensor], set[Tensor]()
    while pending:
        current = pending.pop()
        if current is mask or current in seen:
            continue
        seen.add(current)
        if is_constant(current):
            if tokens.facts[current].dims is None or set(tokens.facts[current].dims or ()) - {1}:
                return False
            continue
        node = current.producer
        if node is None or node.domain or not (node.op in ELEMENTWISE or node.op in _FILLS):
            return False
        if node.op != "ConstantOfShape":
            pending += [t for i, t in enumerate(node.inputs) if i not in SIZING.get(node.op, ()) and not t.is_empty()]
    return True


def _where_all_are_shown(tensor: Tensor, graph: AnyGraph, order: Mapping[Node, int], tokens: Tokens) -> float | None:
    """The one number that `tensor` holds for a sequence of one token; None where it cannot be told."""
    source = origin(tensor)
    read = {t for node in source.nodes for t in node.inputs if not t.is_empty()}
    made = {out for node in source.nodes for out in node.outputs}
    bases: dict[Tensor, Base] = {}
    for start in ({tensor} | read) - made:
        if isinstance(start, Constant):
            bases[start] = start.lazy
        elif (known := tokens.facts[start].dims) is None or start.dtype is None:
            return None
        else:
            bases[start] = np.ones([dim if isinstance(dim, int) else 1 for dim in known], start.dtype)
    try:
        program = Program(sorted(source.nodes, key=order.__getitem__), [tensor], bases, graph, tokens.facts)
        values = program.run()[tensor]
    except RuntimeFailure:
        return None
    return float(values.flat[0]) if values.size == 1 else None
