"""What stands between the two products of attention: scale, mask, bias, Softmax, Dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from regraft.ir.graph import Node, Tensor
from regraft.ops.traits import REARRANGES, REGROUPS
from regraft.regions.numbers import keeps_shape, number, scales
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
        place: which operand of it the probabilities are.
        nodes: from after the Softmax to the product, in order.
    """

    product: Node
    place: int
    nodes: tuple[Node, ...] = ()
    gates: tuple[Tensor, ...] = ()
    zeroes_nan: bool = False
    drops: bool = False


def find_scores(softmax: Node, keys_last: bool, facts: Facts) -> Scores | None:
    """The way back from `softmax` to a product; None where there is none."""
    failed = facts.found[find_scores]
    way = _first_way((softmax.inputs[0], keys_last), lambda place: _back(place, facts), failed)
    if way is None:
        return None
    factor, nodes = 1.0, list[Node]()
    biases, masks, gates = list[Bias](), list[Mask](), list[Tensor]()
    for node, part, place in way:  # the nearest to the Softmax first
        nodes.append(node)
        keys_last = place[1]
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
    way = _first_way((softmax.outputs[0], keys_last), lambda place: _forth(place, opset, facts), failed)
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
    place = next(i for i, t in enumerate(product.inputs) if t is last)
    return Context(product, place, tuple(nodes), tuple(gates), zeroes_nan, drops)


# ------------------------------------------------------------------------------------------------------ the search

Place = tuple[Tensor, bool]
"""A value on the way, and whether the keys are its last axis."""

Ways = Iterator[tuple[Node, Any, Place | None]]
"""Nodes that lead on from a place: what each is on the way, and the next place; None where the way ends."""


def _first_way(
    start: Place, ways: Callable[[Place], Ways], failed: dict[Place, None]
) -> list[tuple[Node, Any, Place]] | None:
    """The first way from `start` to an end: its nodes, what each is, and the place that it was reached from.

    Args:
        failed: the places from which no way ends, as other searches found; this one adds its own.
    """
    pending: list[tuple[Place | None, Any]] = [(start, None)]
    seen: dict[Place, None] = {}
    while pending:
        place, trail = pending.pop()
        if place is None:
            way = []
            while trail is not None:
                *step, trail = trail
                way.append(tuple(step))
            on_it = {reached for _, _, reached in way}
            failed.update((one, None) for one in seen if one not in on_it)
            return way[::-1]
        if place not in seen and place not in failed:
            seen[place] = None
            pending += [(after, (node, part, place, trail)) for node, part, after in ways(place)][::-1]
    failed.update(seen)
    return None


def _back(place: Place, facts: Facts) -> Ways:
    """Through what makes a value that can be scores."""
    tensor, keys_last = place
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
        for place in (1, 2):
            fill = number(node.inputs[3 - place], facts)
            if fill is not None and keeps_shape(node, node.inputs[place], facts):
                yield node.inputs[place], Mask(node.inputs[0], place == 1, fill, swapped, rank)
        return
    for place in (0, 1) if node.op == "Add" else (0,):
        if keeps_shape(node, node.inputs[place], facts):
            sign = -1.0 if node.op == "Sub" else 1.0
            yield node.inputs[place], Bias(node.inputs[1 - place], sign, swapped, rank)


def _forth(place: Place, opset: int, facts: Facts) -> Ways:
    """Through what reads a value that can be probabilities."""
    tensor, keys_last = place
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
