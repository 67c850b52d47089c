"""Truths as polynomials that are 0 or 1: comparisons, choices, and functions taken case by case."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from regraft.proving.atoms import Element
from regraft.proving.polynomial import ONE, Monomial, Polynomial, Truth, constant, power_of, summed
from regraft.proving.reach import OutOfReach

Relation = Literal["<", ">", "="]
MOST_CASES = 6


@dataclass(frozen=True)
class Flag(Truth):
    """An element of a tensor of truths."""

    of: Element

    @cached_property
    def text(self) -> str:
        return f"[{self.of.text}]"


@dataclass(frozen=True)
class IsNaN(Truth):
    """Whether an element is NaN: kept as it is, so that no guard against it goes."""

    of: Polynomial


@dataclass(frozen=True)
class Comparison(Truth):
    """How `left`, which has no constant term and a first factor of 1, compares with a number."""

    left: Polynomial
    relation: Relation
    right: Fraction

    @cached_property
    def text(self) -> str:
        return f"[{self.left.text} {self.relation} {self.right}]"

    def meet(self, other: Truth) -> tuple[Truth, ...] | None:
        if not isinstance(other, Comparison) or self.left != other.left:
            return None
        one, two = sorted((self, other), key=lambda each: each.relation)  # "<", "=", ">"
        if one.relation == two.relation:
            if one.relation == "=":
                return (one,) if one.right == two.right else ()
            tighter = min if one.relation == "<" else max
            return (tighter(one, two, key=lambda each: each.right),)
        if one.relation == "=":
            return (one,) if one.right > two.right else ()
        if two.relation == "=":
            return (two,) if two.right < one.right else ()
        return () if two.right >= one.right else None


def complement(truth: Polynomial) -> Polynomial:
    return constant(1) - truth


def either(a: Polynomial, b: Polynomial) -> Polynomial:
    return a + b - a * b


def choose(truth: Polynomial, a: Polynomial, b: Polynomial) -> Polynomial:
    """`a` where `truth` is 1, else `b`."""
    return truth * a + complement(truth) * b


def by_cases(p: Polynomial, function: Callable[[Polynomial], Polynomial]) -> Polynomial:
    """A function of `p`, as a choice among its values for each setting of the truths in `p`."""
    truths = sorted((atom for atom in p.atoms if isinstance(atom, Truth)), key=lambda atom: atom.text)
    if not truths:
        return function(p)
    if len(truths) > MOST_CASES:
        raise OutOfReach(f"a choice among {2 ** len(truths)} cases")
    cases = []
    for setting in itertools.product((False, True), repeat=len(truths)):
        here = dict(zip(truths, setting, strict=True))
        condition = constant(1)
        for truth, holds in here.items():
            condition = condition * (power_of(truth) if holds else complement(power_of(truth)))
        if condition:
            cases.append((condition * function(_settled(p, here)), 1))
    return summed(cases)


def _settled(p: Polynomial, setting: dict[Truth, bool]) -> Polynomial:
    """`p` where each truth is known."""
    return summed(
        (Polynomial({Monomial((a, e) for a, e in monomial if not isinstance(a, Truth)): c}), 1)
        for monomial, c in p.terms.items()
        if all(setting[a] for a, _ in monomial if isinstance(a, Truth))
    )


def compare(a: Polynomial, relation: Relation, b: Polynomial, total: bool = False) -> Polynomial:
    """Whether `a` and `b` are in `relation`; with `total` exactly one of the three holds, as of whole numbers."""
    return by_cases(a - b, lambda difference: _compare(difference, relation, total))


def _compare(difference: Polynomial, relation: Relation, total: bool) -> Polynomial:
    value = difference.number
    if value is not None:
        return constant(int({"<": value < 0, ">": value > 0, "=": value == 0}[relation]))
    left, right, turned = _sides(difference)
    if turned:
        relation = {"<": ">", ">": "<", "=": "="}[relation]  # type: ignore[assignment]
    if total and relation == "<":
        return constant(1) - _truth(left, ">", right) - _truth(left, "=", right)
    return _truth(left, relation, right)


def _sides(difference: Polynomial) -> tuple[Polynomial, Fraction, bool]:
    """What compares with which number as `difference` does with 0, and whether the sides are turned round."""
    left = Polynomial({monomial: c for monomial, c in difference.terms.items() if monomial != ONE})
    lead = left.lead
    return left.scaled(1 / lead), -difference.terms.get(ONE, Fraction(0)) / lead, lead < 0


def _truth(left: Polynomial, relation: Relation, right: Fraction) -> Polynomial:
    return power_of(Comparison(left, relation, right))


def larger(a: Polynomial, b: Polynomial) -> Polynomial:
    """The larger of two real numbers, which is either where they are equal."""

    def positive_part(difference: Polynomial) -> Polynomial:
        value = difference.number
        if value is not None:
            return constant(max(value, Fraction(0)))
        left, right, turned = _sides(difference)
        above = _truth(left, ">", right)
        return difference * (complement(above) if turned else above)

    return b + by_cases(a - b, positive_part)


def nonzero(p: Polynomial, total: bool = False) -> Polynomial:
    """Whether `p` is not 0."""
    return complement(compare(p, "=", constant(0), total))
