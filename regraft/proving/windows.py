"""Windows that slide along axes: how many there are, and which elements each has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from regraft.proving.call import Call
from regraft.proving.digits import exact, number_of, place_at
from regraft.proving.polynomial import Place, Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.slicing import count_of
from regraft.proving.tensor import UNIT, Axis, axis_of, named
from regraft.proving.truths import at_least, complement

_ONE = constant(1)


@dataclass(frozen=True)
class Window:
    """A window along one axis.

    Attributes:
        axis: along which it slides.
        kernel: of the elements of a window.
        result: of the windows.
        pads: how many elements are added before and after.
    """

    axis: Axis
    kernel: Axis
    result: Axis
    stride: int
    dilation: int
    pads: tuple[int, int]

    def place(self, window: Place, element: Place) -> Place:
        """Where an element of a window stands."""
        return place_at(self._number(window, element))

    def inside(self, window: Place, element: Place) -> Polynomial:
        """Whether it is none of those that are added."""
        number, (before, after) = self._number(window, element), self.pads
        found = at_least(number) if before else _ONE
        return found * complement(at_least(number - count_of(self.axis))) if after else found

    def _number(self, window: Place, element: Place) -> Polynomial:
        start = number_of(window).scaled(self.stride) if self.result != UNIT else constant(0)
        return start + number_of(element).scaled(self.dilation) - constant(self.pads[0])


def windows(call: Call, axes: Sequence[Axis], kernel: Sequence[Axis]) -> list[Window]:
    """The windows of a call along the axes behind batch and channels.

    Raises:
        OutOfReach: how many there are depends on sizes that are not known.
    """
    rank = len(axes)
    if any(axis.many for axis in axes) or len(kernel) != rank:
        raise ShapeError(f"{call.op} along [{named(axes)}]")
    if call.attribute("ceil_mode", 0):
        raise OutOfReach(f"{call.op} with ceil_mode")
    shape = call.attribute("kernel_shape", None)
    if shape is not None and list(kernel) != [axis_of(constant(one)) for one in shape]:
        raise ShapeError(f"{call.op} with kernel_shape {shape} and a kernel [{named(kernel)}]")
    strides, dilations = call.attribute("strides", [1] * rank), call.attribute("dilations", [1] * rank)
    pads, auto = call.attribute("pads", [0] * 2 * rank), call.attribute("auto_pad", "NOTSET")
    found = []
    for n, (axis, own) in enumerate(zip(axes, kernel, strict=True)):
        stride, dilation, width = strides[n], dilations[n], count_of(own) - _ONE
        around = pads[n], pads[n + rank]
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            around = _same(count_of(axis), stride, width.scaled(dilation), upper=auto == "SAME_UPPER")
        steps = count_of(axis) + constant(sum(around)) - width.scaled(dilation) - _ONE
        result = call.result_axis(n + 2, partial(_windows, steps, stride))
        found.append(Window(axis, own, result, stride, dilation, around))
    return found


def _windows(steps: Polynomial, stride: int) -> Axis:
    """The axis of windows, of which the last starts `steps` behind the first at most."""
    if steps.number is not None:
        return axis_of(constant(math.floor(steps.number / stride) + 1))
    share = exact(steps, constant(stride)) or exact(steps + constant(1), constant(stride))
    if share is None:
        raise OutOfReach(f"windows at each {stride} of {steps.text} places")
    return axis_of(share + _ONE if exact(steps, constant(stride)) is not None else share)


def _same(count: Polynomial, stride: int, width: Polynomial, upper: bool) -> tuple[int, int]:
    """How much is added so that there are as many windows as elements, by the stride."""
    if width.number is None or (stride != 1 and count.number is None):
        raise OutOfReach("padding that depends on sizes that are not known")
    extra = int(width.number)
    if stride != 1 and count.number is not None:
        reached = (math.ceil(count.number / stride) - 1) * stride
        extra = max(int(reached + width.number + 1 - count.number), 0)
    return (extra // 2, extra - extra // 2) if upper else (extra - extra // 2, extra // 2)
