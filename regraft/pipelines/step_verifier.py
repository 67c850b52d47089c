"""Verification of a run, step by step.

"final" verifies passes in a row that promise the same together, others apart. "each" verifies every pass: where it
changed the model, if that can be told apart, and all such passes in a row together on the whole model; else the whole
model before and after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.errors import RegraftError, VerificationError
from regraft.files.convert import Header, from_proto
from regraft.ir.model import Model
from regraft.pipelines.history import Measured
from regraft.pipelines.pass_base import BESIDE, Pass
from regraft.pipelines.report import PassReport, Report
from regraft.verification.contract import Contract, combine
from regraft.verification.deviation import Deviation
from regraft.verification.local import Local
from regraft.verification.runtime import NoKernel
from regraft.verification.samples import weight
from regraft.verification.sizes import Given
from regraft.verification.watch import Watch
from regraft.wording import count

CHEAP = 2**29
"""Bytes of weights up to which a model is verified unasked."""


@dataclass(frozen=True)
class _Step:
    """A pass that changed the model.

    Attributes:
        contract: what it promises, from end to end.
        header: of the model after it.
        before: where the graph before it lies.
    """

    said: PassReport
    contract: Contract
    header: Header
    before: str

    @property
    def model(self) -> Model:
        """The model after it."""
        return from_proto(self.header.proto, values=self.header.values)


class StepVerifier:
    """Holds a model against what it was, where what passes promise changes, so that what one may do excuses no other.

    Args:
        report: says how to verify; where that is "auto", it is told what was decided, and why.
    """

    def __init__(self, model: Model, report: Report, inputs: Mapping[str, Any] | Given | None, seed: int, trials: int):
        self.model, self.report = model, report
        self._asked, self._compared = report.verify != "auto", False
        self._steps: list[_Step] = []  # since the whole model was last looked at
        self._local: Local | None = None
        self._watch = self._open(inputs, seed, trials)
        if self._watch:
            report.unstable, report.trials = list(self._watch.unstable), len(self._watch.samples)

    @property
    def active(self) -> bool:
        """Whether the model is run."""
        return self._watch is not None

    def prepare(self, one: Pass) -> None:
        """Have what the result of a pass is compared with."""
        if not self._watch:
            return
        if self.report.verify != "each" and self._steps:
            promised = combine(step.contract for step in self._steps)
            if not _alike(promised, one.contract):
                self.settle()
        reference = one.reference(self.model)
        if reference is not None:
            self.settle()
            self._watch.expect(reference)
            self._local = None

    def add(self, said: PassReport, one: Pass, header: Header | None, before: str) -> None:
        """Take a pass that changed the model.

        Args:
            header: of the model now; None where nothing is verified.
            before: where the graph before it lies.
        """
        if not self._watch or header is None:
            return
        step = _Step(said, one.contract.through(said.matches), header, before)
        if self.report.verify != "each":
            self._steps.append(step)
            return
        self._local = self._local or Local(self._watch)
        drift = self._local.look(self.model, one.contract, header)
        said.verified = self._local.told
        if drift is not None and drift.passed:
            said.drift, said.measured = drift, Measured.of(drift, 1)
            self._steps.append(step)
            return
        said.whole = True
        if self._local.overwritten:  # nobody has the model before it any more
            self._steps.append(step)
            self._settle(self.model, blame=False)
            return
        if self._steps:
            self._settle(self._steps[-1].model)
        said.drift = self._look([step], self.model)

    def settle(self) -> None:
        """Verify what the passes since the last time did together, on the whole model. Raises VerificationError."""
        self._settle(self.model)

    def end(self) -> None:
        """Verify what is left, and see that something was compared. Raises VerificationError."""
        self.settle()
        if self._watch and self.report.changed and not self._compared:
            chance = f"every output depends on chance ({', '.join(self._watch.unstable)})"
            reason = "every output is empty" if self._watch.compares else chance
            if self._asked:
                raise VerificationError(f"nothing could be compared: {reason}; --verify none goes without")
            self._give_up(reason)
        self.report.witness = self._watch.witness if self._watch else None

    def _settle(self, model: Model, blame: bool = True) -> None:
        """Verify the steps since the last time, which led to `model`; `blame` a single one, where one is wrong."""
        steps, self._steps = self._steps, []
        if not steps or not self._watch:
            return
        try:
            drift = self._look(steps, model)
        except VerificationError:
            if self.report.verify == "each" and blame and len(steps) > 1:
                for step in steps:
                    self._look([step], step.model)
            raise
        if drift is not None:
            self.report.drift = self.report.drift.worse(drift) if self.report.drift else drift

    def _look(self, steps: Sequence[_Step], model: Model) -> Deviation | None:
        """Hold `model` against the one before `steps`, on the whole. Raises VerificationError."""
        assert self._watch is not None
        self._local = None  # what it holds takes memory
        what, places = _who([step.said for step in steps]), sum(step.said.matches for step in steps)
        contract = combine(step.contract for step in steps) if len(steps) > 1 else steps[0].contract
        try:
            drift = self._watch.look(model, contract, max(places, 1), steps[-1].header)
        except VerificationError:
            raise
        except RegraftError as error:
            if not self._asked and isinstance(error, NoKernel):
                self._give_up(f"after {what}: {error}")
                return None
            raise VerificationError(f"after {what} the model does not run: {error}") from error
        if not drift.passed:
            others = f", and {count(len(drift.failures) - 1, 'more output')}" if len(drift.failures) > 1 else ""
            raise VerificationError(
                f"{what} breaks its contract {contract}: {drift.failures[0]}{others}{steps[0].before}"
            )
        self._compared |= drift.compared
        last = steps[-1].said
        last.measured = last.measured or Measured.of(drift, len(steps))
        self.report.trials = len(self._watch.samples)
        if drift.warning:
            self.report.warnings.append(f"{what}: {drift.warning}")
        return drift

    def _open(self, inputs: Mapping[str, Any] | Given | None, seed: int, trials: int) -> Watch | None:
        if self.report.verify == "none":
            return None
        if not self._asked:
            weights = weight(self.model)
            if weights > CHEAP:
                self._give_up(f"its weights take {weights / 2**20:,.0f} MiB; --verify final runs it all the same")
                return None
        try:
            watch = Watch(self.model, inputs, seed, trials)
        except RegraftError as error:
            if self._asked or inputs is not None:
                raise
            self._give_up(str(error))
            return None
        if not self._asked:
            self.report.verify = "final"
        return watch

    def _give_up(self, why: str) -> None:
        self._watch, self.report.verify, self.report.unverified = None, "none", why


def _alike(one: Contract, other: Contract) -> bool:
    """Whether passes that promise these may be verified together: neither may do what the other may not."""
    same = one.is_exact and other.is_exact, one.is_rounding and other.is_rounding
    return any(same) and not (one.changes_interface or other.changes_interface) and one.assumes == other.assumes


def _who(passes: list[PassReport]) -> str:
    """The passes, and the rule and node where there is one place."""
    if len(passes) > 1:
        return f"passes '{','.join(one.text for one in passes)}' together"
    said = passes[0]
    changes = [change for change in said.changes if change.rule != BESIDE]
    rules = {change.rule for change in changes}
    rule = f", rule '{rule}'" if len(rules) == 1 and (rule := next(iter(rules))) else ""
    nodes = [change.removed[0] for change in changes if change.removed]
    place = f" at node '{nodes[0]}'" if len(changes) == 1 and nodes else ""
    return f"pass '{said.text}'{rule}{place}"
