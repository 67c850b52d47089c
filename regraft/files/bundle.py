"""The folder that a target is handed: the device's model, the host's, and a manifest of how they belong together.

device.onnx      what the compiler gets
host.onnx        from the caller's inputs to what the device is fed; absent where nothing runs on the host
host.onnx.data   its tables; a table that the device needs too stands here once, for both
manifest.json    inputs, outputs, which host output feeds which device input, checksums
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from regraft.errors import ModelError
from regraft.files.saving import Layout, Places, save_sharing
from regraft.ir.graph import Graph, Variable
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.outside import check_form, open_file, read_json
from regraft.wording import count

DEVICE, HOST, MANIFEST = "device.onnx", "host.onnx", "manifest.json"
FORMAT = 1


_PORT = {"name": str, "dtype": (str, None), "shape": ([(int, str, None)], None)}
_FORM = {
    "format": int,
    "files": {str: {"bytes": int, "sha256": str}},
    "inputs": [_PORT],
    "outputs": [_PORT],
    "device": {"model": str, "inputs": [{**_PORT, "from": ({"host": str}, {"input": str})}], "outputs": [_PORT]},
    "host?": {"model": (str, None), "outputs": [_PORT]},
    "target?": str,
    "source?": (str, None),
    "pipeline?": str,
    "report?": str,
    "drift?": {"outputs": [{"name": str, "max_abs": float}]},
    "compiled?": {
        "target": str,
        "package": str,
        "version": str,
        "folder": str,
        "metrics": {str: (None, bool, float, str, [(float, str)], {str: (float, str)})},
        "drift": {"outputs": [{"name": str, "max_abs": float}]},
    },
    "handoff?": {"target": str, "command": str, "unchecked": [str], "legality": {"taken": int, "violations": [str]}},
}
"""What a manifest holds, as far as regraft reads it."""


def is_bundle(folder: Path) -> bool:
    """Whether a manifest lies in `folder`."""
    return (folder / MANIFEST).is_file()


def write_models(model: Model, folder: Path, layout: Layout = "auto") -> None:
    """Write the device's model and the host's into `folder`; `layout` is the device's.

    Raises:
        ModelError: the weights were to stay where they are; or the disk refuses.
    """
    if layout == "reference":
        raise ModelError("layout 'reference': a bundle holds its weights; use another layout, or write a file")
    places: Places = {}
    if model.host is not None and model.host.feeds:
        save_sharing(model.host.model, folder / HOST, "external", places)
    save_sharing(model.device, folder / DEVICE, layout, places)


def ports(model: Model) -> dict[str, Any]:
    """What the manifest says of the inputs and outputs of the caller."""
    return {"inputs": list(map(entry, model.inputs)), "outputs": list(map(entry, model.outputs))}


def interface(model: Model) -> dict[str, Any]:
    """What the manifest says of inputs and outputs, of the caller and of the device."""
    feeds = model.host.feeds if model.host else {}
    device = [
        {**entry(tensor), "from": {"host": feeds[tensor.name]} if tensor.name in feeds else {"input": tensor.name}}
        for tensor in model.graph.inputs
    ]
    said = ports(model)
    said["device"] = {"model": DEVICE, "inputs": device, "outputs": list(map(entry, model.graph.outputs))}
    if model.host is not None:
        made = model.host.model.graph.outputs
        said["host"] = {"model": HOST if feeds else None, "outputs": list(map(entry, made))}
    return said


def read_bundle(folder: Path, load: Callable[[Path], Model]) -> Model:
    """The model in the bundle at `folder`, with its host.

    Raises:
        ModelError: a file is missing, or is not the one that was written; the manifest cannot be read.
    """
    manifest = read_manifest(folder)
    for name, file in manifest["files"].items():
        path = inside(folder, name)
        if not path.is_file():
            raise ModelError(f"{folder}: {name} is missing; write the bundle again")
        if path.stat().st_size != file["bytes"]:
            raise ModelError(
                f"{path}: {count(path.stat().st_size, 'byte')}, {file['bytes']:,} were written; write the bundle again"
            )
    try:
        return _assemble(folder, manifest, load)
    except (KeyError, TypeError) as error:  # a host output that feeds nothing, a dtype that nobody knows
        raise ModelError(f"{folder / MANIFEST} is no manifest of a bundle: {type(error).__name__} {error}") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `manifest.json` says. Raises ModelError where it cannot be read."""
    path = folder / MANIFEST
    manifest: dict[str, Any] = read_json(path)
    where = f"{path} is no manifest of a bundle"
    check_form(manifest, {"format": int}, where)
    if manifest["format"] != FORMAT:
        raise ModelError(f"{path}: format {manifest['format']}, this version of regraft reads format {FORMAT}")
    check_form(manifest, _FORM, where)
    return manifest


def target_of(folder: Path) -> str:
    """The name of the target that the bundle at `folder` is for; empty where it is for none.

    Raises ModelError where the manifest cannot be read.
    """
    manifest = read_manifest(folder)
    made = manifest.get("compiled") or manifest.get("handoff") or {}
    return str(manifest.get("target") or made.get("target", "").partition("{")[0])


def check_sums(folder: Path) -> None:
    """Read every file of the bundle at `folder`, if it is one. Raises ModelError where one is not what was written."""
    if not is_bundle(folder):
        return
    for name, file in read_manifest(folder)["files"].items():
        if digest(inside(folder, name)) != file["sha256"]:
            raise ModelError(f"{folder / name} was changed since the bundle was written; write it again")


def sums(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Size and checksum of files in `folder`."""
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": digest(folder / name)} for name in names}


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(open_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _assemble(folder: Path, manifest: dict[str, Any], load: Callable[[Path], Model]) -> Model:
    model = load(inside(folder, manifest["device"]["model"]))
    if "host" not in manifest:
        return model
    feeds = {port["name"]: port["from"]["host"] for port in manifest["device"]["inputs"] if "host" in port["from"]}
    if manifest["host"]["model"] is None:
        front = Model(Graph(inputs=list(map(_variable, manifest["inputs"])), opset=model.opset))
    else:
        front = load(inside(folder, manifest["host"]["model"]))
    model.host = Host(front, feeds, list(map(_variable, manifest["outputs"])))
    for what, said, made in (
        ("output of the host", feeds.values(), front.graph.outputs),
        ("input of the device", feeds, model.graph.inputs),
        ("output of the device", (tensor.name for tensor in model.host.outputs), model.graph.outputs),
    ):
        if unknown := sorted(set(said) - {tensor.name for tensor in made}):
            raise ModelError(f"{folder / MANIFEST}: there is no {what} named '{unknown[0]}'")
    return model


def inside(folder: Path, name: str) -> Path:
    """What the manifest in `folder` calls `name`. Raises ModelError where that lies outside the folder."""
    path = folder / name
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve())
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{folder / MANIFEST}: {name!r} is no path: {error}") from error
    if not is_inside:
        raise ModelError(f"{folder / MANIFEST}: '{name}' lies outside the bundle")
    return path


def entry(tensor: Variable) -> dict[str, Any]:
    """What the manifest says of a value."""
    dtype = None if tensor.dtype is None else np.dtype(tensor.dtype)
    name = "string" if dtype == np.object_ else str(dtype) if dtype is not None else None
    return {"name": tensor.name, "dtype": name, "shape": tensor.shape}


def _variable(port: dict[str, Any]) -> Variable:
    name = port["dtype"]
    dtype = None if name is None else np.dtype(object if name == "string" else getattr(ml_dtypes, name, name))
    return Variable(port["name"], dtype, port["shape"])
