"""What operators that stand together are known to make: a share of a sum, a number divided by a norm that it is in.

Bounds of one operator after the other do not know that a quotient is at most 1, or that an error of what is squared
moves the root of the sum by no more than itself. Nothing is read beyond the values at which a region ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container

from regraft.analysis.dataflow import TypedNode
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.proving.rounded import NoBound
from regraft.proving.roundoff_sums import Norm, axes_of, reduced


class Relations:
    """What stands together in a region.

    Args:
        typed: gives a node with the types at it.
        leaves: the values where the region ends.
    """

    def __init__(self, typed: Callable[[Node], TypedNode], leaves: Container[Tensor]):
        self._typed, self._leaves = typed, leaves

    def norm(self, tensor: Tensor) -> Norm | None:
        """The norm that a value is."""
        root = self._made(tensor, "Sqrt")
        if root is None:
            return None
        inner, epsilon = self._with_number(root.inputs[0], "Add")
        mean, factor = self._with_number(inner, "Mul")
        if mean is inner:
            mean, divisor = self._with_number(inner, "Div")
            factor = 1 / divisor if divisor else 1.0
        total = self._made(mean, "ReduceMean", "ReduceSum")
        squared = None if total is None else self._squared(total.inputs[0])
        if total is None or squared is None or factor <= 0 or epsilon < 0:
            return None
        try:
            count = reduced(self._typed(total))
        except NoBound:
            return None
        return Norm(squared, factor / count if total.op == "ReduceMean" else factor, count, epsilon)

    def divided_by_norm(self, node: Node) -> tuple[Tensor, Norm] | None:
        """The norm that `node` divides a value by that is in it."""
        for part, whole in self._quotients(node):
            norm = self.norm(whole)
            if norm is not None and norm.of is part:
                return whole, norm
        return None

    def limits(self, tensor: Tensor) -> tuple[float, float] | None:
        """Between which numbers a value lies, by what stands before it; None where nothing is known."""
        node = self._made(tensor, "Sub", "ReduceSum", "Div", "Mul")
        if node is None:
            return None
        if node.op == "Sub" and self._less_its_largest(node) is not None:
            return -math.inf, 0.0
        if node.op == "ReduceSum" and self._has_a_one(node):
            return 1.0, math.inf
        for part, whole in self._quotients(node):
            total = self._made(whole, "ReduceSum")
            if total is not None and total.inputs[0] is part and self._made(part, "Exp"):
                return 0.0, 1.0
        return None

    def _quotients(self, node: Node) -> list[tuple[Tensor, Tensor]]:
        if node.op == "Div":
            return [(node.inputs[0], node.inputs[1])]
        if node.op != "Mul":
            return []
        pairs = (node.inputs[:2], node.inputs[1::-1])
        return [(a, inverse.inputs[0]) for a, b in pairs if (inverse := self._made(b, "Reciprocal")) is not None]

    def _less_its_largest(self, node: Node) -> Node | None:
        """The ReduceMax whose result `node` takes from what it is of."""
        largest = self._made(node.inputs[1], "ReduceMax")
        return largest if largest is not None and largest.inputs[0] is node.inputs[0] else None

    def _has_a_one(self, node: Node) -> bool:
        """Whether exponentials are summed of what reaches 0 along the axes."""
        share = self._made(node.inputs[0], "Exp")
        below = None if share is None else self._made(share.inputs[0], "Sub")
        largest = None if below is None else self._less_its_largest(below)
        if largest is None:
            return False
        rank = len(self._typed(node).dims(node.inputs[0]) or ())
        try:
            one, other = (axes_of(self._typed(each)) for each in (largest, node))
        except NoBound:
            return False
        return one == other or (bool(rank and one and other) and _places(one, rank) == _places(other, rank))

    def _squared(self, tensor: Tensor) -> Tensor | None:
        """The value that a value is the square of."""
        square = self._made(tensor, "Mul", "Pow")
        if square is None:
            return None
        one, other = square.inputs
        same = one is other if square.op == "Mul" else _number(other) == 2
        return one if same else None

    def _with_number(self, tensor: Tensor, op: str) -> tuple[Tensor, float]:
        """What `op` takes with one number, and the number; else the value itself, and what changes nothing."""
        node = self._made(tensor, op)
        for place in () if node is None else (1, 0) if op != "Div" else (1,):
            value = _number(node.inputs[place])  # type: ignore[union-attr]
            if value is not None:
                return node.inputs[1 - place], value  # type: ignore[union-attr]
        return tensor, 0.0 if op == "Add" else 1.0

    def _made(self, tensor: Tensor, *ops: str) -> Node | None:
        """The node in the region that makes a value, if it is one of `ops`."""
        node = None if tensor in self._leaves else tensor.producer
        return node if node is not None and node.op in ops and not node.domain else None


def _places(axes: list[int] | None, rank: int) -> set[int]:
    return {axis % rank for axis in axes or ()}


def _number(tensor: Tensor) -> float | None:
    """The one number that a constant holds."""
    if isinstance(tensor, Constant) and tensor.size != 1:
        return None
    values = schema.constant_of(tensor)
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 and values.dtype != object else None
