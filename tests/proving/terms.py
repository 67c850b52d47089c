"""Rules that are wrong, and rules that are right: pairs of terms, with the facts about the names in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from regraft.passes import fuse_gelu, fuse_layer_norm, lower_softmax, lower_trilu
from regraft.passes.fuse_layer_norm import call as layer_norm
from regraft.rewriting import formula
from regraft.rewriting.facts import Axes, Operand, SizeOf
from regraft.rewriting.term import Var, op

Row = tuple[str, Any, Any, dict[str, Any]]

ROOT = math.sqrt(2.0)
NORM = formula.LAYER_NORM
ALONG = {"x": Operand("B a C"), "y": Operand("B a C"), "axis": Axes("a"), "axes": Axes("a")}
MATRICES = {
    "a": Operand("m k"),
    "b": Operand("k n"),
    "c": Operand("n"),
    "d": Operand("k n"),
    "e": Operand("n p"),
    "s": Operand(""),
    "v": Operand("k"),
    "u": Operand("m 1"),
}
SQUARE = {"a": Operand("k k"), "b": Operand("k k"), "c": Operand("k")}
HEADS = {
    "q": Operand("b h s d"),
    "k": Operand("b h t d"),
    "v": Operand("b h t d"),
    "m": Operand("b 1 1 t"),
    "scale": Operand(""),
}
CHOICE = {"c": Operand(kind="boolean"), "a": Operand(), "b": Operand(), "d": Operand(kind="boolean")}
INTEGERS = {"a": Operand(kind="integer"), "b": Operand(kind="integer"), "c": Operand(kind="integer")}
TRIANGLE = {"x": Operand("B r c")}


def gemm(alpha: float, beta: float, **attrs: int) -> Any:
    return lambda a, b, c: op.Gemm(a, b, c, alpha=alpha, beta=beta, **attrs)


def mean(x: Any, axes: Any) -> Any:
    return op.ReduceMean(x, axes=axes, keepdims=1)


def total(x: Any, axes: Any) -> Any:
    return op.ReduceSum(x, axes=axes, keepdims=1)


def heads(k: Any) -> Any:
    return op.Transpose(k, perm=[0, 1, 3, 2])


def tanh_gelu(factor: float, constant: float, exponent: float) -> Any:
    return lambda x: 0.5 * x * (1.0 + op.Tanh(factor * (x + constant * x**exponent)))


def gelu(x: Any) -> Any:
    return op.Gelu(x)


GELUS: list[Row] = [
    ("half for root", lambda x: 0.5 * x * (1.0 + op.Erf(x / 2.0)), gelu, {}),
    ("1.4142 is no root of 2", lambda x: 0.5 * x * (1.0 + op.Erf(x / 1.4142)), gelu, {}),
    ("no half", lambda x: x * (1.0 + op.Erf(x / ROOT)), gelu, {}),
    ("the sign of erfc", lambda x: 0.5 * x * (1.0 - op.Erf(x / ROOT)), gelu, {}),
    ("tanh called exact", fuse_gelu.tanh_form, gelu, {}),
    ("0.044716", tanh_gelu(math.sqrt(2 / math.pi), 0.044716, 3.0), formula.tanh_gelu, {}),
    ("a square for the cube", tanh_gelu(math.sqrt(2 / math.pi), 0.044715, 2.0), formula.tanh_gelu, {}),
    ("root 2 over pi", tanh_gelu(ROOT / math.pi, 0.044715, 3.0), formula.tanh_gelu, {}),
    ("another x inside", lambda x, y: 0.5 * x * (1.0 + op.Erf(y / ROOT)), gelu, {}),
    ("the negative root", lambda x: 0.5 * x * (1.0 + op.Erf(x / -ROOT)), gelu, {}),
    ("sigmoid called exact", formula.sigmoid_gelu, gelu, {}),
    ("of twice x", lambda x: op.Gelu(2.0 * x), lambda x: 2.0 * op.Gelu(x), {}),
    ("of minus x", lambda x: op.Gelu(-x), lambda x: -op.Gelu(x), {}),
]

NORMS: list[Row] = [
    (
        "epsilon outside the root",
        lambda x, axes, eps, scale, bias: (
            (x - mean(x, axes)) / (op.Sqrt(mean((x - mean(x, axes)) ** 2.0, axes)) + eps) * scale + bias
        ),
        layer_norm,
        NORM,
    ),
    (
        "a sum of squares, no mean",
        lambda x, axes, eps, scale, bias: (
            (x - mean(x, axes)) / op.Sqrt(total((x - mean(x, axes)) ** 2.0, axes) + eps) * scale + bias
        ),
        layer_norm,
        NORM,
    ),
    (
        "a root mean square taken for it",
        lambda x, axes, eps, scale, bias: x / op.Sqrt(mean(x * x, axes) + eps) * scale + bias,
        layer_norm,
        NORM,
    ),
    (
        "no root",
        lambda x, axes, eps, scale, bias: (
            (x - mean(x, axes)) / (mean((x - mean(x, axes)) ** 2.0, axes) + eps) * scale + bias
        ),
        layer_norm,
        NORM,
    ),
    (
        "E[x²] for the variance",
        layer_norm,
        lambda x, axes, eps, scale, bias: (x - mean(x, axes)) / op.Sqrt(mean(x * x, axes) + eps) * scale + bias,
        NORM,
    ),
    (
        "the bias dropped",
        lambda x, axes, eps, scale, bias: fuse_layer_norm.scaled(x, axes, eps, scale) + bias,
        lambda x, scale, axis, eps: op.LayerNormalization(x, scale, axis=axis, epsilon=eps),
        NORM,
    ),
    (
        "scale and bias swapped",
        lambda x, axes, eps, scale, bias: fuse_layer_norm.scaled(x, axes, eps, scale) + bias,
        lambda x, scale, bias, axis, eps: op.LayerNormalization(x, bias, scale, axis=axis, epsilon=eps),
        NORM,
    ),
    ("over another axis", fuse_layer_norm.affine, layer_norm, {**NORM, "x": Operand("B C A"), "axes": Axes("C")}),
    (
        "a scale of another shape",
        fuse_layer_norm.affine,
        layer_norm,
        {**NORM, "x": Operand("b c A"), "scale": Operand("b 1 A"), "bias": Operand("c A")},
    ),
    (
        "folded without the shift of the mean",
        layer_norm,
        lambda x, axes, eps, scale, bias: (
            x * (op.Reciprocal(op.Sqrt(mean((x - mean(x, axes)) ** 2.0, axes) + eps)) * scale) + bias
        ),
        NORM,
    ),
    (
        "the scale added",
        lambda x, axes, eps, scale, bias: fuse_layer_norm.plain(x, axes, eps) + scale + bias,
        layer_norm,
        NORM,
    ),
    (
        "twice the deviation",
        lambda x, axes, eps, scale, bias: 2.0 * (fuse_layer_norm.plain(x, axes, eps) * scale) + bias,
        layer_norm,
        NORM,
    ),
]

AXES: list[Row] = [
    (
        "softmax by the largest",
        lambda x, axis: op.Softmax(x, axis=axis),
        lambda x, axes: op.Exp(x) / op.ReduceMax(op.Exp(x), axes=axes, keepdims=1),
        ALONG,
    ),
    (
        "softmax by the mean",
        lambda x, axis: op.Softmax(x, axis=axis),
        lambda x, axes: op.Exp(x) / mean(op.Exp(x), axes),
        ALONG,
    ),
    (
        "softmax over another axis",
        lambda x, axis: op.Softmax(x, axis=axis),
        lower_softmax.softmax,
        {**ALONG, "axes": Axes("C")},
    ),
    (
        "softmax of twice x",
        lambda x, axis: op.Softmax(2.0 * x, axis=axis),
        lambda x, axis: op.Softmax(x, axis=axis),
        ALONG,
    ),
    (
        "softmax shifted by y",
        lambda x, y, axis: op.Softmax(x + y, axis=axis),
        lambda x, axis: op.Softmax(x, axis=axis),
        ALONG,
    ),
    (
        "log-softmax without the logarithm",
        lambda x, axis: op.LogSoftmax(x, axis=axis),
        lambda x, axes: x - total(op.Exp(x), axes),
        ALONG,
    ),
    (
        "log-softmax by log2",
        lambda x, axis: op.LogSoftmax(x, axis=axis),
        lambda x, axes: x - op.Log(total(op.Exp(x), axes)) / math.log(2.0),
        ALONG,
    ),
    ("a sum without 1/n", lambda x, axes: mean(x, axes), lambda x, axes: total(x, axes), ALONG),
    (
        "1/n of another axis",
        lambda x, axes, share: mean(x, axes),
        lambda x, axes, share: total(x, axes) * share,
        {**ALONG, "share": 1.0 / SizeOf("C")},
    ),
    (
        "n for 1/n",
        lambda x, axes, share: mean(x, axes),
        lambda x, axes, share: total(x, axes) * share,
        {**ALONG, "share": 1.0 * SizeOf("a")},
    ),
    ("keepdims lost", lambda x, axes: mean(x, axes), lambda x, axes: op.ReduceMean(x, axes=axes, keepdims=0), ALONG),
    (
        "the mean of a product",
        lambda x, y, axes: mean(x * y, axes),
        lambda x, y, axes: mean(x, axes) * mean(y, axes),
        ALONG,
    ),
    ("the sum of a product", lambda x, y, axes: total(x * y, axes), lambda x, y, axes: total(x, axes) * y, ALONG),
    (
        "a cube of sums is the sum of cubes",
        lambda x, axes: total(x * (total(x, axes) * total(x, axes)), axes),
        lambda x, axes: total(x * x * x, axes),
        ALONG,
    ),
    (
        "the largest of a sum",
        lambda x, y, axes: op.ReduceMax(x + y, axes=axes, keepdims=1),
        lambda x, y, axes: op.ReduceMax(x, axes=axes, keepdims=1) + op.ReduceMax(y, axes=axes, keepdims=1),
        ALONG,
    ),
    (
        "the least for the largest",
        lambda x, axes: op.ReduceMax(x, axes=axes, keepdims=1),
        lambda x, axes: op.ReduceMin(x, axes=axes, keepdims=1),
        ALONG,
    ),
    (
        "the variance with n - 1",
        lambda x, axes: mean((x - mean(x, axes)) ** 2.0, axes),
        lambda x, axes: total((x - mean(x, axes)) ** 2.0, axes) / (1.0 * SizeOf("a") - 1.0),
        ALONG,
    ),
    (
        "the exponential of a sum",
        lambda x, axes: op.Exp(total(x, axes)),
        lambda x, axes: total(op.Exp(x), axes),
        ALONG,
    ),
]

ELEMENTS: list[Row] = [
    ("a cube as a fourth power", lambda x: x**3.0, lambda x: x * x * (x * x), {}),
    ("the root of a square", lambda x: op.Sqrt(x * x), lambda x: x, {}),
    ("the root of a sum", lambda x, y: op.Sqrt(x + y), lambda x, y: op.Sqrt(x) + op.Sqrt(y), {}),
    ("-1/2 as 1/2", lambda x: x**-0.5, lambda x: op.Sqrt(x), {}),
    ("division as multiplication", lambda x, y: x / y, lambda x, y: x * y, {}),
    ("a quotient turned round", lambda x, y: x / y, lambda x, y: y / x, {}),
    ("a difference turned round", lambda x, y: x - y, lambda x, y: y - x, {}),
    ("the square of a sum", lambda x, y: (x + y) ** 2.0, lambda x, y: x * x + y * y, {}),
    ("the inverse of a sum", lambda x, y: 1.0 / (x + y), lambda x, y: 1.0 / x + 1.0 / y, {}),
    ("a term left out", lambda x, y: x + y + 1.0, lambda x, y: x + y, {}),
    ("a sum distributed over one", lambda x, y, z: x * (y + z), lambda x, y, z: x * y + z, {}),
    ("a minus lost", lambda x, y: -(x - y), lambda x, y: -x - y, {}),
    ("a third as 0.333", lambda x: x / 3.0, lambda x: x * 0.333, {}),
    ("the exponential of a product", lambda x, y: op.Exp(x * y), lambda x, y: op.Exp(x) * op.Exp(y), {}),
    ("the logarithm of a sum", lambda x, y: op.Log(x + y), lambda x, y: op.Log(x) + op.Log(y), {}),
    ("an inverse where there is none", lambda x: x * 1.0, lambda x: x * x / x, {}),
    ("a root where there is none", lambda x: x * 1.0, lambda x: op.Sqrt(x) * op.Sqrt(x), {}),
    ("a logarithm where there is none", lambda x: x * 1.0, lambda x: op.Exp(op.Log(x)), {}),
    ("sigmoid of minus x", lambda x: op.Sigmoid(-x), lambda x: -op.Sigmoid(x), {}),
    ("tanh as a sigmoid", lambda x: op.Tanh(x), lambda x: 2.0 * op.Sigmoid(x) - 1.0, {}),
    ("erf of twice x", lambda x: op.Erf(2.0 * x), lambda x: 2.0 * op.Erf(x), {}),
    ("softplus without 1", lambda x: op.Softplus(x), lambda x: op.Log(op.Exp(x)), {}),
    ("hard swish with 5", lambda x: op.HardSwish(x), lambda x: x * op.Clip(x + 3.0, 0.0, 5.0) / 6.0, {}),
    ("hard swish without 3", lambda x: op.HardSwish(x), lambda x: x * op.Clip(x, 0.0, 6.0) / 6.0, {}),
    ("relu of a sum", lambda x, y: op.Relu(x + y), lambda x, y: op.Relu(x) + op.Relu(y), {}),
    ("relu as abs", lambda x: op.Relu(x), lambda x: op.Abs(x), {}),
    ("abs of a sum", lambda x, y: op.Abs(x + y), lambda x, y: op.Abs(x) + op.Abs(y), {}),
    ("the larger for the smaller", lambda x, y: op.Max(x, y), lambda x, y: op.Min(x, y), {}),
    ("clips in another order", lambda x: op.Clip(x, 1.0, 2.0), lambda x: op.Clip(x, 2.0, 1.0), {}),
    ("leaky relu of 0.1", lambda x: op.LeakyRelu(x), lambda x: op.Max(x, 0.1 * x), {}),
    ("a shape lost", lambda x, y: x + y - y, lambda x, y: x * 1.0, {}),
    ("a shape lost in a product with 0", lambda x, y: x + y * 0.0, lambda x, y: x * 1.0, {}),
]

TRUTHS: list[Row] = [
    ("branches swapped", lambda c, a, b: op.Where(c, a, b), lambda c, a, b: op.Where(c, b, a), CHOICE),
    ("k · a + b", lambda c, a, b: op.Where(c, a, b), lambda c, a, b: op.Cast(c, to=1) * a + b, CHOICE),
    ("the shape of b lost", lambda c, a, b: op.Where(c, a, b * 0.0), lambda c, a: op.Cast(c, to=1) * a, CHOICE),
    ("Not lost", lambda c, a, b: op.Where(op.Not(c), a, b), lambda c, a, b: op.Where(c, a, b), CHOICE),
    ("a guard against NaN lost", lambda p: op.Where(op.IsNaN(p), 0.0, p), lambda p: p * 1.0, {}),
    ("1 - m for 1 - (1 - m)", lambda m: 1.0 - (1.0 - m), lambda m: 1.0 - m, {}),
    ("not less, of floats", lambda a, b: op.GreaterOrEqual(a, b), lambda a, b: op.Not(op.Less(a, b)), {}),
    ("greater for at least", lambda a, b: op.GreaterOrEqual(a, b), lambda a, b: op.Greater(a, b), INTEGERS),
    ("less for greater", lambda a, b: op.Less(a, b), lambda a, b: op.Greater(a, b), INTEGERS),
    ("or for and", lambda c, d: op.And(c, d), lambda c, d: op.Or(c, d), CHOICE),
    ("xor as or", lambda c, d: op.Xor(c, d), lambda c, d: op.Or(c, d), CHOICE),
    ("Not of an or", lambda c, d: op.Not(op.Or(c, d)), lambda c, d: op.Or(op.Not(c), op.Not(d)), CHOICE),
    (
        "a sum of truths as or",
        lambda c, d: op.Cast(op.Or(c, d), to=1),
        lambda c, d: op.Cast(c, to=1) + op.Cast(d, to=1),
        CHOICE,
    ),
    ("a truth doubled", lambda c: op.Cast(c, to=1), lambda c: op.Cast(c, to=1) * 2.0, CHOICE),
    ("equal to 1 for equal to 0", lambda c: op.Equal(op.Cast(c, to=1), 0.0), lambda c: c, CHOICE),
    ("another threshold", lambda a: op.Greater(a, 3.0), lambda a: op.Greater(a, 2.0), INTEGERS),
    (
        "an inverse in the branch that is taken",
        lambda c, a, b: op.Where(c, a, 1.0 / b),
        lambda c, a, b: op.Where(c, a * b / b, 1.0 / b),
        CHOICE,
    ),
    ("truths for numbers", lambda c: op.Cast(c, to=1) * 1.0, lambda c: c, CHOICE),
    ("a choice multiplied", lambda c, a, b: op.Where(c, a, b) * a, lambda c, a, b: op.Where(c, a, b * a), CHOICE),
]

TRIANGLES: list[Row] = [
    (
        "the lower for the upper",
        lambda x, upper: op.Trilu(x, upper=upper),
        lambda x: op.Where(lower_trilu.mask(x, 0, 0, ["b", "r", "c"]), x, np.zeros((), np.float32)),
        {**TRIANGLE, "upper": 1},
    ),
    (
        "greater for at least on the diagonal",
        lambda x, upper: op.Trilu(x, upper=upper),
        lambda x: op.Where(
            op.Greater(lower_trilu.numbers(x, -1, "c"), op.Unsqueeze(lower_trilu.numbers(x, -2, "r"), axes=[1])),
            x,
            np.zeros((), np.float32),
        ),
        {**TRIANGLE, "upper": 1},
    ),
    (
        "another diagonal",
        lambda x, upper: op.Trilu(x, np.array(1), upper=upper),
        lambda x: op.Where(lower_trilu.mask(x, 2, 1, ["b", "r", "c"]), x, np.zeros((), np.float32)),
        {**TRIANGLE, "upper": 1},
    ),
    (
        "rows and columns exchanged",
        lambda x, upper: op.Trilu(x, upper=upper),
        lambda x: op.Where(lower_trilu.mask(x, 0, 0, ["b", "r", "c"]), x, np.zeros((), np.float32)),
        {"x": Operand("B r r"), "upper": 1},
    ),
    (
        "a mask of numpy's that is another",
        lambda x, upper: op.Trilu(x, upper=upper),
        lambda x: op.Where(lower_trilu.mask(x, 1, 1, [None, 2, 3]), x, np.zeros((), np.float32)),
        {"x": Operand("B 2 3"), "upper": 1},
    ),
]

PRODUCTS: list[Row] = [
    ("alpha on the bias too", gemm(0.5, 1.0), lambda a, b, c: (a @ b + c) * 0.5, MATRICES),
    ("beta lost", gemm(1.0, 2.0), lambda a, b, c: a @ b + c, MATRICES),
    ("operands swapped", gemm(1.0, 1.0), lambda a, b, c: b @ a + c, SQUARE),
    ("transB lost", gemm(1.0, 1.0, transB=1), lambda a, b, c: a @ b + c, SQUARE),
    ("the bias along the rows", gemm(1.0, 1.0), lambda a, b, c: a @ b + op.Unsqueeze(c, axes=[1]), SQUARE),
    (
        "scores scaled",
        lambda q, k: op.Einsum(q, k, equation="bhqd,bhkd->bhqk"),
        lambda q, k: q @ heads(k) * 0.125,
        HEADS,
    ),
    ("a square inside", lambda a, b: a @ (b * b), lambda a, b: (a @ b) * (a @ b), SQUARE),
    (
        "a transposed product",
        lambda a, b: op.Transpose(a @ b, perm=[1, 0]),
        lambda a, b: op.Transpose(a, perm=[1, 0]) @ op.Transpose(b, perm=[1, 0]),
        SQUARE,
    ),
    (
        "sums of Erf that bind another index",
        lambda a, b: op.ReduceSum(op.Erf(a @ b), axes=[-1]),
        lambda a, b: op.ReduceSum(op.Erf(op.Transpose(a, perm=[1, 0]) @ b), axes=[-1]),
        SQUARE,
    ),
    ("a factor per row taken into the right", lambda a, b, u: (a * u) @ b, lambda a, b, u: a @ (b * 2.0), MATRICES),
    ("one of two products", lambda a, b, d: a @ (b + d), lambda a, b, d: a @ b + d, {**MATRICES, "a": Operand("k k")}),
    ("squared twice", lambda a, s: (a * s) * s, lambda a, s: a * s, MATRICES),
    (
        "the mask multiplied",
        lambda q, k, v, m: op.Softmax(q @ heads(k) + m, axis=-1) @ v,
        lambda q, k, v, m: op.Softmax((q @ heads(k)) * m, axis=-1) @ v,
        HEADS,
    ),
    (
        "the scale behind the Softmax",
        lambda q, k, v, scale: op.Softmax((q @ heads(k)) * scale, axis=-1) @ v,
        lambda q, k, v, scale: (op.Softmax(q @ heads(k), axis=-1) * scale) @ v,
        HEADS,
    ),
    (
        "the scale on the query and on the mask",
        lambda q, k, v, m, scale: op.Softmax((q @ heads(k)) * scale + m, axis=-1) @ v,
        lambda q, k, v, m, scale: op.Softmax(((q * scale) @ heads(k) + m) * scale, axis=-1) @ v,
        HEADS,
    ),
]

WRONG = [*GELUS, *NORMS, *AXES, *ELEMENTS, *TRUTHS, *TRIANGLES, *PRODUCTS]

RIGHT: list[Row] = [
    ("not less, of whole numbers", lambda a, b: op.GreaterOrEqual(a, b), lambda a, b: op.Not(op.Less(a, b)), INTEGERS),
    ("at least", lambda a, b: op.GreaterOrEqual(a, b), lambda a, b: op.Or(op.Greater(a, b), op.Equal(a, b)), {}),
    ("less turned round", lambda a, b: op.Less(a, b), lambda a, b: op.Greater(b, a), {}),
    ("a threshold moved", lambda a: op.Greater(a * 2.0 + 1.0, 3.0), lambda a: op.Less(1.0, a), {}),
    ("de Morgan", lambda c, d: op.Not(op.Or(c, d)), lambda c, d: op.And(op.Not(c), op.Not(d)), CHOICE),
    ("xor", lambda c, d: op.Xor(c, d), lambda c, d: op.And(op.Or(c, d), op.Not(op.And(c, d))), CHOICE),
    ("or absorbs", lambda c, d: op.Or(c, op.And(c, d)), lambda c, d: op.And(c, op.Or(c, d)), CHOICE),
    ("nested choices", lambda c, a, b: op.Where(c, op.Where(c, a, b), b), lambda c, a, b: op.Where(c, a, b), CHOICE),
    ("a choice of sums", lambda c, a, b: op.Where(c, a, b) + a, lambda c, a, b: op.Where(c, a + a, b + a), CHOICE),
    ("Not of a choice", lambda c, a, b: op.Where(op.Not(c), a, b), lambda c, a, b: op.Where(c, b, a), CHOICE),
    (
        "an inverse behind its guard",
        lambda c, a, b: op.Where(c, a, 1.0 / b),
        lambda c, a, b: op.Where(op.Not(c), op.Reciprocal(b), a),
        CHOICE,
    ),
    ("equal to 0", lambda c: op.Equal(op.Cast(c, to=1), 0.0), lambda c: op.Not(c), CHOICE),
    ("gemm", gemm(0.5, 2.0), lambda a, b, c: a @ b * 0.5 + c * 2.0, MATRICES),
    (
        "gemm of transposed matrices",
        gemm(1.0, 1.0, transA=1, transB=1),
        lambda a, b, c: op.Transpose(a, perm=[1, 0]) @ op.Transpose(b, perm=[1, 0]) + c,
        SQUARE,
    ),
    (
        "a transposed product",
        lambda a, b: op.Transpose(a @ b, perm=[1, 0]),
        lambda a, b: op.Transpose(b, perm=[1, 0]) @ op.Transpose(a, perm=[1, 0]),
        MATRICES,
    ),
    ("products in another order", lambda a, b, e: (a @ b) @ e, lambda a, b, e: a @ (b @ e), MATRICES),
    ("a product of a sum", lambda a, b, d: a @ (b + d), lambda a, b, d: a @ b + a @ d, MATRICES),
    ("a factor moved", lambda a, b, s: (a * s) @ b, lambda a, b, s: (a @ b) * s, MATRICES),
    ("a factor per row moved", lambda a, b, u: (a * u) @ b, lambda a, b, u: (a @ b) * u, MATRICES),
    (
        "a factor per column taken into the left",
        lambda a, b, v: a @ (op.Unsqueeze(v, axes=[1]) * b),
        lambda a, b, v: (a * v) @ b,
        MATRICES,
    ),
    ("a vector", lambda a, v: a @ v, lambda a, v: op.Squeeze(a @ op.Unsqueeze(v, axes=[1]), axes=[1]), MATRICES),
    ("a product with ones", lambda a, v: a @ v, lambda a, v: op.ReduceSum(a * v, axes=[-1], keepdims=0), MATRICES),
    (
        "scores",
        lambda q, k: op.Einsum(q, k, equation="bhqd,bhkd->bhqk"),
        lambda q, k: q @ heads(k),
        HEADS,
    ),
    (
        "the scale on the query",
        lambda q, k, v, m: op.Softmax((q @ heads(k)) * 0.125 + m, axis=-1) @ v,
        lambda q, k, v, m: op.Softmax((q * 0.125) @ heads(k) + m, axis=-1) @ v,
        HEADS,
    ),
    (
        "the scale split",
        lambda q, k, v, scale: op.Softmax((q @ heads(k)) * scale * scale, axis=-1) @ v,
        lambda q, k, v, scale: op.Softmax((q * scale) @ heads(k * scale), axis=-1) @ v,
        HEADS,
    ),
    (
        "E[x²] - E[x]²",
        lambda x, axes: mean((x - mean(x, axes)) ** 2.0, axes),
        lambda x, axes: mean(x * x, axes) - mean(x, axes) ** 2.0,
        ALONG,
    ),
    (
        "the mean of a deviation",
        lambda x, axes: mean(x - mean(x, axes), axes),
        lambda x, axes: mean(x, axes) * 0.0,
        ALONG,
    ),
    ("a mean of a sum", lambda x, y, axes: mean(x + y, axes), lambda x, y, axes: mean(x, axes) + mean(y, axes), ALONG),
    ("a mean of a mean", lambda x, axes: mean(mean(x, axes), axes), lambda x, axes: mean(x, axes), NORM),
    (
        "a sum of squares",
        lambda x, axes: op.ReduceSumSquare(x, axes=axes, keepdims=1),
        lambda x, axes: total(x * x, axes),
        ALONG,
    ),
    (
        "sums over both",
        lambda x: op.ReduceSum(op.ReduceSum(x, axes=[0], keepdims=1), axes=[1], keepdims=1),
        lambda x: op.ReduceSum(x, axes=[0, 1], keepdims=1),
        {"x": Operand("a b")},
    ),
    (
        "sums in another order",
        lambda x: op.ReduceSum(op.Erf(op.ReduceSum(op.Erf(x), axes=[1], keepdims=1)), axes=[0]),
        lambda x: op.ReduceSum(
            op.Erf(op.Transpose(op.ReduceSum(op.Erf(op.Transpose(x)), axes=[0], keepdims=1))), axes=[0], keepdims=1
        ),
        {"x": Operand("a b")},
    ),
    (
        "softmax shifted",
        lambda x, axis: op.Softmax(x, axis=axis),
        lambda x, axis, axes: op.Softmax(x - mean(x, axes), axis=axis),
        ALONG,
    ),
    (
        "log-softmax",
        lambda x, axis: op.LogSoftmax(x, axis=axis),
        lambda x, axis: op.Log(op.Softmax(x, axis=axis)),
        ALONG,
    ),
    (
        "the sum of a softmax",
        lambda x, axis, axes: total(op.Softmax(x, axis=axis), axes),
        lambda x, axes: total(x, axes) * 0.0 + 1.0,
        ALONG,
    ),
    ("tanh by sigmoid", lambda x: op.Tanh(x), lambda x: 2.0 * op.Sigmoid(2.0 * x) - 1.0, {}),
    ("sigmoid by tanh", lambda x: op.Sigmoid(x), lambda x: 0.5 + 0.5 * op.Tanh(x / 2.0), {}),
    ("sigmoid of minus x", lambda x: op.Sigmoid(-x), lambda x: 1.0 - op.Sigmoid(x), {}),
    ("tanh is odd", lambda x: op.Tanh(-x), lambda x: -op.Tanh(x), {}),
    ("erf is odd", lambda x, y: op.Erf(x - y), lambda x, y: -op.Erf(y - x), {}),
    ("mish", lambda x: op.Mish(x), lambda x: x * op.Tanh(op.Log(op.Exp(x) + 1.0)), {}),
    ("hard swish", lambda x: op.HardSwish(x), lambda x: x * op.Clip(x + 3.0, 0.0, 6.0) / 6.0, {}),
    ("hard swish by hard sigmoid", lambda x: op.HardSwish(x), lambda x: x * op.HardSigmoid(x, alpha=1 / 6), {}),
    ("relu6", lambda x: op.Clip(x, 0.0, 6.0), lambda x: op.Min(op.Relu(x), 6.0), {}),
    ("two relus", lambda x: op.Relu(x) - op.Relu(-x), lambda x: x * 1.0, {}),
    ("leaky relu", lambda x: op.LeakyRelu(x, alpha=0.1), lambda x: op.Max(x, 0.1 * x), {}),
    ("abs", lambda x: op.Abs(x), lambda x: op.Max(x, -x), {}),
    ("the larger and the smaller", lambda x, y: op.Max(x, y) + op.Min(x, y), lambda x, y: x + y, {}),
    ("a cube", lambda x: x**3.0, lambda x: x * x * x, {}),
    ("an inverse cancelled", lambda x: x * x / x, lambda x: x * 1.0, {}),
    ("a root cancelled", lambda x: op.Sqrt(x) * op.Sqrt(x), lambda x: x * 1.0, {}),
    ("roots of roots", lambda x: op.Sqrt(op.Sqrt(x)), lambda x: x**0.25, {}),
    ("a logarithm cancelled", lambda x: op.Log(op.Exp(x)), lambda x: x * 1.0, {}),
    ("a difference of squares", lambda x, y: (x * x - y * y) / (x - y), lambda x, y: x + y, {}),
    (
        "fractions",
        lambda x, y: 1.0 / (x + 1.0) + 1.0 / (y + 1.0),
        lambda x, y: (x + y + 2.0) / (x + 1.0) / (y + 1.0),
        {},
    ),
    ("a third", lambda x: x / 3.0, lambda x: x * (1 / 3), {}),
    ("roots of numbers", lambda x: x * math.sqrt(6.0), lambda x: x * math.sqrt(2.0) * math.sqrt(3.0), {}),
    (
        "a factor of a constant",
        lambda x, inverse: x / Var("y"),
        lambda x, inverse: x * inverse,
        {"y": Operand(), "inverse": 1.0 / Var("y")},
    ),
]
