"""Random terms, and what may or may not be the same: rewritten by laws that hold, and by some that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regraft.rewriting.facts import Operand
from regraft.rewriting.term import Apply, Number, Term, Var, op

FACTS = {"x": Operand("a b"), "y": Operand("a b"), "z": Operand("b"), "w": Operand("b b"), "s": Operand("")}
SIZES = {"a": 2, "b": 3}

NUMBERS = (0.0, 1.0, -1.0, 2.0, 0.5, 3.0)


def number(random: np.random.Generator) -> Number:
    return Number(float(random.choice(NUMBERS)))


def leaf(random: np.random.Generator) -> Term:
    return number(random) if random.random() < 0.2 else Var(str(random.choice(["x", "y", "z", "s"])))


def grown(random: np.random.Generator, depth: int) -> Term:
    """A term of shape `[a, b]`, or one that broadcasts into it."""
    if depth == 0 or random.random() < 0.1:
        return leaf(random)

    def inner() -> Term:
        return grown(random, depth - 1)

    makers: list[Callable[[], Term]] = [
        *(lambda: inner() + inner(), lambda: inner() - inner(), lambda: inner() * inner(), lambda: -inner()),
        *(lambda: inner() / inner(), lambda: inner() * number(random), lambda: inner() + number(random)),
        *(lambda: op.Exp(inner()), lambda: op.Tanh(inner()), lambda: op.Sigmoid(inner()), lambda: op.Erf(inner())),
        *(lambda: op.Relu(inner()), lambda: op.Abs(inner()), lambda: op.Max(inner(), inner())),
        *(lambda: op.Min(inner(), inner()), lambda: op.Sqrt(op.Abs(inner()) + 1.0), lambda: inner() ** 2.0),
        lambda: op.Where(op.Greater(inner(), inner()), inner(), inner()),
        lambda: reduced(random, Var("x") * inner()),
        lambda: (Var("x") * inner()) @ Var("w"),
    ]
    return makers[int(random.integers(len(makers)))]()


def reduced(random: np.random.Generator, term: Term) -> Term:
    name = str(random.choice(["ReduceSum", "ReduceMean", "ReduceMax"]))
    return Apply(name, (term,), {"axes": [int(random.choice([-1, -2]))], "keepdims": 1})


def changed(random: np.random.Generator, term: Any) -> Any:
    """The term with one law applied, right or wrong, at one place, or a few."""
    if not isinstance(term, Apply):
        return number(random) if isinstance(term, Number) and random.random() < 0.1 else term
    operands = [changed(random, one) for one in term.operands]
    here = Apply(term.op, tuple(operands), term.attrs)
    if random.random() < 0.5:
        return here
    a, b = (*operands, None)[:2]
    laws: dict[str, list[Callable[[], Any]]] = {
        "Add": [lambda: b + a, lambda: a - (-b), lambda: 2.0 * a * 0.5 + b, lambda: a - b],
        "Sub": [lambda: -(b - a), lambda: a + b * -1.0, lambda: b - a],
        "Mul": [lambda: b * a, lambda: a * b * 1.0, lambda: a / (1.0 / b), lambda: a * a],
        "Div": [lambda: a * op.Reciprocal(b), lambda: (a / 2.0) / (b * 0.5), lambda: b / a],
        "Neg": [lambda: a * -1.0, lambda: 0.0 - a, lambda: a],
        "Exp": [lambda: 1.0 / op.Exp(-a), lambda: op.Exp(a * 0.5) ** 2.0, lambda: op.Exp(a + 1.0) * 0.5],
        "Tanh": [lambda: -op.Tanh(-a), lambda: 2.0 * op.Sigmoid(2.0 * a) - 1.0, lambda: op.Tanh(-a)],
        "Sigmoid": [lambda: 1.0 - op.Sigmoid(-a), lambda: op.Sigmoid(-a)],
        "Erf": [lambda: -op.Erf(a * -1.0), lambda: op.Erf(-a)],
        "Relu": [lambda: op.Max(a, 0.0), lambda: (a + op.Abs(a)) * 0.5, lambda: op.Abs(a)],
        "Abs": [lambda: op.Max(a, -a), lambda: op.Relu(a) + op.Relu(-a), lambda: a],
        "Max": [lambda: op.Max(b, a), lambda: -op.Min(-a, -b), lambda: a + op.Relu(b - a), lambda: op.Min(a, b)],
        "Min": [lambda: -op.Max(-a, -b), lambda: a + b - op.Max(a, b), lambda: a],
        "Sqrt": [lambda: a**0.5, lambda: op.Sqrt(a * 4.0) * 0.5, lambda: op.Sqrt(a * 4.0)],
        "Pow": [lambda: a * a, lambda: op.Abs(a) ** 2.0, lambda: a],
        "Where": [
            lambda: op.Where(op.Not(operands[0]), operands[2], operands[1]),
            lambda: op.Where(operands[0], operands[2], operands[1]),
        ],
        "ReduceSum": [lambda: Apply("ReduceSum", (a * 2.0,), term.attrs) * 0.5, lambda: a],
        "ReduceMean": [lambda: Apply("ReduceMean", (a - 1.0,), term.attrs) + 1.0, lambda: reduced(random, a)],
        "ReduceMax": [lambda: -Apply("ReduceMin", (-a,), term.attrs), lambda: reduced(random, a)],
        "MatMul": [lambda: (2.0 * a) @ (b * 0.5), lambda: a @ op.Transpose(b, perm=[1, 0])],
    }
    choices = laws.get(term.op, [])
    return choices[int(random.integers(len(choices)))]() if choices else here


def pair(seed: int) -> tuple[Term, Term]:
    random = np.random.default_rng(seed)
    before = grown(random, int(random.integers(1, 4)))
    return before, changed(random, before)
