"""Tensors of any rank and any size: their axes, and what stands at an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from regraft.proving.atoms import Element
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Place, Polynomial, power_of
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.sizes import name_of
from regraft.proving.truths import Flag, IsNaN
from regraft.rewriting.facts import ANY, Kind

At: TypeAlias = tuple[Place, ...]
Limits: TypeAlias = tuple[int, int]
Elements = Callable[[At, Domain], Polynomial]


@dataclass(frozen=True)
class Axis:
    """An axis, or a group of any number of axes.

    Attributes:
        name: axes of one name have one size.
        many: whether it is a group.
        unit: whether every size is one.
    """

    name: str
    many: bool = False
    unit: bool = False

    def __str__(self) -> str:
        return f"{self.name}→1" if self.unit and self.many else "1" if self.unit else self.name


UNIT = Axis("1", unit=True)
FREE = Axis(ANY, many=True)


def axes_of(text: str) -> tuple[Axis, ...]:
    """The axes that `regraft.rewriting.facts` writes as `text`."""
    return tuple(UNIT if name == "1" else Axis(name, many=name == ANY or name.isupper()) for name in text.split())


def named(axes: Sequence[Axis]) -> str:
    return " ".join(map(str, axes))


def axis_of(count: Polynomial) -> Axis:
    """An axis of `count` elements.

    Raises:
        OutOfReach: there are none.
    """
    if count.number is not None and count.number < 1:
        raise OutOfReach(f"an axis of {count.text} elements")
    name = name_of(count)
    return UNIT if name == "1" else Axis(name, many=name == ANY or name.isupper())


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor.

    Attributes:
        axes: from the first to the last.
        elements: what stands at an index, which has a place for each axis, also for those of size one.
        kind: what the elements are; None for numbers that are what stands beside them.
        free: the operands of any shape whose common shape is that of the tensor.
        never_nan: whether no element is NaN.
        finite: whether every element is a real number; else some are infinite, which only moves and additions may take.
        limits: the least and the largest number of the integer type of the elements, where that is known.
    """

    axes: tuple[Axis, ...]
    elements: Elements
    kind: Kind | None = "real"
    free: frozenset[str] = frozenset()
    never_nan: bool = False
    finite: bool = True
    limits: Limits | None = None

    @property
    def is_whole(self) -> bool:
        return self.kind in ("integer", "boolean")


def operand(name: str, axes: tuple[Axis, ...], kind: Kind = "real", never_nan: bool = False) -> Tensor:
    """An operand of which only the axes are known."""

    def elements(at: At, domain: Domain) -> Polynomial:
        places = tuple(place for axis, place in zip(axes, at, strict=True) if not axis.unit)
        found = Element(name, places, kind != "real")
        return power_of(Flag(found) if kind == "boolean" else found)

    return Tensor(axes, elements, kind, frozenset([name]) if FREE in axes else frozenset(), never_nan)


def filled(value: Polynomial, axes: tuple[Axis, ...] = (), kind: Kind | None = None) -> Tensor:
    """A tensor of one number."""
    return Tensor(axes, lambda at, domain: value, kind, frozenset(), True)


def limits_of(dtype: np.dtype[Any]) -> Limits | None:
    """The least and the largest number of an integer type; None of others."""
    return (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) if dtype.kind in "iu" else None


def remembered(tensor: Tensor) -> Tensor:
    """The same, which computes what stands at an index once; along an axis of size one that is the first element."""
    known: dict[tuple[At, int], tuple[Polynomial, Domain]] = {}

    def elements(at: At, domain: Domain) -> Polynomial:
        at = tuple(0 if axis == UNIT else place for axis, place in zip(tensor.axes, at, strict=True))
        key = at, domain.next
        if key not in known:
            inner, _ = domain.inner()
            known[key] = tensor.elements(at, inner), inner
        value, inner = known[key]
        domain.take(inner)
        return value

    return replace(tensor, elements=elements)


def broadcast(shapes: Sequence[tuple[Axis, ...]]) -> tuple[Axis, ...]:
    """The axes of what is computed element by element from tensors with these axes.

    Raises:
        ShapeError: they do not fit one another, as far as is known.
    """
    rank = max(map(len, shapes), default=0)
    if any(FREE in shape for shape in shapes) and any(shape not in ((FREE,), ()) for shape in shapes):
        raise OutOfReach("an operand of any shape beside one of known axes, where facts may say more")
    found = []
    for place in range(rank, 0, -1):
        here = {shape[-place] for shape in shapes if len(shape) >= place}
        wide = {axis for axis in here if not axis.unit}
        if len(wide) > 1 or len({(axis.name, axis.many) for axis in here if axis.many or axis in wide}) > 1:
            raise ShapeError(f"axes {' and '.join(sorted(map(str, here)))} do not fit one another")
        if any(axis.many for axis in here) and UNIT in here:
            raise OutOfReach("an axis of size one beside a group that may have no axis")
        found.append(min(wide or here, key=lambda axis: axis.name))
    return tuple(found)


def at_own(tensor: Tensor, at: At) -> At:
    """The part of a place of the result that is a place of `tensor`."""
    return at[len(at) - len(tensor.axes) :]


def pointwise(
    function: Callable[..., Polynomial], *tensors: Tensor, kind: Kind | None = None, partial: bool = False
) -> Tensor:
    """Element by element; a `partial` function gets the domain first."""

    def elements(at: At, domain: Domain) -> Polynomial:
        values = [tensor.elements(at_own(tensor, at), domain) for tensor in tensors]
        return function(domain, *values) if partial else function(*values)

    found = kind or next((tensor.kind for tensor in tensors if tensor.kind), None)
    return Tensor(broadcast([t.axes for t in tensors]), elements, found, frozenset().union(*(t.free for t in tensors)))


def is_nan(tensor: Tensor) -> Tensor:
    """Whether each element is NaN."""
    if tensor.never_nan:
        return replace(filled(Polynomial({}), tensor.axes, "boolean"), free=tensor.free)
    return pointwise(lambda p: power_of(IsNaN(p)), tensor, kind="boolean")
