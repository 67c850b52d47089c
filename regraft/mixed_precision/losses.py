"""Constants that lose in half precision, judged element by element by what is done with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.mixed_precision.sizes import Sizes, source_of

SCALES = frozenset({"DequantizeLinear", "Div", "Mul", "Pow", "PRelu", "Reciprocal", "com.microsoft::MatMulNBits"})
"""Operators for which every element of a constant counts by its digits, however small it is beside the others."""

_EXACT_ENOUGH = 2.0  # roundings of 1 that a normalized value may be off by for its constants
_FAR = 16.0  # standard deviations from which on the mean of a value costs it its digits


def find_lost(groups: Sequence[PrecisionGroup], sizes: Sizes) -> dict[PrecisionGroup, str]:
    """The groups that read a constant which would lose too much, with the reason."""
    found = {}
    for group in groups:
        if group.node is not None and not group.boundary and group.writes and (why := _lost(group, group.node, sizes)):
            found[group] = why
    return found


def vanishes(constant: Tensor, sizes: Sizes) -> str:
    """Why a constant is nothing in half precision, whatever is done with it: all of its elements are too small."""
    extent = sizes.constants.extent(constant)
    return f"is {extent.extreme:.2g}, which would vanish" if 0 < extent.size < sizes.limits.smallest else ""


def amplified(node: Node, sizes: Sizes) -> Iterator[tuple[Tensor, float]]:
    """What a node divides by so little, or takes so large a mean off, that its digits are needed."""
    kind, group = schema.kind(node), sizes.limits.rounding
    if kind == "Div" and (divisor := source_of(node.inputs[1])) is not None:
        least = sizes.constants.least(divisor)
        if least < sizes.limits.smallest:
            yield node.inputs[0], group * least
    elif kind == "Mul" and len(node.inputs) == 2:
        for factor, other in (node.inputs, node.inputs[::-1]):
            is_scale = source_of(factor) is not None or sizes[factor].fixed  # a square of tanh's cubic is none
            if is_scale and sizes.limits.largest < (size := sizes[factor].bound) < np.inf:
                yield other, group / size
    elif kind == "BatchNormalization" and (params := _parameters(node, sizes)) is not None:
        scale, _, mean, deviation = params
        slope = np.abs(scale) / deviation
        is_far = np.abs(mean) * slope > _FAR * np.maximum(1.0, np.abs(scale))
        if np.any(is_far) or np.any(slope > 1 / sizes.limits.smallest):
            yield node.inputs[0], _EXACT_ENOUGH * group / float(np.max(slope))


def _lost(group: PrecisionGroup, node: Node, sizes: Sizes) -> str:
    kind = schema.kind(node)
    if kind == "BatchNormalization":
        return _lost_in_normalization(node, sizes)
    if kind not in SCALES:
        return ""
    for slot in group.reads:
        constant = source_of(slot.tensor)
        if constant is not None:
            least = sizes.constants.least(constant)
            if least < sizes.limits.smallest and sizes[constant].large is None:
                return f"'{constant.name}' has elements of {least:.2g}, which lose their digits"
        elif sizes[slot.tensor].fixed:
            return f"what '{slot.tensor.name}' is of constants is not known before fold-constants"
    return ""


def _lost_in_normalization(node: Node, sizes: Sizes) -> str:
    """Held against each other: x * a + b with the constants as they are, and as they would be."""
    params = _parameters(node, sizes)
    if params is None:
        return ""
    limits = sizes.limits
    dtype, epsilon = limits.dtype, _epsilon(node)
    scale, bias, mean, deviation = params
    held = [
        np.clip(sizes.constants.values(t), -limits.largest, limits.largest).astype(dtype).astype(np.float64)
        for t in node.inputs[1:5]
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        factor, rounded = scale / deviation, held[0] / np.sqrt(held[3] + epsilon)
        off = np.abs(rounded - factor) * deviation + np.abs(held[1] - bias) + np.abs((held[2] - mean) * rounded)
    allowed = 4 * _EXACT_ENOUGH * limits.rounding * np.maximum(1.0, np.maximum(np.abs(scale), np.abs(bias)))
    if np.all(off <= allowed):
        return ""
    worst = int(np.argmax(np.where(np.isnan(off), np.inf, off) / allowed))
    variance = deviation[worst] ** 2
    return f"the mean {mean[worst]:.3g} and variance {variance:.2g} of channel {worst} would lose their digits"


def _parameters(node: Node, sizes: Sizes) -> list[np.ndarray] | None:
    """Scale, bias, mean and standard deviation of a BatchNormalization; None where one is computed."""
    if len(node.inputs) < 5 or not all(is_constant(t) for t in node.inputs[1:5]):
        return None
    scale, bias, mean, variance = (sizes.constants.values(t) for t in node.inputs[1:5])
    deviation = np.sqrt(np.maximum(variance, 0.0) + _epsilon(node))
    return [scale, bias, mean, deviation] if np.all(deviation > 0) else None


def _epsilon(node: Node) -> float:
    return float(node.attrs.get("epsilon", 1e-5))
