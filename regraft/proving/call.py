"""A call of an operator on symbolic tensors, and what a meaning is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from regraft.proving.reach import OutOfReach
from regraft.proving.tensor import Tensor
from regraft.rewriting.term import Term

_REQUIRED = object()


class Unsaid(NamedTuple):
    """The value of an attribute that the facts of a rule do not say."""

    name: str


@dataclass(frozen=True)
class Call:
    """An operator, its operands, None for those left out, its attributes, and which of them its meaning has read."""

    op: str
    operands: tuple[Tensor | None, ...]
    attrs: Mapping[str, Any]
    terms: tuple[Term | None, ...]
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


Meaning = Callable[[Call], Tensor | Term]
"""A tensor, or a term of other operators that means the same."""
