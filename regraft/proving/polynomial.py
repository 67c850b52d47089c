"""The normal form of an element of a tensor: a polynomial with rational exponents over atoms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from regraft.proving.reach import OutOfReach
from regraft.wording import count


class Effort:
    """How many monomials may still be made: what takes more is out of reach, on any machine alike."""

    left = math.inf

    @classmethod
    @contextmanager
    def limited(cls, monomials: int) -> Iterator[None]:
        """Inside, so many may be made."""
        before, cls.left = cls.left, monomials
        try:
            yield
        finally:
            cls.left = before

    @classmethod
    def spend(cls) -> None:
        cls.left -= 1
        if cls.left < 0:
            raise OutOfReach("too many terms on the way")


class Index(NamedTuple):
    """An index along an axis. One that a sum binds has the height of the sum, so that none is captured."""

    axis: str
    number: int
    height: int = 0


Place: TypeAlias = "Index | int | Polynomial"
"""Where along an axis: an index, a number, or what is computed of them."""


class Atom:
    """What a polynomial is over; immutable, equal where class and parts are."""

    positive = False
    """Whether the value is above zero."""
    marked: bool = False
    """Whether it looks at an index as a number, so that a sum over that index may have another form."""

    @cached_property
    def marks(self) -> frozenset[Atom]:
        """All that are marked: itself, and those inside."""
        inside = _marks(tuple(getattr(self, field.name) for field in _parts(self)))
        return inside | {self} if self.marked else inside

    @cached_property
    def indices(self) -> frozenset[Index]:
        """All indices inside."""
        return _indices(tuple(getattr(self, field.name) for field in _parts(self)))

    @cached_property
    def text(self) -> str:
        """For people, and for an order that is the same in each run."""
        inside = ", ".join(shown(getattr(self, field.name)) for field in _parts(self))
        return f"{type(self).__name__}({inside})"

    def renamed(self, names: Mapping[Index, Index]) -> Atom:
        """The same with other indices."""
        if not self.indices & names.keys():
            return self
        return type(self)(*(_renamed(getattr(self, field.name), names) for field in _parts(self)))

    def settled(self, exponent: Fraction) -> tuple[Polynomial | None, Fraction]:
        """A power of the atom as a polynomial, where part of it is one, and the exponent that is left."""
        return None, exponent


class Truth(Atom):
    """An atom that is 0 or 1."""

    def settled(self, exponent: Fraction) -> tuple[Polynomial | None, Fraction]:
        return None, Fraction(1)

    def meet(self, other: Truth) -> tuple[Truth, ...] | None:
        """Both at once, as fewer truths; none where both cannot be; None where they tell nothing of each other."""
        return None


class Monomial(frozenset[tuple[Atom, Fraction]]):
    """A product of powers of atoms; the empty one is 1."""

    @cached_property
    def text(self) -> str:
        return "·".join(sorted(atom.text if e == 1 else f"{atom.text}^{e}" for atom, e in self)) or "1"

    @cached_property
    def indices(self) -> frozenset[Index]:
        return frozenset().union(*(atom.indices for atom, _ in self))

    @cached_property
    def marks(self) -> frozenset[Atom]:
        return frozenset().union(*(atom.marks for atom, _ in self))

    def renamed(self, names: Mapping[Index, Index]) -> Monomial:
        Effort.spend()
        return Monomial((atom.renamed(names), e) for atom, e in self)


ONE = Monomial()
MOST_TERMS = 1 << 14


class Polynomial:
    """A sum of monomials with rational factors; immutable.

    Args:
        terms: the factor of each monomial; those with 0 are left out.
    """

    def __init__(self, terms: Mapping[Monomial, Fraction]):
        self.terms = {monomial: factor for monomial, factor in terms.items() if factor}

    @cached_property
    def _hash(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polynomial):
            return False
        if self.terms is not other.terms:
            if self._hash != other._hash or self.terms != other.terms:
                return False
            other.terms = self.terms  # the two, and what they stand in, are compared at a glance from now on
        return True

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Polynomial) -> Polynomial:
        return summed([(self, 1), (other, 1)])

    def __sub__(self, other: Polynomial) -> Polynomial:
        return summed([(self, 1), (other, -1)])

    def __neg__(self) -> Polynomial:
        return self.scaled(-1)

    def __mul__(self, other: Polynomial) -> Polynomial:
        if len(self.terms) * len(other.terms) > MOST_TERMS:
            raise OutOfReach(f"a product of {len(self.terms)} and {count(len(other.terms), 'term')}")
        return summed((_product(a, b), c * d) for a, c in self.terms.items() for b, d in other.terms.items())

    def __pow__(self, exponent: int) -> Polynomial:
        result = constant(1)
        for _ in range(exponent):
            result = result * self
        return result

    def scaled(self, factor: Fraction | int) -> Polynomial:
        return Polynomial({monomial: c * factor for monomial, c in self.terms.items()})

    def renamed(self, names: Mapping[Index, Index]) -> Polynomial:
        return summed((Polynomial({monomial.renamed(names): Fraction(1)}), c) for monomial, c in self.terms.items())

    @property
    def atoms(self) -> set[Atom]:
        return {atom for monomial in self.terms for atom, _ in monomial}

    @cached_property
    def indices(self) -> frozenset[Index]:
        return frozenset().union(*(monomial.indices for monomial in self.terms))

    @cached_property
    def marks(self) -> frozenset[Atom]:
        return frozenset().union(*(monomial.marks for monomial in self.terms))

    @cached_property
    def lead(self) -> Fraction:
        """The factor of the monomial that comes first in the order of texts."""
        return self.terms[min(self.terms, key=lambda monomial: monomial.text)]

    @property
    def number(self) -> Fraction | None:
        """The value, where it is a rational number."""
        return self.terms.get(ONE, Fraction(0)) if self.terms.keys() <= {ONE} else None

    @cached_property
    def text(self) -> str:
        shown = (m.text if c == 1 else str(c) if m == ONE else f"{c}·{m.text}" for m, c in self.terms.items())
        return " + ".join(sorted(shown)) or "0"


def constant(value: Fraction | int) -> Polynomial:
    return Polynomial({ONE: Fraction(value)})


def power_of(atom: Atom, exponent: Fraction | int = 1) -> Polynomial:
    """A power of an atom."""
    return _product(Monomial([(atom, Fraction(exponent))]), ONE)


def summed(parts: Iterable[tuple[Polynomial, Fraction | int]]) -> Polynomial:
    """The sum of polynomials, each times a number."""
    terms: dict[Monomial, Fraction] = {}
    for polynomial, factor in parts:
        for monomial, c in polynomial.terms.items():
            terms[monomial] = terms.get(monomial, Fraction(0)) + c * factor
    return Polynomial(terms)


def _product(a: Monomial, b: Monomial) -> Polynomial:
    Effort.spend()
    exponents = dict(a)
    for atom, exponent in b:
        exponents[atom] = exponents.get(atom, Fraction(0)) + exponent
    factor = None
    for atom, exponent in list(exponents.items()):
        pulled, left = atom.settled(exponent) if exponent else (None, exponent)
        factor = pulled if factor is None else factor if pulled is None else factor * pulled
        if left:
            exponents[atom] = left
        else:
            del exponents[atom]
    truths = [atom for atom in exponents if isinstance(atom, Truth)]
    if len(truths) > 1:
        met = conjunction(truths)
        if met is None:
            return Polynomial({})
        exponents = {atom: e for atom, e in exponents.items() if not isinstance(atom, Truth)}
        exponents |= dict.fromkeys(met, Fraction(1))
    result = Polynomial({Monomial(exponents.items()): Fraction(1)})
    return result if factor is None else result * factor


def conjunction(truths: list[Truth]) -> list[Truth] | None:
    """The truths that say the same as `truths` together; None where they cannot all be."""
    for number, one in enumerate(truths):
        for other in truths[number + 1 :]:
            both = one.meet(other)
            if both is not None:
                rest = [truth for truth in truths if truth is not one and truth is not other]
                return conjunction([*rest, *both]) if both else None
    return truths


def _parts(atom: Atom) -> Any:
    return fields(atom)  # type: ignore[arg-type]


def _indices(part: Any) -> frozenset[Index]:
    if isinstance(part, Index):
        return frozenset([part])
    if isinstance(part, tuple):
        return frozenset().union(*map(_indices, part))
    return part.indices if isinstance(part, Atom | Monomial | Polynomial) else frozenset()


def _marks(part: Any) -> frozenset[Atom]:
    if isinstance(part, tuple) and not isinstance(part, Index):
        return frozenset().union(*map(_marks, part))
    return part.marks if isinstance(part, Atom | Monomial | Polynomial) else frozenset()


def _renamed(part: Any, names: Mapping[Index, Index]) -> Any:
    if isinstance(part, Index):
        return names.get(part, part)
    if isinstance(part, tuple):
        return tuple(_renamed(one, names) for one in part)
    return part.renamed(names) if isinstance(part, Atom | Monomial | Polynomial) else part


def shown(part: Any) -> str:
    if isinstance(part, Index):
        name = "…" if part.axis == "*" else f"{part.axis}{part.number}"
        return f"{name}'{part.height}" if part.height else name
    if isinstance(part, tuple):
        return ", ".join(map(shown, part))
    return part.text if isinstance(part, Atom | Monomial | Polynomial) else str(part)
