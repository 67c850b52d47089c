"""What stands between the two products of attention: scale, mask, bias, Softmax, Dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from regraft.analysis.scalar_constants import keeps_shape, number, scales
from regraft.ir.graph import Node, Tensor
from regraft.ops.traits import REARRANGES, REGROUPS
from regraft.rewriting.matcher import drops_nothing
from regraft.shapes import Facts


class Bias(NamedTuple):
    """A value added to the scores: `factor` · `tensor`, after its last two axes are exchanged if it is `swapped`.

    Attributes:
        rank: of the scores where it is added; None where it is not known.
    """

    tensor: Tensor
    factor: float
    swapped: bool
    rank: int | None


class Mask(NamedTuple):
    """A choice between a score, where the condition `tensor` equals `keeps`, and `fill`; the rest as of a `Bias`."""

    tensor: Tensor
    keeps: bool
    fill: float
    swapped: bool
    rank: int | None


class Scores(NamedTuple):
    """What becomes of the product of queries and keys until the Softmax.

    Attributes:
        product: the MatMul, or an Einsum in its place.
        factor: the scale.
        keys_last: whether the product is `[.., queries, keys]`, not `[.., keys, queries]`.
        nodes: from the product to before the Softmax, in order.
        gates: values that the scores are multiplied by.
    """

    product: Node
    factor: float = 1.0
    keys_last: bool = True
    nodes: tuple[Node, ...] = ()
    biases: tuple[Bias, ...] = ()
    masks: tuple[Mask, ...] = ()
    gates: tuple[Tensor, ...] = ()


class Context(NamedTuple):
    """What becomes of the probabilities until the product with the values; fields as in `Attention`.

    Attributes:
        product: the MatMul.
        operand: which operand of it the probabilities are.
        nodes: from after the Softmax to the product, in order.
    """

    product: Node
    operand: int
    nodes: tuple[Node, ...] = ()
    gates: tuple[Tensor, ...] = ()
    zeroes_nan: bool = False
    drops: bool = False


def find_scores(softmax: Node, keys_last: bool, facts: Facts) -> Scores | None:
    """The way back from `softmax` to a product; None where there is none."""
    failed = facts.found[find_scores]
    way = _first_way((softmax.inputs[0], keys_last), lambda state: _back(state, facts), failed)
    if way is None:
        return None
    factor, nodes = 1.0, list[Node]()
    biases, masks, gates = list[Bias](), list[Mask](), list[Tensor]()
    for node, part, state in way:  # the nearest to the Softmax first
        nodes.append(node)
        keys_last = state[1]
        if isinstance(part, Bias):
            biases.append(part._replace(factor=part.factor * factor))
        elif isinstance(part, Mask):
            masks.append(part._replace(fill=part.fill * factor))
        elif isinstance(part, float):
            factor *= part
        elif part is not None:
            gates.append(part)
    for found in (nodes, biases, masks, gates):
        found.reverse()
    return Scores(nodes[0], factor, keys_last, tuple(nodes), tuple(biases), tuple(masks), tuple(gates))


def find_context(softmax: Node, keys_last: bool, opset: int, facts: Facts) -> Context | None:
    """The way on from `softmax` to a MatMul that sums over the keys; None where there is none."""
    failed = facts.found[find_context]
    way = _first_way((softmax.outputs[0], keys_last), lambda state: _forth(state, opset, facts), failed)
    if way is None:
        return None
    nodes, gates = list[Node](), list[Tensor]()
    zeroes_nan = drops = False
    for node, part, _ in way:
        if isinstance(part, Node):
            nodes.append(part)
            zeroes_nan = True
        elif part is not None:
            gates.append(part)
        nodes.append(node)
        drops = drops or (node.op == "Dropout" and not drops_nothing(node, opset))
    product, last = way[-1][0], way[-1][2][0]
    operand = next(i for i, t in enumerate(product.inputs) if t is last)
    return Context(product, operand, tuple(nodes), tuple(gates), zeroes_nan, drops)


# ------------------------------------------------------------------------------------------------------ the search

State = tuple[Tensor, bool]
"""A value on the way, and whether the keys are its last axis."""

Ways = Iterator[tuple[Node, Any, State | None]]
"""Nodes that lead on from a state: what each is on the way, and the next state; None where the way ends."""


def _first_way(
    start: State, ways: Callable[[State], Ways], failed: dict[State, None]
) -> list[tuple[Node, Any, State]] | None:
    """The first way from `start` to an end: its nodes, what each is, and the state that it was reached from.

    Args:
        failed: the places from which no way ends, as other searches found; this one adds its own.
    """
    pending: list[tuple[State | None, Any]] = [(start, None)]
    seen: dict[State, None] = {}
    while pending:
        state, trail = pending.pop()
        if state is None:
            way = []
            while trail is not None:
                *step, trail = trail
                way.append(tuple(step))
            on_it = {reached for _, _, reached in way}
            failed.update((one, None) for one in seen if one not in on_it)
            return way[::-1]
        if state not in seen and state not in failed:
            seen[state] = None
            pending += [(after, (node, part, state, trail)) for node, part, after in ways(state)][::-1]
    failed.update(seen)
    return None


def _back(state: State, facts: Facts) -> Ways:
    """Through what makes a value that can be scores."""
    tensor, keys_last = state
    node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if node is None or node.domain:
        return
    if node.op in ("MatMul", "Einsum"):
        yield node, None, None
    elif node.op in ("Add", "Sub", "Where"):
        for source, part in _chosen(node, keys_last, facts):
            yield node, part, (source, keys_last)
    elif (scaled := scales(node, facts)) is not None:
        yield node, scaled[1], (scaled[0], keys_last)
    elif node.op == "Mul":
        for source, gate in (node.inputs, node.inputs[::-1]):
            if keeps_shape(node, source, facts):
                yield node, gate, (source, keys_last)
    elif (kept := _kept(node, keys_last, facts)) is not None:
        yield node, None, (node.inputs[0], kept)


def _chosen(node: Node, keys_last: bool, facts: Facts) -> Iterator[tuple[Tensor, Bias | Mask]]:
    """Each operand of a sum or a choice that can be the scores, and what the other one is."""
    known = facts[node.outputs[0]].dims
    rank, swapped = None if known is None else len(known), not keys_last
    if node.op == "Where":
        for index in (1, 2):
            fill = number(node.inputs[3 - index], facts)
            if fill is not None and keeps_shape(node, node.inputs[index], facts):
                yield node.inputs[index], Mask(node.inputs[0], index == 1, fill, swapped, rank)
        return
    for index in (0, 1) if node.op == "Add" else (0,):
        if keeps_shape(node, node.inputs[index], facts):
            sign = -1.0 if node.op == "Sub" else 1.0
            yield node.inputs[index], Bias(node.inputs[1 - index], sign, swapped, rank)


def _forth(state: State, opset: int, facts: Facts) -> Ways:
    """Through what reads a value that can be probabilities."""
    tensor, keys_last = state
    for node in dict.fromkeys(tensor.outputs):
        if node.domain:
            continue
        first = next(i for i, t in enumerate(node.inputs) if t is tensor)
        if node.op == "MatMul":
            if keys_last == (first == 0):
                yield node, None, None
        elif node.op == "Where":
            guard = _guard(node, tensor, facts)
            if guard is not None:
                yield node, guard, (node.outputs[0], keys_last)
        elif node.op == "Mul" and keeps_shape(node, tensor, facts):
            yield node, node.inputs[1 - first], (node.outputs[0], keys_last)
        elif node.op == "Dropout":
            yield node, None, (node.outputs[0], keys_last)
        elif not first and (kept := _kept(node, keys_last, facts)) is not None:
            yield node, None, (node.outputs[0], kept)


def _guard(node: Node, tensor: Tensor, facts: Facts) -> Node | None:
    """The IsNaN of a Where that makes 0 of what is no number in `tensor`."""
    test = node.inputs[0].producer
    is_guard = test is not None and test.op == "IsNaN" and test.inputs[0] is tensor and node.inputs[2] is tensor
    return test if is_guard and number(node.inputs[1], facts) == 0 else None


def _kept(node: Node, keys_last: bool, facts: Facts) -> bool | None:
    """Whether the keys are last on the other side of `node`; None where it does not keep the last two axes."""
    if node.op in ("Identity", "Cast"):
        return keys_last
    if node.op not in REARRANGES:
        return None
    before, after = facts[node.inputs[0]].dims, facts[node.outputs[0]].dims
    if before is None or after is None or len(before) < 2 or len(after) < 2:
        return None
    if node.op in REGROUPS:
        return keys_last if before[-2:] == after[-2:] else None
    perm, rank = list(node.attrs.get("perm", range(len(before))[::-1])), len(before)
    swap = [*range(rank - 2), rank - 1, rank - 2]
    return not keys_last if perm == swap else keys_last if perm == list(range(rank)) else None
