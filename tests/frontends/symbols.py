"""Writes models as MXNet does: symbol.json and .params, in every form of the latter."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

V1, V2, V3, OLDEST = 0xF993FAC8, 0xF993FAC9, 0xF993FACA, 0
DTYPES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7}
DTYPES["bfloat16"] = 12

Edge = list[int]


class Net:
    """A symbol that grows; `net("op", a, b, name=..., attr=...)` gives what the next nodes read."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}

    def input(self, name: str, **attrs: str) -> Edge:
        return self._add({"op": "null", "name": name, "inputs": [], **({"attrs": attrs} if attrs else {})})

    def param(self, name: str, value: Any) -> Edge:
        self.arrays[name] = np.asarray(value)
        return self.input(name, __lr_mult__="1.0", __dtype__="0")

    def __call__(self, op: str, *inputs: Edge, name: str = "", **attrs: Any) -> Edge:
        texts = {key: str(value) for key, value in attrs.items()}
        return self._add({"op": op, "name": name or f"n{len(self.nodes)}", "attrs": texts, "inputs": list(inputs)})

    def save(self, folder: Path, *heads: Edge, prefix: str = "model", epoch: int = 0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        content = {"nodes": self.nodes, "arg_nodes": [], "heads": list(heads or [[len(self.nodes) - 1, 0, 0]])}
        content["attrs"] = {"mxnet_version": ["int", 10901]}
        (folder / f"{prefix}-symbol.json").write_text(json.dumps(content))
        (folder / f"{prefix}-{epoch:04d}.params").write_bytes(params(self.arrays))
        return folder

    def _add(self, node: dict[str, Any]) -> Edge:
        self.nodes.append(node)
        return [len(self.nodes) - 1, 0, 0]


def params(arrays: dict[str, np.ndarray | None], magic: int = V2, prefix: str = "arg:") -> bytes:
    """The bytes of a .params file; None is an array without a value."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays)), *(_array(value, magic) for value in arrays.values())]
    names = [f"{prefix}{name}".encode() for name in arrays]
    parts += [struct.pack("<Q", len(names)), *(struct.pack("<Q", len(name)) + name for name in names)]
    return b"".join(parts)


def _array(value: np.ndarray | None, magic: int) -> bytes:
    rank = (-1 if magic == V3 else 0) if value is None else value.ndim
    start = struct.pack("<I", magic) if magic else b""
    start += struct.pack("<i", 0) if magic in (V2, V3) else b""
    start += struct.pack("<i", rank)
    if value is None:
        return start
    start += struct.pack(f"<{rank}{'q' if magic else 'I'}", *value.shape)
    return start + struct.pack("<iii", 1, 0, DTYPES[value.dtype.name]) + value.tobytes()


def every_dtype() -> dict[str, np.ndarray]:
    """An array of each dtype."""
    return {name: np.arange(6).reshape(2, 3).astype(getattr(ml_dtypes, name, name)) for name in DTYPES}
