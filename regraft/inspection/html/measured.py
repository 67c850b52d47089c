"""What a report of `regraft rewrite --report` measured of each pass: its time, and how far outputs moved."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from regraft.outside import check_form, read_json

_OUTPUT = {"name": str, "max_abs": (float, str)}
_FORM = {"passes": [{"text": str, "seconds": float, "drift": (None, {"outputs": [_OUTPUT]})}]}


class Measured(NamedTuple):
    """Of one pass.

    Attributes:
        drift: the largest absolute difference of each output, as text; None where the pass was not verified.
    """

    text: str
    seconds: float
    drift: dict[str, str] | None


def read_measured(path: Path) -> list[Measured]:
    """What the report at `path` says. Raises ModelError where it is no such report."""
    found = read_json(path)
    check_form(found, _FORM, f"{path} is no report of a rewrite")
    return [
        Measured(
            one["text"],
            one["seconds"],
            one["drift"] and {output["name"]: _short(output["max_abs"]) for output in one["drift"]["outputs"]},
        )
        for one in found["passes"]
    ]


def _short(value: float | str) -> str:
    """JSON has no infinity and no NaN: they are text."""
    return value if isinstance(value, str) else f"{value:.2g}"
