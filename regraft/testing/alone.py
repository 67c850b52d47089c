"""One rule of a pass, by itself."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.ir.graph import AnyGraph
from regraft.ir.model import Model
from regraft.rewriting.matcher import Matcher, Miss
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.verification.contract import Contract


class Alone(RulePass):
    """One rule, as its pass applies it."""

    name = "alone"

    def __init__(self, rule: Rule, owner: RulePass):
        super().__init__()
        self._rule, self._owner = rule, owner

    @property
    def contract(self) -> Contract:
        return self._owner.contract

    def __str__(self) -> str:
        return str(self._owner)

    def prepare(self, model: Model) -> None:
        self._owner.prepare(model)

    def rules(self) -> Sequence[Rule]:
        return [self._rule]

    def matcher(self, graph: AnyGraph, misses: list[Miss] | None) -> Matcher:
        return self._owner.matcher(graph, misses)
