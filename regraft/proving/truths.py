"""Truths as polynomials that are 0 or 1: comparisons, choices, and functions taken case by case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from regraft.proving.atoms import Element
from regraft.proving.polynomial import ONE, Index, Monomial, Polynomial, Truth, constant, power_of, summed
from regraft.proving.ranges import is_index, is_natural
from regraft.proving.reach import OutOfReach
from regraft.proving.substitution import Names, in_atom, in_element, substituted

Relation = Literal["<", ">", "="]
MOST_CASES = 64
_TURNED: dict[Relation, Relation] = {"<": ">", ">": "<", "=": "="}


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
    """How `left`, which has no constant term, whole factors without a divisor, and a first one above 0, compares
    with a number. Whole numbers are always larger than one, or not."""

    left: Polynomial
    relation: Relation
    right: Fraction

    @property
    def marked(self) -> bool:  # type: ignore[override]
        return is_index(self.left)

    def renamed(self, names: Mapping[Index, Index]) -> Comparison:
        if not self.indices & names.keys():
            return self
        left, right, turned = _sides(self.left.renamed(names) - constant(self.right))
        return Comparison(left, _TURNED[self.relation] if turned else self.relation, right)

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
    cases: list[tuple[Polynomial, dict[Truth, bool]]] = [(constant(1), {})]
    for truth in truths:
        here = power_of(truth)
        branches = (
            (c * one, {**known, truth: is_so})
            for c, known in cases
            for one, is_so in ((complement(here), False), (here, True))
        )
        cases = [(condition, setting) for condition, setting in branches if condition]
        if len(cases) > MOST_CASES:
            raise OutOfReach(f"a choice among {len(cases)} cases")
    return summed((condition * function(_settled(p, setting)), 1) for condition, setting in cases)


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
    if total or is_index(difference):
        if relation == "=":
            return at_least(difference) - at_least(difference - constant(1))
        return at_least((difference if relation == ">" else -difference) - constant(1))
    left, right, turned = _sides(difference)
    return _truth(left, _TURNED[relation] if turned else relation, right)


def at_least(difference: Polynomial) -> Polynomial:
    """Whether a whole number is 0 at least, in the one form of it."""
    return by_cases(difference, _at_least)


def _at_least(difference: Polynomial) -> Polynomial:
    if is_natural(difference):
        return constant(1)
    if is_natural(-difference - constant(1)):
        return constant(0)
    left, right, turned = _sides(difference)
    if turned:
        return complement(_truth(left, ">", Fraction(math.floor(right))))
    return _truth(left, ">", Fraction(math.ceil(right) - 1))


def _sides(difference: Polynomial) -> tuple[Polynomial, Fraction, bool]:
    """What compares with which number as `difference` does with 0, and whether the sides are turned round."""
    left = Polynomial({monomial: c for monomial, c in difference.terms.items() if monomial != ONE})
    first = left.terms[min(left.terms, key=_order)]
    shared = Fraction(math.gcd(*(c.numerator for c in left.terms.values())))
    shared /= math.lcm(*(c.denominator for c in left.terms.values()))
    scale = shared if first > 0 else -shared
    return left.scaled(1 / scale), -difference.terms.get(ONE, Fraction(0)) / scale, first < 0


def _order(monomial: Monomial) -> tuple[list[tuple[int, int]], str]:
    """An order that does not change where an index is bound, as most of those are made last."""
    return sorted((index.height, index.number) for index in monomial.indices), monomial.text


@in_atom.register
def _(atom: Comparison, names: Names) -> Polynomial:
    difference = substituted(atom.left, names) - constant(atom.right)
    return by_cases(difference, lambda p: _compare(p, atom.relation, total=False))


@in_atom.register
def _(atom: Flag, names: Names) -> Polynomial:
    return power_of(Flag(in_element(atom.of, names)))


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
