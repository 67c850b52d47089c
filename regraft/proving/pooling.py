"""Meanings of pooling: the mean or the maximum of each window."""

from __future__ import annotations

from dataclasses import dataclass, replace

from regraft.proving import sums
from regraft.proving.call import Call
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Atom, Index, Place, Polynomial, constant, power_of
from regraft.proving.slicing import guarded
from regraft.proving.tensor import UNIT, At, Tensor, axis_of
from regraft.proving.truths import complement
from regraft.proving.windows import Window, windows
from regraft.rewriting.term import Apply, Term

_ONE = constant(1)


@dataclass(frozen=True)
class Bottom(Atom):
    """A number below all others: what stands around the input of a maximum. Each window has an element, too."""

    text = "⊥"


def _pooled(call: Call) -> tuple[Tensor, list[Window], list[str]]:
    """The operand, its windows, and the axes that range over their elements."""
    x = call.operand(0)
    kernel = [axis_of(constant(one)) for one in call.attribute("kernel_shape")]
    return x, windows(call, x.axes[2:], kernel), [axis.name for axis in kernel if axis != UNIT]


def average_pool(call: Call) -> Tensor:
    x, found, names = _pooled(call)
    padded = any(any(window.pads) for window in found) and not call.attribute("count_include_pad", 0)
    call.attribute("count_include_pad", 0)

    def elements(at: At, domain: Domain) -> Polynomial:
        inner, indices = domain.inner(names)
        guard, source = _element(found, at, indices)
        product = guard * guarded(x, source, guard, inner) if guard else guard
        domain.take(inner, over=indices)
        number = sums.total(guard if padded else _ONE, indices, inner.next)
        return sums.total(product, indices, inner.next) * Domain().power(number, -1)

    return replace(x, axes=(*x.axes[:2], *(window.result for window in found)), elements=elements)


def max_pool(call: Call) -> Tensor:
    x, found, names = _pooled(call)
    call.attribute("storage_order", 0)

    def elements(at: At, domain: Domain) -> Polynomial:
        inner, indices = domain.inner(names)
        guard, source = _element(found, at, indices)
        value = guarded(x, source, guard, inner) if guard else guard
        domain.take(inner, over=indices)
        outside = complement(guard)
        return sums.largest(guard * value + outside * power_of(Bottom()) if outside else value, indices)

    return replace(x, axes=(*x.axes[:2], *(window.result for window in found)), elements=elements)


def _element(found: list[Window], at: At, indices: list[Index]) -> tuple[Polynomial, At]:
    """Whether an element of a window is none of those that are added, and where it stands."""
    rest, guard, source = iter(indices), _ONE, list(at[:2])
    for window, here in zip(found, at[2:], strict=True):
        element: Place = 0 if window.kernel == UNIT else next(rest)
        guard = guard * window.inside(here, element)
        source.append(window.place(here, element))
    return guard, tuple(source)


def everywhere(call: Call, reduce: str) -> Term:
    """One number for each channel."""
    return Apply(reduce, (call.terms[0],), {"axes": list(range(2, len(call.operand(0).axes))), "keepdims": 1})
