"""What is known of whole numbers that are made of sizes and of indices, which lie between 0 and a size."""

from __future__ import annotations

from fractions import Fraction

from regraft.proving.polynomial import Atom, Monomial, Polynomial, Truth, constant, power_of, summed
from regraft.proving.sizes import Size, expanded


class Natural(Atom):
    """A whole number from 0 on."""

    @property
    def count(self) -> Polynomial:
        """How many values it may have."""
        raise NotImplementedError


def is_index(p: Polynomial) -> bool:
    """Whether `p` is made of sizes and indices only."""
    return all(isinstance(atom, Size | Natural) for atom in p.atoms) and all(
        c.denominator == 1 for c in p.terms.values()
    )


def is_natural(p: Polynomial) -> bool:
    """Whether `p` is known to be 0 at least."""
    least = _least(p)
    return least is not None and _of_sizes_is_natural(least)


def is_below(p: Polynomial, bound: Polynomial) -> bool:
    """Whether `p` is known to be from 0 up to below `bound`."""
    return is_natural(p) and is_natural(bound - p - constant(1))


def _least(p: Polynomial) -> Polynomial | None:
    """A bound below `p` that is made of sizes."""
    found, factors = [], dict[Atom, list[tuple[Polynomial, Fraction]]]()
    for monomial, c in p.terms.items():
        ranging = [(atom, e) for atom, e in monomial if not isinstance(atom, Size)]
        if not ranging:
            found.append((Polynomial({monomial: Fraction(1)}), c))
            continue
        ((atom, e), *others) = ranging
        if others or e != 1 or not isinstance(atom, Natural | Truth):
            return None
        rest = Polynomial({Monomial(monomial - {(atom, e)}): Fraction(1)})
        factors.setdefault(atom, []).append((rest, c))
    for atom, parts in factors.items():
        factor = summed(parts)
        if _of_sizes_is_natural(factor):
            continue
        if not _of_sizes_is_natural(-factor):
            return None
        most = atom.count - constant(1) if isinstance(atom, Natural) else constant(1)
        found.append((factor * most, Fraction(1)))
    return summed(found)


def _of_sizes_is_natural(p: Polynomial) -> bool:
    """Whether a polynomial over sizes is not negative, as its factors show where each size is 1 and something."""
    if p.number is not None:
        return p.number >= 0
    parts = []
    for monomial, c in p.terms.items():
        product = constant(c)
        for atom, e in monomial:
            if not isinstance(atom, Size) or e.denominator != 1 or e < 0:
                return False
            product = product * _from_one(atom) ** int(e)
        parts.append((product, 1))
    return all(c >= 0 for c in summed(parts).terms.values())


def _from_one(size: Size) -> Polynomial:
    """A size by what each symbol in it has beyond 1."""
    parts = []
    for monomial, c in expanded(size.axis).terms.items():
        product = constant(c)
        for atom, e in monomial:
            product = product * (power_of(atom) + constant(int(atom.positive))) ** int(e)
        parts.append((product, 1))
    return summed(parts)
