"""Reads sizes off another value of the same sizes, so that the first need not be computed for its shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.pipelines.pass_base import Context
from regraft.shapes import Facts
from regraft.shapes.dims import Dim


def take_sizes(
    nodes: Iterable[Node], source: Tensor, dims: Sequence[Dim], facts: Facts, edit: Editor, context: Context
) -> None:
    """Let every Shape among `nodes` be that of `source`, where each size is a number or one of `dims`.

        Shape(x)  →  Shape(source)[...]

    Args:
        dims: the dimensions of `source`.
        facts: of the values that the nodes read.
    """
    for node in nodes:
        if node.op != "Shape" or node.domain or node.inputs[0] is source:
            continue
        known = facts[node.inputs[0]].dims
        wanted = None if known is None else known[node.attrs.get("start", 0) : node.attrs.get("end")]
        if wanted is None or any(not isinstance(dim, int) and dim not in dims for dim in wanted):
            continue
        made = _sizes(list(wanted), source, list(dims), node, edit)
        context.replaced([node], made, rule="shape")
        edit.remove(node)


def _sizes(wanted: list[Dim], source: Tensor, dims: list[Dim], node: Node, edit: Editor) -> list[Node]:
    """Replace the output of `node` by the sizes `wanted`. Returns the new nodes."""
    old = node.outputs[0]
    if all(isinstance(dim, int) for dim in wanted):
        edit.replace(old, edit.constant(np.array(wanted, np.int64), old.name))
        return []
    first = next((i for i in range(len(dims)) if dims[i : i + len(wanted)] == wanted), None)
    if first is not None and (edit.graph_of(node).opset >= 15 or len(wanted) == len(dims)):
        bounds = {} if len(wanted) == len(dims) else {"start": first, "end": first + len(wanted)}
        made = [edit.insert(node, "Shape", [source], bounds)]
    else:
        extra = [dim for dim in wanted if dim not in dims]
        every = [*dims, *extra]
        made = [edit.insert(node, "Shape", [source])]
        if extra:
            numbers = edit.constant(np.array(extra, np.int64), "sizes")
            made.append(edit.insert(node, "Concat", [made[0].outputs[0], numbers], {"axis": 0}))
        if every != wanted:
            places = edit.constant(np.array([every.index(dim) for dim in wanted], np.int64), "places")
            made.append(edit.insert(node, "Gather", [made[-1].outputs[0], places], {"axis": 0}))
    for new in made:
        new.outputs[0].dtype = np.dtype(np.int64)
    made[-1].outputs[0].shape = [len(wanted)]
    edit.replace(old, made[-1].outputs[0])
    return made
