"""Legalization: the pipeline that a target needs is proposed from what it does not take of a model, and run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.legality.verdict import Violation
from regraft.legalization.search import Search, State, Trouble
from regraft.legalization.stuck import Stuck, stuck
from regraft.pipelines.manager import run
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.report import Report
from regraft.targeting.target import Target
from regraft.verification.inputs import Given

LIMIT = 100
"""Pipelines that are tried at most."""

CLEAN_UP = "eliminate-identity,eliminate-common-subexpressions,deduplicate-initializers,eliminate-dead-code"
"""What ends a proposed pipeline, as far as it changes anything and the target still takes the result."""


@dataclass(frozen=True)
class Step:
    """What a pass of the proposed pipeline did.

    Attributes:
        removed, made: what the target does not take, and how many of it there are less, or more.
        introduced: operators of which there are more.
    """

    text: str
    removed: Counter[Trouble]
    made: Counter[Trouble]
    introduced: Counter[str]


@dataclass(frozen=True)
class Legalized:
    """What came of it.

    Attributes:
        found: what the target did not take at first.
        stuck: what it does not take in the end, and what was tried on that; empty where the model is legal.
        steps: the proposed pipeline, pass by pass.
        tried: how many pipelines were tried in all.
        report: of the run of the pipeline; None where the model is not legal, and was left as it was.
    """

    found: list[Violation]
    stuck: list[Stuck]
    steps: list[Step]
    tried: int
    report: Report | None

    @property
    def pipeline(self) -> str:
        """The proposed pipeline, as text."""
        return ",".join(step.text for step in self.steps)


def legalize(
    model: Model,
    target: Target,
    *,
    limit: int = LIMIT,
    inputs: Mapping[str, Any] | Given | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Legalized:
    """Make `model` one that `target` takes, by its profile; in place, and only where all of it can be mended.

    The target's sizes are set first. The result is run, and held against the original as the passes promise.

    Args:
        limit: how many pipelines are tried at most.
        inputs, seed, progress: as in `regraft.run`.

    Raises:
        VerificationError: outputs drift further than the contracts of the passes allow.
        PassError: a size that no input has.
    """
    search = Search(target.profile, limit)
    first = search.start(model)
    sizes = [str(one) for one in target.passes(model, Pipeline())]
    copy = clone(model)
    if sizes:
        run(copy, sizes)
    states = [search.start(copy)]
    best = search.run(states[0])
    states = _without_idle(search, [states[0], *_states(search, states[0], best.passes)])
    if best.passes and not best.cost:
        states = _cleaned(search, states)
    steps = [*_steps(sizes, [first, states[0]]), *_steps(states[-1].passes, states)]
    report = None
    if not best.cost:
        report = run(model, [step.text for step in steps], verify="final", inputs=inputs, seed=seed, progress=progress)
    return Legalized(first.verdict.violations, stuck(best, states[-1]), steps, search.tried, report)


def _states(search: Search, state: State, passes: Sequence[str]) -> Iterator[State]:
    """What `passes` lead through, one after the other; those that do nothing are left out."""
    for text in passes:
        after = search.step(state, text)
        if after is not None:
            yield after
            state = after


def _without_idle(search: Search, states: list[State]) -> list[State]:
    """`states` without the passes that the last is as legal without, from the last pass to the first."""
    for place in range(len(states) - 1, 0, -1):
        before, passes = states[place - 1], states[-1].passes[place:]
        rest = list(_states(search, before, passes))
        if (rest or [before])[-1].cost <= states[-1].cost:
            states = [*states[:place], *rest]
    return states


def _cleaned(search: Search, states: list[State]) -> list[State]:
    """`states`, and behind them what the clean-up makes of the last."""
    for one in Pipeline(CLEAN_UP):
        after = search.step(states[-1], str(one))
        if after is not None and not after.cost:
            states = [*states, after]
    return states


def _steps(passes: Sequence[str], states: Sequence[State]) -> Iterator[Step]:
    for text, before, after in zip(passes, states, states[1:], strict=False):
        was, now = before.troubles, after.troubles
        more = _operators(after) - _operators(before)
        yield Step(text, was - now, now - was, more)


def _operators(state: State) -> Counter[str]:
    return Counter(site.operator for site in state.verdict.view.sites)
