"""Which numbers and words a profile means: one, several, a range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from regraft.ir.weights import dtype_from_onnx
from regraft.legality.tables import Where, read

Truth = bool | None
"""None where it is not known."""


@dataclass(frozen=True)
class Among:
    """What a number, a word or a list may be: `4`, `[3, 4]`, `{ min = 2, max = 5 }`, `{ multiple-of = 8 }`.

    Attributes:
        any_of: the values; a list of numbers stands for each element, a list of lists for whole lists.
    """

    any_of: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    multiple_of: int | None = None

    @classmethod
    def of(cls, value: Any, where: Where) -> Among:
        """From a value or a list of values."""
        values = tuple(value) if isinstance(value, list) else (value,)
        made = cls(values)
        made.check(where)
        return made

    def check(self, where: Where) -> None:
        """Raise ProfileError where it means nothing, or everything."""
        for one in self.any_of:
            if not isinstance(one, str | int | float | list):
                raise where.error(f"{one!r} is not a number, a word or a list of these")
        if not self.any_of and self.min is None and self.max is None and self.multiple_of is None:
            raise where.error("say what may be: a value, a list, or a table with min, max or multiple-of")
        if self.multiple_of is not None and self.multiple_of < 1:
            raise where.error(f"multiple-of {self.multiple_of} is not a positive number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise where.error(f"min {self.min:g} is more than max {self.max:g}")

    def has(self, value: Any) -> bool:
        """Whether `value` is meant."""
        if self.any_of:
            return value in self.any_of
        if isinstance(value, str | list):
            return False
        inside = (self.min is None or value >= self.min) and (self.max is None or value <= self.max)
        return bool(inside and (self.multiple_of is None or value % self.multiple_of == 0))

    @property
    def is_of_lists(self) -> bool:
        """Whether it means whole lists, not their elements."""
        return any(isinstance(one, list) for one in self.any_of)

    def __str__(self) -> str:
        if self.any_of:
            return " or ".join(map(str, self.any_of))
        parts = []
        if self.min is not None and self.max is not None:
            parts.append(f"{self.min:g} to {self.max:g}")
        elif self.min is not None:
            parts.append(f"at least {self.min:g}")
        elif self.max is not None:
            parts.append(f"at most {self.max:g}")
        return " and ".join([*parts, *([f"a multiple of {self.multiple_of}"] if self.multiple_of else [])])


@dataclass(frozen=True)
class Numbers(Among):
    """What a whole number may be."""

    def check(self, where: Where) -> None:
        """Raise ProfileError where one is no whole number."""
        for one in self.any_of:
            if not isinstance(one, int) or isinstance(one, bool):
                raise where.error(f"{one!r} is not a whole number")
        super().check(where)


@dataclass(frozen=True)
class Dtypes:
    """Names of dtypes, as NumPy and ml_dtypes have them, and `string`: one, or a list."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, value: Any, where: Where) -> Dtypes:
        """From a name or a list of names."""
        names: tuple[str, ...] = read(tuple[str, ...], value, where)
        if not names:
            raise where.error("name a dtype")
        for name in names:
            where.known("dtype", name, DTYPES)
        return cls(names)

    def has(self, code: int) -> Truth:
        """Whether ONNX's dtype of number `code` is meant; 0 is one that is not known."""
        return dtype_name(code) in self.names if code else None

    def __str__(self) -> str:
        return ", ".join(self.names)


_STRING = 8
_OPEN = 0


def dtype_name(code: int) -> str:
    """What ONNX's dtype of number `code` is called."""
    return "string" if code == _STRING else str(dtype_from_onnx(code))


def _dtype_names() -> tuple[str, ...]:
    from onnx import TensorProto

    return tuple(dtype_name(code) for code in TensorProto.DataType.values() if code != _OPEN)


DTYPES = _dtype_names()

Quantity = Literal["some", "every"]


def over(quantity: Quantity, truths: Iterable[Truth]) -> Truth:
    """Whether some, or every one, holds; None where that hangs on what is not known."""
    known, decides = set(truths), quantity == "some"
    if decides in known:
        return decides
    return None if None in known else not decides
