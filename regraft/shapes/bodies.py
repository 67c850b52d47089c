"""Shapes through If, Loop and Scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import onnx

from regraft.ir.graph import Constant, Graph, Tensor
from regraft.shapes import dims
from regraft.shapes.dims import Dim
from regraft.shapes.facts import UNKNOWN, Fact, Facts
from regraft.shapes.op_call import Call

Scope = dict[str, Any]


class Walk(Protocol):
    """What walks a body."""

    facts: Facts

    def body(self, graph: Graph, inputs: list[Fact], attrs: Scope) -> list[Fact]:
        """What a body gives for `inputs`."""


def _if(walk: Walk, call: Call, scope: Scope) -> list[Fact]:
    """What both branches give."""
    then, otherwise = (walk.body(call.attrs[name], [], scope) for name in ("then_branch", "else_branch"))
    return [_common(a, b) for a, b in zip(then, otherwise, strict=False)]


def _loop(walk: Walk, call: Call, scope: Scope) -> list[Fact]:
    """The values that are handed on as they are in every iteration, and a new axis before the others."""
    body: Graph = call.attrs["body"]
    asked = call.inputs[1].dims if len(call.inputs) > 1 else None
    before = [
        Fact(code, _single(tensor, given))
        for tensor, code, given in zip(
            body.inputs, (onnx.TensorProto.INT64, onnx.TensorProto.BOOL), ((), asked), strict=False
        )
    ]
    start = call.inputs[2:]
    state, made = _iterate(walk, body, scope, before, start, [], skip=1)
    return state + [_with_axis(fact, 0, dims.unnamed()) for fact in made[1 + len(start) :]]


def _single(tensor: Tensor, given: tuple[Dim, ...] | None) -> tuple[Dim, ...]:
    """The shape of a Loop's counter or condition in its body: ONNX Runtime makes it `[1]` if the body says so."""
    dims = given if isinstance(tensor, Constant) or tensor.shape is None else tensor.shape
    return () if not dims else (1,)


def _scan(walk: Walk, call: Call, scope: Scope) -> list[Fact]:
    """As Loop; some inputs lose an axis, along which the iterations run."""
    if call.opset < 9:
        return []
    count: int = call.attrs["num_scan_inputs"]
    split = len(call.inputs) - count
    length: Dim = dims.unnamed()
    slices = []
    for fact, axis in zip(call.inputs[split:], call.attrs.get("scan_input_axes") or [0] * count, strict=True):
        shape = list(fact.dims or ())
        length = shape.pop(axis) if shape else length
        slices.append(Fact(fact.code, None if fact.dims is None else tuple(shape)))
    state, made = _iterate(walk, call.attrs["body"], scope, [], call.inputs[:split], slices, skip=0)
    stacked = made[split:]
    axes = call.attrs.get("scan_output_axes") or [0] * len(stacked)
    return state + [_with_axis(fact, axis, length) for fact, axis in zip(stacked, axes, strict=True)]


RULES: dict[str, Callable[[Walk, Call, Scope], list[Fact]]] = {"If": _if, "Loop": _loop, "Scan": _scan}


def _iterate(
    walk: Walk, body: Graph, scope: Scope, before: list[Fact], start: list[Fact], after: list[Fact], skip: int
) -> tuple[list[Fact], list[Fact]]:
    """The values that iterations hand on, as they are at the end, and all outputs of the body.

    A dimension that an iteration changes is unknown in all of them; the rest is proven by induction.

    Args:
        before, after: what is known of the body's other inputs.
        skip: how many outputs of the body come before the values handed on.
    """
    state = [fact._replace(value=None) for fact in start]
    changing: set[Dim] = set()
    while True:
        problems = len(walk.facts.problems)
        made = walk.body(body, [*before, *state, *after], scope)
        ends = made[skip : skip + len(state)]
        ends += state[len(ends) :]  # a damaged body gives less than it is asked for
        general = [_general(a, b, changing) for a, b in zip(state, ends, strict=True)]
        if all((a.code, a.dims) == (b.code, b.dims) for a, b in zip(state, general, strict=True)):
            return [_fresh(fact, changing) for fact in general], made
        state = general
        del walk.facts.problems[problems:]


def _general(state: Fact, end: Fact, changing: set[Dim]) -> Fact:
    """What holds before and after an iteration."""
    if state.dims is None or end.dims is None or len(state.dims) != len(end.dims):
        return state._replace(dims=None)
    shape = []
    for a, b in zip(state.dims, end.dims, strict=True):
        if a != b and a not in changing:
            a = dims.unnamed()
            changing.add(a)
        shape.append(a)
    return state._replace(dims=tuple(shape))


def _fresh(fact: Fact, changing: set[Dim]) -> Fact:
    if fact.dims is None:
        return fact
    return fact._replace(dims=tuple(dims.unnamed() if d in changing else d for d in fact.dims))


def _common(a: Fact, b: Fact) -> Fact:
    """What holds of both."""
    if a.other is not None:
        return a if b.other == a.other else UNKNOWN
    if a.code != b.code:
        return UNKNOWN
    if a.dims is None or b.dims is None or len(a.dims) != len(b.dims):
        return Fact(a.code)
    return Fact(a.code, tuple(x if x == y else dims.unnamed() for x, y in zip(a.dims, b.dims, strict=True)))


def _with_axis(fact: Fact, axis: int, size: Dim) -> Fact:
    if fact.dims is None:
        return Fact(fact.code)
    shape = list(fact.dims)
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, size)
    return Fact(fact.code, tuple(shape))
