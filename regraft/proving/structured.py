"""Meanings of operators that look along axes, or at indices and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regraft.proving import sums
from regraft.proving.call import Call, Meaning
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Polynomial
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import count, place_of, places_of, reduced
from regraft.proving.tensor import (
    Tensor,
)
from regraft.rewriting import formula
from regraft.rewriting.facts import Axes
from regraft.rewriting.term import Term, op


def of_reals(meaning: Meaning) -> Meaning:
    """Of floats only: of whole numbers the result is rounded."""

    def of(call: Call) -> Tensor | Term:
        if call.operand(0).is_whole:
            raise OutOfReach(f"{call.op} of whole numbers")
        return meaning(call)

    return of


def reduction(how: Callable[[Polynomial, Polynomial, list[Any], int], Polynomial]) -> Meaning:
    """`how` gets the element, the number of elements, the indices and the next free number."""

    def meaning(call: Call) -> Tensor:
        tensor = call.operand(0)
        axes = call.attribute("axes", None)
        if len(call.operands) > 1 or (axes in ([], ()) and call.attribute("noop_with_empty_axes", 0)):
            raise OutOfReach(f"axes of {call.op} that are no attribute, or none")
        places = places_of(None if axes in ([], ()) else axes, tensor)
        number = count(tensor, places)
        return reduced(tensor, places, bool(call.attribute("keepdims", 1)), lambda p, i, n: how(p, number, i, n))

    return meaning


def mean(p: Polynomial, number: Polynomial, indices: list[Any], fresh: int) -> Polynomial:
    return sums.total(p, indices, fresh) * Domain().power(number, -1)


def softmax(call: Call, finish: Callable[[Term, Term], Term]) -> Term:
    axis = call.attribute("axis", -1)
    axes = axis if isinstance(axis, Axes) else [axis]
    return finish(call.terms[0], op.ReduceSum(op.Exp(call.terms[0]), axes=axes, keepdims=1))  # type: ignore[arg-type]


def layer_norm(call: Call) -> Term:
    x, axis = call.operand(0), call.attribute("axis", -1)
    rank = len(x.axes)
    places = places_of(axis, x) if isinstance(axis, Axes) else list(range(place_of(axis, x.axes), rank))
    if places != list(range(places[0], rank)):
        raise ShapeError("LayerNormalization over other axes than the last")
    for tensor in call.operands[1:]:
        if tensor is not None and tensor.axes != x.axes[places[0] :]:
            raise ShapeError("LayerNormalization with a scale or bias of other axes than it normalizes")
    scale, bias = (*call.terms[1:], None)[:2]
    axes = axis if isinstance(axis, Axes) else [place - rank for place in places]
    return formula.layer_norm(call.terms[0], scale, bias, axes, call.number("epsilon", 1e-5))
