"""Cells that stay red after regraft, and why no rewriting can make them green."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import NamedTuple

from tests.acceptance.models import Subject


class Gap(NamedTuple):
    """A reason, and the cells that it holds for: a compiler, and a pattern of the subjects' names."""

    compiler: str
    pattern: str
    reason: str


GAPS: tuple[Gap, ...] = ()


def gap(compiler: str, subject: Subject) -> str:
    """Why the cell is red; empty where it must be green."""
    return next((g.reason for g in GAPS if g.compiler == compiler and fnmatch(subject.name, g.pattern)), "")
