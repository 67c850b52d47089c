"""The difference between two states of a model, in parts that can be taken one by one.

A value of one name and one type in both states is the same value, made otherwise. Around what is other lie values that
both have: a region is what must be exchanged at once, so that every state between the two is a valid model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from regraft.errors import GraphError
from regraft.inspection.fingerprint import attribute_hash
from regraft.ir import schema
from regraft.ir.clone import Copier, clone
from regraft.ir.graph import AnyGraph, Constant, Graph, Node, Tensor, subgraphs
from regraft.ir.groups import Groups
from regraft.ir.model import Model
from regraft.ir.order import reads, sort
from regraft.ir.weights import Array, Value


class Indivisible(GraphError):
    """Two states of a model whose difference is more than one of nodes of the main graph."""


@dataclass
class Region:
    """Nodes of the model before, and those that stand in their place after."""

    before: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)


class Difference:
    """What became of `before`.

    Attributes:
        regions: in the order of the nodes before.

    Raises:
        Indivisible: inputs, outputs, functions or the opset are other, too.
    """

    def __init__(self, before: Model, after: Model):
        self.before, self.after = before, after
        _see_frame(before, after)
        self.shared = Shared(before, after)
        self.regions = self._find()

    def applied(self, regions: Iterable[Region]) -> Model:
        """A copy of the model before, with `regions` as they are after.

        Raises:
            Indivisible: the regions lie around each other.
        """
        made, copier = clone(self.before), Copier()
        chosen = list(regions)
        theirs = {node for region in chosen for node in region.after}
        gone = {node for region in chosen for node in region.before}
        graph = made.graph
        nodes = [copier.node(node) for node in self.before.graph.nodes if node not in gone]
        self._share(copier)
        nodes += [copier.node(node) for node in self.after.graph.nodes if node in theirs]
        graph.nodes[:] = nodes
        take_functions(made, self.after)
        graph.inputs = copier.values(self.before.graph.inputs)
        graph.outputs = copier.values(self.before.graph.outputs)
        _name_apart(graph)
        try:
            sort(graph)
        except GraphError as error:
            raise Indivisible(f"regions lie around each other: {error}") from error
        return made

    def _share(self, copier: Copier) -> None:
        """Let values that both models have be one."""
        for old, new in self.shared.pairs.values():
            copier.tensors[new] = copier.values([old])[0]

    def _see_functions(self) -> None:
        known = {one.unique_id: one for one in self.before.functions}
        for function in self.after.functions:
            old = known.get(function.unique_id)
            if old is not None and self.shared.sign_body(old, 0) != self.shared.sign_body(function, 1):
                raise Indivisible(f"function '{function.name}' is other")

    def _find(self) -> list[Region]:
        sides = [self.before.graph.nodes, self.after.graph.nodes]
        self._see_functions()
        signed = [[self.shared.sign(node, side) for node in nodes] for side, nodes in enumerate(sides)]
        common = set(signed[0]).intersection(signed[1])
        groups = Groups()
        for side, nodes in enumerate(sides):
            for node, sign in zip(nodes, signed[side], strict=True):
                if sign not in common:
                    groups.join(node, *self.shared.bonds(node, side))
        found: dict[Any, Region] = {}
        for side, nodes in enumerate(sides):
            for node, sign in zip(nodes, signed[side], strict=True):
                if sign not in common:
                    region = found.setdefault(groups.root(node), Region())
                    (region.after if side else region.before).append(node)
        return list(found.values())


class Shared:
    """Which values of two models are the same, and what they are called in signatures."""

    def __init__(self, before: Model, after: Model):
        sides = [_made(model.graph) for model in (before, after)]
        self._roots = before.graph, after.graph
        self.pairs = {
            name: (old, sides[1][name])
            for name, old in sides[0].items()
            if name in sides[1] and _same_type(old, sides[1][name])
        }
        self._digests: dict[int, tuple[Array | Value, bytes]] = {}  # with what they are of, so that it stays
        self._former: dict[str, str] = {}
        self._pair_renamed()

    def _pair_renamed(self) -> None:
        """Pair values of other names, where a node that both models have reads the one and then the other."""
        makers = {node.outputs[0].name: node for node in self._roots[0].nodes if node.outputs}
        found: dict[str, tuple[Tensor, Tensor] | None] = {}
        for node in self._roots[1].nodes:
            other = makers.get(node.outputs[0].name) if node.outputs else None
            if other is None or other.op != node.op or len(other.inputs) != len(node.inputs):
                continue
            for old, new in zip(other.inputs, node.inputs, strict=True):
                if self._is_own(old, 0) and self._is_own(new, 1) and _same_type(old, new):
                    found[old.name] = (old, new) if found.get(old.name, (old, new)) == (old, new) else None
        for pair in found.values():
            if pair is not None and pair[1].name not in self._former:
                self._former[pair[1].name] = pair[0].name
                self.pairs[pair[0].name] = pair

    def sign(self, node: Node, side: int) -> tuple[Any, ...]:
        """What a node does with what; equal where two nodes are the same."""
        attributes = [(name, self._attribute(node.attrs[name])) for name in sorted(node.attrs)]
        inner = [self.sign_body(body, side) for body in subgraphs(node)]
        values = [[self._key(tensor, side) for tensor in links] for links in (node.inputs, node.outputs)]
        return (node.op, node.domain or "", node.overload or "", *attributes, *inner, *map(tuple, values))

    def sign_body(self, body: AnyGraph, side: int) -> tuple[Any, ...]:
        """What a graph does, of names inside it as they are."""
        nodes = tuple(self.sign(node, side) for node in body.nodes if node.op != "Constant")
        ends = [tuple(self._key(tensor, side) for tensor in links) for links in (body.inputs, body.outputs)]
        return nodes, *ends

    def bonds(self, node: Node, side: int) -> Iterator[Any]:
        """What a changed node shares with others that must change with it."""
        for tensor in node.outputs:
            if tensor.name:
                yield self._key(tensor, side)
        for tensor in reads(node):
            if self._is_own(tensor, side):
                yield side, tensor.name

    def _is_own(self, tensor: Tensor, side: int) -> bool:
        """Whether a node of the main graph makes what the other model does not have."""
        is_made = bool(tensor.name and tensor.inputs) and tensor.inputs[0].graph is self._roots[side]
        return is_made and self._name(tensor, side) not in self.pairs

    def _name(self, tensor: Tensor, side: int) -> str:
        """What a value is called before."""
        return self._former.get(tensor.name, tensor.name) if side else tensor.name

    def _key(self, tensor: Tensor, side: int) -> Any:
        if isinstance(tensor, Constant) and not tensor.inputs:
            return self._digest(tensor.lazy)
        if tensor.inputs and tensor.inputs[0].graph is not self._roots[side]:  # some write what a body holds as nodes
            held = schema.constant_of(tensor)
            if held is not None:
                return self._digest(held)
        return (side, tensor.name) if self._is_own(tensor, side) else self._name(tensor, side)

    def _attribute(self, value: Any) -> Any:
        return self._digest(value.lazy) if isinstance(value, Constant) else attribute_hash(value)

    def _digest(self, held: Array | Value) -> bytes:
        if id(held) not in self._digests:
            values = held if isinstance(held, np.ndarray) else held.load()
            content = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()
            told = hashlib.blake2b(content + f"{values.dtype}{values.shape}".encode(), digest_size=16).digest()
            self._digests[id(held)] = held, told
        return self._digests[id(held)][1]


def take_functions(model: Model, other: Model) -> None:
    """Let `model` know the functions and the domains of `other`, too."""
    known = {one.unique_id for one in model.functions}
    model.functions.extend(Copier().function(one) for one in other.functions if one.unique_id not in known)
    domains = {entry.domain: entry for one in (other, model) for entry in one.graph.import_domains or ()}
    model.graph.import_domains = [*domains.values()]


def _made(graph: AnyGraph) -> dict[str, Tensor]:
    """What is known as the model runs, by name."""
    made = [tensor for node in graph.nodes for tensor in node.outputs]
    return {tensor.name: tensor for tensor in (*graph.inputs, *made) if tensor.name}


def _same_type(old: Tensor, new: Tensor) -> bool:
    """Whether two values of one name may stand for each other, as far as their types are known."""
    if old.dtype is not None and new.dtype is not None and old.dtype != new.dtype:
        return False
    if old.shape is None or new.shape is None:
        return True
    pairs = zip(old.shape, new.shape, strict=False)
    return len(old.shape) == len(new.shape) and all(a == b for a, b in pairs if {type(a), type(b)} == {int})


def _see_frame(before: Model, after: Model) -> None:
    """Raise Indivisible where more than nodes is other."""
    for what, side in (("inputs", lambda graph: graph.inputs), ("outputs", lambda graph: graph.outputs)):
        old, new = side(before.graph), side(after.graph)
        names = [tensor.name for tensor in old] == [tensor.name for tensor in new]
        if not names or not all(map(_same_type, old, new)):
            raise Indivisible(f"the {what} are other")
    if before.opset != after.opset:
        raise Indivisible("the opset is other")
    if (before.host is None) != (after.host is None):
        raise Indivisible("work moved to the host")


def _name_apart(graph: Graph) -> None:
    """Give values of one name other names."""
    taken: dict[str, Tensor] = {}
    for tensor in dict.fromkeys(t for node in graph.nodes for t in (*node.outputs, *node.inputs)):
        name, number = tensor.name, 1
        while name and taken.setdefault(name, tensor) is not tensor:
            name, number = f"{tensor.name}_{number}", number + 1
        if tensor.name != name:
            tensor.name = name
