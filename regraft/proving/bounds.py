"""How far an approximation is from what it stands for, at most: for every real number, with outward rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from regraft.proving import bodies, intervals, tails
from regraft.proving.intervals import Array, Interval, Jet, point
from regraft.proving.reach import OutOfReach
from regraft.proving.tails import Tail
from regraft.rewriting.facts import ANY, Operand
from regraft.rewriting.term import Apply, Number, Term, Var, walk

END = 32.0
"""From here on, on both sides, the tails are argued about; intervals cover what lies between."""
_FIRST, _MOST, _ROUNDS = 4096, 1 << 20, 60
_CLOSE = 1.0001
"""The bound that is found is at most this times a difference that is there."""


class Bound(NamedTuple):
    """How far two functions are apart.

    Attributes:
        most: nowhere more.
        least: at `at` no less.
        name: of the variable.
    """

    most: float
    least: float
    at: float
    name: str


def bound(before: Term, after: Term, names: Mapping[str, Any]) -> Bound:
    """The largest difference between two terms in one real number, element by element.

    The numbers in them are the floats that they are.

    Raises:
        OutOfReach: there is none that is known, or they are of other kinds.
    """
    far = max(_tail(before, after, names, sign).most() for sign in (1, -1))
    edges = np.linspace(-END, END, _FIRST + 1)
    low, high = edges[:-1], edges[1:]
    settled, seen, at = far, 0.0, 0.0
    for _ in range(_ROUNDS):
        most, least = _differences(before, after, names, low, high)
        if float(least.max(initial=0.0)) > seen:
            seen, at = float(least.max()), float((low + (high - low) / 2)[least.argmax()])
        open_ = most > max(seen * _CLOSE, far)
        settled = max(settled, float(most[~open_].max(initial=0.0)))
        if not open_.any():
            return Bound(settled, seen, at, _variable(before, names))
        low, high = low[open_], high[open_]
        middle = low + (high - low) / 2
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        if len(low) > _MOST:
            break
    raise OutOfReach("no bound of the difference, with the intervals that there is time for")


def _variable(term: Term, names: Mapping[str, Any]) -> str:
    """The name of the one operand in `term`."""
    return next(one.name for one in walk(term) if isinstance(one, Var) and isinstance(names.get(one.name), Operand))


def _tail(before: Term, after: Term, names: Mapping[str, Any], sign: int) -> Tail:
    start = Fraction(END)
    evaluate = Evaluation(names, tails.variable(start, sign), lambda v: tails.number(v, start), tails)
    return evaluate(before) - evaluate(after)


def _differences(before: Term, after: Term, names: Mapping[str, Any], low: Array, high: Array) -> tuple[Array, Array]:
    """What the difference is at most in each interval, by its slope or as it is; and at least, in the middle."""
    middle = low + (high - low) / 2
    one = point(np.ones_like(low))

    def on(values: Interval) -> Jet:
        evaluate = Evaluation(names, Jet(values, one), lambda v: intervals.constant(v, low), intervals)
        return evaluate(before) - evaluate(after)

    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        there, around = on(point(middle)).value, on(Interval(low, high))
        radius = np.maximum(np.nextafter(high - middle, np.inf), np.nextafter(middle - low, np.inf))
        by_slope = np.nextafter(there.magnitude + np.nextafter(radius * around.slope.magnitude, np.inf), np.inf)
        most = np.fmin(by_slope, around.value.magnitude)
    return np.where(np.isnan(most), np.inf, most), np.nan_to_num(there.least_magnitude, nan=0.0)


class Evaluation:
    """Terms of one variable, on what stands for it: `kinds` has the functions of such."""

    def __init__(self, names: Mapping[str, Any], x: Any, number: Callable[[float], Any], kinds: Any):
        self.names, self.x, self.number, self.kinds = names, x, number, kinds
        self.known: dict[int, tuple[Term, Any]] = {}
        self.read: str | None = None

    def __call__(self, term: Term) -> Any:
        if id(term) not in self.known:
            self.known[id(term)] = term, self._new(term)
        return self.known[id(term)][1]

    def _new(self, term: Term) -> Any:
        match term:
            case Number(value):
                return self.number(value)
            case Var(name):
                return self._named(name)
            case Apply(op, operands, attrs, None):
                return self._apply(op, operands, attrs)
        raise OutOfReach(f"no bound of {term}")

    def _named(self, name: str) -> Any:
        value = self.names.get(name)
        if isinstance(value, int | float):
            return self.number(float(value))
        if not isinstance(value, Operand) or value.axes != ANY or value.kind != "real" or self.read not in (None, name):
            raise OutOfReach("a bound of other than a function of one number")
        self.read = name
        return self.x

    def _apply(self, op: str, operands: tuple[Term | None, ...], attrs: Mapping[str, Any]) -> Any:
        if op == "Gelu":
            form = attrs.get("approximate", "none")
            form = self.names.get(form.name) if isinstance(form, Var) else form
            if form not in ("none", "tanh"):
                raise OutOfReach("a bound of any Gelu")
            return self(bodies.gelu(operands[0], form))
        if op == "Clip" and all(isinstance(one, Number) for one in operands[1:]):
            low, high = (one.value for one in operands[1:] if isinstance(one, Number))
            return self.kinds.clip(self(_given(operands[0])), low, high)
        values = [self(_given(one)) for one in operands]
        match op:
            case "Add":
                return values[0] + values[1]
            case "Sub":
                return values[0] - values[1]
            case "Mul":
                return values[0] * values[1]
            case "Div":
                return values[0] * self.kinds.reciprocal(values[1])
            case "Neg":
                return -values[0]
        if op not in self.kinds.FUNCTIONS:
            raise OutOfReach(f"no bound of {op}")
        return self.kinds.FUNCTIONS[op](values[0])


def _given(term: Term | None) -> Term:
    if term is None:
        raise OutOfReach("an operand that is left out")
    return term
