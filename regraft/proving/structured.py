"""Meanings of operators that look along axes, or at indices and sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from regraft.proving import sums
from regraft.proving.call import Call, Meaning
from regraft.proving.digits import number_of
from regraft.proving.domain import Domain
from regraft.proving.folds import fold
from regraft.proving.polynomial import Index, Place, Polynomial, constant
from regraft.proving.reach import OutOfReach
from regraft.proving.reductions import count, place_of, places_of, reduced
from regraft.proving.tensor import At, Tensor
from regraft.proving.truths import at_least, compare
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
        tensor, (axes, keep) = call.operand(0), along(call)
        places = places_of(axes, tensor)
        number = count(tensor, places)
        return reduced(tensor, places, keep, lambda p, i, n: how(p, number, i, n))

    return meaning


def along(call: Call) -> tuple[Any, bool]:
    """The axes that a reduction is over, None for all, and whether they stay."""
    axes = call.attribute("axes", None)
    axes = axes if isinstance(axes, Axes) else call.whole("axes", 1)
    if axes in ([], None) and call.attribute("noop_with_empty_axes", 0):
        raise OutOfReach(f"{call.op} over no axes")
    return axes or None, bool(call.attribute("keepdims", 1))


def by_sums(function: Callable[..., Term]) -> Meaning:
    """A term of an operand and a function that sums over the axes of the call."""

    def meaning(call: Call) -> Term:
        axes, keep = along(call)
        return function(call.terms[0], lambda term: op.ReduceSum(term, axes=axes, keepdims=int(keep)))

    return meaning


def cumulative(call: Call) -> Tensor:
    x, axes = call.operand(0), call.whole("axis", 1)
    if axes is None or len(axes) != 1:
        raise OutOfReach("CumSum along other than one axis")
    place, backwards, beyond = place_of(axes[0], x.axes), call.attribute("reverse", 0), call.attribute("exclusive", 0)
    if x.axes[place].many:
        raise OutOfReach("CumSum along a group of axes")
    names = [] if x.axes[place].unit else [x.axes[place].name]

    def elements(at: At, domain: Domain) -> Polynomial:
        inner, indices = domain.inner(names)
        here: Place = indices[0] if indices else 0
        value = x.elements((*at[:place], here, *at[place + 1 :]), inner)
        domain.take(inner, over=indices)
        distance = number_of(at[place]) - number_of(here)
        guard = at_least((-distance if backwards else distance) - constant(int(bool(beyond))))
        return sums.total(guard * value, indices, inner.next)

    return replace(x, elements=elements)


def mean(p: Polynomial, number: Polynomial, indices: list[Any], fresh: int) -> Polynomial:
    return sums.total(p, indices, fresh) * Domain().power(number, -1)


def softmax(call: Call, finish: Callable[[Term, Term], Term]) -> Term:
    axis = call.attribute("axis", -1)
    axes = axis if isinstance(axis, Axes) else [axis]
    return finish(call.terms[0], op.ReduceSum(op.Exp(call.terms[0]), axes=axes, keepdims=1))  # type: ignore[arg-type]


def product(p: Polynomial, indices: Sequence[Index]) -> Polynomial:
    return fold("Product", p, indices) if indices else p


def arg_max(call: Call, sign: int) -> Tensor:
    """Where the largest of `sign` times the elements along an axis stands first, or last."""
    axis, last = call.attribute("axis", 0), call.attribute("select_last_index", 0)
    name = "ArgMaxLast" if last else "ArgMax"
    tensor, keep = call.operand(0), bool(call.attribute("keepdims", 1))
    found = reduced(
        tensor,
        places_of(axis, tensor),
        keep,
        lambda p, indices, fresh: fold(name, p.scaled(sign), indices) if indices else constant(0),
    )
    return replace(found, kind="integer")


def hardmax(call: Call) -> Tensor:
    """1 where the largest element along an axis stands first, else 0."""
    x, axis = call.operand(0), call.attribute("axis", -1)
    place = place_of(axis, x.axes)
    first = arg_max(replace(call, attrs={"axis": axis}), 1)

    def elements(at: At, domain: Domain) -> Polynomial:
        return compare(
            first.elements((*at[:place], 0, *at[place + 1 :]), domain), "=", number_of(at[place]), total=True
        )

    return replace(x, elements=elements)
