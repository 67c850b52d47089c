"""Numbers that a graph computes: a constant, the root of a dimension, a filled tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.weights import is_float
from regraft.ops.traits import LAYOUT
from regraft.regions.dataflow import settle
from regraft.rewriting.matcher import is_constant
from regraft.shapes import Facts, dims
from regraft.shapes.dims import Dim

_LIMIT = 1 << 16  # elements of the largest constant that is read to see whether one number fills it


def number(tensor: Tensor, facts: Facts) -> float | None:
    """The one value of every element of `tensor`; None where it has several, or it is not known."""
    known: dict[Tensor, float | None] = facts.found[number]
    return settle(tensor, known, lambda t: _operands(t, facts), lambda t: _find(t, facts, known))


def _operands(tensor: Tensor, facts: Facts) -> Sequence[Tensor]:
    """What the number that `tensor` holds is computed from."""
    if is_constant(tensor) or facts[tensor].numbers is not None or len(tensor.inputs) != 1 or tensor.inputs[0].domain:
        return ()
    node = tensor.inputs[0]
    return node.inputs[:1] if node.op in _SHAPED else node.inputs if node.op in _ARITHMETIC else ()


def _find(tensor: Tensor, facts: Facts, found: dict[Tensor, float | None]) -> float | None:
    if is_constant(tensor):
        return _uniform(tensor)
    known = facts[tensor].numbers
    if known is not None:
        return float(known.flat[0]) if known.size and len(set(known.flat)) == 1 else None
    node: Node | None = tensor.inputs[0] if len(tensor.inputs) == 1 and not tensor.inputs[0].domain else None
    if node is not None and node.op == "ConstantOfShape":
        value = node.attrs.get("value")
        return float(value.values.reshape(-1)[0]) if isinstance(value, Constant) else 0.0
    operands = [found[t] for t in _operands(tensor, facts)]
    numbers = [operand for operand in operands if operand is not None]
    if node is None or not operands or len(numbers) < len(operands):
        return None
    if node.op in _SHAPED and not node.op.startswith("Cast"):
        return numbers[0]
    if not is_float(facts[tensor].code):  # of whole numbers, `facts` says what there is to say
        return None
    with np.errstate(all="ignore"):
        return numbers[0] if node.op in _SHAPED else float(_ARITHMETIC[node.op](*map(np.float64, numbers)))


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


_SHAPED = LAYOUT | {"Cast", "CastLike"}
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
