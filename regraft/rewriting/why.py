"""Why a pass changes nothing, or no more: the places that it refuses or nearly matches, and what stops it there."""

from __future__ import annotations

from dataclasses import dataclass

from regraft import shapes
from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Context, Pass, label
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.matcher import Miss
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.rule import Rule, candidates, first_match, index_of
from regraft.rewriting.rule_pass import RulePass, rewritable_graphs


@dataclass
class NearMiss:
    """A place that a pass leaves as it is.

    Attributes:
        node: the node at which the pattern would have ended, or which is refused; else what the pass says it of, or
            its name.
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


@dataclass
class Explanation:
    """What a pass does in a model, and what it leaves.

    Attributes:
        places: how many places it changes; of rules, those that match as the model is.
        misses: what it leaves: what it refuses first, then what comes nearest to a rule.
        lacking: what the model has not, without which the pass has nothing to do; empty where it is there.
    """

    places: int
    misses: list[NearMiss]
    lacking: str = ""

    def __str__(self) -> str:
        """In a line: where it applies, and why nowhere else if no place comes near."""
        if self.places:
            found = f"applies at {self.places} place{'s' * (self.places > 1)}"
            return found if self.misses else f"{found}; no other comes near"
        if self.misses:
            return "applies nowhere"
        return f"applies nowhere: the model lacks {self.lacking}" if self.lacking else "finds nothing to change"


def why(model: Model, rule_pass: Pass, limit: int = 10) -> list[NearMiss]:
    """What a pass leaves in `model`: what it refuses, and the nearest misses of rules; what is part of a match is not
    among them. Of a pass that is not made of rules: what it refuses and notes, or why it refuses the whole model.
    """
    return explain(model, rule_pass, limit).misses


def explain(model: Model, one: Pass, limit: int = 10) -> Explanation:
    """What `why` says, and where the pass applies. `model` stays as it is."""
    model = clone(model)
    shapes.confirm(model)
    return _of_rules(model, one, limit) if isinstance(one, RulePass) else _said(model, one, limit)


def _of_rules(model: Model, rule_pass: RulePass, limit: int) -> Explanation:
    for need in rule_pass.needs:
        need.arrange(model)
    rule_pass.prepare(model)
    nearest: dict[Node, NearMiss] = {}
    refused: set[Node] = set()
    places: set[Node] = set()
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
                    places.add(root)
                elif misses:
                    best = max(reversed(misses), key=lambda miss: (miss.refusal is not None, miss.matched))
                    near = _near(label(root), rule, best)
                    held = nearest.get(root)
                    if held is None or (root not in refused and (best.refusal or near.matched > held.matched)):
                        nearest[root] = near
                        refused.update([root] if best.refusal else [])
        for root in matched:
            nearest.pop(root, None)
    refusals = [nearest[root] for root in nearest if root in refused]
    others = [near for root, near in nearest.items() if root not in refused]
    close = [one for one in others if one.matched > 1 or one.matched == one.total]
    if not places and not refusals and not close:
        close = others  # one operator of several: all that there is to show
    ranked = sorted(close, key=lambda one: (-one.matched / one.total, one.node))
    return Explanation(len(places), [*refusals, *ranked][:limit], _lacking(rule_pass, model))


def _lacking(rule_pass: RulePass, model: Model) -> str:
    """What every rule lacks in the model, if each lacks something: operators, or one that its pattern ends in."""
    kinds = {schema.kind(node) for node in model.nodes()}
    found: list[frozenset[str]] = []
    for rule, _ in rule_pass.sets():
        lacks = rule.compiled.needs - kinds
        if not lacks and kinds.isdisjoint(rule.compiled.roots):
            lacks = rule.compiled.roots
        found.append(lacks)
    fewest = [one for one in dict.fromkeys(found) if not any(other < one for other in found)]
    return "; ".join(", ".join(sorted(one)) for one in fewest) if all(found) else ""


def _near(node: str, rule: Rule, best: Miss) -> NearMiss:
    """What the best failed match of `rule` at `node` says."""
    total = max(rule.compiled.size, 1)  # of -(-x) nothing is left to count
    needs = () if best.refusal is None else best.refusal.needs
    return NearMiss(node, rule.name, min(best.matched, total), total, best.node, best.reason, needs)


def _said(model: Model, one: Pass, limit: int) -> Explanation:
    """What a pass refuses and notes as it runs on `model`."""
    context = Context(one.name, explains=True)
    has_work = one.has_work(model)
    misses: list[NearMiss] = []
    try:
        one.run(model, context)
    except PassError as error:
        return Explanation(0, [NearMiss(one.name, "", 0, 0, "", str(error), error.needs)])
    for said in context.said:
        if isinstance(said, Refusal):
            reason = f"{said.heading}: {said.reason}" if said.node and said.heading else said.reason
            misses.append(NearMiss(said.node or said.heading or one.name, "", 0, 0, said.node, reason, said.needs))
        else:
            misses.append(NearMiss(one.name, "", 0, 0, "", said))
    starts = f"{', '.join(sorted(one.operators))}" if isinstance(one, NodePass) else "what it looks for"
    return Explanation(len(context.changes) + len(context.effects), misses[:limit], "" if has_work else starts)
