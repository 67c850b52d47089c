"""Normalizations, as terms of plain operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regraft.proving.call import Call, Known
from regraft.proving.polynomial import constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import place_of, places_of
from regraft.proving.reshaping import left, reshaped
from regraft.proving.tensor import Axis, Tensor, axis_of, named
from regraft.rewriting import formula
from regraft.rewriting.facts import Axes
from regraft.rewriting.term import Term, op


def layer_norm(call: Call) -> Term:
    x = call.operand(0)
    places, axes = _last(call)
    for tensor in call.operands[1:]:
        if tensor is not None and tensor.axes != x.axes[places[0] :]:
            raise ShapeError("LayerNormalization with a scale or bias of other axes than it normalizes")
    scale, bias = (*call.terms[1:], None)[:2]
    return formula.layer_norm(call.terms[0], scale, bias, axes, call.number("epsilon", 1e-5))


def rms_norm(call: Call) -> Term:
    _, axes = _last(call)
    x, scale = call.terms[:2]
    mean = op.ReduceMean(_square(x), axes=axes, keepdims=1)
    return x / op.Sqrt(mean + call.number("epsilon", 1e-5)) * scale


def _last(call: Call) -> tuple[list[int], Any]:
    """The axes from one on, by their places, and as an attribute."""
    x, axis = call.operand(0), call.attribute("axis", -1)
    rank = len(x.axes)
    places = places_of(axis, x) if isinstance(axis, Axes) else list(range(place_of(axis, x.axes), rank))
    if places != list(range(places[0], rank)):
        raise ShapeError(f"{call.op} over other axes than the last")
    return places, axis if isinstance(axis, Axes) else [place - rank for place in places]


def _square(x: Any) -> Term:
    return op.Mul(x, x)


def _channels(call: Call) -> tuple[Tensor, list[int]]:
    """The first operand, and its axes behind the channels."""
    x = call.operand(0)
    if any(axis.many for axis in x.axes) or len(x.axes) < 2:
        raise OutOfReach(f"{call.op} of [{named(x.axes)}]")
    return x, list(range(2, len(x.axes)))


def _beside(term: Any, axes: Sequence[int]) -> Any:
    """A number for each channel beside `axes` more."""
    return op.Unsqueeze(term, axes=[axis - 1 for axis in axes]) if axes else term


def batch_norm(call: Call) -> Term:
    if call.attribute("training_mode", 0):
        raise OutOfReach("BatchNormalization in training")
    call.attribute("momentum", 0.9)
    _, behind = _channels(call)
    x, *parameters = call.terms
    scale, bias, mean, variance = (_beside(one, behind) for one in parameters)
    return (x - mean) / op.Sqrt(variance + call.number("epsilon", 1e-5)) * scale + bias


def instance_norm(call: Call) -> Term:
    _, behind = _channels(call)
    x, scale, bias = call.terms
    parameters = _beside(scale, behind), _beside(bias, behind)
    return formula.layer_norm(x, *parameters, behind, call.number("epsilon", 1e-5))


def group_norm(call: Call) -> Term:
    x, behind = _channels(call)
    groups = call.attribute("num_groups")
    members = left([x.axes[1]], [axis_of(constant(groups))])
    if call.operand(1).axes != (x.axes[1],):
        raise OutOfReach("GroupNormalization with a scale for each group, as before opset 21")
    apart: list[Axis] = [x.axes[0], axis_of(constant(groups)), members, *x.axes[2:]]
    grouped = Known(reshaped(x, apart))
    axes = list(range(2, len(apart)))
    normal = formula.layer_norm(grouped, None, None, axes, call.number("epsilon", 1e-5))
    whole = op.Reshape(normal, op.Shape(call.terms[0]))
    return whole * _beside(call.terms[1], behind) + _beside(call.terms[2], behind)


def lp_norm(call: Call) -> Term:
    axes, p = [call.attribute("axis", -1)], call.attribute("p", 2)
    if p not in (1, 2):
        raise OutOfReach(f"LpNormalization with p = {p}")
    x = call.terms[0]
    length = op.ReduceL1(x, axes=axes) if p == 1 else op.ReduceL2(x, axes=axes)
    return op.Where(op.Equal(length, 0.0), op.Sub(x, x), x / length)  # of zeros it gives zeros


def mean_variance_norm(call: Call) -> Term:
    x, axes = call.terms[0], call.attribute("axes", [0, 2, 3])
    centred = op.Sub(x, op.ReduceMean(x, axes=axes))
    return centred / (op.Sqrt(op.ReduceMean(_square(centred), axes=axes)) + 1e-9)
