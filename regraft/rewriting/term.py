"""Symbolic values: the language in which patterns and replacements are written.

    lambda x: 0.5 * x * (1 + op.Erf(x / math.sqrt(2)))

A function over symbolic values is traced by calling it: its parameters become variables, Python's operators become
ONNX's, `op.Name(...)` any operator. Keyword arguments are attributes; one that an opset takes as an input is one all
the same.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from regraft.errors import RuleError
from regraft.ir.graph import Constant, Variable
from regraft.ir.weights import Array, Value
from regraft.rewriting.spelling import fault


class Term:
    """A symbolic value."""

    def __add__(self, other: Any) -> Term:
        return Apply("Add", (self, term(other)))

    def __radd__(self, other: Any) -> Term:
        return Apply("Add", (term(other), self))

    def __sub__(self, other: Any) -> Term:
        return Apply("Sub", (self, term(other)))

    def __rsub__(self, other: Any) -> Term:
        return Apply("Sub", (term(other), self))

    def __mul__(self, other: Any) -> Term:
        return Apply("Mul", (self, term(other)))

    def __rmul__(self, other: Any) -> Term:
        return Apply("Mul", (term(other), self))

    def __truediv__(self, other: Any) -> Term:
        return Apply("Div", (self, term(other)))

    def __rtruediv__(self, other: Any) -> Term:
        return Apply("Div", (term(other), self))

    def __pow__(self, other: Any) -> Term:
        return Apply("Pow", (self, term(other)))

    def __neg__(self) -> Term:
        return Apply("Neg", (self,))

    def __matmul__(self, other: Any) -> Term:
        return Apply("MatMul", (self, term(other)))


@dataclass(frozen=True, eq=False)
class Var(Term):
    """What a pattern binds: any value, a constant tensor, or a constant that is one number."""

    name: str
    kind: Literal["any", "constant", "number"] = "any"


@dataclass(frozen=True, eq=False)
class Number(Term):
    """A number; in a graph a constant with this value in every element."""

    value: float


@dataclass(frozen=True, eq=False)
class Given(Term):
    """A value of the graph, or a new constant; stands in replacements only."""

    value: Variable | Constant | Array | Value


@dataclass(frozen=True, eq=False)
class Apply(Term):
    """An operator on terms; None is an operand that is left out."""

    op: str
    operands: tuple[Term | None, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    domain: str | None = None

    def __str__(self) -> str:
        return self.op


@dataclass(frozen=True, eq=False)
class Either(Term):
    """Any of several terms; the first that matches is taken."""

    options: tuple[Term, ...]


class Operators:
    """Makes a term of any operator: `op.Erf(x)`, `op.ReduceMean(x, axes=[-1])`, `op["com.microsoft"].FastGelu(x)`.

    Raises:
        RuleError: ONNX has no such operator in any opset, or not with such attributes or so many inputs. Of domains
            that are not ONNX's nothing is known, and all is taken.
    """

    def __init__(self, domain: str | None = None):
        self._domain = domain

    def __getitem__(self, domain: str) -> Operators:
        return Operators(domain)

    def __getattr__(self, name: str) -> Callable[..., Apply]:
        if name.startswith("_"):
            raise AttributeError(name)

        def make(*operands: Any, **attrs: Any) -> Apply:
            wrong = fault(name, self._domain, len(operands), tuple(attrs))
            if wrong:
                caller = sys._getframe(1)
                raise RuleError(f"{caller.f_code.co_filename}:{caller.f_lineno}: {wrong}")
            return Apply(name, tuple(map(_operand, operands)), attrs, self._domain)

        return make


op = Operators()


def either(*options: Term) -> Term:
    """A term that matches where any of `options` does."""
    return Either(options)


def constant(value: Var) -> Var:
    """A parameter of a pattern that only a constant tensor can be."""
    return replace(value, kind="constant")


def number(value: Var) -> Var:
    """A parameter of a pattern that is a constant with one value; the replacement gets it as a number of Python's."""
    return replace(value, kind="number")


def term(value: Any) -> Term:
    """`value` as a term: numbers and arrays are made constants."""
    if isinstance(value, Term):
        return value
    if isinstance(value, np.ndarray | Value):
        return Given(value)
    if isinstance(value, int | float | np.number):
        return Number(int(value) if isinstance(value, int | np.integer) else float(value))
    raise TypeError(f"no symbolic value: {value!r}")


def _operand(value: Any) -> Term | None:
    return None if value is None else term(value)


def walk(term: Term | None) -> Iterator[Term]:
    """The terms inside `term`, itself the first; one that stands in several places comes once."""
    waiting, seen = [term], set[int]()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += reversed(one.operands if isinstance(one, Apply) else one.options if isinstance(one, Either) else ())


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of what `function` takes."""
    return tuple(inspect.signature(function).parameters)


def trace(function: Callable[..., Term]) -> Term:
    """The term that `function` gives for variables named as its parameters."""
    return term(function(*map(Var, parameters(function))))
