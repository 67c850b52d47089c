"""Why rules did not match: the places where they nearly did, and what stopped them there."""

from __future__ import annotations

from dataclasses import dataclass

from regraft import shapes
from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context, Pass, label
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.matcher import Miss
from regraft.rewriting.rule import Rule, candidates, first_match, index_of
from regraft.rewriting.rule_pass import RulePass, rewritable_graphs


@dataclass
class NearMiss:
    """A place where a rule came near.

    Attributes:
        node: the node at which the pattern would have ended; of a pass that is not made of rules its name.
        rule: the rule's name; empty where there is none.
        matched, total: how many of the pattern's operators were found.
        where: the node or value that did not fit.
        reason: why it did not.
        needs: passes that may help.
    """

    node: str
    rule: str
    matched: int
    total: int
    where: str
    reason: str
    needs: tuple[PassRef, ...] = ()


def why(model: Model, rule_pass: Pass, limit: int = 10) -> list[NearMiss]:
    """The nearest misses of a pass's rules in `model`, the nearest first; what is part of a match is not among them.

    Of a pass that is not made of rules: why it refuses the model, or what it says of it.

    Raises:
        PassError: such a pass neither refuses nor says anything.
    """
    model = clone(model)
    if not isinstance(rule_pass, RulePass):
        return _said(model, rule_pass)
    shapes.confirm(model)
    for need in rule_pass.needs:
        need.arrange(model)
    rule_pass.prepare(model)
    nearest: dict[Node, NearMiss] = {}
    edit = Editor(model)
    for graph in rewritable_graphs(model):
        index = index_of(graph.nodes)
        matched: set[Node] = set()
        for rule, owner in rule_pass.sets():
            for root in candidates(rule, index, index.keys()):
                misses: list[Miss] = []
                finder = owner.matcher(graph, misses)
                found = first_match(rule, root, graph, finder, edit, misses)
                if found is not None:
                    matched.update(found.nodes)
                elif misses:
                    best = max(reversed(misses), key=lambda miss: miss.matched)
                    near = _near(label(root), rule, best)
                    if root not in nearest or near.matched > nearest[root].matched:
                        nearest[root] = near
        for root in matched:
            nearest.pop(root, None)
    ranked = sorted(nearest.values(), key=lambda near: (-near.matched / near.total, near.node))
    return [near for near in ranked if near.matched > 1 or near.matched == near.total][:limit]


def _near(node: str, rule: Rule, best: Miss) -> NearMiss:
    """What the best failed match of `rule` at `node` says."""
    total = rule.compiled.size
    needs = () if best.refusal is None else best.refusal.needs
    return NearMiss(node, rule.name, min(best.matched, total), total, best.node, best.reason, needs)


def _said(model: Model, one: Pass) -> list[NearMiss]:
    """Why a pass refuses `model`, or what it says of it."""
    context = Context(one.name)
    try:
        one.run(model, context)
    except PassError as error:
        return [NearMiss(one.name, "", 0, 0, "", str(error), error.needs)]
    if not context.said:
        raise PassError(
            f"{one.name} is not made of rules, and says nothing of this model: it has no near misses to show"
        )
    return [
        NearMiss(one.name, "", 0, 0, "", str(said), said.needs if isinstance(said, Refusal) else ())
        for said in context.said
    ]
