"""Wrong rules and right ones, told apart."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regraft.proving.rules import prove
from regraft.rewriting.facts import Operand
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import either, number, op
from regraft.verification.contract import approximation
from tests.proving import index_terms, network_terms, terms
from tests.proving.terms import Row

RIGHT = [*terms.RIGHT, *index_terms.RIGHT, *network_terms.RIGHT]
WRONG = [*terms.WRONG, *index_terms.WRONG, *network_terms.WRONG]

UNSHOWN = {"a scale of another shape"}
"""Wrong rules of which the right side cannot be computed: those have no wrong number to show."""


def verdict(row: Row) -> Any:
    _, before, after, facts = row
    return prove(Rule(before, after, facts=(facts,)))


def test_there_are_enough() -> None:
    assert len(WRONG) >= 100
    assert len(RIGHT) >= 50
    page = (Path(__file__).parents[2] / "docs" / "proving.md").read_text(encoding="utf-8")
    assert f"{len(WRONG)} wrong rules and {len(RIGHT)} right ones" in page
    names = [row[0] for row in WRONG]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", WRONG, ids=lambda row: row[0])
def test_a_wrong_rule_is_refused_with_numbers_that_show_it(row: Row) -> None:
    found = verdict(row)
    assert found.outcome == ("out of reach" if row[0] in UNSHOWN else "refused"), found.reason
    assert found.reason
    if found.counterexample is not None:
        a, b = found.counterexample.before, found.counterexample.after
        assert a.shape != b.shape or a.dtype.kind != b.dtype.kind or not np.allclose(a, b, 1e-10, 1e-10)


@pytest.mark.parametrize("row", RIGHT, ids=lambda row: row[0])
def test_a_right_rule_is_proved(row: Row) -> None:
    found = verdict(row)
    assert found.outcome == "proved", found.reason


def test_a_rule_without_facts_of_its_attributes_is_out_of_reach() -> None:
    found = prove(Rule(lambda x, axis: op.Softmax(x, axis=axis), lambda x, axis: op.Softmax(x * 1.0, axis=axis)))
    assert (found.outcome, found.counterexample) == ("out of reach", None)
    assert found.reason == "the facts of the rule do not say what 'axis' is"
    inside = prove(Rule(lambda x, axis: op.Softmax(x, axis=axis), lambda x: op.Softmax(x, axis=-1)))
    assert inside.reason == "the facts of the rule do not say what 'axis' of Softmax is"


def test_a_rule_without_facts_of_what_its_condition_gives_is_out_of_reach() -> None:
    found = prove(Rule(lambda x: op.Neg(x), lambda x, factor: x * factor, lambda: {"factor": -1.0}))
    assert (found.outcome, found.reason) == ("out of reach", "the facts of the rule do not say what 'factor' is")


def test_every_way_in_which_a_pattern_is_written_is_proved() -> None:
    right = Rule(lambda x: either(x * x, x**2.0), lambda x: op.Abs(x) * op.Abs(x))
    assert prove(right).outcome == "proved"
    assert prove(Rule(lambda x: either(x * x, x**3.0), right.replacement)).outcome == "refused"


def test_every_case_is_proved_and_the_reason_names_it() -> None:
    both = Rule(lambda x, e: x**e, lambda x, e: x * x, facts=({"e": 2.0}, {"e": 3.0}))
    found = prove(both)
    assert found.outcome == "refused"
    assert found.reason.startswith("e = 3.0: ")


def test_a_number_of_a_pattern_is_any_number() -> None:
    right = Rule(lambda x, a: x * number(a) + x, lambda x, a: x * (a + 1.0))
    assert prove(right).outcome == "proved"


def test_a_counterexample_has_the_inputs_and_both_results() -> None:
    shown = prove(Rule(lambda x, y: x - y, lambda x, y: y - x)).counterexample
    assert shown is not None
    np.testing.assert_allclose(shown.before, shown.inputs["x"] - shown.inputs["y"])
    np.testing.assert_allclose(shown.after, shown.inputs["y"] - shown.inputs["x"])
    assert str(shown).startswith("x = ")


def test_the_same_rule_has_the_same_verdict_each_time() -> None:
    rule = Rule(lambda x, y: x / y, lambda x, y: y / x)
    first, second = prove(rule), prove(rule)
    assert first.reason == second.reason


def test_an_approximation_is_within_its_contract_or_refused() -> None:
    rule = Rule(lambda x: op.HardSigmoid(x), lambda x: op.Sigmoid(x))
    assert prove(rule).outcome == "refused"
    near = Rule(lambda x: op.Tanh(x), lambda x: op.Tanh(x * 1.001))
    assert prove(near, approximation(1e-3)).outcome == "within"
    assert prove(near, approximation(1e-5)).outcome == "refused"


def test_what_is_never_nan_needs_no_guard() -> None:
    guard = Rule(lambda p: op.Where(op.IsNaN(p), 0.0, p), lambda p: p * 1.0, facts=({"p": Operand(never_nan=True)},))
    assert prove(guard).outcome == "proved"
    inside = Rule(lambda p: op.Where(op.IsNaN(p * p), 0.0, p), lambda p: p * 1.0, facts=guard.facts)
    assert prove(inside).outcome != "proved"


def test_a_replacement_that_looks_at_values_is_out_of_reach() -> None:
    found = prove(Rule(lambda x, a: x * number(a), lambda x, a: x * math.floor(a)))
    assert found.outcome == "out of reach"
    assert found.reason.startswith("the replacement needs more than symbols: ")


UNKNOWN = [
    (lambda x: op["com.example"].Foo(x), lambda x: x * 1.0, "com.example::Foo has no meaning"),
    (lambda x: op.NonZero(x), lambda x: op.NonZero(x * 1.0), "NonZero has no meaning"),
    (lambda x: op.Cast(x, to=8), lambda x: x * 1.0, "a cast to text"),
    (lambda x, c: op.Compress(x, c), lambda x, c: op.Compress(x * 1.0, c), "Compress has no meaning"),
]


@pytest.mark.parametrize(("before", "after", "reason"), UNKNOWN)
def test_an_operator_without_a_meaning_is_out_of_reach(before: Any, after: Any, reason: str) -> None:
    found = prove(Rule(before, after))
    assert found.outcome == "out of reach"
    assert re.search(reason, found.reason)


def test_a_wrong_rule_of_operators_without_a_meaning_is_refused_all_the_same() -> None:
    whole = {"a": Operand(kind="integer"), "b": Operand(kind="integer")}
    found = prove(Rule(lambda a, b: op.BitwiseAnd(a, b), lambda a, b: op.BitwiseOr(a, b), facts=(whole,)))
    assert found.outcome == "refused"
    assert found.reason.startswith("BitwiseAnd has no meaning in the table; ")
