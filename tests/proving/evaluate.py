"""Numbers for the atoms of symbolic tensors, so that what they mean can be held against a runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from regraft.proving.atoms import Element, Exp, Function, Pi, Power
from regraft.proving.digits import Digit, Position
from regraft.proving.domain import Domain
from regraft.proving.folds import Fold
from regraft.proving.polynomial import Atom, Index, Monomial, Place, Polynomial
from regraft.proving.pooling import Bottom
from regraft.proving.roots import Radicand
from regraft.proving.sizes import Size, expanded, size
from regraft.proving.sums import Maximum, Sum
from regraft.proving.tensor import Axis, Tensor
from regraft.proving.truths import Comparison, Flag, IsNaN

FUNCTIONS = {
    "Asinh": math.asinh,
    "Atan": math.atan,
    "Erf": math.erf,
    "Sin": math.sin,
    "Sinh": math.sinh,
    "Log": math.log,
    "Trunc": math.trunc,
    "Floor": math.floor,
    "Round": round,
    **{name.capitalize(): getattr(math, name) for name in ("cos", "cosh", "tan", "asin", "acos", "acosh", "atanh")},
}
FOLDS = {
    "Product": math.prod,
    "ArgMax": lambda row: row.index(max(row)),
    "ArgMaxLast": lambda row: len(row) - 1 - row[::-1].index(max(row)),
}
BEYOND = 0.731
"""What stands beside a tensor: any number, as nothing depends on it."""
HOLDS = {"<": lambda a, b: a < b, ">": lambda a, b: a > b, "=": lambda a, b: a == b}

At = Mapping[Index, tuple[int, ...]]


class Numbers:
    """Values of the operands and sizes of the axes.

    Args:
        values: by name.
        axes: of each value, as facts have them.
        sizes: of each axis, or of all axes of a group; of operands of any shape those of the result.
    """

    def __init__(self, values: Mapping[str, np.ndarray], axes: Mapping[str, str], sizes: Mapping[str, tuple[int, ...]]):
        self.values, self.axes, self.sizes = values, axes, sizes

    def array(self, tensor: Tensor) -> np.ndarray:
        """The elements of a tensor."""
        shapes = [self.shape(axis) for axis in tensor.axes]
        found = np.empty([size for shape in shapes for size in shape])
        for place in product(*(np.ndindex(shape) for shape in shapes)):
            symbols = [0 if axis.unit else Index(axis.name, n) for n, axis in enumerate(tensor.axes)]
            here = {symbol: one for symbol, one in zip(symbols, place, strict=True) if isinstance(symbol, Index)}
            element = tensor.elements(tuple(symbols), Domain(len(symbols)))
            found[tuple(i for one in place for i in one)] = self.polynomial(element, here)
        return found

    def shape(self, axis: Axis) -> tuple[int, ...]:
        if axis.unit and axis.many:
            return tuple(1 for _ in self.sizes[axis.name])
        return self.along(axis.name)

    def along(self, axis: str) -> tuple[int, ...]:
        """The sizes of a group, or the one of an axis."""
        return self.sizes[axis] if axis in self.sizes else (round(self.polynomial(size(axis), {})),)

    def polynomial(self, p: Polynomial, at: At) -> float:
        return math.fsum(float(c) * self.monomial(m, at) for m, c in p.terms.items())

    def monomial(self, monomial: Monomial, at: At) -> float:
        return math.prod(self.atom(atom, at) ** float(e) for atom, e in monomial)

    def atom(self, atom: Atom, at: At) -> Any:
        match atom:
            case Element(name, index):
                value, places = self.values[name], iter(index)
                if self.axes[name] == "*":
                    return np.broadcast_to(value, self.sizes["*"])[at[index[0]]]
                read = [(0,) if axis == "1" else self.place(next(places), at) for axis in self.axes[name].split()]
                place = tuple(i for one in read for i in one)
                inside = all(0 <= i < size for i, size in zip(place, value.shape, strict=True))
                return value[place] if inside else BEYOND
            case Flag(element):
                return float(self.atom(element, at))
            case Size(axis):
                return math.prod(self.sizes[axis]) if axis in self.sizes else round(self.polynomial(expanded(axis), at))
            case Position(index):
                return at[index][0]
            case Digit(of, stride, radix):
                number, by, within = (round(self.polynomial(one, at)) for one in (of, stride, radix))
                return number // by % within
            case Bottom():
                return -1e3
            case Pi():
                return math.pi
            case Radicand(number):
                return number
            case Exp(monomial):
                return math.exp(self.monomial(monomial, at))
            case Power(base):
                return self.polynomial(base, at)
            case Function(name, operands):
                return FUNCTIONS[name](*(self.polynomial(one, at) for one in operands))
            case Comparison(left, relation, right):
                return float(HOLDS[relation](round(self.polynomial(left, at), 9), float(right)))
            case IsNaN(of):
                return float(math.isnan(self.polynomial(of, at)))
            case Sum(axes, monomial, height):
                return math.fsum(self.monomial(monomial, {**at, **here}) for here in self.everywhere(axes, height))
            case Fold(name, axes, polynomial, height):
                return FOLDS[name](
                    [self.polynomial(polynomial, {**at, **one}) for one in self.everywhere(axes, height)]
                )
            case Maximum(axes, polynomial, height):
                return max(self.polynomial(polynomial, {**at, **here}) for here in self.everywhere(axes, height))
        raise TypeError(atom)

    def place(self, place: Place, at: At) -> tuple[int, ...]:
        if isinstance(place, Index):
            return at[place]
        return (place if isinstance(place, int) else round(self.polynomial(place, at)),)

    def everywhere(self, axes: tuple[str, ...], height: int) -> list[At]:
        bound = [Index(axis, n, height) for n, axis in enumerate(axes)]
        shapes = [self.along(axis) for axis in axes]
        return [dict(zip(bound, place, strict=True)) for place in product(*map(np.ndindex, shapes))]
