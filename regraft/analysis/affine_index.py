"""Whole numbers that count places: those that grow evenly along each axis of a tensor, found without running it.

Exporters look values up by such numbers, made of Range, Unsqueeze, Expand and sums, where they mean a view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from regraft.analysis.dataflow import Dataflow, Transfer, TypedNode, first, rows
from regraft.analysis.solver import Round, Step
from regraft.analysis.value_ranges import LARGEST
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.schema import is_constant
from regraft.ir.weights import dtype_from_onnx
from regraft.ops.traits import VIEWS
from regraft.shapes.dims import Dim
from regraft.shapes.facts import of_array


class Affine(NamedTuple):
    """The number at place p is `start + Σ steps[i] · p[i]`; along an axis of size one the step is 0."""

    start: Dim
    steps: tuple[Dim, ...]

    def __add__(self, other: object) -> Affine:
        """The sums of two indices of one rank."""
        assert isinstance(other, Affine)
        steps = (a + b for a, b in zip(self.steps, other.steps, strict=True))
        return Affine(self.start + other.start, tuple(steps))

    def times(self, factor: Dim) -> Affine:
        """The products with one number."""
        return Affine(self.start * factor, tuple(step * factor for step in self.steps))


def row_major(dims: Sequence[Dim]) -> Affine:
    """What counts the elements of a tensor in their order."""
    steps = (0 if dim == 1 else math.prod(dims[axis + 1 :]) for axis, dim in enumerate(dims))
    return Affine(0, tuple(steps))


def _without_last(index: Affine | None) -> Affine | None:
    return None if index is None else Affine(index.start, index.steps[:-1])


def _ranged(node: TypedNode) -> Affine | None:
    start, _, step = (node.value(tensor) for tensor in node.node.inputs)
    if start is None or step is None:
        return None
    return Affine(start.item(), (step.item() if node.result[0] != 1 else 0,))


def _viewed(node: TypedNode, index: Affine | None) -> Affine | None:
    """It after axes of size one came or went."""
    before, after = node.shape(0), node.result
    long = [dim for dim in before if dim != 1]
    if index is None or long != [dim for dim in after if dim != 1]:
        return None
    steps = iter([step for step, dim in zip(index.steps, before, strict=True) if dim != 1])
    return Affine(index.start, tuple(0 if dim == 1 else next(steps) for dim in after))


def _expanded(node: TypedNode, index: Affine | None) -> Affine | None:
    return _broadcast(node, 0, index)


def _broadcast(node: TypedNode, place: int, index: Affine | None) -> Affine | None:
    """An operand after it was broadcast to the shape of the result."""
    before, after = node.shape(place), node.result
    missing = len(after) - len(before)
    if index is None or missing < 0 or any(dim not in (1, after[missing + axis]) for axis, dim in enumerate(before)):
        return None
    return Affine(index.start, (0,) * missing + index.steps)


def _added(node: TypedNode, *indices: Affine | None) -> Affine | None:
    a, b = (_broadcast(node, place, index) for place, index in enumerate(indices))
    return None if a is None or b is None else a + b


def _subtracted(node: TypedNode, *indices: Affine | None) -> Affine | None:
    a, b = (_broadcast(node, place, index) for place, index in enumerate(indices))
    return None if a is None or b is None else a + b.times(-1)


def _multiplied(node: TypedNode, *indices: Affine | None) -> Affine | None:
    a, b = (_broadcast(node, place, index) for place, index in enumerate(indices))
    if a is None or b is None:
        return None
    a, b = (a, b) if not any(b.steps) else (b, a)
    return None if any(b.steps) else a.times(b.start)


_TRANSFERS = {
    **rows(_ranged, first(0), "Range"),
    **rows(_viewed, first(1), *VIEWS, "Cast"),
    **rows(_expanded, first(1), "Expand"),
    **rows(_added, first(2), "Add"),
    **rows(_subtracted, first(2), "Sub"),
    **rows(_multiplied, first(2), "Mul"),
}


def _values(tensor: Tensor) -> np.ndarray:
    """The numbers of a constant; empty where it is too large to be looked at."""
    if isinstance(tensor, Constant) and tensor.size > LARGEST:
        return np.empty((0,) * len(tensor.shape))
    return np.asarray(schema.constant_of(tensor))


def _of_values(values: np.ndarray) -> Affine | None:
    """The affine index that numbers are; None where they are none."""
    if not values.size or values.dtype.kind not in "iu":
        return None
    first = (0,) * values.ndim
    steps = []
    expected = np.array(values[first])
    for axis, size in enumerate(values.shape):
        second = (*first[:axis], 1, *first[axis + 1 :])
        step = int(values[second]) - int(values[first]) if size > 1 else 0
        shape = [1] * values.ndim
        shape[axis] = size
        expected = expected + (np.arange(size) * step).reshape(shape)
        steps.append(step)
    if not np.array_equal(expected, values):
        return None
    return Affine(of_array(np.array([values[first]]))[0], tuple(steps))


class AffineIndices(Dataflow[Affine | None]):
    """The affine index that each value is; None where it is none, or not known to be one."""

    table = _TRANSFERS
    relates = True

    def transfer(self, node: Node, tensor: Tensor) -> Transfer | None:
        known = None if node.domain or tensor is not node.outputs[0] else self.table.get(node.op)
        fits = known is not None and all(map(self._counts, (tensor, *known.operands(node))))
        return known if fits else None

    def step(self, tensor: Tensor) -> Step | Round:
        dims, value = self.types[tensor].dims, self.types[tensor].value
        if dims is None:
            return Step((), partial(self.unknown, tensor))
        if value is not None and value.size == 1:
            return Step((), lambda: Affine(value.item(), (0,) * len(dims)))
        if is_constant(tensor):
            return Step((), lambda: _of_values(_values(tensor)))
        return super().step(tensor)

    def unknown(self, tensor: Tensor) -> Affine | None:
        return None

    def columns(self, indices: Tensor) -> list[Affine] | None:
        """The affine indices in the last axis of `indices`, one a column, without that axis."""
        dims = self.types[indices].dims
        if not dims:
            return None
        if is_constant(indices):
            found = [_of_values(values) for values in np.moveaxis(_values(indices), -1, 0)]
        elif len(indices.inputs) == 1 and indices.inputs[0].op == "Concat":
            parts = indices.inputs[0].inputs
            if indices.inputs[0].attrs.get("axis") not in (-1, len(dims) - 1):
                return None
            if any((self.types[part].dims or (None,))[-1] != 1 for part in parts):
                return None
            found = [_without_last(self[part]) for part in parts]
        else:
            found = [_without_last(self[indices]) if dims[-1] == 1 else None]
        known = [index for index in found if index is not None]
        return known if len(known) == len(found) else None

    def _counts(self, tensor: Tensor) -> bool:
        """Whether `tensor` holds whole numbers, large enough for every place."""
        code = self.types[tensor].code
        dtype = dtype_from_onnx(code) if code else None
        return dtype is not None and dtype.kind in "iu" and dtype.itemsize >= 4
