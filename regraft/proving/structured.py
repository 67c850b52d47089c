"""Meanings of operators that look along axes, or at indices and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from regraft.proving import sums, views
from regraft.proving.atoms import Position, Size
from regraft.proving.call import Call, Meaning
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Polynomial, constant, power_of
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import count, place_of, places_of, reduced
from regraft.proving.tensor import (
    At,
    Axis,
    Tensor,
    axes_of,
    filled,
)
from regraft.proving.truths import compare
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
        if len(call.operands) > 1 or (axes in ([], (), None) and call.attribute("noop_with_empty_axes", 0)):
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


@dataclass(frozen=True, eq=False)
class Sizes(Tensor):
    """What Shape gives: the sizes of the axes `of`."""

    of: tuple[Axis, ...] = ()


def shape(call: Call) -> Tensor:
    def elements(at: At, domain: Domain) -> Polynomial:
        raise OutOfReach("Shape, whose sizes are not taken one by one")

    return Sizes((Axis("rank of a shape"),), elements, "integer", of=call.operand(0).axes)


def gather(call: Call) -> Tensor:
    data, indices = call.operand(0), call.operand(1)
    if not isinstance(data, Sizes) or indices.axes:
        raise OutOfReach("Gather of other than the size of an axis")
    number = indices.elements((), Domain()).number
    if number is None:
        raise OutOfReach("Gather of an axis that is no number")
    axis = data.of[place_of(int(number), data.of)]
    return filled(constant(1) if axis.unit else sums.size(axis.name), kind="integer")


def range_(call: Call) -> Tensor:
    start, limit, delta = (tensor.elements((), Domain()) for tensor in call.given())
    size = next((atom.axis for atom in limit.atoms if isinstance(atom, Size)), limit.text)
    if start or delta != constant(1) or not (limit.atoms or size.isdigit()) or limit != sums.size(size):
        raise OutOfReach("Range of other than the indices of an axis")

    def elements(at: At, domain: Domain) -> Polynomial:
        return _number_of(at[0])

    axes = axes_of(size)
    if axes[0].many:
        raise OutOfReach("Range over a group of axes")
    return Tensor(axes, elements, "integer")


def _number_of(place: Any) -> Polynomial:
    return constant(place) if isinstance(place, int) else power_of(Position(place))


def trilu(call: Call) -> Tensor:
    x = call.operand(0)
    if len(x.axes) < 2 or any(axis.many for axis in x.axes[-2:]):
        raise OutOfReach("Trilu of other than matrices")
    k = call.operand(1) if len(call.operands) > 1 else filled(constant(0))
    upper = call.attribute("upper", 1)

    def elements(at: At, domain: Domain) -> Polynomial:
        row, column = map(_number_of, at[-2:])
        diagonal = row + k.elements(tuple(0 for _ in k.axes), domain)
        stays = compare(column, ">" if upper else "<", diagonal, total=True)
        return (stays + compare(column, "=", diagonal, total=True)) * x.elements(at, domain)

    return replace(x, elements=elements)


def squeeze(call: Call) -> Tensor:
    tensor = call.operand(0)
    return views.squeezed(tensor, [place_of(axis, tensor.axes) for axis in call.attribute("axes")])
