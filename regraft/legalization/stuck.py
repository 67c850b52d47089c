"""Why a model cannot be made legal: for each thing that is left, what was tried on it, and why that did nothing."""

from __future__ import annotations

from dataclasses import dataclass

from regraft.legality.verdict import Violation
from regraft.legalization.candidates import SIZES, asks_sizes
from regraft.legalization.search import Attempt, State
from regraft.pipelines.pipeline import Pipeline
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.why import why

NEAR = 100
"""Near misses that are looked through for one at a node in question."""


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


def _tried(violation: Violation, state: State) -> dict[str, str]:
    tried = dict.fromkeys(_asking(violation), "no sizes are given; say them with the target, as in 'T{batch=1}'")
    for attempt in state.attempts:
        if attempt.text in violation.mend or _is_about(attempt.text, violation.operator):
            tried[attempt.text] = _reason(attempt, violation, state)
    return tried


def _asking(violation: Violation) -> list[str]:
    return [SIZES for mend in violation.mend if asks_sizes(mend)]


def _is_about(text: str, operator: str) -> bool:
    return any(operator in one.removes for one in Pipeline(text))


def _reason(attempt: Attempt, violation: Violation, state: State) -> str:
    """Why `attempt` is of no help: what it said of one of the nodes, else of what it looks for, else at all."""
    if attempt.instead:
        return f"it would leave {', '.join(attempt.instead)} instead"
    for node in violation.nodes:
        said = next((note for note in attempt.notes if note.startswith(f"kept {node}: ")), None)
        if said is not None:
            return said
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
