"""Rewrite rules: a pattern, a replacement, and when the one may take the place of the other.

Rule(lambda x: 0.5 * x * (1 + op.Erf(x / math.sqrt(2))), lambda x: op.Gelu(x))
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Node
from regraft.pipelines.pass_base import label
from regraft.refusal import Refusal, as_refusal
from regraft.rewriting.facts import Case
from regraft.rewriting.matcher import Matcher, Miss
from regraft.rewriting.pattern import Pattern, ends_in
from regraft.rewriting.rule_check import check, check_given, needed
from regraft.rewriting.term import Term, parameters, term, trace


@dataclass(frozen=True, eq=False)
class Rule:
    """A rewrite: what `pattern` finds becomes what `replacement` gives.

    Args:
        pattern: a function over symbolic values; its parameters are what the rule binds.
        replacement: another, whose parameters are names bound by the pattern or given by `where`. Constants bound as
            numbers, and attributes, come as Python's; numbers in it become constants of the type of what is replaced.
        where: takes names bound by the pattern, and `out`, the value that is replaced, and `opset`. False, a Refusal
            or a text says that the rule does not apply, and why; a dict gives further names, among them `dtype` for
            numbers.
        name: shown in reports; a pass names those of its rules that have none.
        shared: whether the rule applies where a value inside the pattern is read elsewhere too (and so stays).
        facts: what `where` guarantees of the names, for `regraft prove`: the cases that its matches fall into.

    Raises:
        RuleError: an operator, an attribute or a name that there is none of, or a pattern that cannot be looked for.
    """

    pattern: Callable[..., Term]
    replacement: Callable[..., Term]
    where: Callable[..., bool | Refusal | str | dict[str, Any]] | None = None
    name: str = ""
    shared: bool = False
    facts: Sequence[Case] = ({},)

    def __post_init__(self) -> None:
        check(self.pattern, self.replacement, self.where, {name for case in self.facts for name in case})

    @cached_property
    def compiled(self) -> Pattern:
        """The pattern, ready to be looked for."""
        return Pattern(trace(self.pattern))

    def verdict(self, values: dict[str, Any]) -> dict[str, Any] | Refusal:
        """What `where` says of `values`, those of its parameters that have any: more values, or why not."""
        said = True if self.where is None else self.where(**_only(self._asked, values))
        if isinstance(said, Refusal | str):
            return as_refusal(said)
        if isinstance(said, dict):
            return said
        return {} if said is True else Refusal("the rule's condition does not hold")

    def result(self, values: dict[str, Any]) -> Term:
        """What `replacement` gives for `values`, those of its parameters that have any.

        Raises:
            RuleError: a parameter without a default has none.
        """
        check_given(self.replacement, self._needed, values.keys())
        return term(self.replacement(**_only(self._taken, values)))

    @cached_property
    def _asked(self) -> tuple[str, ...]:
        return parameters(self.where) if self.where is not None else ()

    @cached_property
    def _taken(self) -> tuple[str, ...]:
        return parameters(self.replacement)

    @cached_property
    def _needed(self) -> tuple[str, ...]:
        return tuple(needed(self.replacement))


def _only(names: Iterable[str], values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def named(rules: Iterable[Rule]) -> list[Rule]:
    """The rules, each with a name of its own: one without gets that of its pattern, or of what the pattern ends in."""
    found: list[Rule] = []
    every = list(rules)
    taken = {rule.name for rule in every}
    for rule in every:
        if not rule.name:
            own = getattr(rule.pattern, "__name__", "<lambda>")
            base = ends_in(trace(rule.pattern)) if own == "<lambda>" else own.strip("_")
            name = next(name for name in _numbered(base) if name not in taken)
            taken.add(name)
            rule = replace(rule, name=name)
        found.append(rule)
    return found


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base} {number}" for number in itertools.count(2))


@dataclass
class Match:
    """A rule's match: what its names mean, the nodes, and what the pattern bound itself."""

    values: dict[str, Any]
    nodes: tuple[Node, ...]
    graph: AnyGraph
    bound: dict[str, Any]

    @property
    def root(self) -> Node:
        """The node whose first output is replaced."""
        return self.nodes[0]


def index_of(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """The nodes of each operator."""
    index: dict[str, list[Node]] = {}
    for node in nodes:
        kind = schema.kind(node) if node.domain else node.op
        if kind in index:
            index[kind].append(node)
        else:
            index[kind] = [node]
    return index


def candidates(rule: Rule, index: dict[str, list[Node]], kinds: Set[str]) -> Iterator[Node]:
    """The nodes in which the pattern may end, where the graph has the operators `kinds`."""
    if rule.compiled.needs <= kinds:
        for op in sorted(rule.compiled.roots):
            yield from index.get(op, ())


def first_match(
    rule: Rule, root: Node, graph: AnyGraph, matcher: Matcher, edit: Editor, misses: list[Miss] | None = None
) -> Match | None:
    """The first way in which the rule applies at `root`. With `misses`, what forbids another is kept there."""
    for found in matcher.match(rule.compiled, root):
        nodes = tuple(dict.fromkeys(found.nodes))
        elsewhere = None if rule.shared else _read_elsewhere(nodes, edit)
        refusal = None
        if elsewhere is None:
            values = {**found.values, "out": root.outputs[0], "opset": graph.opset}
            verdict = rule.verdict(values)
            if isinstance(verdict, dict):
                return Match({**values, **verdict}, nodes, graph, found.values)
            refusal = verdict
        stopped = elsewhere or refusal
        if misses is not None and stopped is not None:
            misses.append(Miss(rule.compiled.size, label(root), stopped.reason, refusal))
    return None


def _read_elsewhere(nodes: tuple[Node, ...], edit: Editor) -> Refusal | None:
    """Why the nodes of a match cannot go: somebody else reads them."""
    inside = set(nodes)
    for number, node in enumerate(nodes):
        for place, tensor in enumerate(node.outputs):
            if number == 0 and place == 0:
                continue
            if tensor in edit.graph_outputs:
                return Refusal(f"'{tensor.name}' is an output of the graph too")
            reader = next((r for r in edit.users(tensor) if r not in inside), None)
            if reader is not None:
                return Refusal(f"'{tensor.name}' is read by {reader.op} '{reader.name}' too")
    return None
