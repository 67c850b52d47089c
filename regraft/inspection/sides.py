"""Two models with all that is known of how they differ."""

from __future__ import annotations

from typing import NamedTuple

from regraft.inspection.comparison import Comparison, compare
from regraft.inspection.diff import Diff, describe
from regraft.ir.gc_pause import paused
from regraft.ir.model import Model


class Sides(NamedTuple):
    """Two models, what they are called, and how they differ."""

    models: tuple[Model, Model]
    names: tuple[str, str]
    found: Comparison
    diff: Diff


@paused()
def compared(before: Model, after: Model, names: tuple[str, str]) -> Sides:
    """Compare two models."""
    found = compare(before, after)
    return Sides((before, after), names, found, describe(before, after, found))
