"""Signatures: the graphs of a SavedModel, with their inputs and outputs by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from regraft.errors import UnknownNameError
from regraft.outside import read_bytes
from regraft.pipelines.frontend import FrontendError, ImportOptions
from regraft.pipelines.options import Dims, show_dims

from .graph import Place

FILE, DEFAULT = "saved_model.pb", "serving_default"


class Port(NamedTuple):
    """An input or an output: the tensor of the graph, its data type (TensorFlow's number), its shape."""

    place: Place
    dtype: int
    shape: Dims | None


class Signature(NamedTuple):
    """A signature of a SavedModel; inputs in the order of the graph's nodes."""

    name: str
    graph: Any
    inputs: dict[str, Port]
    outputs: dict[str, Port]


def read_signature(folder: Path, options: ImportOptions) -> Signature:
    """The signature of a name: by default `serving_default`, or the only one.

    Raises:
        FrontendError: no SavedModel, no such tag, or no such signature.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / FILE
    try:
        saved = saved_model_pb2.SavedModel.FromString(read_bytes(path, FrontendError))
    except FileNotFoundError as error:
        raise FrontendError(f"{folder} is no SavedModel: there is no {FILE} in it") from error
    except DecodeError as error:
        raise FrontendError(f"{path} is truncated or no SavedModel: {error}; copy it again") from error
    graph = _tagged(saved.meta_graphs, options.tag, path)
    known = {name: one for name, one in graph.signature_def.items() if one.outputs and not name.startswith("__")}
    name = options.signature or (next(iter(known)) if len(known) == 1 else DEFAULT)
    if name not in known:
        if options.signature:
            raise FrontendError(f"{path}: {UnknownNameError('signature', name, known)}")
        listed = ", ".join(sorted(known)) or "none"
        raise FrontendError(f"{path} has no signature '{name}'; name one by --signature; it has: {listed}")
    order = {node.name: position for position, node in enumerate(graph.graph_def.node)}
    inputs = {key: _port(info) for key, info in known[name].inputs.items()}
    outputs = {key: _port(info) for key, info in known[name].outputs.items()}
    absent = [str(port.place) for port in (*inputs.values(), *outputs.values()) if port.place.node not in order]
    if absent:
        raise FrontendError(f"{path}: signature '{name}' names what is not in its graph: {', '.join(absent)}")
    arranged = sorted(inputs, key=lambda key: (order[inputs[key].place.node], key))
    return Signature(name, graph, _given({key: inputs[key] for key in arranged}, options.shapes, path), outputs)


def _tagged(graphs: Iterable[Any], tag: str | None, path: Path) -> Any:
    by_tags = {",".join(sorted(graph.meta_info_def.tags)): graph for graph in graphs}
    if tag is None and len(by_tags) == 1:
        return next(iter(by_tags.values()))
    wanted = "serve" if tag is None else ",".join(sorted(tag.split(",")))
    if wanted not in by_tags:
        raise FrontendError(f"{path} has no graph tagged '{wanted}'; name one by --tag; it has: {'; '.join(by_tags)}")
    return by_tags[wanted]


def _port(info: Any) -> Port:
    shape = info.tensor_shape
    dims = None if shape.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)
    return Port(Place.of(info.name), info.dtype, dims)


def _given(inputs: dict[str, Port], shapes: Mapping[str, Dims], path: Path) -> dict[str, Port]:
    """The inputs, with the user's shapes; unknown dimensions get names."""
    for name, dims in shapes.items():
        if name not in inputs:
            raise FrontendError(f"{path}: {UnknownNameError('input', name, inputs)}")
        known = inputs[name].shape
        if known is not None and not _fits(dims, known):
            raise FrontendError(
                f"{path}: input '{name}' has shape {show_dims(known)} in the model, not {show_dims(dims)}"
            )
    return {name: port._replace(shape=_named(name, port.shape, shapes.get(name))) for name, port in inputs.items()}


def _fits(dims: Dims, known: Dims) -> bool:
    return len(dims) == len(known) and all(
        old is None or new in (None, old) for new, old in zip(dims, known, strict=True)
    )


def _named(name: str, known: Dims | None, given: Dims | None) -> Dims | None:
    if known is None:
        known = given
    if known is None:
        return None
    asked = given or (None,) * len(known)
    fallback = ["batch", *(f"{name}_{axis}" for axis in range(1, len(known)))]
    return tuple(
        old if isinstance(old, int) else new if new is not None else other
        for old, new, other in zip(known, asked, fallback, strict=False)
    )
