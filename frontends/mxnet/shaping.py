"""Other shapes of the same elements, and some of the elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regraft.rewriting.term import Term, op, term
from regraft.shapes.dims import Dim
from regraft.wording import count

from .call import REQUIRED, Call
from .codes import reshaped
from .table import converts

END = 2**63 - 1
"""To the end, as ONNX's Slice says it."""


def size(call: Call, index: int, axis: int) -> Term:
    """The length of an axis of an operand, int64 [1]."""
    return op.Shape(call[index], start=axis, end=axis + 1)


def lengths(call: Call, wanted: Sequence[Dim]) -> Term:
    """`wanted` as int64 values, for a Reshape or an Expand; names become sizes of operands."""
    if all(isinstance(dim, int) for dim in wanted):
        return _ints(*wanted)
    parts = []
    for dim in wanted:
        part = _ints(dim) if isinstance(dim, int) else _read(call, dim)
        if part is None:
            raise call.error(f"no operand has all of {list(wanted)}; fix more dimensions of the inputs")
        parts.append(part)
    return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]


def reshape(call: Call, wanted: Sequence[Dim]) -> Term:
    """The first operand in another shape.

    A dimension that stays at its index is 0, and one other named dimension -1; further ones are sizes of operands.
    """
    source = call.dims(0)
    target: list[Dim] = [0 if _stays(dim, source[i : i + 1]) else dim for i, dim in enumerate(wanted)]
    left = [i for i, dim in enumerate(target) if not isinstance(dim, int)]
    unread = [i for i in left if _read(call, target[i]) is None]
    for i in (unread or left)[:1]:
        target[i] = -1
    return op.Reshape(call[0], lengths(call, target))


def _stays(dim: Dim, here: Sequence[Dim]) -> bool:
    return not isinstance(dim, int) and dim in here


def _read(call: Call, dim: Dim) -> Term | None:
    """`dim`, int64 [1], where an operand has it."""
    for index in range(len(call)):
        if dim in call.dims(index):
            return size(call, index, call.dims(index).index(dim))
    return None


def _ints(*values: Dim) -> Term:
    return term(np.array(values, np.int64))


@converts("Reshape", "reshape")
def convert_reshape(call: Call) -> Term:
    try:
        return reshape(call, reshaped(call.dims(0), call.ints("shape"), call.flag("reverse")))
    except ValueError as error:
        raise call.error(str(error)) from error


@converts("reshape_like")
def reshape_like(call: Call) -> Term:
    left, right = call.dims(0), call.dims(1)
    begin, end, _ = slice(call.int("lhs_begin", None), call.int("lhs_end", None)).indices(len(left))
    taken = right[call.int("rhs_begin", None) : call.int("rhs_end", None)]
    return reshape(call, (*left[:begin], *taken, *left[end:]))


@converts("Flatten", "flatten")
def flatten(call: Call) -> Term:
    return op.Flatten(call[0], axis=1)


@converts("transpose")
def transpose(call: Call) -> Term:
    rank = len(call.dims(0))
    return op.Transpose(call[0], perm=call.axes("axes", None, rank) or list(reversed(range(rank))))


@converts("expand_dims")
def expand_dims(call: Call) -> Term:
    return op.Unsqueeze(call[0], axes=[call.axis("axis", -1, len(call.dims(0)) + 1)])


@converts("squeeze")
def squeeze(call: Call) -> Term:
    axes = call.axes("axis", None, len(call.dims(0)))
    if axes is None:
        axes = [i for i, dim in enumerate(call.dims(0)) if dim == 1]
    return op.Squeeze(call[0], axes=axes)


@converts("Concat", "concat")
def concat(call: Call) -> Term:
    axis = call.axis("dim", 1, len(call.dims(0)))
    return op.Concat(*(call[index] for index in range(len(call))), axis=axis)


@converts("stack")
def stack(call: Call) -> Term:
    axis = call.axis("axis", 0, len(call.dims(0)) + 1)
    return op.Concat(*(op.Unsqueeze(call[index], axes=[axis]) for index in range(len(call))), axis=axis)


@converts("slice")
def convert_slice(call: Call) -> Term:
    begin, end = call.ints("begin"), call.ints("end")
    step = call.ints("step", None) or (None,) * len(begin)
    if not len(begin) == len(end) == len(step) <= len(call.dims(0)):
        raise call.error(f"begin {begin}, end {end} and step {step} do not fit {count(len(call.dims(0)), 'axis')}")
    result = call[0]
    for axis, bounds in enumerate(zip(begin, end, step, strict=True)):
        result = _sliced(result, call.dims(0)[axis], axis, slice(*bounds))
    return result


@converts("slice_axis")
def slice_axis(call: Call) -> Term:
    axis = call.axis("axis", 0, len(call.dims(0)))
    return _sliced(call[0], call.dims(0)[axis], axis, slice(call.int("begin", 0), call.int("end", None)))


def _sliced(x: Term, dim: Dim, axis: int, span: slice) -> Term:
    """Some elements along an axis of `x`. No axis is empty in MXNet, so one index gives one element, even if the length
    is only a name."""
    first, by = span.start or 0, span.step or 1
    if (first, span.stop, by) == (0, None, 1):
        return x
    if not isinstance(dim, int) and span.stop == first + 1 > 0 < by:
        return op.Gather(x, _ints(first), axis=axis)
    if by < 0:
        first, last = END if span.start is None else first, -END if span.stop is None else span.stop
    else:
        last = END if span.stop is None else span.stop
    return op.Slice(x, _ints(first), _ints(last), _ints(axis), _ints(by))


@converts("broadcast_axis", "broadcast_axes")
def broadcast_axis(call: Call) -> Term:
    target = np.ones(len(call.dims(0)), np.int64)
    axes, sizes = call.axes("axis", REQUIRED, len(target)), call.ints("size")
    if len(axes) != len(sizes):
        raise call.error(f"{count(len(axes), 'axis')} and {count(len(sizes), 'size')}")
    target[axes] = sizes
    return op.Expand(call[0], target)


@converts("broadcast_like")
def broadcast_like(call: Call) -> Term:
    if call.ints("lhs_axes", None) is not None:
        raise call.error("only broadcasting of all axes is mapped, not of lhs_axes")
    return op.Expand(call[0], lengths(call, call.dims(1)))


@converts("shape_array")
def shape_array(call: Call) -> Term:
    return op.Shape(call[0])


@converts("gather_nd")
def gather_nd(call: Call) -> Term:
    depth, rank = call.dims(1)[0], len(call.dims(1))
    if not isinstance(depth, int):
        raise call.error("how many axes it looks up is not fixed; fix the first dimension of the indices")
    indices = op.Transpose(call[1], perm=[*range(1, rank), 0])
    return op.GatherND(call[0], call.cast(indices, 1, np.int64))


@converts("mean", "sum", "max", "min")
def reduce(call: Call) -> Term:
    rank, name = len(call.dims(0)), {"mean": "Mean", "sum": "Sum", "max": "Max", "min": "Min"}[call.node.op]
    axes = call.axes("axis", None, rank) or list(range(rank))
    if call.flag("exclude"):
        axes = [axis for axis in range(rank) if axis not in axes]
    return getattr(op, f"Reduce{name}")(call[0], axes=axes, keepdims=int(call.flag("keepdims")))
