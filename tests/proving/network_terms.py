"""Wrong rules and right ones of convolutions, pooling, normalizations, attention and quantization."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.rewriting.facts import Operand
from regraft.rewriting.term import op

Row = tuple[str, Any, Any, dict[str, Any]]

CHANNEL = dict.fromkeys(("scale", "bias", "mean", "variance", "b"), Operand("m"))
PICTURE = {"x": Operand("n 4 h w"), "k": Operand("m 4 3 3"), "one": Operand("m 4 1 1"), **CHANNEL}
FEW = {"x": Operand("n 2 4 4"), "k": Operand("m 2 3 3"), "one": Operand("m 2 1 1"), **CHANNEL}
GROUPS = {"x": Operand("n 4 6"), "k": Operand("6 2 3"), "d": Operand("4 1 3")}
HEADS = {"q": Operand("b h s 16"), "k": Operand("b h t 16"), "v": Operand("b h t d"), "m": Operand("s t")}
PACKED = {"q": Operand("b s 12"), "k": Operand("b t 6"), "v": Operand("b t 4"), "m": Operand("b 1 s t")}
ROWS = {"x": Operand("b s n"), "g": Operand("n"), "c": Operand("n"), "i": Operand("b s n", "integer")}


def norm(y: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    return op.BatchNormalization(y, scale, bias, mean, variance, epsilon=0.001)


def factor(scale: Any, variance: Any) -> Any:
    return scale / op.Sqrt(variance + 0.001)


def wide(c: Any) -> Any:
    return op.Unsqueeze(c, axes=[1, 2, 3])


def folded(sign: float = 1.0) -> Any:
    def after(x: Any, k: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
        by = factor(scale, variance)
        return op.Conv(x, k * wide(by), bias - mean * by * sign, pads=[1, 1, 1, 1])

    return after


def normalized(x: Any, k: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    return norm(op.Conv(x, k, pads=[1, 1, 1, 1]), scale, bias, mean, variance)


def attended(q: Any, k: Any, v: Any, m: Any = None, scale: float = 0.25) -> Any:
    scores = op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2])) * scale
    return op.MatMul(op.Softmax(scores if m is None else scores + m, axis=-1), v)


def heads(x: Any, number: int) -> Any:
    return op.Transpose(op.Reshape(x, shape=[0, 0, number, -1]), perm=[0, 2, 1, 3])


def grouped(q: Any, k: Any, v: Any, order: Any = (0, 0, 1, 1)) -> Any:
    rows = np.array(order, np.int64)
    keys, values = (op.Gather(heads(one, 2), rows, axis=1) for one in (k, v))
    return op.Reshape(
        op.Transpose(attended(heads(q, 4), keys, values, scale=3**-0.5), perm=[0, 2, 1, 3]), shape=[0, 0, 8]
    )


def attention(q: Any, k: Any, v: Any) -> Any:
    return op.Attention(q, k, v, q_num_heads=4, kv_num_heads=2)


def by_place(x: Any, d: Any, n: int) -> Any:
    weight = op.Reshape(op.Slice(d, starts=[n], ends=[n + 1], axes=[2]), shape=[4, 1])
    return op.Slice(x, starts=[n], ends=[n + 4], axes=[2]) * weight


def cut(x: Any, start: int, end: int, axis: int) -> Any:
    return op.Slice(x, starts=[start], ends=[end], axes=[axis])


def unit_or_zero(x: Any) -> Any:
    """A vector of length 1 in its direction; of zeros zeros."""
    squares = op.ReduceSumSquare(x, axes=[-1])
    return op.Where(op.Equal(op.Sqrt(squares), 0.0), op.Sub(x, x), x / op.Sqrt(squares))


BYTE = np.array(0, np.uint8)

RIGHT: list[Row] = [
    ("a normalization in the weights", normalized, folded(), PICTURE),
    (
        "a bias behind a convolution",
        lambda x, k, b: op.Conv(x, k) + op.Unsqueeze(b, axes=[1, 2]),
        lambda x, k, b: op.Conv(x, k, b),
        PICTURE,
    ),
    (
        "padding apart",
        lambda x, k: op.Conv(op.Pad(x, pads=[0, 0, 1, 1, 0, 0, 1, 1]), k),
        lambda x, k: op.Conv(x, k, pads=[1, 1, 1, 1]),
        PICTURE,
    ),
    (
        "the weights of two convolutions",
        lambda x, k, one: op.Conv(x, k, pads=[1, 1, 1, 1]) + op.Conv(x, one),
        lambda x, k, one: op.Conv(x, k + op.Pad(one, pads=[0, 0, 1, 1, 0, 0, 1, 1]), pads=[1, 1, 1, 1]),
        FEW,
    ),
    (
        "a product as a convolution",
        lambda x, one: op.Transpose(
            op.MatMul(op.Transpose(x, perm=[0, 2, 3, 1]), op.Transpose(op.Squeeze(one, axes=[2, 3]), perm=[1, 0])),
            perm=[0, 3, 1, 2],
        ),
        lambda x, one: op.Conv(x, one),
        PICTURE,
    ),
    (
        "a product over pixels in a row",
        lambda x, one: op.Reshape(
            op.MatMul(op.Squeeze(one, axes=[2, 3]), op.Reshape(x, shape=[0, 2, 16])), shape=[0, 0, 4, 4]
        ),
        lambda x, one: op.Conv(x, one),
        FEW,
    ),
    (
        "groups apart",
        lambda x, k: op.Conv(x, k, group=2),
        lambda x, k: op.Concat(
            op.Conv(op.Slice(x, starts=[0], ends=[2], axes=[1]), op.Slice(k, starts=[0], ends=[3], axes=[0])),
            op.Conv(op.Slice(x, starts=[2], ends=[4], axes=[1]), op.Slice(k, starts=[3], ends=[6], axes=[0])),
            axis=1,
        ),
        GROUPS,
    ),
    (
        "each channel by itself",
        lambda x, d: op.Conv(x, d, group=4),
        lambda x, d: by_place(x, d, 0) + by_place(x, d, 1) + by_place(x, d, 2),
        GROUPS,
    ),
    (
        "a mean as a convolution",
        lambda x: op.AveragePool(x, kernel_shape=[2, 2], strides=[2, 2]),
        lambda x: op.Conv(x, np.full((2, 1, 2, 2), 0.25), group=2, strides=[2, 2]),
        FEW,
    ),
    (
        "a mean of all",
        lambda x: op.GlobalAveragePool(x),
        lambda x: op.ReduceMean(x, axes=[2, 3]),
        PICTURE,
    ),
    (
        "a mean of all as a pool",
        lambda x: op.GlobalAveragePool(x),
        lambda x: op.AveragePool(x, kernel_shape=[4, 4]),
        FEW,
    ),
    (
        "a maximum of blocks",
        lambda x: op.MaxPool(x, kernel_shape=[2, 2], strides=[2, 2]),
        lambda x: op.ReduceMax(op.Reshape(x, shape=[0, 2, 2, 2, 2, 2]), axes=[3, 5], keepdims=0),
        FEW,
    ),
    (
        "a number beyond a maximum",
        lambda x: op.MaxPool(x + 0.0, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        lambda x: op.MaxPool(x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        PICTURE,
    ),
    (
        "turned weights",
        lambda x, k: op.ConvTranspose(x, op.Transpose(k, perm=[1, 0, 2, 3]), pads=[2, 2, 2, 2]),
        lambda x, k: op.Conv(x, op.Slice(k, starts=[-1, -1], ends=[-9, -9], axes=[2, 3], steps=[-1, -1])),
        FEW,
    ),
    (
        "a norm over pixels",
        lambda x, scale, bias: op.InstanceNormalization(x, scale, bias, epsilon=0.1),
        lambda x, scale, bias: (
            (x - op.ReduceMean(x, axes=[2, 3]))
            / op.Sqrt(op.ReduceMean((x - op.ReduceMean(x, axes=[2, 3])) ** 2.0, axes=[2, 3]) + 0.1)
            * op.Unsqueeze(scale, axes=[1, 2])
            + op.Unsqueeze(bias, axes=[1, 2])
        ),
        {"x": Operand("n m h w"), **CHANNEL},
    ),
    (
        "groups of one channel",
        lambda x, g, c: op.InstanceNormalization(x, g, c),
        lambda x, g, c: op.Reshape(
            op.InstanceNormalization(op.Reshape(x, shape=[0, 6, 2, 8]), g, c), shape=[0, 6, 4, 4]
        ),
        {"x": Operand("n 6 4 4"), "g": Operand("6"), "c": Operand("6")},
    ),
    (
        "a root mean square",
        lambda x, g: op.RMSNormalization(x, g, axis=-1, epsilon=1e-6),
        lambda x, g: g * (x * op.Reciprocal(op.Sqrt(op.ReduceMean(x * x, axes=[-1]) + 1e-6))),
        ROWS,
    ),
    ("a length", lambda x: op.LpNormalization(x), unit_or_zero, ROWS),
    ("attention", lambda q, k, v: op.Attention(q, k, v), lambda q, k, v: attended(q, k, v), HEADS),
    ("attention with a mask", lambda q, k, v, m: op.Attention(q, k, v, m), attended, HEADS),
    (
        "the scale on the queries",
        lambda q, k, v, m: op.Attention(q, k, v, m, scale=0.5),
        lambda q, k, v, m: op.Attention(q * 0.5, k, v, m, scale=1.0),
        HEADS,
    ),
    ("shared heads", attention, grouped, PACKED),
    (
        "packed heads",
        lambda q, k, v, m: op.Attention(q, k, v, m, q_num_heads=2, kv_num_heads=2),
        lambda q, k, v, m: op.Reshape(
            op.Transpose(attended(heads(q, 2), heads(k, 2), heads(v, 2), m, scale=6**-0.5), perm=[0, 2, 1, 3]),
            shape=[0, 0, 4],
        ),
        {**PACKED, "k": Operand("b t 12")},
    ),
    (
        "half a turn",
        lambda x, c, s: op.RotaryEmbedding(x, c, s),
        lambda x, c, s: (
            x * op.Unsqueeze(op.Concat(c, c, axis=-1), axes=[1])
            + op.Concat(
                -op.Slice(x, starts=[4], ends=[8], axes=[3]), op.Slice(x, starts=[0], ends=[4], axes=[3]), axis=-1
            )
            * op.Unsqueeze(op.Concat(s, s, axis=-1), axes=[1])
        ),
        {"x": Operand("b h t 8"), "c": Operand("b t 4"), "s": Operand("b t 4")},
    ),
    (
        "a product in two parts",
        lambda x, w: cut(x, 0, 300, 2) @ cut(w, 0, 300, 0) + cut(x, 300, 768, 2) @ cut(w, 300, 768, 0),
        lambda x, w: x @ w,
        {"x": Operand("b s 768"), "w": Operand("768 n")},
    ),
    (
        "a sum so far",
        lambda x: op.ReduceSum(op.CumSum(x, np.array(2)) - op.CumSum(x, np.array(2), exclusive=1), axes=[2]),
        lambda x: op.ReduceSum(x, axes=[2]),
        {"x": Operand("b s 8")},
    ),
    ("rounded twice", lambda x: op.Round(op.Round(x)), lambda x: op.Round(x), ROWS),
    ("a whole number rounded", lambda i: op.Floor(op.Cast(i, to=1)), lambda i: op.Cast(i, to=1), ROWS),
    ("up and down", lambda x: op.Ceil(x), lambda x: -op.Floor(-x), ROWS),
    ("a whole part", lambda x, i: op.Floor(x + op.Cast(i, to=1)), lambda x, i: op.Floor(x) + op.Cast(i, to=1), ROWS),
    (
        "quantized as it says",
        lambda x: op.DequantizeLinear(op.QuantizeLinear(x, 0.5, np.array(3, np.uint8)), 0.5, np.array(3, np.uint8)),
        lambda x: (op.Clip(op.Round(x / 0.5) + 3.0, 0.0, 255.0) - 3.0) * 0.5,
        ROWS,
    ),
    (
        "quantized once",
        lambda x: op.QuantizeLinear(op.DequantizeLinear(op.QuantizeLinear(x, 0.5), 0.5), 0.5),
        lambda x: op.QuantizeLinear(x, 0.5),
        ROWS,
    ),
    ("smooth below", lambda x: op.Elu(x), lambda x: op.Celu(x), ROWS),
    ("a slope below", lambda x: op.PRelu(x, 0.25), lambda x: op.LeakyRelu(x, alpha=0.25), ROWS),
]

WRONG: list[Row] = [
    ("a normalization with the wrong sign", normalized, folded(-1.0), FEW),
    (
        "a variance for its root",
        normalized,
        lambda x, k, scale, bias, mean, variance: op.Conv(
            x, k * wide(scale / (variance + 0.001)), bias - mean * scale / (variance + 0.001), pads=[1, 1, 1, 1]
        ),
        FEW,
    ),
    (
        "a kernel not turned",
        lambda x, k: op.ConvTranspose(x, op.Transpose(k, perm=[1, 0, 2, 3]), pads=[2, 2, 2, 2]),
        lambda x, k: op.Conv(x, k),
        FEW,
    ),
    (
        "padded on one side",
        lambda x, k: op.Conv(x, k, pads=[1, 1, 1, 1]),
        lambda x, k: op.Conv(x, k, pads=[2, 2, 0, 0]),
        FEW,
    ),
    (
        "ones around",
        lambda x, k: op.Conv(op.Pad(x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array(1.0)), k),
        lambda x, k: op.Conv(x, k, pads=[1, 1, 1, 1]),
        FEW,
    ),
    (
        "the groups swapped",
        lambda x, k: op.Conv(x, k, group=2),
        lambda x, k: op.Conv(op.Gather(x, np.array([2, 3, 0, 1]), axis=1), k, group=2),
        GROUPS,
    ),
    ("rows for columns", lambda x, k: op.Conv(x, k), lambda x, k: op.Conv(x, op.Transpose(k, perm=[0, 1, 3, 2])), FEW),
    (
        "a mean with what is added",
        lambda x: op.AveragePool(x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        lambda x: op.AveragePool(x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        FEW,
    ),
    (
        "zeros beyond a maximum",
        lambda x: op.MaxPool(x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        lambda x: op.MaxPool(op.Pad(x, pads=[0, 0, 1, 1, 0, 0, 1, 1]), kernel_shape=[3, 3]),
        FEW,
    ),
    (
        "a stride of one",
        lambda x: op.MaxPool(x, kernel_shape=[2, 2], strides=[2, 2]),
        lambda x: op.Slice(op.MaxPool(x, kernel_shape=[2, 2]), starts=[0, 0], ends=[2, 2], axes=[2, 3]),
        FEW,
    ),
    ("no scale", lambda q, k, v: op.Attention(q, k, v), lambda q, k, v: op.Attention(q, k, v, scale=1.0), HEADS),
    ("heads shared in turn", attention, lambda q, k, v: grouped(q, k, v, (0, 1, 0, 1)), PACKED),
    (
        "the mask before the scale",
        lambda q, k, v, m: op.Attention(q, k, v, m),
        lambda q, k, v, m: op.Attention(q, k, v, m * 4.0),
        HEADS,
    ),
    (
        "a mask that looks ahead",
        lambda q, k, v: op.Attention(q, k, v, is_causal=1),
        lambda q, k, v: op.Attention(q, k, v),
        HEADS,
    ),
    ("rounded before it is scaled", lambda x: op.Round(x / 0.5), lambda x: op.Round(x) / 0.5, ROWS),
    ("rounded down", lambda x: op.Round(x), lambda x: op.Floor(x + 0.5), ROWS),
    ("cast is not floor", lambda x: op.Cast(x, to=7), lambda x: op.Cast(op.Floor(x), to=7), ROWS),
    (
        "quantized without an end",
        lambda x: op.DequantizeLinear(op.QuantizeLinear(x, 0.5, BYTE), 0.5, BYTE),
        lambda x: op.Round(x / 0.5) * 0.5,
        ROWS,
    ),
    (
        "another type",
        lambda x: op.Cast(op.QuantizeLinear(x, 0.5, BYTE), to=1),
        lambda x: op.Cast(op.QuantizeLinear(x, 0.5, np.array(0, np.int8)), to=1),
        ROWS,
    ),
    (
        "the sum so far, and here",
        lambda x: op.CumSum(x, np.array(2)),
        lambda x: op.CumSum(x, np.array(2), exclusive=1),
        ROWS,
    ),
    (
        "a half is no whole",
        lambda i: op.Mul(op.Div(i, np.array(2)), np.array(2)),
        lambda i: op.Mul(i, np.array(1)),
        ROWS,
    ),
]
