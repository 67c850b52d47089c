"""What stands between the two products of attention: scale, mask, bias, Softmax, Dropout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from regraft.ir.graph import Node, Tensor
from regraft.regions.numbers import keeps_shape, number, scales
from regraft.rewriting.matcher import drops_nothing
from regraft.shapes import Facts

_FAR = 24  # nodes between a product and the Softmax at most
_CHOICES = 5  # of them, those with two operands that could lead to the product


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
    start = Scores(softmax, keys_last=keys_last)
    return next(_back(softmax.inputs[0], start, facts, _CHOICES), None)


def find_context(softmax: Node, keys_last: bool, opset: int, facts: Facts) -> Context | None:
    """The way on from `softmax` to a MatMul that sums over the keys; None where there is none."""
    return next(_forth(softmax.outputs[0], keys_last, Context(softmax, 0), opset, facts), None)


def _back(tensor: Tensor, found: Scores, facts: Facts, choices: int) -> Iterator[Scores]:
    node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if node is None or node.domain or len(found.nodes) > _FAR or choices < 0:
        return
    found = found._replace(nodes=(node, *found.nodes))
    if node.op in ("MatMul", "Einsum"):
        yield found._replace(product=node)
    elif node.op in ("Add", "Sub", "Where"):
        for source, more in _chosen(node, found, facts):
            yield from _back(source, more, facts, choices - 1)
    elif (scaled := scales(node, facts)) is not None:
        yield from _back(scaled[0], found._replace(factor=found.factor * scaled[1]), facts, choices)
    elif node.op == "Mul":
        for source, gate in (node.inputs, node.inputs[::-1]):
            if keeps_shape(node, source, facts):
                yield from _back(source, found._replace(gates=(gate, *found.gates)), facts, choices - 1)
    elif (kept := _kept(node, found.keys_last, facts)) is not None:
        yield from _back(node.inputs[0], found._replace(keys_last=kept), facts, choices)


def _chosen(node: Node, found: Scores, facts: Facts) -> Iterator[tuple[Tensor, Scores]]:
    """Each operand of a sum or a choice that can be the scores, and what the other one is."""
    known = facts[node.outputs[0]].dims
    rank, swapped = None if known is None else len(known), not found.keys_last
    if node.op == "Where":
        for place in (1, 2):
            fill = number(node.inputs[3 - place], facts)
            if fill is not None and keeps_shape(node, node.inputs[place], facts):
                mask = Mask(node.inputs[0], place == 1, fill * found.factor, swapped, rank)
                yield node.inputs[place], found._replace(masks=(mask, *found.masks))
        return
    for place in (0, 1) if node.op == "Add" else (0,):
        if keeps_shape(node, node.inputs[place], facts):
            sign = -1.0 if node.op == "Sub" else 1.0
            bias = Bias(node.inputs[1 - place], sign * found.factor, swapped, rank)
            yield node.inputs[place], found._replace(biases=(bias, *found.biases))


def _forth(tensor: Tensor, keys_last: bool, found: Context, opset: int, facts: Facts) -> Iterator[Context]:
    if len(found.nodes) > _FAR:
        return
    for node in dict.fromkeys(tensor.outputs):
        if node.domain:
            continue
        more = found._replace(nodes=(*found.nodes, node))
        place = next(i for i, t in enumerate(node.inputs) if t is tensor)
        if node.op == "MatMul":
            if keys_last == (place == 0):
                yield more._replace(product=node, place=place)
            continue
        if node.op == "Where":
            guard = _guard(node, tensor, facts)
            if guard is None:
                continue
            more = found._replace(nodes=(*found.nodes, guard, node), zeroes_nan=True)
        elif node.op == "Mul" and keeps_shape(node, tensor, facts):
            more = more._replace(gates=(*more.gates, node.inputs[1 - place]))
        elif node.op == "Dropout":
            more = more._replace(drops=more.drops or not drops_nothing(node, opset))
        elif place or (kept := _kept(node, keys_last, facts)) is None:
            continue
        else:
            yield from _forth(node.outputs[0], kept, more, opset, facts)
            continue
        yield from _forth(node.outputs[0], keys_last, more, opset, facts)


def _guard(node: Node, tensor: Tensor, facts: Facts) -> Node | None:
    """The IsNaN of a Where that makes 0 of what is no number in `tensor`."""
    maker: Node | None = node.inputs[0].inputs[0] if node.inputs[0].inputs else None
    is_guard = maker is not None and maker.op == "IsNaN" and maker.inputs[0] is tensor and node.inputs[2] is tensor
    return maker if is_guard and number(node.inputs[1], facts) == 0 else None


def _kept(node: Node, keys_last: bool, facts: Facts) -> bool | None:
    """Whether the keys are last on the other side of `node`; None where it does not keep the last two axes."""
    if node.op in ("Identity", "Cast"):
        return keys_last
    before, after = facts[node.inputs[0]].dims, facts[node.outputs[0]].dims
    if before is None or after is None or len(before) < 2 or len(after) < 2:
        return None
    if node.op in ("Reshape", "Squeeze", "Unsqueeze"):
        return keys_last if before[-2:] == after[-2:] else None
    if node.op == "Transpose":
        perm, rank = list(node.attrs.get("perm", range(len(before))[::-1])), len(before)
        swap = [*range(rank - 2), rank - 1, rank - 2]
        return not keys_last if perm == swap else keys_last if perm == list(range(rank)) else None
    return None
