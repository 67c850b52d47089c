"""The places where two models differ: whether each value that both have is computed to the same, for all sizes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.proving.approximation import distance
from regraft.proving.equivalence import difference
from regraft.proving.graph_meaning import GraphMeaning
from regraft.proving.narrowing import Narrowing
from regraft.proving.numbering import Numbers, Stored
from regraft.proving.polynomial import Effort
from regraft.proving.prepare import comparable
from regraft.proving.reach import OutOfReach
from regraft.proving.regions import Region, Regions
from regraft.proving.side import Computed, Side, bodies_of
from regraft.proving.stored import StoredNumbers
from regraft.shapes.dims import Dim, Expr, unnamed_in
from regraft.verification.contract import Contract
from regraft.verification.places import Outcome, Place

_PATIENCE = 6
"""Values in a row that are not proved, beyond which the first of them is to blame, and no more is computed from it."""
_EFFORT = 1 << 15
"""Monomials that the proof of a place may make: about a second."""


def prove_models(
    before: Model, after: Model, names: Mapping[str, str] | None = None, *, contract: Contract | None = None
) -> list[Place]:
    """Prove for each value that both models have under one name, and compute in different ways, that it is the same.

    A value that is not proved is taken to be the same in the proofs of what is computed from it: it has to be tested.

    Args:
        names: of renamed inputs and outputs: name before to name after.
        contract: of an approximation: a value may be as far off as it allows.
    """
    return prove_regions(*comparable(before, after, names or {}), contract)[0]


def prove_regions(before: Model, after: Model, contract: Contract | None = None) -> tuple[list[Place], Regions]:
    """The same for models that are `comparable`, with the regions, which are of these very models."""
    numbers = Numbers()
    stored = Stored(numbers, before, after)
    sides = Side(before, numbers, stored), Side(after, numbers, stored)
    comparison = _Comparison(*sides, contract.bound if contract else 0.0)
    places = comparison.run()
    return places, Regions(comparison.regions, lambda tensor: comparison.value.get(comparison.after.of(tensor)))


@dataclass
class _Scope:
    """A graph of the model after, and what was found in it so far.

    Attributes:
        partners: the values of the same graph before, by name.
        places: with the place of the node in the list of nodes, in that order, as what failed.
        failed: values that are not proved, so far by themselves: what is computed from them may make up for it.
        depth: how many such values in a row lead to a value.
        assumed: values that are taken to be the same as before.
    """

    path: str
    partners: Mapping[str, Tensor]
    places: list[tuple[int, Place]] = field(default_factory=list)
    failed: dict[Tensor, tuple[int, Place]] = field(default_factory=dict)
    depth: dict[Tensor, int] = field(default_factory=dict)
    assumed: dict[Tensor, Place] = field(default_factory=dict)

    def blame(self, tensors: Iterable[Tensor]) -> int | None:
        """Take the first of the failed values that lead to `tensors` to be the same: the place to go on from."""
        first: dict[Tensor, None] = {}
        pending, seen = list(tensors), set()
        while pending:
            tensor = pending.pop()
            if tensor in seen or not self.depth.get(tensor):
                continue
            seen.add(tensor)
            if tensor in self.failed and self.depth[tensor] == 1:
                first[tensor] = None
            pending += [one for node in tensor.inputs for one in reads(node)]
        if not first:
            return None
        start = min(self.failed[tensor][0] for tensor in first)
        self.assumed.update((tensor, self.failed[tensor][1]) for tensor in first)
        while self.places and self.places[-1][0] >= start:
            self.places.pop()
        for tensor in reversed(list(self.failed)):
            if self.failed[tensor][0] < start:
                break
            del self.failed[tensor]
        return start


class _Comparison:
    """Walks over the model after, and gives what is proved to be a value of the model before the number of that."""

    def __init__(self, before: Side, after: Side, allowed: float):
        self.before, self.after, self.allowed = before, after, allowed
        self.common: set[int] = set()
        self.names: dict[str, Dim] = {}  # of dimensions of the model after: what the model before calls them
        self.value: dict[int, Tensor] = {}  # of the model before
        self.regions: dict[tuple[str, str], Region] = {}
        self.refused: dict[Tensor, str] = {}  # of the model after: why nothing is said of what is computed from them
        self.narrowing = Narrowing(before, after)

    def run(self) -> list[Place]:
        for stage in self.before.stages:
            self.before.start(stage.graph)
            self.before.walk(stage.graph)
        for tensor, number in self.before.number.items():
            self.value.setdefault(number, tensor)
        partners = {t.name: t for stage in self.before.stages for node in stage.graph.nodes for t in node.outputs}
        old = {tensor.name: tensor for tensor in self.before.stages[-1].graph.outputs}
        found: list[Place] = []
        for stage in self.after.stages:
            self.after.start(stage.graph)
            self._meet(stage.graph.inputs, True)
            ends = [(old[t.name], t) for t in stage.graph.outputs if t.name in old]
            found += self._graph(_Scope("", partners), stage.graph, ends)
        left = {tensor.name for tensor in self.after.stages[-1].graph.outputs}
        found += [Place(name, "", "out of reach", "it is no output any more") for name in old if name not in left]
        return found

    def _graph(self, scope: _Scope, graph: AnyGraph, ends: list[tuple[Tensor, Tensor]]) -> list[Place]:
        """The places in `graph`. `ends`: outputs of the graph before, and those here that should be the same."""
        nodes, at, inner = list(graph.nodes), 0, dict[int, list[Place]]()
        while True:
            while at < len(nodes):
                node = nodes[at]
                again = scope.blame(reads(node)) if next(bodies_of(node), None) else None
                if again is None:
                    inner[at] = self._bodies(scope, node)
                    again = self._node(scope, node, at)
                at = at + 1 if again is None else again
            open_ = [(w, v) for w, v in ends if self.after.of(v) != self.before.of(w)]
            again = scope.blame(v for _, v in open_)
            if again is None:
                break
            at = again
        last = [self._prove(scope.path, w, v) for w, v in open_ if v not in scope.assumed]
        every = sorted([*scope.places, *((at, place) for at, places in inner.items() for place in places)], key=_at)
        return [*(place for _, place in every), *last]

    def _bodies(self, scope: _Scope, node: Node) -> list[Place]:
        found: list[Place] = []
        partner = next((scope.partners[t.name] for t in node.outputs if t.name in scope.partners), None)
        maker = partner.inputs[0] if partner is not None and partner.inputs else None
        old = dict(bodies_of(maker)) if maker is not None and maker.op == node.op else {}
        for name, body in bodies_of(node):
            self.after.enter(node, name, body)
            self._meet(body.inputs, False)
            before = old.get(name)
            partners = {} if before is None else {t.name: t for one in before.nodes for t in one.outputs}
            ends = [] if before is None else list(zip(before.outputs, body.outputs, strict=False))
            inside = _Scope(f"{scope.path}{node.name or node.op}/{name}/", partners)
            found += self._graph(inside, body, ends)
        return found

    def _node(self, scope: _Scope, node: Node, at: int) -> int | None:
        """Number what a node makes, proving what has to be; the place to go on from, where that is not the next."""
        how = self.after.make(node)
        depth = max((scope.depth.get(one, 0) for one in reads(node)), default=0)
        for tensor in node.outputs:
            if tensor.is_empty():
                continue
            scope.depth[tensor] = 0
            partner = scope.partners.get(tensor.name)
            if tensor in scope.assumed and partner is not None:
                scope.places.append((at, scope.assumed[tensor]))
                self.after.number[tensor] = self.before.of(partner)
            elif self._is_same(tensor):
                if partner is not None and self._differs(partner, tensor, how):
                    scope.places.append((at, _trivial(scope.path, partner, tensor)))
                    self._remember(scope.path, partner, tensor, [])
            elif partner is None:
                scope.depth[tensor] = depth
                if problem := self.narrowing.overflow(node, tensor):
                    self.refused.setdefault(tensor, problem)
                continue
            else:
                place = self._prove(scope.path, partner, tensor, depth)
                if place.outcome == "out of reach":
                    scope.depth[tensor] = depth + 1
                    scope.failed[tensor] = at, place
                    if depth >= _PATIENCE and (again := scope.blame([tensor])) is not None:
                        return again
                    continue
                scope.places.append((at, place))
                self.after.number[tensor] = self.before.of(partner)
            self._meet([tensor], not scope.path)
        return None

    def _is_same(self, tensor: Tensor) -> bool:
        """Whether a value has the number of one of the model before, and can hold the same."""
        partner = self.value.get(self.after.of(tensor))
        if partner is None:
            return False
        if problem := self.narrowing.problem(partner, tensor):
            self.refused[tensor] = problem
            self.after.set_apart(tensor)
        return not problem

    def _differs(self, partner: Tensor, tensor: Tensor, how: Computed) -> bool:
        """Whether a value that is the same as before is computed otherwise."""
        return self.after.of(tensor) == self.before.of(partner) and not (
            partner.inputs and self.before.how.get(partner.inputs[0]) == how
        )

    def _meet(self, tensors: Iterable[Tensor], is_main: bool) -> None:
        """Note that both models have these values, and what their axes are called in the model before."""
        for tensor in tensors:
            number = self.after.of(tensor)
            partner = self.value.get(number)
            if partner is None:
                continue
            self.common.add(number)
            if not is_main:
                continue
            old, new = self.before.fact(partner).dims, self.after.fact(tensor).dims
            for a, b in zip(old or (), new or (), strict=False):
                if isinstance(b, Expr) and a != b and unnamed_in(b) == {str(b)}:
                    self.names.setdefault(str(b), a)

    def _prove(self, path: str, before: Tensor, after: Tensor, depth: int = 0) -> Place:
        """Whether a value is the same in both models: as its node does the same of the same, or by what it means.

        Args:
            depth: how many values in a row were not proved: the more, the less is tried.
        """
        start, stored = time.perf_counter(), StoredNumbers()
        with Effort.limited(_EFFORT >> depth):
            found = self._ways(before, after, stored)
        residue = next((one.residue for one in found if one.residue), "")
        bound = self._bound(before, after) if residue and self.allowed else None
        outcome: Outcome = "within" if bound is not None else "out of reach" if residue else "proved"
        if not residue:
            self._remember(path, before, after, found)
        old_way = tuple(node.op for one in found for node in one.before)
        new_way = tuple(node.op for one in found for node in one.after)
        seconds = time.perf_counter() - start
        reason = residue if outcome == "out of reach" else ""
        return Place(after.name, path, outcome, reason, old_way, new_way, seconds, stored.error, bound)

    def _remember(self, path: str, before: Tensor, after: Tensor, found: list[_Compared]) -> None:
        """Keep the region of a value that is proved to be the same."""
        old = frozenset(chain(before.inputs, *(one.before for one in found)))
        new = frozenset(chain(after.inputs, *(one.after for one in found)))
        self.regions[path, after.name] = Region(before, after, old, new)

    def _ways(self, before: Tensor, after: Tensor, stored: StoredNumbers) -> list[_Compared]:
        """What was compared: the operands of two nodes that do the same, or else the values themselves."""
        found = [self._compare(old, new, stored) for old, new in self._operands(before, after)]
        if not found or any(one.residue for one in found):
            found = [self._compare(before, after, stored)]
        return found

    def _bound(self, before: Tensor, after: Tensor) -> float | None:
        """How far two values are apart, where that is allowed; None where it is not known, or more."""
        old, new = self._meanings({self.before.of(before)}, StoredNumbers())
        try:
            old(before), new(after)
            found = distance(old, before, new, after)
        except OutOfReach:
            return None
        return found if found <= self.allowed else None

    def _operands(self, before: Tensor, after: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What differs between the operands of two values that are computed alike; none where they are not."""
        if not before.inputs or not after.inputs:
            return []
        old, new = before.inputs[0], after.inputs[0]
        ways = self.before.how.get(old), self.after.how.get(new)
        if ways[0] is None or ways[1] is None or ways[0].key != ways[1].key:
            return []
        if schema.draws(old) and before.name != after.name:
            return []
        if old.place_of(before) != new.place_of(after) or len(old.inputs) != len(new.inputs):
            return []
        pairs = zip(old.inputs, new.inputs, strict=True)
        return [(a, b) for a, b in pairs if self.before.of(a) != self.after.of(b)]

    def _compare(self, before: Tensor, after: Tensor, stored: StoredNumbers) -> _Compared:
        """Whether two values mean the same over what both models have, or over what that is computed from."""
        left: set[int] = {self.before.of(before)}
        for _ in range(2):
            old, new = self._meanings(left, stored)
            try:
                residue = difference(old(before), new(after), stored)
            except OutOfReach as error:
                residue = str(error)
            ends = (old.ends | new.ends) - left
            if not residue or not ends:
                break
            left |= ends
        return _Compared(tuple(old.nodes), tuple(new.nodes), residue)

    def _meanings(self, left: Collection[int], stored: StoredNumbers) -> tuple[GraphMeaning, GraphMeaning]:
        """The meanings on both sides, over what both models have but for the values with the numbers `left`."""
        old = GraphMeaning(self.before, self.common, left, stored, {}, {})
        return old, GraphMeaning(self.after, self.common, left, stored, self.names, self.refused)


class _Compared(NamedTuple):
    """The nodes that were looked into on each side, and why the two are not the same; empty where they are."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    residue: str


def _trivial(path: str, before: Tensor, after: Tensor) -> Place:
    """A value that is computed as before from what is the same: nothing is left to prove."""
    old, new = (tuple(node.op for node in one.inputs) for one in (before, after))
    return Place(after.name, path, "proved", "", old, new)


def _at(entry: tuple[int, Place]) -> int:
    return entry[0]
