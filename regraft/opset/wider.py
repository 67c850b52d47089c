"""Types that an opset's operator does not take: computed in a wider one, between two casts.

This gives the same values: what is moved or compared stays what it is, sums and products of integers wrap to the same
when cast back, and a bfloat16 or float16 result is rounded once from float32.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import defs

from regraft.ir.graph import Graph, Tensor
from regraft.opset.adapter_context import Site
from regraft.opset.types import Types, dtype_name

_INTEGERS_TOO = {"Add", "Div", "Equal", "MaxPool", "Mul", "ReduceMax", "ReduceMin", "Sub"}
_BOOLEANS_TOO = {"Pad", "ReduceMax", "ReduceMin"}

_WIDER: dict[np.dtype[Any], tuple[Any, ...]] = {
    np.dtype(ml_dtypes.bfloat16): (np.float32,),
    np.dtype(np.float16): (np.float32,),
    np.dtype(np.int8): (np.int32, np.int64),
    np.dtype(np.int16): (np.int32, np.int64),
    np.dtype(np.int32): (np.int64,),
    np.dtype(np.uint8): (np.int32, np.int64),
    np.dtype(np.uint16): (np.int32, np.int64),
    np.dtype(np.uint32): (np.int64,),
    np.dtype(np.bool_): (np.int32, np.int64),
}


def refused(schema: defs.OpSchema, inputs: list[Tensor], outputs: list[Tensor], types: Types) -> dict[str, str]:
    """The type parameters of `schema` that the values do not fit, with the type that does not."""
    found: dict[str, str] = {}
    for ends, values in ((schema.inputs, inputs), (schema.outputs, outputs)):
        for i, tensor in enumerate(values):
            formal = ends[min(i, len(ends) - 1)] if ends else None
            if formal is None or tensor.is_empty() or formal.type_str in found:
                continue
            name = types.name(tensor)
            if name is not None and name not in formal.types:
                found[formal.type_str] = name
    return found


def compute_wider(site: Site, schema: defs.OpSchema, parameter: str) -> None:
    """Cast what is typed by `parameter` to a type that `schema` takes, and back."""
    allowed = next((set(p.types) for p in (*schema.inputs, *schema.outputs) if p.type_str == parameter), set())
    name = refused(schema, site.node.inputs, site.node.outputs, site.types)[parameter]
    narrow = next((d for d in _WIDER if dtype_name(d) == name), None)
    if narrow is None:
        site.refuse(f"it has no {site.node.op} of {name}")
    # bodies would have to give the wider type
    if any(isinstance(value, Graph) for value in site.node.attrs.values()):
        site.refuse(f"it has no {site.node.op} of {name}")
    floating = narrow.name in ("bfloat16", "float16")
    ops = _BOOLEANS_TOO if name == "tensor(bool)" else _INTEGERS_TOO
    wide = next((np.dtype(d) for d in _WIDER[narrow] if dtype_name(np.dtype(d)) in allowed), None)
    if wide is None or not (floating or site.node.op in ops) or site.node.op == "Cast":
        site.refuse(f"it has no {site.node.op} of {name}")
    for i, tensor in enumerate(site.node.inputs):
        formal = schema.inputs[min(i, len(schema.inputs) - 1)]
        if formal.type_str == parameter and not tensor.is_empty():
            shape = site.types.shape(tensor)
            site.node.inputs[i] = site.add("Cast", [tensor], {"to": site.code(wide)}, dtype=wide, shape=shape)
    for i, tensor in enumerate(site.node.outputs):
        formal = schema.outputs[min(i, len(schema.outputs) - 1)]
        if formal.type_str == parameter and not tensor.is_empty():
            site.node.outputs[i] = site.value_like(tensor, "wide")
            site.node.outputs[i].dtype = wide
            site.add("Cast", [site.node.outputs[i]], {"to": site.code(narrow)}, to=tensor)
