"""Trials of rules on their own patterns tell right ones from wrong ones, and show the smallest inputs that do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from regraft import Rule, RulePass, number, op
from regraft.errors import PipelineError
from regraft.pipelines.registry import passes
from regraft.proving.passes import forms
from regraft.testing.rules import Tested, examine, examine_passes
from regraft.testing.trials import Trials
from regraft.verification.contract import Contract, reassociation
from tests.testing.rule_cases import RIGHT, WRONG, Case


class Holder(RulePass):
    """A pass of one rule."""

    name = "holder"

    def __init__(self, rule: Rule, promised: Contract):
        super().__init__()
        self._rule, self._promised = rule, promised

    @property
    def contract(self) -> Contract:
        return self._promised

    def rules(self) -> Sequence[Rule]:
        return [self._rule]


def judged(rule: Rule, contract: Contract = reassociation) -> Tested:
    return examine(rule, Holder(rule, contract))


@pytest.mark.parametrize("case", RIGHT, ids=[name for name, *_ in RIGHT])
def test_what_is_right_passes(case: Case) -> None:
    _, rule, contract = case
    found = judged(rule, contract)
    assert (found.outcome, str(found.difference)) == ("right", "None"), found.reason
    assert found.models >= 3
    assert found.proof != "refused"


@pytest.mark.parametrize("case", WRONG, ids=[name for name, *_ in WRONG])
def test_what_is_wrong_is_shown_by_running_it(case: Case) -> None:
    _, rule, contract = case
    found = Trials(rule, Holder(rule, contract)).run()
    assert found is not None
    assert sum(value.size for value in found.inputs.values()) <= 40
    assert found.reason
    assert judged(rule, contract).outcome == "wrong"


def test_what_only_a_proof_shows_is_wrong_too() -> None:
    """Of NaN, which trials do not try."""
    found = judged(Rule(lambda x, y: op.Not(op.Less(x, y)), lambda x, y: op.GreaterOrEqual(x, y)))
    assert (found.outcome, found.proof, found.difference) == ("wrong", "refused", None)


def test_a_proof_does_not_refuse_what_a_condition_makes_right() -> None:
    found = judged(Rule(lambda x, e: op.Pow(x, number(e)), lambda x: x * x, lambda e: e == 2.0))
    assert (found.outcome, found.proof) == ("right", "")


def test_the_smallest_inputs_are_shown() -> None:
    found = judged(Rule(lambda x: op.Clip(x + 3.0, 0.0, 6.0) / 6.0, lambda x: (x + 3.0) / 6.0)).difference
    assert found is not None
    assert str(found) == "x = [[4.]]: 1 before, 1.16667 after"
    np.testing.assert_allclose([found.before, found.after], [[[1.0]], [[7 / 6]]])


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (
            Rule(lambda x: op.Relu(x), lambda x: op.Abs(x), lambda x: "never"),
            "it does not apply to its own pattern: never",
        ),
        (Rule(lambda x: op["acme"].Foo(x), lambda x: op["acme"].Bar(x)), "no model of its pattern runs"),
        (Rule(lambda x: op.Relu(x), lambda x: op.Swish(x), lambda x: True), "opset 20 has no Swish"),
    ],
)
def test_what_cannot_be_tested_says_why(rule: Rule, reason: str) -> None:
    found = judged(rule)
    assert (found.outcome, found.is_sure) == ("untested", False)
    assert reason in found.reason


def test_a_fault_in_the_rule_s_own_code_is_shown() -> None:
    def broken(x: Any, c: Any) -> Any:
        return x * {}[c]

    found = judged(Rule(lambda x, c: op.Relu(x) * number(c), broken))
    assert found.outcome == "wrong"
    assert re.search(r"test_rules.py, line \d+: KeyError", str(found.difference))


def test_every_rule_of_ours_is_sure() -> None:
    """Those of the passes that are quick to test; `regraft test` does all."""
    ours = [passes.load(name)() for name in ("lower-div", "lower-gelu", "lower-reciprocal")]
    found = examine_passes(ours)
    assert len(found) == 4
    assert [one for one in found if not one.is_sure] == []


@pytest.mark.slow
def test_every_rule_of_all_passes_is_sure() -> None:
    every = [passes.load(name) for name in passes.names()]
    found = examine_passes([form for one in every if issubclass(one, RulePass) for form in forms(one)])
    assert len(found) > 40
    assert [(one.pass_text, one.rule, str(one.difference)) for one in found if not one.is_sure] == []


def test_a_pass_that_is_not_made_of_rules_has_none_to_test() -> None:
    with pytest.raises(PipelineError, match="not made of rules"):
        examine_passes([passes.load("fuse-attention")()])
