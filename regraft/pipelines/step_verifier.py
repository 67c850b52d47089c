"""Verification of a run, step by step: passes in a row that promise the same are verified together, others apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regraft.errors import RegraftError, VerificationError
from regraft.files.convert import Header
from regraft.ir.model import Model
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.report import PassReport, Report
from regraft.verification.contract import Contract, exact
from regraft.verification.deviation import Deviation
from regraft.verification.runtime import NoKernel
from regraft.verification.samples import weight
from regraft.verification.sizes import Given
from regraft.verification.watch import Watch
from regraft.wording import count

CHEAP = 2**29
"""Bytes of weights up to which a model is verified unasked."""


class StepVerifier:
    """Holds a model against what it was, where what passes promise changes, so that what one may do excuses no other.

    Args:
        report: says how to verify; where that is "auto", it is told what was decided, and why.
    """

    def __init__(self, model: Model, report: Report, inputs: Mapping[str, Any] | Given | None, seed: int, trials: int):
        self.model, self.report = model, report
        self._asked, self._compared = report.verify != "auto", False
        self._passes: list[PassReport] = []  # since the last look
        self._contract, self._before = exact, ""
        self._header: Header | None = None
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
        if self._passes and not _alike(self._contract, one.contract):
            self.settle()
        reference = one.reference(self.model)
        if reference is not None:
            self.settle()
            self._watch.expect(reference)

    def add(self, said: PassReport, contract: Contract, header: Header | None, before: str) -> None:
        """Take a pass that changed the model. `header`: of the model now; `before`: where the graph before it lies."""
        if not self._watch:
            return
        if not self._passes:
            self._contract, self._before = exact, before
        self._passes.append(said)
        self._header = header
        self._contract = contract if len(self._passes) == 1 else self._contract + contract
        if self.report.verify == "each":
            said.drift = self.settle()

    def settle(self) -> Deviation | None:
        """Verify what the passes since the last time did, against what they promise. Raises VerificationError."""
        if not self._passes or not self._watch:
            return None
        passes, self._passes = self._passes, []
        what, places = _who(passes), sum(len(said.changes) for said in passes)
        try:
            drift = self._watch.look(self.model, self._contract, max(places, 1), self._header)
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
                f"{what} breaks its contract {self._contract}: {drift.failures[0]}{others}{self._before}"
            )
        self._compared |= drift.compared
        self.report.trials = len(self._watch.samples)
        if drift.warning:
            self.report.warnings.append(f"{what}: {drift.warning}")
        if self.report.verify == "final":
            self.report.drift = self.report.drift.worse(drift) if self.report.drift else drift
        return drift

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
    rules = {change.rule for change in said.changes}
    rule = f", rule '{rule}'" if len(rules) == 1 and (rule := next(iter(rules))) else ""
    nodes = [change.removed[0] for change in said.changes if change.removed]
    place = f" at node '{nodes[0]}'" if len(said.changes) == 1 and nodes else ""
    return f"pass '{said.text}'{rule}{place}"
