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
        self._found: dict[str, Any] = {}
        self._latest: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            self._learn(**json.loads(line))

    def get(self, key: str) -> Any:
        """What was put under `key`, or None."""
        return self._found.get(key)

    def latest(self, name: str) -> Any:
        """What was put last for `name`, whatever its key, or None."""
        return self._latest.get(name)

    def put(self, key: str, value: Any, name: str = "") -> None:
        """Keep `value`, unless it is known already."""
        if self._found.get(key) == value and self._latest.get(name) == value:
            return
        self._learn(key, value, name)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "name": name, "value": value}) + "\n")

    def _learn(self, key: str, value: Any, name: str = "") -> None:
        self._found[key] = self._latest[name] = value


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
