"""Functions of all that lies along some axes, of which no more is known than their name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from regraft.proving.digits import number_of
from regraft.proving.polynomial import Atom, Index, Polynomial, power_of
from regraft.proving.substitution import Names, in_atom, substituted


@dataclass(frozen=True)
class Fold(Atom):
    """A function of a polynomial over the bound indices of its height, one an axis."""

    name: str
    axes: tuple[str, ...]
    of: Polynomial
    height: int

    @cached_property
    def text(self) -> str:
        return f"{self.name}[{', '.join(self.axes)}]({self.of.text})"


def fold(name: str, p: Polynomial, indices: Sequence[Index]) -> Polynomial:
    """A function of `p` over `indices`."""
    height = 1 + max((index.height for index in p.indices), default=0)
    names = {index: Index(index.axis, n, height) for n, index in enumerate(indices)}
    return power_of(Fold(name, tuple(index.axis for index in indices), p.renamed(names), height))


@in_atom.register
def _(atom: Fold, names: Names) -> Polynomial:
    there = atom.of.indices.union(*(number_of(place).indices for place in names.values()))
    fresh = 1 + max((index.number for index in there), default=0)
    free = [Index(axis, fresh + n) for n, axis in enumerate(atom.axes)]
    bound = {Index(one.axis, n, atom.height): one for n, one in enumerate(free)}
    return fold(atom.name, substituted(atom.of.renamed(bound), names), free)
