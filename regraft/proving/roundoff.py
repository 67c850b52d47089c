"""How far rounding may move a value from what it is over the reals, between values that are given as they are.

    roundings = Roundings(model)
    roundings.bound(value, {x: box(-4, 4)}).error

Two ways to compute a value that are equal over the reals differ by no more than the sum of both bounds; see `apart`.
Bounds hold for each order of a sum and each input in the ranges, second-order terms included. Constants count as
rounded once, as 0.7071 stands for √½. Bounds are worst cases: errors of many terms mostly cancel each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from regraft.analysis.certainty import NOTHING, Assumption
from regraft.analysis.dataflow import Dataflow, Transfer, TypedNode
from regraft.analysis.interval import Interval, assumed, is_number
from regraft.analysis.solver import Round, Step
from regraft.analysis.value_ranges import ValueRanges
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.schema import is_constant
from regraft.ir.weights import Array, dtype_from_onnx, is_float
from regraft.ops.traits import BODIES, COMPARISONS, SHAPE_ONLY
from regraft.proving.rounded import NoBound, Rounded, Why, format_of
from regraft.proving.roundoff_elementwise import format_at
from regraft.proving.roundoff_relations import Relations
from regraft.proving.roundoff_rules import RULES
from regraft.proving.roundoff_sums import Norm, divided_by_norm, root_mean_square


class Obstacle(NamedTuple):
    """Why there is no bound: `why`, at the value named `value`; `detail` says it to people."""

    why: Why
    value: str
    detail: str

    def __str__(self) -> str:
        return f"{self.value}: {self.detail}"


@dataclass(frozen=True)
class Rounding:
    """How far a value as computed is from the exact one.

    Attributes:
        error: no element is further off; None where there is no bound.
        reason: why there is none.
        low, high: between these lie the exact elements.
        assumes: what the ranges rest on, beside proof.
    """

    error: float | None = None
    reason: Obstacle | None = None
    low: float = -math.inf
    high: float = math.inf
    assumes: Assumption = NOTHING

    @property
    def overflow(self) -> str:
        """The first value that may be larger than its dtype holds. Where there is a bound, none may."""
        return self.reason.value if self.reason is not None and self.reason.why == "overflow" else ""


def apart(*ways: Rounding) -> Rounding:
    """How far apart the results may be of two ways to compute a value that are equal over the reals."""
    reason = next((way.reason for way in ways if way.reason is not None), None)
    low, high, assumes = max(w.low for w in ways), min(w.high for w in ways), NOTHING
    for way in ways:
        assumes = assumes | way.assumes
    errors = [way.error for way in ways if way.error is not None]
    return Rounding(sum(errors) if reason is None else None, reason, low, high, assumes)


def box(low: float, high: float) -> Interval:
    """The range of a value whose elements are stated to lie between two numbers."""
    return Interval(low, high, max(abs(low), abs(high)))


def recorded(*values: Array) -> Interval:
    """The range of what was seen of a value; without a finite number, one of which nothing is known."""
    wide = [np.asarray(value, np.float64) for value in values if value.size]
    low, high = (min(float(v.min()) for v in wide), max(float(v.max()) for v in wide)) if wide else (math.nan, math.nan)
    return box(low, high)


Fact = Rounded | Obstacle


class Roundings(Dataflow[Fact]):
    """Bounds of the rounding errors in a model; each takes as long as the region that it is of is large."""

    table = RULES

    def __init__(self, model: Model):
        super().__init__(model)
        self._ranges = model.facts(ValueRanges)
        self._relations = Relations(self.typed, ())

    def bound(self, value: Tensor, leaves: Mapping[Tensor, Interval]) -> Rounding:
        """How far `value` may be off.

        Args:
            leaves: the ranges of the values at which its region ends, which are taken as they are: stated (`box`), of a
                run (`recorded`), or what `ValueRanges` finds.
        """
        self._relations = Relations(self.typed, leaves)
        self.known = {tensor: self._checked(tensor, _given(tensor, found)) for tensor, found in leaves.items()}
        found = self[value]
        if isinstance(found, Obstacle):
            return Rounding(reason=found)
        return Rounding(found.error, None, found.low, found.high, assumed(leaves.values()))

    # --------------------------------------------------------------------------------------- what the analysis asks

    def at_once(self, tensor: Tensor) -> Step | None:
        return Step((), partial(self._constant, tensor)) if is_constant(tensor) else None

    def given(self, tensor: Tensor) -> Fact:
        if self._is_whole(tensor):
            return self._whole(tensor)
        return Obstacle("range", tensor.name, "its range is not known")

    def unknown(self, tensor: Tensor) -> Fact:
        maker = tensor.producer
        detail = "no node makes it" if maker is None else f"no rule for {schema.kind(maker)}"
        return Obstacle("operator", tensor.name, detail)

    def one_of(self, tensor: Tensor, facts: Sequence[Fact]) -> Fact:
        return facts[0] if len(facts) == 1 else self.unknown(tensor)

    def transfer(self, node: Node, tensor: Tensor) -> Transfer | None:
        if self._is_whole(tensor):
            known = not node.domain and not schema.draws(node) and node.op not in BODIES
            return Transfer(partial(self._chosen, tensor), _read, every=True) if known else None
        norm = self._relations.norm(tensor)
        if norm is not None:
            return Transfer(partial(_root, norm), _these(norm.of, node.inputs[0]))
        normal = self._relations.divided_by_norm(node)
        if normal is not None:
            whole, norm = normal
            return Transfer(partial(_normal, norm), _these(norm.of, whole))
        return super().transfer(node, tensor)

    def step(self, tensor: Tensor) -> Step | Round:
        step = super().step(tensor)
        if isinstance(step, Round):
            return Step((), partial(self.unknown, tensor))

        def of(*operands: Fact) -> Fact:
            for operand in operands:
                if isinstance(operand, Obstacle):
                    return operand
            try:
                return self._checked(tensor, step.of(*operands))
            except NoBound as error:
                return Obstacle(error.why, tensor.name, str(error))

        return Step(step.operands, of)

    # ------------------------------------------------------------------------------------------------ kinds of facts

    def _checked(self, tensor: Tensor, found: Fact) -> Fact:
        """A fact with what is known by what stands before the value, unless this may be too large for its dtype."""
        if isinstance(found, Obstacle) or self._is_whole(tensor):
            return found
        code = self.types[tensor].code
        if not is_float(code):
            return Obstacle("dtype", tensor.name, "it is not known to be of floats")
        dtype = dtype_from_onnx(code)
        if not found.peak <= (largest := format_of(dtype).largest):
            return Obstacle("overflow", tensor.name, f"may reach {found.peak:.3g}, and {dtype} ends at {largest:.6g}")
        limits = self._relations.limits(tensor)
        return found if limits is None else found.within(*limits)

    def _constant(self, tensor: Tensor) -> Fact:
        found = self._whole(tensor) if self._is_whole(tensor) else _given(tensor, self._ranges[tensor])
        if isinstance(found, Obstacle) or self._is_whole(tensor) or _is_plain(tensor):
            return found
        return self._checked(tensor, found.stored(format_of(dtype_from_onnx(self.types[tensor].code))))

    def _whole(self, tensor: Tensor) -> Rounded:
        """Whole numbers and truths, which are exact."""
        found = self._ranges.proven(tensor)
        return Rounded(found.low, found.high)

    def _chosen(self, tensor: Tensor, node: TypedNode, *operands: Rounded) -> Rounded:
        """What is computed of exact numbers, or asks of rounded ones what rounding does not change."""
        if not all(operand.is_exact for operand in operands) and not _are_apart(node.node, operands):
            raise NoBound("choice", "a choice by rounded numbers")
        return self._whole(tensor)

    def _is_whole(self, tensor: Tensor) -> bool:
        code = self.types[tensor].code
        return bool(code) and not is_number(dtype_from_onnx(code))


def _given(tensor: Tensor, known: Interval) -> Fact:
    low, high = max(known.low, -known.size), min(known.high, known.size)
    if math.isfinite(low) and math.isfinite(high) and low <= high:
        return Rounded(low, high)
    return Obstacle("range", tensor.name, "its range is not known")


def _read(node: Node) -> list[Tensor]:
    """The values whose elements matter."""
    return [] if node.op in SHAPE_ONLY else [tensor for tensor in node.inputs if tensor.name]


def _are_apart(node: Node, operands: Sequence[Rounded]) -> bool:
    """Whether `node` compares numbers that lie apart, rounded or not."""
    if node.op not in COMPARISONS:
        return False
    one, other = operands
    return one.high + one.error < other.low - other.error or other.high + other.error < one.low - one.error


def _these(*operands: Tensor) -> Callable[[Node], Sequence[Tensor]]:
    """The operands that matter, whatever the node reads."""
    return lambda node: operands


def _root(norm: Norm, node: TypedNode, x: Rounded, inner: Rounded) -> Rounded:
    return root_mean_square(x, norm, format_at(node))


def _normal(norm: Norm, node: TypedNode, x: Rounded, root: Rounded) -> Rounded:
    found = divided_by_norm(x, root, norm, format_at(node))
    return replace(found, reached=1 / math.sqrt(norm.epsilon)) if node.node.op == "Mul" else found


_FEW = 4096


def _is_plain(tensor: Tensor) -> bool:
    """Whether the numbers of a constant are meant as they are: eighths up to 8, and powers of 2."""
    values = None if isinstance(tensor, Constant) and tensor.size > _FEW else schema.constant_of(tensor)
    if values is None or values.size > _FEW:
        return False
    wide = values.astype(np.float64)
    eighths = (np.abs(wide) <= 8) & (np.trunc(wide * 8) == wide * 8)
    return bool((eighths | (np.abs(np.frexp(wide)[0]) == 0.5)).all())
