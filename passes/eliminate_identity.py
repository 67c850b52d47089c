"""Nodes that hand their input on go; pairs that undo each other too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regraft.folding.identities import REMOVABLE, integers, maker, same_value
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Variable
from regraft.ir.model import Model
from regraft.ir.weights import dtype_from_onnx
from regraft.ops.traits import REGROUPS
from regraft.pipelines.pass_base import Context, Pass
from regraft.verification.contract import exact

_FLOATS = {"bfloat16": (8, 8), "float16": (11, 5), "float32": (24, 8), "float64": (53, 11)}  # bits: digits, exponent


class EliminateIdentity(Pass):
    """Remove nodes that hand their input on unchanged.

    | node | when |
    |---|---|
    | Identity | always |
    | Cast, CastLike | to the dtype that it has |
    | Transpose | the order stays |
    | Reshape, Expand | to the shape that it has, or to `Shape` of its own input |
    | Flatten | at axis 1 of two dimensions |
    | Squeeze, Unsqueeze | no axes |
    | Slice | all of it |
    | Pad, Tile, Resize, Upsample | by 0; by 1 |
    | DepthToSpace, SpaceToDepth | in blocks of 1 |
    | Concat, Sum, Mean, Max, Min | of one value |
    | Split | in one part |
    | Clip | no bounds, on integers |
    | ReduceSum, -Mean, -Max, -Min, -Prod | `noop_with_empty_axes`, no axes |
    | Mul, Div, Pow by 1; And true; Or, Xor false | the constant does not widen the shape |
    | Sub 0, Add -0 | the same; `x + 0.0` stays, since it makes 0.0 of -0.0; of integers it goes |
    | Not(Not), Neg(Neg), Abs(Abs), Relu(Relu), Ceil, Floor, Round, Sign | the second, or both |
    | Transpose(Transpose), Cast(Cast) | one, or none where they cancel; the first Cast must be lossless |
    | Squeeze(Unsqueeze), Unsqueeze(Squeeze) | of the same axes |
    | Reshape(Reshape, Squeeze, Unsqueeze, Flatten) | the last one stays |

    An input of a graph that is also its output keeps an Identity between.
    """

    name = "eliminate-identity"
    contract = exact
    removes = REMOVABLE

    def run(self, model: Model, context: Context) -> None:
        before: list[Node] = []  # what may be unread now, producers first
        with Editor(model) as edit:
            for graph in model.graphs():
                for node in edit.live_nodes(graph):
                    sources = [source for tensor in node.inputs for source in tensor.inputs]
                    if _remove(node, graph.opset, edit, context):
                        before += sources
                    else:
                        before += _merge(node, graph.opset, edit, context)
            unread = edit.remove_unread(reversed(before))
        if unread:
            context.replaced(unread, rule="unread")


def _remove(node: Node, opset: int, edit: Editor, context: Context) -> bool:
    """Remove `node` where its output is provably another value."""
    same = same_value(node, opset)
    old = node.outputs[0]
    if same is None or (node.op == "Identity" and edit.needs_identity(old, same)):
        return False
    if isinstance(same, Variable) and same.inputs:
        same.dtype = old.dtype if same.dtype is None else same.dtype
        same.shape = old.shape if same.shape is None else same.shape
    edit.replace(old, same)
    edit.remove(node)
    context.replaced([node], [made for made in old.inputs if made is not node], rule=node.op)
    return True


def _merge(node: Node, opset: int, edit: Editor, context: Context) -> list[Node]:
    """Let one node do the work of `node` and of those before it, or none where they cancel. Returns those before it."""
    merge = None if node.domain else _MERGES.get(node.op)
    inner = maker(node.inputs[0], *(REGROUPS if node.op == "Reshape" else (node.op,))) if merge else None
    attrs = merge(node, inner, opset) if merge and inner else None
    if inner is None or attrs is None:
        return []
    before = [inner]
    while node.op == "Reshape" and (further := maker(before[-1].inputs[0], *REGROUPS)):
        before.append(further)
    merged = edit.insert(node, node.op, [before[-1].inputs[0], *node.inputs[1:]], attrs, hint=node.name)
    merged.outputs[0].dtype, merged.outputs[0].shape = node.outputs[0].dtype, node.outputs[0].shape
    same = same_value(merged, opset)
    edit.replace(node.outputs[0], merged.outputs[0] if same is None else same)
    edit.remove(node)
    if same is not None:
        edit.remove(merged)
    context.replaced([node], [merged] if same is None else [], rule=f"{node.op}({inner.op})")
    return before[::-1]


def _merge_transposes(node: Node, inner: Node, opset: int) -> dict[str, Any] | None:
    orders = [integers(n, "perm", opset) for n in (inner, node)]
    known = next((order for order in orders if order is not None), None)
    if known is None or any(
        order is None and "perm" in n.attrs for order, n in zip(orders, (inner, node), strict=True)
    ):
        return None
    reverse = list(range(len(known)))[::-1]
    first, second = (reverse if order is None else order for order in orders)
    return {"perm": [first[i] for i in second]}


def _merge_reshapes(node: Node, inner: Node, opset: int) -> dict[str, Any] | None:
    """The last shape counts, unless its zeros copy dimensions of the one before."""
    target = integers(node, "shape", opset)
    independent = opset >= 5 and target is not None and (0 not in target or node.attrs.get("allowzero", 0) == 1)
    return dict(node.attrs) if independent else None


def _merge_casts(node: Node, inner: Node, opset: int) -> dict[str, Any] | None:
    codes = inner.attrs.get("to"), node.attrs.get("to")
    if inner.inputs[0].dtype is None or not all(isinstance(code, int) for code in codes):
        return None
    first, (between, last) = np.dtype(inner.inputs[0].dtype), map(dtype_from_onnx, codes)
    fits = last == first or last.name in _FLOATS or _holds(last, first) or _are_integers(first, between, last)
    return dict(node.attrs) if _holds(between, first) and fits else None


def _holds(wide: np.dtype[Any], narrow: np.dtype[Any]) -> bool:
    """Whether every value of `narrow` is one of `wide`."""
    if narrow.name in _FLOATS:
        return wide.name in _FLOATS and all(
            a >= b for a, b in zip(_FLOATS[wide.name], _FLOATS[narrow.name], strict=True)
        )
    if not _are_integers(narrow):
        return False
    if wide.name in _FLOATS:
        return _FLOATS[wide.name][0] >= (1 if narrow.kind == "b" else np.iinfo(narrow).bits - (narrow.kind == "i"))
    return _are_integers(wide) and np.can_cast(narrow, wide, "safe")


def _are_integers(*dtypes: np.dtype[Any]) -> bool:
    return all(dtype.kind in "biu" for dtype in dtypes)


_MERGES: dict[str, Callable[[Node, Node, int], dict[str, Any] | None]] = {
    "Cast": _merge_casts,
    "Reshape": _merge_reshapes,
    "Transpose": _merge_transposes,
}
