"""Gelu, LayerNormalization and Trilu, written out where an opset lacks them.

ONNX's own bodies hold as definitions, but compute a variance as a difference of squares, which cancels. Trilu has none.
"""

from __future__ import annotations

import math

import numpy as np

from regraft.ir.graph import Tensor
from regraft.opset.adapter_context import Site
from regraft.opset.table import down

_LOW = ("float16", "bfloat16")


@down("LayerNormalization", at=17)
def write_layer_normalization(site: Site) -> None:
    data, scale, bias = (site.input(i) for i in range(3))
    assert data is not None
    assert scale is not None
    axis, epsilon = int(site.attr("axis")), float(site.attr("epsilon"))
    dtype = site.dtype(data)
    axes = [-1] if axis == -1 else list(range(axis % site.rank(data), site.rank(data)))
    raised = dtype.name in _LOW and site.attr("stash_type") == 1
    wide = np.dtype(np.float32) if raised else dtype
    shape = site.types.shape(data)
    reduced = None if shape is None else [1 if i - len(shape) in axes or i in axes else d for i, d in enumerate(shape)]
    mean_out, inverse_out = (site.node.outputs[i] if len(site.node.outputs) > i else None for i in (1, 2))

    def wider(op: str, *inputs: Tensor, to: Tensor | None = None) -> Tensor:
        return site.add(op, inputs, to=to, dtype=wide, shape=shape)

    def row(op: str, *inputs: Tensor, to: Tensor | None = None) -> Tensor:
        attrs = {"axes": axes, "keepdims": 1} if op == "ReduceMean" else {}
        to = None if to is None or to.is_empty() else to
        return site.add(op, inputs, attrs, to=to, dtype=wide, shape=reduced)

    x = site.add("Cast", [data], {"to": site.code(wide)}, dtype=wide, shape=shape) if raised else data
    mean = row("ReduceMean", x, to=mean_out)
    deviation = wider("Sub", x, mean)
    variance = row("ReduceMean", wider("Mul", deviation, deviation))
    spread = row("Sqrt", row("Add", variance, site.constant(epsilon, "epsilon", wide)))
    if inverse_out is not None and not inverse_out.is_empty():
        row("Reciprocal", spread, to=inverse_out)
    y = wider("Div", deviation, spread)
    y = site.add("Cast", [y], {"to": site.code(dtype)}, dtype=dtype, shape=shape) if raised else y
    y = site.add("Mul", [y, scale], dtype=dtype, shape=shape, to=site.node.outputs[0] if bias is None else None)
    if bias is not None:
        site.add("Add", [y, bias], to=site.node.outputs[0])
    site.kept = False


@down("Gelu", at=20)
def write_gelu(site: Site) -> None:
    x, end = site.node.inputs[0], site.node.outputs[0]
    dtype = site.dtype(x)

    def scalar(value: float, name: str) -> Tensor:
        return site.constant(value, name, dtype)

    if site.attr("approximate") == "tanh":
        cubed = site.add("Pow", [x, scalar(3, "three")], like=x)
        inner = site.add("Add", [x, site.add("Mul", [cubed, scalar(0.044715, "cubic")], like=x)], like=x)
        inner = site.add("Mul", [inner, scalar(math.sqrt(2 / math.pi), "sqrt_2_over_pi")], like=x)
        gate = site.add("Tanh", [inner], like=x)
    else:
        gate = site.add("Erf", [site.add("Div", [x, scalar(math.sqrt(2), "sqrt_2")], like=x)], like=x)
    gate = site.add("Add", [gate, scalar(1, "one")], like=x)
    half = site.add("Mul", [x, scalar(0.5, "half")], like=x)
    site.add("Mul", [half, gate], to=end)
    site.kept = False


@down("Trilu", at=14)
def write_trilu(site: Site) -> None:
    data, offset, end = site.node.inputs[0], site.input(1), site.node.outputs[0]
    upper = bool(site.attr("upper"))
    sizes = site.add("Shape", [data], dtype=np.int64)

    def count(axis: int) -> Tensor:
        size = site.add("Gather", [sizes, site.ints(axis, "axis")], {"axis": 0}, dtype=np.int64, shape=[])
        return site.add("Range", [site.ints(0, "zero"), size, site.ints(1, "one")], dtype=np.int64, shape=[None])

    rows = site.add("Unsqueeze", [count(-2), site.ints([1], "axes")], dtype=np.int64, shape=[None, 1])
    distance = site.add("Sub", [count(-1), rows], dtype=np.int64, shape=[None, None])
    far = site.ints(0, "zero") if offset is None else offset
    outside = site.add("Less" if upper else "Greater", [distance, far], dtype=bool, shape=[None, None])
    dtype = site.dtype(data)
    if dtype == np.bool_:  # for which ONNX Runtime has no Where
        inside = site.add("Not", [outside], dtype=bool, shape=[None, None])
        site.add("And", [inside, data], to=end)
    else:
        site.add("Where", [outside, site.constant(0, "nothing", dtype), data], to=end)
    site.kept = False
