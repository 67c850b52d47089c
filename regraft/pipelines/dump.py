"""Dumps of a model between passes: many graphs, one file of weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from regraft.errors import RegraftError
from regraft.files.convert import Header, export, from_proto
from regraft.files.destination import check_folder_name
from regraft.files.loading import load
from regraft.files.saving import save
from regraft.ir.model import Model
from regraft.ir.weights import Array, Source, Stored, Value

RUN = re.compile(r"run-(\d+)")
"""What the folder of a run is called; the numbers go up."""


def runs(folder: Path) -> list[Path]:
    """The folders of the runs that were dumped into `folder`, oldest first."""
    numbers = {
        path: int(match[1]) for path in folder.iterdir() if (match := RUN.fullmatch(path.name)) and path.is_dir()
    }
    return sorted(numbers, key=numbers.__getitem__)


class Dumps:
    """Writes `00-input.onnx` with the weights beside it, then a graph after each pass that refers to them.

    Args:
        parent: where to; made if it is not there. Each run has a fresh folder in it.

    Attributes:
        folder: that of this run.
        first, last: the file of the input, and the one written last.
    """

    def __init__(self, parent: Path, model: Model):
        check_folder_name(parent)
        self.folder = folder = _fresh(parent)
        self.first = self.last = save(model, folder / "00-input.onnx", "external")
        written = export(load(self.first)).values
        self._moved = {
            (old.source, old.offset): new
            for old, new in zip(export(model).values, written, strict=True)
            if isinstance(old, Stored)
        }

    def write(self, header: Header, number: int, name: str, tell: Callable[[Model], None]) -> Path:
        """Write the graph after pass `number`, with what `tell` writes into it; weights that changed go beside it."""
        values = [self._find(value) for value in header.values]
        copy = from_proto(header.proto, None, values)
        tell(copy)
        file = self.folder / f"{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.onnx"
        self.last = save(copy, file, "reference")
        return self.last

    def _find(self, value: Value | Array) -> Value | Array:
        key: tuple[Source, int] | None = (value.source, value.offset) if isinstance(value, Stored) else None
        return self._moved.get(key, value) if key else value


def _fresh(parent: Path) -> Path:
    """A folder in `parent` that no run had before."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        last = runs(parent)[-1:]
        number = int(last[0].name.removeprefix("run-")) if last else 0
        while True:
            number += 1
            folder = parent / f"run-{number}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise RegraftError(f"cannot make the dump folder {parent}: {error.strerror}") from error
