"""Whole numbers that count places: those that grow evenly along each axis of a tensor, found without running it.

Exporters look values up by such numbers, made of Range, Unsqueeze, Expand and sums, where they mean a view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from regraft.analysis.solver import settle
from regraft.analysis.value_ranges import LARGEST
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.schema import is_constant
from regraft.ops.traits import VIEWS
from regraft.shapes.dims import Dim
from regraft.shapes.facts import Facts, of_array

_ALIKE = VIEWS | {"Cast"}


class Grid(NamedTuple):
    """The number at place p is `start + Σ steps[i] · p[i]`; along an axis of size one the step is 0."""

    start: Dim
    steps: tuple[Dim, ...]

    def __add__(self, other: object) -> Grid:
        """The sums of two grids of one rank."""
        assert isinstance(other, Grid)
        steps = (a + b for a, b in zip(self.steps, other.steps, strict=True))
        return Grid(self.start + other.start, tuple(steps))

    def times(self, factor: Dim) -> Grid:
        """The products with one number."""
        return Grid(self.start * factor, tuple(step * factor for step in self.steps))


def row_major(dims: Sequence[Dim]) -> Grid:
    """What counts the elements of a tensor in their order."""
    steps = (0 if dim == 1 else math.prod(dims[axis + 1 :]) for axis, dim in enumerate(dims))
    return Grid(0, tuple(steps))


def grid_of(tensor: Tensor, facts: Facts) -> Grid | None:
    """The grid that `tensor` holds; None where it is none, or not known to be one."""
    found: dict[Tensor, Grid | None] = facts.found[grid_of]
    return settle(tensor, found, _operands, lambda t: _find(t, facts, found))


def _operands(tensor: Tensor) -> Sequence[Tensor]:
    """The whole numbers that those of `tensor` are made of."""
    if is_constant(tensor) or len(tensor.inputs) != 1 or tensor.inputs[0].domain:
        return ()
    node = tensor.inputs[0]
    if node.op in _ALIKE or node.op == "Expand":
        operands = node.inputs[:1]
    else:
        operands = node.inputs if node.op in ("Add", "Sub", "Mul") and len(node.inputs) == 2 else ()
    return operands if all(map(_counts, operands)) else ()


def _counts(tensor: Tensor) -> bool:
    """Whether `tensor` holds whole numbers, large enough for every place."""
    kind = None if tensor.dtype is None else np.dtype(tensor.dtype)
    return kind is not None and kind.kind in "iu" and kind.itemsize >= 4


def _find(tensor: Tensor, facts: Facts, found: dict[Tensor, Grid | None]) -> Grid | None:
    dims, value = facts[tensor].dims, facts[tensor].value
    if dims is None:
        return None
    if value is not None and value.size == 1:
        return Grid(value.item(), (0,) * len(dims))
    if is_constant(tensor):
        return _of_values(_values(tensor))
    if len(tensor.inputs) != 1 or tensor.inputs[0].domain:
        return None
    node = tensor.inputs[0]
    if node.op == "Range":
        start, _, step = (facts[one].value for one in node.inputs)
        return None if start is None or step is None else Grid(start.item(), (step.item() if dims[0] != 1 else 0,))
    operands = _operands(tensor)
    grids = [grid for operand in operands if (grid := found[operand]) is not None]
    if not operands or len(grids) < len(operands):
        return None
    before = [facts[operand].dims or () for operand in operands]
    if node.op in _ALIKE:
        return _moved(grids[0], before[0], dims)
    wide = [_broadcast(grid, own, dims) for grid, own in zip(grids, before, strict=True)]
    return wide[0] if node.op == "Expand" else _combined(node, *wide)


def columns(indices: Tensor, facts: Facts) -> list[Grid] | None:
    """The grids of the last axis of `indices`, one a column, without that axis."""
    dims = facts[indices].dims
    if not dims:
        return None
    if is_constant(indices):
        found = [_of_values(values) for values in np.moveaxis(_values(indices), -1, 0)]
    elif len(indices.inputs) == 1 and indices.inputs[0].op == "Concat":
        parts = indices.inputs[0].inputs
        if indices.inputs[0].attrs.get("axis") not in (-1, len(dims) - 1):
            return None
        if any((facts[part].dims or (None,))[-1] != 1 for part in parts):
            return None
        grids = [grid_of(part, facts) for part in parts]
        found = [None if grid is None else Grid(grid.start, grid.steps[:-1]) for grid in grids]
    else:
        grid = grid_of(indices, facts) if dims[-1] == 1 else None
        found = [None if grid is None else Grid(grid.start, grid.steps[:-1])]
    known = [grid for grid in found if grid is not None]
    return known if len(known) == len(found) else None


def _moved(grid: Grid, before: Sequence[Dim], after: Sequence[Dim]) -> Grid | None:
    """`grid` after axes of size one came or went."""
    long = [dim for dim in before if dim != 1]
    if long != [dim for dim in after if dim != 1]:
        return None
    steps = iter([step for step, dim in zip(grid.steps, before, strict=True) if dim != 1])
    return Grid(grid.start, tuple(0 if dim == 1 else next(steps) for dim in after))


def _broadcast(grid: Grid, before: Sequence[Dim], after: Sequence[Dim]) -> Grid | None:
    """`grid` after it was broadcast to `after`."""
    missing = len(after) - len(before)
    if missing < 0 or any(dim not in (1, after[missing + axis]) for axis, dim in enumerate(before)):
        return None
    return Grid(grid.start, (0,) * missing + grid.steps)


def _combined(node: Node, a: Grid | None, b: Grid | None) -> Grid | None:
    if a is None or b is None:
        return None
    if node.op == "Mul":
        a, b = (a, b) if not any(b.steps) else (b, a)
        return None if any(b.steps) else a.times(b.start)
    return a + (b.times(-1) if node.op == "Sub" else b)


def _values(tensor: Tensor) -> np.ndarray:
    """The numbers of a constant; empty where it is too large to be looked at."""
    if isinstance(tensor, Constant) and tensor.size > LARGEST:
        return np.empty((0,) * len(tensor.shape))
    return np.asarray(schema.constant_of(tensor))


def _of_values(values: np.ndarray) -> Grid | None:
    """The grid that numbers are; None where they are none."""
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
    return Grid(of_array(np.array([values[first]]))[0], tuple(steps))
