"""`regraft log`: which passes a model went through."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from regraft.cli.parameters import as_json, command, model_argument
from regraft.cli.terminal import block, echo
from regraft.wording import count


@command("regraft log better.onnx", "regraft log better.onnx --json")
@model_argument()
@as_json
def log(model: Path, as_json: bool) -> None:
    """List the passes that changed a model, oldest first, and what each of their rules did.

    This is the record that `rewrite` leaves in the model's metadata.
    """
    from regraft.cli.output import table
    from regraft.files.loading import load
    from regraft.pipelines import history

    entries = history.read(load(model, weights=False))
    if as_json:
        rows = [{"pass": entry.text, "changes": [change._asdict() for change in entry.changes]} for entry in entries]
        block(json.dumps(rows, indent=2))
        return
    if not entries:
        echo("no pass of regraft changed this model, or its record was left out")
        return
    rows_shown = []
    for entry in entries:
        rules = Counter(change.rule for change in entry.changes)
        said = ", ".join(f"{number} {rule}".strip() for rule, number in rules.items())
        gone = sum(len(change.removed) for change in entry.changes)
        made = sum(len(change.added) for change in entry.changes)
        rows_shown.append((entry.text, said, f"{count(gone, 'node')} -> {made}"))
    table(rows_shown, ("pass", "changes", "nodes"))
