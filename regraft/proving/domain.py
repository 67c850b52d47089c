"""Where an expression is defined: what roots, inverses and logarithms demand of what they are taken of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from regraft.proving.atoms import Exp, Function, Power
from regraft.proving.polynomial import Atom, Index, Monomial, Polynomial, constant, power_of, summed
from regraft.proving.reach import OutOfReach
from regraft.proving.roots import Radicand, factored, root
from regraft.proving.signs import has_root, is_nonnegative, is_positive
from regraft.proving.sums import for_all

_MOST = 64
"""Exponents beyond are not taken."""


@dataclass(frozen=True)
class Obligation:
    """What must hold of `value` wherever `guard` is 1, for all indices that neither side has bound."""

    value: Polynomial
    must: Literal[">0", ">=0", "!=0"]
    guard: Polynomial

    def implies(self, other: Obligation) -> bool:
        """Whether `other` holds where this does."""
        stronger = self.must == other.must or self.must == ">0"
        return stronger and self.value == other.value and other.guard * self.guard == other.guard

    def __str__(self) -> str:
        where = "" if self.guard == constant(1) else f" where {self.guard.text}"
        return f"{self.value.text} {self.must[:-1]} 0{where}"


class Domain:
    """Collects the obligations of what is evaluated in it, and gives indices that nothing else has.

    Args:
        fresh: the least number of an index that is free for use.
    """

    def __init__(self, fresh: int = 0):
        self.obligations: dict[Obligation, None] = {}
        self.next = fresh

    def inner(self, axes: Iterable[str] = ()) -> tuple[Domain, list[Index]]:
        """A domain inside this one, and an index in it for each of `axes`."""
        indices = [Index(axis, self.next + n) for n, axis in enumerate(axes)]
        return Domain(self.next + len(indices)), indices

    def take(self, inner: Domain, guard: Polynomial | None = None, over: Iterable[Index] = ()) -> None:
        """Adopt the obligations of `inner`: those under a condition, or for every value of some indices."""
        bound = list(over)
        for one in inner.obligations:
            widened = one if guard is None else replace(one, guard=one.guard * guard)
            if bound:
                widened = replace(widened, value=for_all(one.value, bound), guard=for_all(widened.guard, bound))
            if widened.guard:
                self.obligations[widened] = None

    def require(self, p: Polynomial, must: Literal[">0", ">=0", "!=0"]) -> None:
        if is_positive(p) or (must == ">=0" and is_nonnegative(p)):
            return
        if p.number is not None and (p.number == 0 or must != "!=0"):
            raise OutOfReach(f"{p.text} {must[:-1]} 0 never holds")
        if p.number is None:
            scale = p.lead if must == "!=0" else abs(p.lead)
            self.obligations[Obligation(p.scaled(1 / scale), must, constant(1))] = None

    def power(self, p: Polynomial, exponent: Fraction | int) -> Polynomial:
        """A power of `p` with a rational exponent; a root is the one that is not negative."""
        e = Fraction(exponent)
        if abs(e) > _MOST:
            raise OutOfReach(f"a power of {float(e):g}")
        if e.denominator == 1 and e >= 0:
            return p ** int(e)
        if e < 0:
            for part in _factors(p):
                self.require(part, "!=0")
        if not p:
            return p
        if len(p.terms) == 1:
            (monomial, factor), *_ = p.terms.items()
            if e.denominator == 1:
                return _spread(monomial, e).scaled(factor ** int(e))
            unsure = [(atom, x) for atom, x in monomial if not has_root(atom, x)]
            if factor > 0 and (
                not unsure or (len(unsure) == 1 == unsure[0][1] and _rest_is_positive(monomial, unsure))
            ):
                for atom, _ in unsure:
                    self.require(power_of(atom), ">=0")
                return _spread(monomial, e) * root(factor, e)
        if e.denominator != 1:
            self.require(p, ">=0")
        scale = p.lead if e.denominator == 1 else abs(p.lead)
        taken = Fraction(scale) ** int(e) if e.denominator == 1 else None
        outside = root(scale, e) if taken is None else constant(taken)
        return power_of(Power(p.scaled(1 / scale)), e) * outside

    def log(self, p: Polynomial) -> Polynomial:
        """The natural logarithm."""
        if len(p.terms) == 1:
            (monomial, factor), *_ = p.terms.items()
            if factor > 0 and all(atom.positive for atom, _ in monomial):
                parts = [(_log(atom), e) for atom, e in monomial]
                return summed([*parts, *((_log(Radicand(n)), Fraction(k)) for n, k in factored(factor).items())])
        self.require(p, ">0")
        return power_of(Function("Log", (p,)))


def _log(atom: Atom) -> Polynomial:
    if isinstance(atom, Exp):
        return Polynomial({atom.of: Fraction(1)})
    return power_of(Function("Log", (power_of(atom),)))


def _spread(monomial: Monomial, e: Fraction) -> Polynomial:
    result = constant(1)
    for atom, exponent in monomial:
        result = result * power_of(atom, exponent * e)
    return result


def _factors(p: Polynomial) -> list[Polynomial]:
    """What must not be zero for `p` not to be."""
    if len(p.terms) != 1:
        return [p]
    found = [atom.base if isinstance(atom, Power) else power_of(atom) for atom, _ in next(iter(p.terms))]
    return sorted(found, key=lambda one: one.text)


def _rest_is_positive(monomial: Monomial, unsure: list[tuple[Atom, Fraction]]) -> bool:
    return all(atom.positive for atom, e in monomial if (atom, e) not in unsure)
