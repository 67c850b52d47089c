"""What compilers said of cells, so that one is compiled again only when something that its verdict depends on changed.

`pytest tests/acceptance -m slow --record` compiles every cell and writes what it finds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.cells import Result

FILE = Path(__file__).with_name("record.jsonl")


@dataclass(frozen=True)
class Line:
    """Of a cell.

    Attributes:
        fingerprint: see `Bench.fingerprint`.
        version: of the compiler.
        refusal, wrong, error: those of its `Result`.
    """

    fingerprint: str
    version: str
    refusal: str
    wrong: str
    error: float


class Record:
    """A file of verdicts, a JSON line a cell; a cell has one verdict, the latest."""

    def __init__(self, path: Path = FILE):
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._lines = {cell: Line(**line) for cell, line in map(json.loads, lines)}

    def get(self, cell: str, fingerprint: str) -> Result | None:
        """The verdict on `cell`, where it is on that very fingerprint."""
        line = self._lines.get(cell)
        if line is None or line.fingerprint != fingerprint:
            return None
        return Result(line.refusal, line.wrong, line.error)

    def put(self, cell: str, fingerprint: str, version: str, result: Result) -> None:
        """Write a verdict that a compiler has just given."""
        self._lines[cell] = Line(fingerprint, version, result.refusal, result.wrong, result.error)
        lines = [json.dumps([cell, vars(line)], ensure_ascii=False) for cell, line in sorted(self._lines.items())]
        self._path.write_text("\n".join(lines) + "\n", encoding="utf-8")
