"""The rules of passes, each with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from regraft.errors import PipelineError
from regraft.pipelines.pass_base import Pass
from regraft.proving.rules import prove
from regraft.proving.verdict import Verdict
from regraft.rewriting.rule_pass import RulePass


@dataclass(frozen=True)
class Proof:
    """A rule of a pass, and what is known of it.

    Attributes:
        pass_text: the pass as a pipeline has it.
        rule: the rule's name.
        promised: the largest difference that the contract of the pass allows; 0: none but rounding.
    """

    pass_text: str
    rule: str
    verdict: Verdict
    promised: float = 0.0


def forms(found: type[RulePass]) -> Iterator[RulePass]:
    """The pass with each choice of those options that have few values; the others have their defaults.

    Raises:
        PipelineError: an option without a default has no few values.
    """
    choices = [option for option in found.options() if option.choices]
    for values in product(*(option.choices for option in choices)):
        yield found(**{option.attribute: value for option, value in zip(choices, values, strict=True)})


def prove_passes(passes: Iterable[Pass]) -> list[Proof]:
    """The verdicts on all rules; a rule that several forms of a pass share comes once.

    Raises:
        PipelineError: a pass is not made of rules.
    """
    rows: dict[tuple[object, ...], Proof] = {}
    for one in passes:
        if not isinstance(one, RulePass):
            raise PipelineError(f"'{one.name}' is not made of rules, which alone are proved")
        for rule, owner in one.sets():
            verdict = prove(rule, owner.contract)
            key = owner.name, rule.name, verdict.outcome, verdict.bound, verdict.reason
            rows.setdefault(key, Proof(str(owner), rule.name, verdict, owner.contract.bound))
    return list(rows.values())
