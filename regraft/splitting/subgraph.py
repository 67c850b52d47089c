"""A part of a model as a model of its own, and two such parts put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from regraft.files.convert import clone
from regraft.ir.calls import drop_uncalled
from regraft.ir.editor import Editor
from regraft.ir.graph import Function, Tensor
from regraft.ir.model import Model


def extract(model: Model, outputs: Iterable[Tensor]) -> Model:
    """A copy of what computes `outputs`, values that nodes of the main graph make; its inputs are those it reads."""
    piece = clone(model.device)
    made = {tensor.name: tensor for node in piece.graph.nodes for tensor in node.outputs}
    keep(piece, [made[tensor.name] for tensor in outputs])
    piece.graph.inputs = [tensor for tensor in piece.graph.inputs if tensor.outputs]
    return piece


def keep(model: Model, outputs: Iterable[Tensor]) -> None:
    """Make `outputs` the outputs of the main graph, and remove nodes that only the former outputs needed."""
    model.graph.outputs = list(outputs)
    with Editor(model) as edit:
        edit.remove_unread(model.graph.nodes)
    model.graph.unused = []
    drop_uncalled(model)


def join(model: Model, piece: Model, inputs: Mapping[str, Tensor]) -> None:
    """Append the nodes of `piece` to those of `model`, which owns them from now on.

    A name that `model` has already is changed. The outputs of `piece` become values of the graph of `model`.

    Args:
        inputs: for each input of `piece`, by name, the value of `model` that takes its place.
    """
    _rename(piece, Editor(model))
    with Editor(piece) as edit:
        for tensor in piece.graph.inputs:
            edit.replace(tensor, inputs[tensor.name])
    known = {function.unique_id for function in model.functions}
    model.functions.extend(function for function in piece.functions if function.unique_id not in known)
    model.graph.nodes.extend(piece.graph.nodes)
    opsets = {entry.domain: entry for m in (piece, model) for entry in m.graph.import_domains or ()}
    model.graph.import_domains = list(opsets.values())


def _rename(piece: Model, taken: Editor) -> None:
    """Give the nodes and values of `piece`, except its inputs, names that are not in `taken`."""
    inputs = set(piece.graph.inputs)
    for graph in piece.graphs():
        if isinstance(graph, Function):
            continue
        for node in graph.nodes:
            node.name = taken.name(node.name or node.op)
        for tensor in dict.fromkeys(chain(graph.inputs, *((*node.inputs, *node.outputs) for node in graph.nodes))):
            if tensor.name and tensor not in inputs:
                tensor.name = taken.name(tensor.name)
                inputs.add(tensor)  # each once: an inner graph reads it too
