"""The parts of two models between the value of a place and what both have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from regraft.ir.graph import Node, Tensor


class Region(NamedTuple):
    """What stands on both sides between the value of a place and what both models have.

    Attributes:
        before, after: the value.
        old, new: the nodes of both sides.
    """

    before: Tensor
    after: Tensor
    old: frozenset[Node]
    new: frozenset[Node]


class Regions(NamedTuple):
    """The region of each place that is proved, by its path and value, and which value before one after is."""

    of: Mapping[tuple[str, str], Region]
    partner: Callable[[Tensor], Tensor | None]
