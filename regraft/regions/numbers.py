"""Numbers that a graph computes: a constant, the root of a dimension, a filled tensor."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.rewriting.matcher import is_constant
from regraft.shapes import Facts, dims
from regraft.shapes.dims import Dim

_LIMIT = 1 << 16  # elements of the largest constant that is read to see whether one number fills it
_DEPTH = 8  # operators in a row; exporters need at most six for 1/√d


def number(tensor: Tensor, facts: Facts, depth: int = _DEPTH) -> float | None:
    """The one value of every element of `tensor`; None where it has several, or it is not known."""
    if is_constant(tensor):
        return _uniform(tensor)
    known = facts[tensor].numbers
    if known is not None:
        return float(known.flat[0]) if known.size and len(set(known.flat)) == 1 else None
    node = tensor.inputs[0] if tensor.inputs else None
    if node is None or node.domain or not depth:
        return None
    if node.op == "ConstantOfShape":
        value = node.attrs.get("value")
        return float(value.values.reshape(-1)[0]) if isinstance(value, Constant) else 0.0
    if node.op in _SHAPED:
        return number(node.inputs[0], facts, depth - 1)
    return _computed(node, facts, depth)


def scales(node: Node, facts: Facts) -> tuple[Tensor, float] | None:
    """What `node` multiplies by one number, and the number; None where it does something else, or widens the shape."""
    if node.domain or node.op not in ("Mul", "Div", "Neg"):
        return None
    if node.op == "Neg":
        return node.inputs[0], -1.0
    for place in (1, 0) if node.op == "Mul" else (1,):
        value, other = number(node.inputs[place], facts), node.inputs[1 - place]
        if value and math.isfinite(value) and keeps_shape(node, other, facts):
            return other, value if node.op == "Mul" else 1 / value
    return None


def keeps_shape(node: Node, operand: Tensor, facts: Facts) -> bool:
    """Whether the result of `node`, which broadcasts, has the shape of `operand` as far as is known.

    A mask whose size has another name, or none, is taken to fit: exporters compute it from the same inputs.
    """
    before, after = facts[operand].dims, facts[node.outputs[0]].dims
    if before is not None and after is not None:
        return len(before) == len(after) and not any(map(_widens, before, after))
    return all(facts[t].dims == () for t in node.inputs if t is not operand)


def _widens(before: Dim, after: Dim) -> bool:
    return before != after and (before == 1 or dims.differ(before, after))


def _uniform(tensor: Tensor) -> float | None:
    if isinstance(tensor, Constant) and tensor.size > _LIMIT:
        return None
    values = schema.constant_of(tensor)
    if values is None or not values.size or values.dtype == object:
        return None
    return float(values.flat[0]) if bool((values == values.flat[0]).all()) else None


def _computed(node: Node, facts: Facts, depth: int) -> float | None:
    compute = _ARITHMETIC.get(node.op)
    if compute is None:
        return None
    values = [number(t, facts, depth - 1) for t in node.inputs]
    numbers = [v for v in values if v is not None]
    if len(numbers) < len(values):
        return None
    with np.errstate(all="ignore"):
        return float(compute(*map(np.float64, numbers)))


_SHAPED = frozenset(
    {"Identity", "Cast", "CastLike", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Flatten", "Transpose"}
)
_ARITHMETIC: dict[str, Callable[..., float]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Neg": np.negative,
}
