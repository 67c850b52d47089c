"""A model with fewer of the layers that it repeats: what passes do to one of them, they do to all of them.

A layer is a stretch of nodes that the next nodes repeat, one by one: the same operators with the same attributes, whose
inputs come from as far back, or from the same value before all layers. Weights may have other values.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from regraft.files.convert import clone
from regraft.inspection.fingerprint import attribute_hash, constant_hash
from regraft.ir.graph import Constant, Graph, Node, subgraphs, walk
from regraft.ir.model import Model
from regraft.ir.weights import is_float
from regraft.shapes import analyse

LARGE = 1000
"""Nodes from which on it pays to search with fewer."""

KEPT = 3
"""Layers that stay: the first, one between layers, and the last."""

_WINDOW = 8  # nodes in a row that are looked for again
_GUESSES = 3  # lengths of a layer that are tried


def shortened(model: Model) -> Model | None:
    """A copy of `model` with fewer layers, and the same inputs and outputs; None where none can go."""
    if len(model.graph.nodes) < LARGE or (excess := _excess(model)) is None:
        return None
    copy = clone(model)
    while excess is not None:
        _cut(copy.graph, excess)
        excess = _excess(copy)
    return copy


class _Excess(NamedTuple):
    """Layers that can go.

    Attributes:
        start, end: the first of their nodes, and that behind the last, by place.
        read: their values that later nodes read, each by the place of its node, and its place among the outputs.
    """

    start: int
    end: int
    read: list[tuple[int, int]]


def _excess(model: Model) -> _Excess | None:
    """Layers that can go, where there are some."""
    nodes = model.graph.nodes
    kinds = _kinds(nodes)
    place = {node: number for number, node in enumerate(nodes)}
    for length in _lengths(kinds):
        start, end = _repeats(nodes, kinds, place, length)
        spare = (end - start) // length - KEPT
        if spare > 0:
            first, last = start + length, start + length * (1 + spare)
            read = _read_later(model, place, first, last)
            if read is not None and all(number - (last - first) >= start for number, _ in read):
                return _Excess(first, last, read)
    return None


def _read_later(model: Model, place: dict[Node, int], start: int, end: int) -> list[tuple[int, int]] | None:
    """What later nodes read of the values that the nodes from `start` to before `end` make.

    None where that cannot be replaced by what is made `end - start` nodes before: it is an output of a graph, a body
    reads it, or it is of another type.
    """
    nodes, facts = model.graph.nodes, analyse(model)
    outputs = {tensor for graph in walk(model.graph) for tensor in graph.outputs}
    found = []
    for number in range(start, end):
        for i, tensor in enumerate(nodes[number].outputs):
            if tensor in outputs or not all(user in place for user in tensor.outputs):
                return None
            if any(place[user] >= end for user in tensor.outputs):
                before = nodes[number - (end - start)].outputs[i]
                if facts[tensor]._replace(value=None) != facts[before]._replace(value=None):
                    return None
                found.append((number, i))
    return found


def _cut(graph: Graph, excess: _Excess) -> None:
    """Take the layers out, and let later nodes read what a layer before them makes."""
    nodes, length = graph.nodes, excess.end - excess.start
    gone = dict.fromkeys(nodes[excess.start : excess.end])
    for number, i in excess.read:
        old, new = nodes[number].outputs[i], nodes[number - length].outputs[i]
        for user in dict.fromkeys(old.outputs):
            if user not in gone:
                user.inputs = [new if tensor is old else tensor for tensor in user.inputs]
    del graph.nodes[excess.start : excess.end]
    for node in gone:
        node.inputs.clear()
        node.outputs.clear()


def _kinds(nodes: list[Node]) -> list[int]:
    """Of each node what it is, whatever it reads from other nodes."""
    seen: dict[Constant, int] = {}

    def look(constant: Constant) -> int:
        if constant not in seen:
            is_weight = constant.size > 1 and is_float(constant.dtype)  # each layer has its own
            seen[constant] = hash((constant.dtype, *constant.shape)) if is_weight else constant_hash(constant)
        return seen[constant]

    def kind(node: Node) -> int:
        inputs = [look(t) if isinstance(t, Constant) else bool(t.name) for t in node.inputs]
        named = (node.op, node.domain or "", node.overload, len(node.outputs), *inputs)
        if not node.attrs:
            return hash(named)
        if subgraphs(node):
            return id(node)  # is like no other
        attrs = [(n, look(v) if isinstance(v, Constant) else attribute_hash(v)) for n, v in node.attrs.items()]
        return hash((*named, *sorted(attrs)))

    return list(map(kind, nodes))


def _lengths(kinds: list[int]) -> list[int]:
    """How long a layer may be: how far from each other the same nodes in a row are found most often."""
    seen: dict[int, int] = {}
    gaps: Counter[int] = Counter()
    for number in range(len(kinds) - _WINDOW + 1):
        window = hash(tuple(kinds[number : number + _WINDOW]))
        if window in seen:
            gaps[number - seen[window]] += 1
        seen[window] = number
    return [gap for gap, _ in gaps.most_common(_GUESSES)]


def _repeats(nodes: list[Node], kinds: list[int], place: dict[Node, int], length: int) -> tuple[int, int]:
    """The longest stretch of nodes of which each is like that `length` before it, but for the first `length`."""
    best, start = (0, 0), 0
    for number in range(len(nodes) - length + 1):
        later = number + length
        if later < len(nodes) and kinds[number] == kinds[later] and _is_read_alike(nodes[number], nodes[later], place):
            continue
        best = max(best, (start, later), key=lambda one: one[1] - one[0])
        start = number + 1
    return best


def _is_read_alike(one: Node, later: Node, place: dict[Node, int]) -> bool:
    """Whether two nodes of a kind read from as far before them, or the same."""
    length = place[later] - place[one]
    for a, b in zip(one.inputs, later.inputs, strict=True):
        if a is b or isinstance(a, Constant) or not a.name:
            continue
        if not a.inputs or not b.inputs:
            return False
        made, again = a.inputs[0], b.inputs[0]
        if place[again] - place[made] != length or again.outputs.index(b) != made.outputs.index(a):
            return False
    return True
