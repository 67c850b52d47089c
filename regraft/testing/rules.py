"""Each rule by itself: what trials on models of its own pattern, and a proof, say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from regraft.errors import PipelineError
from regraft.pipelines.pass_base import Pass
from regraft.proving.rules import prove
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.testing.difference import Difference
from regraft.testing.trials import Trials
from regraft.verification.contract import Contract

Outcome = Literal["right", "wrong", "untested"]


@dataclass(frozen=True, eq=False)
class Tested:
    """What trials, and a proof, say of a rule.

    Attributes:
        pass_text: the pass as a pipeline has it.
        models: how many models it was applied to and compared on.
        reason: why it is untested.
        proof: the outcome of a proof over the reals, where there is one; empty where that is out of reach.
    """

    pass_text: str
    rule: str
    outcome: Outcome
    models: int = 0
    reason: str = ""
    difference: Difference | None = None
    proof: str = ""

    @property
    def is_sure(self) -> bool:
        """Whether it was tested, or is proved."""
        return self.outcome == "right" or (self.outcome == "untested" and self.proof in ("proved", "within"))


def check_rules(one: Pass) -> None:
    """See that every rule of a pass is right: on models made from its own pattern, or by a proof.

    Raises:
        AssertionError: a rule is wrong, with the smallest inputs that tell; or can be neither tested nor proved.
        RuleError: one is written wrongly.
        PipelineError: the pass is not made of rules.
    """
    faults = [
        f"{found.rule}: {found.difference or found.reason}" for found in examine_passes([one]) if not found.is_sure
    ]
    if faults:
        raise AssertionError("; ".join(faults))


def examine_passes(passes: Iterable[Pass]) -> list[Tested]:
    """Test all rules of passes, each by itself.

    Raises:
        RuleError: a rule is written wrongly.
        PipelineError: a pass is not made of rules.
    """
    found: list[Tested] = []
    for one in passes:
        if not isinstance(one, RulePass):
            raise PipelineError(f"'{one.name}' is not made of rules; regraft.testing.apply tests it on a model")
        found += [examine(rule, owner) for rule, owner in one.sets()]
    return found


def examine(rule: Rule, owner: RulePass) -> Tested:
    """Test `rule` as `owner` applies it, and judge it by the contract of that pass."""
    trials = Trials(rule, owner)
    difference = trials.run()
    proof, refused = _proof(rule, owner.contract)
    name, text = rule.name, str(owner)
    if difference is not None:
        return Tested(text, name, "wrong", trials.models, difference=difference, proof=proof)
    if refused:
        return Tested(text, name, "wrong", trials.models, refused, proof=proof)
    if not trials.models:
        return Tested(text, name, "untested", 0, trials.reason, proof=proof)
    return Tested(text, name, "right", trials.models, proof=proof)


def _proof(rule: Rule, contract: Contract) -> tuple[str, str]:
    """The outcome of a proof, and why it refuses the rule. A condition that no facts tell of may make it right."""
    found = prove(rule, contract)
    if found.outcome == "refused":
        told = rule.where is None or any(rule.facts)
        return ("refused", found.reason) if told else ("", "")
    return ("" if found.outcome == "out of reach" else found.outcome), ""
