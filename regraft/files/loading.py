"""Open a model file without reading its weights."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from regraft.errors import GraphError, ModelError
from regraft.files import wire
from regraft.files.bundle import is_bundle, read_bundle
from regraft.files.convert import from_proto
from regraft.files.importer import import_model
from regraft.files.parts import of_bytes
from regraft.files.sources import Sources
from regraft.ir.gc_pause import paused
from regraft.ir.model import Model
from regraft.ir.weights import Source


@paused()
def load(path: str | os.PathLike[str] | onnx.ModelProto, *, weights: bool = True) -> Model:
    """The model in an ONNX file of any size, weights inline or external, in a bundle with its host, or in a message.

    Only the structure is read; a weight is read when its value is asked for.

    Args:
        weights: whether the files of the weights must be there. Without one that is missing the structure can be
            looked at, and their values are `Absent`.

    Raises:
        ModelError: no such file, no ONNX model in it, truncated, or its external data is missing or out of bounds.
        GraphError: the graph has a cycle.
    """
    if isinstance(path, onnx.ModelProto):
        return from_proto(path)
    path = Path(path)
    if os.path.isdir(path):
        if is_bundle(path):
            return read_bundle(path, functools.partial(load, weights=weights))
        raise ModelError(f"{path} is a folder; name the .onnx file in it")
    source = Source(path)
    try:
        proto, graph = of_bytes(wire.strip(source))
        if graph is None or not proto.ir_version:
            raise ModelError("not an ONNX model: no graph in it")
        return import_model(proto, graph, path, Sources(path, source, not weights).value)
    except DecodeError as error:
        raise ModelError(f"{path}: not an ONNX model: {error}") from error
    except (ModelError, GraphError) as error:
        raise type(error)(f"{path}: {error}") from error
