"""Why a model cannot be made legal: for each thing that is left, what was tried on it, and why that did nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from regraft.legality.verdict import Violation
from regraft.legality.view import View
from regraft.legalization.candidates import SIZES, asks_sizes
from regraft.legalization.search import Attempt, State
from regraft.pipelines.pipeline import Pipeline
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.why import why
from regraft.shapes import Fact

NEAR = 100
"""Near misses that are looked through for one at a node in question."""

NO_SIZES = "no sizes are given; say them with the target, as in 'T{batch=1}'"


@dataclass(frozen=True)
class Stuck:
    """What is left of a violation.

    Attributes:
        tried: pipelines, and why each is of no help.
    """

    violation: Violation
    tried: dict[str, str]


def stuck(state: State, shown: State) -> list[Stuck]:
    """Why each violation of `shown` is left, which is what `state` was without the passes that were of no use.

    Nodes have their names in `shown`; what was tried, was tried on `state`.
    """
    searched = {(one.operator, one.reason): one for one in state.verdict.violations}
    left = shown.verdict.violations
    return [Stuck(one, _tried(searched.get((one.operator, one.reason), one), state)) for one in left]


def without_sizes(state: State) -> list[Stuck]:
    """That shapes must be static, where only sizes can make them so: an output is as large as an input that is open.

    Whatever passes do, that output keeps its shape; only what comes before the device's graph can be moved elsewhere.
    """
    limits = state.candidates.profile.limits.shapes
    asking = {one.mend for one in limits if one.must == "static" and any(map(asks_sizes, one.mend))}
    asks = [one for one in state.verdict.violations if not one.operator and one.mend in asking]
    return [Stuck(one, {SIZES: NO_SIZES}) for one in asks] if asks and _hands_on_sizes(state.verdict.view) else []


def _hands_on_sizes(view: View) -> bool:
    """Whether the shape of an output hangs on the size of an input."""
    graph = view.model.graph
    given, made = (_names(view.facts[one] for one in tensors) for tensors in (graph.inputs, graph.outputs))
    return not given.isdisjoint(made)


def _names(facts: Iterable[Fact]) -> set[str]:
    """What names of sizes the shapes are made of."""
    sizes = [size for fact in facts for size in fact.dims or () if not isinstance(size, int)]
    return {name for size in sizes for term in size.terms for name in term}


def _tried(violation: Violation, state: State) -> dict[str, str]:
    tried = {SIZES: NO_SIZES} if any(map(asks_sizes, violation.mend)) else {}
    for attempt in state.attempts:
        if attempt.text in violation.mend or _is_about(attempt.text, violation.operator):
            tried[attempt.text] = _reason(attempt, violation, state)
    return tried


def _is_about(text: str, operator: str) -> bool:
    return any(operator in one.removes for one in Pipeline(text))


def _reason(attempt: Attempt, violation: Violation, state: State) -> str:
    """Why `attempt` is of no help: what it said of one of the nodes, else of what it looks for, else at all."""
    if attempt.instead:
        return f"it would leave {', '.join(attempt.instead)} instead"
    for node in violation.nodes:
        refusal = next((one for one in attempt.refusals if one.node == node), None)
        if refusal is not None:
            return str(refusal)
    if attempt.notes:
        return attempt.notes[0]
    if attempt.did:
        return "it takes none of these away"
    for one in Pipeline(attempt.text):
        misses = why(state.model, one, NEAR) if isinstance(one, RulePass) else []
        for miss in misses:
            if miss.node in violation.nodes:
                return f"at {miss.where}: {miss.reason}"
    return "finds nothing to change"
