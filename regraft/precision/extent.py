"""Values that half precision cannot hold, as far as the graph and its constants tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.weights import Value
from regraft.precision.unit import Unit
from regraft.precision.units import SINGLE, is_constant

WIDENING = frozenset({"Exp", "Pow", "ReduceProd", "ReduceSumSquare", "CumProd"})
"""Operators whose results have another order of magnitude than what they read."""

NARROWING = frozenset(
    {"BatchNormalization", "Cos", "Erf", "GroupNormalization", "HardSigmoid", "InstanceNormalization"}
    | {"LayerNormalization", "Log", "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "RMSNormalization"}
    | {"Sigmoid", "Sign", "Sin", "Softmax", "Softsign", "Sqrt", "Tanh", "HardSwish", "Attention"}
)
"""Operators whose results are of moderate size whatever they read."""


@dataclass(frozen=True)
class Limits:
    """What a half-precision dtype can hold."""

    dtype: np.dtype[Any]

    @cached_property
    def largest(self) -> float:
        """The largest finite value."""
        return float(ml_dtypes.finfo(self.dtype).max)

    @cached_property
    def smallest(self) -> float:
        """The smallest value that has all digits."""
        return float(ml_dtypes.finfo(self.dtype).smallest_normal)

    @cached_property
    def bound(self) -> float:
        """What clipped values become. Two such masks and a score can be added; a moderate score is rounded away."""
        return 0.75 * 2.0 ** math.floor(math.log2(self.largest))

    @property
    def is_narrow(self) -> bool:
        """Whether the range is smaller than that of 32-bit floats, so that squares may leave it."""
        return self.largest < float(np.finfo(SINGLE).max) / 2


def extent(constant: Tensor) -> tuple[float, float]:
    """The smallest and the largest finite value; (0, 0) where there is none. One tensor at a time is in memory."""
    values = schema.constant_of(constant)
    if values is None or not values.size:
        return 0.0, 0.0
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if isinstance(constant, Constant) and isinstance(constant.lazy, Value):
        constant.lazy.release()
    return low, high


def unfit(units: Sequence[Unit], limits: Limits) -> dict[Tensor, str]:
    """The values that half precision may not hold, with the reason: constants, and what is computed with such."""
    found: dict[Tensor, str] = {}
    wide: dict[Tensor, str] = {}
    for _ in range(2):  # twice: what a Loop hands on stands before what makes it
        for unit in units:
            for slot in unit.reads:
                tensor = slot.tensor
                if tensor not in found and is_constant(tensor) and unit.lowered is not False:
                    found[tensor] = _refused(tensor, limits)
                    if found[tensor].startswith("reaches"):
                        wide[tensor] = found[tensor]
            why = _widened(unit, wide, limits)
            if why:
                wide.update(dict.fromkeys((t for t in unit.writes if t not in wide), why))
    return {tensor: why for tensor, why in found.items() if why} | wide


def _refused(constant: Tensor, limits: Limits) -> str:
    """Why a constant cannot be held. One number that vanishes, such as an epsilon, is missed; one of many is not."""
    low, high = extent(constant)
    size = max(abs(low), abs(high))
    if size > limits.largest:
        return f"reaches {low if abs(low) == size else high:.3g}"
    if 0 < size < limits.smallest and math.prod(constant.shape or ()) == 1:
        return f"is {low:.2g}, which would vanish"
    return ""


def _widened(unit: Unit, wide: Mapping[Tensor, str], limits: Limits) -> str:
    """Why the results of `unit` may be out of range; empty if there is no reason."""
    tensors = [slot.tensor for slot in unit.reads]
    read = [tensor for tensor in tensors if tensor in wide]
    node = unit.node
    if node is None:
        return wide[read[0]] if read else ""
    kind = schema.kind(node)
    if kind in NARROWING or _is_bounded(node, kind, limits):
        return ""
    if kind == "Div":
        return wide[tensors[0]] if tensors[0] in wide and tensors[-1] not in wide else ""
    if read:
        return wide[read[0]]
    if limits.is_narrow and (_squares(kind, tensors) or (kind in WIDENING and not _is_root(kind, tensors))):
        return f"may be large: made by {kind}"
    return ""


def _squares(kind: str, tensors: Sequence[Tensor]) -> bool:
    return kind == "Mul" and len(tensors) == 2 and tensors[0] is tensors[1]


def _is_root(kind: str, tensors: Sequence[Tensor]) -> bool:
    """Whether it is a power of at most 1."""
    exponent = schema.constant_of(tensors[1]) if kind == "Pow" and len(tensors) == 2 else None
    return exponent is not None and bool((np.abs(exponent) <= 1).all())


def _is_bounded(node: Node, kind: str, limits: Limits) -> bool:
    """Whether it clips to constants that half precision holds."""
    if kind != "Clip":
        return False
    bounds = [schema.constant_of(t) for t in node.inputs[1:3] if t.name] or [node.attrs.get(n) for n in ("min", "max")]
    return len(bounds) == 2 and all(b is not None and np.all(np.abs(b) <= limits.largest) for b in bounds)
