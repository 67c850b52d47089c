"""Lookups: rows of a constant table, and what chooses them.

A lookup is a Gather or a GatherND, a OneHot and a MatMul, a Slice of the table. What chooses the rows tells them apart:

- `ids`: the values of a graph input, whatever their type and layout;
- `position`: the place in the sequence alone, as a Range, a Slice or a constant gives it, or a CumSum that counts the
  tokens which are no padding;
- `fixed`: nothing; the same row stands everywhere, as where a model has token types and no input for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Graph, Node, Tensor
from regraft.ir.order import reads
from regraft.ops.traits import LAYOUT, MOVES, SHAPE_ONLY
from regraft.rewriting.matcher import Matcher, is_constant

Role = Literal["ids", "position", "fixed"]

SAME_VALUES = MOVES | {"Cast"}
"""Operators that give values of their first input, some or all of them, in another shape or type."""

_GIVEN, _COUNTED, _COMPUTED, _SIZED = 1, 2, 4, 8
"""Values come from a graph input, by way of a CumSum, of arithmetic in floats; or from the shape of a graph input."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """Rows of a table.

    Attributes:
        role: what chooses the rows; see above.
        table: of constants alone, [rows, H]; also [1, rows, H] where it is sliced, or a summand itself, which may be
            [rows, 1, H] too.
        index: what chooses the rows; None where they lie in the table in their order.
        node: the Gather, GatherND, MatMul or Slice; None where the table itself is a summand.
        output: the rows.
    """

    role: Role
    table: Tensor
    index: Tensor | None
    node: Node | None
    output: Tensor

    @property
    def rows(self) -> int:
        """How many rows the table has."""
        return int(math.prod(self.table.shape[:-1]))

    @property
    def width(self) -> int:
        """How wide the rows are."""
        return int(self.table.shape[-1])

    @property
    def chooser(self) -> str:
        """The name of what the index is made of, along the first inputs of its nodes."""
        tensor = self.index
        while tensor is not None and tensor.inputs and tensor.inputs[0].inputs:
            tensor = tensor.inputs[0].inputs[0]
        return tensor.name if tensor is not None else self.table.name


class Lookups:
    """Recognises the lookups of `graph`, whose values must have their types and ranks."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.matcher = Matcher(graph)

    def at(self, node: Node) -> Lookup | None:
        """The lookup that ends with `node`."""
        if node.domain:
            return None
        if node.op == "Slice":
            table = self._table(node.inputs[0], 2, 3)
            by_shape = all(self._origins.get(tensor, 0) in (0, _SIZED) for tensor in node.inputs)
            return Lookup("position", table, None, node, node.outputs[0]) if table and by_shape else None
        if node.op in ("Gather", "GatherND"):
            axis = schema.attribute(node, "axis" if node.op == "Gather" else "batch_dims", self.graph.opset)
            table, index = self._table(node.inputs[0], 2) if not axis else None, node.inputs[1]
        elif node.op == "MatMul" and (hot := _made_by(node.inputs[0], "OneHot")) is not None:
            table, index = self._table(node.inputs[1], 2), hot.inputs[0]
        else:
            return None
        role = None if table is None else self._role(index)
        return None if table is None or role is None else Lookup(role, table, index, node, node.outputs[0])

    def of_constant(self, tensor: Tensor) -> Lookup | None:
        """The lookup that `tensor` is as a summand: a table of which all rows are taken, one for each position."""
        table = self._table(tensor, 2, 3, single=(0, 1))
        if table is None:
            return None
        values = schema.constant_of(table)
        rows = None if values is None else values.reshape(-1, values.shape[-1])
        is_row = rows is not None and bool((rows == rows[:1]).all())
        return Lookup("fixed" if is_row else "position", table, None, None, tensor)

    def _table(self, tensor: Tensor, *ranks: int, single: Sequence[int] = (0,)) -> Tensor | None:
        """The table that `tensor` is, of floats or quantized to bytes, if it has one of `ranks`.

        Of three axes one of those that are `single` must have one element.
        """
        source, _ = self.matcher.source(tensor)
        if source.dtype is None or len(source.shape or ()) not in ranks or not self.is_fixed(source):
            return None
        is_number = is_float(source) or np.dtype(source.dtype) in (np.int8, np.uint8)
        is_flat = len(source.shape) == 2 or any(source.shape[axis] == 1 for axis in single)
        return source if is_number and is_flat else None

    def is_fixed(self, tensor: Tensor) -> bool:
        """Whether `tensor` is computed of constants alone."""
        return is_constant(tensor) or (bool(tensor.inputs) and not self._origins.get(tensor, 0))

    def _role(self, index: Tensor) -> Role | None:
        if self._is_uniform(index):
            return "fixed"
        origin = self._origins.get(index, 0)
        if not origin & _GIVEN or origin & _COUNTED:
            return "position"
        return None if origin & _COMPUTED else "ids"

    def _is_uniform(self, tensor: Tensor) -> bool:
        """Whether all elements are one number."""
        while not is_constant(tensor) and tensor.inputs and tensor.inputs[0].op in SAME_VALUES:
            tensor = tensor.inputs[0].inputs[0]
        values = schema.constant_of(tensor)
        if values is not None:
            return values.size > 0 and bool((values == values.flat[0]).all())
        return bool(tensor.inputs) and tensor.inputs[0].op == "ConstantOfShape"

    @cached_property
    def _origins(self) -> dict[Tensor, int]:
        """Where values come from; nothing is said of those that are computed of constants alone."""
        known: dict[Tensor, int] = dict.fromkeys(self.graph.inputs, _GIVEN)
        for node in self.graph.nodes:
            origin = 0
            for tensor in reads(node):
                origin |= known.get(tensor, 0)
            if not origin:
                continue
            if node.op in SHAPE_ONLY:
                origin = _SIZED
            elif node.op == "CumSum":
                origin |= _COUNTED
            elif node.op not in SAME_VALUES and is_float(node.outputs[0]):
                origin |= _COMPUTED
            known |= dict.fromkeys(node.outputs, origin)
        return known


def _made_by(tensor: Tensor, op: str) -> Node | None:
    """The node `op` whose values `tensor` holds."""
    while tensor.inputs and tensor.inputs[0].op in LAYOUT | {"Cast"}:
        tensor = tensor.inputs[0].inputs[0]
    return tensor.inputs[0] if tensor.inputs and tensor.inputs[0].op == op else None


def cuts_rows(node: Node) -> bool:
    """Whether a Slice, of opset 10 or later, of a table cuts the rows and nothing else."""
    rank = len(node.inputs[0].shape)
    axes = schema.constant_of(node.inputs[3]) if len(node.inputs) > 3 and not node.inputs[3].is_empty() else None
    if axes is None:
        return len(node.inputs) > 1 and rank == 2 and list(node.inputs[1].shape or ()) == [1]
    return [int(axis) % rank for axis in axes] == [rank - 2]


def is_float(tensor: Tensor) -> bool:
    """Whether `tensor` holds floats, as far as is known."""
    return tensor.dtype is not None and np.dtype(tensor.dtype).kind not in "biuO"
