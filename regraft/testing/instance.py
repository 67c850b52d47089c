"""A pattern as a model: what it leaves open (shapes, dtypes, attributes, numbers) chosen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from onnx import defs

from regraft.ir import schema
from regraft.ir.graph import Variable
from regraft.proving.writer import Array, Dims, written
from regraft.rewriting.term import Apply, Given, Number, Term, Var, walk
from regraft.testing.fitting import Shapes
from regraft.testing.values import draw

MOST = 24
"""Choices of attributes and numbers that are tried for one form of a pattern."""

NUMBERS = (2.0, 0.5, 1.0, 0.0, -1.5, 3.0, -1.0, 1e-5, 1.5)
"""What a parameter that is one number is tried as."""


def _rest_last(value: Array) -> Array:
    made = np.ones_like(value)
    made[..., -1:] = -1
    return made


FILLS: tuple[Callable[[Array], Array], ...] = (np.zeros_like, np.ones_like, _rest_last)
"""What indices and shapes are tried as; the last is a shape of any number of elements."""

_TYPES: dict[str, Any] = {
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
    "tensor(int32)": np.int32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}
"""By the name in schemas; where an operator does not take what is asked for, the first that it takes."""


@dataclass(frozen=True)
class Instance:
    """One form of a pattern, of some opset and dtype.

    Attributes:
        term: without alternatives.
        given: what its attributes and numbers are, by name.
        stored: operands that are constants, by name.
        order: the names in the order of the pattern's parameters.
        fill: which of `FILLS` its indices and shapes are.
    """

    term: Term
    opset: int
    dtype: np.dtype[Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    stored: Mapping[str, Array] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    fill: int = 0

    @property
    def inputs(self) -> dict[str, np.dtype[Any]]:
        """The operands that are neither constant nor a number, with their dtypes."""
        return {name: dtype for name, dtype in self.operands.items() if name not in self.stored}

    @cached_property
    def operands(self) -> dict[str, np.dtype[Any]]:
        """The values that the pattern binds, numbers excepted, each with its dtype: that of the instance, if it can."""
        found: dict[str, np.dtype[Any]] = {}
        for term in walk(self.term):
            if not isinstance(term, Apply):
                continue
            for place, operand in enumerate(term.operands):
                if isinstance(operand, Var) and operand.kind != "number":
                    dtype = _dtype_at(term, place, self)
                    if found.get(operand.name, self.dtype) == self.dtype:
                        found[operand.name] = dtype
        return {name: found[name] for name in (*self.order, *found) if name in found}

    def draw(
        self,
        kind: str,
        shapes: Shapes,
        names: Iterable[str],
        near: Sequence[float] = (),
        whole: bool = True,
        turn: int = 0,
    ) -> dict[str, Array]:
        """Values of the operands `names`, of the set `kind`; see `values.draw`. Indices and shapes have few values."""
        found = draw(kind, shapes, {name: self.operands[name] for name in names}, near, whole, turn)
        for name in self.indices & found.keys():
            found[name] = FILLS[self.fill](found[name])
        return found

    @property
    def indices(self) -> frozenset[str]:
        """The operands that are whole numbers whatever the dtype is."""
        return frozenset(n for n, dtype in self.operands.items() if dtype.kind in "iu" and dtype != self.dtype)

    def model(self, inputs: Mapping[str, Array], dims: Dims) -> onnx.ModelProto:
        """The model. Raises PassError where an attribute or operator is none of the opset."""
        return written(_concrete(self.term, self, {}), inputs, self.dtype, self.opset, dims)


def numbers(term: Term) -> list[str]:
    """The parameters that are one number."""
    return list(dict.fromkeys(one.name for one in walk(term) if isinstance(one, Var) and one.kind == "number"))


def choices(term: Term, opset: int, most: int = MOST) -> Iterator[dict[str, Any]]:
    """What its attributes and numbers may be, each way in turn; at most `most`, spread over all."""
    open_ones: dict[str, tuple[Any, ...]] = {}
    for one in walk(term):
        if isinstance(one, Apply):
            for name, value in one.attrs.items():
                if isinstance(value, Var):
                    open_ones.setdefault(value.name, tuple(_attributes(one, name, opset)))
    open_ones |= dict.fromkeys(numbers(term), NUMBERS)
    every = list(itertools.product(*open_ones.values()))
    kept = every if len(every) <= most else [every[i] for i in np.random.default_rng(0).permutation(len(every))[:most]]
    for values in kept:
        yield dict(zip(open_ones, values, strict=True))


def constants(term: Term) -> list[float]:
    """The numbers that a term holds."""
    return list(dict.fromkeys(float(one.value) for one in walk(term) if isinstance(one, Number)))


def since(term: Term) -> int:
    """The first opset that has all operators of a term."""
    return max([1, *(schema.since(one.op) for one in walk(term) if isinstance(one, Apply) and not one.domain)])


def _attributes(one: Apply, name: str, opset: int) -> Iterator[Any]:
    """Values of an attribute, be it an input in this opset; the default first."""
    yield schema.default(one.op, opset, one.domain, name)
    kinds = {s.attributes[name].type for s in schema.history(one.op, one.domain) if name in s.attributes}
    if defs.OpSchema.AttrType.INTS in kinds:
        axes = ([-1], [0], [1], [0, 1], [-2, -1])
        orders = ([1, 0], [0, 2, 1], [2, 0, 1], [0, 2, 1, 3], [0, 1])
        yield from orders if name == "perm" else axes if name == "axes" else ([1, 1], [2, 2], [0, 0, 0, 0])
    elif defs.OpSchema.AttrType.INT in kinds:
        yield from (-1, 0, 1) if "axis" in name else (1, 7, 10, 11) if name == "to" else (0, 1)
    elif defs.OpSchema.AttrType.FLOAT in kinds:
        yield from (1e-5, 0.5, 2.0)
    elif name == "approximate":
        yield "tanh"


def _dtype_at(one: Apply, place: int, around: Instance) -> np.dtype[Any]:
    """What an operator takes at `place`: the dtype of the instance, if it can."""
    known = schema.find(one.op, around.opset, one.domain)
    if known is None or not known.inputs:
        return around.dtype
    wanted = known.inputs[min(place, len(known.inputs) - 1)].type_str
    allowed = next((set(c.allowed_type_strs) for c in known.type_constraints if c.type_param_str == wanted), {wanted})
    taken = [np.dtype(dtype) for name, dtype in _TYPES.items() if name in allowed]
    return around.dtype if around.dtype in taken or not taken else taken[0]


def _concrete(term: Any, one: Instance, made: dict[int, Term]) -> Any:
    """`term` with what was chosen in the place of its names."""
    if id(term) in made:
        return made[id(term)]
    if isinstance(term, Var):
        return Given(one.stored[term.name]) if term.name in one.stored else Given(Variable(term.name))
    if not isinstance(term, Apply):
        return term
    parts: list[Any] = []
    for place, operand in enumerate(term.operands):
        value = operand.value if isinstance(operand, Number) else None
        if isinstance(operand, Var) and operand.kind == "number":
            value = one.given[operand.name]
        number = None if value is None else Given(np.array(value, _dtype_at(term, place, one)))
        parts.append(number or _concrete(operand, one, made))
    attrs = {name: one.given[value.name] if isinstance(value, Var) else value for name, value in term.attrs.items()}
    made[id(term)] = Apply(term.op, tuple(parts), attrs, term.domain)
    return made[id(term)]
