"""Softmax, LogSoftmax and Hardmax: up to opset 12 they flatten around the axis, from 13 on they follow it."""

from __future__ import annotations

import numpy as np

from regraft.ops.traits import SOFTMAXES
from regraft.opset.adapter_context import Site
from regraft.opset.table import down, up


@up(*SOFTMAXES, at=13)
def flatten_around(site: Site) -> None:
    """Up to 12 the axes from `axis` on count as one."""
    data, end, axis = site.node.inputs[0], site.node.outputs[0], int(site.attr("axis"))
    shape = site.types.shape(data)
    if axis != -1 and shape is not None:
        axis = axis if axis >= 0 else axis + len(shape)
        if axis < len(shape) and all(d == 1 for d in shape[axis + 1 :]):
            site.node.attrs["axis"] = axis
            return
    site.node.attrs["axis"] = -1
    if axis == -1:
        return
    sizes = site.add("Shape", [data], dtype=np.int64)
    flat = site.add("Flatten", [data], {"axis": axis}, dtype=site.types.dtype(data), shape=[None, None])
    site.node.inputs[0], site.node.outputs[0] = flat, site.value_like(flat, "flat")
    site.add("Reshape", [site.node.outputs[0], sizes], to=end)


@down(*SOFTMAXES, at=13)
def transpose_around(site: Site) -> None:
    data, end, axis = site.node.inputs[0], site.node.outputs[0], int(site.attr("axis"))
    site.node.attrs["axis"] = -1
    if axis == -1:
        return
    shape = site.types.shape(data)
    rank = site.rank(data)
    axis = axis if axis >= 0 else axis + rank
    if shape is not None and all(d == 1 for d in shape[axis + 1 :]):
        site.node.attrs["axis"] = axis
        return
    perm = list(range(rank))
    perm[axis], perm[-1] = perm[-1], perm[axis]
    dims = [shape[p] for p in perm] if shape is not None else None
    turned = site.add("Transpose", [data], {"perm": perm}, dtype=site.types.dtype(data), shape=dims)
    site.node.inputs[0], site.node.outputs[0] = turned, site.value_like(turned, "turned")
    site.add("Transpose", [site.node.outputs[0]], {"perm": perm}, to=end)
