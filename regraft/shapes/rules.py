"""Shapes that ONNX's own inference leaves open: a dimension depends on a value, or is a sum, a product, a minimum.

One rule an operator, from what is known of its inputs to the shape of its first output; None where it knows nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from regraft.ir.dimensions import FAR
from regraft.ops.traits import BROADCASTS
from regraft.shapes import dims
from regraft.shapes.dims import Dim
from regraft.shapes.op_call import Call

Shape = tuple[Dim, ...]


def shape(call: Call) -> Shape | None:
    """The shape of the first output. Raises ValueError where the inputs' shapes do not fit together."""
    rule = _broadcast if call.node.op in BROADCASTS else RULES.get(call.node.op)
    return None if rule is None or call.node.domain else rule(call)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that all of `shapes` broadcast to. Raises ValueError where they do not."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(functools.reduce(dims.broadcast, column) for column in zip(*padded, strict=True))


def _broadcast(call: Call) -> Shape | None:
    shapes = [fact.dims for fact in call.inputs]
    known = [s for s in shapes if s is not None]
    return broadcast(known) if len(known) == len(shapes) and "broadcast" not in call.attrs else None


def _target(call: Call, place: int) -> Shape | None:
    """The shape that the input at `place` asks for, by value."""
    value = call.fact(place).value
    return None if value is None or value.ndim != 1 else tuple(value)


def _reshape(call: Call) -> Shape | None:
    source = call.fact(0).dims
    target = tuple(call.attrs["shape"]) if "shape" in call.attrs else _target(call, 1)
    if target is None or source is None:
        return target if target is not None and all(dims.is_natural(d) and d != 0 for d in target) else None
    result = list(target)
    if not call.attrs.get("allowzero"):
        result = [source[i] if d == 0 and i < len(source) else d for i, d in enumerate(result)]
    open_places = [i for i, d in enumerate(result) if not dims.is_natural(d)]
    if len(open_places) == 1:
        others = [d for i, d in enumerate(result) if i != open_places[0]]
        whole = [*source]
        result[open_places[0]] = dims.unnamed() if 0 in others else dims.quotient(whole, others)
    else:
        result = [d if dims.is_natural(d) else dims.unnamed() for d in result]
    return tuple(result)


def _expand(call: Call) -> Shape | None:
    source, target = call.fact(0).dims, _target(call, 1)
    if source is None or target is None:
        return None
    return broadcast([source, tuple(d if dims.is_natural(d) else dims.unnamed() for d in target)])


def _filled(call: Call) -> Shape | None:
    target = _target(call, 0)
    return None if target is None else tuple(d if dims.is_natural(d) else dims.unnamed() for d in target)


def _concat(call: Call) -> Shape | None:
    shapes = [fact.dims for fact in call.inputs]
    known = [s for s in shapes if s is not None]
    axis = call.attrs.get("axis", 1)
    if len(known) < len(shapes) or not known or any(len(s) != len(known[0]) for s in known):
        return None
    axis %= max(len(known[0]), 1)
    columns = list(zip(*known, strict=True))
    total: Dim = 0
    for dim in columns[axis]:
        total = dim + total
    return tuple(total if i == axis else _same(column) for i, column in enumerate(columns))


def _same(column: Sequence[Dim]) -> Dim:
    """The one number that all of `column` are."""
    return next((d for d in column if isinstance(d, int)), next((d for d in column if dims.is_named(d)), column[0]))


def _slice(call: Call) -> Shape | None:
    source = call.fact(0).dims
    starts, ends = call.get("starts"), call.get("ends")
    if source is None or not isinstance(starts, list | tuple) or not isinstance(ends, list | tuple):
        return None
    axes = call.whole("axes") if call.given("axes") else list(range(len(starts)))
    steps = call.whole("steps") if call.given("steps") else [1] * len(starts)
    if {len(one) if isinstance(one, list | tuple) else -1 for one in (axes, starts, ends, steps)} != {len(starts)}:
        return None  # not known, or no lists of one length
    result = list(source)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        result[axis] = _sliced(result[axis], start, end, step)
    return tuple(result)


def _sliced(size: Dim, start: Dim, end: Dim, step: int) -> Dim:
    """How many elements `size` elements have from `start` to `end`."""
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        return len(dims.slice_places(size, start, end, step))
    if step == -1 and _is_far(end, -1) and (start == -1 or _is_far(start, 1)):
        return size
    if step != 1:
        return dims.unnamed()
    first, last = _clamped(start, size), _clamped(end, size)
    if last == size and dims.is_natural(start) and first != size:
        return dims.larger(size - start, 0)
    return dims.unnamed() if first is None or last is None else dims.larger(last - first, 0)


def _clamped(place: Dim, size: Dim) -> Dim | None:
    """Where `place` of a slice lies between 0 and `size`; None where its sign is unknown."""
    if dims.is_natural(place):
        return size if _is_far(place, 1) else dims.smaller(place, size)
    if _is_far(place, -1):
        return 0
    return dims.larger(size + place, 0) if dims.is_natural(-place) else None


def _is_far(place: Dim, sign: int) -> bool:
    """Whether `place` lies beyond any axis, after it, or before it where `sign` is -1."""
    return isinstance(place, int) and sign * place >= FAR


def _range(call: Call) -> Shape | None:
    values = [fact.value for fact in call.inputs]
    if len(values) != 3 or any(v is None or v.size != 1 for v in values):
        return None
    start, limit, step = (v.item() for v in values if v is not None)
    if isinstance(start, int) and isinstance(limit, int) and isinstance(step, int) and step:
        return (max(0, -((start - limit) // step)),)
    return (dims.larger(limit - start, 0),) if step == 1 else None


def _flatten(call: Call) -> Shape | None:
    source, axis = call.fact(0).dims, call.attrs.get("axis", 1)
    if source is None:
        return None
    return math.prod(source[:axis]), math.prod(source[axis:])


def _tile(call: Call) -> Shape | None:
    source, repeats = call.fact(0).dims, _target(call, 1)
    if source is None or repeats is None or len(source) != len(repeats):
        return None
    return tuple(d * n if dims.is_natural(n) else dims.unnamed() for d, n in zip(source, repeats, strict=True))


def _pad(call: Call) -> Shape | None:
    source, pads = call.fact(0).dims, call.get("pads")
    if source is None or pads is None or call.given("axes") or len(pads) != 2 * len(source):
        return None
    sizes = [d + before + after for d, before, after in zip(source, pads, pads[len(source) :], strict=False)]
    return tuple(d if dims.is_natural(d) else dims.unnamed() for d in sizes)


RULES: dict[str, Callable[[Call], Shape | None]] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "ConstantOfShape": _filled,
    "Concat": _concat,
    "Slice": _slice,
    "Range": _range,
    "Flatten": _flatten,
    "Tile": _tile,
    "Pad": _pad,
}
