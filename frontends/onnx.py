"""The frontend `onnx`."""

from __future__ import annotations

from pathlib import Path

import onnx

from regraft.files.bundle import is_bundle
from regraft.files.loading import load
from regraft.files.wire import begins_as_model
from regraft.ir.model import Model
from regraft.pipelines.frontend import Frontend, FrontendError, ImportOptions


class Onnx(Frontend):
    """ONNX files, folders with one, and bundles.

    A model whose IR version or operator set is unknown to the installed onnx is refused: its operators might mean
    anything.
    """

    name = "onnx"
    formats = "an .onnx file, a folder with one, a bundle"
    options = frozenset({"trust"})  # for running a bundle's compiled model; reading needs none

    def accepts(self, source: Path) -> bool:
        if source.is_dir():
            return is_bundle(source) or bool(_models(source))
        if source.suffix == ".onnx":
            return True
        return begins_as_model(source)

    def read(self, source: Path, options: ImportOptions) -> Model:
        if source.is_dir() and not is_bundle(source):
            source = _only(source)
        model = load(source, weights=options.weights)
        _check_versions(model, source)
        return model


def _models(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.onnx") if path.is_file())


def _only(folder: Path) -> Path:
    found = _models(folder)
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    raise FrontendError(f"{folder} holds {f'several models: {names}; name one' if found else 'no .onnx file'}")


def _check_versions(model: Model, source: Path) -> None:
    """Refuse a model that is too new for the installed onnx."""
    known = f"onnx {onnx.__version__}, which is installed, reads up to"
    if model.header.ir_version > onnx.IR_VERSION:
        raise FrontendError(f"{source} has IR version {model.header.ir_version}; {known} {onnx.IR_VERSION}")
    if model.opset > onnx.defs.onnx_opset_version():
        raise FrontendError(f"{source} has opset {model.opset}; {known} {onnx.defs.onnx_opset_version()}")
