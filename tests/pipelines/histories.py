"""Whether a record holds: from the nodes that there were, its entries lead to those that there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from regraft.ir.model import Model
from regraft.pipelines.history import Entry
from regraft.pipelines.pass_base import label


def faults(before: Iterable[str], model: Model, entries: Sequence[Entry]) -> list[str]:
    """What is wrong with the record of `model`, whose nodes were called `before`; a name may be that of several."""
    found: list[str] = []
    there = Counter(before)
    for entry in entries:
        there += Counter(name for change in entry.changes for name in change.added)
        removed = Counter(name for change in entry.changes for name in change.removed)
        edited = {name for change in entry.changes for name in change.edited}
        found += [f"{entry.text} removes {name}, which is not there" for name in removed - there]
        found += [f"{entry.text} edits {name}, which is not there" for name in edited - there.keys()]
        there -= removed
    now = Counter(map(label, model.nodes()))
    found += [f"{name} should be there" for name in there - now]
    return found + [f"{name} came from nowhere" for name in now - there]
