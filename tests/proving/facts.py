"""Whether the facts of a rule hold of a match: axes, attributes, and what the condition computes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from regraft.ir.graph import Constant, Variable
from regraft.ir.schema import constant_of
from regraft.ir.weights import Value
from regraft.rewriting.facts import ANY, Axes, Case, Filled, Operand, SizeOf
from regraft.rewriting.term import Apply, Number, Term, Var

Sizes = dict[str, tuple[Any, ...]]
KINDS = {"b": "boolean", "i": "integer", "u": "integer"}


def holds(case: Case, values: Mapping[str, Any]) -> bool:
    """Whether the match that bound `values` falls into `case`."""
    known = {name: values[name] for name in case if name in values}
    shaped = [
        (case[n].axes, _shape(v)) for n, v in known.items() if isinstance(case[n], Operand | Filled) and _is_tensor(v)
    ]
    return any(
        all(_agrees(case, name, value, values, sizes) for name, value in known.items()) for sizes in _sizes(shaped, {})
    )


def _sizes(shaped: list[tuple[str, tuple[Any, ...]]], known: Sizes) -> Iterator[Sizes]:
    """What the names of axes may stand for, so that all shapes are as they are."""
    if not shaped:
        yield known
        return
    (axes, shape), *others = shaped
    is_scalar = not axes and all(size == 1 for size in shape)  # or adds no axes, as a scalar does
    for found in [known] if axes == ANY or is_scalar else _fits(axes.split(), shape, known):
        yield from _sizes(others, found)


def _fits(axes: list[str], shape: tuple[Any, ...], known: Sizes) -> Iterator[Sizes]:
    if not axes:
        if not shape:
            yield known
        return
    name, *others = axes
    if name in known or name.isdigit():
        wanted = (int(name),) if name.isdigit() else known[name]
        lengths = [len(wanted)] if shape[: len(wanted)] == wanted else []
    else:
        lengths = list(range(len(shape) + 1)) if name.isupper() else [1] if shape else []
    for length in lengths:
        found = known if name.isdigit() else {**known, name: shape[:length]}
        yield from _fits(others, shape[length:], found)


def _agrees(case: Case, name: str, value: Any, known: Mapping[str, Any], sizes: Sizes) -> bool:
    fact = case[name]
    if isinstance(fact, Axes):
        return _names_axes(fact, value, case, known, sizes)
    if isinstance(fact, Operand):
        if not _is_tensor(value):
            return isinstance(value, int | float) and not fact.axes.replace(ANY, "")
        return KINDS.get(np.dtype(value.dtype).kind, "real") == fact.kind
    if isinstance(fact, Var):
        return value is known[fact.name] or np.array_equal(_numbers(value), _numbers(known[fact.name]))
    if isinstance(fact, Term):
        numbers, wanted = _numbers(value), _computed(fact, known, sizes)
        return numbers is not None and np.allclose(numbers.astype(np.float64), wanted, rtol=2e-3)
    if isinstance(fact, np.dtype):
        return KINDS.get(np.dtype(value).kind, "real") == KINDS.get(fact.kind, "real")
    if isinstance(fact, list):
        return [d if isinstance(d, int) else "" for d in value[-2:]] == [
            d if isinstance(d, int) else "" for d in fact[-2:]
        ]
    if isinstance(fact, float):
        numbers = _numbers(value)
        return numbers is not None and bool((numbers == fact).all())
    return type(value) is type(fact) and value == fact


def _names_axes(fact: Axes, value: Any, case: Case, known: Mapping[str, Any], sizes: Sizes) -> bool:
    """Whether an attribute says the axes of that name, of the operand that has them."""
    wanted = set(fact.names.split())
    operand = next(
        n for n, f in case.items() if isinstance(f, Operand) and wanted <= set(f.axes.split()) and n in known
    )
    rank, places, here = len(_shape(known[operand])), set[int](), 0
    for axis in case[operand].axes.split():
        length = 1 if axis.isdigit() else len(sizes[axis])
        places |= set(range(here, here + length)) if axis in wanted else set()
        here += length
    if value is None:
        return False
    if isinstance(value, int):
        return places in ({value % rank}, set(range(value % rank, rank)))
    return {axis % rank for axis in value} == places


def _computed(fact: Any, known: Mapping[str, Any], sizes: Sizes) -> Any:
    match fact:
        case int() | float():
            return fact
        case Number(value):
            return value
        case Var(name):
            numbers = _numbers(known[name])
            return math.nan if numbers is None else numbers.astype(np.float64)
        case SizeOf(axes):
            return math.prod(size for axis in axes.split() for size in sizes[axis])
        case Filled(_, value):
            return _computed(value, known, sizes)
        case Apply("Div", (a, b)):
            return _computed(a, known, sizes) / _computed(b, known, sizes)
    raise TypeError(fact)


def _numbers(value: Any) -> np.ndarray | None:
    if isinstance(value, Value):
        return value.load()
    return constant_of(value) if isinstance(value, Variable | Constant) else np.asarray(value)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Variable | Constant | np.ndarray | Value)


def _shape(value: Any) -> tuple[Any, ...]:
    return tuple(value.shape)
