"""What the page draws, as plain values: the nodes of two models in one graph, or those of one model."""

from __future__ import annotations

from typing import Any, cast

from regraft.files.wire import LARGE
from regraft.inspection.census import operator
from regraft.inspection.comparison import Comparison
from regraft.inspection.diff import Diff, type_text
from regraft.inspection.fingerprint import constant_hash
from regraft.inspection.html.facts import facts
from regraft.inspection.html.groups import Group, Names, groups
from regraft.inspection.html.layout import lay_out
from regraft.inspection.html.scopes import ScopeTree, common
from regraft.inspection.html.statistics import Statistics, statistics
from regraft.inspection.html.union import End, Item, links, single, union
from regraft.inspection.listing import attribute_text
from regraft.inspection.scopes import Path, scope_of
from regraft.inspection.weight_changes import pairs_of
from regraft.ir.graph import Constant, Graph, Node, Tensor
from regraft.ir.model import Model
from regraft.pipelines import history
from regraft.pipelines.pass_base import MADE_BY, label
from regraft.wording import count

VERSION = 1

SAME, REMOVED, ADDED, CHANGED = range(4)
NODE, INPUT, OUTPUT, CONSTANT = range(4)
"""Kinds of what is drawn; a Constant node stands at its first reader, not in a layer."""

_LONGEST = 400  # characters of an attribute


class Scene:
    """Two models as one graph, or one model, where `found` is None.

    Args:
        sides: what the models are called.
        limit: bytes of the largest weight that is read for its statistics.
    """

    def __init__(self, models: list[Model], sides: list[str], found: tuple[Comparison, Diff] | None, limit: int):
        self.models, self.sides, self.limit = models, sides, limit
        self.diff = found[1] if found else None
        self.alike: dict[Constant, Constant] = {}
        if found is None:
            pairs, changed = single(models[0]), set()
        else:
            (nodes, differing), diff = found
            pairs, changed = union(models[0], models[1], nodes), {pair.old for pair in differing}
            other = {change.name for change in diff.weights}
            self.alike = {b: a for (a, b), name in pairs_of(nodes).items() if name not in other and b.nbytes >= LARGE}
        self.items: list[tuple[Item, Item]] = []  # where one is missing, twice the other
        self.status: list[int] = []
        for old, new in pairs:
            self.items.append(_filled(old, new))
            status = ADDED if old is None else REMOVED if new is None else CHANGED if old in changed else SAME
            self.status.append(status)
        self.number = {item: i for i, pair in enumerate(self.items) for item in pair}
        self.texts: dict[str, int] = {}
        self.values: dict[tuple[int, str, int, int], int] = {}
        self.weights: dict[object, tuple[int, Statistics]] = {}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; lists in the place of objects where there are many."""
        edges = self._edges()
        kinds = [_kind(first) for first, _ in self.items]
        beside = {start for start, _ in edges if kinds[start] == CONSTANT}
        layout = lay_out(len(kinds), [edge for edge in edges if edge[0] not in beside], beside)
        every = self._groups()
        tree = ScopeTree(self._scopes(every))
        group = {node: i for i, one in enumerate(every) for place in one.places for node in place}
        nodes = [
            [
                self._text(_title(first)),
                *(kinds[i], self.status[i], tree.of[i], group.get(i, -1)),
                *map(round, layout.places[i]),
                *self._details(first, second),
            ]
            for i, (first, second) in enumerate(self.items)
        ]
        return {
            "version": VERSION,
            "sides": self.sides,
            "nodes": nodes,
            "edges": [
                [*ends, mask, [round(n) for point in layout.bends.get(ends, ()) for n in point]]
                for ends, mask in edges.items()
            ],
            "scopes": tree.rows,
            "groups": every,
            "passes": self._passes(),
            "facts": facts(self.diff) if self.diff else [],
            "record": self._record(),
            "values": list(self.values),
            "weights": [figures for _, figures in self.weights.values()],
            "texts": list(self.texts),
        }

    def _edges(self) -> dict[tuple[int, int], int]:
        """The edges, each with the models that have it: 1 the first, 2 the second, 3 both."""
        found: dict[tuple[int, int], int] = {}
        for side, model in enumerate(self.models):
            for start, end in links(model):
                edge = self.number[start], self.number[end]
                found[edge] = found.get(edge, 0) | 1 << side
        return found

    def _groups(self) -> list[Group]:
        if self.diff is None:
            return []
        names: list[dict[str, list[int]]] = [{}, {}, {}, {}]
        for i, (_, item) in enumerate(self.items):  # a changed node is called what the second model calls it
            if isinstance(item, Node):
                names[self.status[i]].setdefault(label(item), []).append(i)
        return groups(self.diff, Names(names[REMOVED], names[ADDED], names[CHANGED]))

    def _scopes(self, kinds: list[Group]) -> list[Path]:
        """The scope of each node; one that has none of its own has that of the nodes it replaced."""
        paths = [scope_of(first) if isinstance(first, Node) else () for first, _ in self.items]
        for place in (place for group in kinds for place in group.places):
            outer = common(paths[i] for i in place if self.status[i] == REMOVED)
            for i in place:
                paths[i] = paths[i] or outer
        return paths

    def _passes(self) -> list[dict[str, Any]]:
        """The passes between the models, in order."""
        return [{"text": one.text, "undone": one.undone} for one in (self.diff.passes if self.diff else ())]

    def _record(self) -> list[Any]:
        """All that was done to the model, as its metadata say: of each pass its changes."""
        longest = max((history.read(model) for model in self.models), key=len)
        return [[entry.text, [[c.rule, c.removed, c.added] for c in entry.changes]] for entry in longest]

    def _details(self, first: Item, second: Item) -> list[Any]:
        """What an item is, and what it is in the second model; 0: the same, of the whole or of a part."""
        before = self._side(first)
        after = before if second is first else self._side(second)
        return [
            before,
            [0 if old == new else new for old, new in zip(before, after, strict=True)] if before != after else 0,
        ]

    def _side(self, item: Item) -> list[Any]:
        """Name, attributes, inputs, outputs, the pass that made it."""
        if isinstance(item, End):
            return [self._name(item.tensor.name), [], [], [self._value(item.tensor)], ""]
        attributes = [
            [self._text(name), _short(value), self._weight(value) if isinstance(value, Constant) else -1]
            for name, value in item.attrs.items()
        ]
        made_by = item.metadata.get(MADE_BY, "") if item.has_metadata else ""
        ends = (list(map(self._value, tensors)) for tensors in (item.inputs, item.outputs))
        return [self._name(label(item)), attributes, *ends, made_by]

    def _value(self, tensor: Tensor) -> int:
        weight = self._weight(tensor) if isinstance(tensor, Constant) else -1
        key = (*self._name(tensor.name), self._text(type_text(tensor) if tensor.name else ""), weight)
        return self.values.setdefault(key, len(self.values))

    def _weight(self, constant: Constant) -> int:
        constant = self.alike.get(constant, constant)
        key: object = constant
        if constant.nbytes < LARGE and constant.is_known:
            key = constant.name, constant_hash(constant)
        if key not in self.weights:
            self.weights[key] = len(self.weights), statistics(constant, self.limit)
        return self.weights[key][0]

    def _name(self, name: str) -> tuple[int, str]:
        """A name as its folder, which many have in common, and the rest."""
        cut = name.rfind("/") + 1
        return self._text(name[:cut]), name[cut:]

    def _text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))


def _filled(old: Item | None, new: Item | None) -> tuple[Item, Item]:
    """A pair, where one that is missing is the other."""
    pair = old if old is not None else new, new if new is not None else old
    return cast(tuple[Item, Item], pair)


def _kind(item: Item) -> int:
    if isinstance(item, End):
        return INPUT if item.kind == "input" else OUTPUT
    return CONSTANT if item.op == "Constant" and not item.domain else NODE


def _title(item: Item) -> str:
    return item.kind if isinstance(item, End) else operator(item)


def _short(value: object) -> str:
    text = (
        f"graph {value.name}, {count(len(value.nodes), 'node')}" if isinstance(value, Graph) else attribute_text(value)
    )
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
