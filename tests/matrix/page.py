"""The matrix as a page: written from the outcomes, and read back by the test that holds it against them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.matrix.artifacts import ARTIFACTS, OPSETS, Artifact
from tests.matrix.cells import Outcome
from tests.matrix.transforms import GROUPS, Transform

Outcomes = Mapping[str, Outcome]
"""Of one artifact in one opset, by the name of the transform."""

INTRODUCTION = """\
# Exporter matrix

Every transform on every exported model of [tests/artifacts](../tests/artifacts/README.md): applied, its result compared
in ONNX Runtime with the model as it was exported, and the number of places that it changed compared with what the
architecture has.

- **✓ 2**: two places changed, and the outputs lie within the contracts of the passes that were run. A place is a node
  or a region that was rewritten; of what moves to the host, an input that it feeds; of precision, a product that is
  computed in half precision, or a lookup by 32-bit integers; of split-layers, a layer.
- **–** with a note: nothing to do, and why.
- **○** with a note: a gap. There is more to do than is done, for a reason that is known; the outputs are right.
- **✗** with a note: wrong.

A model in training mode gives other outputs each time: transforms see its Dropouts, which `strip-dropout` then removes
before the result is compared with the original in inference mode.

`python -m tests.matrix > docs/exporter-matrix.md` makes this page. The tests compare it with their results: a third of
the cells of each model in its own opset always, every cell in every opset with `-m slow`.
"""

OPSETS_INTRODUCTION = """\
The models led to other opsets by `convert-opset`, and every transform again: how many found something to do (✓), and
how many did not (–); gaps (○).
"""


def write(outcomes: Mapping[tuple[Artifact, int], Outcomes]) -> str:
    """The page of the outcomes of every artifact in every opset."""
    notes = Notes()
    parts = [INTRODUCTION]
    for title, group in GROUPS.items():
        own = {artifact: outcomes[artifact, artifact.opset] for artifact in ARTIFACTS}
        parts.append(f"## {title}\n\n{_group(group, own, notes)}\n")
    rows = [["model", "own opset", *(f"opset {opset}" for opset in OPSETS)]]
    for artifact in ARTIFACTS:
        sums = [notes.cell(*total(outcomes[artifact, opset])) for opset in OPSETS]
        rows.append([artifact.name, str(artifact.opset), *sums])
    parts += [f"## In every opset\n\n{OPSETS_INTRODUCTION}\n{_table(rows)}\n", f"## Notes\n\n{notes}\n"]
    return "\n".join(parts)


def _group(group: list[Transform], own: Mapping[Artifact, Outcomes], notes: Notes) -> str:
    rows = [["model", *(transform.name for transform in group)]]
    for artifact, outcomes in own.items():
        rows.append([artifact.name, *(notes.cell(*cell(outcomes[transform.name])) for transform in group)])
    errors = [max(outcomes[transform.name].error for outcomes in own.values()) for transform in group]
    rows.append(["*largest difference*", *(f"{error:.0e}" if error else "0" for error in errors)])
    prepared = [f"- {one.name}: run as `{one}`" for one in group if str(one) != one.name]
    return "\n".join([_table(rows), *(["", *prepared] if prepared else [])])


def cell(outcome: Outcome) -> tuple[str, str]:
    """A mark, and what is to say about it."""
    if outcome.failure:
        return "✗", outcome.failure
    if outcome.gap:
        return "○", outcome.gap
    return (f"✓ {outcome.places}", "") if outcome.places else ("–", outcome.reason)


def total(outcomes: Outcomes) -> tuple[str, str]:
    """The mark of an artifact in an opset, and what is to say about it."""
    marks = [cell(outcome)[0][0] for outcome in outcomes.values()]
    if refused := {outcome.refusal for outcome in outcomes.values()} - {""}:
        return "–", refused.pop()
    return " ".join(f"{mark} {marks.count(mark)}" for mark in "✓–○✗" if mark in marks), ""


class Notes:
    """What marks refer to, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def cell(self, mark: str, note: str) -> str:
        if not note:
            return mark
        number = self._numbers.setdefault(note, len(self._numbers) + 1)
        return f"{mark} <sup>{number}</sup>"

    def __str__(self) -> str:
        return "\n".join(f"{number}. {note}" for note, number in self._numbers.items())


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def read(page: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Mark and note by model and heading of the column."""
    notes = dict(re.findall(r"^(\d+)\. (.*)$", page, re.M))
    found = {}
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        header, _, *rows = [[text.strip() for text in line.strip("|").split("|")] for line in table.splitlines()]
        for row in rows:
            for heading, text in zip(header[1:], row[1:], strict=True):
                mark, _, number = text.partition(" <sup>")
                found[row[0], heading] = mark, notes[number.removesuffix("</sup>")] if number else ""
    return found
