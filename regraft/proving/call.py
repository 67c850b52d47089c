"""A call of an operator on symbolic tensors, and what a meaning is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from regraft.ir.dimensions import UNNAMED
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Polynomial, constant
from regraft.proving.reach import OutOfReach
from regraft.proving.tensor import Axis, Tensor
from regraft.rewriting.term import Term

_REQUIRED = object()


@dataclass(frozen=True, eq=False)
class Known(Term):
    """A term that is a tensor already."""

    tensor: Tensor


class Unsaid(NamedTuple):
    """The value of an attribute that the facts of a rule do not say."""

    name: str


@dataclass(frozen=True)
class Call:
    """A call of an operator.

    Attributes:
        op: the operator.
        operands: None for those left out.
        attrs: also inputs that are known numbers, as `axes` or the `shape` of Reshape.
        terms: the operands as terms.
        result: the axes of the first output, where they are known from elsewhere.
        outputs: how many there are.
        place: which of them is asked for.
        read: the attributes that the meaning has read.
    """

    op: str
    operands: tuple[Tensor | None, ...]
    attrs: Mapping[str, Any]
    terms: tuple[Term | None, ...]
    result: tuple[Axis, ...] | None = None
    outputs: int = 1
    place: int = 0
    read: set[str] = field(default_factory=set)

    def operand(self, place: int) -> Tensor:
        found = self.operands[place] if place < len(self.operands) else None
        if found is None:
            raise OutOfReach(f"{self.op} without operand {place}")
        return found

    def given(self) -> tuple[Tensor, ...]:
        return tuple(self.operand(place) for place in range(len(self.operands)))

    def attribute(self, name: str, default: Any = _REQUIRED) -> Any:
        """What an attribute says, which must be known."""
        found = self.number(name, default)
        if isinstance(found, Term):
            raise OutOfReach(f"{self.op} with any '{name}'")
        return found

    def number(self, name: str, default: Any = _REQUIRED) -> Any:
        """The number that an attribute says, or a term for any number."""
        self.read.add(name)
        found = self.attrs.get(name)
        if isinstance(found, Unsaid):
            raise OutOfReach(f"the facts of the rule do not say what '{found.name}' of {self.op} is")
        if found is None and default is _REQUIRED:
            raise OutOfReach(f"{self.op} without '{name}'")
        return default if found is None else found

    def result_axis(self, place: int, computed: Callable[[], Axis]) -> Axis:
        """An axis of the result: as it is known, or as it is computed, where it has no name or none is known."""
        known = None if self.result is None else self.result[place]
        if known is not None and UNNAMED not in known.name:
            return known
        try:
            return computed()
        except OutOfReach:
            if known is None:
                raise
            return known

    def known_result(self) -> tuple[Axis, ...]:
        if self.result is None:
            raise OutOfReach(f"{self.op} to axes that are not known")
        return self.result

    def numbers(self, name: str, place: int) -> list[Polynomial] | None:
        """What an input of a few whole numbers says, which may be sizes; None where it is left out.

        Args:
            name: of the attribute that has them where they are known.
            place: of the operand, otherwise.
        """
        found = self.attribute(name, None)
        if found is not None:
            return [constant(int(one)) for one in ([found] if isinstance(found, int | np.integer) else found)]
        if place >= len(self.operands) or self.operands[place] is None:
            return None
        tensor = self.operand(place)
        if not tensor.axes:
            return [tensor.elements((), Domain())]
        (axis, *others) = tensor.axes
        if others or axis.many or not (axis.unit or axis.name.isdigit()):
            raise OutOfReach(f"{self.op} with '{name}' of which the number is not known")
        return [tensor.elements((n,), Domain()) for n in range(1 if axis.unit else int(axis.name))]

    def whole(self, name: str, place: int) -> list[int] | None:
        """The same where it says numbers that are known."""
        found = self.numbers(name, place)
        if found is None:
            return None
        if any(one.number is None for one in found):
            raise OutOfReach(f"{self.op} with any '{name}'")
        return [int(one.number or 0) for one in found]


Meaning = Callable[[Call], Tensor | Term]
"""A tensor, or a term of other operators that means the same."""
