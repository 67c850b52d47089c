"""What is known of a value, and where it comes from: a constant, or what the model declares."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx

from regraft.ir.dimensions import stated
from regraft.ir.graph import Constant, Tensor, Variable
from regraft.ir.weights import Array, Value, code_of
from regraft.shapes import dims
from regraft.shapes.dims import Dim

if TYPE_CHECKING:
    from regraft.ir.model import Model

LIMIT = 64
"""Elements of the largest tensor that is followed by value; shapes are shorter."""

WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
"""Data types that are followed by value."""

_RANGES: dict[int, range] = {
    onnx.TensorProto.INT64: range(-(2**63), 2**63),
    onnx.TensorProto.INT32: range(-(2**31), 2**31),
    onnx.TensorProto.BOOL: range(2),
}


class Fact(NamedTuple):
    """What is known of a value.

    Attributes:
        code: ONNX's number of the element type; 0 where it is unknown, or the value is no tensor.
        dims: the shape; None where the rank is unknown.
        value: the elements, each a number or an expression, for a small whole-number tensor.
        other: the type of a sequence, an optional or a map.
    """

    code: int = 0
    dims: tuple[Dim, ...] | None = None
    value: Array | None = None
    other: onnx.TypeProto | None = None

    @property
    def numbers(self) -> Array | None:
        """The value, if every element is a number."""
        value = self.value
        return value if value is not None and all(isinstance(v, int) for v in value.flat) else None

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The shape, if every dimension is a number."""
        known = tuple(d for d in self.dims or () if isinstance(d, int))
        return known if self.dims is not None and len(known) == len(self.dims) else None

    @property
    def fits(self) -> bool:
        """Whether the elements are as many as the shape says, and within the dtype's range."""
        if self.value is None:
            return True
        inside = _RANGES.get(self.code, range(0))
        return (
            self.sizes is not None
            and math.prod(self.sizes) == self.value.size
            and all(v in inside for v in self.value.flat if isinstance(v, int))
        )

    @property
    def unnamed(self) -> set[str]:
        """The dimensions without a name that it speaks of."""
        known = [*(self.dims or ()), *([] if self.value is None else self.value.flat)]
        return {name for dim in known for name in dims.unnamed_in(dim)}

    @property
    def is_named(self) -> bool:
        """Whether it speaks of no dimension without a name."""
        return not self.unnamed


UNKNOWN = Fact()
LEFT_OUT = Fact()
"""What is known of an optional input or output that is left out; equal to `UNKNOWN`, and another object."""


class Facts(dict[Tensor, Fact]):
    """What is known of each value of a model.

    Attributes:
        model: that of the values.
        problems: the nodes that contradict ONNX's rules, a line each.
        found: what questions that go by these facts found out, by question.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.problems: list[str] = []
        self.found: defaultdict[Callable[..., Any], dict[Any, Any]] = defaultdict(dict)
        self._constants: dict[tuple[Any, tuple[int, ...], bytes], Fact] = {}
        self._held: dict[int, tuple[Array | Value, Fact]] = {}  # by identity of what is kept there

    def __missing__(self, tensor: Tensor) -> Fact:
        fact = self.of_constant(tensor) if isinstance(tensor, Constant) else declared(tensor)
        self[tensor] = fact
        return fact

    def of_constant(self, constant: Constant) -> Fact:
        """One fact for constants that are alike and small: it says all of them."""
        held = constant.lazy
        if (told := self._held.get(id(held))) is not None:
            return told[1]
        if constant.dtype.kind not in "fib" or constant.size > LIMIT or not constant.is_known:
            return of_constant(constant)
        elements = b"" if constant.dtype.kind == "f" else constant.values.tobytes()
        key = constant.dtype, constant.shape, elements
        known = self._constants.get(key)
        if known is None:
            known = self._constants[key] = of_constant(constant)
        self._held[id(held)] = held, known
        return known


def declared(tensor: Variable) -> Fact:
    """What the model declares of `tensor`."""
    if tensor.is_empty():
        return LEFT_OUT
    if tensor.info is not None and tensor.type not in (None, "tensor_type"):
        return Fact(other=tensor.info.type)
    code = 0 if tensor.dtype is None else code_of(tensor.dtype)
    return Fact(code, None if tensor.shape is None else tuple(map(_symbol, tensor.shape)))


def of_constant(constant: Constant) -> Fact:
    """What there is to know of `constant`; its value is read where it is small."""
    code, shape = code_of(constant.dtype), tuple(int(d) for d in constant.shape)
    small = code in WHOLE and constant.size <= LIMIT and constant.is_known
    return Fact(code, shape, of_array(np.asarray(constant.values)) if small else None)


def whole_array(values: Any, shape: tuple[int, ...] | None = None) -> Array:
    """An array of numbers and expressions."""
    flat = list(values)
    array = np.empty(len(flat), object)
    array[:] = flat
    return array if shape is None else array.reshape(shape)


def of_array(values: Array) -> Array:
    """The elements of an array of whole numbers."""
    if values.dtype.kind in "ib":
        return np.asarray(values, np.int64).astype(object)  # a comparison of arrays without axes gives no array
    return whole_array((int(v) for v in values.flat), values.shape)


def _symbol(dim: int | str | None) -> Dim:
    said = stated(dim)
    return dims.symbol(said) if isinstance(said, str) else dims.unnamed() if said is None else int(said)
