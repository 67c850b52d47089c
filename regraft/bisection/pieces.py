"""Pieces of a model, each a model of its own, that run on the values that the whole computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from regraft.bisection.checks import Arrays, Case, fitting
from regraft.bisection.regions import Difference, Region, take_functions
from regraft.errors import RegraftError
from regraft.ir.calls import drop_uncalled
from regraft.ir.clone import Copier, clone
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable, subgraphs, walk
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.schema import draws
from regraft.shapes import declare_types
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.sizes import Given


class Whole:
    """A case, and what its model computes at every node of the main graph.

    Attributes:
        units: what can be left out: a node, or nodes that are exchanged at once where there is a base.

    Raises:
        Indivisible: model and base differ in more than nodes of the main graph.
    """

    def __init__(self, case: Case):
        self.case = case
        self._model = clone(case.model)
        declare_types(self._model)
        self._difference = None if case.base is None else Difference(self._model, case.base)
        changed = [] if self._difference is None else self._difference.regions
        home = {node: region for region in changed for node in region.before}
        singles = [Region([node]) for node in self._model.graph.nodes if node not in home]
        place = {node: number for number, node in enumerate(self._model.graph.nodes)}
        self._changed = {id(region) for region in changed}
        self.units = sorted([*changed, *singles], key=lambda unit: min(map(place.__getitem__, unit.before), default=0))
        self._fixed = _fixed(self._model)
        self._recorded = record(self._model, case.samples or ())

    def piece(self, units: Sequence[Region]) -> Case:
        """The case of some of the nodes alone."""
        nodes = [node for unit in units for node in unit.before]
        model, samples = self._cut(nodes, Copier())
        if self._difference is None:
            return replace(self.case, model=model, samples=samples)
        same = [node for unit in units if id(unit) not in self._changed for node in unit.before]
        other = [node for unit in units if id(unit) in self._changed for node in unit.after]
        base, more = self._cut_other(same, other)
        both = [{**one, **two} for one, two in zip(samples, more, strict=True)]
        return replace(self.case, model=model, base=base, samples=both)

    def _cut_other(self, same: list[Node], other: list[Node]) -> tuple[Model, list[Arrays]]:
        """The same piece of the base."""
        assert self._difference is not None
        mapped = {new: old for old, new in self._difference.shared.pairs.values()}
        return self._cut([*same, *other], Copier(), mapped)

    def _cut(
        self, nodes: list[Node], copier: Copier, mapped: dict[Tensor, Tensor] | None = None
    ) -> tuple[Model, list[Arrays]]:
        """Nodes as a model, and what it runs on. `mapped`: values that stand for those of the model."""
        mapped = mapped or {}
        frame = self._model.graph
        graph = Graph(name=frame.name, opset=frame.opset, ir_version=frame.ir_version)
        made = Model(graph, self._model.header)
        for one in (self._model, *([self.case.base] if self.case.base else [])):
            take_functions(made, one)
        own = dict.fromkeys(mapped.get(tensor, tensor) for node in nodes for tensor in node.outputs if tensor.name)
        needed = dict.fromkeys(mapped.get(tensor, tensor) for node in nodes for tensor in _outer(node))
        inputs: list[Variable] = []
        for tensor in needed:
            if tensor in own or isinstance(tensor, Constant):
                continue
            if tensor in self._fixed and self._recorded:
                copier.tensors[tensor] = Constant(tensor.name, np.asarray(self._recorded[0][tensor.name]))
            else:
                inputs.append(self._input(tensor, copier))
                copier.tensors[tensor] = inputs[-1]
        for new, old in mapped.items():
            if old in own or old in needed:
                copier.tensors[new] = copier.values([old])[0]
        graph.nodes += [copier.node(node) for node in nodes]
        graph.inputs = inputs
        drop_uncalled(made)
        inside = set(nodes)
        outputs = set(frame.outputs)
        graph.outputs = copier.values(tensor for tensor in own if _leaves(tensor, inside, outputs))
        return made, self._samples(made)

    def _input(self, tensor: Variable, copier: Copier) -> Variable:
        made = copier.variable(tensor)
        known = self._recorded[0].get(tensor.name) if self._recorded else None
        if made.dtype is None and isinstance(known, np.ndarray):
            made.dtype = known.dtype
        return made

    def _samples(self, made: Model) -> list[Arrays]:
        if not self._recorded:
            return [make_inputs(made)] if made.graph.inputs else [{}]
        return [fitting(made, values) for values in self._recorded]


def record(model: Model, samples: Iterable[Arrays]) -> list[Arrays]:
    """Inputs and every value of the main graph, for each sample; nothing where the model does not run."""
    watched = clone(model)
    known = {tensor.name for tensor in watched.graph.outputs}
    made = [tensor for node in watched.graph.nodes for tensor in node.outputs if tensor.name not in {"", *known}]
    watched.graph.outputs = [*watched.graph.outputs, *made]
    try:
        session = Session(watched)
        return [{**one, **session.run(fitting(watched, one))} for one in samples]
    except RegraftError:
        return []


def _outer(node: Node) -> Iterable[Variable]:
    """The values that a node and its bodies take from the main graph, without constants."""
    bodies = [graph for body in subgraphs(node) for graph in walk(body)]
    inner, starts = set(map(id, bodies)), {tensor for graph in bodies for tensor in graph.inputs}
    for tensor in reads(node):
        if not tensor.name or isinstance(tensor, Constant) or tensor in starts:
            continue
        if not tensor.inputs or id(tensor.inputs[0].graph) not in inner:
            yield tensor


def _leaves(tensor: Tensor, inside: set[Node], outputs: set[Tensor]) -> bool:
    """Whether something outside a piece reads what is made in it, or nothing at all."""
    return not tensor.outputs or tensor in outputs or any(node not in inside for node in tensor.outputs)


def _fixed(model: Model) -> set[Tensor]:
    """What is the same for all inputs."""
    found: set[Tensor] = set()
    for node in model.graph.nodes:
        free = all(isinstance(tensor, Constant) or tensor in found or not tensor.name for tensor in reads(node))
        if free and not subgraphs(node) and not draws(node):
            found.update(node.outputs)
    return found


def hoisted(case: Case, holder: Node) -> Iterator[Case]:
    """The case of each body of a node alone: what it takes from around it is recorded, its own inputs are made."""
    recorded = record(case.model, case.samples or ())
    for body in subgraphs(holder):
        copier = Copier()
        taken = dict.fromkeys(
            tensor for inner in body.nodes for tensor in _outer(inner) if tensor.inputs or tensor.name
        )
        made = {t for inner in body.nodes for t in inner.outputs} | set(body.inputs)
        outer = [tensor for tensor in taken if tensor not in made]
        for tensor in outer:
            copier.tensors[tensor] = copier.variable(tensor)
        frame = case.model.graph
        graph = Graph(name=body.name or "body", opset=frame.opset, ir_version=frame.ir_version)
        model = Model(graph, case.model.header)
        take_functions(model, case.model)
        graph.inputs = [copier.tensors[tensor] for tensor in outer] + copier.values(body.inputs)
        graph.nodes += [copier.node(node) for node in body.nodes]
        graph.outputs = copier.values(tensor for tensor in body.outputs if tensor.inputs)
        drop_uncalled(model)
        for number, values in enumerate(recorded or [{}]):
            known = {t.name: values[t.name] for t in outer if t.name in values}
            samples = make_inputs(model, seed=number, given=Given(values=known))
            yield replace(case, model=model, samples=[samples])
