"""How large values may become, as far as the graph and its constants tell, from the inputs on.

What a layer computes counts as moderate: no bound is known of it, and half precision is taken to hold it. A constant
beyond the range, or an operator whose results have another order of magnitude than what it reads, makes a value that
may be large. That ends where a bound is proven, where the value is scaled down, and where it is normalized.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.mixed_precision.norms import Norms
from regraft.mixed_precision.overflow import Constants, FloatLimits, Gain
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.mixed_precision.solve import solve
from regraft.ops import traits

WIDENING = frozenset({"Exp", "Pow", "ReduceProd", "ReduceSumSquare", "CumProd"})
"""Operators whose results have another order of magnitude than what they read."""

NORMALIZING = traits.NORMALIZATIONS | {"BatchNormalization"}

NARROWING = traits.SATURATES | NORMALIZING | {"Log", "LogSoftmax", "Sqrt", "HardSwish", "Attention"}
"""Operators whose results are of moderate size whatever they read."""

COMBINING = traits.ARITHMETIC | traits.SUMS

FORWARDING = traits.MOVES | traits.MERGES | {"Cast", "CastLike"}
"""Operators that forward elements."""

SHRINKING = (
    (traits.SHRINKS - NARROWING - FORWARDING)
    | traits.AVERAGES
    | traits.EXTREMES
    | {"Clip", "Dropout", "Elu", "LeakyRelu", "Max", "Min", "Resize", "Upsample"}
)
"""Operators whose results are no larger than what they read, or than 1."""

WEIGHTED = traits.PRODUCTS - {"DeformConv"}
"""Operators that sum products of their first two operands, and no other factors."""


class Large(NamedTuple):
    """Why a value may be beyond half precision.

    Attributes:
        reach: how large it may become, as an estimate.
        hides: whether a constant is chosen, or multiplied by a choice, so that data may not show it: a mask.
    """

    reach: float
    why: str
    hides: bool = False


class Size(NamedTuple):
    """What is known of a value.

    Attributes:
        bound: the largest magnitude of a finite element, proven.
        norm: the largest root of the sum of squares along the last axis, proven.
        whole: whether all elements are whole numbers.
        fixed: whether it is made of constants only.
        raw: whether it is an input, or made of inputs by arithmetic, and so in groups that nobody normalized yet.
        large: why it may be beyond half precision.
    """

    bound: float = math.inf
    norm: float = math.inf
    whole: bool = False
    raw: bool = False
    large: Large | None = None
    fixed: bool = False

    def __or__(self, other: Size) -> Size:
        """What is known of a value that is one or the other."""
        larger = max((s.large for s in (self, other) if s.large), key=lambda large: large.reach, default=None)
        if larger is not None:
            larger = larger._replace(hides=any(s.large.hides for s in (self, other) if s.large))
        return Size(
            max(self.bound, other.bound),
            max(self.norm, other.norm),
            self.whole and other.whole,
            self.raw and other.raw,
            larger,
            self.fixed and other.fixed,
        )


_UNKNOWN = Size()
_TIMES = 4  # that the size of a value may grow round a loop before no bound is known of it


class Sizes:
    """The sizes of the values of a model: `Sizes(...)[tensor]`.

    Args:
        fits: values that were seen to fit in half precision; masks may be large all the same.
    """

    def __init__(
        self, groups: Sequence[PrecisionGroup], limits: FloatLimits, constants: Constants, fits: Collection[Tensor] = ()
    ) -> None:
        self.limits, self.constants, self._fits = limits, constants, fits
        self._known: dict[Tensor, Size] = {}
        self._times: dict[Tensor, int] = {}
        self._made = {tensor for group in groups for tensor in group.writes}
        self.norms = Norms()
        readers: dict[Tensor, list[int]] = {}
        for number, group in enumerate(groups):
            tensors = group.node.inputs if group.node is not None else [slot.tensor for slot in group.reads]
            for tensor in dict.fromkeys(tensors):
                readers.setdefault(tensor, []).append(number)
        solve(groups, readers, self._evaluate)

    def __getitem__(self, tensor: Tensor) -> Size:
        if tensor not in self._known and is_constant(tensor):
            extent = self.constants.extent(tensor)
            too_large = extent.size > self.limits.largest
            why = f"may be large: '{tensor.name}' reaches {extent.extreme:.3g}"
            large = Large(extent.size, why, True) if too_large else None
            self._known[tensor] = Size(extent.size, math.inf, extent.whole, False, large)
        return self._known.get(tensor, _UNKNOWN)

    # ------------------------------------------------------------------------------------------------ the steps

    def _evaluate(self, group: PrecisionGroup) -> list[Tensor]:
        found = self._of(group)
        if found is None:
            return []
        changed = []
        for tensor in group.writes:
            size = self._seen(tensor, found if group.node is None or _is_result(group.node, tensor) else _UNKNOWN)
            old = self._known.get(tensor)
            new = size if old is None else size | old
            if new == old:
                continue
            times = self._times[tensor] = self._times.get(tensor, 0) + 1
            if times > _TIMES:
                large = new.large and new.large._replace(reach=math.inf)
                new = new._replace(bound=math.inf, norm=math.inf, large=large)
            self._known[tensor] = new
            changed.append(tensor)
        return changed

    def _seen(self, tensor: Tensor, size: Size) -> Size:
        return size._replace(large=None) if size.large and tensor in self._fits and not size.large.hides else size

    def _of(self, group: PrecisionGroup) -> Size | None:
        """What `group` makes; None as long as nothing is known of what it reads."""
        node = group.node
        if node is None:
            return self._of_tie(group)
        if group.boundary:
            return Size(bound=self.limits.largest)
        given = [t for t in node.inputs if t.name]
        if any(t in self._made and t not in self._known for t in given):
            return None
        size = self._of_node(node, given)
        if size.large and (size.bound <= self.limits.largest or size.large.reach <= self.limits.largest):
            size = size._replace(large=None)
        return size

    def _of_tie(self, group: PrecisionGroup) -> Size | None:
        if group.tie == "input":
            return Size(raw=True)
        if group.tie == "body":
            return _UNKNOWN
        sizes = [self[t] for slot in group.reads if (t := slot.tensor) in self._known or t not in self._made]
        return _join(sizes) if sizes else None

    def _of_node(self, node: Node, given: Sequence[Tensor]) -> Size:
        kind = schema.kind(node)
        floats = [t for t in given if t in self._made or (is_constant(t) and _is_float(t))]
        sizes = [self[t] for t in floats]
        moving = [size for t, size in zip(floats, sizes, strict=True) if not is_constant(t)]
        is_raw = bool(moving) and all(size.raw for size in moving)
        if kind == "Cast" and not moving:
            return self._from_numbers(node)
        rule = _RULES.get(kind)
        bound, norm = rule(self, node) if rule is not None else (math.inf, math.inf)
        whole = bool(sizes) and kind in _WHOLE and all(size.whole for size in sizes)
        raw = is_raw and (kind in COMBINING or kind in FORWARDING or kind in SHRINKING)
        large = self._large(node, kind, bound, sizes)
        fixed = bool(given) and all(is_constant(t) or self[t].fixed for t in given)
        return Size(bound, norm, whole or kind in _ROUNDING, raw, large, fixed)

    def _from_numbers(self, node: Node) -> Size:
        """A Cast of what is no 32-bit float."""
        dtype = node.inputs[0].dtype
        kind = np.dtype(dtype).kind if dtype is not None else "?"
        if kind == "b":
            return Size(1.0, math.inf, True)
        if kind in "iu":
            limits = np.iinfo(np.dtype(dtype))
            bound = float(max(-limits.min, limits.max)) if limits.bits < 32 else math.inf
            return Size(bound, math.inf, True, source_of(node.inputs[0]) is None)
        return Size(raw=source_of(node.inputs[0]) is None)

    # ------------------------------------------------------------------------------------------------ large values

    def _large(self, node: Node, kind: str, bound: float, sizes: Sequence[Size]) -> Large | None:
        if kind in NARROWING or _is_bounded(node, kind, self.limits):
            return None
        if self.norms.is_normalized(node):
            return None
        reached = self._reached(node, kind, sizes)
        if self.limits.is_narrow and bound > self.limits.largest and (reach := self._widens(node, kind)):
            name = node.outputs[0].name
            what = "a square" if kind == "Mul" else f"made by {kind}"
            return Large(reach, f"may be large: '{name}' is {what}", bool(reached and reached.hides))
        return reached

    def _reached(self, node: Node, kind: str, sizes: Sequence[Size]) -> Large | None:
        """What is large already, after this node."""
        if kind == "Clip":  # its bounds come through where the data does
            return self[node.inputs[0]].large
        every = [size.large for size in sizes if size.large]
        if not every:
            return None
        worst = max(every, key=lambda large: large.reach)
        hides = any(large.hides for large in every)
        if kind in ("Add", "Sub"):  # the data shows a constant that is added everywhere
            hides = any((large := self[t].large) and large.hides and not self.is_offset(t) for t in node.inputs)
        reach = worst.reach
        if kind == "Div":
            top, bottom = self[node.inputs[0]], node.inputs[1]
            if top.large is None or self[bottom].large is not None:
                return None
            reach = top.large.reach / self.constants.least(bottom) if is_constant(bottom) else math.inf
        elif kind == "Mul" and len(node.inputs) == 2:
            reach = math.prod(self._reach(t) for t in node.inputs)
        elif kind in WEIGHTED:
            moving = [self[t].large for t in node.inputs[:2] if not is_constant(t)]
            reach = max((large.reach for large in moving if large), default=1.0) * self.gain(node).peak
        elif kind in ("Add", "Sub", "Sum"):
            reach = sum(large.reach for large in every)
        elif kind in ("ReduceSum", "ReduceL1", "ReduceL2", "CumSum"):
            reach = math.inf
        return Large(reach, worst.why, hides)

    def is_offset(self, tensor: Tensor) -> bool:
        """Whether it is a constant, all of whose elements are of one order of magnitude: a mean, and no mask."""
        if not is_constant(tensor):
            return False
        extent = self.constants.extent(tensor)
        return extent.size <= _MASK and (extent.low > 0 or extent.high < 0)

    def _reach(self, tensor: Tensor) -> float:
        """How far a factor may reach; what is moderate counts as 1, and a constant as it is."""
        large = self[tensor].large
        if large is not None:
            return large.reach
        return self.constants.extent(tensor).size if is_constant(tensor) else min(self[tensor].bound, self._moderate)

    @property
    def _moderate(self) -> float:
        return self.limits.largest

    def _widens(self, node: Node, kind: str) -> float:
        """How large the results are of an operator that changes the order of magnitude; 0 where it does not."""
        first = self[node.inputs[0]].large
        base = max(first.reach if first else 0.0, min(self[node.inputs[0]].bound, self.limits.largest))
        if kind == "Mul":
            return base**2 if len(node.inputs) == 2 and node.inputs[0] is node.inputs[1] else 0.0
        if kind == "Reciprocal":
            return self._bound_of_inverse(node.inputs[0])
        if kind == "Pow":
            exponent = schema.constant_of(node.inputs[1])
            if exponent is None or not exponent.size:
                return math.inf
            power = float(np.abs(exponent).max())
            return 0.0 if power <= 1 else _power(base, power)
        return math.inf if kind in WIDENING else 0.0

    def _bound_of_inverse(self, tensor: Tensor) -> float:
        """The largest of 1 / `tensor`, a constant; 0 where it is none, and nothing is known but that it is moderate."""
        return 1 / self.constants.least(tensor) if is_constant(tensor) else 0.0

    # ------------------------------------------------------------------------------------------------ products

    def gain(self, node: Node) -> Gain:
        """What a product makes of numbers of size 1; of two that are computed, nothing is known but their sizes."""
        kind = schema.kind(node)
        left, right = node.inputs[:2] if len(node.inputs) > 1 else (node.inputs[0], node.inputs[0])
        if is_constant(right):
            return self.constants.gain(right, _summed(node, kind, right, 1))
        if is_constant(left):
            return self.constants.gain(left, _summed(node, kind, left, 0))
        return Gain()


_MASK = 1e8
"""From here on a constant hides, and is no quantity."""


def _is_result(node: Node, tensor: Tensor) -> bool:
    """Whether `tensor` is what the rules speak of: the first result, or any of those that parts are forwarded as."""
    return tensor is node.outputs[0] or node.op in FORWARDING


def _magnitude(node: Node, name: str, default: float) -> float:
    """The magnitude of a number among the attributes; infinite where it is that of the function around."""
    value = node.attrs.get(name, default)
    return math.inf if isinstance(value, Node.AttributeRef) else abs(float(value))


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype is None or np.dtype(tensor.dtype).kind not in "biu"


def source_of(tensor: Tensor) -> Tensor | None:
    """The constant that `tensor` is, or is a view of; None where there is none."""
    while not is_constant(tensor):
        node = tensor.producer
        if node is None or node.domain or node.op not in _VIEWS_OF_ONE or not node.inputs:
            return None
        tensor = node.inputs[0]
    return tensor


_VIEWS_OF_ONE = (traits.MOVES - traits.GATHERS) | {"Cast", "CastLike", "Trilu"}


def _join(sizes: Sequence[Size]) -> Size:
    found = sizes[0]
    for size in sizes[1:]:
        found |= size
    return found


def _power(base: float, exponent: float) -> float:
    try:
        return float(max(base, 1.0) ** exponent)
    except OverflowError:
        return math.inf


def _summed(node: Node, kind: str, constant: Tensor, place: int) -> tuple[int, ...]:
    """The axes of a constant operand that the product sums over."""
    rank = len(constant.shape or ())
    if kind == "MatMul" and rank > 1:
        return (-2,) if place else (-1,)
    if kind == "Gemm":
        flipped = bool(node.attrs.get("transB" if place else "transA", 0))
        return (int(flipped) if place else 1 - int(flipped),)
    if kind == "Conv" and place:
        return tuple(range(1, rank))
    if kind == "ConvTranspose" and place:
        return tuple(axis for axis in range(rank) if axis != 1)
    return tuple(range(rank))


def _is_bounded(node: Node, kind: str, limits: FloatLimits) -> bool:
    """Whether it clips to constants that half precision holds."""
    if kind != "Clip":
        return False
    bounds = [schema.constant_of(t) for t in node.inputs[1:3] if t.name] or [node.attrs.get(n) for n in ("min", "max")]
    return len(bounds) == 2 and all(b is not None and np.all(np.abs(b) <= limits.largest) for b in bounds)


# ------------------------------------------------------------------------------------------------------- the bounds

Bounds = tuple[float, float]


def _times(x: float, y: float) -> float:
    return x * y if x and y else 0.0


def _saturated(sizes: Sizes, node: Node) -> Bounds:
    return 1.0, math.inf


def _forwarded(sizes: Sizes, node: Node) -> Bounds:
    """The largest of the operands that are floats; what is padded in is among them, or zero, or an attribute."""
    floats = [t for t in node.inputs if t.name and _is_float(t)]
    bound = max((sizes[t].bound for t in floats), default=math.inf)
    if node.op == "Pad":
        bound = max(bound, _magnitude(node, "value", 0.0))
    if node.attrs.get("reduction", "none") not in ("none", b"none") or node.attrs.get("mode") in ("cubic", b"cubic"):
        bound = math.inf
    return bound, sizes[node.inputs[0]].norm if schema.kind(node) in traits.SHRINKS else math.inf


def _clipped(sizes: Sizes, node: Node) -> Bounds:
    if not _is_bounded(node, "Clip", sizes.limits):
        return math.inf, math.inf
    bounds = [schema.constant_of(t) for t in node.inputs[1:3] if t.name] or [node.attrs[n] for n in ("min", "max")]
    return max(float(np.max(np.abs(np.asarray(b)))) for b in bounds), math.inf


def _shrunk(sizes: Sizes, node: Node) -> Bounds:
    slope = _magnitude(node, "alpha", 0.0) if node.op in ("LeakyRelu", "Elu") else 0.0
    bound, row = _forwarded(sizes, node)
    return max(1.0, slope) * max(bound, 1.0 if node.op in ("Elu", "Mish") else 0.0), row


def _added(sizes: Sizes, node: Node) -> Bounds:
    return sum(sizes[t].bound for t in node.inputs), math.inf


def _multiplied(sizes: Sizes, node: Node) -> Bounds:
    if (length := sizes.norms.row_length(node)) is not None:
        return math.sqrt(length), math.sqrt(length)
    left, right = (sizes[t] for t in node.inputs)
    rows = [
        _times(a.norm, b.bound)
        for a, b, t in ((left, right, node.inputs[0]), (right, left, node.inputs[1]))
        if _keeps_rows(t, node)
    ]
    return _times(left.bound, right.bound), min(rows, default=math.inf)


def _divided(sizes: Sizes, node: Node) -> Bounds:
    if (length := sizes.norms.row_length(node)) is not None:
        return math.sqrt(length), math.sqrt(length)
    top, bottom = node.inputs
    if not is_constant(bottom):
        return math.inf, math.inf
    least = sizes.constants.least(bottom)
    row = sizes[top].norm / least if _keeps_rows(top, node) else math.inf
    return sizes[top].bound / least, row


def _keeps_rows(operand: Tensor, node: Node) -> bool:
    """Whether the rows of `operand` are as long as those of the result: none is spread."""
    lengths = [None if t.shape is None or not t.shape else t.shape[-1] for t in (operand, node.outputs[0])]
    return isinstance(lengths[0], int) and lengths[0] == lengths[1]


def _root_of_size(shape: Any, first: int) -> float:
    dims = list(shape)[first:] if shape is not None else [None]
    return math.sqrt(math.prod(dims)) if all(isinstance(dim, int) for dim in dims) else math.inf


def _row_normalized(sizes: Sizes, node: Node) -> Bounds:
    """LayerNormalization and RMSNormalization, which keep the sum of squares along their axes."""
    root = _root_of_size(node.inputs[0].shape, int(node.attrs.get("axis", -1)))
    scale = sizes[node.inputs[1]].bound if len(node.inputs) > 1 else 1.0
    bias = sizes[node.inputs[2]].bound if len(node.inputs) > 2 and node.inputs[2].name else 0.0
    row = _times(root, scale) + _times(bias, root)
    return _times(root, scale) + bias, row if int(node.attrs.get("axis", -1)) == -1 else math.inf


def _channel_normalized(sizes: Sizes, node: Node) -> Bounds:
    """InstanceNormalization, over what is behind the channels."""
    scale, bias = (sizes[t].bound for t in node.inputs[1:3])
    return _times(_root_of_size(node.inputs[0].shape, 2), scale) + bias, math.inf


def _product(sizes: Sizes, node: Node) -> Bounds:
    kind = schema.kind(node)
    operands = [sizes[t] for t in node.inputs[:2]]
    moving = [size for t, size in zip(node.inputs[:2], operands, strict=False) if not is_constant(t)]
    bias = sizes[node.inputs[2]].bound if len(node.inputs) > 2 and node.inputs[2].name and kind != "Einsum" else 0.0
    if len(moving) != 1 or len(node.inputs) < 2 or math.isinf(min(moving[0].bound, moving[0].norm)):
        return math.inf, math.inf
    gain, factor = sizes.gain(node), _magnitude(node, "alpha", 1.0) if kind == "Gemm" else 1.0
    bias *= _magnitude(node, "beta", 1.0) if kind == "Gemm" else 1.0
    peak = _times(moving[0].bound, gain.peak)
    is_row = is_constant(node.inputs[1]) and kind in ("MatMul", "Gemm") and not node.attrs.get("transA", 0)
    is_row = is_row and len(node.inputs[1].shape or ()) == 2
    if not is_row:
        return factor * peak + bias, math.inf
    row = _times(moving[0].norm, gain.total) if not bias else math.inf
    return factor * min(peak, _times(moving[0].norm, gain.norm)) + bias, factor * row


def _rooted(sizes: Sizes, node: Node) -> Bounds:
    return math.sqrt(sizes[node.inputs[0]].bound), math.inf


def _raised(sizes: Sizes, node: Node) -> Bounds:
    exponent = schema.constant_of(node.inputs[1])
    if exponent is None or not exponent.size or not np.all(exponent >= 0):
        return math.inf, math.inf
    bound = sizes[node.inputs[0]].bound
    return _power(bound, float(exponent.max())) if math.isfinite(bound) else math.inf, math.inf


def _exponential(sizes: Sizes, node: Node) -> Bounds:
    bound = sizes[node.inputs[0]].bound
    return math.exp(bound) if bound < 700 else math.inf, math.inf


def _inverted(sizes: Sizes, node: Node) -> Bounds:
    return sizes._bound_of_inverse(node.inputs[0]) or math.inf, math.inf


def _filled(sizes: Sizes, node: Node) -> Bounds:
    value = node.attrs.get("value")
    return 0.0 if value is None else float(np.abs(np.asarray(value.values, np.float64)).max(initial=0)), math.inf


_ROUNDING = traits.ROUNDS | {"Sign"}
_WHOLE = traits.WHOLE | {"Cast", "CastLike", "Dropout"}
"""Operators that make whole numbers of whole numbers."""

_RULES: Mapping[str, Callable[[Sizes, Node], Bounds]] = {
    **dict.fromkeys(traits.SATURATES, _saturated),
    **dict.fromkeys(FORWARDING, _forwarded),
    **dict.fromkeys(SHRINKING, _shrunk),
    **dict.fromkeys(WEIGHTED, _product),
    **dict.fromkeys(("Add", "Sub", "Sum"), _added),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _row_normalized),
    "Clip": _clipped,
    "ConstantOfShape": _filled,
    "Div": _divided,
    "Exp": _exponential,
    "InstanceNormalization": _channel_normalized,
    "Mul": _multiplied,
    "Pow": _raised,
    "Reciprocal": _inverted,
    "Sqrt": _rooted,
}


def find_raw(groups: Sequence[PrecisionGroup], sizes: Sizes) -> dict[PrecisionGroup, str]:
    """What computes with inputs that nobody normalized yet, with the reason: an offset or a count costs digits."""
    found = {}
    for group in groups:
        if group.node is None:
            continue
        given = [slot.tensor for slot in group.reads if not is_constant(slot.tensor)]
        kind = schema.kind(group.node)
        if kind in COMBINING and given and all(sizes[tensor].raw for tensor in given):
            found[group] = "arithmetic on inputs, before anything normalizes them"
        if kind in WEIGHTED and any(sizes[t].raw and sizes[t].whole and math.isinf(sizes[t].bound) for t in given):
            found[group] = "reads whole numbers of unknown size"
    return found
