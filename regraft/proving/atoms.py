"""The atoms: elements, roots, exponentials, and functions of which nothing more is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from regraft.proving.polynomial import Atom, Monomial, Place, Polynomial, constant, power_of, shown


@dataclass(frozen=True)
class Element(Atom):
    """An element of a tensor, which may be one of whole numbers."""

    tensor: str
    index: tuple[Place, ...]
    whole: bool = False

    @property
    def marked(self) -> bool:  # type: ignore[override]
        return any(isinstance(place, Polynomial) for place in self.index)

    @cached_property
    def text(self) -> str:
        return f"{self.tensor}[{', '.join(map(shown, self.index))}]" if self.index else self.tensor


@dataclass(frozen=True)
class Pi(Atom):
    """π."""

    positive = True
    text = "π"


@dataclass(frozen=True)
class Infinity(Atom):
    """What is beyond all numbers; see `Tensor.finite` for where it may stand."""

    positive = True
    text = "∞"


@dataclass(frozen=True)
class Exp(Atom):
    """The exponential of a monomial; that of a polynomial is a product of powers of such."""

    of: Monomial
    positive = True


@dataclass(frozen=True)
class Power(Atom):
    """A polynomial of which a root or an inverse is taken; whole powers of it are written out."""

    base: Polynomial

    @cached_property
    def text(self) -> str:
        return f"({self.base.text})"

    def settled(self, exponent: Fraction) -> tuple[Polynomial | None, Fraction]:
        whole = math.floor(exponent)
        return (self.base**whole, exponent - whole) if whole > 0 else (None, exponent)


@dataclass(frozen=True)
class Function(Atom):
    """A function of which nothing is known but its name."""

    name: str
    operands: tuple[Polynomial, ...]

    @cached_property
    def text(self) -> str:
        return f"{self.name}({shown(self.operands)})"


def odd(name: str) -> Callable[[Polynomial], Polynomial]:
    """An odd function, which takes the sign of its operand out."""

    def function(p: Polynomial) -> Polynomial:
        if not p:
            return p
        return -power_of(Function(name, (-p,))) if p.lead < 0 else power_of(Function(name, (p,)))

    return function


def exp(p: Polynomial) -> Polynomial:
    """The exponential."""
    result = constant(1)
    for monomial, factor in p.terms.items():
        result = result * power_of(Exp(monomial), factor)
    return result
