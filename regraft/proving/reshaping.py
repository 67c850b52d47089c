"""Meanings of operators that lay the same elements out along other axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from regraft.proving.call import Call
from regraft.proving.digits import digit, number_of, place_at
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Place, Polynomial, constant, summed
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import place_of
from regraft.proving.sizes import product, size
from regraft.proving.tensor import FREE, UNIT, At, Axis, Tensor, axis_of, broadcast, filled, named, pointwise
from regraft.proving.views import squeezed, transposed, unsqueezed
from regraft.shapes import dims


def reshaped(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """The elements of `x` in their order along other axes: an index is mixed of digits, and taken apart again.

    Raises:
        ShapeError: there are more elements along the one than along the other, as far as is known.
    """
    old = [place for place, axis in enumerate(x.axes) if axis != UNIT]
    new = [place for place, axis in enumerate(axes) if axis != UNIT]
    same: dict[int, int] = {}
    for end in (0, -1):
        while old and new and x.axes[old[end]] == axes[new[end]]:
            same[old.pop(end)] = new.pop(end)
    if any(axis.many for axis in (*(x.axes[place] for place in old), *(axes[place] for place in new))):
        raise OutOfReach(f"Reshape of [{named(x.axes)}] to [{named(axes)}], where capitals are groups of axes")
    if product(x.axes[place].name for place in old) != product(axes[place].name for place in new):
        raise ShapeError(f"Reshape of [{named(x.axes)}] to [{named(axes)}]")

    def elements(at: At, domain: Domain) -> Polynomial:
        source: dict[int, Place] = dict.fromkeys(range(len(x.axes)), 0)
        source |= {place: at[other] for place, other in same.items()}
        strides = _strides([axes[place] for place in new])
        number = summed((number_of(at[place]) * stride, 1) for place, stride in zip(new, strides, strict=True))
        for place, stride in zip(old, _strides([x.axes[place] for place in old]), strict=True):
            source[place] = place_at(digit(number, stride, size(x.axes[place].name)))
        return x.elements(tuple(source[place] for place in range(len(x.axes))), domain)

    return replace(x, axes=tuple(axes), elements=elements, free=frozenset())


def _strides(axes: Sequence[Axis]) -> list[Polynomial]:
    """How many elements lie between neighbours along each axis."""
    found = [constant(1)]
    for axis in reversed(axes[1:]):
        found.append(found[-1] * size(axis.name))
    return found[::-1] if axes else []


def reshape(call: Call) -> Tensor:
    x = call.operand(0)
    zero = call.attribute("allowzero", 0)
    if FREE in x.axes:
        raise OutOfReach("Reshape of an operand of any shape")
    wanted = None if call.result is not None else call.numbers("shape", 1)
    call.attribute("shape", None)
    if wanted is None:
        return reshaped(x, call.known_result())
    found: list[Axis | None] = []
    for place, one in enumerate(wanted):
        if one == constant(0) and not zero:
            found.append(x.axes[place_of(place, x.axes)])
        else:
            found.append(None if one == constant(-1) else axis_of(one))
    if None not in found:
        return reshaped(x, [axis for axis in found if axis is not None])
    rest = left(x.axes, [axis for axis in found if axis is not None])
    return reshaped(x, [rest if axis is None else axis for axis in found])


def left(axes: Sequence[Axis], known: Sequence[Axis]) -> Axis:
    """The axis that has what others leave of the elements."""
    old, new = list(axes), []
    for axis in known:
        if axis in old:
            old.remove(axis)
        elif axis != UNIT:
            new.append(axis)
    if any(axis.many for axis in (*old, *new)):
        raise OutOfReach(f"Reshape of [{named(axes)}], where capitals are groups of axes")
    over, under = product(axis.name for axis in old), product(axis.name for axis in new)
    found = dims.quotient([over], [under])
    if found * under != over:
        raise ShapeError(f"Reshape of [{named(axes)}] to [{named(known)}] and one more axis")
    name = str(found)
    return UNIT if name == "1" else Axis(name)


def flatten(call: Call) -> Tensor:
    x, axis = call.operand(0), call.attribute("axis", 1)
    rank = len(x.axes)
    if any(one.many for one in x.axes):
        raise OutOfReach("Flatten of groups of axes")
    if not -rank <= axis <= rank:
        raise ShapeError(f"no axis {axis} in [{named(x.axes)}]")
    place = axis % rank if axis < 0 else axis
    return reshaped(x, [merged(x.axes[:place]), merged(x.axes[place:])])


def merged(axes: Sequence[Axis]) -> Axis:
    name = str(product(axis.name for axis in axes if not axis.unit))
    return UNIT if name == "1" else Axis(name)


def squeeze(call: Call) -> Tensor:
    x, axes = call.operand(0), call.whole("axes", 1)
    if axes is not None:
        return squeezed(x, [place_of(axis, x.axes) for axis in axes])
    if not all(axis == UNIT or axis.name.isdigit() for axis in x.axes) and call.result is None:
        raise OutOfReach("Squeeze without axes, of axes of which the size is not known")
    found = squeezed(x, [place for place, axis in enumerate(x.axes) if axis == UNIT])
    if call.result is not None and call.result != found.axes:
        raise OutOfReach(f"Squeeze of [{named(x.axes)}] to [{named(call.result)}]")
    return found


def unsqueeze(call: Call) -> Tensor:
    axes = call.whole("axes", 1)
    if axes is None:
        raise OutOfReach("Unsqueeze without axes")
    return unsqueezed(call.operand(0), axes)


def expand(call: Call) -> Tensor:
    x = call.operand(0)
    wanted = None if call.result is not None else call.numbers("shape", 1)
    call.attribute("shape", None)
    axes = call.known_result() if wanted is None else broadcast([x.axes, tuple(map(axis_of, wanted))])
    return replace(pointwise(lambda a, b: a, x, filled(constant(0), axes)), kind=x.kind, never_nan=x.never_nan)


def tile(call: Call) -> Tensor:
    x, repeats = call.operand(0), call.numbers("repeats", 1)
    if repeats is None or len(repeats) != len(x.axes):
        raise ShapeError(f"Tile of [{named(x.axes)}]")
    axes = list(x.axes)
    for place, (axis, times) in enumerate(zip(x.axes, repeats, strict=True)):
        if times != constant(1):
            if axis.many:
                raise OutOfReach("Tile of a group of axes")
            axes[place] = axis_of(times if axis.unit else size(axis.name) * times)

    def elements(at: At, domain: Domain) -> Polynomial:
        source = [
            place if old == new or old.unit else place_at(digit(number_of(place), constant(1), size(old.name)))
            for place, old, new in zip(at, x.axes, axes, strict=True)
        ]
        return x.elements(tuple(source), domain)

    return replace(x, axes=tuple(axes), elements=elements, free=frozenset())


def depth_to_space(call: Call) -> Tensor:
    x, (batch, depth, *places), block = _blocks(call)
    (left,) = _over([depth], block * block)
    blocks = axis_of(constant(block))
    if call.attribute("mode", "DCR") == "DCR":
        apart, order = reshaped(x, [batch, blocks, blocks, left, *places]), [0, 3, 4, 1, 5, 2]
    else:
        apart, order = reshaped(x, [batch, left, blocks, blocks, *places]), [0, 1, 4, 2, 5, 3]
    return reshaped(transposed(apart, order), [batch, left, *(merged([place, blocks]) for place in places)])


def space_to_depth(call: Call) -> Tensor:
    x, (batch, depth, *places), block = _blocks(call)
    rows, columns = _over(places, block)
    blocks = axis_of(constant(block))
    apart = transposed(reshaped(x, [batch, depth, rows, blocks, columns, blocks]), [0, 3, 5, 1, 2, 4])
    return reshaped(apart, [batch, merged([blocks, blocks, depth]), rows, columns])


def _blocks(call: Call) -> tuple[Tensor, tuple[Axis, ...], int]:
    x = call.operand(0)
    if len(x.axes) != 4 or any(axis.many for axis in x.axes):
        raise ShapeError(f"{call.op} of [{named(x.axes)}]")
    return x, x.axes, call.attribute("blocksize")


def _over(axes: Sequence[Axis], number: int) -> list[Axis]:
    return [left([axis], [axis_of(constant(number))]) for axis in axes]
