"""Values whose absolute error matters: what feeds Sin, a Cast to integers, a place in a picture, all the way up.

Half precision rounds a value by a share of it. That is no harm to most, but an angle of 4,000 is then off by more than
a full turn, and the number of a row by several rows. So each value gets the accuracy that is needed of it: the smallest
error that one of those that read it can bear, through any number of steps. 0 means that it may not change at all. Where
half precision cannot keep to that, what makes the value stays in 32 bits.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.ir.weights import dtype_from_onnx
from regraft.mixed_precision.losses import amplified
from regraft.mixed_precision.overflow import FloatLimits
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.mixed_precision.sizes import FORWARDING, NORMALIZING, SHRINKING, WEIGHTED, Sizes
from regraft.mixed_precision.solve import solve
from regraft.ops.traits import COMPARES, COMPARISONS, ROUNDS, SATURATES, SUMS

ANGLES = frozenset({"Cos", "Sin", "Tan"})
ROUNDED = ROUNDS | {"Mod"}
COORDINATES: Mapping[str, int] = {"GridSample": 1, "MaxRoiPool": 1, "RoiAlign": 1}
"""Operators that read a place in a picture, and which input that is."""

COMPARING = COMPARES | {"OneHot"}
"""Operators for which whole numbers are numbers of things."""


_ANGLE, _PLACE = 4.0, 1 / 64  # errors that can be borne, in units of the rounding of 1
_FINEST = 2.0**-60


class _Need(NamedTuple):
    """How far off a value may be, and for whom.

    Attributes:
        deep: whether products with weights forward it. What is normalized by constants may be a product of numbers
            that are rounded by a share, as that is the noise of all layers; an angle or an index may not.
    """

    accuracy: float
    deep: bool
    why: str

    def __or__(self, other: _Need) -> _Need:
        """What satisfies both."""
        return _Need(min(self.accuracy, other.accuracy), self.deep or other.deep, min(self, other).why)


def find_exact(groups: Sequence[PrecisionGroup], sizes: Sizes) -> dict[PrecisionGroup, str]:
    """The groups that half precision would make too inexact, with the reason."""
    return _Digits(groups, sizes).kept()


class _Digits:
    def __init__(self, groups: Sequence[PrecisionGroup], sizes: Sizes) -> None:
        self._units, self._sizes = groups, sizes
        self._limits: FloatLimits = sizes.limits
        self._needs: dict[Tensor, _Need] = {}
        producers: dict[Tensor, list[int]] = {}
        backwards = list(reversed(groups))
        for number, group in enumerate(backwards):
            for tensor in group.writes:
                producers.setdefault(tensor, []).append(number)
        solve(backwards, producers, self._evaluate)

    def kept(self) -> dict[PrecisionGroup, str]:
        found: dict[PrecisionGroup, str] = {}
        for group in self._units:
            if group.boundary:
                continue
            written = [(tensor, self._needs[tensor]) for tensor in group.writes if tensor in self._needs]
            for tensor, need in (*written, *self._asks(group)):
                if not self._holds(tensor, need.accuracy):
                    found[group] = need.why
                    break
        return found

    def _evaluate(self, group: PrecisionGroup) -> list[Tensor]:
        changed = []
        for tensor, need in self._asks(group):
            old = self._needs.get(tensor)
            need = need._replace(accuracy=_coarse(need.accuracy))
            new = need if old is None else old | need
            if old is None or new[:2] != old[:2]:
                self._needs[tensor] = new
                changed.append(tensor)
        return changed

    def _holds(self, tensor: Tensor, accuracy: float) -> bool:
        """Whether half precision keeps `tensor` that exact."""
        if is_constant(tensor):
            return self._sizes.constants.error(tensor) <= accuracy
        size = self._sizes[tensor]
        is_exact = size.whole and size.bound <= self._limits.whole
        return is_exact or size.bound * self._limits.rounding <= accuracy

    def _asks(self, group: PrecisionGroup) -> Iterator[tuple[Tensor, _Need]]:
        """What `group` needs of what it reads."""
        if group.boundary:
            return
        read = [slot.tensor for slot in group.reads if slot.tensor.name]
        if group.node is not None:
            for tensor, need in self._own(group.node):
                if tensor in read:
                    yield tensor, need
        wanted = [self._needs[tensor] for tensor in group.writes if tensor in self._needs]
        if not wanted:
            return
        need = functools.reduce(operator.or_, wanted)
        if group.node is None:
            yield from ((tensor, need) for tensor in read)
            return
        for tensor in read:
            accuracy = self._through(group.node, tensor, need)
            if accuracy is not None:
                yield tensor, need._replace(accuracy=accuracy)

    def _own(self, node: Node) -> Iterator[tuple[Tensor, _Need]]:
        """What a node needs whatever is needed of it."""
        for tensor, accuracy in self._places(node):
            yield tensor, _Need(accuracy, True, f"{_name(node)} needs the digits of '{tensor.name}'")
        if schema.kind(node) in COMPARISONS and not any(is_constant(t) for t in node.inputs):
            for tensor in node.inputs:  # a peak is what equals the largest around it: both must be rounded alike
                yield tensor, _Need(0.0, False, f"{_name(node)} distinguishes '{tensor.name}' from what is near it")
        for tensor, accuracy in amplified(node, self._sizes):
            yield tensor, _Need(accuracy, False, f"{_name(node)} enlarges what is lost of '{tensor.name}'")

    def _places(self, node: Node) -> Iterator[tuple[Tensor, float]]:
        """Angles, places, numbers of things, and inputs that an offset is taken off."""
        kind, limits = schema.kind(node), self._limits
        if kind in ANGLES:
            yield node.inputs[0], _ANGLE * limits.rounding
        elif kind in ROUNDED or (kind in ("Cast", "CastLike") and _makes_integers(node)):
            yield from ((tensor, 0.0) for tensor in node.inputs[: 2 if kind == "Mod" else 1])
        elif kind in COORDINATES:
            yield node.inputs[COORDINATES[kind]], _PLACE * limits.rounding
        elif kind in ("Add", "Sub"):
            for offset, other in (node.inputs, node.inputs[::-1]):
                if (
                    self._sizes[other].raw
                    and self._sizes.is_offset(offset)
                    and self._sizes[offset].bound > limits.whole
                ):
                    yield from ((offset, 0.0), (other, 0.0))
        elif kind in COMPARING:
            operands = [t for t in node.inputs if t.name]
            if any(self._sizes[t].whole and not is_constant(t) for t in operands):
                yield from ((tensor, 0.0) for tensor in operands)

    def _through(self, node: Node, tensor: Tensor, need: _Need) -> float | None:
        """How exact an input must be for a result to be so; None where any is exact enough."""
        kind, accuracy = schema.kind(node), need.accuracy
        if kind in WEIGHTED and not need.deep and not self._sizes[tensor].raw:
            return accuracy / math.sqrt(math.prod(tensor.shape or ())) if is_constant(tensor) else None
        if kind in SATURATES | NORMALIZING and accuracy >= self._limits.rounding:
            return None
        if kind in SATURATES - {"Softmax", "LpNormalization"} or kind in ANGLES:
            return accuracy  # no steeper than the line through 0
        if kind in FORWARDING or kind in SHRINKING or kind in SUMS or kind == "AffineGrid":
            return accuracy
        if kind == "Mul" and len(node.inputs) == 2:
            other = node.inputs[1] if tensor is node.inputs[0] else node.inputs[0]
            return _divided(accuracy, self._sizes[other].bound)
        if kind == "Div" and tensor is node.inputs[0] and is_constant(node.inputs[1]):
            return accuracy * self._sizes.constants.least(node.inputs[1])
        if kind in WEIGHTED and tensor in node.inputs[2:]:
            return accuracy
        if kind in WEIGHTED and not is_constant(tensor):
            return _divided(accuracy, self._sizes.gain(node).peak)
        return 0.0


def _makes_integers(node: Node) -> bool:
    to = node.attrs.get("to")
    dtype = dtype_from_onnx(to) if isinstance(to, int) else node.outputs[0].dtype
    return dtype is not None and np.dtype(dtype).kind in "iu"


def _divided(accuracy: float, gain: float) -> float:
    return 0.0 if math.isinf(gain) else accuracy / gain if gain else math.inf


def _coarse(accuracy: float) -> float:
    """`accuracy` as a power of two, below which there are few: so a need that goes round a loop comes to an end."""
    if accuracy < _FINEST:
        return 0.0
    return 2.0 ** math.floor(math.log2(accuracy)) if math.isfinite(accuracy) else accuracy


def _name(node: Node) -> str:
    return f"{schema.kind(node)} '{node.name}'" if node.name else schema.kind(node)
