"""Meanings of convolutions: sums over channels and over the elements of a window."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.proving import sums
from regraft.proving.call import Call
from regraft.proving.digits import digit, exact, number_of, place_at
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Index, Place, Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.slicing import count_of, guarded, within
from regraft.proving.tensor import UNIT, At, Axis, Tensor, axis_of, named
from regraft.proving.truths import compare
from regraft.proving.windows import windows
from regraft.wording import count

_ONE = constant(1)


def conv(call: Call) -> Tensor:
    bias = call.operands[2] if len(call.operands) > 2 else None
    return convolved(call, call.operand(0), call.operand(1), bias)


def convolved(call: Call, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution of `x` with `w`, as the attributes of `call` say."""
    group = call.attribute("group", 1)
    if any(axis.many for axis in (*x.axes, *w.axes)) or not len(x.axes) == len(w.axes) > 2:
        raise ShapeError(f"{call.op} of [{named(x.axes)}] with [{named(w.axes)}]")
    channels = count_of(w.axes[1])
    if count_of(x.axes[1]) != channels.scaled(group):
        raise ShapeError(f"{call.op} of [{named(x.axes)}] with [{named(w.axes)}] in {count(group, 'group')}")
    members = exact(count_of(w.axes[0]), constant(group))
    if members is None:
        raise ShapeError(f"{call.op} to {w.axes[0]} channels in {count(group, 'group')}")
    found = windows(call, x.axes[2:], w.axes[2:])

    def elements(at: At, domain: Domain) -> Polynomial:
        inner, indices = domain.inner(axis.name for axis in w.axes[1:] if axis != UNIT)
        channel, *kernel = _along(w.axes[1:], indices)
        which = digit(number_of(at[1]), members, constant(group))
        guard, source = _ONE, [at[0], place_at(which * channels + number_of(channel))]
        for window, here, element in zip(found, at[2:], kernel, strict=True):
            guard = guard * window.inside(here, element)
            source.append(window.place(here, element))
        product = guard * guarded(x, tuple(source), guard, inner) if guard else guard
        product = product * w.elements((at[1], channel, *kernel), inner)
        domain.take(inner, over=indices)
        return sums.total(product, indices, inner.next) + _bias(bias, at, domain)

    return Tensor((x.axes[0], w.axes[0], *(window.result for window in found)), elements, x.kind)


def _along(axes: Sequence[Axis], indices: Sequence[Index]) -> list[Place]:
    rest = iter(indices)
    return [0 if axis == UNIT else next(rest) for axis in axes]


def _bias(bias: Tensor | None, at: At, domain: Domain) -> Polynomial:
    return constant(0) if bias is None else bias.elements((at[1],), domain)


def conv_transpose(call: Call) -> Tensor:
    x, w = call.operand(0), call.operand(1)
    bias = call.operands[2] if len(call.operands) > 2 else None
    group, rank, members = call.attribute("group", 1), len(x.axes) - 2, count_of(w.axes[1])
    channels = exact(count_of(w.axes[0]), constant(group))
    if x.axes[1] != w.axes[0] or channels is None or any(axis.many for axis in (*x.axes, *w.axes)):
        raise ShapeError(f"ConvTranspose of [{named(x.axes)}] with [{named(w.axes)}] in {count(group, 'group')}")
    if call.attribute("auto_pad", "NOTSET") != "NOTSET" or call.attribute("output_shape", None):
        raise OutOfReach("ConvTranspose with auto_pad or output_shape")
    strides, dilations, pads, more = (
        call.attribute(name, [by] * times)
        for name, by, times in (
            ("strides", 1, rank),
            ("dilations", 1, rank),
            ("pads", 0, 2 * rank),
            ("output_padding", 0, rank),
        )
    )
    call.attribute("kernel_shape", None)
    axes = [x.axes[0], axis_of(members.scaled(group))]
    for n, (axis, kernel) in enumerate(zip(x.axes[2:], w.axes[2:], strict=True)):
        reached = (count_of(axis) - _ONE).scaled(strides[n]) + (count_of(kernel) - _ONE).scaled(dilations[n])
        axes.append(axis_of(reached + constant(1 + more[n] - pads[n] - pads[n + rank])))
    own = axis_of(channels)

    def elements(at: At, domain: Domain) -> Polynomial:
        inner, indices = domain.inner(axis.name for axis in (own, *w.axes[2:]) if axis != UNIT)
        channel, *kernel = _along((own, *w.axes[2:]), indices)
        number = number_of(at[1])
        read = place_at(digit(number, members, constant(group)) * channels + number_of(channel))
        guard, source = _ONE, [at[0], read]
        for n, (axis, here, element) in enumerate(zip(x.axes[2:], at[2:], kernel, strict=True)):
            stride, count = constant(strides[n]), count_of(axis)
            reached = number_of(here) + constant(pads[n]) - number_of(element).scaled(dilations[n])
            guard = guard * within(reached, count * stride)
            if strides[n] != 1:
                guard = guard * compare(digit(reached, _ONE, stride), "=", constant(0))
            source.append(place_at(reached if strides[n] == 1 else digit(reached, stride, count)))
        product = guard * guarded(x, tuple(source), guard, inner) if guard else guard
        product = product * w.elements((read, place_at(digit(number, _ONE, members)), *kernel), inner)
        domain.take(inner, over=indices)
        return sums.total(product, indices, inner.next) + _bias(bias, at, domain)

    return Tensor(tuple(axes), elements, x.kind)
