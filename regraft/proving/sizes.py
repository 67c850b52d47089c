"""How many elements lie along an axis, by its name: a number, a symbol, or arithmetic of these as shapes state it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from regraft.ir.dimensions import FREE
from regraft.proving.polynomial import Atom, Polynomial, constant, power_of, summed
from regraft.proving.reach import OutOfReach
from regraft.shapes import dims
from regraft.shapes.dims import Dim


@dataclass(frozen=True)
class Size(Atom):
    """The number of elements along an axis, or a group of axes; at least one, but where it is computed of others."""

    axis: str

    @property
    def positive(self) -> bool:  # type: ignore[override]
        return not self.axis.startswith(_COMPUTED)

    @cached_property
    def text(self) -> str:
        return f"|{self.axis}|"


_COMPUTED = ("floor(", "min(", "max(")
"""How symbols begin that stand for what is no polynomial, which may be 0 where no axis has that size."""


@functools.lru_cache(1 << 12)
def size(axis: str) -> Polynomial:
    """The number of elements along `axis`; a sum of sizes is one symbol."""
    found = dim(axis)
    return _written(found) if isinstance(found, int) or len(found.terms) == 1 else power_of(Size(axis))


@functools.lru_cache(1 << 12)
def expanded(axis: str) -> Polynomial:
    """The same, where a sum is written out."""
    return _written(dim(axis))


def _written(found: Dim) -> Polynomial:
    if isinstance(found, int):
        return constant(found)
    parts = []
    for names, factor in found.terms.items():
        term = constant(factor)
        for name in names:
            if FREE in name:
                raise OutOfReach("a whole number of which nothing is known")
            term = term * power_of(Size(name))
        parts.append((term, 1))
    return summed(parts)


@functools.lru_cache(1 << 12)
def dim(text: str) -> Dim:
    """The dimension that `str` of one writes as `text`."""
    total: Dim = 0
    sign, rest = 1, text
    if rest.startswith("-"):
        sign, rest = -1, rest[1:]
    for part, mark in _parts(rest, (" + ", " - ")):
        factors = [_factor(one) for one, _ in _parts(part, ("*",))] if part != "*" else [dims.symbol(part)]
        total = total + math.prod(factors, start=sign)
        sign = -1 if mark == " - " else 1
    return total


def _factor(text: str) -> Dim:
    if text.isdigit():
        return int(text)
    inner = text.startswith("(") and text.endswith(")") and len(_parts(text[1:-1], (")",))) == 1
    return dims.symbol(text[1:-1] if inner else text)


def _parts(text: str, marks: tuple[str, ...]) -> list[tuple[str, str]]:
    """What stands between marks outside of all brackets, each with the mark behind it."""
    found, depth, start, place = [], 0, 0, 0
    while place < len(text):
        depth += (text[place] == "(") - (text[place] == ")")
        mark = next((mark for mark in marks if depth <= 0 and text.startswith(mark, place)), None)
        if mark is not None:
            found.append((text[start:place], mark))
            start = place = place + len(mark)
        else:
            place += 1
    return [*found, (text[start:], "")]


def dim_of(p: Polynomial) -> Dim:
    """The dimension that a polynomial over sizes is.

    Raises:
        OutOfReach: it is none.
    """
    total: Dim = 0
    for monomial, factor in p.terms.items():
        whole = factor.denominator == 1 and all(e.denominator == 1 and e > 0 for _, e in monomial)
        sizes = [dim(atom.axis) for atom, e in monomial if isinstance(atom, Size) for _ in range(math.floor(e))]
        if not whole or not all(isinstance(atom, Size) for atom, _ in monomial):
            raise OutOfReach(f"an axis of size {p.text}")
        total = total + math.prod(sizes, start=int(factor))
    return total


def name_of(p: Polynomial) -> str:
    """The name of an axis with `p` elements."""
    return str(dim_of(p))


def product(axes: Iterable[str]) -> Dim:
    return math.prod(map(dim, axes), start=1)
