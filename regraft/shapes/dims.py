"""Arithmetic of dimensions: whole numbers, and polynomials over named ones.

    >>> batch, seq = symbol("batch"), symbol("seq")
    >>> str(batch * (seq + 1) - batch)
    'batch*seq'

A symbol stands for a number that is not negative, unless its name starts with `FREE`. What is no polynomial (a rounded
quotient, a minimum) is a symbol whose name says how it came about, so that equal names mean equal numbers.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod

from regraft.ir.dimensions import FREE, UNNAMED

Term = tuple[str, ...]
"""A product of symbols, sorted; the empty one is 1."""

_numbers = itertools.count()


class Expr:
    """A sum of products of symbols; immutable, equal where the polynomials are, never a plain number."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Term, int]):
        self.terms = dict(terms)
        self._hash = hash(frozenset(self.terms.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expr) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Dim) -> Dim:
        total = Counter(self.terms)
        for term, factor in _terms(other).items():
            total[term] += factor
        return _dim(total)

    def __mul__(self, other: Dim) -> Dim:
        total: Counter[Term] = Counter()
        for (a, x), (b, y) in itertools.product(self.terms.items(), _terms(other).items()):
            total[tuple(sorted(a + b))] += x * y
        return _dim(total)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __str__(self) -> str:
        text = ""
        for term, factor in sorted(self.terms.items(), key=lambda item: (-len(item[0]), item[0])):
            size = "*".join([str(abs(factor))] * (abs(factor) != 1 or not term) + [_factor(name) for name in term])
            sign = "-" if factor < 0 else "+"
            text += f" {sign} {size}" if text else f"{'-' if factor < 0 else ''}{size}"
        return text

    __repr__ = __str__


Dim = int | Expr


def symbol(name: str) -> Dim:
    """The dimension called `name`."""
    return Expr({(name,): 1})


def unnamed() -> Dim:
    """A dimension of which nothing is known."""
    return symbol(f"{UNNAMED}{next(_numbers)}")


def free() -> Dim:
    """A whole number of which nothing is known."""
    return symbol(f"{FREE}{next(_numbers)}")


def is_natural(dim: Dim) -> bool:
    """Whether `dim` is known not to be negative."""
    return all(factor >= 0 and FREE not in "".join(term) for term, factor in _terms(dim).items())


def is_named(dim: Dim) -> bool:
    """Whether `dim` is a number, or made of names that the model gives."""
    return not unnamed_in(dim)


def unnamed_in(dim: Dim) -> set[str]:
    """The symbols in `dim` that are, or speak of, none of the model's names."""
    if isinstance(dim, int):
        return set()
    return {name for term in dim.terms for name in term if UNNAMED in name or FREE in name}


def differ(a: Dim, b: Dim) -> bool:
    """Whether `a` and `b` are known never to be equal."""
    gap = a - b
    if isinstance(gap, int):
        return gap != 0
    return (is_natural(gap) or is_natural(-gap)) and () in gap.terms


def quotient(dividend: Iterable[Dim], divisor: Iterable[Dim]) -> Dim:
    """The product of `dividend` over the product of `divisor`, which is not zero, rounded down."""
    above, below = Counter(dividend), Counter(divisor)
    over, under = prod((above - below).elements()), prod((below - above).elements())
    terms, (term, factor) = _terms(over), next(iter(_terms(under).items()), ((), 0))
    if len(_terms(under)) == 1 and all(n % factor == 0 and not Counter(term) - Counter(t) for t, n in terms.items()):
        return _dim({tuple(sorted((Counter(t) - Counter(term)).elements())): n // factor for t, n in terms.items()})
    if isinstance(over, int) and isinstance(under, int) and under:
        return over // under
    return symbol(f"floor({_operand(over)}/{_operand(under)})")


def smaller(a: Dim, b: Dim) -> Dim:
    """The minimum."""
    return a if is_natural(b - a) else b if is_natural(a - b) else symbol(f"min({_pair(a, b)})")


def larger(a: Dim, b: Dim) -> Dim:
    """The maximum."""
    return a if is_natural(a - b) else b if is_natural(b - a) else symbol(f"max({_pair(a, b)})")


def slice_places(size: int, start: int, end: int, step: int) -> range:
    """The places that ONNX's Slice takes from an axis; Python clamps a start before the axis otherwise."""
    if not size:
        return range(0)
    start, end = (place + size if place < 0 else place for place in (start, end))
    if step > 0:
        return range(min(max(start, 0), size), min(max(end, 0), size), step)
    return range(min(max(start, 0), size - 1), min(max(end, -1), size - 1), step)


def broadcast(a: Dim, b: Dim) -> Dim:
    """The dimension of `a` broadcast with `b`. Raises ValueError where that cannot be."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        raise ValueError(f"{a} and {b} do not broadcast")
    if isinstance(a, int):
        return a
    if isinstance(b, int):
        return b
    for whole, part in ((a, b), (b, a)):  # min(512, seq) is seq wherever the two broadcast: 512 would not fit
        name = str(part)
        if name.endswith(f", {whole})") and name.startswith("min(") and not name.startswith(("min(0,", "min(1,")):
            return whole
    return unnamed()


def show(dim: Dim) -> int | str | None:
    """The dimension as a model states it; None where it has no name."""
    return dim if isinstance(dim, int) else str(dim) if is_named(dim) else None


def _terms(dim: Dim) -> Mapping[Term, int]:
    return dim.terms if isinstance(dim, Expr) else {(): dim} if dim else {}


def _dim(terms: Mapping[Term, int]) -> Dim:
    kept = {term: factor for term, factor in terms.items() if factor}
    return kept.get((), 0) if not kept.keys() - {()} else Expr(kept)


def _pair(a: Dim, b: Dim) -> str:
    first, second = sorted((a, b), key=lambda dim: (isinstance(dim, Expr), str(dim)))
    return f"{first}, {second}"


def _operand(dim: Dim) -> str:
    """The text of `dim` where it is divided."""
    is_simple = isinstance(dim, int) or (
        len(dim.terms) == 1 and sum(map(len, dim.terms)) == max(dim.terms.values()) == 1
    )
    return str(dim) if is_simple else f"({dim})"


def _factor(name: str) -> str:
    """The text of a symbol where it is multiplied."""
    return f"({name})" if " " in name and not name.startswith(("min(", "max(", "floor(")) else name
