"""Between which numbers a value lies, and whether it may be infinite or NaN: followed back to constants and dtypes.

What layers compute counts as finite, and as of a moderate size; each fact says whether it rests on that. What a caller
gives in floats may be anything, -inf in a mask too, and what an operator without a transfer function makes may be
infinite. So may what a loop carries, unless every round gives something finite whatever it was given.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from regraft.analysis.certainty import ARITHMETIC, NOTHING, TRUTHS, Assumption
from regraft.analysis.dataflow import Dataflow
from regraft.analysis.interval import (
    ACTIVATION,
    ANYTHING,
    GIVEN,
    INF,
    TRUTH,
    Interval,
    assumed,
    both,
    hull,
    is_number,
    largest,
    of_dtype,
    within,
)
from regraft.analysis.range_transfers import TRANSFERS
from regraft.analysis.solver import Round, Step
from regraft.ir import schema
from regraft.ir.changes import Changes
from regraft.ir.graph import Constant, Tensor
from regraft.ir.model import Model
from regraft.ir.schema import is_constant
from regraft.ir.weights import Array, Held, Stored, dtype_from_onnx

LARGEST = 1 << 22
"""Elements of the largest constant that is read at once: a mask of 2,048 times 2,048."""

_SIZES = (1, 255, ACTIVATION, largest("float16"), 2**31 - 1, 2**53, 2**63 - 1, largest("float32"))
_RESTS = (*(-size for size in _SIZES[::-1]), 0, *_SIZES)
"""Where the ends of an interval rest that grows from round to round."""


class ValueRanges(Dataflow[Interval]):
    """The interval in which the elements of each value lie: `model.facts(ValueRanges)[value]`.

    A large constant of floats is read only for a question that hangs on it: behind a layer none does.

    Args:
        known: intervals that are known from elsewhere.
    """

    table = TRANSFERS

    def __init__(self, model: Model, known: Mapping[Tensor, Interval] | None = None):
        super().__init__(model)
        self._elsewhere = dict(known or {})
        self._unread = False
        self._closely: ValueRanges | None = None  # which reads large constants too
        self._is_close = False

    def __getitem__(self, tensor: Tensor) -> Interval:
        known = super().__getitem__(tensor)
        if not known.given or not self._unread or self._is_close:
            return known
        if self._closely is None:
            self._closely = copy.copy(self)
            self._closely.known, self._closely._is_close = {}, True
        return self._closely[tensor]

    def proven(self, tensor: Tensor, if_: Assumption = NOTHING) -> Interval:
        """What is proven of a value, or follows where `if_` is true: what an exact pass goes by."""
        known = self[tensor]
        return known if known.assumes in if_ else of_dtype(self._dtype(tensor))

    def at_once(self, tensor: Tensor) -> Step | None:
        return Step((), partial(self._constant, tensor)) if is_constant(tensor) else None

    def step(self, tensor: Tensor) -> Step | Round:
        step = super().step(tensor)
        if isinstance(step, Round) or is_constant(tensor):
            return step
        dtype = self._dtype(tensor)

        def of(*operands: Interval) -> Interval:
            found: Interval = step.of(*operands)
            return self._known(tensor, within(found.assuming(assumed(operands)), dtype))

        return Step(step.operands, of)

    def _known(self, tensor: Tensor, found: Interval) -> Interval:
        known = self._elsewhere.get(tensor)
        return found if known is None else both(found, known)

    def given(self, tensor: Tensor) -> Interval:
        dtype = self._dtype(tensor)
        return GIVEN if is_number(dtype) else of_dtype(dtype)

    def unknown(self, tensor: Tensor) -> Interval:
        return of_dtype(self._dtype(tensor))

    def one_of(self, tensor: Tensor, facts: Sequence[Interval]) -> Interval:
        return hull(facts)

    def stacked(self, tensor: Tensor, axis: int, fact: Interval) -> Interval:
        return fact

    sliced = stacked

    def counted(self, tensor: Tensor, rounds: Interval) -> Interval:
        return Interval(0, max(rounds.high - 1, 0) if rounds.finite else 2**63 - 1, assumes=rounds.assumes)

    # What a loop carries is tried as infinite, as far as the caller gives such: that layers make moderate numbers
    # of it may be assumed of each round, that arithmetic does so may not.

    def first_round(self, tensor: Tensor, first: Interval) -> Interval:
        if not is_number(self._dtype(tensor)):
            return self._known(tensor, first)
        return first._replace(size=INF, given=first.finite or first.given, assumes=first.assumes & ~ARITHMETIC)

    def carried(self, tensor: Tensor, tried: Interval, first: Interval, again: Interval) -> Interval:
        low = tried.low if min(first.low, again.low) >= tried.low else -_end(-min(first.low, again.low))
        high = tried.high if max(first.high, again.high) <= tried.high else _end(max(first.high, again.high))
        assumes = tried.assumes | again.assumes
        if not is_number(dtype := self._dtype(tensor)):
            return self._known(tensor, within(Interval(low, high, assumes=assumes), dtype))
        grows = not again.finite and (not again.given or ARITHMETIC in again.assumes)
        return Interval(low, high, INF, tried.given and not grows, assumes & ~ARITHMETIC)

    def narrowed(self, tensor: Tensor, held: Interval, first: Interval, again: Interval) -> Interval:
        found = hull((first, again))
        given = held.given and found.given
        size = found.size if is_number(self._dtype(tensor)) else held.size
        low, high = max(held.low, found.low), min(held.high, found.high)
        return within(Interval(low, high, size, given, held.assumes | found.assumes), self._dtype(tensor))

    def follow(self, model: Model, changes: Changes) -> None:
        super().follow(model, changes)
        if self._closely is not None:
            self._closely.passages, self._closely.opset = self.passages, self.opset

    def forget(self, tensors: Iterable[Tensor]) -> None:
        if self._closely is None:
            super().forget(tensors)
            return
        gone = list(tensors)
        super().forget(gone)
        self._closely.forget(gone)

    def _dtype(self, tensor: Tensor) -> np.dtype[Any] | None:
        code = self.types[tensor].code
        return dtype_from_onnx(code) if code else None

    def _constant(self, tensor: Tensor) -> Interval:
        if not self._is_close and isinstance(tensor, Constant) and tensor.size > LARGEST:
            self._unread = True
            return GIVEN if is_number(tensor.dtype) else of_dtype(tensor.dtype)
        return _of_constant(tensor)


class HostedRanges(ValueRanges):
    """The same, where the host makes inputs: what it hands on is the caller's, and may be anything."""

    def __init__(self, model: Model):
        super().__init__(model)
        self._elsewhere = _of_host(model)

    def follow(self, model: Model, changes: Changes) -> None:
        made, seen = _of_host(model), Changes()
        seen.values = {t for t in (*made, *self._elsewhere) if made.get(t) != self._elsewhere.get(t)}
        self._elsewhere = made
        if self._closely is not None:
            self._closely._elsewhere = made
        seen |= changes
        super().follow(model, seen)


class MaskRanges(HostedRanges):
    """The same, where whole numbers that the caller gives count as zeros and ones.

    With others (1 - m) · -3.4e38 would overflow.
    """

    def given(self, tensor: Tensor) -> Interval:
        dtype = self._dtype(tensor)
        is_mask = dtype is not None and dtype.kind in "iu" and tensor not in self._elsewhere
        return TRUTH.assuming(TRUTHS) if is_mask else super().given(tensor)


def _of_host(model: Model) -> dict[Tensor, Interval]:
    """The intervals of the inputs that the host makes."""
    if model.host is None:
        return {}
    ranges = model.host.model.facts(ValueRanges)
    return {tensor: ranges[made] for tensor, made in model.fed.items()}


def _end(reached: float) -> float:
    """Where the upper end of an interval rests that has grown to `reached`."""
    return next((end for end in _RESTS if end >= reached), INF)


def _of_constant(tensor: Tensor) -> Interval:
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


def _of_values(values: Array) -> Interval:
    """The interval of numbers, read piece by piece."""
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
    return Interval(low, high, size)
