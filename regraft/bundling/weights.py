"""The weights of a model as `.npy` files, for hardware flows that read no ONNX."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from regraft.inspection.census import operator
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.ir.weights import Value
from regraft.verification.vectors import plain

_NO_WEIGHTS = ("int64", "bool", "object")  # dtypes of shapes, indices, conditions and texts
_LENGTH = 120  # characters of a file name, which some file systems limit to 143


def write_weights(model: Model, folder: Path, place: str) -> list[dict[str, Any]]:
    """Write each weight as the graph has it, and if it is a matrix, transposed; one at a time is in memory.

    Args:
        place: the folder for them, which is there, relative to `folder`.

    Returns:
        For each its name, files, dtype, shape and bytes, and the nodes that read it.
    """
    said = []
    names: set[str] = set()
    for constant, name, readers in _weights(model):
        stem = file_name(name, names)
        names.add(stem.lower())
        files = {"file": f"{place}/{stem}.npy"}
        values = plain(constant.values)
        np.save(folder / files["file"], values)
        if values.ndim == 2:
            files["transposed"] = f"{place}/{stem}.T.npy"
            np.save(folder / files["transposed"], np.ascontiguousarray(values.T))
        if isinstance(constant.lazy, Value):
            constant.lazy.release()
        dtype, shape = str(np.dtype(constant.dtype)), list(constant.shape)
        size = {"dtype": dtype, "shape": shape, "bytes": constant.nbytes}
        said.append({"name": name, **files, **size, "readers": readers})
    return said


def file_name(name: str, taken: set[str] | None = None) -> str:
    """`name` as a valid file name, with a number where it is one of `taken`, which are in lower case."""
    plain_name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("_.")[-_LENGTH:] or "_"
    found, number = plain_name, 1
    while taken and found.lower() in taken:
        number += 1
        found = f"{plain_name}_{number}"
    return found


def _weights(model: Model) -> Iterator[tuple[Constant, str, list[dict[str, Any]]]]:
    """Each weight, its name, and its users with the operand index."""
    readers: dict[Constant, list[dict[str, Any]]] = {}
    names: dict[Constant, str] = {}
    for node in model.nodes():
        for place, tensor in enumerate(node.inputs):
            constant = _constant(tensor)
            if constant is not None and constant.size > 1 and str(constant.dtype) not in _NO_WEIGHTS:
                names[constant] = tensor.name
                reader = {"node": node.name, "operator": operator(node), "input": place}
                readers.setdefault(constant, []).append(reader)
    for constant, name in names.items():
        yield constant, name, readers[constant]


def _constant(tensor: Any) -> Constant | None:
    """`tensor` if it is a constant, or the constant of the Constant node that produces it."""
    if isinstance(tensor, Constant):
        return tensor
    node = tensor.producer
    value = node.attrs.get("value") if node is not None and node.op == "Constant" and not node.domain else None
    return value if isinstance(value, Constant) else None
