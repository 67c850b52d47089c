"""The same at other places: numbers, and what is computed of indices, where indices stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from functools import singledispatch
from typing import Any

from regraft.proving.atoms import Element, Exp, Power, exp
from regraft.proving.digits import Digit, Position, digit, number_of, place_at
from regraft.proving.polynomial import Atom, Index, Monomial, Place, Polynomial, constant, power_of, summed
from regraft.proving.reach import OutOfReach
from regraft.proving.roots import root

Names = Mapping[Index, Place]


def substituted(p: Polynomial, names: Names) -> Polynomial:
    """`p` at other places."""
    if not p.indices & names.keys():
        return p
    return summed((in_monomial(monomial, names), c) for monomial, c in p.terms.items())


def in_monomial(monomial: Monomial, names: Names) -> Polynomial:
    result = constant(1)
    for atom, e in monomial:
        result = result * (raised(in_atom(atom, names), e) if atom.indices & names.keys() else power_of(atom, e))
    return result


@singledispatch
def in_atom(atom: Atom, names: Names) -> Polynomial:
    """An atom at other places; those of which the form depends on places have their own way."""
    return power_of(type(atom)(*(_part(getattr(atom, field.name), names) for field in fields(atom))))  # type: ignore[arg-type]


def _part(part: Any, names: Names) -> Any:
    if isinstance(part, tuple):
        return tuple(_part(one, names) for one in part)
    if isinstance(part, Atom | Monomial | Index):
        raise OutOfReach(f"{type(part).__name__} at another place")
    return substituted(part, names) if isinstance(part, Polynomial) else part


def in_element(element: Element, names: Names) -> Element:
    return replace(element, index=tuple(_place(place, names) for place in element.index))


def _place(place: Place, names: Names) -> Place:
    if isinstance(place, Polynomial):
        return place_at(substituted(place, names))
    return names.get(place, place) if isinstance(place, Index) else place


@in_atom.register
def _(atom: Element, names: Names) -> Polynomial:
    return power_of(in_element(atom, names))


@in_atom.register
def _(atom: Position, names: Names) -> Polynomial:
    return number_of(names.get(atom.index, atom.index))


@in_atom.register
def _(atom: Digit, names: Names) -> Polynomial:
    return digit(substituted(atom.of, names), atom.stride, atom.radix)


@in_atom.register
def _(atom: Exp, names: Names) -> Polynomial:
    return exp(in_monomial(atom.of, names))


@in_atom.register
def _(atom: Power, names: Names) -> Polynomial:
    return substituted(atom.base, names)


def raised(p: Polynomial, e: Fraction) -> Polynomial:
    """A power of `p`, which is defined."""
    if e.denominator == 1 and e >= 0:
        return p ** int(e)
    if len(p.terms) > 1:
        scale = p.lead if e.denominator == 1 else abs(p.lead)
        outside = constant(scale ** int(e)) if e.denominator == 1 else root(scale, e)
        return power_of(Power(p.scaled(1 / scale)), e) * outside
    ((monomial, factor),) = p.terms.items() or [(Monomial(), Fraction(0))]
    single = len(monomial) == 1 and factor == 1 and next(iter(monomial))[1] == 1
    if not factor or (e.denominator != 1 and not single):
        raise OutOfReach(f"a power of {p.text} at a place of its own")
    result = constant(factor ** int(e)) if e.denominator == 1 else constant(1)
    for atom, exponent in monomial:
        result = result * power_of(atom, exponent * e)
    return result
