"""Records what a pass did by the edits of the model; what the pass said tells which of them belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from regraft.files.wire import LARGE
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.journal import Journal, Turn
from regraft.ir.model import Model
from regraft.pipelines.pass_base import BESIDE, Change, Context, Derivation, label
from regraft.pipelines.rebuilt import Rebuilt
from regraft.pipelines.unclaimed import regions
from regraft.pipelines.weight_sources import WeightSources


class Recorder:
    """Follows a model from pass to pass."""

    def __init__(self, model: Model):
        self._journal = Journal(model, LARGE)

    @property
    def nodes(self) -> set[Node]:
        """Those of all graphs of the model, after the last pass."""
        return self._journal.nodes

    def record(self, context: Context) -> list[Change]:
        """What the pass with this `context` did, since the last look."""
        turn = self._journal.read()
        return _Account(turn, context).changes() if turn or context.claims else []

    def end(self) -> None:
        """Follow the model no more."""
        self._journal.end()


class _Account:
    """Lays each edit to one change.

    Attributes:
        went, came, edited: what no change accounts for yet.
        moved: so; nodes that are in another graph, or are called otherwise.
        rows: the changes.
        gone: the nodes that changes of which nothing was said removed, by their number.
        home: the change of the nodes that these made.
    """

    def __init__(self, turn: Turn, context: Context):
        self.turn, self.context = turn, context
        self.renamed, self.replaced = turn.edits.renamed, turn.edits.replaced
        self.went, self.came = set(turn.went), set(turn.came)
        self.moved = turn.moved.union(self.relabelled())
        self.edited = turn.edited - self.moved
        self.home: dict[Node, int] = {}
        self.passing: dict[Node, None] = {}  # made by a change, and taken away by a later one
        self.rows: list[Change] = []
        self.gone: dict[int, list[Node]] = {}
        self.settled: set[Tensor] = set()  # values whose new name is told

    def changes(self) -> list[Change]:
        if self.context.claims:
            self.claimed()
        if self.went or self.came:
            self.regions()
        self.rest()
        if self.turn.weights:
            self.weights()
        told = len(self.context.claims)
        return [row for number, row in enumerate(self.rows) if number < told or any(row[1:])]

    def relabelled(self) -> list[Node]:
        """The nodes that are called otherwise now; one without a name is called like what it makes."""
        makers = [value.inputs[0] for value in self.renamed if value.inputs and not value.inputs[0].name]
        there = [node for node in (*self.turn.edits.called, *makers) if self.turn.is_there(node)]
        return [node for node in there if node not in self.turn.came and self.former(node) != label(node)]

    # ------------------------------------------------------------------------------------------------ what was said

    def claimed(self) -> None:
        """What the pass told of, as far as it is true."""
        old = [node for old, _ in self.context.claims for node in old]
        new = [node for _, new in self.context.claims for node in new]
        if not self.is_plain(old, new):
            for change, claim in zip(self.context.changes, self.context.claims, strict=True):
                self.rows.append(self.checked(change, *claim))
            return
        told = self.renamed.keys() | self.replaced.keys()
        odd = {node for node in old for value in node.outputs if value in told} if told else set[Node]()
        odd.update(set(old) - self.turn.went)
        special = {*old, *self.moved, *self.edited}
        for change, (gone, made) in zip(self.context.changes, self.context.claims, strict=True):
            if made or not odd.isdisjoint(gone):
                change = self.told(change, gone, made, special)
            self.rows.append(change)
        self.went.difference_update(old)
        self.came.difference_update(new)

    def told(self, change: Change, old: list[Node], new: list[Node], special: set[Node]) -> Change:
        """What is true of a change, in most cases all; `special` are nodes of which more than that is to be asked."""
        if old == new and self.moved.isdisjoint(old) and self.turn.edited.issuperset(old):
            self.edited.difference_update(old)
            return Change(change.rule, (), (), change.removed)
        if not (self.turn.went.issuperset(old) and special.isdisjoint(new)):
            return self.checked(change, old, new)
        made = change.added
        if not self.turn.came.issuperset(new):
            made = tuple([label(node) for node in new if node in self.turn.came])
        return Change(change.rule, change.removed, made, (), self.values(old))

    def is_plain(self, old: list[Node], new: list[Node]) -> bool:
        """Whether the pass told of no node twice, renamed none, and made none with graphsurgeon, which has no hash."""
        if self.turn.edits.called or not {*map(type, old), *map(type, new)} <= {Node}:
            return False
        made = [node for node in new if node in self.turn.came]
        return len(set(old)) == len(old) and len(set(made)) == len(made)

    def checked(self, change: Change, old: Sequence[Node], new: Sequence[Node]) -> Change:
        """What is true of a change that a pass told of."""
        removed: list[str] = []
        added: list[str] = []
        edited: dict[str, None] = {}
        kept = set(map(id, old)).intersection(map(id, new))
        known = [(node, name) for node, name in zip(old, change.removed, strict=True) if isinstance(node, Node)]
        for node, name in known:
            if node in self.went:
                self.went.remove(node)
                removed.append(self.former(node) if node in self.turn.edits.called else name)
            elif node in self.passing:
                del self.passing[node]
                removed.append(name)
        for node in filter(None, map(self.ours, new)):
            if node in self.came:
                self.came.remove(node)
                added.append(label(node))
            elif self.all_old.get(node, 0) > len(self.rows) and self.is_passing(node):
                self.passing[node] = None
                added.append(label(node))
        stayed = dict.fromkeys([node for node, _ in known] + [node for node in new if isinstance(node, Node)])
        moved = [node for node in stayed if node in self.moved]
        for node in moved:
            self.moved.remove(node)
            removed.append(self.former(node))
            added.append(label(node))
        for node in stayed:
            if node in self.turn.edited or (id(node) in kept and self.has_stayed(node)):
                self.edited.discard(node)
                edited[label(node)] = None
        values = self.values([*(node for node, _ in known), *moved])
        return Change(change.rule, tuple(removed), tuple(added), tuple(edited), values)

    @cached_property
    def all_old(self) -> dict[Node, int]:
        """The nodes that the pass said went, and in which change, the last of several."""
        claims = enumerate(self.context.claims)
        return {node: number for number, (old, _) in claims for node in old if isinstance(node, Node)}

    def ours(self, node: Node) -> Node | None:
        """The node that the model has for one that a pass named: graphsurgeon's were taken over."""
        return node if isinstance(node, Node) else self.named.get(label(node))

    @cached_property
    def named(self) -> dict[str, Node]:
        return {label(node): node for node in self.turn.came}

    def is_passing(self, node: Node) -> bool:
        """Whether the pass made `node` and took it away again."""
        return not (self.turn.is_there(node) or node in self.turn.went or node in self.passing)

    def has_stayed(self, node: Node) -> bool:
        """Whether `node` was there before, and was edited somehow."""
        turn = self.turn
        return node in turn.touched and turn.is_there(node) and node not in turn.came and node not in turn.moved

    # ------------------------------------------------------------------------------------------------ values

    def values(self, nodes: Iterable[Node]) -> tuple[tuple[str, str], ...]:
        """What stands now for what `nodes` made, and what that was called."""
        renamed, replaced = self.renamed, self.replaced
        found: list[tuple[str, str]] = []
        for node in nodes:
            for value in node.outputs:
                if value in replaced or value in renamed:
                    found += self.names(value)
        return tuple(found)

    def names(self, value: Tensor) -> list[tuple[str, str]]:
        """What `value` was called, what stands for it, and what that was called; each with the name that it has now."""
        now, seen = value, {value}
        while (after := self.replaced.get(now)) is not None and after not in seen:
            now = after
            seen.add(now)
        self.settled.add(now)
        was = self.called(value)
        found = [(was, now.name)] if was and was != now.name else []
        if now is not value and now in self.renamed and not self.is_new(now):
            found += [(self.renamed[now], now.name)] if self.renamed[now] != now.name else []
        return found

    def called(self, value: Tensor) -> str:
        """What `value` was called."""
        return self.renamed.get(value, value.name)

    def is_new(self, value: Tensor) -> bool:
        """Whether the pass made `value`."""
        if isinstance(value, Constant):
            return value not in self.turn.before
        if value.inputs:
            return value.inputs[0] in self.turn.came
        return value not in self.ends

    @cached_property
    def ends(self) -> set[Tensor]:
        """The values that no node makes now and that there were: inputs, and what nodes made that went."""
        return {value for graph in self.turn.graphs for value in graph.inputs} | self.lost

    @cached_property
    def lost(self) -> set[Tensor]:
        return {value for node in self.turn.went for value in node.outputs}

    # ------------------------------------------------------------------------------------------------ the rest

    def regions(self) -> None:
        """Nodes that came and went unsaid, those together that stand for each other."""
        rebuilt = Rebuilt(self.turn, self.former)
        for old, new in rebuilt.pairs(self.went, self.came) if self.went and self.came else ():
            self.went.remove(old)
            self.came.remove(new)
            if not rebuilt.is_same(old, new):
                self.edited.add(new)
        for weight in rebuilt.weights() if not self.turn.root else ():
            del self.turn.weights[weight]
        rule = BESIDE if self.context.claims else ""
        for gone, made in regions(self.turn, self.went, self.came):
            removed = tuple(map(self.former, gone))
            if made:
                self.context.mark(gone, removed, made)
            self.rows.append(Change(rule, removed, tuple(map(label, made)), (), self.values(gone)))
            self.gone[len(self.rows) - 1] = gone
            self.home.update(dict.fromkeys(made, len(self.rows) - 1))

    def rest(self) -> None:
        """What became of nodes that stayed, and of values; the last change."""
        moved, edited = sorted(self.moved, key=label), sorted(self.edited, key=label)
        values = list(self.values(moved))
        for value in [v for v in (*self.renamed, *self.replaced) if v not in self.lost and v not in self.settled]:
            if not self.is_new(value):
                values += self.names(value)
        values += [(self.called(constant), "") for constant in self.turn.dropped]
        rule = BESIDE if self.rows else ""
        removed, added = tuple(map(self.former, moved)), tuple(map(label, moved))
        self.rows.append(Change(rule, removed, added, tuple(map(label, edited)), tuple(sorted(set(values)))))

    def weights(self) -> None:
        """Lay each weight to the change whose nodes read it, or whose node it is in place of; else to the last."""
        home, gone = self.home, self.gone
        for number, (old, new) in enumerate(self.context.claims):
            home.update((node, number) for node in (*old, *new) if isinstance(node, Node))
            gone[number] = old
        sources, known = WeightSources(self.turn, self.called), self.turn.edits.known
        found: dict[int, list[Derivation]] = {}
        for weight in sorted(self.turn.weights, key=lambda weight: weight.name):
            near: Iterable[Node] = [known[weight]] if weight in known else weight.outputs
            number = next((home[node] for node in near if node in home), len(self.rows) - 1)
            found.setdefault(number, []).append(Derivation(weight.name, sources.of(weight, gone.get(number, ()))))
        for number, made in found.items():
            self.rows[number] = self.rows[number]._replace(weights=tuple(made))

    def former(self, node: Node) -> str:
        """What `node` was called."""
        if name := self.turn.edits.called.get(node, node.name):
            return name
        made: Sequence[Tensor] = node.outputs or self.computed.get(node, [])
        return next((f"%{name}" for value in made if (name := self.called(value))), node.op)

    @cached_property
    def computed(self) -> dict[Node, list[Tensor]]:
        """What nodes made that became constants."""
        found: dict[Node, list[Tensor]] = {}
        for value, maker in self.turn.edits.known.items():
            found.setdefault(maker, []).append(value)
        return found
