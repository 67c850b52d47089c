"""What a model is, in figures: read from its header, never from its weights."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from regraft.inspection.census import constants, operators
from regraft.ir.graph import Constant
from regraft.ir.model import Model
from regraft.ir.weights import Stored
from regraft.pipelines import history
from regraft.pipelines.pass_base import count_rules
from regraft.verification.signature import Port

BIGGEST = 5


@dataclass(frozen=True)
class Weights:
    """The constants of one dtype."""

    dtype: str
    tensors: int
    elements: int
    bytes: int


@dataclass(frozen=True)
class Tensor:
    """One constant."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class FunctionSummary:
    """A local function."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int


@dataclass(frozen=True)
class Summary:
    """A model in figures.

    Attributes:
        files: the model's file and those its weights lie in, with their bytes.
        opsets: version by domain; "" is ONNX's own.
        nodes: in all graphs; `subgraphs` counts the bodies of If, Loop and Scan.
        operators: nodes of each operator, most first.
        weights: by dtype, most bytes first.
        biggest: the largest tensors.
        rewrites: the passes that changed the model, and how often, as its record says.
        host: the part that runs before it, for a model that is split; `feeds` are the inputs that it feeds.
    """

    files: dict[str, int]
    ir_version: int
    opsets: dict[str, int]
    producer: str
    graph: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    nodes: int
    subgraphs: int
    operators: dict[str, int]
    weights: tuple[Weights, ...]
    biggest: tuple[Tensor, ...]
    functions: tuple[FunctionSummary, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    pipeline: str = ""
    rewrites: tuple[tuple[str, int], ...] = ()
    host: Summary | None = None
    feeds: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Elements of all constants."""
        return sum(weights.elements for weights in self.weights)

    @property
    def bytes(self) -> int:
        """Bytes of all constants."""
        return sum(weights.bytes for weights in self.weights)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ports = {"inputs": [_port(p) for p in self.inputs], "outputs": [_port(p) for p in self.outputs]}
        host = self.host.to_dict() if self.host else None
        return asdict(self) | {"parameters": self.parameters, "bytes": self.bytes, "host": host} | ports


def summarize(model: Model, biggest: int = BIGGEST) -> Summary:
    """The figures of `model`; the names of at most `biggest` tensors."""
    all_constants = list(constants(model))
    largest = sorted(all_constants, key=lambda c: c.nbytes, reverse=True)[:biggest]
    graphs = list(model.graphs())
    return Summary(
        files=dict(_files(model, all_constants)),
        ir_version=model.graph.ir_version or model.header.ir_version,
        opsets={entry.domain: entry.version for entry in model.graph.import_domains or ()} | {"": model.opset},
        producer=" ".join(filter(None, (model.graph.producer_name, model.graph.producer_version))),
        graph=model.graph.name,
        inputs=tuple(map(Port.of_variable, model.graph.inputs)),
        outputs=tuple(map(Port.of_variable, model.graph.outputs)),
        nodes=sum(len(graph.nodes) for graph in graphs),
        subgraphs=len(graphs) - 1 - len(model.functions),
        operators=dict(sorted(operators(model).items(), key=lambda item: (-item[1], item[0]))),
        weights=_weights(all_constants),
        biggest=tuple(Tensor(c.name, dtype_name(c.dtype), tuple(c.shape), c.nbytes) for c in largest),
        functions=tuple(
            FunctionSummary(
                ".".join(f.unique_id), tuple(t.name for t in f.inputs), tuple(t.name for t in f.outputs), len(f.nodes)
            )
            for f in model.functions
        ),
        metadata={key: value for key, value in model.metadata.items() if key != history.RECORD},
        pipeline=history.pipeline_of(model),
        rewrites=tuple((entry.text, sum(count_rules(entry.changes).values())) for entry in history.read(model)),
        host=summarize(model.host.model, biggest) if model.host else None,
        feeds=tuple(model.host.feeds) if model.host else (),
    )


@functools.cache
def dtype_name(dtype: Any) -> str:
    """A dtype as ONNX's users call it."""
    return "string" if str(dtype) == "object" else str(dtype)


def _files(model: Model, all_constants: list[Constant]) -> Iterator[tuple[str, int]]:
    paths = [model.path] if model.path else []
    paths += [c.lazy.source.path for c in all_constants if isinstance(c.lazy, Stored)]
    named: dict[Path, Path] = {}
    for path in dict.fromkeys(paths):
        named.setdefault(path.resolve(), path)
    for path in named.values():
        if path.exists():
            yield str(path), path.stat().st_size


def _weights(all_constants: list[Constant]) -> tuple[Weights, ...]:
    by_dtype: dict[str, list[Constant]] = {}
    for constant in all_constants:
        by_dtype.setdefault(dtype_name(constant.dtype), []).append(constant)
    found = [
        Weights(dtype, len(group), sum(c.size for c in group), sum(c.nbytes for c in group))
        for dtype, group in by_dtype.items()
    ]
    return tuple(sorted(found, key=lambda w: -w.bytes))


def _port(port: Port) -> dict[str, Any]:
    dtype = dtype_name(port.dtype) if port.dtype is not None else None
    return {"name": port.name, "type": str(port), "kind": port.kind, "dtype": dtype, "shape": port.shape}
