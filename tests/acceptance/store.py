"""Results that are kept from run to run, a JSON line each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx


class Store:
    """A file of results by key; what is put is written at once, so that a run that is cut off goes on where it was."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._found: dict[str, Any] = {entry["key"]: entry["value"] for entry in map(json.loads, lines)}

    def get(self, key: str) -> Any:
        """What was put, or None."""
        return self._found.get(key)

    def put(self, key: str, value: Any) -> None:
        self._found[key] = value
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")


def fingerprint(*parts: Any) -> str:
    """A digest of text, numbers, and the contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        data = _model(part) if isinstance(part, Path) and part.suffix == ".onnx" else part
        data = data.read_bytes() if isinstance(data, Path) else data if isinstance(data, bytes) else str(data).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _model(path: Path) -> bytes:
    """A model without its metadata, which tells when and where a pass ran."""
    proto = onnx.load(path)
    del proto.metadata_props[:]
    return proto.SerializeToString(deterministic=True)
