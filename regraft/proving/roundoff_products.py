"""How operators round that sum products, in whatever order."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.analysis.dataflow import TypedNode
from regraft.ir import schema
from regraft.ir.graph import Constant, Tensor
from regraft.proving.rounded import NoBound, Rounded, either
from regraft.proving.roundoff_elementwise import format_at
from regraft.proving.roundoff_sums import product


def _magnitudes(node: TypedNode, tensor: Tensor, axis: int, fact: Rounded, count: int) -> float:
    """The largest sum of the magnitudes along an axis of what is multiplied."""
    if isinstance(tensor, Constant) and tensor.is_known:
        values = np.abs(tensor.values.astype(np.float64 if tensor.dtype.kind == "V" else tensor.dtype))
        return float(values.sum(axis, dtype=np.float64).max(initial=0.0))
    if axis == -1 and _are_shares(node, tensor):
        return 1 + 2 * count * format_at(node).unit
    return count * fact.magnitude


def _are_shares(node: TypedNode, tensor: Tensor) -> bool:
    """Whether the elements along the last axis are what a Softmax makes, of which the sum is 1."""
    maker, rank = tensor.producer, len(node.dims(tensor) or ())
    if maker is None:
        return False
    if schema.kind(maker) == "Softmax":
        return schema.attribute(maker, "axis", node.opset) in (-1, rank - 1)
    total = maker.inputs[1].producer if maker.op == "Div" and not maker.domain else None
    if total is None or total.op != "ReduceSum" or total.inputs[0] is not maker.inputs[0]:
        return False
    part = maker.inputs[0].producer
    return part is not None and part.op == "Exp" and schema.attribute(total, "axes", node.opset) in ([-1], [rank - 1])


def _dot(
    node: TypedNode, places: tuple[tuple[Tensor, int, Rounded], tuple[Tensor, int, Rounded]], count: int
) -> Rounded:
    """Σ x · y of each two operands, given with the axis that is summed."""
    (_, _, x), (_, _, y) = places
    over_x, over_y = (_magnitudes(node, tensor, axis, fact, count) for tensor, axis, fact in places)
    if over_x * y.magnitude < over_y * x.magnitude:
        return y.dot(x, over_x * y.magnitude, over_x, count, format_at(node))
    return x.dot(y, over_y * x.magnitude, over_y, count, format_at(node))


def matmul(node: TypedNode, x: Rounded, y: Rounded) -> Rounded:
    one, other = node.node.inputs
    left, right = node.dims(one), node.dims(other)
    if not left or not right:
        raise NoBound("size", "the ranks of what is multiplied are not known")
    sizes = [dim for dim in (left[-1], right[-min(2, len(right))]) if isinstance(dim, int)]
    return _dot(node, ((one, -1, x), (other, -min(2, len(right)), y)), product(sizes[:1] or ["open"]))


def gemm(node: TypedNode, x: Rounded, y: Rounded, *c: Rounded) -> Rounded:
    to, (one, other) = format_at(node), node.node.inputs[:2]
    alpha, beta, turned, flipped = (
        schema.attribute(node.node, name, node.opset) for name in ("alpha", "beta", "transA", "transB")
    )
    left, right = (0 if turned else 1), (1 if flipped else 0)
    dims = node.dims(one)
    if dims is None or len(dims) != 2:
        raise NoBound("size", "the shapes of what is multiplied are not known")
    found = _dot(node, ((one, left, x), (other, right, y)), product([dims[left]]))
    if alpha != 1:
        found = found.times(alpha).rounded(to)
    return (found + c[0].times(beta).rounded(to)).rounded(to) if c else found


def einsum(node: TypedNode, *operands: Rounded) -> Rounded:
    to, equation = format_at(node), str(node.attrs["equation"]).replace(" ", "")
    read, arrow, made = equation.partition("->")
    labels = read.split(",")
    if not arrow or "." in equation or len(labels) != len(operands) or len(operands) > 2:
        raise NoBound("operator", f"no rule for Einsum of {equation}")
    sizes: dict[str, Any] = {}
    for names, tensor in zip(labels, node.node.inputs, strict=True):
        for name, dim in zip(names, node.dims(tensor) or ("open",) * len(names), strict=True):
            sizes[name] = dim if not isinstance(sizes.get(name), int) else sizes[name]
    count = product([dim for name, dim in sizes.items() if name not in made])
    if len(operands) == 1:
        return operands[0].total(count, to)
    x, y = operands
    return x.dot(y, count * x.magnitude * y.magnitude, count * y.magnitude, count, to)


def conv(node: TypedNode, x: Rounded, weight: Rounded, *bias: Rounded) -> Rounded:
    dims = node.dims(node.node.inputs[1])
    if dims is None:
        raise NoBound("size", "the shape of the kernel is not known")
    to, count = format_at(node), product(dims[1:])
    share = count * weight.magnitude
    found = either(x, Rounded(0.0, 0.0)).dot(weight, share * x.magnitude, share, count, to)
    return (found + bias[0]).rounded(to) if bias else found
