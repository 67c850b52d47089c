"""`regraft log`: which passes a model went through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.cli.parameters import as_json, command, model_argument
from regraft.cli.terminal import block, echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.pipelines.history import Entry


@command("regraft log better.onnx", "regraft log better.onnx --json")
@model_argument()
@as_json
def log(model: Path, as_json: bool) -> None:
    """List the passes that changed a model, oldest first: what their rules did, what they promise, what was measured.

    This is the record that `rewrite` leaves in the model's metadata. The difference is the largest that was measured in
    an output after the pass; where several passes were measured together, it stands at the last.
    """
    from regraft.cli.output import table
    from regraft.files.loading import load
    from regraft.pipelines import history
    from regraft.pipelines.pass_base import count_rules

    entries = history.read(load(model, weights=False))
    if as_json:
        block(json.dumps([_plain(entry) for entry in entries], indent=2))
        return
    if not entries:
        echo("no pass of regraft changed this model, or its record was left out")
        return
    rows_shown = []
    for entry in entries:
        said = [f"{number} {rule}".strip() for rule, number in count_rules(entry.changes).items()]
        for what in ("edited", "weights"):
            if number := len({one for change in entry.changes for one in getattr(change, what)}):
                said.append(f"{count(number, 'weight')}" if what == "weights" else f"{count(number, 'node')} edited")
        gone = sum(len(change.removed) for change in entry.changes)
        made = sum(len(change.added) for change in entry.changes)
        measured = str(entry.measured) if entry.measured else "-"
        row = entry.text, ", ".join(said), f"{count(gone, 'node')} -> {made}", entry.contract or "-", measured
        rows_shown.append(row)
    table(rows_shown, ("pass", "changes", "nodes", "contract", "difference"))


def _plain(entry: Entry) -> dict[str, Any]:
    row = {"pass": entry.text, "contract": entry.contract, "changes": [one._asdict() for one in entry.changes]}
    return row | {"measured": entry.measured._asdict() if entry.measured else None}
