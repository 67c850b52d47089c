"""How operators round that sum over axes, in whatever order: reductions, Softmax, LayerNormalization."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from regraft.analysis.dataflow import TypedNode
from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.proving import rounded_functions as functions
from regraft.proving.rounded import Format, NoBound, Rounded, format_of, largest_of
from regraft.proving.roundoff_elementwise import FLUSHED, UNITS, format_at


class Norm(NamedTuple):
    """The root of factor · Σ x² + epsilon, of which `terms` numbers are summed."""

    of: Tensor
    factor: float
    terms: int
    epsilon: float


def reduced(node: TypedNode) -> int:
    """How many elements are taken together. Raises NoBound where that is not known."""
    axes = axes_of(node)
    dims = node.dims(node.node.inputs[0])
    if dims is None:
        raise NoBound("size", "the rank of what is summed is not known")
    if axes is None:
        axes = [] if schema.attribute(node.node, "noop_with_empty_axes", node.opset) else [*range(len(dims))]
    return product([dims[axis] for axis in axes])


def axes_of(node: TypedNode) -> list[int] | None:
    """The axes that are named; None: none is."""
    axes = schema.attribute(node.node, "axes", node.opset)
    if axes is None and len([t for t in node.node.inputs if t.name]) > 1:
        raise NoBound("size", "the axes are computed when the model runs")
    return [axes] if isinstance(axes, int) else list(axes) or None if axes is not None else None


def product(dims: Any) -> int:
    known = [dim for dim in dims if isinstance(dim, int)]
    if len(known) < len(dims):
        raise NoBound("size", "a sum over an axis of open size")
    return max(math.prod(known), 1)


def reduce_sum(node: TypedNode, x: Rounded, *axes: Rounded) -> Rounded:
    return x.total(reduced(node), format_at(node))


def mean(x: Rounded, count: int, to: Format) -> Rounded:
    """Of `count` numbers: divided by them, or times the share of one."""
    total = x.total(count, to)
    found = total.times(1 / count).rounded(to, 2)
    return Rounded(x.low, x.high, found.relative, found.absolute, total.reached)


def reduce_mean(node: TypedNode, x: Rounded, *axes: Rounded) -> Rounded:
    return mean(x, reduced(node), format_at(node))


def sum_square(node: TypedNode, x: Rounded, *axes: Rounded) -> Rounded:
    to = format_at(node)
    return x.squared().rounded(to).total(reduced(node), to)


def _along(node: TypedNode) -> int:
    """The size of the axis of a Softmax; before opset 13 of all axes from it on."""
    dims, axis = node.dims(node.node.inputs[0]), schema.attribute(node.node, "axis", node.opset)
    if dims is None or axis is None:
        raise NoBound("size", "the axis that is summed is not known")
    return product([dims[axis]] if node.opset >= 13 else dims[axis:])


def _shares(node: TypedNode, x: Rounded) -> tuple[Rounded, Rounded, Rounded]:
    """What a Softmax computes: x less its maximum, the exponential of that, and the sum of these, which has a 1."""
    to, count = format_at(node), _along(node)
    below = (x - largest_of(x)).rounded(to).within(-math.inf, 0.0)
    share = functions.exponential(below).rounded(to, UNITS["Exp"], FLUSHED)
    return below, share, share.total(count, to).within(1.0, math.inf)


def softmax(node: TypedNode, x: Rounded) -> Rounded:
    """Divided, or times the inverse of the sum."""
    _, share, total = _shares(node, x)
    return (share * total.reciprocal()).rounded(format_at(node), 2).within(0.0, 1.0)


def log_softmax(node: TypedNode, x: Rounded) -> Rounded:
    to = format_at(node)
    below, _, total = _shares(node, x)
    return (below - functions.logarithm(total).rounded(to, UNITS["Log"], FLUSHED)).rounded(to).within(-math.inf, 0.0)


def root_mean_square(x: Rounded, norm: Norm, to: Format) -> Rounded:
    """The norm of x, which an error of x moves by no more than √(factor · Σ error²)."""
    squares = Rounded(x.low, x.high).squared().rounded(to, UNITS["Pow"]).total(norm.terms, to)
    epsilon = Rounded(norm.epsilon, norm.epsilon)
    inner = squares.times(norm.factor).rounded(to, 2) + (epsilon.rounded(to) if norm.epsilon else epsilon)
    inner = inner.rounded(to)
    found = functions.root(inner if norm.epsilon else inner.off(inner.relative, 0.0))
    absolute = found.absolute if norm.epsilon else math.sqrt(inner.absolute)  # as √(x + a) is at most √x + √a
    carried = math.sqrt(norm.factor * norm.terms) * x.error * (1 + found.relative)
    return found.off(found.relative, absolute + carried).rounded(to)


def divided_by_norm(x: Rounded, root: Rounded, norm: Norm, to: Format) -> Rounded:
    """x over its norm, or times the inverse: no larger than it would be if it alone made the norm.

    Raises NoBound where the norm may be 0.
    """
    limit, slack = 1 / math.sqrt(norm.factor), (norm.terms + 16) * to.unit
    alone = math.sqrt(norm.epsilon)  # what the norm of nothing but zeros is
    least = alone * (1 - 8 * to.unit) - to.tiny / alone if alone else 0.0
    if least <= 0 or root.relative >= 1:
        raise NoBound("division", "a division by a norm that may be 0")
    found = (Rounded(x.low, x.high) * Rounded(least, root.high).reciprocal()).within(-limit, limit)
    # |x'/r' - x/r| is at most (|x' - x| + |x/r| · |r' - r|) / r', and r / r' at most (1 + a / r') / (1 - relative)
    share = (1 + root.absolute / least) * root.relative / (1 - root.relative) + root.absolute / least
    found = found.off(share, x.error / least).rounded(to, 2)
    return found.off(0.0, min(found.error, 2 * limit * (1 + slack))) if slack < 1 else found


def layer_norm(node: TypedNode, x: Rounded, scale: Rounded, *bias: Rounded) -> Rounded:
    """In single precision where the operator says so, and then rounded."""
    to = format_at(node)
    wide = format_of(np.float32) if node.attrs.get("stash_type", 1) == 1 and to.unit > _SINGLE.unit else to
    dims = node.dims(node.node.inputs[0])
    if dims is None:
        raise NoBound("size", "the rank of what is normalized is not known")
    count = product(dims[node.attrs.get("axis", -1) :])
    norm = Norm(node.node.inputs[0], 1 / count, count, float(node.attrs.get("epsilon", 1e-5)))
    centred = (x - mean(x, count, wide)).rounded(wide)
    normal = divided_by_norm(centred, root_mean_square(centred, norm, wide), norm, wide)
    found = (normal * scale).rounded(wide)
    found = (found + bias[0]).rounded(wide) if bias else found
    return found if wide is to else found.rounded(to)


_SINGLE = format_of(np.float32)
