"""A model in memory: its graph, what stands around the graph, and where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from regraft.display import Displayed, Table
from regraft.ir.facts import FactStore, Kept
from regraft.ir.graph import AnyGraph, Function, Graph, Node, Tensor, Variable, walk
from regraft.ir.host import Host
from regraft.ir.schema import kind
from regraft.wording import count

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs


class Model(Displayed):
    """An ONNX model whose weights stay in their files.

    Attributes:
        graph: the main graph, which passes edit.
        header: the fields of the `ModelProto` beside graph, functions and metadata: IR version, producer, doc string.
        metadata: the model's `metadata_props`.
        path: the file it was loaded from; None for a model made in memory.
        host: what runs before it, on the host; None where nothing does. The graph is then the device's.
        claims: whether values inside, or outputs, have types that a file declares and nothing has confirmed.
    """

    claims: bool = False

    def __init__(
        self,
        graph: Graph,
        header: onnx.ModelProto | None = None,
        metadata: dict[str, str] | None = None,
        path: Path | None = None,
        host: Host | None = None,
    ):
        self.graph = graph
        self.header = header if header is not None else onnx.ModelProto(ir_version=10)
        self.metadata = dict(metadata or {})
        self.path = path
        self.host = host

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return int(self.graph.opset)

    @opset.setter
    def opset(self, version: int) -> None:
        for graph in self.graphs():
            graph.opset = version

    @property
    def functions(self) -> list[Function]:
        """The local functions."""
        functions: list[Function] = self.graph.functions
        return functions

    @property
    def roots(self) -> list[AnyGraph]:
        """The graphs that no other is around: the main one, and the functions."""
        return [self.graph, *self.functions]

    def graphs(self) -> Iterator[AnyGraph]:
        """The main graph, the functions, and the graphs inside them at any depth; outer before inner."""
        for root in self.roots:
            yield from walk(root)

    def nodes(self) -> Iterator[Node]:
        """The nodes of all `graphs()`."""
        return chain.from_iterable(graph.nodes for graph in self.graphs())

    @property
    def sides(self) -> tuple[Model, ...]:
        """The model, and that of its host where there is one."""
        return (self, self.host.model) if self.host else (self,)

    @property
    def inputs(self) -> list[Variable]:
        """What a caller gives: the inputs of the host, where there is one."""
        inputs: list[Variable] = self.host.model.graph.inputs if self.host else self.graph.inputs
        return inputs

    @property
    def outputs(self) -> list[Variable]:
        """What a caller gets: the outputs as they were before work moved to the host."""
        outputs: list[Variable] = self.host.outputs if self.host else self.graph.outputs
        return outputs

    @property
    def fed(self) -> dict[Tensor, Tensor]:
        """The inputs of the graph that the host makes, and the outputs of the host that feed them."""
        if self.host is None:
            return {}
        made, feeds = {tensor.name: tensor for tensor in self.host.model.graph.outputs}, self.host.feeds
        return {tensor: made[feeds[tensor.name]] for tensor in self.graph.inputs if tensor.name in feeds}

    @property
    def device(self) -> Model:
        """The same model without its host."""
        return Model(self.graph, self.header, self.metadata, self.path) if self.host else self

    def facts(self, analysis: type[Kept]) -> Kept:
        """What `analysis` finds of the values, as the model is now: `model.facts(InferredTypes)[value]`.

        It is found out once, and again where an edit reaches. Ask once in a pass, and hold the answer: every question
        looks for edits at every node. Where the model is edited after that, the next question changes what is held.
        """
        return self._facts.of(analysis, self)

    @property
    def _facts(self) -> FactStore:
        kept = vars(self.graph)
        if "_facts" not in kept:
            kept["_facts"] = FactStore()
        store: FactStore = kept["_facts"]
        return store

    def to_graphsurgeon(self) -> gs.Graph:
        """The graph as an `onnx_graphsurgeon.Graph` of its own; a weight is read when it asks for it."""
        from regraft.ir.graphsurgeon import to_graphsurgeon

        made = to_graphsurgeon(self.graph)
        made.regraft_model = self
        return made

    @classmethod
    def from_graphsurgeon(cls, graph: gs.Graph) -> Model:
        """The model of an `onnx_graphsurgeon.Graph`; one that `to_graphsurgeon` made has lost nothing."""
        from regraft.ir.graphsurgeon import from_graphsurgeon

        before: Model | None = vars(graph).get("regraft_model")
        if before is None:
            return cls(from_graphsurgeon(graph))
        header = onnx.ModelProto()
        header.CopyFrom(before.header)
        made = cls(from_graphsurgeon(graph), header, before.metadata, before.path, before.host)
        made.claims = before.claims
        return made

    def display(self) -> Iterator[str | Table]:
        yield repr(self)
        for title, values in (("inputs", self.inputs), ("outputs", self.outputs)):
            yield Table(title, [(one.name, _type(one)) for one in values])
        operators = Counter(kind(node) for node in self.nodes())
        yield Table("operators", [(number, name) for name, number in operators.most_common()], right=(0,))

    def __repr__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"<Model{where}: {count(len(self.graph.nodes), 'node')}, opset {self.opset}>"


def _type(tensor: Tensor) -> str:
    """`float32[batch, 768]`; `float32` of unknown rank; nothing of what is no tensor, or has no type."""
    if tensor.dtype is None:
        return ""
    return str(tensor.dtype) if tensor.shape is None else f"{tensor.dtype}[{', '.join(map(str, tensor.shape))}]"
