"""GatherElements as Gather, for targets that lack it."""

from __future__ import annotations

import numpy as np

from regraft.folding.identities import maker
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array
from regraft.refusal import Refusal
from regraft.rewriting.matcher import is_constant
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import exact


class LowerGatherElements(NodePass):
    """Write GatherElements as Gather where all rows of its table are the same.

    GatherElements(Expand(t[1, N]), i[B, S], axis=1)  →  Gather(t[N], i)

    So RoBERTa looks its token types up. The table is a constant, or the Expand of one. PopART and neuron-cc have no
    GatherElements, and RKNN leaves it on the CPU.
    """

    name = "lower-gather-elements"
    contract = exact
    introduces = frozenset({"Gather"})
    operators = frozenset({"GatherElements"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal:
        row = one_row(node.inputs[0], node.attrs.get("axis", 0))
        return row if isinstance(row, Refusal) else op.Gather(row, Given(node.inputs[1]), axis=0)


def one_row(data: Tensor, axis: int) -> Array | Refusal:
    """What stands along `axis`, the same at every place of the other axes; else why it is not known."""
    expand = maker(data, "Expand")
    table = data if expand is None else expand.inputs[0]
    if is_constant(table) and table.shape is not None and data.shape is not None:
        rank, axis = len(data.shape), axis % len(data.shape)
        table_axis = axis - (rank - len(table.shape))  # of an Expand the table may have fewer axes
        values = constant_of(table) if table_axis >= 0 and table.shape[table_axis] == data.shape[axis] else None
        if values is not None and values.size:
            rows = np.moveaxis(values, table_axis, -1).reshape(-1, values.shape[table_axis])
            return rows[0] if bool((rows == rows[0]).all()) else Refusal(f"the rows of '{table.name}' differ")
    return Refusal(f"'{data.name}' is no constant, and no Expand of one")
