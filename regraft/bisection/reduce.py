"""Reduce: the smallest model that still fails a check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from regraft.bisection import simplify
from regraft.bisection.checks import Arrays, Case, Check, Fault, fitting
from regraft.bisection.ddmin import ddmin
from regraft.bisection.pieces import Whole
from regraft.bisection.regions import Region
from regraft.errors import RegraftError, VerificationError
from regraft.ir import verifier
from regraft.ir.model import Model
from regraft.shapes import declare_types
from regraft.verification.runtime import Session

GUESSES: tuple[simplify.Guess, ...] = (
    simplify.one_sample,
    simplify.constants_held,
    simplify.bodies_out,
    simplify.bypassed,
    simplify.without_optionals,
    simplify.smaller,
)


@dataclass
class Reduced:
    """What is left.

    Attributes:
        case: the smallest that was found.
        fault: what is wrong with it.
        before, nodes: how many nodes the model had, and has.
        runs: how often the check ran.
        notes: what else is to be said, a line each.
    """

    case: Case
    fault: Fault
    before: int
    nodes: int
    runs: int
    seconds: float
    notes: list[str] = field(default_factory=list)


def reduce(case: Case, check: Check) -> Reduced:
    """The smallest case that fails as `case` does; what it holds stays as it is.

    Nodes are left out, their values given as inputs as they were computed; then nodes are bypassed, bodies taken out of
    the nodes around them, optional inputs left out, and dimensions made smaller.

    Raises:
        VerificationError: the check finds nothing wrong.
        Indivisible: model and base differ in more than nodes of the main graph.
    """
    return _Reduction(case, check).run()


class _Reduction:
    def __init__(self, case: Case, check: Check):
        self.case, self.check, self.runs = case, check, 0
        self.runnable = _runs(case)
        fault = self.look(case)
        if fault is None:
            raise VerificationError("the check finds nothing wrong with the model; there is nothing to reduce")
        self.first = self.fault = fault

    def run(self) -> Reduced:
        started, before = time.perf_counter(), count(self.case.model)
        notes = [] if self.runnable else ["the model does not run in ONNX Runtime: inputs of its parts are made"]
        while True:
            size = _size(self.case)
            self.leave_out()
            for guess in GUESSES:
                self.try_all(guess)
            if _size(self.case) >= size:
                break
        seconds = time.perf_counter() - started
        return Reduced(self.case, self.fault, before, count(self.case.model), self.runs, seconds, notes)

    def leave_out(self) -> None:
        """Delta debugging over the nodes of the main graph."""
        whole = Whole(self.case)

        def holds(units: Sequence[Region]) -> bool:
            return self.accepts(whole.piece(units))

        ddmin(whole.units, holds)

    def try_all(self, guess: simplify.Guess) -> None:
        """Take each simpler case that fails too, and go on from there."""
        while any(map(self.accepts, guess(_typed(self.case)))):
            pass

    def accepts(self, case: Case) -> bool:
        """Whether a case is smaller and has the fault; then it is the one to go on with."""
        if _size(case) >= _size(self.case):
            return False
        try:
            verifier.check(case.model)
            if self.runnable and not _runs(case):
                return False
            fault = self.look(case)
        except RegraftError:
            return False
        if fault is None or not fault.kinds & self.first.kinds:
            return False
        self.case, self.fault = case, fault
        return True

    def look(self, case: Case) -> Fault | None:
        self.runs += 1
        return self.check(case)


def _size(case: Case) -> tuple[int, ...]:
    """What must become less: nodes, what they read, and bytes; what has a base counts with it."""
    models = [model for model in (case.model, case.base) if model is not None]
    read = sum(bool(tensor.name) for model in models for node in model.nodes() for tensor in node.inputs)
    return sum(map(count, models)), read, sum(array.nbytes for array in simplify.arrays(case))


def count(model: Model) -> int:
    """The nodes, those of bodies and functions too."""
    return sum(1 for _ in model.nodes())


def _runs(case: Case) -> bool:
    """Whether ONNX Runtime runs the model on all samples."""
    try:
        session = Session(case.model)
        samples: Sequence[Arrays] = case.samples or ()
        for one in samples:
            session.run(fitting(case.model, one))
    except RegraftError:
        return False
    return True


def _typed(case: Case) -> Case:
    declare_types(case.model)
    return replace(case)
