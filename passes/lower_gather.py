"""GatherElements and GatherND as Gather, or as no lookup at all."""

from __future__ import annotations

import numpy as np

from regraft.folding.noop import maker
from regraft.ir.graph import Node, Tensor
from regraft.ir.schema import constant_of
from regraft.ir.surgery import Editor
from regraft.ir.weights import Array
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import exact


class LowerGather(NodePass):
    """Write GatherElements and GatherND as Gather, or as Reshape where they only lay out anew.

    GatherElements(Expand(t[1, N]), i[B, S], axis=1)  →  Gather(t[N], i)             where all rows are the same
    GatherND(m[B, S], every place in order)           →  Reshape(m, [B, 1, 1, S])    and Expand, where rows repeat

    The first is how RoBERTa looks up its token types; the table may be a constant or the Expand of one. The second is
    how torch's dynamo exporter indexes a mask; the indices are a constant once shapes are fixed and folded. PopART and
    neuron-cc have neither operator, RKNN leaves them on the CPU, and LiteRT reads out of bounds.
    """

    name = "lower-gather"
    contract = exact
    introduces = frozenset({"Expand", "Gather", "Reshape"})
    operators = frozenset({"GatherElements", "GatherND"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | str:
        data, indices = node.inputs
        if node.op == "GatherElements":
            row = one_row(data, node.attrs.get("axis", 0))
            return row if isinstance(row, str) else op.Gather(row, Given(indices), axis=0)
        if node.attrs.get("batch_dims", 0):
            return "it gathers in batches"
        places = constant_of(indices)
        if places is None:
            return f"its indices '{indices.name}' are computed"
        shape = data.shape
        if shape is None or not all(isinstance(dim, int) for dim in shape):
            return f"the shape of '{data.name}' is not known"
        repeated = in_order(places, tuple(shape[: places.shape[-1]]))
        if repeated is None:
            return "it does not take every place once, in order"
        rest = list(shape[places.shape[-1] :])
        laid_out = op.Reshape(Given(data), np.array([*repeated, *rest], np.int64))
        full = [*places.shape[:-1], *rest]
        return laid_out if full == [*repeated, *rest] else op.Expand(laid_out, np.array(full, np.int64))


def one_row(data: Tensor, axis: int) -> Array | str:
    """What stands along `axis`, the same at every place of the other axes; else why it is not known."""
    expand = maker(data, "Expand")
    table = data if expand is None else expand.inputs[0]
    if not table.inputs and table.shape is not None and data.shape is not None:
        rank, axis = len(data.shape), axis % len(data.shape)
        places = axis - (rank - len(table.shape))  # of an Expand the table may have fewer axes
        values = constant_of(table) if places >= 0 and table.shape[places] == data.shape[axis] else None
        if values is not None and values.size:
            rows = np.moveaxis(values, places, -1).reshape(-1, values.shape[places])
            return rows[0] if bool((rows == rows[0]).all()) else f"the rows of '{table.name}' differ"
    return f"'{data.name}' is no constant, and no Expand of one"


def in_order(places: Array, sizes: tuple[int, ...]) -> list[int] | None:
    """The shape of the lookup without repetitions, where it then takes every place of `sizes` once, in order."""
    wrapped = np.where(places < 0, places + np.array(sizes), places)
    once = wrapped
    for axis in range(places.ndim - 1):
        first = once.take([0], axis) if once.shape[axis] else once
        if bool((once == first).all()):
            once = first
    every = np.moveaxis(np.indices(sizes), 0, -1).reshape(-1, len(sizes))
    return list(once.shape[:-1]) if np.array_equal(once.reshape(-1, len(sizes)), every) else None
