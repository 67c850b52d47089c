"""Who else reads what a rewrite is about to change."""

from __future__ import annotations

from collections.abc import Iterable, Set

from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ops.traits import SHAPE_ONLY
from regraft.pipelines.pass_base import label
from regraft.refusal import Refusal


def needs_elements(node: Node, tensor: Tensor) -> bool:
    """Whether `node` reads the elements of `tensor`, not only its shape or its dtype."""
    if node.domain or node.op not in SHAPE_ONLY | {"CastLike"}:
        return True
    return node.op == "CastLike" and node.inputs[0] is tensor


def read_elsewhere(values: Iterable[Tensor], inside: Set[Node], edit: Editor) -> Refusal | None:
    """Why `values` must stay as they are: one is an output, or read by a node that is not `inside`; else None."""
    for value in values:
        if value in edit.graph_outputs:
            return Refusal(f"'{value.name}' is an output of the graph too")
        other = next((r for r in edit.users(value) if r not in inside and needs_elements(r, value)), None)
        if other is not None:
            return Refusal(f"'{value.name}' is read by {other.op} '{label(other)}' too")
    return None
