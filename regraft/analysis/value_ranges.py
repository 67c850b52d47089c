"""Between which numbers a value lies, and whether it may be infinite or NaN: followed back to constants and dtypes.

What layers compute counts as finite, and as of a moderate size: a model whose activations overflow is lost anyway. What
a caller gives in floats may be anything, -inf in a mask too, and what an operator without a rule makes may be infinite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from regraft.analysis.interval import ANYTHING, GIVEN, INF, TRUTH, Range, both, is_number, of_dtype, within
from regraft.analysis.range_transfers import rule_of
from regraft.analysis.solver import settle
from regraft.ir import schema
from regraft.ir.graph import Constant, Tensor
from regraft.ir.model import Model
from regraft.ir.schema import is_constant
from regraft.ir.weights import Array, Held, Stored

LARGEST = 1 << 22
"""Elements of the largest constant that is read at once: a mask of 2,048 times 2,048."""


class Bounds:
    """The bounds of values, each found out once: `Bounds()(tensor)`; `given` are those known from elsewhere.

    A large constant of floats is read only for a question that hangs on it: behind a layer none does. For `masks` the
    whole numbers that a caller gives count as zeros and ones: (1 - m) · -3.4e38 overflows with others.
    """

    def __init__(self, given: Mapping[Tensor, Range] | None = None, masks: bool = False) -> None:
        self._given = given or {}
        self._masks = masks
        self._known: dict[Tensor, Range] = {}
        self._read: dict[Tensor, Range] = {}  # where large constants are read too
        self._unread = False

    def __call__(self, tensor: Tensor) -> Range:
        known = settle(tensor, self._known, _needs, lambda t: self._find(t, self._known))
        if known.given and self._unread:
            return settle(tensor, self._read, _needs, lambda t: self._find(t, self._read))
        return known

    def _find(self, tensor: Tensor, known: dict[Tensor, Range]) -> Range:
        found, given = self._computed(tensor, known), self._given.get(tensor)
        return found if given is None else both(found, given)

    def _computed(self, tensor: Tensor, known: dict[Tensor, Range]) -> Range:
        if is_constant(tensor):
            if known is self._known and isinstance(tensor, Constant) and tensor.size > LARGEST:
                self._unread = True
                return GIVEN if is_number(tensor.dtype) else of_dtype(tensor.dtype)
            return _of_constant(tensor)
        if not tensor.inputs:
            return GIVEN if is_number(tensor.dtype) else TRUTH if self._masks else of_dtype(tensor.dtype)
        rule = rule_of(tensor)
        if rule is None:
            return of_dtype(tensor.dtype)
        node = tensor.inputs[0]
        return within(rule.of(node, *(known[t] for t in rule.operands(node))), tensor.dtype)


def _needs(tensor: Tensor) -> Sequence[Tensor]:
    """What the range of `tensor` follows from."""
    rule = None if is_constant(tensor) else rule_of(tensor)
    return () if rule is None else rule.operands(tensor.inputs[0])


def of_inputs(model: Model) -> dict[Tensor, Range]:
    """The bounds of the inputs that the host makes; what it hands on is the caller's, and may be anything."""
    host = model.host
    if host is None:
        return {}
    made, bounds = {tensor.name: tensor for tensor in host.model.graph.outputs}, Bounds()
    return {t: bounds(made[host.feeds[t.name]]) for t in model.graph.inputs if t.name in host.feeds}


def _of_constant(tensor: Tensor) -> Range:
    held = tensor.lazy if isinstance(tensor, Constant) else None
    large = isinstance(tensor, Constant) and tensor.size > LARGEST
    if large and not isinstance(held, Stored | Held | np.ndarray):
        return GIVEN if is_number(tensor.dtype) else of_dtype(tensor.dtype)  # it would have to be computed
    values = schema.constant_of(tensor)
    if values is None or not values.size or values.dtype == object:
        return ANYTHING
    found = _of_values(values.reshape(-1))
    if large and isinstance(held, Stored):
        held.release()
    return found


def _of_values(values: Array) -> Range:
    """The range of numbers, read piece by piece."""
    whole = not is_number(values.dtype)
    low, high = INF, -INF
    for start in range(0, values.size, LARGEST):
        part = values[start : start + LARGEST]
        part = part if whole else part.astype(np.float64)
        low = min(low, int(part.min()) if whole else float(part.min()))
        high = max(high, int(part.max()) if whole else float(part.max()))
        if math.isnan(part.min()):
            return ANYTHING
    size = max(abs(low), abs(high))
    return Range(low, high, size)
