"""Legalization: the pipeline that a target needs is proposed from what it does not take of a model, and run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from regraft.display import Displayed, Table
from regraft.errors import GraphError, PassError
from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.ir.schema import draws
from regraft.legality.verdict import Violation
from regraft.legalization.diagnosis import Stuck, stuck, without_sizes
from regraft.legalization.search import Search, State, Trouble
from regraft.legalization.shorten import shortened
from regraft.pipelines.manager import Verify, run
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.report import PassReport, Report
from regraft.pipelines.source import opened
from regraft.targeting.target import Target, as_target
from regraft.verification.inputs import Given
from regraft.verification.runtime import Runnable
from regraft.wording import count

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


@dataclass(frozen=True, repr=False)
class Legalized(Displayed):
    """What came of it.

    Attributes:
        model: what was made legal, or was left as it was.
        found: what the target did not take at first.
        stuck: what it does not take in the end, and what was tried on that; empty where the model is legal.
        steps: the proposed pipeline, pass by pass.
        tried: how many pipelines were tried in all.
        report: of the run of the pipeline; None where the model is not legal, and was left as it was.
    """

    model: Model
    found: list[Violation]
    stuck: list[Stuck]
    steps: list[Step]
    tried: int
    report: Report | None

    @property
    def pipeline(self) -> str:
        """The proposed pipeline, as text."""
        return ",".join(step.text for step in self.steps)

    @property
    def legal(self) -> bool:
        """Whether the target takes the model now."""
        return not self.stuck

    def display(self) -> Iterator[str | Table]:
        left = f"{count(len(self.stuck), 'violation')} left"
        yield f"the target {'takes the result' if self.legal else f'does not take the model: {left}'}"
        yield f"pipeline: {self.pipeline or 'nothing to do'}"
        yield Table("what the target did not take", [(str(one),) for one in self.found])
        yield Table("what is left", [(str(one.violation), ", ".join(one.tried)) for one in self.stuck], ("", "tried"))
        if self.report:
            yield self.report.verdict


def legalize(
    model: Runnable,
    target: Target | str,
    *,
    limit: int = LIMIT,
    inputs: Mapping[str, npt.ArrayLike] | Given | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Legalized:
    """Make `model` one that `target` takes, by its profile, and only where all of it can be mended.

    The target's sizes are set first; where it has none and needs them, nothing is searched. The result is run, and held
    against the original as the passes promise.

    Args:
        model: a Model, which is changed in place, a `ModelProto`, or a path.
        target: or its text, such as `tvm{batch=1,sequence=128}`.
        limit: how many pipelines a search tries at most; where layers repeat, one with fewer of them goes before.
        inputs, seed, progress: as in `regraft.run`.

    Raises:
        VerificationError: outputs drift further than the contracts of the passes allow.
        PassError: a size that no input has.
    """
    model, target = opened(model), as_target(target)
    search = Search(target.profile, limit)
    first = search.start(model)
    found = first.verdict.violations
    sizes = [str(one) for one in target.passes(model, Pipeline())]
    start = first
    if sizes or model.claims:  # what is run on the copy confirms the claims, once for all states
        copy = clone(model)
        run(copy, sizes)
        start = search.start(copy)
    sized = list(_steps(sizes, [first, start]))
    if missing := without_sizes(start):
        return Legalized(model, found, missing, sized, search.tried, None)

    final = _Final(model, inputs, seed, progress)
    proposed = _proposed_by_fewer_layers(search, start)
    if proposed and (ran := final.run_judged(search, start, [one.text for one in sized], proposed)):
        states, report = ran
        return Legalized(model, found, [], [*sized, *_steps(proposed, states)], search.tried, report)
    best, states = _searched(search, start)
    steps = [*sized, *_steps(states[-1].passes, states)]
    done = final.run([step.text for step in steps]) if not best.cost else None
    return Legalized(model, found, stuck(best, states[-1]), steps, search.tried, done)


@dataclass(frozen=True)
class _Final:
    """The run of the proposed pipeline on `model`; the fields are as in `legalize`."""

    model: Model
    inputs: Mapping[str, Any] | Given | None
    seed: int
    progress: bool

    def run(self, passes: Sequence[str], after: Callable[[PassReport], None] | None = None) -> Report:
        # what gives chance alone, as a training export does, cannot be compared, and is told so
        verify: Verify = "none" if not passes else "auto" if any(map(draws, self.model.nodes())) else "final"
        return run(
            self.model,
            passes,
            verify=verify,
            inputs=self.inputs,
            seed=self.seed,
            progress=self.progress,
            after=after,
        )

    def run_judged(
        self, search: Search, start: State, sizes: Sequence[str], passes: Sequence[str]
    ) -> tuple[list[State], Report] | None:
        """`start`, and the state after each of `passes`.

        None, and the model as it was, where one does nothing or fails, or the last state is not legal.
        """
        before, states = clone(self.model), []

        def see(_: PassReport) -> None:
            states.append(search.start(self.model))
            states[-1].judge()

        try:
            report = self.run([*sizes, *passes], see)
        except (GraphError, PassError):  # the search with all layers comes to it, and goes another way
            report = None
        states = [start, *states[len(sizes) :]]
        if report and not states[-1].cost and all(one.changed for one in report.passes[len(sizes) :]):
            return states, report
        vars(self.model).update(vars(before))
        return None


def _proposed_by_fewer_layers(search: Search, start: State) -> Sequence[str]:
    """The passes that make `start` legal with fewer layers; none where no layer can go, or none are found."""
    few = shortened(start.model) if start.cost else None
    if few is None:
        return ()
    trial = search.another()
    best, states = _searched(trial, trial.start(few))
    search.tried += trial.tried
    return states[-1].passes if not best.cost else ()


def _searched(search: Search, start: State) -> tuple[State, list[State]]:
    """The best state; and those on the way there, without passes that are of no use, and with the clean-up."""
    best = search.run(start)
    states = _without_idle(search, _path(search, best))
    if best.passes and not best.cost:
        states = _cleaned(search, states)
    return best, states


def _path(search: Search, state: State) -> list[State]:
    """The states that led to `state`, and itself: one a pass, though several were run at once."""
    if state.before is None:
        return [state]
    path = _path(search, state.before)
    passes = state.passes[len(state.before.passes) :]
    return [*path, *(_states(search, path[-1], passes) if len(passes) > 1 else [state])]


def _states(search: Search, state: State, passes: Sequence[str]) -> Iterator[State]:
    """What `passes` lead through, one after the other; those that do nothing are left out."""
    step = search.step
    for text in passes:
        after = step(state, text)
        if after is not None:
            yield after
            state, step = after, search.step_on


def _without_idle(search: Search, path: list[State]) -> list[State]:
    """`path` without the passes that the last is as legal without, from the last pass to the first."""
    last, kept = path[-1], len(path)
    for place in range(len(path) - 1, 0, -1):
        after = _after(search, path[place - 1], last.passes[place:])
        if after.cost <= last.cost:
            last, kept = after, place
    return [*path[:kept], *_states(search, path[kept - 1], last.passes[kept - 1 :])]


def _after(search: Search, state: State, passes: Sequence[str]) -> State:
    """What `passes` make of `state`: all at once, which judges no state between; else those that can be run."""
    after = search.step(state, ",".join(passes)) if passes else state
    return after or [state, *_states(search, state, passes)][-1]


def _cleaned(search: Search, path: list[State]) -> list[State]:
    """`path`, and behind it what the clean-up makes of the last."""
    for one in Pipeline(CLEAN_UP):
        after = search.step_on(path[-1], str(one))
        if after is not None and not after.cost:
            path = [*path, after]
    return path


def _steps(passes: Sequence[str], states: Sequence[State]) -> Iterator[Step]:
    for text, before, after in zip(passes, states, states[1:], strict=False):
        was, now = before.troubles, after.troubles
        more = _operators(after) - _operators(before)
        yield Step(text, was - now, now - was, more)


def _operators(state: State) -> Counter[str]:
    return Counter(site.operator for site in state.verdict.view.sites)
