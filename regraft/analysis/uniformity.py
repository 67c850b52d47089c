"""Along which axes all elements of a value are the same, so that one of them stands for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from regraft.analysis.certainty import NOTHING, Assumption, Certainty
from regraft.analysis.dataflow import Consulted, Dataflow, Transfer, TypedNode, first, rows
from regraft.analysis.interval import Interval
from regraft.analysis.solver import Round, Step
from regraft.analysis.value_ranges import LARGEST, ValueRanges
from regraft.ir import schema
from regraft.ir.changes import Changes
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.schema import is_constant
from regraft.ops.traits import ELEMENTWISE, REGROUPS
from regraft.shapes.dims import Dim

Axes = frozenset[int]
"""Axes, counted from the end: -1 is the last."""


class Alike(NamedTuple):
    """The axes along which a value does not vary, an axis of size 1 among them.

    Attributes:
        assumes: what this rests on, beside proof.
    """

    axes: Axes = Axes()
    assumes: Assumption = NOTHING

    @property
    def certainty(self) -> Certainty:
        """How certain it is."""
        return Certainty.UNKNOWN if not self.axes else Certainty.ASSUMED if self.assumes else Certainty.PROVEN


def _with(ones: Axes, of: Callable[..., Alike], *facts: Alike) -> Alike:
    found = of(*facts)
    return found._replace(axes=found.axes | ones, assumes=_assumed(facts))


def _assumed(facts: Iterable[Alike]) -> Assumption:
    found = NOTHING
    for fact in facts:
        if fact.assumes is not found:
            found |= fact.assumes
    return found


def _every(dims: Sequence[Dim]) -> Axes:
    return Axes(range(-len(dims), 0))


def _of_constant(tensor: Tensor) -> Axes:
    if isinstance(tensor, Constant) and tensor.size > LARGEST:
        return Axes()
    values = schema.constant_of(tensor)
    if values is None or not values.size:
        return Axes()
    return Axes(axis for axis in range(-values.ndim, 0) if (values == values.take([0], axis)).all())


def _elementwise(node: TypedNode, *facts: Alike) -> Alike:
    """Where every operand is uniform, or is broadcast."""
    axes = _every(node.result)
    operands = [tensor for tensor in node.node.inputs if tensor.name]
    for tensor, fact in zip(operands, facts, strict=True):
        rank = len(node.dims(tensor) or ())
        axes &= fact.axes | Axes(axis for axis in axes if -axis > rank)
    return Alike(axes)


def _expanded(node: TypedNode, a: Alike) -> Alike:
    return Alike(a.axes | Axes(axis for axis in _every(node.result) if -axis > len(node.shape(0))))


def _kept(node: TypedNode, a: Alike) -> Alike:
    return a if len(node.shape(0)) == len(node.result) else Alike()


def _transposed(node: TypedNode, a: Alike) -> Alike:
    rank = len(node.shape(0))
    perm = node.attrs.get("perm") or list(range(rank))[::-1]
    return Alike(Axes(place - rank for place, axis in enumerate(perm) if axis - rank in a.axes))


def _reshaped(node: TypedNode, a: Alike) -> Alike:
    """Axes of size 1 apart, those before and behind what changes stay what they are."""
    source, result = node.shape(0), node.result
    if a.axes == _every(source):
        return Alike(_every(result))
    before = [(i - len(source), dim) for i, dim in enumerate(source) if dim != 1]
    after = [(i - len(result), dim) for i, dim in enumerate(result) if dim != 1]
    ends = _shared(before, after) + _shared(before[::-1], after[::-1])
    return Alike(Axes(new for old, new in ends if old in a.axes))


def _shared(before: list[tuple[int, Dim]], after: list[tuple[int, Dim]]) -> list[tuple[int, int]]:
    """The axes that two shapes begin with alike."""
    pairs: list[tuple[int, int]] = []
    for (old, a), (new, b) in zip(before, after, strict=False):
        if a != b:
            break
        pairs.append((old, new))
    return pairs


def _gathered(node: TypedNode, data: Alike, index: Alike) -> Alike:
    rank, depth = len(node.shape(0)), len(node.shape(1))
    behind = rank - schema.attribute(node.node, "axis", node.opset) % rank - 1
    axes = {a for a in data.axes if a >= -behind} | {a - depth + 1 for a in data.axes if a < -behind - 1}
    return Alike(Axes(axes | {a - behind for a in index.axes}))


def _gathered_nd(node: TypedNode, data: Alike, index: Alike) -> Alike:
    depth = ([None, *node.shape(1)])[-1]
    if not isinstance(depth, int) or node.attrs.get("batch_dims", 0):
        return Alike()
    rest = len(node.shape(0)) - depth
    return Alike(Axes(axis + 1 - rest for axis in index.axes if axis < -1))


def _filled(node: TypedNode) -> Alike:
    return Alike(_every(node.result))


_TRANSFERS = {
    **rows(_elementwise, first(None), *ELEMENTWISE),
    **rows(_kept, first(1), "Slice", "CastLike"),
    **rows(_reshaped, first(1), *REGROUPS),
    **rows(_expanded, first(1), "Expand"),
    **rows(_transposed, first(1), "Transpose"),
    **rows(_gathered, first(2), "Gather"),
    **rows(_gathered_nd, first(2), "GatherND"),
    **rows(_filled, first(0), "ConstantOfShape"),
}


class Uniformity(Dataflow[Alike]):
    """The axes along which each value does not vary: `model.facts(Uniformity)[value].axes`."""

    table = _TRANSFERS

    def __init__(self, model: Model):
        super().__init__(model)
        self._ranges: Consulted[Interval] = Consulted(model.facts(ValueRanges))

    def transfer(self, node: Node, tensor: Tensor) -> Transfer | None:
        if node.domain or tensor is not node.outputs[0] or any(self._dims(t) is None for t in node.inputs if t.name):
            return None
        return self.table.get(node.op)

    def step(self, tensor: Tensor) -> Step | Round:
        dims = self._dims(tensor)
        if dims is None:
            return Step((), partial(self.unknown, tensor))
        ones = Axes(i - len(dims) for i, dim in enumerate(dims) if dim == 1)
        if len(ones) == len(dims):
            return Step((), lambda: Alike(ones))
        if is_constant(tensor):
            return Step((), lambda: Alike(ones | _of_constant(tensor)))
        known = self._ranges[tensor]
        if known.is_one_number:
            return Step((), lambda: Alike(_every(dims), known.assumes))
        step = super().step(tensor)
        return step if isinstance(step, Round) else Step(step.operands, partial(_with, ones, step.of))

    def unknown(self, tensor: Tensor) -> Alike:
        return Alike()

    def one_of(self, tensor: Tensor, facts: Sequence[Alike]) -> Alike:
        axes = facts[0].axes.intersection(*(fact.axes for fact in facts))
        return Alike(axes, _assumed(facts))

    def stacked(self, tensor: Tensor, axis: int, fact: Alike) -> Alike:
        behind = axis if axis < 0 else axis - len(self._dims(tensor) or ())
        return fact._replace(axes=Axes(a if a > behind else a - 1 for a in fact.axes))

    def sliced(self, tensor: Tensor, axis: int, fact: Alike) -> Alike:
        behind = axis if axis < 0 else axis - len(self._dims(tensor) or ()) - 1
        return fact._replace(axes=Axes(a if a > behind else a + 1 for a in fact.axes if a != behind))

    def follow(self, model: Model, changes: Changes) -> None:
        self._ranges.facts = model.facts(ValueRanges)
        super().follow(model, changes)

    def stale(self) -> list[Tensor]:
        return [*super().stale(), *self._ranges.other()]

    def _dims(self, tensor: Tensor) -> tuple[Dim, ...] | None:
        return self.types[tensor].dims
