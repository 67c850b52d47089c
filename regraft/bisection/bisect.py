"""Bisect: the pass, the rule and the one match after which a model is wrong.

First over the states between passes, then over the changes of the guilty pass: it runs again with the first few of its
matches only, or, where it cannot be stopped, the first few regions of what it changed are taken over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from regraft.bisection.checks import Case, Check, Fault
from regraft.bisection.finding import Finding
from regraft.bisection.parts import split
from regraft.bisection.regions import Indivisible
from regraft.bisection.search import Search
from regraft.errors import PipelineError, RegraftError, UnknownNameError
from regraft.ir.clone import clone
from regraft.ir.model import Model
from regraft.pipelines import manager
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.report import PassReport
from regraft.refusal import Refusal
from regraft.verification.contract import Contract, exact


@dataclass
class _Stage:
    """A pass that ran, and the model before it.

    Attributes:
        said: what it did; None where it failed.
    """

    one: Pass
    before: Model
    said: PassReport | None = None


def bisect(model: Model, pipeline: Pipeline, check: Check, keep: Iterable[str] = ()) -> Finding:
    """Find the match of `pipeline` after which `model` fails `check`; the model stays as it is.

    Args:
        keep: passes that run after every state that is looked at, for the check cannot do without them.

    Raises:
        UnknownNameError: a pass to keep that is not in the pipeline.
        GraphError: the model is broken before any pass.
    """
    return _Bisection(model, pipeline, check, frozenset(keep)).run()


class _Bisection:
    def __init__(self, model: Model, pipeline: Pipeline, check: Check, keep: frozenset[str]):
        self.pipeline, self.check, self.keep = pipeline, check, keep
        names = {one.name for one in pipeline.passes}
        for name in sorted(keep - names):
            raise UnknownNameError("pass of the pipeline", name, names)
        self.runs, self.notes = 0, list[str]()
        self.ordered = False  # whether a look behind the fault was taken
        self.excused: frozenset[str] = frozenset()  # faults that the model had before
        self.stages: list[_Stage] = []
        self.error: Fault | None = None
        self.start, self.last = clone(model), clone(model)
        try:
            manager.run(self.last, pipeline, before=self._begin, after=self._end)
        except RegraftError as error:
            if not self.stages:
                raise
            self.error = Fault.of("a pass fails", str(error))

    def _begin(self, one: Pass) -> None:
        self.stages.append(_Stage(one, clone(self.last)))

    def _end(self, said: PassReport) -> None:
        self.stages[-1].said = said

    def run(self) -> Finding:
        started = time.perf_counter()
        found = self._run()
        found.runs, found.notes, found.seconds = self.runs, self.notes, time.perf_counter() - started
        return found

    def _run(self) -> Finding:
        before = self._look(lambda: Case(self._kept(clone(self.start), 0)))
        last = self.error or self._state(len(self.stages))
        if last is not None and before is not None:
            self.excused = before.kinds
            last = None if last.kinds <= before.kinds else last
            if last is None:
                return Finding("fails before any pass", fault=before.text)
        if last is None and before is not None:
            return Finding("nothing fails")
        if last is None:
            return self._apart()
        search = Search(self._state, [1 + _changes(stage) for stage in self.stages])
        guilty = search.run(last)
        found = self._within(guilty - 1, search.seen[guilty] or last)
        if not self.ordered:
            self._see_order(search, guilty, "passes")
        return found

    # ------------------------------------------------------------------------------------------------ states

    def _look(self, case: Callable[[], Case]) -> Fault | None:
        """What the check finds that is new."""
        self.runs += 1
        try:
            fault = self.check(case())
        except PipelineError:
            raise
        except RegraftError as error:
            fault = Fault.of("cannot be checked", str(error))
        return None if fault is None or fault.kinds <= self.excused else fault

    def _state(self, passes: int) -> Fault | None:
        """What is wrong after so many passes."""
        if self.error is not None and passes == len(self.stages):
            return self.error
        model = self.stages[passes].before if passes < len(self.stages) else self.last
        return self._case(clone(model), passes, *self._held(passes))

    def _held(self, passes: int) -> tuple[Model, Contract, int]:
        """What the model after so many passes is held against."""
        base, contract, places = self.start, exact, 0
        for stage in self.stages[:passes]:
            reference = stage.one.reference(clone(stage.before))
            if reference is not None:
                base, contract, places = reference, exact, 0
            if stage.said is not None and stage.said.changed:
                contract += stage.one.contract.through(stage.said.matches)
                places += stage.said.matches
        return base, contract, places

    def _case(self, model: Model, passes: int, base: Model, contract: Contract, places: int) -> Fault | None:
        """What is wrong with a state after so many passes."""
        return self._look(lambda: Case(self._kept(model, passes), base, contract, max(places, 1)))

    def _kept(self, model: Model, passes: int) -> Model:
        """`model` after the passes to keep that have not run yet."""
        rest = [stage.one for stage in self.stages[passes:] if stage.one.name in self.keep]
        if rest:
            manager.run(model, Pipeline(rest))
        return model

    # ------------------------------------------------------------------------------------------------ findings

    def _apart(self) -> Finding:
        """Each pass against the model before it: what one may do must not excuse another."""
        changed = [n for n, stage in enumerate(self.stages) if stage.said is not None and stage.said.changed]
        if len({str(self.stages[n].one.contract) for n in changed}) < 2:
            return Finding("nothing fails")
        for number in changed:
            fault = self._alone(number)
            if fault is not None:
                self.notes.append("the passes together stand the check: what another may do excuses this one")
                return self._within(number, fault, alone=True)
        return Finding("nothing fails")

    def _alone(self, number: int) -> Fault | None:
        """What is wrong with the model after a pass, held against the one before it."""
        stage = self.stages[number]
        places, after = _changes(stage), self._after(number) or self.last
        return self._case(clone(after), number + 1, self._base(stage), stage.one.contract.through(places), places)

    def _after(self, number: int) -> Model | None:
        """The model after a pass; None where that failed."""
        if self.stages[number].said is None:
            return None
        return self.stages[number + 1].before if number + 1 < len(self.stages) else self.last

    def _base(self, stage: _Stage) -> Model:
        return stage.one.reference(clone(stage.before)) or stage.before

    def _within(self, number: int, fault: Fault, alone: bool = False) -> Finding:
        """The match of a guilty pass."""
        stage = self.stages[number]
        local = alone or number == 0
        if not local and stage.said is not None:
            seen = self._alone(number)
            local, fault = (True, seen) if seen is not None else (False, fault)
        held = (self._base(stage), exact, 0) if local else self._held(number)
        parts = split(stage.one, stage.before, self._after(number))
        whole = Finding("found", str(stage.one), changes=_changes(stage), fault=fault.text)
        if isinstance(parts, Refusal):
            self.notes.append(f"pass '{stage.one}' cannot be taken apart: {parts.reason}")
            return whole

        def probe(count: int) -> Fault | None:
            try:
                model = parts.first(count)
            except Indivisible:
                raise
            except RegraftError as error:
                return Fault.of("a pass fails", str(error))
            base, contract, places = held
            contract += stage.one.contract.through(count)
            return self._case(model, number + 1, base, contract, places + count)

        search = Search(probe, [1] * parts.count)
        try:
            found = search.run(fault)
            early = probe(0) if found == 1 and parts.has_effects else None
            self._see_order(search, found, "matches")
        except Indivisible as error:
            self.notes.append(f"pass '{stage.one}' cannot be taken apart: {error}")
            return whole
        if early is not None:
            self.notes.append("it fails before the first match, by what the pass does beside")
            return whole
        rule, nodes = parts.told(found - 1)
        fault = search.seen[found] or fault
        return Finding("found", str(stage.one), rule, nodes, found, parts.count, fault.text)

    def _see_order(self, search: Search, found: int, what: str) -> None:
        """Look whether more of the same hides the fault."""
        looks = len(search.seen)
        healed = search.passes_after(found)
        self.ordered |= len(search.seen) > looks
        if healed is not None:
            self.notes.append(
                f"the check is not monotone: with the first {found} {what} it fails, with {healed} it does not; "
                "there may be more than one cause"
            )


def _changes(stage: _Stage) -> int:
    return stage.said.matches if stage.said is not None else 0
