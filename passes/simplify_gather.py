"""Lookups that give every element at its own place are views."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from regraft.analysis.affine_index import Affine, AffineIndices, row_major
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ops.traits import VIEWS
from regraft.pipelines.pass_base import Context
from regraft.refusal import Refusal
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.shapes import Facts, analyse
from regraft.shapes.dims import Dim, is_natural
from regraft.verification.contract import exact


class SimplifyGather(NodePass):
    """Write lookups that give each element at its own place as views.

    GatherND(m[B, S], (b, s) for every b and s as [B, 1, 1, S, 2])   →  Unsqueeze(m)
    Gather(Flatten(m[B, S]), S · b + s as [B, 1, 1, S])              →  Unsqueeze(m)
    Reshape(Unsqueeze(m[B, S]), ..., [B, 1, 1, S])                   →  Unsqueeze(m)   whatever views stand between

    Exports of attention by PyTorch's sdpa look the mask up like this: the code says `mask[b, s]` of one row and one
    place, and torch maps it over all of them. The places may be constants, or computed from the shape of an input.
    Compilers that take no lookup with several indices take the result, and those that have to know shapes find them.
    """

    name = "simplify-gather"
    contract = exact
    operators = frozenset({"Gather", "GatherND", "Reshape"})
    introduces = frozenset({"Reshape", "Squeeze", "Unsqueeze"})

    def has_work(self, model: Model) -> bool:
        return True

    def run(self, model: Model, context: Context) -> None:
        self._facts, self._indices = analyse(model), model.facts(AffineIndices)
        super().run(model, context)

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal:
        out = self._facts[node.outputs[0]].dims
        if out is None:
            return Refusal("its shape is not known", quiet=True)
        if node.op == "Reshape":
            sources = list(_same_elements(node.inputs[0]))[1:]
        else:
            sources = (
                list(_same_elements(node.inputs[0])) if _gives_all(node, opset, self._facts, self._indices) else []
            )
        for source in reversed(sources):  # the farthest: what stands between may be for this node alone
            before = self._facts[source].dims
            view = None if before is None else _view(source, before, out)
            if view is not None:
                return view
        return Refusal("it is no view of what it takes: not all of its elements, or not in their order", quiet=True)


def _gives_all(node: Node, opset: int, facts: Facts, affine: AffineIndices) -> bool:
    """Whether a lookup gives what it looks up, element by element in their order."""
    data, indices = (facts[tensor].dims for tensor in node.inputs)
    if data is None or indices is None:
        return False
    if node.op == "Gather":
        axis = schema.attribute(node, "axis", opset)
        index = affine[node.inputs[1]]
        found = [] if index is None or axis not in (0, -len(data)) else [index]
    elif schema.attribute(node, "batch_dims", opset):
        found = []
    else:
        found = affine.columns(node.inputs[1]) or []
        indices = indices[:-1]
    if not found or not all(_is_forward(index) for index in found):
        return False
    looked_up = data[: len(found)]
    total = Affine(0, (0,) * len(indices))
    for axis, index in enumerate(found):
        total += index.times(math.prod(looked_up[axis + 1 :]))
    return math.prod(looked_up) == math.prod(indices) and total == row_major(indices)


def _is_forward(index: Affine) -> bool:
    """Whether no number is negative, which would count from the end."""
    return is_natural(index.start) and all(map(is_natural, index.steps))


def _same_elements(tensor: Tensor) -> Iterator[Tensor]:
    """`tensor`, and what it is a view of; the nearest first."""
    yield tensor
    while len(tensor.inputs) == 1 and tensor.inputs[0].op in VIEWS and not tensor.inputs[0].domain:
        tensor = tensor.inputs[0].inputs[0]
        yield tensor


def _view(source: Tensor, before: Sequence[Dim], after: Sequence[Dim]) -> Term | None:
    """`source` in the shape `after`, if one node with nothing computed can say it."""
    x = Given(source)
    if tuple(before) == tuple(after):
        return x
    if [dim for dim in before if dim != 1] == [dim for dim in after if dim != 1]:
        if (axes := _ones_among(after, before)) is not None:
            return op.Unsqueeze(x, axes=axes)
        if (axes := _ones_among(before, after)) is not None:
            return op.Squeeze(x, axes=axes)
    if all(isinstance(dim, int) and dim for dim in after):
        return op.Reshape(x, np.array(after, np.int64))
    return None


def _ones_among(longer: Sequence[Dim], shorter: Sequence[Dim]) -> list[int] | None:
    """The axes of size one that `longer` has and `shorter` lacks; None where that is not all."""
    axes, rest = [], list(shorter)
    for axis, dim in enumerate(longer):
        if rest and rest[0] == dim:
            rest.pop(0)
        elif dim == 1:
            axes.append(axis)
        else:
            return None
    return None if rest else axes
