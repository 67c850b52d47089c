"""Bounds of approximations: rigorous, and close to the largest difference that there is."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from regraft.passes.lower_erf import HALF, HALF_ERROR, RATIONAL_ERROR, SINGLE, LowerErf, rational_form
from regraft.passes.lower_gelu import LowerGelu
from regraft.proving import intervals, tails
from regraft.proving.bounds import END, Evaluation, bound
from regraft.proving.intervals import Interval, Jet
from regraft.proving.reach import OutOfReach
from regraft.proving.rules import prove
from regraft.rewriting import formula
from regraft.rewriting.facts import Operand
from regraft.rewriting.rule import Rule
from regraft.rewriting.term import Term, op, trace
from regraft.verification.contract import approximation

X = {"x": Operand()}
POINTS = np.concatenate([np.linspace(-40, 40, 400_001), np.geomspace(1e-12, 40, 100_000), [0.0]])


def erf(x: Any) -> Any:
    return intervals.erf(x)


def erf_gelu(x: Any) -> Any:
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def tanh_gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: Any) -> Any:
    return 0.5 * (1 + np.tanh(x / 2))


PAIRS = [
    (lambda x: op.Gelu(x), formula.tanh_gelu, erf_gelu, tanh_gelu),
    (lambda x: op.Gelu(x), formula.sigmoid_gelu, erf_gelu, lambda x: x * sigmoid(1.702 * x)),
    (lambda x: op.Gelu(x, approximate="tanh"), formula.sigmoid_gelu, tanh_gelu, lambda x: x * sigmoid(1.702 * x)),
    (lambda x: op.Erf(x), lambda x: op.Clip(x, -1.0, 1.0), erf, lambda x: np.clip(x, -1, 1)),
    (
        lambda x: op.Sigmoid(x),
        lambda x: op.Clip(x / 6.0 + 0.5, 0.0, 1.0),
        sigmoid,
        lambda x: np.clip(x / 6 + 0.5, 0, 1),
    ),
    (
        lambda x: op.Tanh(x),
        lambda x: x / (1.0 + op.Abs(x)),
        np.tanh,
        lambda x: x / (1 + np.abs(x)),
    ),
    (
        lambda x: op.Exp(-(x * x)),
        lambda x: op.Sigmoid(-x) * op.Sigmoid(x),
        lambda x: np.exp(-x * x),
        lambda x: sigmoid(x) * sigmoid(-x),
    ),
]


@pytest.mark.parametrize(("before", "after", "f", "g"), PAIRS[:5] + PAIRS[6:])
def test_a_bound_is_no_less_than_any_difference_and_hardly_more(before: Any, after: Any, f: Any, g: Any) -> None:
    found = bound(trace(before), trace(after), X)
    seen = float(np.abs(f(POINTS) - g(POINTS)).max())
    assert seen <= found.most <= 1.001 * seen
    assert found.least <= found.most
    assert abs(float(f(np.array(found.at)) - g(np.array(found.at)))) == pytest.approx(found.least, rel=1e-6)


def test_the_rational_form_of_erf_near_zero_and_far_from_it() -> None:
    found = bound(trace(lambda x: op.Erf(x)), trace(lambda x: rational_form(x, SINGLE)), X)
    assert 1.39e-7 < found.most < 1.395e-7


def test_in_half_precision_small_numbers_have_part_of_their_sign() -> None:
    found = bound(trace(lambda x: op.Erf(x)), trace(lambda x: rational_form(x, HALF)), X)
    assert 0.99 * HALF_ERROR < found.most < HALF_ERROR
    assert abs(found.at) < 1e-4


def test_the_contract_that_was_wrong_in_half_precision_is_refused() -> None:
    (rule,) = LowerErf().rules()
    found = prove(rule, approximation(RATIONAL_ERROR))
    assert found.outcome == "refused"
    assert found.reason.startswith("steep = 60000.0: more than approximation(6.2e-07) promises: x = ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (lambda x: x * 1.0, lambda x: x * 1.001),  # no largest difference
        (lambda x: op.Exp(x), lambda x: op.Exp(x)),
        (lambda x: op.Erf(x), lambda x: op.Sin(x)),
        (lambda x: op.Erf(x), lambda y: op.Erf(y)),  # of another variable
        (lambda x: op.Tanh(x), lambda x: op.Softsign(x)),
        (lambda x: op.Erf(x), lambda x: op.ReduceSum(x, axes=[-1])),
        (lambda x, kind: op.Gelu(x, approximate=kind), formula.erf_gelu),
        PAIRS[5][:2],  # which differ by 1 / (1 + t), no exponential
    ],
)
def test_what_has_no_bound_is_out_of_reach(before: Any, after: Any) -> None:
    with pytest.raises(OutOfReach):
        bound(trace(before), trace(after), {"x": Operand(), "y": Operand()})


def test_the_contract_that_was_wrong_is_refused() -> None:
    rule = LowerGelu(form="sigmoid").rules()[1]
    assert prove(rule, LowerGelu(form="sigmoid").contract).outcome == "within"
    found = prove(rule, approximation(0.0204))
    assert found.outcome == "refused"
    assert found.counterexample is not None
    assert abs(float(found.counterexample.before - found.counterexample.after)) > 0.0206


def test_a_bound_between_what_is_seen_and_what_is_promised_is_out_of_reach() -> None:
    rule = LowerErf(form="tanh").rules()[0]
    found = bound(trace(rule.pattern), trace(rule.replacement), X)
    between = approximation((found.least + found.most) / 2)
    assert prove(Rule(rule.pattern, rule.replacement), between).outcome == "out of reach"


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("name", sorted(intervals.FUNCTIONS))
def test_an_interval_holds_values_and_slopes(name: str) -> None:
    low = RANDOM.uniform(0.1 if name == "Reciprocal" else -6, 6, 500)
    high = low + RANDOM.uniform(0, 2, 500)
    one = Interval(np.ones(500), np.ones(500))
    found = intervals.FUNCTIONS[name](Jet(Interval(low, high), one))
    true: dict[str, Any] = {"Erf": erf, "Tanh": np.tanh, "Exp": np.exp, "Sigmoid": sigmoid, "Abs": np.abs}
    function = true.get(name, lambda x: 1 / x)
    for share in np.linspace(0.01, 0.99, 9):
        x = low + (high - low) * share
        step = (high - low) * 1e-4
        slope = (function(x + step) - function(x - step)) / (2 * step)
        assert ((found.value.low <= function(x) + 1e-15) & (function(x) <= found.value.high + 1e-15)).all()
        assert ((found.slope.low <= slope + 1e-6) & (slope <= found.slope.high + 1e-6)).all()


def test_arithmetic_of_intervals_is_rounded_outward() -> None:
    tenth = Interval(np.array(0.1), np.array(0.1))
    total = tenth + tenth + tenth
    assert Fraction(float(total.low)) < 3 * Fraction(0.1) < Fraction(float(total.high))
    product = tenth * tenth
    assert Fraction(float(product.low)) < Fraction(0.1) ** 2 < Fraction(float(product.high))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("term", "value"),
    [
        (lambda x: op.Erf(x * 0.5), lambda x: erf(x * 0.5)),
        (lambda x: op.Tanh(x + x * x * x), lambda x: np.tanh(x + x**3)),
        (lambda x: x * op.Sigmoid(1.5 * x - 0.25), lambda x: x * sigmoid(1.5 * x - 0.25)),
        (lambda x: op.Exp(-(x * x)) * (x + 3.0), lambda x: np.exp(-x * x) * (x + 3)),
    ],
)
def test_a_tail_holds_the_values(term: Any, value: Any, sign: int) -> None:
    start = Fraction(3)
    tail = Evaluation(X, tails.variable(start, sign), lambda v: tails.number(v, start), tails)(trace(term))
    for t in np.linspace(3, 20, 200):
        polynomial = sum(float(c.low) * t**d for d, c in tail.polynomial.items())
        left = sum(float(d.factor) * t**d.degree * math.exp(-float(d.rate) * t) for d in tail.decays)
        assert abs(float(value(np.array(sign * t))) - polynomial) <= left + 1e-12


def test_intervals_reach_to_where_tails_begin() -> None:
    late: Term = trace(lambda x: op.Sigmoid(x - END + 0.5))
    with pytest.raises(OutOfReach, match="not yet near its limit"):
        bound(late, trace(lambda x: x * 0.0), X)
