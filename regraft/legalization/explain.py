"""The explanation of a proposed pipeline, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.legalization.legalize import Legalized, Step
from regraft.legalization.search import Trouble, troubles


def explain(done: Legalized) -> list[str]:
    """A line for each violation, below it what removed it, below that what came in its place, and so on."""
    first = troubles(done.found)
    return [line for trouble, number in first.items() for line in _fate(trouble, number, done.steps, 0)]


def _fate(trouble: Trouble, number: int, steps: Sequence[Step], depth: int) -> list[str]:
    operator, reason = trouble
    lines = [f"{'  ' * depth}{f'{operator} × {number}: ' if operator else ''}{reason}"]
    left = number
    for place, step in enumerate(steps):
        gone = min(step.removed[trouble], left)
        if not gone:
            continue
        left -= gone
        lines.append(f"{'  ' * (depth + 1)}{gone} removed by {step.text}{_brings(step)}")
        for made, more in step.made.items():
            lines += _fate(made, more, steps[place + 1 :], depth + 2)
    if left:
        lines.append(f"{'  ' * (depth + 1)}{left} left")
    return lines


def _brings(step: Step) -> str:
    brought = ", ".join(f"{operator} × {number}" for operator, number in sorted(step.introduced.items()))
    return f", which introduces {brought}" if brought else ""
