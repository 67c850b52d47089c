"""Dumps of a model between passes: many graphs, one file of weights."""

from __future__ import annotations

import re
from pathlib import Path

from regraft.errors import RegraftError
from regraft.files.convert import Header, export, from_proto
from regraft.files.destination import check_folder_name
from regraft.files.loading import load
from regraft.files.saving import save
from regraft.ir.model import Model
from regraft.ir.weights import Array, Source, Stored, Value


class Dumps:
    """Writes `00-input.onnx` with the weights beside it, then a graph after each pass that refers to them.

    Args:
        folder: where to; made if it is not there.

    Attributes:
        first, last: the file of the input, and the one written last.
    """

    def __init__(self, folder: Path, model: Model):
        check_folder_name(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegraftError(f"cannot make the dump folder {folder}: {error.strerror}") from error
        self.folder = folder
        self.first = self.last = save(model, folder / "00-input.onnx", "external")
        written = export(load(self.first)).values
        self._moved = {
            (old.source, old.offset): new
            for old, new in zip(export(model).values, written, strict=True)
            if isinstance(old, Stored)
        }

    def write(self, header: Header, number: int, name: str) -> Path:
        """Write the graph after pass `number`; weights that changed go beside it."""
        values = [self._find(value) for value in header.values]
        copy = from_proto(header.proto, None, values)
        file = self.folder / f"{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.onnx"
        self.last = save(copy, file, "reference")
        return self.last

    def _find(self, value: Value | Array) -> Value | Array:
        key: tuple[Source, int] | None = (value.source, value.offset) if isinstance(value, Stored) else None
        return self._moved.get(key, value) if key else value
