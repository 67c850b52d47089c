"""Split written as Slices, for targets that lack it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from regraft.folding.identities import integers
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.refusal import Refusal
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import exact


class LowerSplit(NodePass):
    """Write Split as a Slice for each part that is read.

    Split(x, sizes, axis)  →  Slice(x, 0, s₁, axis), Slice(x, s₁, s₁ + s₂, axis), ...

    The sizes are stated, as an attribute or a constant, or follow from a known dimension; equal parts of a dimension
    that is not known stay. A Split that makes one part goes. hls4ml has no Split and onnx2torch none of opset 18;
    LiteRT's fails on dynamic shapes.
    """

    name = "lower-split"
    contract = exact
    introduces = frozenset({"Slice"})
    operators = frozenset({"Split"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Sequence[Term | None] | Refusal:
        axis = node.attrs.get("axis", 0)
        sizes = split_sizes(node, axis, opset)
        if isinstance(sizes, Refusal):
            return sizes
        x, ends = Given(node.inputs[0]), list(itertools.accumulate(sizes))
        if len(ends) == 1:
            return [x]
        return [
            op.Slice(x, starts=[end - size], ends=[end], axes=[axis]) if edit.is_read(part) else None
            for part, size, end in zip(node.outputs, sizes, ends, strict=True)
        ]


def split_sizes(node: Node, axis: int, opset: int) -> list[int] | Refusal:
    """The sizes of the parts; else why they are not known."""
    stated = integers(node, "split", opset)
    if stated is not None:
        return stated
    if schema.is_input("Split", "split", opset) and len(node.inputs) > 1 and node.inputs[1].name:
        return Refusal("its sizes are computed")
    shape, parts = node.inputs[0].shape, len(node.outputs)
    dim = None if shape is None else shape[axis]
    if not isinstance(dim, int):
        return Refusal(f"the dimension that it splits in equal parts is not known ({dim})")
    size = -(-dim // parts)
    return [max(min(size, dim - index * size), 0) for index in range(parts)]
