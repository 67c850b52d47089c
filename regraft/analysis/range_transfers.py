"""The interval of what each operator makes, from those of its operands.

A transfer function may be wrong by rounding, which `interval.within` makes up for where the operator rounds once;
`_loose` where it rounds otherwise. What its operands assume counts for the result; it adds what it assumes itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from onnx import TensorProto

from regraft.analysis.certainty import ARITHMETIC, COUNTS, DIMENSIONS, LAYERS, NOTHING, Assumption
from regraft.analysis.dataflow import Transfer, TypedNode, at, first, rows
from regraft.analysis.interval import (
    ACTIVATION,
    ANYTHING,
    COUNT,
    INF,
    SIZE,
    TRUTH,
    Interval,
    hull,
    is_number,
    largest,
    number,
    of_dtype,
)
from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.weights import code_of, dtype_from_onnx
from regraft.ops.traits import MOVES

Of = Callable[..., Interval]

# ------------------------------------------------------------------------------------------------- values that move


def _moved(node: TypedNode, a: Interval) -> Interval:
    return a


def _union(node: TypedNode, *intervals: Interval) -> Interval:
    return hull(intervals)


def _with_zero(node: TypedNode, a: Interval) -> Interval:
    return hull((a, number(0)))


def _padded(node: TypedNode, a: Interval, *value: Interval) -> Interval:
    """With the value that is given, or what the attribute says, around it."""
    return hull((a, *(value or (number(float(node.attrs.get("value", 0))),))))


def _scattered(node: TypedNode, data: Interval, updates: Interval) -> Interval:
    return hull((data, updates)) if node.attrs.get("reduction", "none") in ("none", b"none") else ANYTHING


def _where(node: TypedNode, condition: Interval, yes: Interval, no: Interval) -> Interval:
    if condition.is_one_number:
        return yes if condition.low else no
    asked, _, other = node.node.inputs
    question: Node | None = asked.inputs[0] if asked.inputs else None
    if question is not None and question.op == "IsNaN" and question.inputs[0] is other:
        maker: Node | None = other.inputs[0] if other.inputs else None
        if maker is not None and schema.kind(maker) == "Softmax":  # NaN is all that it makes beside numbers
            no = Interval(0, 1, 1)
    return hull((yes, no))


def _cast(node: TypedNode, a: Interval, *like: Interval) -> Interval:
    to = node.attrs.get("to", node.out)
    if to is None:
        return ANYTHING
    code = code_of(to)
    if code == TensorProto.BOOL:
        zero = a.low <= 0 <= a.high
        return number(1) if not zero else number(0) if a.is_zero else TRUTH
    if not is_number(dtype := dtype_from_onnx(code)):
        if not a.finite or math.isinf(a.low) or math.isinf(a.high):
            return of_dtype(dtype)
        return Interval(math.trunc(a.low), math.trunc(a.high), a.size)
    was = node.dtype(node.node.inputs[0])
    if was is not None and not is_number(was):
        return a._replace(size=COUNT).assuming(COUNTS) if a.size > COUNT else a
    fits = was is not None and largest(was) <= largest(dtype)
    return a if fits or not a.given else a.assuming(ARITHMETIC)


def _filled(node: TypedNode) -> Interval:
    value = node.attrs.get("value")
    if not isinstance(value, Constant):
        return number(0)
    held = value.values.reshape(-1)[0]
    return number(int(held) if not is_number(value.dtype) else float(held))


# ------------------------------------------------------------------------------------------------------ arithmetic


def _add(node: TypedNode, *intervals: Interval) -> Interval:
    low, high = sum(r.low for r in intervals), sum(r.high for r in intervals)
    if math.isnan(low) or math.isnan(high):
        return ANYTHING.sized(INF, intervals)
    total = Interval(low, high)
    total = total if len(intervals) < 3 or not _is_float(node) else _loose(total, intervals)
    return _computed(node, total, sum(r.magnitude for r in intervals), intervals)


def _neg(node: TypedNode, a: Interval) -> Interval:
    return Interval(-a.high, -a.low, a.size, a.given)


def _sub(node: TypedNode, a: Interval, b: Interval) -> Interval:
    difference = _add(node, a, _neg(node, b))
    one, other = node.node.inputs
    maker: Node | None = other.inputs[0] if other.inputs else None
    if maker is not None and maker.op == "ReduceMax" and not maker.domain and maker.inputs[0] is one:
        return difference._replace(high=min(difference.high, 0))  # as a Softmax that is written out begins
    return difference


def _mul(node: TypedNode, a: Interval, b: Interval) -> Interval:
    products = [x * y if x and y else 0 for x in a[:2] for y in b[:2]]
    one, other = node.node.inputs
    low = max(min(products), 0) if one is other else min(products)
    return _computed(node, Interval(low, max(products)), a.magnitude * b.magnitude, (a, b))


def _div(node: TypedNode, a: Interval, b: Interval) -> Interval:
    """By what is never zero; whole numbers are cut off towards zero, and those between are bounds too."""
    if b.low <= 0 <= b.high:
        return ANYTHING.sized(INF, (a, b))
    quotients = list(itertools.chain.from_iterable(_quotients(x, y) for x in a[:2] for y in b[:2]))
    found, size = Interval(min(quotients), max(quotients)), a.magnitude / min(abs(b.low), abs(b.high))
    far = math.isinf(b.low) or math.isinf(b.high)  # both are of the size of layers, as in a normalisation
    if far and a.is_moderate and (math.isinf(a.low) or math.isinf(a.high)):
        return _moderate(found, size, (a, b))
    return found.sized(size, (a, b))


def _quotients(x: float, y: float) -> tuple[float, ...]:
    if isinstance(x, int) and isinstance(y, int):
        return x // y, -(-x // y)
    if math.isinf(y):
        return (0.0,) if not math.isinf(x) else (0.0, math.copysign(INF, x) * math.copysign(1, y))
    return (x / y,)


def _reciprocal(node: TypedNode, a: Interval) -> Interval:
    return _div(node, number(1.0), a)


def _sqrt(node: TypedNode, a: Interval) -> Interval:
    root = Interval(math.sqrt(max(a.low, 0.0)), math.sqrt(max(a.high, 0.0)))
    return root.sized(math.sqrt(a.magnitude) if a.low >= 0 else INF, (a,))


def _pow(node: TypedNode, a: Interval, exponent: Interval) -> Interval:
    if not exponent.is_one_number:
        return ANYTHING
    power = exponent.low
    is_even = power > 0 and power % 2 == 0
    takes = power >= 0 and (power == int(power) or a.low >= 0)
    size = _power(a.magnitude, power) if takes else INF
    found = Interval(0 if is_even or a.low >= 0 else -INF, INF)
    if a.is_moderate and takes and power <= 4 and math.isinf(a.high - a.low):
        return _moderate(found, size, (a, exponent))
    return found.sized(size, (a, exponent))


def _power(base: float, exponent: float) -> float:
    try:
        return max(float(base**exponent), 1.0)
    except OverflowError:
        return INF


def _abs(node: TypedNode, a: Interval) -> Interval:
    low = 0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high))
    return Interval(low, max(abs(a.low), abs(a.high)), a.size, a.given)


def _max(node: TypedNode, *intervals: Interval) -> Interval:
    """NaN stays."""
    ends = Interval(max(r.low for r in intervals), max(r.high for r in intervals))
    return ends.kept(max(r.magnitude for r in intervals), intervals)


def _min(node: TypedNode, *intervals: Interval) -> Interval:
    ends = Interval(min(r.low for r in intervals), min(r.high for r in intervals))
    return ends.kept(max(r.magnitude for r in intervals), intervals)


def _clip(node: TypedNode, a: Interval, *limits: Interval) -> Interval:
    """Infinities count as such: NaN would stay."""
    inputs = node.node.inputs
    if len(limits) < 2 or len(inputs) > 3 or any(tensor.is_empty() for tensor in inputs):
        known = [node.attrs.get(name) for name in ("min", "max")]
        found = [r.magnitude for r in limits if r.finite] + [abs(v) for v in known if isinstance(v, float)]
        return Interval().kept(max([a.magnitude, *found]), (a, *limits))
    low, high = limits
    reaches = (low.finite or low.high == -INF) and (high.finite or high.low == INF)  # an infinite limit is none
    ends = min(max(a.low, low.low), high.low), min(max(a.high, low.high), high.high)
    size = max(a.magnitude, *(limit.magnitude for limit in limits if limit.finite), 0)
    return Interval(*ends).kept(size if reaches else INF, (a,) if reaches else (a, *limits))


def _range(node: TypedNode, start: Interval, limit: Interval, step: Interval) -> Interval:
    """Between the first number and the limit, whichever is the larger."""
    up, down = Interval(start.low, limit.high), Interval(limit.low, start.high)
    found = up if step.low > 0 else down if step.high < 0 else hull((up, down))
    found = _loose(found, (start, limit)) if _is_float(node) else found
    return found.sized(max(abs(found.low), abs(found.high)), (start, limit, step))


# ------------------------------------------------------------------------------------------- sums of many elements


def _length(node: TypedNode) -> tuple[int, Assumption]:
    """How many elements there can be to sum up."""
    dims = node.dims(node.node.inputs[0])
    known = [dim for dim in dims or () if isinstance(dim, int)]
    return (math.prod(known), NOTHING) if dims is not None and len(known) == len(dims) else (int(SIZE.high), DIMENSIONS)


def _signed(a: Interval) -> Interval:
    """Of what only the sign is kept."""
    return Interval(0 if a.low >= 0 else -INF, 0 if a.high <= 0 else INF)


def _sum(node: TypedNode, a: Interval) -> Interval:
    return _summed(node, a, *_length(node))


def _summed(node: TypedNode, a: Interval, many: int, assumption: Assumption) -> Interval:
    many = max(many, 1)
    ends = _signed(a) if _is_float(node) else Interval(min(0, many * a.low), max(0, many * a.high))
    return _computed(node, ends, a.magnitude * many, (a,)).assuming(assumption)


def _cum_sum(node: TypedNode, a: Interval, axis: Interval) -> Interval:
    """Of as many as the axis is long, and of none where it is exclusive."""
    dims, place = node.dims(node.node.inputs[0]), int(axis.low) if axis.is_one_number else None
    if dims is not None and place is not None and -len(dims) <= place < len(dims):
        length = dims[place]
        if isinstance(length, int):
            return _summed(node, a, length, NOTHING)
    return _summed(node, a, int(SIZE.high), DIMENSIONS)


def _mean(node: TypedNode, a: Interval) -> Interval:
    """Of a sum that may overflow first."""
    many, assumption = _length(node)
    if a.magnitude * many < largest("float32"):
        return _signed(a).sized(a.magnitude, (a,)).assuming(assumption)
    return _signed(a).sized(a.magnitude if a.is_moderate else INF, (a,)).assuming(ARITHMETIC)


def _mean_of_several(node: TypedNode, *intervals: Interval) -> Interval:
    total = _add(node, *intervals)
    return Interval().sized(total.size, intervals).assuming(total.assumes)


def _layer(node: TypedNode, *operands: Interval) -> Interval:
    """Of what the caller gives a layer makes numbers, and it gives them the size of activations."""
    if node.attrs.get("epsilon") == 0:
        return ANYTHING
    operands = tuple(r._replace(size=ACTIVATION, given=False) if r.given else r for r in operands)
    moderate = all(r.is_moderate for r in operands)
    product = math.prod(max(r.magnitude, 1.0) for r in operands)
    dtype = node.out
    limit = largest(dtype) if dtype is not None and is_number(dtype) else largest("float16")
    size = ACTIVATION if moderate or product * SIZE.high <= limit else INF
    return Interval().sized(size, operands).assuming(LAYERS)


def _einsum(node: TypedNode, *operands: Interval) -> Interval:
    return _layer(node, *operands) if len(node.node.inputs) > 1 else _sum(node, *operands)


def _dequantized(node: TypedNode, scale: Interval) -> Interval:
    dtype = node.dtype(node.node.inputs[0])
    if dtype is None or "int" not in dtype.name:
        return ANYTHING
    return Interval().sized(2.0 ** (1 + 8 * dtype.itemsize) * scale.magnitude, (scale,))


# ------------------------------------------------------------------------------------------------------- functions


def _increasing(function: Callable[[float], float]) -> Of:
    """A function that rounds to whole numbers, or cuts off."""

    def of(node: TypedNode, a: Interval) -> Interval:
        return Interval(function(a.low), function(a.high)).kept(a.magnitude + 1, (a,))

    return of


def _between(low: float, high: float) -> Of:
    """A function whose values are bounded."""
    return lambda node, a: Interval(low, high).kept(max(abs(low), abs(high)), (a,))


def _like(least: float = -INF) -> Of:
    """A function that is about as large as what it takes, and no smaller than `least`."""
    return lambda node, a: _computed(node, Interval(least, INF), 2 * a.magnitude + 2, (a,))


def _mixed(node: TypedNode, a: Interval) -> Interval:
    """What weighs elements, some of them below zero, or divides by what it keeps."""
    return _computed(node, Interval(), 2 * a.magnitude + 2, (a,)).assuming(ARITHMETIC)


def _scaled(node: TypedNode, a: Interval, *slope: Interval) -> Interval:
    """Below zero times a slope."""
    factors = [r.magnitude for r in slope] or [abs(v) for v in node.attrs.values() if isinstance(v, float)]
    factor = math.prod(max(factor, 1.0) for factor in factors)
    return _computed(node, Interval(), 2 * a.magnitude * factor, (a, *slope))


def _exp(node: TypedNode, a: Interval) -> Interval:
    high = math.exp(a.high) if a.high < 700 else INF
    low = math.exp(a.low) if -700 < a.low < 700 else 0.0
    found = Interval(low * (1 - 1e-3), high * (1 + 1e-3))
    return found.sized(found.high, (a,))


def _log(node: TypedNode, a: Interval) -> Interval:
    if a.low <= 0:
        return ANYTHING.sized(INF, (a,))
    low, high = (math.log(bound) if bound < INF else INF for bound in a[:2])
    return Interval(low - 1e-3 * (1 + abs(low)), high + 1e-3 * (1 + abs(high))).sized(800.0, (a,))


def _log_softmax(node: TypedNode, a: Interval) -> Interval:
    return _computed(node, Interval(-INF, 1e-3), 2 * a.magnitude + 100, (a,))


def _not(node: TypedNode, a: Interval) -> Interval:
    return Interval(1 - a.high, 1 - a.low, 1)


def _compare(holds: Callable[[Interval, Interval], bool], fails: Callable[[Interval, Interval], bool]) -> Of:
    def of(node: TypedNode, a: Interval, b: Interval) -> Interval:
        if not (a.finite and b.finite):
            return TRUTH
        return number(1) if holds(a, b) else number(0) if fails(a, b) else TRUTH

    return of


def _apart(a: Interval, b: Interval) -> bool:
    return a.high < b.low or b.high < a.low


def _same_number(a: Interval, b: Interval) -> bool:
    return a.is_one_number and b.is_one_number and a.low == b.low


# ------------------------------------------------------------------------------------------------------- the table


def _computed(node: TypedNode, ends: Interval, size: float, operands: Sequence[Interval]) -> Interval:
    """What arithmetic makes; in floats, of moderate numbers a moderate one, with larger ones as large as it gets."""
    reach = max(abs(ends.low), abs(ends.high))
    if not _is_float(node):
        return ends.sized(reach, operands)
    size = min(size, reach)
    return _moderate(ends, size, operands) if all(r.is_moderate for r in operands) else ends.sized(size, operands)


def _moderate(ends: Interval, size: float, operands: Sequence[Interval]) -> Interval:
    """What counts as moderate, however large it may get."""
    found = ends.sized(min(size, ACTIVATION), operands)
    return found if size <= ACTIVATION else found.assuming(ARITHMETIC)


def _loose(ends: Interval, operands: Sequence[Interval]) -> Interval:
    """With room for the rounding of a sum, in whatever order, and in the smallest type."""
    room = sum(r.magnitude for r in operands if r.magnitude < INF) * 2.0**-7 * len(operands)
    return Interval(ends.low - room, ends.high + room)


def _is_float(node: TypedNode) -> bool:
    return is_number(node.out)


_ONE, _TWO, _ALL = first(1), first(2), first(None)

_WEIGHT = 1 << 16
"""Elements of a constant that a layer reads as its weight: numbers, which are not looked at."""


def _data(node: Node) -> list[Tensor]:
    is_alone = len(node.inputs) == 1
    return [t for t in _ALL(node) if is_alone or not (isinstance(t, Constant) and t.size > _WEIGHT)]


def _every(of: Of, operands: Callable[[Node], Sequence[Tensor]], *names: str) -> dict[str, Transfer]:
    """Rows for every output."""
    return dict.fromkeys(names, Transfer(of, operands, every=True))


TRANSFERS: Mapping[str, Transfer] = {
    **rows(_moved, _ONE, *(MOVES - {"Split"})),
    **rows(_moved, _ONE, "TopK", "Unique", "GlobalMaxPool"),
    **rows(_moved, _ONE, "ReduceMax", "ReduceMin", "MaxPool"),
    **_every(_moved, _ONE, "Split"),
    **rows(_moved, at(2), "OneHot"),
    **rows(_union, _ALL, "Concat"),
    **rows(_scattered, at(0, 2), "ScatterND", "ScatterElements"),
    **rows(_with_zero, _ONE, "Trilu"),
    **rows(_padded, at(0, 2), "Pad"),
    **rows(lambda node: SIZE, first(0), "Shape", "ArgMax", "ArgMin", "NonZero"),
    **rows(lambda node: Interval(0, 2**63 - 1), first(0), "Size"),
    **rows(lambda node: TRUTH, first(0), "EyeLike"),
    **rows(_filled, first(0), "ConstantOfShape"),
    **rows(_where, _ALL, "Where"),
    **rows(_cast, _ONE, "Cast", "CastLike"),
    **rows(_add, _ALL, "Add", "Sum"),
    **rows(_sub, _TWO, "Sub"),
    **rows(_neg, _ONE, "Neg"),
    **rows(_mul, _TWO, "Mul"),
    **rows(_div, _TWO, "Div"),
    **rows(_reciprocal, _ONE, "Reciprocal"),
    **rows(_abs, _ONE, "Abs"),
    **rows(_sqrt, _ONE, "Sqrt"),
    **rows(_pow, _TWO, "Pow"),
    **rows(_exp, _ONE, "Exp"),
    **rows(_log, _ONE, "Log"),
    **rows(_sum, _ONE, "ReduceSum"),
    **rows(_cum_sum, _TWO, "CumSum"),
    **rows(_mean, _ONE, "ReduceMean", "AveragePool", "GlobalAveragePool"),
    **rows(_mean_of_several, _ALL, "Mean"),
    **rows(_max, _ALL, "Max", "Or"),
    **rows(_min, _ALL, "Min", "And"),
    **rows(_clip, _ALL, "Clip"),
    **rows(_increasing(lambda x: max(x, 0)), _ONE, "Relu"),
    **rows(_increasing(lambda x: x if math.isinf(x) else math.floor(x)), _ONE, "Floor"),
    **rows(_increasing(lambda x: x if math.isinf(x) else math.ceil(x)), _ONE, "Ceil"),
    **rows(_increasing(lambda x: x if math.isinf(x) else round(x)), _ONE, "Round"),
    **rows(_between(0, 1), _ONE, "Softmax", "Sigmoid", "HardSigmoid", "Hardmax"),
    **rows(_between(-1.01, 1.01), _ONE, "Tanh", "Erf", "Sin", "Cos", "Softsign"),
    **rows(_between(-2, 2), _ONE, "Atan"),
    **rows(_between(-1, 1), _ONE, "Sign"),
    **rows(_log_softmax, _ONE, "LogSoftmax"),
    **rows(_like(-1), _ONE, "Gelu", "HardSwish", "Mish"),
    **rows(_like(-1e-3), _ONE, "Softplus"),
    **rows(_mixed, _ONE, "Resize", "Upsample", "GridSample", "Dropout"),
    **rows(_scaled, _TWO, "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "Swish"),
    **rows(_layer, _data, "MatMul", "Gemm", "Conv", "ConvTranspose", "LayerNormalization", "RMSNormalization"),
    **rows(_layer, _data, "SimplifiedLayerNormalization", "BatchNormalization", "InstanceNormalization"),
    **rows(_layer, _data, "GroupNormalization", "LRN"),
    **rows(_layer, first(3), "Attention"),
    **_every(_layer, _data, "LSTM", "GRU", "RNN"),
    **rows(_einsum, _data, "Einsum"),
    **rows(_dequantized, at(1), "DequantizeLinear"),
    **_every(_like(), _ONE, "DynamicQuantizeLinear"),
    **rows(_not, _ONE, "Not"),
    **rows(_compare(_same_number, _apart), _TWO, "Equal"),
    **rows(_compare(lambda a, b: a.high < b.low, lambda a, b: a.low >= b.high), _TWO, "Less"),
    **rows(_compare(lambda a, b: a.high <= b.low, lambda a, b: a.low > b.high), _TWO, "LessOrEqual"),
    **rows(_compare(lambda a, b: a.low > b.high, lambda a, b: a.high <= b.low), _TWO, "Greater"),
    **rows(_compare(lambda a, b: a.low >= b.high, lambda a, b: a.high < b.low), _TWO, "GreaterOrEqual"),
    **rows(_range, first(3), "Range"),
}
