"""`ModelProto` to `Model` and back, losing nothing.

`export` gives a header: a `ModelProto` without large values, which is the cheap interchange with every other library of
the field (checker, shape inference, onnx-ir, onnxscript, ONNX Runtime). `from_proto` reads one.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import onnx

from regraft.errors import ModelError
from regraft.files.exporter import Exporter, opsets
from regraft.files.fields import put_pairs
from regraft.files.importer import import_model
from regraft.files.parts import of_message
from regraft.files.sources import Sources
from regraft.files.wire import slot
from regraft.ir.clone import clone
from regraft.ir.graphsurgeon import adopt
from regraft.ir.model import Model
from regraft.ir.weights import Array, Value

__all__ = ["Header", "clone", "export", "from_proto"]


class Header(NamedTuple):
    """A model without its large values: tensor `i` of `values` is the one whose location is `wire.reference(i)`."""

    proto: onnx.ModelProto
    values: list[Value | Array]


def from_proto(proto: onnx.ModelProto, path: Path | None = None, values: list[Value | Array] | None = None) -> Model:
    """The model of a `ModelProto`.

    Args:
        path: the file it lies in; external data is looked for beside it.
        values: the large values, if `proto` is the header that `export` made.
    """
    sources = Sources(path)

    def resolve(tensor: onnx.TensorProto) -> Value | Array:
        index = slot(tensor) if values is not None else None
        return sources.value(tensor) if values is None or index is None else values[index]

    return import_model(proto, of_message(proto.graph), path, resolve)


def export(model: Model) -> Header:
    """The header of `model` and its large values.

    Raises:
        ModelError: a text in the model is not UTF-8.
    """
    try:
        return _export(model)
    except UnicodeDecodeError as error:
        raise ModelError(f"a text in the model is not UTF-8: {error.object!r}") from error


def _export(model: Model) -> Header:
    adopt(model)
    proto = onnx.ModelProto()
    proto.CopyFrom(model.header)
    writer = Exporter()
    writer.graph(model.graph, proto.graph)
    for function in model.functions:
        writer.function(function, proto.functions.add())
    proto.opset_import.extend(opsets(model.graph))
    if model.graph.ir_version is not None:
        proto.ir_version = max(model.graph.ir_version, 4)  # before 4 an initializer had to be an input
    proto.producer_name, proto.producer_version = model.graph.producer_name, model.graph.producer_version
    put_pairs(proto.metadata_props, model.metadata)
    return Header(proto, writer.values)
