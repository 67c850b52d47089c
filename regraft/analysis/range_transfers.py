"""The range of what each operator makes, from those of its operands.

An operator without a rule is not known. A rule may be wrong by rounding, which `ranges.within` makes up for where the
operator rounds once; `_loose` where it rounds otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from regraft.analysis.interval import (
    ACTIVATION,
    ANYTHING,
    INF,
    SIZE,
    TRUTH,
    Range,
    is_number,
    largest,
    number,
    of_dtype,
)
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.weights import code_of, dtype_from_onnx
from regraft.ops.traits import MOVES

Of = Callable[..., Range]


class Rule(NamedTuple):
    """How the range of an output follows.

    Attributes:
        of: from the node and the ranges of `operands`.
        operands: the inputs that matter, in their order; those that are left out are none.
        every: whether it holds of every output, not of the first alone.
    """

    of: Of
    operands: Callable[[Node], Sequence[Tensor]]
    every: bool = False


def rule_of(tensor: Tensor) -> Rule | None:
    """The rule for what makes `tensor`."""
    node: Node | None = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    rule = None if node is None else RULES.get(schema.kind(node))
    return rule if rule is not None and node is not None and (rule.every or tensor is node.outputs[0]) else None


# ------------------------------------------------------------------------------------------------- values that move


def _moved(node: Node, first: Range) -> Range:
    return first


def _union(node: Node, *ranges: Range) -> Range:
    hull = Range(min(r.low for r in ranges), max(r.high for r in ranges))
    return hull.sized(max(r.magnitude for r in ranges), ranges)


def _with_zero(node: Node, first: Range) -> Range:
    return _union(node, first, number(0))


def _padded(node: Node, first: Range, *value: Range) -> Range:
    """With the value that is given, or what the attribute says, around it."""
    return _union(node, first, *(value or (number(float(node.attrs.get("value", 0))),)))


def _scattered(node: Node, data: Range, updates: Range) -> Range:
    return _union(node, data, updates) if node.attrs.get("reduction", "none") in ("none", b"none") else ANYTHING


def _where(node: Node, condition: Range, yes: Range, no: Range) -> Range:
    if condition.is_one_number:
        return yes if condition.low else no
    question: Node | None = node.inputs[0].inputs[0] if node.inputs[0].inputs else None
    if question is not None and question.op == "IsNaN" and question.inputs[0] is node.inputs[2]:
        maker: Node | None = node.inputs[2].inputs[0] if node.inputs[2].inputs else None
        if maker is not None and schema.kind(maker) == "Softmax":  # NaN is all that it makes beside numbers
            no = Range(0, 1, 1)
    return _union(node, yes, no)


def _cast(node: Node, first: Range, *like: Range) -> Range:
    to = node.attrs.get("to", node.outputs[0].dtype)
    if to is None or isinstance(to, Node.AttributeRef):
        return ANYTHING
    code = code_of(to)
    if code == TensorProto.BOOL:
        zero = first.low <= 0 <= first.high
        return number(1) if not zero else number(0) if first.is_zero else TRUTH
    if not is_number(dtype := dtype_from_onnx(code)):
        if not first.finite or math.isinf(first.low) or math.isinf(first.high):
            return of_dtype(dtype)
        return Range(math.trunc(first.low), math.trunc(first.high), first.size)
    return first


def _filled(node: Node) -> Range:
    value = node.attrs.get("value")
    if not isinstance(value, Constant):
        return number(0)
    held = value.values.reshape(-1)[0]
    return number(int(held) if not is_number(value.dtype) else float(held))


def _branches(node: Node) -> list[Tensor]:
    return [node.attrs[name].outputs[0] for name in ("then_branch", "else_branch")]


# ------------------------------------------------------------------------------------------------------ arithmetic


def _add(node: Node, *ranges: Range) -> Range:
    low, high = sum(r.low for r in ranges), sum(r.high for r in ranges)
    if math.isnan(low) or math.isnan(high):
        return ANYTHING.sized(INF, ranges)
    total = Range(low, high) if len(ranges) < 3 or not _is_float(node) else _loose(Range(low, high), ranges)
    return total.sized(_capped(sum(r.magnitude for r in ranges), ranges), ranges)


def _neg(node: Node, a: Range) -> Range:
    return Range(-a.high, -a.low, a.size, a.given)


def _sub(node: Node, a: Range, b: Range) -> Range:
    difference = _add(node, a, _neg(node, b))
    maker: Node | None = node.inputs[1].inputs[0] if node.inputs[1].inputs else None
    if maker is not None and maker.op == "ReduceMax" and not maker.domain and maker.inputs[0] is node.inputs[0]:
        return difference._replace(high=min(difference.high, 0))  # as a Softmax that is written out begins
    return difference


def _mul(node: Node, a: Range, b: Range) -> Range:
    products = [x * y if x and y else 0 for x in a[:2] for y in b[:2]]
    low = max(min(products), 0) if node.inputs[0] is node.inputs[1] else min(products)
    return Range(low, max(products)).sized(_capped(a.magnitude * b.magnitude, (a, b)), (a, b))


def _div(node: Node, a: Range, b: Range) -> Range:
    """By what is never zero; whole numbers are cut off towards zero, and those between are bounds too."""
    if b.low <= 0 <= b.high:
        return ANYTHING.sized(INF, (a, b))
    quotients = list(itertools.chain.from_iterable(_quotients(x, y) for x in a[:2] for y in b[:2]))
    least = min(abs(b.low), abs(b.high))
    far = math.isinf(b.low) or math.isinf(b.high)  # both are of the size of layers, as in a normalisation
    size = a.magnitude / least
    size = min(size, ACTIVATION) if far and a.is_moderate and (math.isinf(a.low) or math.isinf(a.high)) else size
    return Range(min(quotients), max(quotients)).sized(size, (a, b))


def _quotients(x: float, y: float) -> tuple[float, ...]:
    if isinstance(x, int) and isinstance(y, int):
        return x // y, -(-x // y)
    if math.isinf(y):
        return (0.0,) if not math.isinf(x) else (0.0, math.copysign(INF, x) * math.copysign(1, y))
    return (x / y,)


def _reciprocal(node: Node, a: Range) -> Range:
    return _div(node, number(1.0), a)


def _sqrt(node: Node, a: Range) -> Range:
    root = Range(math.sqrt(max(a.low, 0.0)), math.sqrt(max(a.high, 0.0)))
    return root.sized(math.sqrt(a.magnitude) if a.low >= 0 else INF, (a,))


def _pow(node: Node, a: Range, exponent: Range) -> Range:
    if not exponent.is_one_number:
        return ANYTHING
    power = exponent.low
    is_even = power > 0 and power % 2 == 0
    takes = power >= 0 and (power == int(power) or a.low >= 0)
    size = _power(a.magnitude, power) if takes else INF
    size = min(size, ACTIVATION) if a.is_moderate and power <= 4 and math.isinf(a.high - a.low) else size
    return Range(0 if is_even or a.low >= 0 else -INF, INF).sized(size, (a, exponent))


def _power(base: float, exponent: float) -> float:
    try:
        return max(float(base**exponent), 1.0)
    except OverflowError:
        return INF


def _abs(node: Node, a: Range) -> Range:
    low = 0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high))
    return Range(low, max(abs(a.low), abs(a.high)), a.size, a.given)


def _max(node: Node, *ranges: Range) -> Range:
    """NaN stays."""
    hull = Range(max(r.low for r in ranges), max(r.high for r in ranges))
    return hull.sized(max(r.magnitude for r in ranges), ranges)


def _min(node: Node, *ranges: Range) -> Range:
    hull = Range(min(r.low for r in ranges), min(r.high for r in ranges))
    return hull.sized(max(r.magnitude for r in ranges), ranges)


def _clip(node: Node, a: Range, *limits: Range) -> Range:
    """Infinities count as such: NaN would stay."""
    if len(limits) < 2 or len(node.inputs) > 3 or any(tensor.is_empty() for tensor in node.inputs):
        known = [node.attrs.get(name) for name in ("min", "max")]
        found = [r.magnitude for r in limits if r.finite] + [abs(v) for v in known if isinstance(v, float)]
        return Range().sized(max([a.magnitude, *found]), (a, *limits))
    low, high = limits
    reaches = (low.finite or low.high == -INF) and (high.finite or high.low == INF)  # an infinite limit is none
    ends = min(max(a.low, low.low), high.low), min(max(a.high, low.high), high.high)
    size = max(a.magnitude, *(limit.magnitude for limit in limits if limit.finite), 0)
    return Range(*ends).sized(size if reaches else INF, (a,) if reaches else (a, *limits))


def _range(node: Node, start: Range, limit: Range, step: Range) -> Range:
    """Between the first number and the limit, whichever is the larger."""
    up, down = Range(start.low, limit.high), Range(limit.low, start.high)
    found = up if step.low > 0 else down if step.high < 0 else _union(node, up, down)
    found = _loose(found, (start, limit)) if _is_float(node) else found
    return found.sized(max(abs(found.low), abs(found.high)), (start, limit, step))


# ------------------------------------------------------------------------------------------- sums of many elements


def _length(node: Node) -> float:
    """How many elements there can be to sum up."""
    dims = node.inputs[0].shape
    return float(math.prod(dims)) if dims is not None and all(isinstance(dim, int) for dim in dims) else SIZE.high


def _signed(a: Range) -> Range:
    """Of what only the sign is kept."""
    return Range(0 if a.low >= 0 else -INF, 0 if a.high <= 0 else INF)


def _sum(node: Node, a: Range) -> Range:
    return _summed(node, a, int(_length(node)))


def _summed(node: Node, a: Range, many: int) -> Range:
    size = _capped(a.magnitude * max(many, 1), (a,))
    if not _is_float(node):
        return Range(min(0, many * a.low), max(0, many * a.high), size)
    return _signed(a).sized(size, (a,))


def _cum_sum(node: Node, a: Range, axis: Range) -> Range:
    """Of as many as the axis is long, and of none where it is exclusive."""
    dims, place = node.inputs[0].shape, int(axis.low) if axis.is_one_number else None
    known = dims is not None and place is not None and -len(dims) <= place < len(dims)
    length = dims[place] if known else None
    return _summed(node, a, max(length, 1) if isinstance(length, int) else int(SIZE.high))


def _mean(node: Node, a: Range) -> Range:
    """Of a sum that may overflow first."""
    size = a.magnitude if a.is_moderate or a.magnitude * _length(node) < largest("float32") else INF
    return _signed(a).sized(size, (a,))


def _mean_of_several(node: Node, *ranges: Range) -> Range:
    total = _add(node, *ranges)
    return Range().sized(total.size, ranges)


def _layer(node: Node, *operands: Range) -> Range:
    """Of what the caller gives a layer makes numbers, and it gives them the size of activations."""
    if node.attrs.get("epsilon") == 0:
        return ANYTHING
    operands = tuple(r._replace(size=ACTIVATION, given=False) if r.given else r for r in operands)
    moderate = all(r.is_moderate for r in operands)
    product = math.prod(max(r.magnitude, 1.0) for r in operands)
    dtype = node.outputs[0].dtype
    limit = largest(dtype) if dtype is not None and is_number(dtype) else largest("float16")
    return Range().sized(ACTIVATION if moderate or product * SIZE.high <= limit else INF, operands)


def _einsum(node: Node, *operands: Range) -> Range:
    return _layer(node, *operands) if len(node.inputs) > 1 else _sum(node, *operands)


def _dequantized(node: Node, scale: Range) -> Range:
    dtype = node.inputs[0].dtype
    if dtype is None or "int" not in np.dtype(dtype).name:
        return ANYTHING
    return Range().sized(2.0 ** (1 + 8 * np.dtype(dtype).itemsize) * scale.magnitude, (scale,))


# ------------------------------------------------------------------------------------------------------- functions


def _increasing(function: Callable[[float], float]) -> Of:
    """A function that rounds to whole numbers, or cuts off."""

    def of(node: Node, a: Range) -> Range:
        return Range(function(a.low), function(a.high)).sized(max(a.magnitude, 1.0), (a,))

    return of


def _between(low: float, high: float) -> Of:
    """A function whose values are bounded."""
    return lambda node, a: Range(low, high).sized(max(abs(low), abs(high)), (a,))


def _like(least: float = -INF) -> Of:
    """A function that is about as large as what it takes, and no smaller than `least`."""
    return lambda node, a: Range(least, INF).sized(_capped(2 * a.magnitude + 2, (a,)), (a,))


def _scaled(node: Node, a: Range, *slope: Range) -> Range:
    """Below zero times a slope."""
    factors = [r.magnitude for r in slope] or [abs(v) for v in node.attrs.values() if isinstance(v, float)]
    return Range().sized(_capped(a.magnitude * max([2.0, *factors]), (a, *slope)), (a, *slope))


def _exp(node: Node, a: Range) -> Range:
    high = math.exp(a.high) if a.high < 700 else INF
    low = math.exp(a.low) if -700 < a.low < 700 else 0.0
    found = Range(low * (1 - 1e-3), high * (1 + 1e-3))
    return found.sized(found.high, (a,))


def _log(node: Node, a: Range) -> Range:
    if a.low <= 0:
        return ANYTHING.sized(INF, (a,))
    low, high = (math.log(bound) if bound < INF else INF for bound in a[:2])
    return Range(low - 1e-3 * (1 + abs(low)), high + 1e-3 * (1 + abs(high))).sized(800.0, (a,))


def _log_softmax(node: Node, a: Range) -> Range:
    return Range(-INF, 1e-3).sized(_capped(2 * a.magnitude + 100, (a,)), (a,))


def _compare(holds: Callable[[Range, Range], bool], fails: Callable[[Range, Range], bool]) -> Of:
    def of(node: Node, a: Range, b: Range) -> Range:
        if not (a.finite and b.finite):
            return TRUTH
        return number(1) if holds(a, b) else number(0) if fails(a, b) else TRUTH

    return of


def _apart(a: Range, b: Range) -> bool:
    return a.high < b.low or b.high < a.low


def _same_number(a: Range, b: Range) -> bool:
    return a.is_one_number and b.is_one_number and a.low == b.low


# ------------------------------------------------------------------------------------------------------- the table


def _capped(size: float, operands: Sequence[Range]) -> float:
    """What is computed of activations by arithmetic counts as one; with larger operands it is as large as it gets."""
    return min(size, ACTIVATION) if all(r.is_moderate for r in operands) else size


def _loose(range_: Range, operands: Sequence[Range]) -> Range:
    """With room for the rounding of a sum, in whatever order, and in the smallest type."""
    room = sum(r.magnitude for r in operands if r.magnitude < INF) * 2.0**-7 * len(operands)
    return Range(range_.low - room, range_.high + room)


def _is_float(node: Node) -> bool:
    return is_number(node.outputs[0].dtype)


def _first(many: int | None) -> Callable[[Node], list[Tensor]]:
    return lambda node: [t for t in node.inputs[:many] if not t.is_empty()]


def _at(*places: int) -> Callable[[Node], list[Tensor]]:
    return lambda node: [node.inputs[p] for p in places if p < len(node.inputs) and not node.inputs[p].is_empty()]


_ONE, _TWO, _ALL = _first(1), _first(2), _first(None)

_WEIGHT = 1 << 16
"""Elements of a constant that a layer reads as its weight: numbers, which are not looked at."""


def _data(node: Node) -> list[Tensor]:
    is_alone = len(node.inputs) == 1
    return [t for t in _ALL(node) if is_alone or not (isinstance(t, Constant) and t.size > _WEIGHT)]


def _table(of: Of, operands: Callable[[Node], Sequence[Tensor]], *names: str, every: bool = False) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(of, operands, every))


RULES: dict[str, Rule] = {
    **_table(_moved, _ONE, *(MOVES - {"Split"})),
    **_table(_moved, _ONE, "TopK", "Unique", "GlobalMaxPool"),
    **_table(_moved, _ONE, "ReduceMax", "ReduceMin", "MaxPool"),
    **_table(_moved, _ONE, "Split", every=True),
    **_table(_moved, _at(2), "OneHot"),
    **_table(_union, _ALL, "Concat"),
    **_table(_scattered, _at(0, 2), "ScatterND", "ScatterElements"),
    **_table(_with_zero, _ONE, "Trilu"),
    **_table(_padded, _at(0, 2), "Pad"),
    **_table(lambda node: SIZE, _first(0), "Shape", "ArgMax", "ArgMin", "NonZero"),
    **_table(lambda node: Range(0, 2**63 - 1), _first(0), "Size"),
    **_table(lambda node: TRUTH, _first(0), "EyeLike"),
    **_table(_filled, _first(0), "ConstantOfShape"),
    **_table(_union, _branches, "If"),
    **_table(_where, _ALL, "Where"),
    **_table(_cast, _ONE, "Cast", "CastLike"),
    **_table(_add, _ALL, "Add", "Sum"),
    **_table(_sub, _TWO, "Sub"),
    **_table(_neg, _ONE, "Neg"),
    **_table(_mul, _TWO, "Mul"),
    **_table(_div, _TWO, "Div"),
    **_table(_reciprocal, _ONE, "Reciprocal"),
    **_table(_abs, _ONE, "Abs"),
    **_table(_sqrt, _ONE, "Sqrt"),
    **_table(_pow, _TWO, "Pow"),
    **_table(_exp, _ONE, "Exp"),
    **_table(_log, _ONE, "Log"),
    **_table(_sum, _ONE, "ReduceSum"),
    **_table(_cum_sum, _TWO, "CumSum"),
    **_table(_mean, _ONE, "ReduceMean", "AveragePool", "GlobalAveragePool"),
    **_table(_mean_of_several, _ALL, "Mean"),
    **_table(_max, _ALL, "Max", "Or"),
    **_table(_min, _ALL, "Min", "And"),
    **_table(_clip, _ALL, "Clip"),
    **_table(_increasing(lambda x: max(x, 0)), _ONE, "Relu"),
    **_table(_increasing(lambda x: x if math.isinf(x) else math.floor(x)), _ONE, "Floor"),
    **_table(_increasing(lambda x: x if math.isinf(x) else math.ceil(x)), _ONE, "Ceil"),
    **_table(_increasing(lambda x: x if math.isinf(x) else round(x)), _ONE, "Round"),
    **_table(_between(0, 1), _ONE, "Softmax", "Sigmoid", "HardSigmoid", "Hardmax"),
    **_table(_between(-1.01, 1.01), _ONE, "Tanh", "Erf", "Sin", "Cos", "Softsign"),
    **_table(_between(-2, 2), _ONE, "Atan"),
    **_table(_between(-1, 1), _ONE, "Sign"),
    **_table(_log_softmax, _ONE, "LogSoftmax"),
    **_table(_like(-1), _ONE, "Gelu", "HardSwish", "Mish"),
    **_table(_like(-1e-3), _ONE, "Softplus"),
    **_table(_like(), _ONE, "Resize", "Upsample", "GridSample", "Dropout"),
    **_table(_scaled, _TWO, "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "Swish"),
    **_table(_layer, _data, "MatMul", "Gemm", "Conv", "ConvTranspose", "LayerNormalization", "RMSNormalization"),
    **_table(_layer, _data, "SimplifiedLayerNormalization", "BatchNormalization", "InstanceNormalization"),
    **_table(_layer, _data, "GroupNormalization", "LRN"),
    **_table(_layer, _first(3), "Attention"),
    **_table(_layer, _data, "LSTM", "GRU", "RNN", every=True),
    **_table(_einsum, _data, "Einsum"),
    **_table(_dequantized, _at(1), "DequantizeLinear"),
    **_table(_like(), _ONE, "DynamicQuantizeLinear", every=True),
    **_table(lambda node, a: Range(1 - a.high, 1 - a.low, 1), _ONE, "Not"),
    **_table(_compare(_same_number, _apart), _TWO, "Equal"),
    **_table(_compare(lambda a, b: a.high < b.low, lambda a, b: a.low >= b.high), _TWO, "Less"),
    **_table(_compare(lambda a, b: a.high <= b.low, lambda a, b: a.low > b.high), _TWO, "LessOrEqual"),
    **_table(_compare(lambda a, b: a.low > b.high, lambda a, b: a.high <= b.low), _TWO, "Greater"),
    **_table(_compare(lambda a, b: a.low >= b.high, lambda a, b: a.high < b.low), _TWO, "GreaterOrEqual"),
    **_table(_range, _first(3), "Range"),
}
