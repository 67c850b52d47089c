"""The search for a pipeline that leaves nothing which a profile refuses."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from regraft.errors import RegraftError
from regraft.files.convert import clone
from regraft.inspection.fingerprint import Fingerprints
from regraft.ir.model import Model
from regraft.legality.profile import Profile
from regraft.legality.verdict import Verdict, Violation, judge
from regraft.legalization.candidates import HOST, Candidate, Candidates, Rank
from regraft.legalization.model_pool import Copies, says
from regraft.pipelines.manager import run
from regraft.pipelines.pass_base import EVERY
from regraft.pipelines.pipeline import Pipeline
from regraft.refusal import Refusal

Trouble = tuple[str, str]
"""An operator and the reason why it is not taken; the operator is empty where it is not about one."""


@dataclass(frozen=True)
class Attempt:
    """A pipeline that was tried on a state.

    Attributes:
        did: whether it changed anything.
        notes: what its passes said, or why it failed.
        refusals: what they left as it was, or why it failed.
        instead: operators that the target does not take, and of which there were then more.
    """

    text: str
    did: bool
    notes: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    instead: tuple[str, ...] = ()


def troubles(violations: Iterable[Violation]) -> Counter[Trouble]:
    """How often each is violated, counted in nodes, inputs and outputs."""
    counts: Counter[Trouble] = Counter()
    for one in violations:
        counts[one.operator, one.reason] += max(len(one.nodes) + len(one.values), 1)
    return counts


@dataclass
class State:
    """A model on the way to being legal.

    It is held against the profile when that is first asked for: to judge costs as much as most passes.

    Attributes:
        held: the model; None where another state was made of it.
        passes: those that led here and changed something, as text.
        before: the state that the last of them were run on.
        attempts: what was tried from here.
    """

    held: Model | None
    candidates: Candidates
    passes: tuple[str, ...] = ()
    before: State | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def model(self) -> Model:
        """The model, made anew where it was handed on."""
        if self.held is None:
            assert self.before is not None
            self.held = clone(self.before.model)
            run(self.held, Pipeline(*self.passes[len(self.before.passes) :]))
        return self.held

    def hand_on(self) -> Model:
        """The model, to be edited, once it is judged."""
        model, self.held = self.judge().model, None
        return model

    def judge(self) -> State:
        """Hold the model against the profile as it is now."""
        _ = self.verdict
        return self

    @cached_property
    def verdict(self) -> Verdict:
        """What the target does not take."""
        return judge(self.model, self.candidates.profile)

    @cached_property
    def cost(self) -> int:
        """How far it is from legal, at a guess; 0 where it is."""
        return self.candidates.cost(self.verdict.violations)

    @cached_property
    def troubles(self) -> Counter[Trouble]:
        """What is wrong, and how often."""
        return troubles(self.verdict.violations)

    @property
    def trouble(self) -> Hashable:
        """The same where the same is wrong as often."""
        return tuple(sorted(self.troubles.items()))

    @cached_property
    def graph(self) -> Hashable:
        """The same for the same graphs, whatever the nodes are called."""
        graph = self.model.graph
        ends = [*graph.inputs, *graph.outputs]
        types = tuple((t.name, str(t.dtype), str(t.shape)) for t in ends)
        stated = sum(t.dtype is not None and t.shape is not None for node in self.model.nodes() for t in node.outputs)
        nodes = Counter(Fingerprints(self.model, {t: t.name for t in ends}).forward.values())
        return types, stated, graph.opset, graph.ir_version, frozenset(nodes.items())


class _Step(NamedTuple):
    """What a pipeline makes of a state.

    Attributes:
        child: None where it changes nothing or fails.
        notes, refusals: what it said, and what it refused.
        idle: whether it runs, and changes nothing.
    """

    child: State | None
    notes: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    idle: bool = False


class Search:
    """Best first: the state that is nearest to legal is expanded, by what loses the least.

    No graph is expanded twice, and none with the same trouble as another, but for the one that it was made from: ways
    that differ in what is legal already are one way.

    Args:
        limit: how many pipelines are tried at most.
    """

    def __init__(self, profile: Profile, limit: int):
        self.limit = limit
        self.tried = 0
        self._candidates = Candidates(profile)
        self._copies = Copies()

    def another(self) -> Search:
        """A search for the same target, which has tried nothing yet."""
        made = copy(self)
        made.tried = 0
        return made

    def start(self, model: Model) -> State:
        """The state of `model` as it is."""
        return State(model, self._candidates)

    def run(self, start: State) -> State:
        """The first state with nothing left; else the best there is, with all that was tried on it."""
        if not start.cost:
            return start
        best, seen, serials = start, {start.trouble, start.graph}, itertools.count()
        queue: list[_Entry] = []
        self._push(queue, start, self._plan(start), next(serials))
        while queue and best.cost and self.tried < self.limit:
            _, _, _, serial, candidate, state, rest = heapq.heappop(queue)
            child = self._attempt(state, candidate.text)
            self._push(queue, state, rest, serial)
            if child is None or (candidate.sweeps and child.cost >= state.cost):
                continue
            if child.graph in seen or (child.trouble in seen and child.trouble != state.trouble):
                continue
            seen |= {child.trouble, child.graph}
            best = min(best, child, key=lambda one: one.cost)
            self._push(queue, child, self._plan(child), next(serials))
        return best

    def step(self, state: State, text: str) -> State | None:
        """What `text` makes of `state`; None where it changes nothing, or cannot be run."""
        return self._step(state, text).child

    def step_on(self, state: State, text: str) -> State | None:
        """As `step`; but `state`, which is no longer needed, hands its model on."""
        model = state.hand_on()
        before = says(model)
        step = self._run(state, model, text)
        if step.idle and says(model) == before:
            state.held = model
        return step.child

    def _attempt(self, state: State, text: str) -> State | None:
        """A step, noted among the attempts of `state`."""
        step = self._step(state, text)
        worse = step.child.troubles - state.troubles if step.child is not None else ()
        instead = dict.fromkeys(operator for operator, _ in worse if operator)
        state.attempts.append(Attempt(text, step.child is not None, step.notes, step.refusals, tuple(instead)))
        return step.child

    def _step(self, state: State, text: str) -> _Step:
        model = self._copies.of(state.model)
        step = self._run(state, model, text)
        if step.idle:
            self._copies.give_back(model, state.model)
        return step

    def _run(self, state: State, model: Model, text: str) -> _Step:
        """Run `text` on `model`, a copy of that of `state`."""
        self.tried += 1
        try:
            report = run(model, text)
        except RegraftError as error:
            failed = Refusal(str(error), needs=error.needs)
            return _Step(None, (str(failed),), (failed,))
        notes = tuple(dict.fromkeys(note for one in report.passes for note in one.notes))
        refusals = tuple(dict.fromkeys(refusal for one in report.passes for refusal in one.refusals))
        if not report.changed:
            return _Step(None, notes, refusals, idle=True)
        at_work = tuple(one.text for one in report.passes if one.changed)
        return _Step(State(model, self._candidates, (*state.passes, *at_work), state), notes, refusals)

    def _push(self, queue: list[_Entry], state: State, rest: Iterator[Candidate], serial: int) -> None:
        """Queue what is next to try on `state`, if there is anything."""
        candidate = next(rest, None)
        if candidate is not None:
            heapq.heappush(queue, (state.cost, candidate.rank, len(state.passes), serial, candidate, state, rest))

    def _plan(self, state: State) -> Iterator[Candidate]:
        """What to try on `state`, but what brings back operators that are gone.

        What those need that did nothing comes before work is moved to the host.
        """
        gone = frozenset().union(*(one.removes for one in Pipeline(*state.passes))) - EVERY
        found = [c for c in self._candidates(state.verdict.violations) if gone.isdisjoint(c.unwelcome)]
        yield from (candidate for candidate in found if candidate.rank < HOST)
        idle = [attempt for attempt in state.attempts if not attempt.did]
        refusals = (refusal for one in idle for refusal in one.refusals)
        yield from self._candidates.needed(refusals, {one.text for one in found})
        yield from (candidate for candidate in found if candidate.rank >= HOST)


_Entry = tuple[int, Rank, int, int, Candidate, State, Iterator[Candidate]]
"""What a state costs, the rank of the candidate, how many passes led there, a number; what to try, on what."""
