"""What a rule's condition guarantees of the names in it, in words that a proof can use.

    facts=({"x": Operand("B A"), "axes": Axes("A"), "share": 1.0 / SizeOf("A")},)

Axes are written as shapes are, from the first to the last: a lower-case name or a number is one axis, a capital stands
for any number of axes, `1` is an axis of size one; no axes are a scalar, or what adds no axes as one does. Axes of one
name have one size, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from onnx import TensorProto

from regraft.rewriting.term import Term, Var

Kind = Literal["real", "integer", "boolean"]
ANY = "*"
"""The axes of an operand of any shape; the shapes of such operands broadcast with one another."""


@dataclass(frozen=True, eq=False)
class Operand(Term):
    """Any tensor with some axes.

    Args:
        axes: its axes; by default any.
        kind: what its elements are.
        never_nan: whether no element is NaN.
    """

    axes: str = ANY
    kind: Kind = "real"
    never_nan: bool = False


@dataclass(frozen=True, eq=False)
class Filled(Term):
    """A tensor with the same number in every element."""

    axes: str
    value: Term | float


@dataclass(frozen=True, eq=False)
class SizeOf(Term):
    """The number of elements along some axes, which is at least one."""

    axes: str


@dataclass(frozen=True)
class Axes:
    """An attribute that names axes: those of `names`, which are one at least."""

    names: str


CODES: Mapping[Kind, tuple[int, ...]] = {
    "real": (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16),
    "integer": (
        *(TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64),
        *(TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64),
    ),
    "boolean": (TensorProto.BOOL,),
}
"""The codes of ONNX's data types of each kind."""

Case: TypeAlias = Mapping[str, Any]
"""What each name is: a term, an `Axes`, or a value of Python's, None for what is left out.

A name that the pattern binds and a case leaves out may be of any shape; a number of a pattern is any number. A term may
name others as `Var("x")`; a dtype of numpy's stands for those of its kind.
"""

__all__ = ["ANY", "CODES", "Axes", "Case", "Filled", "Kind", "Operand", "SizeOf", "Var"]
