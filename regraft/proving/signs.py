"""What is known of the sign of a polynomial wherever it is defined."""

from __future__ import annotations

from fractions import Fraction

from regraft.proving.atoms import Power
from regraft.proving.polynomial import Atom, Monomial, Polynomial, Truth
from regraft.proving.sums import Sum


def is_positive(p: Polynomial) -> bool:
    """Whether `p` is known to be above zero."""
    return is_nonnegative(p) and any(all(atom.positive for atom, _ in monomial) for monomial in p.terms)


def is_nonnegative(p: Polynomial) -> bool:
    """Whether `p` is known not to be below zero, wherever it is defined."""
    return all(c > 0 and _is_nonnegative(monomial) for monomial, c in p.terms.items())


def _is_nonnegative(monomial: Monomial) -> bool:
    return all(
        has_root(atom, e)
        or e % 2 == 0
        or (isinstance(atom, Sum) and _is_nonnegative(atom.of))
        or (isinstance(atom, Power) and is_nonnegative(atom.base))
        for atom, e in monomial
    )


def has_root(atom: Atom, exponent: Fraction) -> bool:
    """Whether a power of `atom` is not negative wherever it is defined."""
    return atom.positive or isinstance(atom, Truth) or exponent.denominator % 2 == 0
