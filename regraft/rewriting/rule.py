"""Rewrite rules: a pattern, a replacement, and when the one may take the place of the other.

    Rule(lambda x: 0.5 * x * (1 + op.Erf(x / math.sqrt(2))), lambda x: op.Gelu(x))

A pass that is a list of rules derives from `RulePass`. `why` tells where its rules nearly matched, and what stopped
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from regraft import shapes
from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Node, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.ir.surgery import Editor
from regraft.pipelines.pass_ import Context, Pass, label
from regraft.rewriting import composite
from regraft.rewriting.build import Builder
from regraft.rewriting.matcher import Matcher, Miss
from regraft.rewriting.pattern import Pattern
from regraft.rewriting.term import Given, Term, call, trace


@dataclass(frozen=True, eq=False)
class Rule:
    """A rewrite: what `pattern` finds becomes what `replacement` gives.

    Args:
        pattern: a function over symbolic values; its parameters are what the rule binds.
        replacement: another, whose parameters are names bound by the pattern or given by `where`. Constants bound as
            numbers, and attributes, come as Python's; numbers in it become constants of the type of what is replaced.
        where: takes names bound by the pattern, and `out`, the value that is replaced, and `opset`. False or a text
            says that the rule does not apply, and why; a dict gives further names, among them `dtype` for numbers.
        name: shown in reports.
        shared: whether the rule applies where a value inside the pattern is read elsewhere too (and so stays).
    """

    pattern: Callable[..., Term]
    replacement: Callable[..., Term]
    where: Callable[..., bool | str | dict[str, Any]] | None = None
    name: str = ""
    shared: bool = False

    @cached_property
    def compiled(self) -> Pattern:
        """The pattern, ready to be looked for."""
        return Pattern(trace(self.pattern))


class RulePass(Pass):
    """A pass that applies the rules of `rules()`, each over the whole graph, in their order."""

    def rules(self) -> Sequence[Rule]:
        """The rules; the largest pattern first where several can match at one place."""
        raise NotImplementedError(f"pass '{self.name}' has no rules")

    def run(self, model: Model, context: Context) -> None:
        rules = self.rules()
        needed = [rule for rule in rules if rule.compiled.needs <= {schema.kind(node) for node in model.nodes()}]
        if not needed:
            return
        _ensure_types(model)
        with Editor(model) as edit:
            for graph in _rewritten(model):
                for rule, found in _matches(needed, graph, edit):
                    _apply(rule, found, edit, context)


@dataclass
class NearMiss:
    """A place where a rule came near.

    Attributes:
        node: the node at which the pattern would have ended.
        rule: the rule's name.
        matched, total: how many of the pattern's operators were found.
        where: the node or value that did not fit.
        reason: why it did not.
    """

    node: str
    rule: str
    matched: int
    total: int
    where: str
    reason: str


def why(model: Model, rule_pass: Pass, limit: int = 10) -> list[NearMiss]:
    """The nearest misses of a pass's rules in `model`, the nearest first; places that match are not among them.

    Raises:
        PassError: the pass is not made of rules.
    """
    if not isinstance(rule_pass, RulePass):
        raise PassError(f"{rule_pass.name} is not made of rules: it has no near misses to show")
    model = clone(model)
    _ensure_types(model)
    nearest: dict[Node, NearMiss] = {}
    edit = Editor(model)
    for graph in _rewritten(model):
        index = _index(graph)
        matched: set[Node] = set()
        for rule in rule_pass.rules():
            for root in _candidates(rule, index):
                misses: list[Miss] = []
                finder = Matcher(graph, misses)
                found = _first(rule, root, graph, finder, edit)
                if found is not None:
                    matched.add(root)
                elif misses:
                    best = max(reversed(misses), key=lambda miss: miss.matched)
                    total = rule.compiled.size
                    near = NearMiss(label(root), rule.name, min(best.matched, total), total, best.node, best.reason)
                    if root not in nearest or near.matched > nearest[root].matched:
                        nearest[root] = near
        for root in matched:
            nearest.pop(root, None)
    ranked = sorted(nearest.values(), key=lambda near: (-near.matched / near.total, near.node))
    return [near for near in ranked if near.matched > 1][:limit]


# ---------------------------------------------------------------------------------------------------- matching


def _matches(rules: Sequence[Rule], graph: AnyGraph, edit: Editor) -> Iterator[tuple[Rule, Match]]:
    index = _index(graph)
    for rule in rules:
        matcher = Matcher(graph)
        for root in _candidates(rule, index):
            found = _first(rule, root, graph, matcher, edit) if root not in edit.dead else None
            if found is not None:
                yield rule, found


@dataclass
class Match:
    """A rule's match: what its names mean, and the nodes."""

    values: dict[str, Any]
    nodes: tuple[Node, ...]
    graph: AnyGraph

    @property
    def root(self) -> Node:
        """The node whose first output is replaced."""
        return self.nodes[0]


def _rewritten(model: Model) -> list[AnyGraph]:
    """All graphs but the functions that stand for operators: what they hold is what they are called."""
    ours = [graph for f in model.functions if f.domain == schema.STAND_IN for graph in walk(f)]
    return [graph for graph in model.graphs() if graph not in ours]


def _ensure_types(model: Model) -> None:
    nodes = (node for graph in walk(model.graph) for node in graph.nodes)
    if any(t.dtype is None or t.shape is None for node in nodes for t in node.outputs if t.name):
        shapes.infer(model)


def _index(graph: AnyGraph) -> dict[str, list[Node]]:
    index: dict[str, list[Node]] = {}
    for node in graph.nodes:
        index.setdefault(schema.kind(node), []).append(node)
    return index


def _candidates(rule: Rule, index: dict[str, list[Node]]) -> Iterator[Node]:
    if rule.compiled.needs <= index.keys():
        for op in sorted(rule.compiled.roots):
            yield from index.get(op, ())


def _first(rule: Rule, root: Node, graph: AnyGraph, matcher: Matcher, edit: Editor) -> Match | None:
    """The first way in which the rule applies at `root`."""
    for found in matcher.match(rule.compiled, root):
        nodes = tuple(dict.fromkeys(found.nodes))
        reason = None if rule.shared else _read_elsewhere(nodes, edit)
        if reason is None:
            values = {**found.values, "out": root.outputs[0], "opset": graph.opset}
            verdict = call(rule.where, values) if rule.where is not None else True
            if verdict is True:
                verdict = {}
            if isinstance(verdict, dict):
                return Match({**values, **verdict}, nodes, graph)
            reason = verdict if isinstance(verdict, str) else "the rule's condition does not hold"
        if matcher.misses is not None:
            matcher.misses.append(Miss(rule.compiled.size, label(root), reason))
    return None


def _read_elsewhere(nodes: tuple[Node, ...], edit: Editor) -> str | None:
    """Why the nodes of a match cannot go: somebody else reads them."""
    inside = set(nodes)
    for number, node in enumerate(nodes):
        for place, tensor in enumerate(node.outputs):
            if number == 0 and place == 0:
                continue
            if tensor in edit.ends:
                return f"'{tensor.name}' is an output of the graph too"
            reader = next((r for r in edit.readers(tensor) if r not in inside), None)
            if reader is not None:
                return f"'{tensor.name}' is read by {reader.op} '{reader.name}' too"
    return None


# ---------------------------------------------------------------------------------------------------- rewriting


def _apply(rule: Rule, match: Match, edit: Editor, context: Context) -> None:
    root, added = match.root, []
    out: Tensor = root.outputs[0]
    dtype = match.values.get("dtype") or out.dtype or _float_among(match.nodes)
    dtype = None if dtype is None else np.dtype(dtype)

    def emit(op: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        if domain is None and schema.find(op, match.graph.opset) is None:
            op, attrs = composite.provide(edit.model, op, attrs, dtype)
            domain = schema.STAND_IN
        node = edit.insert(root, op, inputs, attrs, domain=domain)
        added.append(node)
        made: Tensor = node.outputs[0]
        made.dtype = dtype
        return made

    def store(values: Any, hint: str) -> Tensor:
        if np.ndim(values) == 0:
            return edit.scalar(float(values), values.dtype, match.graph)
        return edit.constant(values, hint)

    values = {name: Given(value) if isinstance(value, Tensor) else value for name, value in match.values.items()}
    result = Builder(emit, store, match.graph.opset, dtype)(call(rule.replacement, values))
    if isinstance(result, Variable) and result.inputs and result.inputs[0] in added:
        result.shape, result.dtype = out.shape, out.dtype
    edit.replace(out, result)
    edit.remove(root)
    removed = [root, *edit.remove_unread(match.nodes[1:])]
    context.replaced(removed, added, rule.name)


def _float_among(nodes: Sequence[Node]) -> Any:
    """The float type that a match computes in, where its result does not tell: in a function, say."""
    for node in nodes:
        for tensor in node.inputs:
            if tensor.dtype is not None and helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)) in _FLOATS:
                return tensor.dtype
    return None


_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
