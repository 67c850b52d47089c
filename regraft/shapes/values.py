"""Numbers that are computed from shapes: what is known of each element, a number or an expression of dimensions.

One rule an operator, from what is known of its inputs to the elements of its first output. A rule gives None where it
knows nothing; an element of which nothing is known is `dims.free()`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from regraft.ir import schema
from regraft.ir.graph import Constant
from regraft.ir.weights import Array
from regraft.shapes import dims
from regraft.shapes.dims import Dim
from regraft.shapes.facts import LIMIT, WHOLE, of_array, whole_array
from regraft.shapes.op_call import Call


def elements(call: Call, shape: tuple[int, ...] | None) -> Array | None:
    """The elements of the first output, whose shape is `shape` where that is known; None where nothing is known."""
    rule = RULES.get(call.node.op)
    if rule is None or call.node.domain:
        return None
    if shape is not None and math.prod(shape) > LIMIT:
        return None
    return rule(call, shape)


# ------------------------------------------------------------------------------------------------------- the rules

Rule = Callable[[Call, "tuple[int, ...] | None"], "Array | None"]


def _shape(call: Call, shape: Any) -> Array | None:
    known = call.fact(0).dims
    start, end = call.attrs.get("start", 0), call.attrs.get("end")
    return None if known is None else whole_array(known[start:end])


def _size(call: Call, shape: Any) -> Array | None:
    known = call.fact(0).dims
    return None if known is None else whole_array([math.prod(known)], ())


def _moved(call: Call, shape: tuple[int, ...] | None) -> Array | None:
    value = call.fact(0).value
    return value.reshape(shape) if value is not None and shape is not None and math.prod(shape) == value.size else None


def _cast(call: Call, shape: tuple[int, ...] | None) -> Array | None:
    to, source = _target(call), call.fact(0)
    if to not in WHOLE:
        return None
    if source.code not in WHOLE:
        return _cast_floats(call, to) if shape is not None else None
    if to == onnx.TensorProto.BOOL and source.code != to:
        return None if source.numbers is None else of_array(source.numbers != 0)
    return source.value


def _target(call: Call) -> int:
    """The data type that a Cast, or a CastLike, makes."""
    return int(call.attrs.get("to", call.fact(1).code))


def reads_floats(call: Call) -> bool:
    """Whether elements are told from floats, whose value no fact holds."""
    rule = None if call.node.domain else RULES.get(call.node.op)
    return rule is _cast and call.fact(0).code not in WHOLE and _target(call) in WHOLE


def _cast_floats(call: Call, to: int) -> Array | None:
    """The elements of a constant of floats, which are not followed by value themselves."""
    values = schema.constant_of(call.node.inputs[0])
    if values is None or values.dtype.kind != "f" or not np.isfinite(values).all():
        return None
    return of_array(values != 0 if to == onnx.TensorProto.BOOL else values)


def _gather(call: Call, shape: Any) -> Array | None:
    data, places = call.fact(0).value, call.fact(1).numbers
    if data is None or places is None or data.ndim != 1 or not all(-data.size <= p < data.size for p in places.flat):
        return None
    return whole_array((data[p] for p in places.flat), places.shape)


def _slice(call: Call, shape: Any) -> Array | None:
    data = call.fact(0).value
    starts, ends = call.whole("starts"), call.whole("ends")
    steps = call.whole("steps") if call.given("steps") else [1]
    if data is None or data.ndim != 1 or not starts or not ends or not steps or not steps[0]:
        return None
    places = dims.slice_places(data.size, starts[0], ends[0], steps[0])
    return whole_array(data[place] for place in places)


def _concat(call: Call, shape: Any) -> Array | None:
    parts = []
    for fact in call.inputs:
        sizes = fact.sizes
        if fact.value is not None and fact.value.ndim == 1:
            parts += list(fact.value)
        elif fact.code in WHOLE and sizes is not None and len(sizes) == 1 and sizes[0] <= LIMIT:
            parts += [dims.free() for _ in range(sizes[0])]
        else:
            return None
    return whole_array(parts) if len(parts) <= LIMIT else None


def _elementwise(combine: Callable[..., Any]) -> Rule:
    """The rule of an operator that broadcasts; `combine` gives None for an element that it cannot tell."""

    def rule(call: Call, shape: Any) -> Array | None:
        values = [fact.value for fact in call.inputs]
        known = [v for v in values if v is not None]
        if len(known) < len(values):
            return None
        try:
            arrays = np.broadcast_arrays(*known)
        except ValueError:
            return None
        if arrays[0].size > LIMIT:
            return None
        results = [combine(*items) for items in zip(*(a.flat for a in arrays), strict=True)]
        return whole_array((dims.free() if r is None else r for r in results), arrays[0].shape)

    return rule


def _divide(a: Dim, b: Dim) -> Dim | None:
    if b != 0 and dims.is_natural(a) and dims.is_natural(b):  # by zero the operator is undefined
        return dims.quotient([a], [b])
    if isinstance(a, int) and isinstance(b, int) and b:
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return None


def _remainder(a: Dim, b: Dim) -> int | None:
    return a % b if isinstance(a, int) and isinstance(b, int) and a >= 0 and b > 0 else None


def _compare(test: Callable[[int, int], bool]) -> Callable[[Dim, Dim], int | None]:
    """A comparison, decided where the two are numbers, or one is known to be the larger."""

    def compare(a: Dim, b: Dim) -> int | None:
        if a == b:
            return int(test(0, 0))
        gap = a - b
        if isinstance(gap, int):
            return int(test(gap, 0))
        if not dims.differ(a, b):
            return None
        return int(test(1, 0)) if dims.is_natural(gap) else int(test(0, 1))

    return compare


def _choose(condition: Dim, a: Dim, b: Dim) -> Dim | None:
    if isinstance(condition, int):
        return a if condition else b
    return a if a == b else None


def _logic(combine: Callable[[int, int], int]) -> Callable[[Dim, Dim], int | None]:
    return lambda a, b: combine(a, b) if isinstance(a, int) and isinstance(b, int) else None


def _filled(call: Call, shape: tuple[int, ...] | None) -> Array | None:
    fill = call.attrs.get("value")
    if shape is None or not isinstance(fill, Constant) or fill.dtype not in (np.int64, np.int32, np.bool_):
        return None
    return whole_array([int(fill.values.reshape(-1)[0])] * math.prod(shape), shape)


def _range(call: Call, shape: Any) -> Array | None:
    values = [fact.numbers for fact in call.inputs]
    if any(v is None or v.size != 1 for v in values):
        return None
    start, stop, step = (int(v.item()) for v in values if v is not None)
    numbers = range(start, stop, step) if step else range(0)
    return whole_array(numbers) if step and len(numbers) <= LIMIT else None


def _expand(call: Call, shape: tuple[int, ...] | None) -> Array | None:
    value = call.fact(0).value
    try:
        return None if value is None or shape is None else np.broadcast_to(value, shape).copy()
    except ValueError:
        return None


def _reduce(combine: Callable[[list[Dim]], Dim]) -> Rule:
    def rule(call: Call, shape: tuple[int, ...] | None) -> Array | None:
        value = call.fact(0).value
        if value is None or value.ndim != 1 or shape is None or math.prod(shape) != 1:
            return None
        axes = call.whole("axes") if call.given("axes") else [0]
        return whole_array([combine(list(value))], shape) if axes in ([0], [-1]) else None

    return rule


RULES: dict[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "Identity": _moved,
    "Unsqueeze": _moved,
    "Squeeze": _moved,
    "Reshape": _moved,
    "Flatten": _moved,
    "Cast": _cast,
    "CastLike": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Add": _elementwise(operator.add),
    "Sub": _elementwise(operator.sub),
    "Mul": _elementwise(operator.mul),
    "Div": _elementwise(_divide),
    "Mod": _elementwise(_remainder),
    "Neg": _elementwise(operator.neg),
    "Abs": _elementwise(lambda a: abs(a) if isinstance(a, int) else a if dims.is_natural(a) else None),
    "Max": _elementwise(lambda *all: _fold(dims.larger, all)),
    "Min": _elementwise(lambda *all: _fold(dims.smaller, all)),
    "Equal": _elementwise(_compare(operator.eq)),
    "Less": _elementwise(_compare(operator.lt)),
    "LessOrEqual": _elementwise(_compare(operator.le)),
    "Greater": _elementwise(_compare(operator.gt)),
    "GreaterOrEqual": _elementwise(_compare(operator.ge)),
    "And": _elementwise(_logic(operator.and_)),
    "Or": _elementwise(_logic(operator.or_)),
    "Not": _elementwise(lambda a: 1 - a if isinstance(a, int) else None),
    "Where": _elementwise(_choose),
    "ConstantOfShape": _filled,
    "Range": _range,
    "Expand": _expand,
    "ReduceProd": _reduce(math.prod),
    "ReduceSum": _reduce(lambda items: sum(items[1:], items[0]) if items else 0),
}


def _fold(combine: Callable[[Dim, Dim], Dim], items: tuple[Dim, ...]) -> Dim:
    result = items[0]
    for item in items[1:]:
        result = combine(result, item)
    return result
