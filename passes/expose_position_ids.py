"""Position ids become an input of the device; the host makes those that the model made itself."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from regraft.idioms.embeddings import Embeddings, find_embeddings
from regraft.idioms.lookups import Lookup, cuts_rows
from regraft.idioms.sequence_major import index_is_turned, sum_is_turned
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import Derived, code_of
from regraft.ops.traits import LAYOUT
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.refusal import Refusal
from regraft.shapes import Facts, analyse
from regraft.splitting import cone, take_sizes, to_host
from regraft.verification.contract import interface


class ExposePositionIds(Pass):
    """Take position ids as an input, as the token ids are one.

    Gather(table[P, H], 0..S-1)           →  Gather(table, position_ids[B, S])
    x + constant[1, S, H]                 →  x + Gather(constant[S, H], position_ids)
    x + Slice(constant[1, P, H], 0 .. S)  →  x + Gather(constant[P, H], position_ids)
    x[S, B, H] + constant[S, 1, H]        →  x + Gather(constant[S, H], Transpose(position_ids))

    The table is known by being a summand of the embeddings whose rows the place in the sequence chooses, be it by a
    Range, a Slice, a constant, or a CumSum that counts the tokens which are no padding. The host gives the device what
    the model made itself; who runs the device alone may give others, such as those of several sequences in one row.
    What else reads the length of the sequence, a mask, stays.
    """

    name = "expose-position-ids"
    contract = interface
    removes = EVERY
    introduces = frozenset({"Concat", "Gather", "Reshape", "Shape", "Transpose"})
    input: str = option("position_ids", "name of the input")
    dtype: Literal["same", "int32", "int64"] = option("same", "of the input; same: as the model has it, else int64")

    def run(self, model: Model, context: Context) -> None:
        every, facts = find_embeddings(model), analyse(model)
        if not every:
            context.refuse(Refusal("no table is looked up by token ids", heading="no position ids"))
        for embeddings in every:
            lookups = embeddings.by("position")
            if not lookups:
                tables = ", ".join(f"'{lookup.chooser}' (of {lookup.rows})" for lookup in embeddings.by("ids"))
                none = f"'{embeddings.total.name}' has no positions but those of inputs; rows come by {tables}"
                context.refuse(Refusal(none))
            groups: dict[Tensor, list[Lookup]] = {}
            for lookup in lookups:
                refusal = _reason_to_keep(lookup, embeddings)
                if refusal is not None:
                    context.refuse(refusal, heading=f"kept the positions that make '{lookup.output.name}'")
                else:
                    groups.setdefault(lookup.index or lookup.output, []).append(lookup)
            for group in groups.values():
                self._expose(group, embeddings, facts, model, context)

    def _expose(
        self, lookups: list[Lookup], embeddings: Embeddings, facts: Facts, model: Model, context: Context
    ) -> None:
        """Let `lookups`, which one index is for, read a new input."""
        ids = embeddings.ids
        turned = [bool(sum_is_turned(lookup, embeddings)) for lookup in lookups]
        with Editor(model) as edit:
            before = embeddings.way(lookups[0])[0]
            index = _default(lookups[0], before, edit)
            if index_is_turned(lookups[0], embeddings):
                index = _turned(index, before, edit)
            rows = {tensor for node in embeddings.nodes for tensor in node.outputs}
            sizes = [node for node in cone([index])[0] if rows.intersection(node.inputs)]
            take_sizes(sizes, ids, facts[ids].dims or (), facts, edit, context)
            if isinstance(index, Constant) or None in (index.shape or [None]) or index.shape != ids.shape:
                size = _typed(edit.insert(before, "Shape", [ids]), np.int64, [2])
                index = _typed(edit.insert(before, "Expand", [index, size]), index.dtype, ids.shape)
            if self.dtype not in ("same", str(index.dtype)):
                dtype = np.dtype(self.dtype)
                index = _typed(edit.insert(before, "Cast", [index], {"to": code_of(dtype)}), dtype, ids.shape)
            for lookup, is_turned in zip(lookups, turned, strict=True):
                _look_up(lookup, index, is_turned, embeddings, edit, context)
        to_host(model, {self.input: index}, context, rule="default")


def _reason_to_keep(lookup: Lookup, embeddings: Embeddings) -> Refusal | None:
    """Why the rows of `lookup` cannot be chosen by an input; None where they can."""
    way = embeddings.way(lookup)
    if len(way[-1].outputs[0].shape or ()) != 3:
        return Refusal("it is not added to hidden states [B, S, H]")
    if lookup.node is not None and lookup.node.op not in ("Gather", "Slice"):
        return Refusal(f"they choose by {lookup.node.op}")
    if lookup.index is not None and len(lookup.index.shape or [None] * 3) > 2:
        return Refusal(f"'{lookup.index.name}' has more than two dimensions")
    if sum_is_turned(lookup, embeddings) is None:
        return Refusal("it cannot be told along which axis of the sum they lie")
    if lookup.node is not None and lookup.node.op == "Slice" and not cuts_rows(lookup.node):
        return Refusal("more than its rows is cut")
    return None


def _default(lookup: Lookup, before: Node, edit: Editor) -> Tensor:
    """What chooses the rows in the model, [S] or [1, S] or [B, S]."""
    if lookup.index is not None:
        return lookup.index
    positions = edit.constant(np.arange(lookup.rows, dtype=np.int64), "positions")
    if lookup.node is None:
        return positions
    starts, ends, steps = lookup.node.inputs[1], lookup.node.inputs[2], lookup.node.inputs[4:]
    axes = edit.constant(np.array([0], starts.dtype or np.int64), "axes")
    return _typed(edit.insert(before, "Slice", [positions, starts, ends, axes, *steps]), np.int64, None)


def _look_up(
    lookup: Lookup, index: Tensor, is_turned: bool, embeddings: Embeddings, edit: Editor, context: Context
) -> None:
    """Let `index` choose the rows, and add them as they are, or as [S, B, H] where the sum `is_turned`."""
    way = embeddings.way(lookup)
    if is_turned:
        index = _turned(index, way[0], edit)
    shape = [*index.shape, lookup.width]
    if not is_turned and lookup.node is not None and lookup.node.op == "Gather":
        lookup.node.inputs[1] = index
        lookup.output.shape = shape
    else:
        gather = edit.insert(way[0], "Gather", [_flat_table(lookup, edit), index], {"axis": 0})
        rows = _typed(gather, lookup.table.dtype, shape)
        if lookup.node is None:
            way[0].inputs[list(way[0].inputs).index(lookup.output)] = rows
        else:
            edit.replace(lookup.output, rows)
            edit.remove(lookup.node)
        context.replaced([lookup.node] if lookup.node else [], [gather], rule="table")
    for node in way[:-1]:
        node.outputs[0].shape = shape
        if node.op in LAYOUT:
            edit.replace(node.outputs[0], node.inputs[0])
            edit.remove(node)
            context.replaced([node], rule="layout")


def _flat_table(lookup: Lookup, edit: Editor) -> Tensor:
    """The table as [rows, H]."""
    table, shape = lookup.table, [lookup.rows, lookup.width]
    if len(table.shape) == 2:
        return table
    values: Any = table.lazy if isinstance(table, Constant) else schema.constant_of(table)
    if values is None:
        reshape = edit.insert(table.inputs[0], "Reshape", [table, edit.constant(np.array(shape), "table_shape")])
        return _typed(reshape, table.dtype, shape)
    return edit.constant(Derived([values], lambda array: array.reshape(shape), shape, table.dtype), table.name)


def _turned(index: Tensor, before: Node, edit: Editor) -> Tensor:
    """`index` with its two axes exchanged."""
    return _typed(edit.insert(before, "Transpose", [index], {"perm": [1, 0]}), index.dtype, index.shape[::-1])


def _typed(node: Node, dtype: Any, shape: Any) -> Tensor:
    """The output of a new node, whose type is stated."""
    made: Tensor = node.outputs[0]
    made.dtype, made.shape = np.dtype(dtype), shape
    return made
