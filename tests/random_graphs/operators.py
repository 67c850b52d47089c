"""What a random graph is made of: each function appends one operator, or the few that some exporter writes together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper

from tests.random_graphs.grow import ANY, FLOATS, INTEGERS, Graph, Shape, Unfit, Value, code

Maker = Callable[[Graph], Sequence[Value]]
MAKERS: list[tuple[Maker, int, int, float]] = []
"""Each with the first and last opset that has its form, and its weight in the draw."""


def maker(since: int = 1, until: int = 99, weight: float = 1.0) -> Callable[[Maker], Maker]:
    def note(made: Maker) -> Maker:
        MAKERS.append((made, since, until, weight))
        return made

    return note


def simple(ops: str, dtypes: Sequence[str], since: int = 1, gives: str = "", **attributes: Any) -> None:
    """Makers of operators of one input that keep its shape."""
    for op in ops.split():

        def make(g: Graph, op: str = op) -> Sequence[Value]:
            x = g.pick(*dtypes)
            return g(op, [x], [(gives or x.dtype, x.shape)], **attributes)

        MAKERS.append((make, since, 99, 0.4))


def pairs(ops: str, dtypes: Sequence[str], since: int = 1, gives: str = "", **attributes: Any) -> None:
    """Makers of operators of two inputs, one of which may be broadcast."""
    for op in ops.split():

        def make(g: Graph, op: str = op) -> Sequence[Value]:
            x = g.pick(*dtypes)
            y = g.mate(x)
            both = [x, y] if g.coin(0.7) or op == "PRelu" else [y, x]  # PRelu broadcasts its slopes only
            return g(op, both, [(gives or x.dtype, x.shape)], **attributes)

        MAKERS.append((make, since, 99, 0.8))


simple("Neg Abs", (*FLOATS, *INTEGERS))
simple("Relu Tanh Sigmoid Exp Floor Ceil Sqrt Log", FLOATS)
simple("Erf Round Sin Cos Atan Sinh", ("float32", "float16"))
simple("Softplus Softsign Elu Selu HardSigmoid LeakyRelu ThresholdedRelu Reciprocal", ("float32", "float16"))
simple("HardSwish", ("float32", "float16"), 14)
simple("Mish", ("float32", "float16"), 18)
simple("Gelu", ("float32",), 20)
simple("Celu", ("float32",), 12)
simple("Shrink", ("float32",), lambd=0.3, bias=0.1)
simple("Sign", ("float32", "float64", *INTEGERS))
simple("Not", ("bool",))
simple("IsNaN", ("float32", "float16"), 13, "bool")
simple("IsInf", ("float32", "float64"), 10, "bool")
simple("Identity", ANY)
pairs("Add Sub Mul", (*FLOATS, *INTEGERS))
pairs("Div", FLOATS)
pairs("Min Max", (*FLOATS, *INTEGERS), 13)
pairs("PRelu", ("float32",))
pairs("And Or Xor", ("bool",), 7, "bool")
pairs("Equal", ("float32", "int64", "int32", "bool"), 11, "bool")
pairs("Less Greater", ("float32", "float64", *INTEGERS), 9, "bool")
pairs("LessOrEqual GreaterOrEqual", ("float32", "float64", *INTEGERS), 16, "bool")
pairs("BitwiseAnd BitwiseOr BitwiseXor", INTEGERS, 18)


def axes(g: Graph, x: Value, chosen: Sequence[int], since: int) -> tuple[list[Value | None], dict[str, Any]]:
    """Axes as an attribute, or as an input from opset `since` on."""
    if g.opset < since:
        return [x], {"axes": list(chosen)}
    return [x, g.ints(*chosen)], {}


def positive(g: Graph, x: Value) -> tuple[int, ...]:
    return tuple(i for i in range(x.rank) if g.coin(0.6))


@maker(weight=2)
def reduce(g: Graph) -> Sequence[Value]:
    op = g.among(["Sum", "Sum", "Mean", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp", "Prod"])
    dtypes = {"Sum": (*FLOATS, *INTEGERS), "Max": ("float32", "float64", *INTEGERS), "Min": ("float32", *INTEGERS)}
    x = g.pick(*dtypes.get(op, ("float32", "float16")), fits=lambda v: v.rank > 0)
    chosen = positive(g, x) or (x.rank - 1,)
    keep = int(g.coin(0.6))
    inputs, attributes = axes(g, x, [c - x.rank if g.coin() else c for c in chosen], 13 if op == "Sum" else 18)
    shape = [1 if i in chosen else dim for i, dim in enumerate(x.shape) if keep or i not in chosen]
    return g("Reduce" + op, inputs, [(x.dtype, tuple(shape))], keepdims=keep, **attributes)


@maker()
def arg(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int32", fits=lambda v: v.rank > 0)
    axis = g.axis(x)
    shape = list(x.shape)
    shape[axis] = 1
    return g(g.among(["ArgMax", "ArgMin"]), [x], [("int64", tuple(shape))], axis=axis, keepdims=1)


@maker()
def softmax(g: Graph) -> Sequence[Value]:
    x = g.pick(*FLOATS, fits=lambda v: v.rank > 0)
    return g(g.among(["Softmax", "Softmax", "LogSoftmax"]), [x], [(x.dtype, x.shape)], axis=g.axis(x))


@maker()
def clip(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float16", "int64" if g.opset > 11 else "float32")
    low, high = (g.constant(v, x.dtype) for v in (-1, 2))
    return g("Clip", [x, low if g.coin(0.8) else None, high], [(x.dtype, x.shape)])


@maker()
def power(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float64")
    return g("Pow", [x, g.constant(g.among([2, 3, 0.5, -1, 1]), x.dtype)], [(x.dtype, x.shape)])


@maker()
def integer_division(g: Graph) -> Sequence[Value]:
    x = g.pick(*INTEGERS)
    return g(g.among(["Div", "Mod"]), [x, g.constant(g.among([2, 3, 7, -2]), x.dtype)], [(x.dtype, x.shape)])


@maker()
def several(g: Graph) -> Sequence[Value]:
    x = g.pick("float32")
    others = [g.mate(x, same=True) for _ in range(int(g.random.integers(1, 3)))]
    return g(g.among(["Sum", "Max", "Min", "Mean"]), [x, *others], [(x.dtype, x.shape)])


@maker(weight=2)
def where(g: Graph) -> Sequence[Value]:
    condition = g.pick("bool")
    found = [v for v in g.values if v.shape == condition.shape and v.dtype in ("float32", "int64", "float16", "int32")]
    if not found:
        raise Unfit
    x = g.among(found)
    y = g.mate(x)
    return g("Where", [condition, *([x, y] if g.coin() else [y, x])], [(x.dtype, x.shape)])


@maker(weight=1.5)
def cast(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY)
    to = g.among(ANY if x.dtype == "bool" or np.dtype(x.dtype).kind in "iu" else (*FLOATS, "bool", "float32"))
    return g("Cast", [x], [(to, x.shape)], to=code(to))


@maker(weight=0.6)
def floats_to_integers(g: Graph) -> Sequence[Value]:
    x = g.pick("float32")
    bounded = g("Clip", [x, g.constant(-9, x.dtype), g.constant(9, x.dtype)], [(x.dtype, x.shape)])
    return g("Cast", list(bounded), [("int64", x.shape)], to=code("int64"))


@maker(15, weight=0.5)
def cast_like(g: Graph) -> Sequence[Value]:
    x, like = g.pick("bool", *INTEGERS), g.pick("float32", "float16", "int64")
    return g("CastLike", [x, like], [(like.dtype, x.shape)])


@maker(weight=2)
def transpose(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: v.rank > 1)
    perm = [int(p) for p in g.random.permutation(x.rank)] if g.coin(0.8) else list(range(x.rank))
    return g("Transpose", [x], [(x.dtype, tuple(x.shape[p] for p in perm))], perm=perm)


@maker()
def unsqueeze(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: v.rank < 4)
    at = int(g.random.integers(0, x.rank + 1))
    inputs, attributes = axes(g, x, [at], 13)
    return g("Unsqueeze", inputs, [(x.dtype, (*x.shape[:at], 1, *x.shape[at:]))], **attributes)


@maker()
def squeeze(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: 1 in v.shape)
    at = g.among([i for i, dim in enumerate(x.shape) if dim == 1])
    inputs, attributes = axes(g, x, [at - x.rank if g.coin() else at], 13)
    return g("Squeeze", inputs, [(x.dtype, x.shape[:at] + x.shape[at + 1 :])], **attributes)


@maker()
def reshape_by_constant(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: bool(v.rank) and isinstance(v.shape[-1], int) and v.shape[-1] % 2 == 0)
    assert isinstance(x.shape[-1], int)
    to = [*[0] * (x.rank - 1), 2, g.among([-1, x.shape[-1] // 2])]
    return g("Reshape", [x, g.ints(*to)], [(x.dtype, (*x.shape[:-1], 2, x.shape[-1] // 2))])


@maker(weight=2)
def reshape_by_shape(g: Graph) -> Sequence[Value]:
    """The chain by which TorchScript writes a view."""
    x = g.pick(*ANY, fits=lambda v: v.rank >= 2 and all(isinstance(d, int) for d in v.shape[1:]))
    (shape,) = g("Shape", [x], [("int64", (x.rank,))])
    (batch,) = g("Gather", [shape, g.constant(0, np.int64)], [("int64", ())], axis=0)
    inputs, attributes = axes(g, batch, [0], 13)
    (first,) = g("Unsqueeze", inputs, [("int64", (1,))], **attributes)
    rest = int(np.prod([d for d in x.shape[1:] if isinstance(d, int)]))
    (to,) = g("Concat", [first, g.ints(rest)], [("int64", (2,))], axis=0)
    return g("Reshape", [x, to], [(x.dtype, (x.shape[0], rest))])


@maker(weight=0.5)
def reshape_to_itself(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: v.rank > 0)
    (shape,) = g("Shape", [x], [("int64", (x.rank,))])
    return g("Reshape", [x, shape], [(x.dtype, x.shape)])


@maker()
def flatten(g: Graph) -> Sequence[Value]:
    x = g.pick(
        "float32", "float16", "int64", fits=lambda v: v.rank > 1 and all(isinstance(d, int) for d in v.shape[1:])
    )
    return g("Flatten", [x], [(x.dtype, (x.shape[0], int(np.prod([int(d) for d in x.shape[1:]]))))], axis=1)


@maker(weight=2)
def concat(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: any(isinstance(d, int) for d in v.shape))
    at = g.among([i for i, d in enumerate(x.shape) if isinstance(d, int)])
    parts = [x, *[v for v in g.values if v.dtype == x.dtype and v.shape == x.shape and g.coin(0.3)][:2]]
    shape = list(x.shape)
    shape[at] = int(shape[at]) * len(parts)
    if int(shape[at]) > 64:
        raise Unfit
    return g("Concat", parts, [(x.dtype, tuple(shape))], axis=at - x.rank if g.coin() else at)


@maker(weight=2)
def cut(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: any(isinstance(d, int) and d > 1 for d in v.shape))
    at = g.among([i for i, d in enumerate(x.shape) if isinstance(d, int) and d > 1])
    size = int(x.shape[at])
    start = int(g.random.integers(0, size - 1))
    step = g.among([1, 1, 1, 2])
    end = g.among([size, 2**31 - 1, 2**63 - 1])
    shape = list(x.shape)
    shape[at] = len(range(start, size, step))
    inputs = [x, g.ints(start if g.coin() else start - size), g.ints(end), g.ints(at), g.ints(step)]
    return g("Slice", inputs, [(x.dtype, tuple(shape))])


@maker(weight=0.5)
def reverse(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0)
    inputs = [x, g.ints(-1), g.ints(-(2**31)), g.ints(g.axis(x)), g.ints(-1)]
    return g("Slice", inputs, [(x.dtype, x.shape)])


@maker(weight=1.5)
def split(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float16", "int64", fits=lambda v: any(isinstance(d, int) and d > 1 for d in v.shape))
    at = g.among([i for i, d in enumerate(x.shape) if isinstance(d, int) and d > 1])
    size = int(x.shape[at])
    first = int(g.random.integers(1, size))
    shapes = [(*x.shape[:at], part, *x.shape[at + 1 :]) for part in (first, size - first)]
    outputs = [(x.dtype, shape) for shape in shapes]
    if g.opset < 13:
        return g("Split", [x], outputs, axis=at, split=[first, size - first])
    return g("Split", [x, g.ints(first, size - first)], outputs, axis=at)


@maker(weight=1.5)
def gather(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: any(isinstance(d, int) for d in v.shape))
    at = g.among([i for i, d in enumerate(x.shape) if isinstance(d, int)])
    shape = g.among([(), (1,), (3,), (2, 2)])
    if x.rank + len(shape) > 5:
        raise Unfit
    index = g.constant(g.random.integers(-int(x.shape[at]), int(x.shape[at]), shape), g.among(["int64", "int32"]))
    return g("Gather", [x, index], [(x.dtype, (*x.shape[:at], *shape, *x.shape[at + 1 :]))], axis=at)


@maker(weight=1.5)
def lookup(g: Graph) -> Sequence[Value]:
    """An embedding: rows of a table by integers of the graph."""
    ids = g.pick("int64", "int32", fits=lambda v: v.rank < 3)
    table = g.weight((7, 4), g.among(["float32", "float32", "float16"]))
    (row,) = g("Mod", [ids, g.constant(7, ids.dtype)], [(ids.dtype, ids.shape)])
    return g("Gather", [table, row], [(table.dtype, (*ids.shape, 4))])


@maker(weight=0.6)
def gather_elements(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0 and v.static)
    at = g.axis(x)
    index = g.constant(g.random.integers(0, int(x.shape[at]), x.shape), np.int64)
    return g("GatherElements", [x, index], [(x.dtype, x.shape)], axis=at)


@maker(12, weight=0.6)
def gather_nd(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 1 and isinstance(v.shape[0], int))
    index = g.constant(g.random.integers(0, int(x.shape[0]), (3, 1)), np.int64)
    return g("GatherND", [x, index], [(x.dtype, (3, *x.shape[1:]))])


@maker(weight=0.6)
def scatter_elements(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0 and v.static)
    index = g.constant(g.random.permutation(int(x.shape[0]))[:1].reshape([1] * x.rank), np.int64)
    return g("ScatterElements", [x, index, g.weight([1] * x.rank, x.dtype)], [(x.dtype, x.shape)], axis=0)


@maker(weight=0.6)
def scatter_nd(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 1 and v.static)
    index = g.constant([[0]], np.int64)
    return g("ScatterND", [x, index, g.weight((1, *map(int, x.shape[1:])), x.dtype)], [(x.dtype, x.shape)])


@maker()
def expand(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", "bool", fits=lambda v: 1 in v.shape)
    at = g.among([i for i, d in enumerate(x.shape) if d == 1])
    to = [1] * x.rank
    to[at] = g.among([2, 3])
    return g("Expand", [x, g.ints(*to)], [(x.dtype, (*x.shape[:at], to[at], *x.shape[at + 1 :]))])


@maker(weight=1.5)
def expand_as(g: Graph) -> Sequence[Value]:
    """Broadcast to the shape of another value, as a mask is."""
    like = g.pick("float32", "int64", fits=lambda v: 0 < v.rank < 4)
    x = g.weight(g.tail(like), g.among(["float32", "int64"]))
    (shape,) = g("Shape", [like], [("int64", (like.rank,))])
    return g("Expand", [x, shape], [(x.dtype, like.shape)])


@maker(weight=0.6)
def tile(g: Graph) -> Sequence[Value]:
    x = g.pick(
        "float32", "int64", "bool", fits=lambda v: v.rank > 0 and isinstance(v.shape[-1], int) and v.shape[-1] < 9
    )
    return g("Tile", [x, g.ints(*[1] * (x.rank - 1), 2)], [(x.dtype, (*x.shape[:-1], 2 * int(x.shape[-1])))])


@maker()
def pad(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float16", "int64", fits=lambda v: v.rank > 0 and isinstance(v.shape[-1], int))
    mode = g.among(["constant", "constant", "edge"])
    pads = [0] * (2 * x.rank)
    pads[x.rank - 1], pads[-1] = 1, g.among([0, 1])
    value = g.constant(g.among([0, 3]), x.dtype) if mode == "constant" and g.coin() else None
    shape = (*x.shape[:-1], int(x.shape[-1]) + pads[x.rank - 1] + pads[-1])
    return g("Pad", [x, g.ints(*pads), *([value] if value else [])], [(x.dtype, shape)], mode=mode)


@maker(weight=2.5)
def matmul(g: Graph) -> Sequence[Value]:
    x = g.pick(*FLOATS, fits=lambda v: v.rank > 1 and isinstance(v.shape[-1], int))
    width = g.among([2, 4, 6])
    (y,) = g("MatMul", [x, g.weight((int(x.shape[-1]), width), x.dtype)], [(x.dtype, (*x.shape[:-1], width))])
    return g("Add", [y, g.weight((width,), x.dtype)], [(x.dtype, y.shape)]) if g.coin() else [y]


@maker()
def matmul_of_two(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float64", fits=lambda v: v.rank > 1)
    y = g.pick(x.dtype, fits=lambda v: v.rank == x.rank and v.shape[:-2] == x.shape[:-2] and v.shape[-1] == x.shape[-1])
    perm = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    (t,) = g("Transpose", [y], [(y.dtype, (*y.shape[:-2], y.shape[-1], y.shape[-2]))], perm=perm)
    return g("MatMul", [x, t], [(x.dtype, (*x.shape[:-1], y.shape[-2]))])


@maker()
def gemm(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float64", fits=lambda v: v.rank == 2 and isinstance(v.shape[-1], int))
    width, across = g.among([2, 4]), g.coin()
    w = g.weight((width, int(x.shape[1])) if across else (int(x.shape[1]), width), x.dtype)
    extra = [g.weight((width,), x.dtype)] if g.coin(0.7) else []
    alpha = g.among([None, 0.5])
    return g("Gemm", [x, w, *extra], [(x.dtype, (x.shape[0], width))], transB=int(across), alpha=alpha)


@maker(12, weight=0.7)
def einsum(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank == 3 and isinstance(v.shape[-1], int))
    w = g.weight((int(x.shape[-1]), 3), x.dtype)
    return g("Einsum", [x, w], [(x.dtype, (x.shape[0], 3, x.shape[1]))], equation="bsd,de->bes")


@maker()
def layer_norm_op(g: Graph) -> Sequence[Value]:
    if g.opset < 17:
        raise Unfit
    x, width = _features(g)
    return g(
        "LayerNormalization",
        [x, g.weight((width,), x.dtype), g.weight((width,), x.dtype)],
        [(x.dtype, x.shape)],
        epsilon=1e-5,
    )


def _features(g: Graph) -> tuple[Value, int]:
    x = g.pick("float32", fits=lambda v: v.rank > 1 and isinstance(v.shape[-1], int) and v.shape[-1] > 1)
    return x, int(x.shape[-1])


def mean(g: Graph, x: Value) -> Value:
    inputs, attributes = axes(g, x, [-1], 18)
    return g("ReduceMean", inputs, [(x.dtype, (*x.shape[:-1], 1))], keepdims=1, **attributes)[0]


@maker(weight=1.5)
def layer_norm(g: Graph) -> Sequence[Value]:
    x, width = _features(g)
    out = [(x.dtype, x.shape)]
    (centred,) = g("Sub", [x, mean(g, x)], out)
    (square,) = g("Pow", [centred, g.constant(2, x.dtype)], out) if g.coin() else g("Mul", [centred, centred], out)
    variance = mean(g, square)
    (moved,) = g("Add", [variance, g.constant(1e-5, x.dtype)], [(x.dtype, variance.shape)])
    (root,) = g("Sqrt", [moved], [(x.dtype, variance.shape)])
    (normal,) = g("Div", [centred, root], out)
    (scaled,) = g("Mul", [normal, g.weight((width,), x.dtype)], out)
    return g("Add", [scaled, g.weight((width,), x.dtype)], out)


@maker(weight=1.5)
def gelu(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float16")
    out = [(x.dtype, x.shape)]
    if g.coin(0.7):
        (inner,) = g("Div", [x, g.constant(np.sqrt(2), x.dtype)], out)
        (inner,) = g("Erf", [inner], out)
    else:
        (cube,) = g("Pow", [x, g.constant(3, x.dtype)], out)
        (inner,) = g("Mul", [g.constant(0.044715, x.dtype), cube], out)
        (inner,) = g("Add", [x, inner], out)
        (inner,) = g("Mul", [inner, g.constant(np.sqrt(2 / np.pi), x.dtype)], out)
        (inner,) = g("Tanh", [inner], out)
    (plus,) = g("Add", [inner, g.constant(1, x.dtype)], out)
    (half,) = g("Mul", [x, g.constant(0.5, x.dtype)], out)
    return g("Mul", [half, plus], out)


@maker(weight=1.5)
def attention(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank == 3 and isinstance(v.shape[-1], int) and v.shape[-1] % 2 == 0)
    width = int(x.shape[-1])
    batch, length, half = x.shape[0], x.shape[1], width // 2
    parts = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        (y,) = g("MatMul", [x, g.weight((width, width), x.dtype)], [(x.dtype, x.shape)])
        (y,) = g("Reshape", [y, g.ints(0, 0, 2, half)], [(x.dtype, (batch, length, 2, half))])
        shape = tuple((batch, length, 2, half)[p] for p in perm)
        parts += g("Transpose", [y], [(x.dtype, shape)], perm=perm)
    scores = (batch, 2, length, length)
    (s,) = g("MatMul", parts[:2], [(x.dtype, scores)])
    (s,) = g("Div", [s, g.constant(np.sqrt(half), x.dtype)], [(x.dtype, scores)])
    masks = [v for v in g.values if v.shape == (batch, length) and v.dtype in ("int64", "bool")]
    if masks and g.coin(0.7):
        (s,) = g("Add", [s, _bias(g, g.among(masks))], [(x.dtype, scores)])
    (s,) = g("Softmax", [s], [(x.dtype, scores)], axis=-1)
    (y,) = g("MatMul", [s, parts[2]], [(x.dtype, (batch, 2, length, half))])
    (y,) = g("Transpose", [y], [(x.dtype, (batch, length, 2, half))], perm=[0, 2, 1, 3])
    return g("Reshape", [y, g.ints(0, 0, width)], [(x.dtype, x.shape)])


def _bias(g: Graph, mask: Value) -> Value:
    """What is added to scores: (1 - mask) * -10000 over [batch, 1, 1, length]."""
    (m,) = g("Cast", [mask], [("float32", mask.shape)], to=code("float32"))
    for at in (1, 2):
        inputs, attributes = axes(g, m, [at], 13)
        (m,) = g("Unsqueeze", inputs, [(m.dtype, (*m.shape[:at], 1, *m.shape[at:]))], **attributes)
    (m,) = g("Sub", [g.constant(1, m.dtype), m], [(m.dtype, m.shape)])
    return g("Mul", [m, g.constant(-10000, m.dtype)], [(m.dtype, m.shape)])[0]


@maker()
def nothing(g: Graph) -> Sequence[Value]:
    """What does nothing: zero added, one multiplied, one divided by, the same dtype."""
    x = g.pick("float32", "float64", "int64")
    op, number = g.among([("Add", 0), ("Mul", 1), ("Div", 1), ("Sub", 0), ("Pow", 1), ("Cast", None)])
    if number is None:
        return g("Cast", [x], [(x.dtype, x.shape)], to=code(x.dtype))
    if op == "Pow" and x.dtype == "int64":
        raise Unfit
    return g(op, [x, g.constant(number, x.dtype)], [(x.dtype, x.shape)])


@maker()
def twice(g: Graph) -> Sequence[Value]:
    """The same node once more."""
    known = {value.name: value for value in g.values}
    found = [n for n in g.nodes if all(o in known for o in n.output) and not any(a.HasField("g") for a in n.attribute)]
    if not found:
        raise Unfit
    node = g.among(found)
    outputs = [known[name] for name in node.output]
    inputs = [Value(name, "", ()) if name else None for name in node.input]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return g(node.op_type, inputs, [(v.dtype, v.shape) for v in outputs], domain=node.domain, **attributes)


@maker(weight=0.5)
def local_function(g: Graph) -> Sequence[Value]:
    x = g.pick("float32")
    return g("Act", [x], [(x.dtype, x.shape)], domain="mine")


@maker(weight=0.8)
def dropout(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "float16")
    if g.opset < 12:
        return g("Dropout", [x], [(x.dtype, x.shape)], ratio=0.3)
    return g("Dropout", [x, g.constant(0.3, "float32")], [(x.dtype, x.shape)])


@maker()
def batch_norm(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank > 2 and isinstance(v.shape[1], int))
    size = int(x.shape[1])
    weights = [g.weight((size,), x.dtype) for _ in range(3)]
    variance = g.constant(np.abs(g.random.standard_normal(size)) + 0.3, x.dtype)
    return g("BatchNormalization", [x, *weights, variance], [(x.dtype, x.shape)])


def _image(g: Graph) -> Value:
    return g.pick("float32", fits=lambda v: v.rank == 4 and v.shape[1:] == (2, 6, 6))


@maker(weight=1.5)
def conv(g: Graph) -> Sequence[Value]:
    x = _image(g)
    extra = [g.weight((2,), x.dtype)] if g.coin() else []
    return g("Conv", [x, g.weight((2, 2, 3, 3), x.dtype), *extra], [(x.dtype, x.shape)], pads=[1, 1, 1, 1])


@maker()
def pool(g: Graph) -> Sequence[Value]:
    x = _image(g)
    op = g.among(["MaxPool", "AveragePool"])
    return g(op, [x], [(x.dtype, (*x.shape[:2], 3, 3))], kernel_shape=[2, 2], strides=[2, 2])


@maker(weight=0.6)
def global_pool(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank == 4)
    op = g.among(["GlobalAveragePool", "GlobalMaxPool"])
    return g(op, [x], [(x.dtype, (*x.shape[:2], 1, 1))])


@maker(weight=0.6)
def instance_norm(g: Graph) -> Sequence[Value]:
    x = _image(g)
    return g("InstanceNormalization", [x, g.weight((2,), x.dtype), g.weight((2,), x.dtype)], [(x.dtype, x.shape)])


@maker(weight=0.6)
def depth_to_space(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank == 4 and isinstance(v.shape[1], int) and v.shape[1] % 4 == 0)
    n, c, h, w = x.shape
    if not (isinstance(h, int) and isinstance(w, int)):
        raise Unfit
    return g("DepthToSpace", [x], [(x.dtype, (n, int(c) // 4, 2 * h, 2 * w))], blocksize=2)


@maker(weight=0.8)
def topk(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0 and isinstance(v.shape[-1], int) and v.shape[-1] > 1)
    shape = (*x.shape[:-1], 2)
    return g("TopK", [x, g.ints(2)], [(x.dtype, shape), ("int64", shape)], axis=-1, largest=int(g.coin()))


@maker(11, weight=0.8)
def cumsum(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", "int32", fits=lambda v: v.rank > 0)
    axis = g.constant(g.axis(x), np.int64)
    return g("CumSum", [x, axis], [(x.dtype, x.shape)], exclusive=int(g.coin(0.3)), reverse=int(g.coin(0.3)))


@maker(14, weight=0.8)
def trilu(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", "bool", fits=lambda v: v.rank > 1)
    extra = [g.constant(g.among([-1, 0, 1]), np.int64)] if g.coin() else []
    return g("Trilu", [x, *extra], [(x.dtype, x.shape)], upper=int(g.coin()))


@maker(weight=0.7)
def one_hot(g: Graph) -> Sequence[Value]:
    ids = g.pick("int64", fits=lambda v: 0 < v.rank < 3)
    return g("OneHot", [ids, g.constant(5, np.int64), g.constant([0, 1], "float32")], [("float32", (*ids.shape, 5))])


@maker(weight=0.8)
def size_of(g: Graph) -> Sequence[Value]:
    x = g.pick(*ANY, fits=lambda v: v.rank > 0)
    return g("Size", [x], [("int64", ())]) if g.coin(0.4) else g("Shape", [x], [("int64", (x.rank,))])


@maker(weight=0.8)
def zeros(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", fits=lambda v: 0 < v.rank < 4)
    (shape,) = g("Shape", [x], [("int64", (x.rank,))])
    fill = helper.make_tensor("value", code(x.dtype), [1], [g.among([0, 1, 2])])
    return g("ConstantOfShape", [shape], [(x.dtype, x.shape)], value=fill)


@maker(weight=0.8)
def positions(g: Graph) -> Sequence[Value]:
    """0, 1, 2, … along an axis."""
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 1)
    at = int(g.random.integers(x.rank))
    (shape,) = g("Shape", [x], [("int64", (x.rank,))])
    (count,) = g("Gather", [shape, g.constant(at, np.int64)], [("int64", ())])
    return g("Range", [g.constant(0, np.int64), count, g.constant(1, np.int64)], [("int64", (x.shape[at],))])


@maker(weight=0.6)
def non_zero(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", "int64", "bool", fits=lambda v: v.rank > 0)
    (found,) = g("NonZero", [x], [("int64", (x.rank, g.name("found")))])
    (float_,) = g("Cast", [found], [("float32", found.shape)], to=code("float32"))
    inputs, attributes = axes(g, float_, [1], 13)
    return g("ReduceSum", inputs, [("float32", (x.rank,))], keepdims=0, **attributes)


@maker(13, weight=0.8)
def quantize(g: Graph) -> Sequence[Value]:
    x = g.pick("float32")
    scale, zero = g.constant(0.05, "float32"), g.constant(g.among([0, 3]), g.among(["int8", "uint8"]))
    (q,) = g("QuantizeLinear", [x, scale, zero], [(zero.dtype, x.shape)])
    return (q, *g("DequantizeLinear", [q, scale, zero], [("float32", x.shape)]))


@maker(13, weight=0.7)
def quantized_weight(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank > 1 and isinstance(v.shape[-1], int))
    q = g.constant(g.random.integers(-90, 90, (int(x.shape[-1]), 4)), "int8")
    (w,) = g("DequantizeLinear", [q, g.constant(0.01, "float32")], [("float32", (int(x.shape[-1]), 4))])
    return g("MatMul", [x, w], [("float32", (*x.shape[:-1], 4))])


@maker(weight=0.7)
def lstm(g: Graph) -> Sequence[Value]:
    x = g.pick("float32", fits=lambda v: v.rank == 3 and isinstance(v.shape[-1], int))
    weights = [g.weight((1, 12, int(x.shape[-1])), "float32"), g.weight((1, 12, 3), "float32")]
    (y,) = g("LSTM", [x, *weights], [("float32", (x.shape[0], 1, x.shape[1], 3))], hidden_size=3)
    inputs, attributes = axes(g, y, [1], 13)
    return g("Squeeze", inputs, [("float32", (x.shape[0], x.shape[1], 3))], **attributes)


@maker(weight=0.8)
def sequence(g: Graph) -> Sequence[Value]:
    """Two tensors put into a sequence, and one taken out."""
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0)
    parts = [x, g.mate(x, same=True)]
    at = g.axis(x)
    if parts[1].shape != x.shape:
        raise Unfit
    (made,) = g("SequenceConstruct", parts, [(x.dtype, x.shape)])
    if g.coin():
        return g("SequenceAt", [made, g.constant(g.among([0, 1, -1]), np.int64)], [(x.dtype, x.shape)])
    shape = [*x.shape]
    shape[at] = int(shape[at]) * 2 if isinstance(shape[at], int) else f"2*{shape[at]}"
    return g("ConcatFromSequence", [made], [(x.dtype, tuple(shape))], axis=at)


def _inner(g: Graph, start: Value, length: int) -> Value:
    """A few operators that keep shape and dtype, on `start`, inside a body."""
    x = start
    for _ in range(length):
        op = g.among(["Add", "Mul", "Tanh", "Neg", "Identity", "Abs"])
        if op in ("Add", "Mul"):
            (x,) = g(op, [x, g.mate(x)], [(x.dtype, x.shape)])
        else:
            (x,) = g(op if x.dtype == "float32" or op != "Tanh" else "Neg", [x], [(x.dtype, x.shape)])
    return x


@maker(weight=1.5)
def choice(g: Graph) -> Sequence[Value]:
    if g.outer:
        raise Unfit
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0)
    flags = [v for v in g.values if v.dtype == "bool" and v.shape == ()]
    if flags and g.coin():
        condition = g.among(flags)
    elif g.coin(0.2):
        condition = g.constant(g.coin(), np.bool_)
    else:
        inputs, attributes = axes(g, x, range(x.rank), 13)
        (total,) = g("ReduceSum", inputs, [(x.dtype, ())], keepdims=0, **attributes)
        (condition,) = g("Greater", [total, g.constant(1, x.dtype)], [("bool", ())])
    branches = {}
    for name in ("then_branch", "else_branch"):
        body = g.body()
        end = _inner(body, x, int(g.random.integers(1, 4)))
        branches[name] = body.proto(g.name(name), [], [end])
    return g("If", [condition], [(x.dtype, x.shape)], **branches)


@maker(weight=1.2)
def loop(g: Graph) -> Sequence[Value]:
    if g.outer:
        raise Unfit
    x = g.pick("float32", "int64", fits=lambda v: v.rank > 0)
    body = g.body()
    count, go, state = (
        Value(g.name(n), d, s) for n, d, s in (("i", "int64", ()), ("go", "bool", ()), ("state", x.dtype, x.shape))
    )
    (still,) = body("Identity", [go], [("bool", ())])
    if g.coin() and x.dtype == "int64":
        (state_,) = body("Add", [state, count], [(x.dtype, x.shape)])
    else:
        (state_,) = body(
            "Mul", [state, body.constant(0.5 if x.dtype == "float32" else 1, x.dtype)], [(x.dtype, x.shape)]
        )
    end = _inner(body, state_, int(g.random.integers(1, 3)))
    scans: list[Value] = []
    outputs: list[tuple[str, Shape]] = [(x.dtype, x.shape)]
    if g.coin():
        scans += body("Identity", [state], [(x.dtype, x.shape)])
        outputs.append((x.dtype, (3, *x.shape)))
    proto = body.proto(g.name("body"), [count, go, state], [still, end, *scans])
    trips = g.constant(3, np.int64)
    return g("Loop", [trips, g.constant(True, np.bool_) if g.coin() else None, x], outputs, body=proto)


@maker(weight=0.8)
def scan(g: Graph) -> Sequence[Value]:
    if g.outer:
        raise Unfit
    x = g.pick("float32", fits=lambda v: v.rank == 2 and isinstance(v.shape[-1], int))
    body = g.body()
    state, one = (Value(g.name(n), x.dtype, x.shape[1:]) for n in ("state", "one"))
    (total,) = body("Add", [state, one], [(x.dtype, one.shape)])
    (given,) = body("Tanh", [total], [(x.dtype, one.shape)])
    proto = body.proto(g.name("body"), [state, one], [total, given])
    start = g.weight((int(x.shape[1]),), x.dtype)
    return g("Scan", [start, x], [(x.dtype, x.shape[1:]), (x.dtype, x.shape)], body=proto, num_scan_inputs=1)


@functools.cache
def fitting(opset: int) -> tuple[list[Maker], np.ndarray]:
    """What can be made in an opset, with the odds of each."""
    found = [(made, weight) for made, since, until, weight in MAKERS if since <= opset <= until]
    weights = np.array([weight for _, weight in found])
    return [made for made, _ in found], weights / weights.sum()
