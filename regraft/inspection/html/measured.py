"""What a report of `regraft rewrite --report` measured of each pass: its time, and how far outputs moved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from regraft.errors import ModelError
from regraft.outside import check_form, read_json

_OUTPUT = {"name": str, "max_abs": (float, str)}
_FORM = {"passes": [{"text": str, "seconds": float, "drift": (None, {"outputs": [_OUTPUT]})}]}


class Measured(NamedTuple):
    """Of one pass.

    Attributes:
        drift: each output and its largest absolute difference, the worst first; None where it was not verified.
    """

    text: str
    seconds: float
    drift: list[tuple[str, str]] | None


def read_measured(path: Path) -> list[Measured]:
    """What the report at `path` says. Raises ModelError where it is no such report."""
    found = read_json(path)
    where = f"{path} is no report of a rewrite"
    check_form(found, _FORM, where)
    try:
        return [
            Measured(one["text"], one["seconds"], one["drift"] and _worst_first(one["drift"]))
            for one in found["passes"]
        ]
    except ValueError as error:
        raise ModelError(f"{where}: {error}") from error


def _worst_first(drift: dict[str, Any]) -> list[tuple[str, str]]:
    moved = [(output["name"], float(output["max_abs"])) for output in drift["outputs"]]
    moved.sort(key=lambda one: (not math.isnan(one[1]), -one[1]))
    return [(name, f"{most:.2g}") for name, most in moved]
