"""Numbers that a graph computes: a constant, the root of a dimension, a filled tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from regraft.analysis.dataflow import Dataflow, Transfer, TypedNode, first, rows
from regraft.analysis.solver import Round, Step
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.schema import is_constant
from regraft.ir.weights import is_float
from regraft.ops.traits import LAYOUT
from regraft.shapes import Facts, dims
from regraft.shapes.dims import Dim

_LIMIT = 1 << 16  # elements of the largest constant that is read to see whether one number fills it


def _uniform(tensor: Tensor) -> float | None:
    if isinstance(tensor, Constant) and tensor.size > _LIMIT:
        return None
    values = schema.constant_of(tensor)
    if values is None or not values.size or values.dtype == object:
        return None
    return float(values.flat[0]) if bool((values == values.flat[0]).all()) else None


def _moved(node: TypedNode, a: float | None) -> float | None:
    return a


def _rounded(node: TypedNode, a: float | None, *like: float | None) -> float | None:
    """As the type of the result holds it; infinite where it is too large for it."""
    dtype = node.out
    if a is None or dtype is None:
        return None
    with np.errstate(all="ignore"):
        return float(np.array(a, np.float64).astype(dtype))


def _filled(node: TypedNode) -> float:
    value = node.attrs.get("value")
    return float(value.values.reshape(-1)[0]) if isinstance(value, Constant) else 0.0


def _by(function: Callable[..., float]) -> Callable[..., float | None]:
    def of(node: TypedNode, *numbers: float | None) -> float | None:
        known = [np.float64(number) for number in numbers if number is not None]
        if len(known) < len(numbers):
            return None
        with np.errstate(all="ignore"):
            return _rounded(node, float(function(*known)))

    return of


_TRANSFERS = {
    **rows(_moved, first(1), *LAYOUT),
    **rows(_rounded, first(1), "Cast", "CastLike"),
    **rows(_filled, first(0), "ConstantOfShape"),
    **rows(_by(np.add), first(2), "Add"),
    **rows(_by(np.subtract), first(2), "Sub"),
    **rows(_by(np.multiply), first(2), "Mul"),
    **rows(_by(np.divide), first(2), "Div"),
    **rows(_by(np.power), first(2), "Pow"),
    **rows(_by(np.sqrt), first(1), "Sqrt"),
    **rows(_by(np.reciprocal), first(1), "Reciprocal"),
    **rows(_by(np.negative), first(1), "Neg"),
}


class ScalarConstants(Dataflow[float | None]):
    """The one number that every element of a value is; None where it has several, or it is not known.

    Floats are computed in double precision and rounded, and so may be off by the last digit of what a runtime computes.
    """

    table = _TRANSFERS

    def step(self, tensor: Tensor) -> Step | Round:
        if is_constant(tensor):
            return Step((), partial(_uniform, tensor))
        known = self.types[tensor].numbers
        if known is None:
            return super().step(tensor)
        return Step((), lambda: float(known.flat[0]) if known.size and len(set(known.flat)) == 1 else None)

    def transfer(self, node: Node, tensor: Tensor) -> Transfer | None:
        if node.domain or tensor is not node.outputs[0]:
            return None
        found = self.table.get(node.op)
        is_moved = found is not None and (node.op in LAYOUT or not found.operands(node))
        return found if is_moved or self._is_float(tensor) else None  # of whole numbers the types say what there is

    def unknown(self, tensor: Tensor) -> float | None:
        return None

    def stacked(self, tensor: Tensor, axis: int, fact: float | None) -> float | None:
        return fact

    sliced = stacked

    def _is_float(self, tensor: Tensor) -> bool:
        return is_float(self.types[tensor].code)


def number(tensor: Tensor, facts: Facts) -> float | None:
    """What `ScalarConstants` says of `tensor`."""
    return scalars(facts)[tensor]


def scalars(facts: Facts) -> ScalarConstants:
    """The numbers of the model that `facts` are of, as it was when these were last asked for."""
    found = facts.found[scalars]
    if not found:
        found[ScalarConstants] = facts.model.facts(ScalarConstants)
    kept: ScalarConstants = found[ScalarConstants]
    return kept


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
