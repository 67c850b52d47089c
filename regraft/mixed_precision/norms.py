"""Values that are divided by their own magnitude, however that is written."""

from __future__ import annotations

from typing import NamedTuple

from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.mixed_precision.precision_groups import is_constant
from regraft.ops.traits import VIEWS

_REDUCING = frozenset({"ReduceMax", "ReduceMean", "ReduceSum"})
_POWER = {"ReduceL1": 1.0, "ReduceL2": 1.0, "ReduceSumSquare": 2.0, "Abs": 1.0}
_SAME = VIEWS | {"Cast", "Clip", "Expand"}
_WITH_CONSTANT = frozenset({"Add", "Max", "Mul"})


class _Magnitude(NamedTuple):
    """That a value grows as that power of the magnitude of `base`."""

    base: Tensor
    power: float


class Norms:
    """Which nodes divide a value by its magnitude; each value is looked at once."""

    def __init__(self) -> None:
        self._known: dict[Tensor, _Magnitude | None] = {}

    def is_normalized(self, node: Node) -> bool:
        """Whether `node` makes a value over its norm, its standard deviation, or its largest element."""
        if node.domain or node.op not in ("Div", "Mul"):
            return False
        left, right = node.inputs
        if node.op == "Div":
            return self._grows(right, left, 1.0)
        return self._grows(right, left, -1.0) or self._grows(left, right, -1.0)

    def row_length(self, node: Node) -> int | None:
        """Where `node` divides rows by the root of their mean square, how long they are, which bounds them."""
        if not self.is_normalized(node):
            return None
        base = (
            node.inputs[0] if node.op == "Div" or self._grows(node.inputs[1], node.inputs[0], -1.0) else node.inputs[1]
        )
        other = node.inputs[1] if base is node.inputs[0] else node.inputs[0]
        length = base.shape[-1] if base.shape else None
        return length if isinstance(length, int) and _is_mean_of_rows(other) else None

    def _grows(self, tensor: Tensor, base: Tensor, power: float) -> bool:
        found = self._of(tensor)
        return found is not None and found.power == power and _is_same(found.base, base)

    def _of(self, tensor: Tensor) -> _Magnitude | None:
        """Followed back without recursion: a chain may be of any length."""
        path: list[Tensor] = []
        current: Tensor | None = tensor
        while current is not None and current not in self._known:
            path.append(current)
            step = _step(current)
            if isinstance(step, _Magnitude):
                self._known[current] = step
                break
            current = step
        for one in reversed(path):
            if one not in self._known:
                before = _step(one)
                known = self._known.get(before) if isinstance(before, Tensor) else None
                self._known[one] = known and known._replace(power=known.power * _exponent(one.inputs[0]))
        return self._known.get(tensor)


def _step(tensor: Tensor) -> Tensor | _Magnitude | None:
    """What `tensor` grows with: a value to follow, or the magnitude itself."""
    if not tensor.inputs or is_constant(tensor) or tensor.inputs[0].domain:
        return None
    node = tensor.inputs[0]
    first, second = (*node.inputs, None, None)[:2]
    if node.op in _POWER:
        return _Magnitude(first, _POWER[node.op])
    if node.op == "Mul" and first is second:
        return _Magnitude(first, 2.0)
    if node.op == "Pow" and (power := _number(second)) is not None:
        return _Magnitude(first, 2.0) if power == 2 else first
    if node.op in _REDUCING or node.op in _SAME or node.op in ("Sqrt", "Reciprocal"):
        return first
    if node.op in _WITH_CONSTANT:
        return first if is_constant(second) else second if is_constant(first) else None
    if node.op == "Div":
        return second if is_constant(first) else first if is_constant(second) else None
    return None


def _is_mean_of_rows(tensor: Tensor) -> bool:
    """Whether it is the root of a mean of squares along the last axis, and what is added there is not negative."""
    rooted = False
    while tensor.inputs:
        node = tensor.inputs[0]
        rooted = rooted or node.op == "Sqrt"
        if node.op == "ReduceMean" and rooted:
            axes = node.attrs.get("axes")
            if axes is None and len(node.inputs) > 1:
                values = schema.constant_of(node.inputs[1])
                axes = None if values is None else values.reshape(-1).tolist()
            rank = len(node.inputs[0].shape or ())
            return axes is not None and [axis % rank if rank else axis for axis in axes] == [rank - 1 if rank else -1]
        if node.op == "Div" and _number(node.inputs[0]) == 1:
            tensor = node.inputs[1]
        elif node.op == "Add" and any((_number(t) or -1.0) >= 0 for t in node.inputs):
            tensor = node.inputs[1] if is_constant(node.inputs[0]) else node.inputs[0]
        elif node.op in ("Sqrt", "Reciprocal"):
            tensor = node.inputs[0]
        else:
            return False
    return False


def _exponent(node: Node) -> float:
    """To which power a node raises what it grows with."""
    if node.op == "Sqrt":
        return 0.5
    if node.op == "Pow":
        return _number(node.inputs[1]) or 0.0
    return -1.0 if node.op == "Reciprocal" or (node.op == "Div" and is_constant(node.inputs[0])) else 1.0


def _number(tensor: Tensor | None) -> float | None:
    values = schema.constant_of(tensor) if tensor is not None else None
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Whether both are one value, or differences of the same two."""
    if one is other:
        return True
    producers = [t.inputs[0] for t in (one, other) if t.inputs and not t.inputs[0].domain]
    return (
        len(producers) == 2
        and all(node.op == "Sub" for node in producers)
        and all(a is b for a, b in zip(producers[0].inputs, producers[1].inputs, strict=True))
    )
