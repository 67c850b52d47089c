"""Results as a Markdown table for people and JSON for machines."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def markdown(rows: list[Row]) -> str:
    """A table with a column for every key; a missing value is a dash."""
    columns = list(dict.fromkeys(key for row in sorted(rows, key=len, reverse=True) for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [["-" if row.get(c) is None else str(row[c]) for c in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(folder: Path, name: str, title: str, rows: list[Row], facts: Row) -> None:
    """Print the table, and write `<name>.md` and `<name>.json` to `folder`."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    versions = {p: metadata.version(p) for p in ("onnx", "numpy", "regraft")}
    text = f"## {title}\n\n{markdown(rows)}\n\n{machine['cores']} cores, Python {machine['python']}, {versions}\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    report = {"title": title, **facts, "machine": machine, "packages": versions, "rows": rows}
    (folder / f"{name}.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
    print(text)
