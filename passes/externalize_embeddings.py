"""Embeddings move to the host; the device takes hidden states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from regraft.idioms.embeddings import Embeddings, find_embeddings
from regraft.idioms.lookups import SAME_VALUES
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ops.traits import SHAPE_ONLY
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass, label
from regraft.refusal import PassRef, Refusal
from regraft.shapes import Facts, analyse, dims
from regraft.shapes.dims import Dim
from regraft.splitting import cone, drop_inputs, take_sizes, to_host
from regraft.verification.contract import interface


class ExternalizeEmbeddings(Pass):
    """Let the host look the embeddings up, and the device take their sum as hidden states [B, S, H].

    Gather(words, input_ids) + Gather(types, token_type_ids) + Gather(positions, 0..S-1)  →  hidden_states

    The tables leave the device, and so do the inputs that nothing else reads; what only asks for their shape is given
    that of the hidden states. A table that the device reads elsewhere, such as that of a decoder whose weights are
    tied, stays there too. With `layer-norm` the LayerNormalization of the embeddings goes with them. Rows that the
    model has as [B * S, H] or [S, B, H] are laid out so on the device.
    """

    name = "externalize-embeddings"
    contract = interface
    removes = EVERY
    introduces = frozenset({"Concat", "Gather", "Reshape", "Shape", "Transpose"})
    layer_norm: bool = option(False, "move the LayerNormalization of the embeddings too")
    input: str = option("hidden_states", "name of the input that the device takes")

    def run(self, model: Model, context: Context) -> None:
        every = find_embeddings(model)
        if not every:
            context.refuse(Refusal("no table is looked up by token ids", heading="no embeddings"))
        facts = analyse(model)
        moves: dict[str, _Move] = {}
        for embeddings in every:
            hidden = self._hidden(embeddings, context)
            known, sizes = facts[hidden].dims or (), facts[embeddings.ids].dims or ()
            if len(sizes) != 2 or len(known) not in (2, 3):
                stays = f"kept the embeddings '{hidden.name}'"
                context.refuse(Refusal("they are not [B, S, H] for token ids [B, S]", heading=stays))
                continue
            if len(known) == 2 or (known[:2] == sizes[::-1] and known[:2] != sizes):
                hidden = _in_rows(hidden, embeddings.ids, known, model, context)
                known = (*sizes, known[-1])
            hidden.shape = [dims.show(dim) for dim in known]
            moves[f"{self.input}_{len(moves)}" if moves else self.input] = _Move(hidden, known, *cone([hidden]))
        if moves:
            _move(moves, facts, model, context)
            for table in dict.fromkeys(lookup.table for embeddings in every for lookup in embeddings.lookups):
                if table.outputs:
                    stays = f"table '{table.name}' stays on the device too"
                    context.refuse(Refusal(f"{label(table.outputs[0])} reads it", heading=stays))

    def _hidden(self, embeddings: Embeddings, context: Context) -> Tensor:
        """What the device takes: the sum, or that normalized."""
        if self.layer_norm and embeddings.normalized is not None:
            return embeddings.normalized
        if self.layer_norm:
            sums = f"the host only sums '{embeddings.total.name}'"
            context.refuse(Refusal("no LayerNormalization is all that reads it", heading=sums))
        return embeddings.total


class _Move(NamedTuple):
    """A value [B, S, H] that goes to the host, its dimensions, and what computes it from which inputs and weights."""

    hidden: Tensor
    dims: Sequence[Dim]
    nodes: list[Node]
    starts: set[Tensor]


def _move(moves: Mapping[str, _Move], facts: Facts, model: Model, context: Context) -> None:
    """Feed the device by the names of `moves`, and take off it what it needs no more."""
    nodes = dict.fromkeys(node for move in moves.values() for node in move.nodes)
    inputs = [tensor for tensor in model.graph.inputs if any(tensor in move.starts for move in moves.values())]
    choosers = [t for t in inputs if any(n.op not in SHAPE_ONLY for n in t.outputs if n in nodes)]
    made = to_host(model, {name: move.hidden for name, move in moves.items()}, context, rule="lookups")
    with Editor(model) as edit:
        for name, move in moves.items():
            values = [*(t for t in inputs if t in move.starts), *(t for node in move.nodes for t in node.outputs)]
            laid_out = _readers(values, edit)
            take_sizes(laid_out, made[name], move.dims, facts, edit, context)
            nodes |= dict.fromkeys(laid_out)
        left = edit.remove_unread(node for node in reversed(nodes) if node.graph is model.graph)
    if left:
        context.replaced(left, rule="unread")
    drop_inputs(model, inputs)
    for tensor in choosers:
        if tensor in model.graph.inputs:
            context.refuse(_use(tensor), heading=f"input '{tensor.name}' stays on the device")


def _use(tensor: Tensor) -> Refusal:
    """What `tensor` is still there for."""
    reader = next((label(node) for node in tensor.outputs if node.op not in SHAPE_ONLY), "")
    if reader or not tensor.outputs:
        return Refusal(f"{reader} reads it" if reader else "it is an output")
    set_shapes = PassRef("set-shapes")
    sizes = f"its sizes are read, which need not be those of the hidden states; {set_shapes} can say that they are"
    return Refusal(sizes, needs=(set_shapes,))


def _readers(values: Iterable[Tensor], edit: Editor) -> list[Node]:
    """The nodes that read `values`, or those laid out otherwise."""
    found: dict[Node, None] = {}
    pending = list(values)
    while pending:
        for node in edit.users(pending.pop()):
            if node not in found:
                found[node] = None
                pending += node.outputs if node.op in SAME_VALUES else ()
    return list(found)


def _in_rows(hidden: Tensor, ids: Tensor, known: Sequence[Dim], model: Model, context: Context) -> Tensor:
    """`hidden`, [B * S, H] or [S, B, H], as [B, S, H]; what reads it is given it as it was."""
    before = Variable("", hidden.dtype, hidden.shape)
    with Editor(model) as edit:
        before.name = edit.name(f"{hidden.name}/laid_out")
        first = next(edit.users(hidden), model.graph.nodes[-1])
        edit.replace(hidden, before)
        if len(known) == 3:
            rows = edit.insert(first, "Transpose", [hidden], {"perm": [1, 0, 2]})
            back = edit.insert(first, "Transpose", rows.outputs, {"perm": [1, 0, 2]}, [before])
        else:
            width, flat = (edit.constant(np.array(size, np.int64), "size") for size in ([known[-1]], [-1, known[-1]]))
            sizes = edit.insert(first, "Shape", [ids])
            shape = edit.insert(first, "Concat", [sizes.outputs[0], width], {"axis": 0})
            rows = edit.insert(first, "Reshape", [hidden, shape.outputs[0]])
            back = edit.insert(first, "Reshape", [rows.outputs[0], flat], outputs=[before])
    context.replaced([], [back], rule="layout")
    made: Tensor = rows.outputs[0]
    made.dtype = hidden.dtype
    return made
