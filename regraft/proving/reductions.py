"""One number for all that lie along some axes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from regraft.proving.domain import Domain
from regraft.proving.polynomial import Index, Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.sizes import size
from regraft.proving.tensor import FREE, UNIT, At, Axis, Tensor
from regraft.rewriting.facts import Axes


def place_of(axis: int, axes: Sequence[Axis]) -> int:
    """Which of `axes` the number of an axis means, counted from the first.

    Raises:
        OutOfReach: it lies behind a group, whose number of axes is not known.
        ShapeError: there is no such axis.
    """
    passed = axes[axis:] if axis < 0 else axes[: axis + 1]
    if not -len(axes) <= axis < len(axes):
        raise ShapeError(f"no axis {axis} in [{', '.join(map(str, axes))}]")
    if any(one.many for one in passed):
        raise OutOfReach(f"axis {axis} of [{', '.join(map(str, axes))}], where capitals are groups of axes")
    return axis % len(axes)


def places_of(axes: Axes | int | Iterable[int] | None, tensor: Tensor) -> list[int]:
    """Which axes of a tensor an attribute names; None for all."""
    if FREE in tensor.axes:
        raise OutOfReach("axes of an operand of any shape, where facts may say more")
    if axes is None:
        return list(range(len(tensor.axes)))
    if isinstance(axes, Axes):
        names = [axis.name for axis in tensor.axes]
        if missing := [name for name in axes.names.split() if name not in names]:
            raise ShapeError(f"no axis {missing[0]} in [{', '.join(names)}]")
        if any(names.count(name) > 1 for name in axes.names.split()):
            raise OutOfReach(f"axes {axes.names} of [{', '.join(names)}], where two have one name")
        return sorted(names.index(name) for name in axes.names.split())
    return sorted({place_of(axis, tensor.axes) for axis in ([axes] if isinstance(axes, int) else axes)})


def reduced(
    tensor: Tensor, places: Sequence[int], keep: bool, how: Callable[[Polynomial, list[Index], int], Polynomial]
) -> Tensor:
    """One number for all that lie along some axes: `how` of the element, the indices there and the next free number."""
    along = [place for place in places if not tensor.axes[place].unit]

    def elements(at: At, domain: Domain) -> Polynomial:
        inner, indices = domain.inner(tensor.axes[place].name for place in along)
        rest = iter(at)
        full = [next(rest) if keep or place not in places else 0 for place in range(len(tensor.axes))]
        for place, index in zip(along, indices, strict=True):
            full[place] = index
        result = how(tensor.elements(tuple(full), inner), indices, inner.next)
        domain.take(inner, over=indices)
        return result

    if keep:
        axes = [replace(axis, unit=True) if place in along else axis for place, axis in enumerate(tensor.axes)]
        axes = [axis if axis.many or not axis.unit else UNIT for axis in axes]
    else:
        axes = [axis for place, axis in enumerate(tensor.axes) if place not in places]
    return Tensor(tuple(axes), elements, tensor.kind)


def count(tensor: Tensor, places: Iterable[int]) -> Polynomial:
    """How many elements lie along some axes."""
    result = constant(1)
    for place in places:
        result = result if tensor.axes[place].unit else result * size(tensor.axes[place].name)
    return result
