"""Rules applied to the graphs of a model until none applies any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

from regraft.errors import PassError
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Node
from regraft.pipelines.pass_base import RuleUse, label
from regraft.refusal import Refusal
from regraft.rewriting.dispatch import Dispatch
from regraft.rewriting.matcher import Matcher, Miss, is_same
from regraft.rewriting.neighbourhood import Neighbourhood
from regraft.rewriting.rule import Match, Rule, candidates, first_match, index_of

_BACK = 16  # how many rewrites back one is looked for that is done again
_ENOUGH, _ENOUGH_EACH = 1000, 20  # rewrites of a graph, and those more that each of its nodes allows


class RuleSet(Protocol):
    """What rules come from: it has what looks for them, and says whether the places that they refuse are kept."""

    notes_refusals: ClassVar[bool]

    def matcher(self, graph: AnyGraph, misses: list[Miss] | None) -> Matcher: ...


class Applied(NamedTuple):
    """What applying a rule did to a graph.

    Attributes:
        moved: the nodes that read an older value now instead of the one replaced.
    """

    removed: list[Node]
    added: list[Node]
    moved: list[Node]


@dataclass
class _Step:
    """A rewrite, and the one before it, which made the node that it replaced."""

    rule: Rule
    bound: dict[str, Any]
    before: _Step | None

    def back(self) -> Iterator[_Step]:
        step: _Step | None = self
        for _ in range(_BACK):
            if step is not None:
                yield step
                step = step.before

    def is_of(self, rule: Rule, bound: dict[str, Any]) -> bool:
        return self.rule is rule and all(is_same(value, bound[name]) for name, value in self.bound.items())


@dataclass
class _Place:
    """A graph, and the nodes of it that are on offer."""

    graph: AnyGraph
    matchers: dict[RuleSet, Matcher]
    dispatch: Dispatch
    offered: dict[Node, None]
    kinds: set[str] = field(default_factory=set)
    misses: list[Miss] = field(default_factory=list)


class Worklist:
    """Offers the nodes of `graphs` to `rules`, and after each edit again those that it may let match.

    Of all nodes on offer the first rule takes its pick, then the second, and so on. A rule does not take what is
    all its own making.

    Args:
        rules: each with the set that it is from.

    Attributes:
        uses: what became of each rule.
    """

    def __init__(self, rules: Sequence[tuple[Rule, RuleSet]], graphs: Iterable[AnyGraph], edit: Editor):
        self.uses = [RuleUse(rule.name) for rule, _ in rules]
        self._rules, self._edit = rules, edit
        alone = [rule for rule, _ in rules]
        self._places: dict[AnyGraph, _Place] = {}
        for graph in graphs:
            matchers = {one: one.matcher(graph, None) for _, one in rules}
            dispatch = Dispatch(alone, next(iter(matchers.values())))
            self._places[graph] = _Place(graph, matchers, dispatch, dict.fromkeys(graph.nodes))
        main = Matcher(next(iter(self._places)))
        self._neighbourhood = Neighbourhood(alone, main.sees_through)
        self._steps: dict[Node, _Step] = {}
        self._gone: set[str] = set()
        self._done = 0
        self._enough = _ENOUGH + _ENOUGH_EACH * sum(len(place.offered) for place in self._places.values())

    def run(self, apply: Callable[[Rule, Match], Applied], spent: Callable[[], bool] = lambda: False) -> None:
        """Let `apply` carry out every rewrite, until none is left or as many as may be are `spent`.

        Raises:
            PassError: the rules undo each other, or have no end.
        """
        while any(place.offered for place in self._places.values()):
            for place in self._places.values():
                while place.offered:
                    self._offer(place, apply, spent)

    def refused(self) -> list[Refusal]:
        """What conditions of rules refused, where nothing was changed later."""
        misses = [miss for place in self._places.values() for miss in place.misses if miss.node not in self._gone]
        return [replace(miss.refusal, node=miss.node) for miss in misses if miss.refusal is not None]

    def _offer(self, place: _Place, apply: Callable[[Rule, Match], Applied], spent: Callable[[], bool]) -> None:
        """One round: each rule at each node on offer."""
        index = index_of(place.offered)
        place.kinds.update(index)
        kinds, place.offered = frozenset(place.kinds), {}
        refused: list[Miss] = []
        for (rule, one), use in zip(self._rules, self.uses, strict=True):
            matcher, misses = place.matchers[one], refused if one.notes_refusals else None
            for root in candidates(rule, index, kinds):
                if spent():
                    place.offered = {}
                    return
                if root in self._edit.dead or rule not in place.dispatch.rules_at(root):
                    continue
                start = time.perf_counter()
                match = first_match(rule, root, place.graph, matcher, self._edit, misses)
                if match is not None and self._is_new(rule, match):
                    self._note(rule, match, apply(rule, match))
                    use.hits += 1
                use.tries += 1
                use.seconds += time.perf_counter() - start
        known = {(miss.node, miss.reason) for miss in place.misses}
        place.misses += [miss for miss in refused if (miss.node, miss.reason) not in known]

    def _is_new(self, rule: Rule, match: Match) -> bool:
        """Whether the match is more than what `rule` made in one rewrite, and is not that rewrite again."""
        last = self._steps.get(match.root)
        if last is None:
            return True
        if last.rule is rule and all(self._steps.get(node) is last for node in match.nodes):
            return False
        passed = [rule]
        for step in last.back():
            if step.is_of(rule, match.bound):
                raise PassError(f"{_names(passed)} undo one another at '{label(match.root)}'")
            passed.append(step.rule)
        return True

    def _note(self, rule: Rule, match: Match, applied: Applied) -> None:
        """Put on offer what the rewrite may let match."""
        self._done += 1
        step = _Step(rule, match.bound, self._steps.get(match.root))
        self._steps.update(dict.fromkeys(applied.added, step))
        self._gone.update(map(label, applied.removed))
        starts = [*applied.added, *applied.moved, *self._neighbourhood.freed(applied.removed, self._edit)]
        for node in self._neighbourhood.below(starts, self._edit):
            place = self._places.get(self._edit.graph_of(node))
            if place is not None:
                place.offered[node] = None
                place.dispatch.forget(node)
        if self._done > self._enough:
            names = _names(one.rule for one in step.back())
            raise PassError(f"{names} come to no end: the last of {self._done} rewrites was at '{label(match.root)}'")


def _names(rules: Iterable[Rule]) -> str:
    names = dict.fromkeys(f"'{rule.name}'" for rule in rules)
    return f"the rule{'s' * (len(names) > 1)} {', '.join(names)}"
