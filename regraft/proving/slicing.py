"""Meanings of operators that cut axes into parts, and put parts together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from regraft import wording
from regraft.ir.dimensions import FAR
from regraft.proving.call import Call
from regraft.proving.digits import exact, number_of, place_at
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Place, Polynomial, constant, summed
from regraft.proving.ranges import is_natural
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import place_of
from regraft.proving.sizes import expanded, name_of, size
from regraft.proving.tensor import FREE, At, Axis, Tensor, axis_of, filled, named
from regraft.proving.truths import at_least, complement

_ONE = constant(1)


def count_of(axis: Axis) -> Polynomial:
    """How many elements lie along one axis."""
    if axis.many:
        raise OutOfReach("a part of a group of axes")
    return _ONE if axis.unit else size(axis.name)


def moved(x: Tensor, axes: Sequence[Axis], steps: dict[int, tuple[Polynomial, int]]) -> Tensor:
    """`x` read along some axes from a start with a step."""

    def elements(at: At, domain: Domain) -> Polynomial:
        source: list[Place] = list(at)
        for place, (start, step) in steps.items():
            source[place] = place_at(start + number_of(at[place]).scaled(step))
        return x.elements(tuple(source), domain)

    return replace(x, axes=tuple(axes), elements=elements, free=frozenset())


def slice_(call: Call) -> Tensor:
    x = call.operand(0)
    starts, ends, steps = call.numbers("starts", 1), call.numbers("ends", 2), call.whole("steps", 4)
    axes = call.whole("axes", 3)
    if starts is None or ends is None:
        raise OutOfReach("Slice without starts or ends")
    if FREE in x.axes:
        raise OutOfReach("Slice of an operand of any shape")
    places = [place_of(axis, x.axes) for axis in (range(len(starts)) if axes is None else axes)]
    by = [1] * len(starts) if steps is None else steps
    found, cuts = list(x.axes), dict[int, tuple[Polynomial, int]]()
    for place, start, end, step in zip(places, starts, ends, by, strict=True):
        count = count_of(x.axes[place])
        first = _clamped(start, count, step, is_start=True)
        found[place] = call.result_axis(place, partial(_taken, first, end, count, step))
        if found[place] != x.axes[place] or step != 1:
            cuts[place] = first, step
    return moved(x, found, cuts)


def _clamped(place: Polynomial, count: Polynomial, step: int, is_start: bool) -> Polynomial:
    """Where a slice starts or ends on an axis of `count` elements, of which it takes one at least.

    Raises:
        OutOfReach: that depends on the number of elements.
    """
    last = count if step > 0 else count - _ONE
    number, length = place.number, count.number
    if number is not None and abs(number) >= FAR:
        return last if number > 0 else constant(0 if step > 0 or is_start else -1)
    if number is not None and length is not None:
        reached = number + length if number < 0 else number
        return constant(min(max(reached, 0 if step > 0 or is_start else -1), last.number or 0))
    if is_natural(place):
        if is_natural(last - place) or (is_start and step > 0):  # else nothing would be taken
            return place
    elif is_natural(-place - _ONE) and is_natural(count + place):
        return count + place
    raise OutOfReach(f"a Slice at {place.text} of {count.text} elements")


def _taken(first: Polynomial, end: Polynomial, count: Polynomial, step: int) -> Axis:
    """The axis of what a slice takes."""
    return axis_of(_length(first, _clamped(end, count, step, is_start=False), step))


def _length(first: Polynomial, last: Polynomial, step: int) -> Polynomial:
    taken = last - first if step > 0 else first - last
    if taken.number is not None:
        return constant(math.ceil(taken.number / abs(step)))
    whole = exact(taken, constant(abs(step)))
    if whole is None:
        raise OutOfReach(f"a Slice of each {abs(step)} of {taken.text} elements")
    return whole


def split(call: Call) -> Tensor:
    x = call.operand(0)
    place = place_of(call.attribute("axis", 0), x.axes)
    sizes, count = call.numbers("split", 1), count_of(x.axes[place])
    number = call.attribute("num_outputs", call.outputs)
    if sizes is None:
        share = exact(count, constant(number))
        if share is None:
            if count.number is None:
                raise OutOfReach(f"Split of {count.text} elements into {number}")
            share = constant(math.ceil(count.number / number))
        sizes = [*[share] * (number - 1), count - share.scaled(number - 1)]
    start = summed((one, 1) for one in sizes[: call.place])
    axes = [axis_of(sizes[call.place]) if n == place else axis for n, axis in enumerate(x.axes)]
    return moved(x, axes, {place: (start, 1)})


def concat(call: Call) -> Tensor:
    parts = call.given()
    if any(FREE in part.axes for part in parts):
        raise OutOfReach("Concat of operands of any shape")
    place = place_of(call.attribute("axis"), parts[0].axes)
    beside = {(*part.axes[:place], *part.axes[place + 1 :]) for part in parts}
    if len(beside) > 1:
        raise ShapeError(f"Concat of {' and '.join(sorted(f'[{named(part.axes)}]' for part in parts))}")
    starts = [constant(0)]
    for part in parts:
        starts.append(_expanded(starts[-1] + count_of(part.axes[place])))

    def elements(at: At, domain: Domain) -> Polynomial:
        number, found = number_of(at[place]), []
        for part, start, end in zip(parts, starts, starts[1:], strict=False):
            after_start = at_least(number - start) if start else _ONE
            before_end = complement(at_least(number - end)) if end != starts[-1] else _ONE
            guard = after_start * before_end
            if guard:
                source = (*at[:place], place_at(number - start), *at[place + 1 :])
                found.append((guard * guarded(part, source, guard, domain), 1))
        return summed(found)

    axis = axis_of(starts[-1])
    axes = tuple(axis if n == place else one for n, one in enumerate(parts[0].axes))
    return Tensor(axes, elements, next((part.kind for part in parts if part.kind), None))


def _expanded(p: Polynomial) -> Polynomial:
    return expanded(name_of(p))


def guarded(x: Tensor, at: At, guard: Polynomial, domain: Domain) -> Polynomial:
    """What stands at a place, which need be defined only where `guard` is 1."""
    inner, _ = domain.inner()
    value = x.elements(at, inner)
    domain.take(inner, guard)
    return value


def padded(x: Tensor, pads: dict[int, tuple[Polynomial, Polynomial]], value: Tensor) -> Tensor:
    """`x` with a number before and after what stands along some axes; what is less than 0 is cut off."""
    axes = list(x.axes)
    for place, (before, after) in pads.items():
        axes[place] = axis_of(count_of(x.axes[place]) + before + after)

    def elements(at: At, domain: Domain) -> Polynomial:
        source, guard = list(at), _ONE
        for place, (before, _) in pads.items():
            number = number_of(at[place]) - before
            guard = guard * within(number, count_of(x.axes[place]))
            source[place] = place_at(number)
        inside = guard * guarded(x, tuple(source), guard, domain) if guard else guard
        outside = complement(guard)
        return inside + (outside * value.elements(tuple(0 for _ in value.axes), domain) if outside else outside)

    return Tensor(tuple(axes), elements, x.kind)


def within(number: Polynomial, count: Polynomial) -> Polynomial:
    """Whether a whole number is an index of `count` elements."""
    return at_least(number) * complement(at_least(number - count))


def pad(call: Call) -> Tensor:
    x, pads, axes = call.operand(0), call.numbers("pads", 1), call.whole("axes", 3)
    if call.attribute("mode", "constant") != "constant" or pads is None:
        raise OutOfReach("Pad of other than a constant")
    number = call.number("value", None)
    given = call.operands[2] if len(call.operands) > 2 else None
    value = given or filled(constant(0) if number is None else constant(number), kind=x.kind)
    places = [place_of(axis, x.axes) for axis in (range(len(x.axes)) if axes is None else axes)]
    half = len(places)
    if len(pads) != 2 * half:
        raise ShapeError(f"Pad of {wording.count(half, 'axis')} by {wording.count(len(pads), 'number')}")
    ends = {place: (pads[n], pads[n + half]) for n, place in enumerate(places) if pads[n] or pads[n + half]}
    return padded(x, ends, value)
