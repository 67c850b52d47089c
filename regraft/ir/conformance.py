"""Whether a node has the inputs and the attributes that its operator asks for: what every pass relies on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from onnx import defs

from regraft.ir import schema
from regraft.ir.graph import Constant, Graph, Node

_ANY = 2**31 - 1  # how onnx says that an input may be repeated

_Type = defs.OpSchema.AttrType

_FITS: dict[_Type, tuple[Callable[[Any], bool], str]] = {
    _Type.INT: (lambda v: not isinstance(v, str | bytes | float | list | Constant | Graph), "a whole number"),
    _Type.FLOAT: (lambda v: not isinstance(v, str | bytes | list | Constant | Graph), "a number"),
    _Type.STRING: (lambda v: isinstance(v, str | bytes), "a text"),
    _Type.TENSOR: (lambda v: isinstance(v, Constant | np.ndarray), "a tensor"),
    _Type.GRAPH: (lambda v: isinstance(v, Graph), "a graph"),
    _Type.INTS: (lambda v: _is_list_without(v, str, bytes, float), "a list of whole numbers"),
    _Type.FLOATS: (lambda v: _is_list_without(v, str, bytes), "a list of numbers"),
    _Type.STRINGS: (lambda v: _is_list_without(v, int, float), "a list of texts"),
}
"""What attributes of each type hold; passes may write numpy's numbers and tuples, too."""


def _is_list_without(value: Any, *types: type) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and not any(isinstance(item, types) for item in value)


class _Wanted(NamedTuple):
    """What an operator asks for; `inputs` has whether each is required, the last of them may be repeated."""

    inputs: range
    required: tuple[int, ...]
    attributes: dict[str, tuple[_Type, bool]]
    gives: bool


@functools.cache
def _wanted(op: str, opset: int, domain: str) -> _Wanted | None:
    found = schema.find(op, opset, domain)
    if found is None:
        return None
    single = defs.OpSchema.FormalParameterOption.Single
    required = tuple(i for i, entry in enumerate(found.inputs) if entry.option == single)
    attributes = {name: (one.type, one.required) for name, one in found.attributes.items()}
    inputs = range(found.min_input, found.max_input + 1)
    return _Wanted(inputs, required, attributes, found.min_output > 0)


def misfit(node: Node, opset: int) -> str | None:
    """What `node` lacks, or has too much of, for its operator in `opset`; None where nothing is wrong, or known."""
    wanted = _wanted(node.op, opset, node.domain or "")
    if wanted is None:
        return None
    count = len(node.inputs)
    if count not in wanted.inputs:
        low, high = wanted.inputs[0], wanted.inputs[-1]
        said = str(low) if low == high else f"at least {low}" if high >= _ANY else f"{low} to {high}"
        return f"takes {said} inputs, and it has {count}"
    if not node.outputs and wanted.gives:
        return "gives nothing"
    for i in wanted.required:
        if i < count and node.inputs[i].is_empty():
            return f"has no input number {i}"
    for name, (kind, is_required) in wanted.attributes.items():
        if name not in node.attrs:
            if is_required:
                return f"has no attribute '{name}'"
            continue
        value = node.attrs[name]
        if kind in _FITS and not isinstance(value, Node.AttributeRef) and not _FITS[kind][0](value):
            return f"has an attribute '{name}' that is not {_FITS[kind][1]}"
    return None
