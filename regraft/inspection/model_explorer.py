"""What differs between two models, in the files that Model Explorer takes for two graphs side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from regraft.errors import ModelError
from regraft.files.destination import check_folder_name
from regraft.files.stream import write_file
from regraft.inspection.attribution import NodeName
from regraft.inspection.sides import Sides

_COLOURS = {"removed": "#fde4d6", "added": "#d9ebfa", "changed": "#fbefc0"}

Entry = dict[str, list[str]]


def write_model_explorer(folder: Path, sides: Sides) -> None:
    """Write `mapping.json`, which ties nodes of both models, and `before.json` and `after.json`, which mark changes.

    Nodes are told by their names, as Model Explorer's ONNX adapter does; those without one are left out.

    Raises:
        ModelError: the folder cannot be made, or written to.
    """
    check_folder_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"cannot make the folder {folder}: {error.strerror}") from error
    mapping = {"type": "sync_navigation", "mappingEntries": list(_entries(sides)), "showDiffHighlights": True}
    _write(folder / "mapping.json", mapping)
    nodes, changed = sides.found
    for name, kind, alone, pairs in (
        ("before", "removed", nodes.removed, [pair.old for pair in changed]),
        ("after", "added", nodes.added, [pair.new for pair in changed]),
    ):
        marks = [*((node.name, kind) for node in alone), *((node.name, "changed") for node in pairs)]
        results = {node: {"value": what, "bgColor": _COLOURS[what]} for node, what in marks if node}
        _write(folder / f"{name}.json", {"name": "regraft diff", "results": results})


def _entries(sides: Sides) -> Iterator[Entry]:
    """The pairs of nodes, then what took the place of what; each name once."""
    for old, new in sides.found.nodes.after.items():
        if old.name and new.name:
            yield {"leftNodeIds": [old.name], "rightNodeIds": [new.name]}
    for edit in (edit for one in sides.diff.passes for edit in one.edits):
        left, right = _names(edit.removed), _names(edit.added)
        if left and right:
            yield {"leftNodeIds": left, "rightNodeIds": right}


def _names(nodes: Iterable[NodeName]) -> list[str]:
    """Without those that are called after an output."""
    return [node.name for node in nodes if not node.name.startswith("%")]


def _write(path: Path, content: Any) -> None:
    write_file(path, json.dumps(content, indent=1).encode())
