"""Along which axes all elements of a value are the same, so that one of them stands for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regraft.analysis.solver import settle
from regraft.analysis.value_ranges import LARGEST, Bounds
from regraft.ir import schema
from regraft.ir.graph import Constant, Dim, Node, Tensor
from regraft.ir.schema import is_constant
from regraft.ops.traits import ELEMENTWISE

Axes = frozenset[int]
"""Axes, counted from the end: -1 is the last."""


class Uniform:
    """The axes along which a value does not vary, each value's found out once: `Uniform(opset)(tensor)`.

    Ranks must be known: run shape inference before. An axis of size 1 is among them.
    """

    def __init__(self, opset: int):
        self.opset = opset
        self.bounds = Bounds()
        self._known: dict[Tensor, Axes] = {}

    def __call__(self, tensor: Tensor) -> Axes:
        return settle(tensor, self._known, self._needs, self._find)

    def _needs(self, tensor: Tensor) -> list[Tensor]:
        """What may be asked of to find out what is known of `tensor`."""
        return list(tensor.inputs[0].inputs) if self._rule(tensor) is not None else []

    def _rule(self, tensor: Tensor) -> Rule | None:
        node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
        if node is None or node.domain or node.outputs[0] is not tensor or tensor.shape is None:
            return None
        rule = _RULES.get(node.op, _elementwise if node.op in ELEMENTWISE else None)
        return None if any(t.shape is None for t in node.inputs if not t.is_empty()) else rule

    def _find(self, tensor: Tensor) -> Axes:
        if tensor.shape is None:
            return Axes()
        ones = Axes(i - len(tensor.shape) for i, dim in enumerate(tensor.shape) if dim == 1)
        if len(ones) == len(tensor.shape):
            return ones
        if is_constant(tensor):
            return ones | _of_constant(tensor)
        if self.bounds(tensor).is_one_number:
            return _every(tensor)
        rule = self._rule(tensor)
        return ones if rule is None else ones | rule(tensor.inputs[0], self.opset, self._known.__getitem__)


Find = Callable[[Tensor], Axes]
Rule = Callable[[Node, int, Find], Axes]


def _every(tensor: Tensor) -> Axes:
    return Axes(range(-_rank(tensor), 0))


def _rank(tensor: Tensor) -> int:
    return len(tensor.shape or ())


def _of_constant(tensor: Tensor) -> Axes:
    if isinstance(tensor, Constant) and tensor.size > LARGEST:
        return Axes()
    values = schema.constant_of(tensor)
    if values is None or not values.size:
        return Axes()
    return Axes(axis for axis in range(-values.ndim, 0) if (values == values.take([0], axis)).all())


def _elementwise(node: Node, opset: int, find: Find) -> Axes:
    """Where every operand is uniform, or is broadcast."""
    axes = _every(node.outputs[0])
    for tensor in node.inputs:
        axes &= find(tensor) | Axes(axis for axis in axes if -axis > _rank(tensor))
    return axes


def _expanded(node: Node, opset: int, find: Find) -> Axes:
    first = node.inputs[0]
    return find(first) | Axes(axis for axis in _every(node.outputs[0]) if -axis > _rank(first))


def _kept(node: Node, opset: int, find: Find) -> Axes:
    return find(node.inputs[0]) if _rank(node.inputs[0]) == _rank(node.outputs[0]) else Axes()


def _transposed(node: Node, opset: int, find: Find) -> Axes:
    rank, known = _rank(node.inputs[0]), find(node.inputs[0])
    perm = node.attrs.get("perm") or list(range(rank))[::-1]
    return Axes(place - rank for place, axis in enumerate(perm) if axis - rank in known)


def _reshaped(node: Node, opset: int, find: Find) -> Axes:
    """Axes of size 1 apart, those before and behind what changes stay what they are."""
    source, result = node.inputs[0], node.outputs[0]
    known = find(source)
    if known == _every(source):
        return _every(result)
    before = [(i - _rank(source), dim) for i, dim in enumerate(source.shape or ()) if dim != 1]
    after = [(i - _rank(result), dim) for i, dim in enumerate(result.shape or ()) if dim != 1]
    ends = _shared(before, after) + _shared(before[::-1], after[::-1])
    return Axes(new for old, new in ends if old in known)


def _shared(before: list[tuple[int, Dim]], after: list[tuple[int, Dim]]) -> list[tuple[int, int]]:
    """The axes that two shapes begin with alike."""
    pairs: list[tuple[int, int]] = []
    for (old, a), (new, b) in zip(before, after, strict=False):
        if a is None or a != b:
            break
        pairs.append((old, new))
    return pairs


def _gathered(node: Node, opset: int, find: Find) -> Axes:
    data, index = node.inputs[:2]
    axis = schema.attribute(node, "axis", opset) % _rank(data)
    behind = _rank(data) - axis - 1
    known, chosen = find(data), find(index)
    axes = {a for a in known if a >= -behind} | {a - _rank(index) + 1 for a in known if a < -behind - 1}
    return Axes(axes | {a - behind for a in chosen})


def _gathered_nd(node: Node, opset: int, find: Find) -> Axes:
    data, index = node.inputs[:2]
    depth: Any = (index.shape or [None])[-1]
    if not isinstance(depth, int) or node.attrs.get("batch_dims", 0):
        return Axes()
    rest = _rank(data) - depth
    return Axes(axis + 1 - rest for axis in find(index) if axis < -1)


def _filled(node: Node, opset: int, find: Find) -> Axes:
    return _every(node.outputs[0])


_RULES: dict[str, Rule] = {
    "Expand": _expanded,
    **dict.fromkeys(("Slice", "CastLike"), _kept),
    "Transpose": _transposed,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Flatten"), _reshaped),
    "Gather": _gathered,
    "GatherND": _gathered_nd,
    "ConstantOfShape": _filled,
}
