"""Changes of the same kind as groups, each with the nodes of every place where it happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from regraft.inspection.attribution import NodeName
from regraft.inspection.diff import Diff

OTHERS = -1
"""The pass of a change that no pass accounts for."""


class Group(NamedTuple):
    """Changes of the same kind.

    Attributes:
        of: the place of the pass in `Diff.passes`, or OTHERS.
        title: what became of what: `Mul, Erf -> Gelu`.
        places: the numbers of the nodes of each change.
    """

    of: int
    title: str
    places: list[list[int]]


class Names(NamedTuple):
    """The numbers of the nodes of each name, by what became of them."""

    removed: Mapping[str, Sequence[int]]
    added: Mapping[str, Sequence[int]]
    changed: Mapping[str, Sequence[int]]


def groups(found: Diff, names: Names) -> list[Group]:
    """The groups of `found`, pass by pass, in each the largest first."""
    every: list[Group] = []
    for number, edits, changed in (
        *((number, one.edits, one.changed) for number, one in enumerate(found.passes)),
        (OTHERS, found.regions, found.changed),
    ):
        kinds: dict[str, list[list[int]]] = {}
        for edit in edits:
            place = [*_numbers(names.removed, edit.removed), *_numbers(names.added, edit.added)]
            kinds.setdefault(edit.kind.replace(" -> ", " → "), []).append(place)
        for change in changed:
            _put(kinds, f"{change.operator} changed", names.changed, change.name)
        every += _sorted(number, kinds)
    return every


def _numbers(known: Mapping[str, Sequence[int]], nodes: Iterable[NodeName]) -> list[int]:
    return [number for name in dict.fromkeys(node.name for node in nodes) for number in known.get(name, ())]


def _put(kinds: dict[str, list[list[int]]], title: str, known: Mapping[str, Sequence[int]], name: str) -> None:
    places = kinds.setdefault(title, [])
    place = list(known.get(name, ()))
    if place not in places[-1:]:  # nodes of one name come one after the other
        places.append(place)


def _sorted(number: int, kinds: dict[str, list[list[int]]]) -> list[Group]:
    return sorted((Group(number, title, places) for title, places in kinds.items()), key=lambda g: -len(g.places))
