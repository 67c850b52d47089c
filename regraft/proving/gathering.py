"""Meanings of operators that take elements at computed places, and of those whose elements are sizes or places."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto, numpy_helper

from regraft.proving.arrays import Array, array, choice, dtype_of, kind_of
from regraft.proving.call import Call
from regraft.proving.digits import number_of, place_at
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Place, Polynomial, constant
from regraft.proving.ranges import is_natural
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import place_of
from regraft.proving.sizes import size
from regraft.proving.slicing import count_of
from regraft.proving.tensor import FREE, At, Axis, Tensor, axis_of, filled, named
from regraft.proving.truths import at_least, compare, complement
from regraft.rewriting.facts import Kind


@dataclass(frozen=True, eq=False)
class Sizes(Tensor):
    """What Shape gives: the sizes of the axes `of`."""

    of: tuple[Axis, ...] = ()


def shape(call: Call) -> Tensor:
    axes = call.operand(0).axes
    start, end = call.attribute("start", 0), call.attribute("end", None)
    if FREE in axes or (any(axis.many for axis in axes) and (start, end) != (0, None)):
        raise OutOfReach("Shape of groups of axes")
    axes = axes[start:end]

    def elements(at: At, domain: Domain) -> Polynomial:
        if any(axis.many for axis in axes):
            raise OutOfReach("Shape of groups of axes, at a place counted from the first")
        return choice({n: count_of(axis) for n, axis in enumerate(axes)}, number_of(at[0]))

    many = any(axis.many for axis in axes)
    return Sizes((Axis("rank of a shape") if many else axis_of(constant(len(axes))),), elements, "integer", of=axes)


def size_of(call: Call) -> Tensor:
    axes = call.operand(0).axes
    if FREE in axes:
        raise OutOfReach("Size of an operand of any shape")
    result = constant(1)
    for axis in axes:
        result = result if axis.unit else result * size(axis.name)
    return filled(result, kind="integer")


def settled(index: Polynomial, count: Polynomial, domain: Domain) -> Place:
    """The place that a number means among `count` elements: one below 0 is counted from the end."""
    if not is_natural(index):
        index = index + count * complement(at_least(index))
    for least in (index, count - constant(1) - index):
        if not is_natural(least):
            domain.require(least, ">=0")
    return place_at(index)


def gather(call: Call) -> Tensor:
    data, indices = call.operand(0), call.operand(1)
    if isinstance(data, Sizes) and any(axis.many for axis in data.of):
        return _size_at(call, data, indices)
    place, width = place_of(call.attribute("axis", 0), data.axes), len(indices.axes)
    if FREE in indices.axes:
        raise OutOfReach("Gather at places of any shape")
    count = count_of(data.axes[place])

    def elements(at: At, domain: Domain) -> Polynomial:
        index = indices.elements(at[place : place + width], domain)
        source = (*at[:place], settled(index, count, domain), *at[place + width :])
        return data.elements(source, domain)

    axes = (*data.axes[:place], *indices.axes, *data.axes[place + 1 :])
    return Tensor(axes, elements, data.kind, never_nan=data.never_nan)


def _size_at(call: Call, data: Sizes, indices: Tensor) -> Tensor:
    if indices.axes:
        raise OutOfReach("Gather of sizes of groups of axes")
    number = indices.elements((), Domain()).number
    if number is None or call.attribute("axis", 0):
        raise OutOfReach("Gather of an axis that is no number")
    return filled(count_of(data.of[place_of(int(number), data.of)]), kind="integer")


def gather_elements(call: Call) -> Tensor:
    data, indices = call.operand(0), call.operand(1)
    place = place_of(call.attribute("axis", 0), data.axes)
    if len(data.axes) != len(indices.axes) or FREE in data.axes:
        raise ShapeError(f"GatherElements of [{named(data.axes)}] at [{named(indices.axes)}]")
    count = count_of(data.axes[place])

    def elements(at: At, domain: Domain) -> Polynomial:
        source = (*at[:place], settled(indices.elements(at, domain), count, domain), *at[place + 1 :])
        return data.elements(source, domain)

    return Tensor(indices.axes, elements, data.kind)


def gather_nd(call: Call) -> Tensor:
    data, indices, shared = call.operand(0), call.operand(1), call.attribute("batch_dims", 0)
    if any(axis.many for axis in (*data.axes, *indices.axes)):
        raise OutOfReach("GatherND of groups of axes")
    depth = count_of(indices.axes[-1]).number
    if depth is None or data.axes[:shared] != indices.axes[:shared]:
        raise ShapeError(f"GatherND of [{named(data.axes)}] at [{named(indices.axes)}]")
    width = len(indices.axes) - 1
    counts = [count_of(axis) for axis in data.axes[shared : shared + int(depth)]]

    def elements(at: At, domain: Domain) -> Polynomial:
        found = [indices.elements((*at[:width], n), domain) for n in range(len(counts))]
        places = (settled(index, count, domain) for index, count in zip(found, counts, strict=True))
        return data.elements((*at[:shared], *places, *at[width:]), domain)

    return Tensor((*indices.axes[:-1], *data.axes[shared + len(counts) :]), elements, data.kind)


def one_hot(call: Call) -> Tensor:
    indices, depth, values = call.operand(0), call.numbers("depth", 1), call.operand(2)
    if depth is None or len(depth) != 1 or any(axis.many for axis in indices.axes):
        raise OutOfReach("OneHot of other than known axes")
    (count,) = depth
    axis, rank = call.attribute("axis", -1), len(indices.axes) + 1
    if not -rank <= axis < rank:
        raise ShapeError(f"no axis {axis} of {rank}")
    place = axis % rank

    def elements(at: At, domain: Domain) -> Polynomial:
        index = indices.elements((*at[:place], *at[place + 1 :]), domain)
        if not is_natural(index):
            index = index + count * complement(at_least(index))
        off, on = (values.elements((n,), domain) for n in (0, 1))
        return off + (on - off) * compare(index, "=", number_of(at[place]), total=True)

    return Tensor((*indices.axes[:place], axis_of(count), *indices.axes[place:]), elements, values.kind)


def constant_of_shape(call: Call) -> Tensor:
    number = array(_values(call.attribute("value", np.zeros(1, np.float32))).reshape(()))
    wanted = None if call.result is not None else call.numbers("shape", 0)
    axes = call.known_result() if wanted is None else tuple(map(axis_of, wanted))
    return Tensor(axes, lambda at, domain: number.elements((), domain), number.kind, never_nan=True)


def constant_of(call: Call) -> Tensor:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = call.attribute(name, None)
        if value is not None:
            return array(_values(value))
    raise OutOfReach("Constant of no numbers")


def _values(value: object) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def range_(call: Call) -> Tensor:
    start, limit, delta = (tensor.elements((), Domain()) for tensor in call.given())
    if any(tensor.kind == "real" for tensor in call.given()) or delta not in (constant(1), constant(-1)):
        raise OutOfReach("Range of other than whole numbers one by one")
    length = (limit - start) * delta
    if not is_natural(length - constant(1)):
        raise OutOfReach(f"Range of {length.text} numbers")
    axis = axis_of(length)
    if axis.many:
        raise OutOfReach("Range over a group of axes")

    def elements(at: At, domain: Domain) -> Polynomial:
        return start + delta * number_of(at[0])

    return Tensor((axis,), elements, "integer")


def eye_like(call: Call) -> Tensor:
    x, k = call.operand(0), call.attribute("k", 0)
    to = call.attribute("dtype", None)
    kind: Kind | None = x.kind if to is None else kind_of(dtype_of(to))

    def elements(at: At, domain: Domain) -> Polynomial:
        row, column = map(number_of, at)
        return compare(row + constant(k), "=", column, total=True)

    if len(x.axes) != 2:
        raise ShapeError("EyeLike of other than a matrix")
    return replace(x, elements=elements, kind=kind)


def triangle(call: Call) -> Tensor:
    x = call.operand(0)
    if len(x.axes) < 2 or any(axis.many for axis in x.axes[-2:]):
        raise OutOfReach("Trilu of other than matrices")
    k = call.numbers("k", 1) or [constant(0)]
    upper = call.attribute("upper", 1)

    def elements(at: At, domain: Domain) -> Polynomial:
        row, column = map(number_of, at[-2:])
        above = column - row - k[0]
        return at_least(above if upper else -above) * x.elements(at, domain)

    return replace(x, elements=elements)
