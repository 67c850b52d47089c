"""What differs beside nodes, as lines of text under titles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regraft.inspection.diff import Change, Diff, WeightChange

_SHOWN = 50
_LONGEST = 160  # characters of a value


def facts(found: Diff) -> list[tuple[str, list[str]]]:
    """The titles that have something under them, each with at most so many lines that a page can show."""
    own = [change for change in found.metadata if not change.name.startswith("regraft.")]  # the passes stand elsewhere
    every = [(title, _changes(getattr(found, title.lower()))) for title in ("Inputs", "Outputs", "Opsets", "Functions")]
    every += [("Weights", map(_weight, found.weights)), ("Types of values", _changes(found.values))]
    every += [("Model", _changes(found.model)), ("Metadata", _changes(own))]
    every += [("Operators", _changes(found.operators))]
    return [(title, lines) for title, lines in ((title, _few(list(lines))) for title, lines in every) if lines]


def _changes(changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        name = change.name or "ai.onnx"
        if change.before is None:
            yield f"+ {name}: {_short(change.after)}"
        elif change.after is None:
            yield f"− {name}: {_short(change.before)}"
        else:
            yield f"~ {name}: {_short(change.before)} → {_short(change.after)}"


def _weight(change: WeightChange) -> str:
    if change.content:
        return f"~ {change.name}: {change.after}, other values"
    return next(_changes([Change(change.name, change.before, change.after)]))


def _few(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return lines[:_SHOWN] + more


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
