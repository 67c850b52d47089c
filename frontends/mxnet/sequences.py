"""Operators on positions and lengths: ranges, filled tensors, masks, lookups."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.ir.weights import code_of
from regraft.rewriting.term import Number, Term, op, term
from regraft.wording import count

from .call import Call
from .shaping import lengths, size
from .table import converts


def positions(call: Call, index: int, axis: int, dtype: np.dtype[Any] | type) -> Term:
    """0, 1, 2 ... along an axis of an operand, in `dtype`."""
    length = call.dims(index)[axis]
    if isinstance(length, int):
        return term(np.arange(length, dtype=dtype))
    limit = op.Squeeze(size(call, index, axis), axes=[0])
    whole = op.Range(np.array(0, np.int64), limit, np.array(1, np.int64))
    return whole if np.dtype(dtype) == np.int64 else op.Cast(whole, to=code_of(dtype))


@converts("_arange")
def arange(call: Call) -> Term:
    """Where the length is inferred, the operand is a value of that length; see `translate`."""
    if call.int("repeat", 1) != 1:
        raise call.error("only repeat=1 is mapped")
    dtype = call.dtype_named()
    if call.flag("infer_range"):
        if len(call) != 1 or len(call.dims(0)) != 1:
            raise call.error("its length is inferred, and no other operand of what reads it has one dimension")
        return _stepped(call, positions(call, 0, 0, dtype))
    start, stop, step = call.float("start", 0.0), call.float("stop", None), call.float("step", 1.0)
    if stop is None:
        start, stop = 0.0, start
    return term(np.arange(start, stop, step).astype(dtype))


@converts("_contrib_arange_like")
def arange_like(call: Call) -> Term:
    if call.int("axis", None) is None:
        raise call.error("only an arange_like along an axis is mapped")
    return _stepped(call, positions(call, 0, call.axis("axis", 0, len(call.dims(0))), call.dtype()))


def _stepped(call: Call, steps: Term) -> Term:
    """start + step · `steps`."""
    start, step = call.float("start", 0.0), call.float("step", 1.0)
    scaled = steps if step == 1 else steps * Number(float(step))
    return scaled if start == 0 else scaled + Number(float(start))


@converts("ones_like", "zeros_like")
def filled_like(call: Call) -> Term:
    return op.Expand(Number(float(call.node.op == "ones_like")), lengths(call, call.dims(0)))


@converts("_ones", "_zeros")
def filled(call: Call) -> Term:
    return term(np.full(call.ints("shape"), float(call.node.op == "_ones"), call.dtype_named()))


@converts("Embedding")
def embedding(call: Call) -> Term:
    return op.Gather(call[1], call.cast(call[0], 0, np.int64))


@converts("SequenceMask")
def sequence_mask(call: Call) -> Term:
    """On `[T, B, ...]` or `[B, T, ...]`: elements beyond the lengths `[B]` become `value`."""
    if not call.flag("use_sequence_length"):
        return call[0]
    axis, rank = call.axis("axis", 0, len(call.dims(0))), len(call.dims(0))
    if axis > 1:
        raise call.error(f"axis {axis} is neither 0 nor 1")
    steps = positions(call, 0, axis, call.dtype(1))
    beyond = list(range(2, rank))
    kept = op.Less(op.Unsqueeze(steps, axes=[1 - axis, *beyond]), op.Unsqueeze(call[1], axes=[axis, *beyond]))
    return op.Where(kept, call[0], Number(call.float("value", 0.0)))


@converts("softmax")
def softmax(call: Call) -> Term:
    """With lengths: over the elements before the end, and 0 beyond; all is 0 where the length is 0."""
    rank = len(call.dims(0))
    axis = call.axis("axis", -1, rank)
    if call.text("dtype", None) is not None:
        raise call.error("only a softmax in the operand's dtype is mapped")
    temperature = call.float("temperature", None)
    scores = call[0] if temperature in (None, 1.0) else call[0] / Number(float(temperature))
    if not call.flag("use_length"):
        return op.Softmax(scores, axis=axis)
    if len(call.dims(1)) != rank - 1:
        raise call.error(f"the lengths have {count(len(call.dims(1)), 'dimension')}, the operand {rank}")
    steps = positions(call, 0, axis, call.dtype(1))
    if axis < rank - 1:
        steps = op.Unsqueeze(steps, axes=list(range(1, rank - axis)))
    kept = op.Less(steps, op.Unsqueeze(call[1], axes=[axis]))
    weights = op.Softmax(op.Where(kept, scores, Number(-np.inf)), axis=axis)
    return op.Where(op.IsNaN(weights), 0.0, weights)
