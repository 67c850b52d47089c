"""Weights in another form: computed while saving where nothing else reads them as they are, else by a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Tensor
from regraft.ir.weights import Array, Derived, Value
from regraft.rewriting.conditions import readers_up_to
from regraft.rewriting.term import Given, Term, op


def transposed(value: Term, order: Sequence[int], edit: Editor) -> Term:
    """`value` with its axes in another order."""
    order = list(order)
    if order == sorted(order):
        return value
    weight = own_weight(value, edit)
    if weight is None:
        return op.Transpose(value, perm=order)
    return _derived(weight, lambda array: array.transpose(order), [weight.shape[axis] for axis in order], edit)


def scaled(value: Term, factor: float, edit: Editor) -> Term:
    """`value` times a number."""
    if factor == 1:
        return value
    weight = own_weight(value, edit)
    if weight is None:
        return value * factor
    return _derived(weight, lambda array: _times(array, factor), weight.shape, edit)


def own_weight(value: Term, edit: Editor) -> Constant | None:
    """The constant that `value` is, if at most one node reads it: a changed one would stand beside it otherwise."""
    held = value.value if isinstance(value, Given) else None
    if not isinstance(held, Constant) or not isinstance(held.lazy, Value | np.ndarray) or held in edit.graph_outputs:
        return None
    return held if readers_up_to(2, held, edit) <= 1 else None


class Products:
    """Weights times factors, which may differ along axes; each made once, whoever else reads the weight."""

    def __init__(self, edit: Editor):
        self.edit = edit
        self._made: dict[tuple[Tensor, bytes], Constant] = {}

    def times(self, weight: Tensor, factor: Array) -> Constant | None:
        """The constant `weight` times what broadcasts to its shape; None where it does not, or is no constant."""
        while len(weight.inputs) == 1 and weight.inputs[0].op == "Identity":
            weight = weight.inputs[0].inputs[0]
        value = weight.lazy if isinstance(weight, Constant) else schema.constant_of(weight)
        if not isinstance(value, Value | np.ndarray) or not _broadcasts(factor.shape, value.shape):
            return None
        key = (weight, factor.tobytes())
        if key not in self._made:
            product = Derived([value], lambda array: _times(array, factor), value.shape, value.dtype)
            self._made[key] = self.edit.constant(product, f"{weight.name}/scaled")
        return self._made[key]


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False))


def _derived(weight: Constant, compute: Callable[[Array], Array], shape: Sequence[int], edit: Editor) -> Term:
    return Given(edit.constant(Derived([weight.lazy], compute, shape, weight.dtype), weight.name))


def _times(array: Array, factor: float | Array) -> Array:
    wide = np.float64 if array.dtype.itemsize == 8 else np.float32
    return np.multiply(array, factor, dtype=wide).astype(array.dtype)
