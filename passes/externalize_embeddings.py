"""Embeddings move to the host; the device takes hidden states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from regraft.ir.graph import Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.surgery import Editor
from regraft.pipelines.options import option
from regraft.pipelines.pass_ import Context, Pass, label
from regraft.regions.embeddings import Embeddings, find_embeddings
from regraft.regions.lookups import SHAPE_ONLY
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
    layer_norm: bool = option(False, "move the LayerNormalization of the embeddings too")
    input: str = option("hidden_states", "name of the input that the device takes")

    def run(self, model: Model, context: Context) -> None:
        every = find_embeddings(model)
        if not every:
            context.note("no embeddings: no table is looked up by token ids")
            return
        facts = analyse(model)
        choosers: list[Tensor] = []
        for embeddings in every:
            hidden = embeddings.total
            if self.layer_norm and embeddings.normalized is None:
                context.note(f"the host only sums '{hidden.name}': no LayerNormalization is all that reads it")
            elif self.layer_norm and embeddings.normalized is not None:
                hidden = embeddings.normalized
            choosers += self._move(hidden, embeddings, facts, model, context)
        _explain(dict.fromkeys(choosers), every, model, context)

    def _move(
        self, hidden: Tensor, embeddings: Embeddings, facts: Facts, model: Model, context: Context
    ) -> list[Tensor]:
        """Let the device take `hidden`. Returns the inputs whose values the lookups take."""
        known, sizes = facts[hidden].dims or (), facts[embeddings.ids].dims or ()
        if len(sizes) != 2 or len(known) not in (2, 3):
            context.note(f"kept the embeddings '{hidden.name}': they are not [B, S, H] for token ids [B, S]")
            return []
        if len(known) == 2 or (known[:2] == sizes[::-1] and known[:2] != sizes):
            hidden = _in_rows(hidden, embeddings.ids, known, model, context)
            known = (*sizes, known[-1])
        hidden.shape = [dims.show(dim) for dim in known]
        nodes, starts = cone([hidden])
        inputs = [tensor for tensor in model.graph.inputs if tensor in starts]
        choosers = [tensor for tensor in inputs if any(n.op not in SHAPE_ONLY for n in _readers(tensor, nodes))]
        given = to_host(model, {self.input: hidden}, context, rule="lookups")[self.input]
        with Editor(model) as edit:
            values = [*inputs, *(tensor for node in nodes for tensor in node.outputs)]
            asking = dict.fromkeys(node for tensor in values for node in tensor.outputs)
            take_sizes(asking, given, known, facts, edit, context)
            left = edit.remove_unread(node for node in nodes if node in edit.home)
        if left:
            context.replaced(left, rule="unread")
        drop_inputs(model, inputs)
        return choosers


def _in_rows(hidden: Tensor, ids: Tensor, known: Sequence[Dim], model: Model, context: Context) -> Tensor:
    """`hidden`, [B * S, H] or [S, B, H], as [B, S, H]; what reads it is given it as it was."""
    before = Variable("", hidden.dtype, hidden.shape)
    with Editor(model) as edit:
        before.name = edit.name(f"{hidden.name}/laid_out")
        first = next(edit.readers(hidden), model.graph.nodes[-1])
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


def _readers(tensor: Tensor, nodes: Sequence[Node]) -> set[Node]:
    return set(nodes).intersection(tensor.outputs)


def _explain(choosers: Iterable[Tensor], every: Sequence[Embeddings], model: Model, context: Context) -> None:
    """Say what stays on the device, though the host has it too, and why."""
    for tensor in choosers:
        if tensor in model.graph.inputs:
            reader = f"{label(tensor.outputs[0])} reads it" if tensor.outputs else "it is an output"
            context.note(f"input '{tensor.name}' stays on the device: {reader}")
    for table in dict.fromkeys(lookup.table for embeddings in every for lookup in embeddings.lookups):
        if table.outputs:
            context.note(f"table '{table.name}' stays on the device too: {label(table.outputs[0])} reads it")
