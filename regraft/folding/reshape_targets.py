"""Reshape and Expand whose target is computed from the shape of what they are given."""

from __future__ import annotations

import numpy as np

from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.pipelines.pass_base import Context
from regraft.shapes import dims
from regraft.shapes.dims import Dim
from regraft.shapes.facts import Facts


def simplify_targets(model: Model, facts: Facts, context: Context, room: int) -> None:
    """Write targets as constants where that is exact, drop an Expand to the shape that is there, and what was for them.

    An element of a Reshape's target that is the input's dimension at its place becomes 0, which says so; one other may
    become -1, if no dimension beside it can be zero. `allowzero` goes where it stands in the way and no zero is meant.

    Args:
        room: bytes that the new constants may take.
    """
    with Editor(model) as edit:
        unread: list[Tensor] = []
        for graph in model.graphs():
            for node in graph.nodes:
                if node.domain or len(node.inputs) < 2 or isinstance(node.inputs[1], Constant):
                    continue
                if node.op == "Expand" and node.outputs[0] not in edit.graph_outputs and _keeps_shape(node, facts):
                    edit.replace(node.outputs[0], node.inputs[0])
                    unread += node.inputs
                    edit.remove(node)
                    context.replaced([node], rule="expand")
                elif node.op == "Reshape" and (target := _target(node, facts)) is not None and target.nbytes <= room:
                    room -= target.nbytes
                    unread.append(node.inputs[1])
                    if not _means_zero(node, facts):
                        node.attrs.pop("allowzero", None)
                    constant = edit.constant(target, f"{node.inputs[1].name}_constant")
                    node.inputs.redirect(1, constant)
                    context.replaced([node], [node], rule="reshape")
        for tensor in dict.fromkeys(unread):
            tensor.outputs.settle()
        _drop(edit, unread, context)


def _keeps_shape(node: Node, facts: Facts) -> bool:
    source, target = facts[node.inputs[0]].dims, facts[node.inputs[1]].value
    if source is None or target is None or len(target) > len(source):
        return False
    return all(d in (1, source[i - len(target)]) for i, d in enumerate(target))


def _target(node: Node, facts: Facts) -> np.ndarray | None:
    """The target of a Reshape as numbers; None where they cannot say it."""
    source, target = facts[node.inputs[0]].dims, facts[node.inputs[1]].value
    if source is None or target is None:
        return None
    zero_is_zero = _means_zero(node, facts)
    found = [_entry(d, source[i] if i < len(source) else None, zero_is_zero) for i, d in enumerate(target)]
    open_places = [i for i, d in enumerate(found) if d is None]
    others = [d for d in found if d is not None]
    if len(open_places) > 1 or (open_places and not all(d > 0 for d in others)):
        return None
    if open_places and not dims.is_natural(target[open_places[0]]):
        return None
    return np.array([-1 if d is None else d for d in found], np.int64)


def _means_zero(node: Node, facts: Facts) -> bool:
    """Whether a Reshape asks for a dimension of size zero, by `allowzero`."""
    target = facts[node.inputs[1]].value
    return bool(node.attrs.get("allowzero")) and (target is None or any(isinstance(d, int) and d == 0 for d in target))


def _entry(dim: Dim, here: Dim | None, zero_is_zero: bool) -> int | None:
    if isinstance(dim, int):
        return dim
    return 0 if dim == here and not zero_is_zero else None


def _drop(edit: Editor, unread: list[Tensor], context: Context) -> None:
    """Remove what only made `unread`."""
    while unread:
        for node in unread.pop().inputs:
            if node not in edit.dead and not any(map(edit.is_read, node.outputs)):
                edit.remove(node)
                context.replaced([node], rule="unread")
                unread += reads(node)
