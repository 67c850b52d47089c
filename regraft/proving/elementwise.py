"""Meanings of operators that work element by element."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

from regraft.proving.arrays import dtype_of, kind_of
from regraft.proving.atoms import Function, odd
from regraft.proving.call import Call, Meaning
from regraft.proving.domain import Domain
from regraft.proving.numbers import closed_form
from regraft.proving.polynomial import Polynomial, constant, power_of
from regraft.proving.reach import OutOfReach
from regraft.proving.rounding import floor, trunc
from regraft.proving.tensor import (
    At,
    Tensor,
    broadcast,
    filled,
    limits_of,
    pointwise,
)
from regraft.proving.truths import choose, compare, complement, larger, nonzero
from regraft.rewriting.facts import Kind
from regraft.rewriting.term import Term


def each(function: Callable[..., Polynomial]) -> Meaning:
    return lambda call: pointwise(function, *call.given())


def of_reals(function: Callable[..., Polynomial]) -> Meaning:
    """Of floats only: whole numbers are rounded by it."""

    def meaning(call: Call) -> Tensor:
        if any(tensor.is_whole for tensor in call.given()):
            raise OutOfReach(f"{call.op} of whole numbers")
        return pointwise(function, *call.given(), partial=True)

    return meaning


def body(function: Callable[..., Term]) -> Meaning:
    """The term that a function gives for the operands, and for attributes that it names as keywords.

    An attribute that is a float by default may be any number.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

    def meaning(call: Call) -> Term:
        given = [name for name in call.attrs if name in defaults]
        known = {n: (call.number if isinstance(defaults[n], float) else call.attribute)(n) for n in given}
        return function(*call.terms, **known)

    return meaning


def fold(function: Callable[[Polynomial, Polynomial], Polynomial]) -> Meaning:
    def meaning(call: Call) -> Tensor:
        first, *others = call.given()
        for other in others:
            first = pointwise(function, first, other)
        return first

    return meaning


def even(name: str) -> Callable[[Polynomial], Polynomial]:
    def function(p: Polynomial) -> Polynomial:
        return power_of(Function(name, (-p if p and p.lead < 0 else p,)))

    return function


def within(
    name: str, limit: Callable[[Polynomial], Polynomial], must: Literal[">0", ">=0"], is_odd: bool = False
) -> Meaning:
    """A function that is defined where `limit` of its operand is above zero, or not below."""
    function = odd(name) if is_odd else lambda p: power_of(Function(name, (p,)))

    def partial(domain: Domain, p: Polynomial) -> Polynomial:
        domain.require(limit(p), must)
        return function(p)

    return of_reals(partial)


def tangent(domain: Domain, p: Polynomial) -> Polynomial:
    domain.require(even("Cos")(p), "!=0")
    return odd("Tan")(p)


def divide(call: Call) -> Tensor:
    """Of whole numbers towards 0."""
    of_whole = any(tensor.is_whole for tensor in call.given())
    return pointwise(quotient(trunc if of_whole else None), *call.given(), partial=True)


def quotient(rounded: Callable[[Polynomial], Polynomial] | None) -> Callable[..., Polynomial]:
    def function(domain: Domain, a: Polynomial, b: Polynomial) -> Polynomial:
        found = a * domain.power(b, -1)
        return rounded(found) if rounded else found

    return function


def modulo(call: Call) -> Tensor:
    """What is left of a quotient rounded down, or towards 0."""
    rounded = trunc if call.attribute("fmod", 0) else floor
    return pointwise(lambda domain, a, b: a - b * quotient(rounded)(domain, a, b), *call.given(), partial=True)


def shift(call: Call) -> Tensor:
    """Times or over a power of two, rounded down."""
    left = call.attribute("direction") == "LEFT"

    def function(p: Polynomial, by: Polynomial) -> Polynomial:
        if by.number is None:
            raise OutOfReach(f"BitShift by {by.text}")
        factor = Fraction(2) ** int(by.number)
        return p.scaled(factor) if left else floor(p.scaled(1 / factor))

    return pointwise(function, *call.given())


def sign(call: Call) -> Tensor:
    total = call.operand(0).is_whole

    def function(p: Polynomial) -> Polynomial:
        return compare(p, ">", constant(0), total) - compare(p, "<", constant(0), total)

    return pointwise(function, call.operand(0))


def mean(call: Call) -> Tensor:
    found = fold(operator.add)(call)
    if not isinstance(found, Tensor):
        raise OutOfReach("Mean of no tensors")
    share = Fraction(1, len(call.operands))
    return pointwise(lambda p: p.scaled(share), found)


def dropout(call: Call) -> Tensor:
    """At inference: the operand."""
    training = call.operands[2] if len(call.operands) > 2 else None
    call.attribute("seed", 0), call.attribute("ratio", 0.5)
    if training is not None and training.elements((), Domain()):
        raise OutOfReach("Dropout in training")
    return call.operand(0)


def pow(call: Call) -> Tensor:
    base, exponent = call.given()

    def power(domain: Domain, p: Polynomial, e: Polynomial) -> Polynomial:
        number = e.number
        if number is None or (base.is_whole and (number < 0 or number.denominator != 1)):
            raise OutOfReach(f"Pow of {base.kind} numbers by {e.text}")
        return domain.power(p, number)

    return pointwise(power, base, exponent, kind=base.kind, partial=True)


def comparison(relation: Any, or_equal: bool = False) -> Meaning:
    def meaning(call: Call) -> Tensor:
        total = all(tensor.kind != "real" for tensor in call.given())

        def function(a: Polynomial, b: Polynomial) -> Polynomial:
            found = compare(a, relation, b, total)
            return found + compare(a, "=", b, total) if or_equal else found

        return pointwise(function, *call.given(), kind="boolean")

    return meaning


def where(call: Call) -> Tensor:
    condition, a, b = call.given()

    def elements(at: At, domain: Domain) -> Polynomial:
        truth = pick(condition, domain, at)
        values = []
        for branch, guard in ((a, truth), (b, complement(truth))):
            inner, _ = domain.inner()
            values.append(pick(branch, inner, at))
            domain.take(inner, guard)
        return choose(truth, *values)

    def pick(tensor: Tensor, domain: Domain, at: At) -> Polynomial:
        return tensor.elements(at[len(at) - len(tensor.axes) :], domain)

    axes = broadcast([tensor.axes for tensor in call.given()])
    return Tensor(axes, elements, a.kind or b.kind, condition.free | a.free | b.free)


def cast(call: Call) -> Tensor:
    to = dtype_of(call.attribute("to"))
    return replace(as_kind(call.operand(0), kind_of(to)), limits=limits_of(to))


def as_kind(tensor: Tensor, kind: Kind | None) -> Tensor:
    if kind == "boolean" and tensor.kind != "boolean":
        return pointwise(lambda p: nonzero(p, tensor.kind == "integer"), tensor, kind="boolean")
    if kind == "integer" and not tensor.is_whole:
        return pointwise(trunc, tensor, kind="integer")
    return replace(tensor, kind=kind, limits=None)


def clip(call: Call) -> Tensor:
    _, *given = (*call.operands, None, None)[:3]
    found = call.operand(0)
    for name, bound, limit in zip(("min", "max"), given, (larger, smaller), strict=True):
        number = call.attribute(name, None)
        if bound is None and number is not None:
            bound = filled(closed_form(number))
        if bound is not None and bound.axes:
            raise OutOfReach("Clip with bounds that are no scalars")
        found = found if bound is None else pointwise(limit, found, bound)
    return found


def smaller(a: Polynomial, b: Polynomial) -> Polynomial:
    return -larger(-a, -b)
