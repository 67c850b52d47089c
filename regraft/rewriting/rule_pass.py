"""Passes that are lists of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from operator import add
from typing import Any, ClassVar

import numpy as np

from regraft.errors import PipelineError
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, Variable, walk
from regraft.ir.model import Model
from regraft.ir.weights import Value, is_float
from regraft.pipelines.grammar import JOIN, write_group
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.rewriting import decomposed
from regraft.rewriting.build import Builder
from regraft.rewriting.effect import introduced, removed
from regraft.rewriting.matcher import Matcher, Miss
from regraft.rewriting.rule import Match, Rule, named
from regraft.rewriting.term import Given
from regraft.rewriting.worklist import Applied, Worklist
from regraft.verification.contract import Contract, exact


class RulePass(Pass):
    """A pass that applies the rules of `rules()` until none applies.

    Each goes over the whole graph, in their order, and all of them again over what an edit may let match.

    What it removes and introduces follows from the rules, unless a replacement must see more than symbols.

    With `notes_refusals` the report says of each place that a rule's condition refused why it stays. With
    `exact_numbers`, as under an exact contract, a number in a pattern matches itself alone, else within a tolerance.
    """

    needs = (TYPES,)
    notes_refusals: ClassVar[bool] = False
    exact_numbers: ClassVar[bool] = False

    def rules(self) -> Sequence[Rule]:
        """The rules; the largest pattern first where several can match at one place."""
        raise NotImplementedError(f"pass '{self.name}' has no rules")

    def prepare(self, model: Model) -> None:
        """Ask for the facts that the conditions of the rules go by."""

    def matcher(self, graph: AnyGraph, misses: list[Miss] | None) -> Matcher:
        """What looks for the rules' patterns in `graph`."""
        return Matcher(graph, misses, self.exact_numbers or self.contract == exact)

    def sets(self) -> Sequence[tuple[Rule, RulePass]]:
        """The rules, each with the pass that it is from."""
        return [(rule, self) for rule in named(self.rules())]

    @cached_property
    def _ready(self) -> Sequence[tuple[Rule, RulePass]]:
        """`sets()`, whose patterns are compiled once."""
        return self.sets()

    def joined(self) -> Sequence[RulePass]:
        """The passes that this one joins."""
        return [self]

    def __add__(self, other: Pass) -> RulePass:
        if not isinstance(other, RulePass):
            raise PipelineError(f"'{other.name}' is not made of rules, and cannot be joined with others")
        return Joined([*self.joined(), *other.joined()])

    @property
    def removes(self) -> frozenset[str]:
        return frozenset().union(*map(removed, self.rules()))

    @property
    def introduces(self) -> frozenset[str]:
        return frozenset().union(*map(introduced, self.rules()))

    def has_work(self, model: Model) -> bool:
        kinds = {schema.kind(node) if node.domain else node.op for node in model.nodes()}
        return any(rule.compiled.needs <= kinds for rule, _ in self._ready)

    def run(self, model: Model, context: Context) -> None:
        self.prepare(model)
        with Editor(model) as edit:
            work = Worklist(self._ready, rewritable_graphs(model), edit)
            work.run(lambda rule, match: _apply(rule, match, edit, context), lambda: context.spent)
        context.rule_uses += work.uses
        for refusal in work.refused():
            context.refuse(refusal)


class Joined(RulePass):
    """Apply the rules of several passes, `join(fuse-layer-norm,fuse-gelu)`, until none of them applies.

    Where two match at a node, that of the pass that comes first is taken. The contract is that of the passes in a row.

    Args:
        passes: made of rules, and of nothing else.

    Raises:
        PipelineError: a pass does more than apply rules.
    """

    name = JOIN

    def __init__(self, passes: Iterable[RulePass]):
        super().__init__()
        self._passes = tuple(passes)
        for one in self._passes:
            if type(one).run is not RulePass.run:
                raise PipelineError(f"'{one.name}' does more than apply rules, and cannot be joined with others")

    @property
    def contract(self) -> Contract:
        return reduce(add, (one.contract for one in self._passes))

    @property
    def removes(self) -> frozenset[str]:
        return frozenset().union(*(one.removes for one in self._passes))

    @property
    def introduces(self) -> frozenset[str]:
        return frozenset().union(*(one.introduces for one in self._passes))

    def reference(self, model: Model) -> Model | None:
        found: Model | None = None
        for one in self._passes:
            found = one.reference(found or model) or found
        return found

    def prepare(self, model: Model) -> None:
        for one in self._passes:
            one.prepare(model)

    def sets(self) -> Sequence[tuple[Rule, RulePass]]:
        return [each for one in self._passes for each in one.sets()]

    def rules(self) -> Sequence[Rule]:
        return [rule for rule, _ in self.sets()]

    def joined(self) -> Sequence[RulePass]:
        return self._passes

    def __str__(self) -> str:
        return write_group(JOIN, {}, map(str, self._passes))


def rewritable_graphs(model: Model) -> list[AnyGraph]:
    """All graphs but the functions that stand for operators: what they hold is what they are called."""
    graphs = list(walk(model.graph))
    for function in model.functions:
        graphs += walk(function) if function.domain != schema.STAND_IN else ()
    return graphs


def _apply(rule: Rule, match: Match, edit: Editor, context: Context) -> Applied:
    root, added = match.root, []
    out: Tensor = root.outputs[0]
    dtype = match.values.get("dtype") or out.dtype or _float_among(match.nodes)
    dtype = None if dtype is None else np.dtype(dtype)

    def emit(op: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        if domain is None and schema.find(op, match.graph.opset) is None:
            op, attrs = decomposed.provide(edit.model, op, attrs, dtype, len(inputs))
            domain = schema.STAND_IN
        node = edit.insert(root, op, inputs, attrs, domain=domain)
        added.append(node)
        made: Tensor = node.outputs[0]
        made.dtype = dtype if domain else schema.output_dtype(node, match.graph.opset)
        return made

    def store(values: Any, hint: str) -> Constant:
        if not isinstance(values, Value) and np.ndim(values) == 0:
            return edit.scalar(values.item(), values.dtype, match.graph)
        return edit.constant(values, hint)

    values = {name: Given(value) if isinstance(value, Tensor) else value for name, value in match.values.items()}
    result = Builder(emit, store, match.graph.opset, dtype)(rule.result(values))
    is_new = bool(result.inputs) and result.inputs[0] in added
    if isinstance(result, Variable) and is_new:
        result.shape, result.dtype = out.shape, out.dtype
    moved = [] if is_new else list(edit.users(out))
    edit.replace(out, result)
    edit.remove(root)
    removed = [root, *edit.remove_unread(match.nodes[1:])]
    context.replaced(removed, added, rule.name)
    return Applied(removed, added, moved)


def _float_among(nodes: Sequence[Node]) -> Any:
    """The float type that a match computes in, where its result does not tell: in a function, say."""
    for node in nodes:
        for tensor in node.inputs:
            dtype = tensor.dtype
            if dtype is None and (value := schema.constant_of(tensor)) is not None:
                dtype = value.dtype
            if dtype is not None and is_float(dtype):
                return dtype
    return None
