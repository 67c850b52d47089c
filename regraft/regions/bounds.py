"""Between which numbers a value lies, and whether it may be infinite or NaN: followed back to constants and dtypes.

What layers compute counts as finite: no bounds are known of it, and a model whose activations overflow is lost anyway.
What a caller gives in floats may be anything, -inf in a mask too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import code_of, dtype_from_onnx
from regraft.rewriting.matcher import is_constant

INF = math.inf
LARGEST = 1 << 22
"""Elements of the largest constant that is read: a mask of 2,048 times 2,048."""

ACTIVATION = 1e4
"""No value that a layer computes is taken to be larger."""

_WRAPPING = frozenset({"Add", "Sum", "Sub", "Neg", "Mul", "Abs", "CumSum"})
"""Operators whose result, of integers without bounds, may be of another sign."""

_FAR = 48  # steps back from a value: without an end to them, long chains would take quadratic time


class Range(NamedTuple):
    """Least and largest element; infinite where they are not known.

    Attributes:
        finite: no element is infinite or NaN.
    """

    low: float = -INF
    high: float = INF
    finite: bool = True

    @property
    def is_one_number(self) -> bool:
        """Whether all elements are the same finite number."""
        return self.finite and self.low == self.high


UNKNOWN = Range()
ANYTHING = Range(finite=False)
TRUTH = Range(0, 1)
NATURAL = Range(0, INF)
SIZE = Range(0, 2**31 - 1)
"""No dimension is taken to be larger."""


class Bounds:
    """The bounds of values, each found out once: `Bounds()(tensor)`; `given` are those known from elsewhere."""

    def __init__(self, given: Mapping[Tensor, Range] | None = None) -> None:
        self._known: dict[Tensor, Range] = {}
        self._given = given or {}

    def __call__(self, tensor: Tensor) -> Range:
        return self._of(tensor, _FAR)

    def _of(self, tensor: Tensor, steps: int) -> Range:
        if tensor not in self._known:
            known, given = self._find(tensor, steps), self._given.get(tensor)
            self._known[tensor] = known if given is None else _both(known, given)
        return self._known[tensor]

    def _find(self, tensor: Tensor, steps: int) -> Range:
        if is_constant(tensor):
            return _of_constant(tensor)
        if not tensor.inputs:
            return ANYTHING if _is_float(tensor) else _of_dtype(tensor)
        node = tensor.inputs[0]
        rule = RULES.get(node.op) if not node.domain else None
        if rule is None or not steps or tensor is not node.outputs[0]:
            return _of_dtype(tensor)
        inputs = [self._of(t, steps - 1) for t in node.inputs if not t.is_empty()]
        if node.op in _WRAPPING and not _is_float(tensor) and any(map(math.isinf, itertools.chain(*inputs))):
            return _of_dtype(tensor)
        return _within(rule(node, *inputs), tensor)


def of_inputs(model: Model) -> dict[Tensor, Range]:
    """The bounds of the inputs that the host makes; what it hands on is the caller's, and may be anything."""
    host = model.host
    if host is None:
        return {}
    made, bounds = {tensor.name: tensor for tensor in host.model.graph.outputs}, Bounds()
    return {t: bounds(made[host.feeds[t.name]]) for t in model.graph.inputs if t.name in host.feeds}


def _both(one: Range, other: Range) -> Range:
    """What is known of a value of which both are known."""
    return Range(max(one.low, other.low), min(one.high, other.high), one.finite or other.finite)


def _of_dtype(tensor: Tensor) -> Range:
    return TRUTH if tensor.dtype is not None and np.dtype(tensor.dtype).kind == "b" else UNKNOWN


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype is None or np.dtype(tensor.dtype).kind not in "biu"


def _of_constant(tensor: Tensor) -> Range:
    if isinstance(tensor, Constant) and tensor.size > LARGEST:
        return UNKNOWN
    values = schema.constant_of(tensor)
    if values is None or not values.size or values.dtype == object:
        return ANYTHING
    if _is_float(tensor):
        values = values.astype(np.float64)
        low, high = float(values.min()), float(values.max())
    else:
        low, high = int(values.min()), int(values.max())
    return ANYTHING if math.isnan(low) else Range(low, high, math.isfinite(low) and math.isfinite(high))


def largest(dtype: Any) -> float:
    """The largest finite number of a float dtype; infinite for others."""
    kind = np.dtype(dtype)
    if kind.kind in "biu":
        return INF
    return float(np.finfo(kind).max) if kind.kind == "f" else _LARGEST.get(kind.name, INF)


_LARGEST = {"bfloat16": 3.3895313892515355e38}


def _within(range_: Range, tensor: Tensor) -> Range:
    """`range_`, as far as the dtype of `tensor` holds it: floats overflow to infinity, integers wrap."""
    if tensor.dtype is None:
        return range_
    kind = np.dtype(tensor.dtype).kind
    if kind in "iu":
        limits = np.iinfo(np.dtype(tensor.dtype).name)
        known = [bound for bound in (range_.low, range_.high) if math.isfinite(bound)]
        return range_ if all(limits.min <= bound <= limits.max for bound in known) else UNKNOWN
    if kind == "b":
        return Range(max(range_.low, 0), min(range_.high, 1))
    limit = largest(tensor.dtype)
    over = any(math.isfinite(bound) and abs(bound) > limit for bound in (range_.low, range_.high))
    return range_._replace(finite=False) if over else range_


# ------------------------------------------------------------------------------------------------------- the rules


def _moved(node: Node, first: Range, *others: Range) -> Range:
    return first


def _union(node: Node, *ranges: Range) -> Range:
    return Range(min(r.low for r in ranges), max(r.high for r in ranges), all(r.finite for r in ranges))


def _union_with_zero(node: Node, *ranges: Range) -> Range:
    return _union(node, Range(0, 0), *ranges)


def _where(node: Node, condition: Range, yes: Range, no: Range) -> Range:
    if condition.is_one_number:
        return yes if condition.low else no
    return _union(node, yes, no)


def _cast(node: Node, first: Range, *like: Range) -> Range:
    to = node.attrs.get("to", node.outputs[0].dtype)
    if to is None or isinstance(to, Node.AttributeRef):
        return UNKNOWN if first.finite else ANYTHING
    to = code_of(to)
    if to == TensorProto.BOOL:
        zero = first.low <= 0 <= first.high
        return Range(1, 1) if not zero else Range(0, 0) if first == Range(0, 0) else TRUTH
    if dtype_from_onnx(to).kind in "iu":
        low, high = (math.trunc(bound) if math.isfinite(bound) else bound for bound in first[:2])
        return Range(low, high) if first.finite else UNKNOWN
    return first


def _add(node: Node, *ranges: Range) -> Range:
    low, high = sum(r.low for r in ranges), sum(r.high for r in ranges)
    if math.isnan(low) or math.isnan(high):
        return ANYTHING
    known = [abs(bound) for r in ranges for bound in r[:2] if math.isfinite(bound)]
    room = node.outputs[0].dtype is None or math.isfinite(low + high) or _leaves_room(known, node.outputs[0].dtype)
    return Range(low, high, room and all(r.finite for r in ranges))


def _leaves_room(known: list[float], dtype: Any) -> bool:
    """Whether something of the size of activations can be added to numbers without an overflow.

    The least finite float32 swallows what is added to it; that of float16 becomes minus infinity.
    """
    limit = largest(dtype)
    if not known or not math.isfinite(limit):
        return True
    kind = np.dtype(dtype)
    rounding = limit * (float(np.finfo(kind).eps) if kind.kind == "f" else 2.0**-7) / 4
    return limit - max(known) + rounding >= ACTIVATION


def _cum_sum(node: Node, a: Range, axis: Range) -> Range:
    """Of as many as the axis is long, and of none where it is exclusive."""
    dims, place = node.inputs[0].shape, int(axis.low) if axis.is_one_number else None
    known = dims is not None and place is not None and -len(dims) <= place < len(dims)
    length = dims[place] if known else None
    many = max(length, 1) if isinstance(length, int) else SIZE.high
    return Range(min(0, many * a.low), max(0, many * a.high), a.finite)


def _neg(node: Node, a: Range) -> Range:
    return Range(-a.high, -a.low, a.finite)


def _sub(node: Node, a: Range, b: Range) -> Range:
    return _add(node, a, _neg(node, b))


def _mul(node: Node, a: Range, b: Range) -> Range:
    products = [x * y if x and y else 0.0 for x in a[:2] for y in b[:2]]
    low = max(min(products), 0.0) if node.inputs[0] is node.inputs[1] else min(products)
    return Range(low, max(products), a.finite and b.finite)


def _div(node: Node, a: Range, b: Range) -> Range:
    if b.is_one_number and b.low:
        quotients = [bound / b.low for bound in a[:2]]
        return Range(min(quotients), max(quotients), a.finite)
    return Range(finite=a.finite and b.finite and b.low > 0)


def _sqrt(node: Node, a: Range) -> Range:
    return Range(math.sqrt(max(a.low, 0.0)), math.sqrt(max(a.high, 0.0)), a.finite)


def _pow(node: Node, a: Range, exponent: Range) -> Range:
    is_even = exponent.is_one_number and exponent.low > 0 and exponent.low % 2 == 0
    return Range(0.0 if is_even else -INF, INF, a.finite)


def _abs(node: Node, a: Range) -> Range:
    low = 0.0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high))
    return Range(low, max(abs(a.low), abs(a.high)), a.finite)


def _max(node: Node, *ranges: Range) -> Range:
    """NaN stays; infinities below a finite bound go."""
    low, high = max(r.low for r in ranges), max(r.high for r in ranges)
    return Range(low, high, all(r.finite for r in ranges))


def _min(node: Node, *ranges: Range) -> Range:
    return Range(min(r.low for r in ranges), min(r.high for r in ranges), all(r.finite for r in ranges))


def _clip(node: Node, a: Range, *limits: Range) -> Range:
    """Infinities count as such: NaN would stay."""
    if len(limits) < 2 or len(node.inputs) > 3 or any(tensor.is_empty() for tensor in node.inputs):
        return Range(finite=a.finite)
    low, high = limits
    reaches = (low.finite or low.high == -INF) and (high.finite or high.low == INF)  # an infinite limit is none
    ends = min(max(a.low, low.low), high.low), min(max(a.high, low.high), high.high)
    return Range(*ends, a.finite and reaches)


def _compare(holds: Callable[[Range, Range], bool], fails: Callable[[Range, Range], bool]) -> Rule:
    def rule(node: Node, a: Range, b: Range) -> Range:
        if not (a.finite and b.finite):
            return TRUTH
        return Range(1, 1) if holds(a, b) else Range(0, 0) if fails(a, b) else TRUTH

    return rule


def _apart(a: Range, b: Range) -> bool:
    return a.high < b.low or b.high < a.low


def _same_number(a: Range, b: Range) -> bool:
    return a.is_one_number and a == b


def _range(node: Node, start: Range, limit: Range, step: Range) -> Range:
    if step.low > 0:
        return Range(start.low, limit.high)
    return Range(limit.low, start.high) if step.high < 0 else UNKNOWN


def _filled(node: Node, shape: Range) -> Range:
    value = node.attrs.get("value")
    return _of_constant(value) if isinstance(value, Constant) else Range(0, 0)


Rule = Callable[..., Range]
RULES: dict[str, Rule] = {
    **dict.fromkeys(("Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose", "Expand", "Tile"), _moved),
    **dict.fromkeys(("Slice", "Gather", "GatherND", "GatherElements", "Split"), _moved),
    **dict.fromkeys(("Concat", "ScatterND", "ScatterElements"), _union),
    **dict.fromkeys(("Pad", "Trilu"), _union_with_zero),
    **dict.fromkeys(("Shape", "ArgMax", "ArgMin"), lambda node, a: SIZE),
    "Size": lambda node, a: NATURAL,
    **dict.fromkeys(("Softmax", "Sigmoid"), lambda node, a: Range(0, 1, a.finite)),
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast,
    "Add": _add,
    "Sum": _add,
    "CumSum": _cum_sum,
    "Sub": _sub,
    "Neg": _neg,
    "Mul": _mul,
    "Div": _div,
    "Abs": _abs,
    "Reciprocal": lambda node, a: _div(node, Range(1, 1), a),
    "Sqrt": _sqrt,
    "Pow": _pow,
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin"), _moved),
    "Max": _max,
    "Min": _min,
    "Clip": _clip,
    "Not": lambda node, a: Range(1 - a.high, 1 - a.low),
    "And": _min,
    "Or": _max,
    "Equal": _compare(_same_number, _apart),
    "Less": _compare(lambda a, b: a.high < b.low, lambda a, b: a.low >= b.high),
    "LessOrEqual": _compare(lambda a, b: a.high <= b.low, lambda a, b: a.low > b.high),
    "Greater": _compare(lambda a, b: a.low > b.high, lambda a, b: a.high <= b.low),
    "GreaterOrEqual": _compare(lambda a, b: a.low >= b.high, lambda a, b: a.high < b.low),
    "Range": _range,
    "ConstantOfShape": _filled,
}
