"""What differs beside nodes, as lines of text under titles."""

from __future__ import annotations

from dataclasses import replace

from regraft.inspection import sections
from regraft.inspection.diff import Diff

_SHOWN = 50
_TITLES = {"values": "Types of values"}


def facts(found: Diff) -> list[tuple[str, list[str]]]:
    """The titles that have something under them, each with at most so many lines that a page can show."""
    own = tuple(one for one in found.metadata if not one.name.startswith("regraft."))  # the passes stand elsewhere
    every = sections.facts(replace(found, metadata=own))
    return [(_TITLES.get(one.title, one.title.capitalize()), list(one.few(_SHOWN))) for one in every]
