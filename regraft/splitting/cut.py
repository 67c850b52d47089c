"""Subgraphs of a model, each a model of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx

from regraft.errors import GraphError
from regraft.files.convert import export, from_proto
from regraft.ir.calls import drop_uncalled
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.pipelines.inheritance import STAGE


class _Needed(NamedTuple):
    """What a piece needs from outside: nodes to copy, by index; values to pass in; constants, by name."""

    copies: set[int]
    values: dict[str, None]
    constants: dict[str, None]


class Cutter:
    """Cuts `model`, whose values have types, into pieces; each edge of the graph is looked at once.

    Args:
        homes: the number of the piece that each node of the main graph belongs to, none before those it reads from;
            None for a node that is copied into every piece that reads it.

    Attributes:
        numbers: those of the pieces that have nodes, in order.
        results: the outputs of the model, by name.
    """

    def __init__(self, model: Model, homes: Sequence[int | None]):
        self._model, self._homes = model, homes
        self._proto, self._values = export(model)
        graph = self._proto.graph
        self._producer = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
        self._dense = {tensor.name: tensor for tensor in graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
        self._infos = {info.name: info for info in (*graph.value_info, *graph.output, *graph.input)}
        self._inputs = {info.name for info in graph.input}
        known = {*self._producer, *self._dense, *self._sparse, *self._inputs}
        names = (dict.fromkeys(tensor.name for tensor in reads(node)) for node in model.graph.nodes)
        self._reads = [[name for name in read if name in known] for read in names]
        self._indices: dict[int, list[int]] = {}
        self._readers: dict[str, set[int]] = {}
        for index, home in enumerate(homes):
            if home is not None:
                self._indices.setdefault(home, []).append(index)
                for name in self._reads[index]:
                    self._readers.setdefault(name, set()).add(home)
        self.numbers = sorted(self._indices)
        self.results = {info.name for info in graph.output}

    def home(self, name: str) -> int | None:
        """The piece that makes a value; None for an input of the model."""
        return self._homes[self._producer[name]] if name in self._producer else None

    def later(self, name: str) -> list[int]:
        """The other pieces that read a value."""
        return sorted(self._readers.get(name, set()) - {self.home(name)})

    def piece(self, number: int, name: str) -> Model:
        """One of the pieces, in a graph called `name`; its first inputs are what the nearest piece before it makes.

        Raises:
            GraphError: the type of an input or output is not known.
        """
        proto = self._frame()
        self._fill(proto.graph, number)
        proto.graph.name = name
        piece = from_proto(proto, self._model.path, self._values)
        drop_uncalled(piece)
        return piece

    def _fill(self, graph: onnx.GraphProto, number: int) -> None:
        needed = self._needed(number)
        indices = sorted({*self._indices[number], *needed.copies})
        graph.node.extend(self._proto.graph.node[index] for index in indices)
        for node in graph.node:
            kept = [entry for entry in node.metadata_props if entry.key != STAGE]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
        graph.initializer.extend(self._dense[name] for name in needed.constants if name in self._dense)
        graph.sparse_initializer.extend(self._sparse[name] for name in needed.constants if name in self._sparse)
        outputs = self._outputs(number)
        graph.input.extend(self._info(name) for name in sorted(needed.values, key=self._age, reverse=True))
        graph.output.extend(self._info(name) for name in outputs)
        inner = {name for node in graph.node for name in node.output}.difference(outputs)
        graph.value_info.extend(self._infos[name] for name in sorted(inner) if name in self._infos)

    def _age(self, name: str) -> int:
        """The position at which a value is produced; inputs of the model come first."""
        home = self.home(name)
        return -1 if home is None else home

    def _needed(self, number: int) -> _Needed:
        needed = _Needed(set(), {}, {})
        pending = list(reversed(self._indices[number]))
        while pending:
            for name in self._reads[pending.pop()]:
                if name in self._dense or name in self._sparse:
                    needed.constants[name] = None
                if name in self._inputs:
                    needed.values[name] = None
                elif name in self._producer:
                    self._need(self._producer[name], name, number, needed, pending)
        return needed

    def _need(self, producer: int, name: str, number: int, needed: _Needed, pending: list[int]) -> None:
        home = self._homes[producer]
        if home is None:
            if producer not in needed.copies:
                needed.copies.add(producer)
                pending.append(producer)
        elif home != number:
            needed.values[name] = None

    def _outputs(self, number: int) -> list[str]:
        made = [name for index in self._indices[number] for name in self._proto.graph.node[index].output if name]
        return [name for name in made if name in self.results or self.later(name)]

    def _frame(self) -> onnx.ModelProto:
        """The model without its main graph."""
        frame = onnx.ModelProto()
        for field, value in self._proto.ListFields():
            if field.name == "graph":
                continue
            if isinstance(value, int | str):
                setattr(frame, field.name, value)
            else:
                getattr(frame, field.name).MergeFrom(value)
        return frame

    def _info(self, name: str) -> onnx.ValueInfoProto:
        info = self._infos.get(name)
        if info is None or not info.type.WhichOneof("value"):
            raise GraphError(f"the type of '{name}', which goes from one part to another, is not known")
        return info
