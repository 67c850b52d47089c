"""Rules are checked when they are made, and the error says in which line the fault is."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from regraft.errors import RegraftError, RuleError
from regraft.rewriting.rule import Rule, named
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import either, number, op
from regraft.testing import apply, parse


def relu(x: Any) -> Any:
    return op.Relu(x)


def wrong(*arguments: Any, **given: Any) -> str:
    """What is said of a rule; its place must be in this file, at the line that makes it or above."""
    here = inspect.currentframe()
    assert here is not None
    assert here.f_back is not None
    with pytest.raises(RuleError) as caught:
        arguments[0]() if not given and len(arguments) == 1 else Rule(*arguments, **given)
    place, _, text = str(caught.value).partition(": ")
    file, _, line = place.rpartition(":")
    assert file == __file__
    assert 0 < int(line) <= here.f_back.f_lineno
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Rule(lambda x: op.Clp(x, 0.0, 6.0), relu), "no operator named 'Clp'; did you mean 'Clip'?"),
        (lambda: Rule(lambda x: op.Klip(x, 0.0, 6.0), relu), "no operator named 'Klip'; did you mean 'Clip'?"),
        (lambda: Rule(relu, lambda x: op.relu(x)), "no operator named 'relu'; did you mean 'Relu'?"),
        (lambda: Rule(lambda x: op.Softmax(x, axiz=1), relu), "op.Softmax has no attribute named 'axiz'; did you mean"),
        (lambda: Rule(relu, lambda x: op.Softmax(x, axiz=1)), "op.Softmax has no attribute named 'axiz'; did you mean"),
        (lambda: Rule(lambda x, y: op.Relu(x, y), relu), "op.Relu takes 1 input, not 2"),
        (lambda: Rule(lambda x: op.MatMul(x), relu), "op.MatMul takes 2 inputs, not 1"),
        (
            lambda: Rule(lambda x: op["ai.onnx.ml"].Scalar(x), relu),
            "no operator named 'Scalar'; did you mean 'Scaler'?",
        ),
        (lambda: Rule(relu, lambda z: op.Neg(z)), "the replacement asks for what the pattern does not bind: no name"),
        (
            lambda: Rule(relu, relu, lambda shape: True),
            "the condition asks for what the pattern does not bind: no name",
        ),
        (lambda: Rule(lambda x, y: op.Relu(x), relu), "the pattern takes 'y', and does not use it"),
        (lambda: Rule(lambda x: x, relu), "a pattern ends in an operator, this one does not"),
        (lambda: Rule(lambda x: either(op.Relu(x), x), relu), "a pattern ends in an operator, this one does not"),
        (lambda: Rule(lambda x: x * math.sqrt(x), relu), "the pattern cannot be written in symbols: "),
        (
            lambda: Rule(lambda x, y: either(op.Relu(x), op.Add(x, y)), lambda x, y: x),
            "'y' is bound by some alternatives of the pattern only; give the replacement a default for it",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(make: Any, said: str) -> None:
    assert wrong(make).startswith(said)


def test_the_line_is_the_one_of_the_operator() -> None:
    def pattern(x: Any) -> Any:
        inside = x + 1.0
        return op.Clp(inside)

    with pytest.raises(RuleError, match=rf"{__file__}:{pattern.__code__.co_firstlineno + 2}: no operator named 'Clp'"):
        Rule(pattern, relu)


def test_what_is_right_is_taken() -> None:
    Rule(lambda x: op["acme"].Klip(x, axiz=1), lambda x: op["acme.other"].Anything(x, x, of=3))
    Rule(lambda x: op["com.microsoft"].FastGelu(x), lambda x: op.Gelu(x, approximate="tanh"))
    Rule(lambda x: op.ReduceMean(x, axes=[-1]), lambda x: op.ReduceMean(x, np.array([-1])))
    Rule(lambda x, axis: op.Softmax(x, axis=axis), lambda x, axis, out, opset: op.Softmax(x, axis=axis))
    Rule(lambda x, y: either(op.Relu(x), op.Add(x, y)), lambda x, y=None: x)
    Rule(lambda x, c: x * number(c), lambda x, c: x * math.floor(c))  # known with a match
    Rule(relu, lambda x, a: op.LeakyRelu(x, alpha=a), lambda: {"a": 0.5})
    Rule(relu, lambda x, a: op.LeakyRelu(x, alpha=a), facts=({"a": 0.5},))


class Given(RulePass):
    name = "given"

    def rules(self) -> list[Rule]:
        return [Rule(relu, lambda x, slope: op.LeakyRelu(x, alpha=slope), lambda: {"slop": 0.5})]


def test_a_name_that_the_condition_does_not_give_is_said_where_it_is_asked_for() -> None:
    with pytest.raises(RegraftError, match=rf"{__file__}:\d+: the replacement .* did you mean 'slop'\?"):
        apply(parse("g (float[2] x) => (float[2] y) { y = Relu(x) }"), Given())


def test_rules_without_a_name_get_one() -> None:
    clip = lambda x: op.Clip(x, 0.0, 6.0)  # noqa: E731
    rules = [
        Rule(clip, relu),
        Rule(relu, relu),
        Rule(clip, relu),
        Rule(clip, relu, name="mine"),
        Rule(clip, relu, name="Clip 2"),
        Rule(lambda x: -x, lambda x: x),
        Rule(lambda x: either(op.Erf(x), op.Tanh(x)), relu),
    ]
    names = ["Clip", "relu", "Clip 3", "mine", "Clip 2", "Neg", "Erf"]
    assert [rule.name for rule in named(rules)] == names
    assert [rule.name for rule in named(named(rules))] == names
