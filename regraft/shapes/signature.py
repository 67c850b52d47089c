"""What calls of a local function give, found out once for all that are alike.

Two calls are alike where what is known of their inputs is the same but for the dimensions without a name, of which only
matters which are equal. So the walk is linear in what is written, however often the functions call each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from regraft.ir.graph import Function
from regraft.ir.node import PLAIN
from regraft.shapes import dims
from regraft.shapes.dims import Dim
from regraft.shapes.facts import Fact, whole_array


class _Known(NamedTuple):
    """What a call gave; its inputs had the dimensions `unnamed`, in this order."""

    made: list[Fact]
    problems: list[str]
    unnamed: list[Dim]


class Signatures:
    """The calls whose results are known."""

    def __init__(self) -> None:
        self._known: dict[Hashable, _Known] = {}

    def result(
        self,
        function: Function,
        inputs: list[Fact],
        attrs: dict[str, Any],
        problems: list[str],
        walk: Callable[[], list[Fact]],
    ) -> list[Fact]:
        """What a call gives: by `walk`, unless one like it was walked before.

        A dimension without a name that is none of the inputs' is another in each call.

        Args:
            problems: to which the walk adds what it finds wrong.
        """
        places: dict[Dim, int] = {}
        key = function, tuple(_fact_key(fact, places) for fact in inputs), _attributes_key(attrs)
        if key in self._known:
            problems += self._known[key].problems
        else:
            before = len(problems)
            made = walk()
            self._known[key] = _Known(made, list(dict.fromkeys(problems[before:])), list(places))
        known = self._known[key]
        return _renamed(known.made, dict(zip(known.unnamed, places, strict=True)))


def _fact_key(fact: Fact, places: dict[Dim, int]) -> Hashable:
    def of(dim: Dim) -> Hashable:
        return dim if dims.is_named(dim) else ("unnamed", places.setdefault(dim, len(places)))

    shape = None if fact.dims is None else tuple(map(of, fact.dims))
    value = None if fact.value is None else (fact.value.shape, tuple(map(of, fact.value.flat)))
    return fact.code, shape, value, None if fact.other is None else fact.other.SerializeToString(deterministic=True)


def _attributes_key(attrs: dict[str, Any]) -> Hashable:
    return tuple((name, _value_key(value)) for name, value in sorted(attrs.items()))


def _value_key(value: Any) -> Hashable:
    if value is None or type(value) in PLAIN:
        return type(value), value
    if type(value) is list and all(type(item) in PLAIN for item in value):
        return tuple(map(_value_key, value))
    return id(value)  # a tensor, a graph, a type: the same object only


def _renamed(facts: list[Fact], names: dict[Dim, Dim]) -> list[Fact]:
    """`facts` with the dimensions without a name as `names` says, and all others new."""
    names = dict(names)

    def of(dim: Dim) -> Dim:
        if dims.is_named(dim):
            return dim
        if dim not in names:
            names[dim] = dims.unnamed() if dims.is_natural(dim) else dims.free()
        return names[dim]

    return [
        fact._replace(
            dims=None if fact.dims is None else tuple(map(of, fact.dims)),
            value=None if fact.value is None else whole_array(map(of, fact.value.flat), np.shape(fact.value)),
        )
        for fact in facts
    ]
