"""Whether a node has the inputs and the attributes that its operator asks for: what every pass relies on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from onnx import defs

from regraft import wording
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


_SURE: dict[_Type, type] = {_Type.INT: int, _Type.FLOAT: float, _Type.STRING: str, _Type.TENSOR: Constant}
"""Types that fit, so that most attributes are passed at once."""


def _is_list_without(value: Any, *types: type) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and not any(isinstance(item, types) for item in value)


class Wanted(NamedTuple):
    """What an operator asks for.

    Attributes:
        least, most: inputs.
        required: places of inputs that may not be left out.
        attributes: the type of each, by name.
        sure: a type of Python's that fits, by name.
        needed: those that may not be left out.
        gives: whether it has outputs.
    """

    least: int
    most: int
    required: tuple[int, ...]
    attributes: dict[str, _Type]
    sure: dict[str, type]
    needed: frozenset[str]
    gives: bool


@functools.cache
def wanted(op: str, opset: int, domain: str) -> Wanted | None:
    """What ONNX says of an operator in `opset`; None where it does not know it."""
    found = schema.find(op, opset, domain)
    if found is None:
        return None
    single = defs.OpSchema.FormalParameterOption.Single
    required = tuple(i for i, entry in enumerate(found.inputs) if entry.option == single)
    attributes = {name: one.type for name, one in found.attributes.items()}
    needed = frozenset(name for name, one in found.attributes.items() if one.required)
    sure = {name: _SURE[kind] for name, kind in attributes.items() if kind in _SURE}
    return Wanted(found.min_input, found.max_input, required, attributes, sure, needed, found.min_output > 0)


def misfit(node: Node, wanted: Wanted) -> str | None:
    """What `node` lacks, or has too much of, for its operator; None where nothing is wrong."""
    least, most, required, attributes, sure, needed, gives = wanted
    inputs, attrs = node.inputs, node.attrs
    count = len(inputs)
    if not least <= count <= most:
        few = "at least " if least < most >= _ANY else f"{least} to " if least < most else ""
        return f"takes {few}{wording.count(least if most >= _ANY else most, 'input')}, and it has {count}"
    if gives and not node.outputs:
        return "gives nothing"
    for i in required:
        if i < count and not inputs[i].name:
            return f"has no input number {i}"
    if needed and not needed <= attrs.keys():
        return f"has no attribute '{next(name for name in attributes if name in needed - attrs.keys())}'"
    for name, value in attrs.items() if attrs else ():
        if sure.get(name) is type(value):
            continue
        kind = attributes.get(name)
        if kind in _FITS and not isinstance(value, Node.AttributeRef) and not _FITS[kind][0](value):
            return f"has an attribute '{name}' that is not {_FITS[kind][1]}"
    return None
