"""The record of a rewrite in the metadata of the model: which pipeline ran, and which pass took which nodes.

Two files can then be compared with every difference laid to its pass, though nothing else is kept of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from regraft.outside import Row, check_form, parse_json
from regraft.pipelines.pass_base import Change

if TYPE_CHECKING:
    from regraft.ir.model import Model

_ROW = Row(str, [Row(str, [str], [str])])

PIPELINE = "regraft.pipeline"
RECORD = "regraft.record"


class Entry(NamedTuple):
    """What one pass changed; `text` is the pass as in the pipeline."""

    text: str
    changes: tuple[Change, ...]


def read(model: Model) -> list[Entry]:
    """What was done to `model`, oldest first. Raises ModelError when the record is damaged."""
    where = f"the metadata {RECORD} is damaged"
    rows = parse_json(model.metadata.get(RECORD, "[]"), where)
    check_form(rows, [_ROW], where)
    return [
        Entry(text, tuple(Change(rule, tuple(removed), tuple(added)) for rule, removed, added in changes))
        for text, changes in rows
    ]


def pipeline_of(model: Model) -> str:
    """The text of the pipelines that `model` went through, in a row."""
    return model.metadata.get(PIPELINE, "")


def append(model: Model, pipeline: str, entries: Iterable[Entry]) -> None:
    """Add a run to the record."""
    every = [*read(model), *(entry for entry in entries if entry.changes)]
    rows = [[text, [[c.rule, c.removed, c.added] for c in changes]] for text, changes in every]
    if pipeline:
        model.metadata[PIPELINE] = ",".join(filter(None, [pipeline_of(model), pipeline]))
    if rows:
        model.metadata[RECORD] = json.dumps(rows, separators=(",", ":"))
