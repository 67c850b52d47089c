"""Tensors with the axes of another in another order, with axes of size one more or fewer, and contractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from regraft.proving import sums
from regraft.proving.domain import Domain
from regraft.proving.polynomial import Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.tensor import UNIT, At, Axis, Tensor, broadcast
from regraft.wording import count


def transposed(tensor: Tensor, perm: Sequence[int] | None) -> Tensor:
    """The axes in another order; in reverse where `perm` is None."""
    rank = len(tensor.axes)
    if any(axis.many for axis in tensor.axes):
        raise OutOfReach("an order of axes where some are groups")
    order = list(range(rank))[::-1] if perm is None else list(perm)
    if sorted(order) != list(range(rank)):
        raise ShapeError(f"perm {order} of {count(rank, 'axis')}")

    def elements(at: At, domain: Domain) -> Polynomial:
        return tensor.elements(tuple(at[order.index(place)] for place in range(rank)), domain)

    return replace(tensor, axes=tuple(tensor.axes[place] for place in order), elements=elements)


def squeezed(tensor: Tensor, places: Sequence[int]) -> Tensor:
    """Without axes of size one."""
    if any(tensor.axes[place] != UNIT for place in places):
        raise ShapeError("an axis is squeezed that is not known to be of size one")

    def elements(at: At, domain: Domain) -> Polynomial:
        rest = iter(at)
        full = tuple(0 if place in places else next(rest) for place in range(len(tensor.axes)))
        return tensor.elements(full, domain)

    kept = tuple(axis for place, axis in enumerate(tensor.axes) if place not in places)
    return replace(tensor, axes=kept, elements=elements)


def unsqueezed(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """With axes of size one more, where the result has the numbers `axes`."""
    if any(axis.many for axis in tensor.axes):
        raise OutOfReach("new axes beside groups of axes")
    rank = len(tensor.axes) + len(axes)
    places = {axis % rank for axis in axes}
    rest = iter(tensor.axes)
    found = tuple(UNIT if place in places else next(rest) for place in range(rank))

    def elements(at: At, domain: Domain) -> Polynomial:
        return tensor.elements(tuple(index for place, index in enumerate(at) if place not in places), domain)

    return replace(tensor, axes=found, elements=elements)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of matrices, those of the leading axes each by itself."""
    if not a.axes or not b.axes:
        raise ShapeError("MatMul of a scalar")
    left = a if len(a.axes) > 1 else unsqueezed(a, [0])
    right = b if len(b.axes) > 1 else unsqueezed(b, [1])
    if any(axis.many for axis in (*left.axes[-2:], *right.axes[-2:])):
        raise OutOfReach("a product of matrices whose axes are groups")
    inner = left.axes[-1]
    if inner != right.axes[-2]:
        raise ShapeError(f"MatMul sums over {inner} and {right.axes[-2]}")
    leading = broadcast([left.axes[:-2], right.axes[:-2]])

    def elements(at: At, domain: Domain) -> Polynomial:
        def own(tensor: Tensor) -> At:
            return at[: len(leading)][len(leading) - len(tensor.axes) + 2 :]

        within, indices = domain.inner([] if inner.unit else [inner.name])
        along = indices[0] if indices else 0
        product = left.elements((*own(left), at[-2], along), within)
        product = product * right.elements((*own(right), along, at[-1]), within)
        domain.take(within, over=indices)
        return sums.total(product, indices, within.next)

    found = Tensor((*leading, left.axes[-2], right.axes[-1]), elements, a.kind or b.kind)
    found = squeezed(found, [len(found.axes) - 2]) if left is not a else found
    return squeezed(found, [len(found.axes) - 1]) if right is not b else found


def einsum(equation: str, operands: Sequence[Tensor]) -> Tensor:
    """A sum of products, as `equation` with an arrow says."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if not arrow or "." in equation or len(inputs) != len(operands):
        raise OutOfReach(f"Einsum {equation}")
    named: dict[str, Axis] = {}
    for letters, tensor in zip(inputs, operands, strict=True):
        if len(letters) != len(tensor.axes) or any(axis.many for axis in tensor.axes):
            raise OutOfReach(f"Einsum {equation} of [{', '.join(map(str, tensor.axes))}]")
        for letter, axis in zip(letters, tensor.axes, strict=True):
            if named.setdefault(letter, axis) != axis:
                raise ShapeError(f"Einsum {equation}: {letter} is {named[letter]} and {axis}")
    gone = [letter for letter in named if letter not in right and not named[letter].unit]

    def elements(at: At, domain: Domain) -> Polynomial:
        within, indices = domain.inner(named[letter].name for letter in gone)
        where = dict.fromkeys(named, 0) | dict(zip(right, at, strict=True)) | dict(zip(gone, indices, strict=True))
        product = constant(1)
        for letters, tensor in zip(inputs, operands, strict=True):
            product = product * tensor.elements(tuple(where[letter] for letter in letters), within)
        domain.take(within, over=indices)
        return sums.total(product, indices, within.next)

    return Tensor(tuple(named[letter] for letter in right), elements, operands[0].kind)
