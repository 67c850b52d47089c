"""Which inputs and outputs of a node can be in half precision, by the operator's schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from onnx import defs

from regraft.ir.graph import Node

SAYS_DTYPE = {
    "Cast": "to",
    "ConstantOfShape": "value",
    "RandomNormal": "dtype",
    "RandomNormalLike": "dtype",
    "RandomUniform": "dtype",
    "RandomUniformLike": "dtype",
}
"""Operators whose result has the dtype that an attribute says. ONNX Runtime has no half precision of the others."""


BEYOND_ONNX: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("com.microsoft", "GatherBlockQuantized"): (2,),
    ("com.microsoft", "MatMulNBits"): (0, 2, 3, 5),
}
"""Operators of other domains that have half precision, with the inputs that may be; those that are floats all must."""

FIRST_OPSET = {"float16": 6, "bfloat16": 13}
"""The first opset whose Cast makes a half precision as it is made here."""


class Places(NamedTuple):
    """Positions of inputs and of outputs, of those that were asked for."""

    inputs: list[int]
    outputs: list[int]


def lowerable(node: Node, rule: defs.OpSchema, inputs: Sequence[int], outputs: Sequence[int], half: str) -> Places:
    """Of the 32-bit floats that `node` reads and makes, those that can have type `half`, all at once.

    An output can where it has the type of such an input, or the type that an attribute says.
    """
    taken = [place for place in inputs if half in _formal(rule.inputs, place).types]
    tied = {_formal(rule.inputs, place).type_str for place in taken}
    made = [
        place
        for place in outputs
        if half in (formal := _formal(rule.outputs, place)).types
        and (formal.type_str in tied or _attribute_decides(node) or (node.op == "DequantizeLinear" and 1 in taken))
    ]
    return Places(taken, made)


def takes_no_tensor(rule: defs.OpSchema) -> bool:
    """Whether the operator reads or makes sequences or optionals, whose elements keep their dtype."""
    return any(not any(text.startswith("tensor(") for text in formal.types) for formal in (*rule.inputs, *rule.outputs))


def allows_float(rule: defs.OpSchema, place: int) -> bool:
    """Whether an input may be a 32-bit float."""
    return "tensor(float)" in _formal(rule.inputs, place).types


def has_half(rule: defs.OpSchema, half: str) -> bool:
    """Whether what may be a 32-bit float may be of type `half` too."""
    return all(half in formal.types or "tensor(float)" not in formal.types for formal in (*rule.inputs, *rule.outputs))


def _formal(formals: Sequence[defs.OpSchema.FormalParameter], place: int) -> Any:
    return formals[min(place, len(formals) - 1)]


def _attribute_decides(node: Node) -> bool:
    name = SAYS_DTYPE.get(node.op)
    return name is not None and not isinstance(node.attrs.get(name), Node.AttributeRef)
