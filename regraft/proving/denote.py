"""From terms to symbolic tensors, under an environment that says what the names are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from regraft.ops.traits import MOVES
from regraft.proving.arrays import array
from regraft.proving.call import Call, Known, Unsaid
from regraft.proving.meanings import meaning
from regraft.proving.numbers import closed_form
from regraft.proving.polynomial import constant
from regraft.proving.reach import OutOfReach
from regraft.proving.sizes import size
from regraft.proving.tensor import Tensor, axes_of, filled, operand, remembered
from regraft.rewriting.facts import Filled, Operand, SizeOf
from regraft.rewriting.pattern import kind_of
from regraft.rewriting.term import Apply, Either, Given, Number, Term, Var


class Denotation:
    """What terms mean.

    Args:
        names: what each variable is: a term, a tensor, or for an attribute a value of Python's.
    """

    def __init__(self, names: Mapping[str, Any]):
        self.names = names
        self._found: dict[int, tuple[Term, Tensor]] = {}  # with the term, whose id another would get once it is gone

    def __call__(self, term: Term) -> Tensor:
        """The tensor that `term` means.

        Raises:
            OutOfReach: an operator has no meaning here, or not for such operands.
        """
        if id(term) not in self._found:
            self._found[id(term)] = term, remembered(self._denote(term))
        return self._found[id(term)][1]

    def _denote(self, term: Term) -> Tensor:
        match term:
            case Known(tensor):
                return tensor
            case Number(value):
                return filled(closed_form(value))
            case Given(value):
                return self._value(value)
            case Var(name):
                return self._named(name)
            case Filled(axes, value):
                inside = self(value) if isinstance(value, Term) else filled(closed_form(value))
                return Tensor(axes_of(axes), lambda at, domain: inside.elements((), domain), inside.kind)
            case SizeOf(axes):
                result = constant(1)
                for axis in axes.split():
                    result = result * size(axis)
                return filled(result)
            case Apply():
                return self._apply(term)
        raise OutOfReach(f"no meaning of {type(term).__name__}")

    def _named(self, name: str) -> Tensor:
        found = self.names.get(name)
        if isinstance(found, Operand):
            return operand(name, axes_of(found.axes), found.kind, found.never_nan)
        return self(found) if isinstance(found, Term) else self._value(found)

    def _value(self, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, np.ndarray):
            return array(value)
        if isinstance(value, int | float | np.number | np.bool_):
            return filled(closed_form(value))
        raise OutOfReach(f"no meaning of a {type(value).__name__} as a tensor")

    def _attribute(self, value: Any) -> Any:
        if not isinstance(value, Var):
            return value
        if value.name not in self.names:
            return Unsaid(value.name)
        found = self.names[value.name]
        return Known(self._named(value.name)) if isinstance(found, Term | Tensor) else found

    def _apply(self, term: Apply) -> Tensor:
        operands = [None if one is None or self._is_left_out(one) else self(one) for one in term.operands]
        attrs = {name: self._attribute(value) for name, value in term.attrs.items() if value is not None}
        known = tuple(None if tensor is None else Known(tensor) for tensor in operands)
        return applied(Call(kind_of(term), tuple(operands), attrs, known))

    def _is_left_out(self, term: Term) -> bool:
        return isinstance(term, Var) and term.name in self.names and self.names[term.name] is None


def applied(call: Call) -> Tensor:
    """What an operator gives.

    Raises:
        OutOfReach: it has no meaning here, or not for such operands.
    """
    infinite = [tensor for tensor in call.operands if tensor is not None and not tensor.finite]
    if infinite and (call.op not in CARRY_INFINITY or (call.op == "Add" and len(infinite) > 1)):
        raise OutOfReach(f"{call.op} of an infinity")
    result = meaning(call)
    found = Denotation({})(result) if isinstance(result, Term) else result
    return replace(found, finite=False) if infinite else found


CARRY_INFINITY = MOVES | {"Add", "Concat", "Where"}
"""Operators that make no NaN of an infinity beside real numbers, so that it may stand for a very large one."""


def variants(term: Term) -> list[Term]:
    """The terms that a term with alternatives stands for."""
    return list(_variants(term, {}))


def _variants(term: Term, made: dict[int, list[Term]]) -> list[Term]:
    if id(term) not in made:
        made[id(term)] = list(_new_variants(term, made))
    return made[id(term)]


def _new_variants(term: Term, made: dict[int, list[Term]]) -> Iterator[Term]:
    if isinstance(term, Either):
        for option in term.options:
            yield from _variants(option, made)
    elif isinstance(term, Apply):
        choices = [[None] if one is None else _variants(one, made) for one in term.operands]
        for operands in product(*choices):
            same = all(a is b for a, b in zip(operands, term.operands, strict=True))
            yield term if same else Apply(term.op, operands, term.attrs, term.domain)
    else:
        yield term
