"""Rules that are right, and rules that are wrong in one thing each, as their authors may write them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from regraft import Refusal, Rule, approximation, constant, either, exact, number, op, reassociation
from regraft.rewriting.conditions import float_dtype
from regraft.verification.contract import Contract


def layer_norm(x: Any, axes: Any = (-1,), epsilon: float = 1e-5, keep: int = 1) -> Any:
    centred = x - op.ReduceMean(x, axes=list(axes), keepdims=keep)
    return centred / op.Sqrt(op.ReduceMean(centred * centred, axes=list(axes), keepdims=keep) + epsilon)


def is_two(x: Any, e: Any) -> bool:
    return bool(e == 2.0)


def is_float(x: Any) -> bool:
    return not isinstance(float_dtype(x), Refusal)


def are_floats(x: Any, y: Any) -> bool:
    return is_float(x) and is_float(y)


def one_shape(x: Any, y: Any) -> bool | str:
    return x.shape == y.shape or "the shapes differ"


def is_matrix(x: Any) -> bool | str:
    return (x.shape is not None and len(x.shape) == 2) or "no matrix"


def has_rank(x: Any) -> bool:
    return x.shape is not None and len(x.shape) > 0


Case = tuple[str, Rule, Contract]


def case(name: str, *arguments: Any, contract: Contract = reassociation) -> Case:
    return name, Rule(*arguments, name=name), contract


RIGHT = [
    case("hard swish", lambda x: x * op.Clip(x + 3.0, 0.0, 6.0) / 6.0, lambda x: op.HardSwish(x)),
    case(
        "hard sigmoid", lambda x: op.Clip(x + 3.0, 0.0, 6.0) / 6.0, lambda x: op.HardSigmoid(x, alpha=1 / 6, beta=0.5)
    ),
    case("swish of one factor", lambda x: x * op.Sigmoid(x), lambda x: x / (1.0 + op.Exp(-x))),
    case("difference turned round", lambda x, y: x - y, lambda x, y: -(y - x)),
    case("product of sums", lambda x, y: x * y + x, lambda x, y: x * (y + 1)),
    case("relu as max", lambda x: op.Relu(x), lambda x: op.Max(x, 0), is_float),
    case("abs as max", lambda x: op.Max(x, -x), lambda x: op.Abs(x)),
    case(
        "gemm",
        lambda x, w, b: op.MatMul(x, w) + b,
        lambda x, w, b: op.Gemm(x, w, b),
        lambda x, w, b: (is_matrix(x) is is_matrix(w) is is_float(x) is True and b.shape == w.shape[1:]) or "no Gemm",
    ),
    case("square", lambda x, e: op.Pow(x, number(e)), lambda x: x * x, is_two),
    case(
        "transposes",
        lambda x: op.Transpose(op.Transpose(x, perm=[1, 0]), perm=[1, 0]),
        lambda x: op.Identity(x),
        contract=exact,
    ),
    case(
        "softmax over the last axis",
        lambda x: op.Exp(x) / op.ReduceSum(op.Exp(x), axes=[-1], keepdims=1),
        lambda x: op.Softmax(x, axis=-1),
    ),
    case(
        "layer norm",
        lambda x: layer_norm(x),
        lambda x, n: op.LayerNormalization(x, n, axis=-1, epsilon=1e-5),
        lambda x: (
            {"n": np.ones(x.shape[-1], x.dtype)}
            if x.shape and isinstance(x.shape[-1], int)
            else "the size is not known"
        ),
    ),
    case(
        "mean as sum",
        lambda x: op.ReduceMean(x, axes=[-1], keepdims=1),
        lambda x, share: op.ReduceSum(x, axes=[-1], keepdims=1) * share,
        lambda x: (
            {"share": 1.0 / x.shape[-1]}
            if is_float(x) and x.shape and isinstance(x.shape[-1], int)
            else "the size is not known"
        ),
    ),
    case("where of not", lambda c, x, y: op.Where(op.Not(c), x, y), lambda c, x, y: op.Where(c, y, x), contract=exact),
    case("double negation", lambda x: op.Neg(op.Neg(x)), lambda x: op.Identity(x), contract=exact),
    case("identity of a sum", lambda x: x + 0, lambda x: op.Identity(x)),
    case("erf gelu", lambda x: 0.5 * x * (1.0 + op.Erf(x / math.sqrt(2))), lambda x: op.Gelu(x)),
    case(
        "gelu by tanh",
        lambda x: op.Gelu(x, approximate="none"),
        lambda x: op.Gelu(x, approximate="tanh"),
        contract=approximation(5e-4),
    ),
    case("either form", lambda x: either(op.Sqrt(op.Mul(x, x)), op.Abs(x)), lambda x: op.Max(x, op.Neg(x))),
    case(
        "scale into a weight",
        lambda x, w, c: op.MatMul(x, constant(w)) * number(c),
        lambda x, w, c: op.MatMul(x, w * c),
    ),
    case("two clips", lambda x: op.Clip(op.Clip(x, 0.0, 8.0), 0.0, 6.0), lambda x: op.Clip(x, 0.0, 6.0)),
    case(
        "squeeze again",
        lambda x: op.Squeeze(op.Unsqueeze(x, axes=[0]), axes=[0]),
        lambda x: op.Identity(x),
        contract=exact,
    ),
    case("log of a product", lambda x, y: op.Log(op.Exp(x) * op.Exp(y)), lambda x, y: x + y),
    case("reciprocal", lambda x, y: x * op.Reciprocal(y), lambda x, y: x / y),
    case("batch norm again", lambda x, y: x / op.Sqrt(y + 1e-3), lambda x, y: x * op.Reciprocal(op.Sqrt(y + 1e-3))),
    case(
        "batch norm with its default",
        lambda x, s, b, m, v: op.BatchNormalization(x, s, b, m, v),
        lambda x, s, b, m, v: op.BatchNormalization(x, s, b, m, v, epsilon=1e-5),
    ),
    case(
        "three in a row",
        lambda x, y, z: op.Concat(op.Concat(x, y, axis=0), z, axis=0),
        lambda x, y, z: op.Concat(x, y, z, axis=0),
        contract=exact,
    ),
    case(
        "a lookup",
        lambda x, i: op.Gather(op.Identity(x), i, axis=0),
        lambda x, i: op.Gather(x, i, axis=0),
        contract=exact,
    ),
    case(
        "shapes in a row",
        lambda x, s, t: op.Reshape(op.Reshape(x, s), t),
        lambda x, t: op.Reshape(x, t),
        contract=exact,
    ),
    case("de Morgan", lambda x, y: op.Not(op.And(x, y)), lambda x, y: op.Or(op.Not(x), op.Not(y)), contract=exact),
    case(
        "bits",
        lambda x, y: op.BitwiseNot(op.BitwiseAnd(x, y)),
        lambda x, y: op.BitwiseOr(op.BitwiseNot(x), op.BitwiseNot(y)),
        contract=exact,
    ),
    case(
        "sum of logs",
        lambda x: op.ReduceLogSumExp(x, axes=[-1], keepdims=1),
        lambda x: (
            op.Log(op.ReduceSum(op.Exp(x - op.ReduceMax(x, axes=[-1], keepdims=1)), axes=[-1], keepdims=1))
            + op.ReduceMax(x, axes=[-1], keepdims=1)
        ),
        is_float,
    ),
]

WRONG = [
    case("clip without its bounds", lambda x: op.Clip(x + 3.0, 0.0, 6.0) / 6.0, lambda x: (x + 3.0) / 6.0),
    case("one bound lost", lambda x: op.Clip(x, 0.0, 6.0), lambda x: op.Relu(x)),
    case("another bound", lambda x: op.Clip(op.Clip(x, 0.0, 4.0), 0.0, 6.0), lambda x: op.Clip(x, 0.0, 6.0)),
    case(
        "wrong constant",
        lambda x: 0.5 * x * (1.0 + op.Erf(x / math.sqrt(2))),
        lambda x: 0.5 * x * (1.0 + op.Erf(x * 0.7071)),
    ),
    case("operands of Sub swapped", lambda x, y: op.Sub(x, y), lambda x, y: op.Sub(y, x)),
    case("operands of Div swapped", lambda x, y: op.Div(x, y), lambda x, y: op.Div(y, x), are_floats),
    case("bias dropped", lambda x, w, b: op.MatMul(x, w) + b, lambda x, w, b: op.MatMul(x, w)),
    case(
        "bias that broadcasts",
        lambda x, w, b: op.MatMul(x, w) + b,
        lambda x, w, b: op.Gemm(x, w, b),
        lambda x, w, b: (all(t.shape is not None and len(t.shape) == 2 for t in (x, w)) and is_float(x)) or "no Gemm",
    ),
    case(
        "wrong axis",
        lambda x: op.Exp(x) / op.ReduceSum(op.Exp(x), axes=[-1], keepdims=1),
        lambda x: op.Softmax(x, axis=0),
    ),
    case("another axis of rank 2 only", lambda x: op.Softmax(x, axis=-1), lambda x: op.Softmax(x, axis=1)),
    case(
        "perm",
        lambda x: op.Transpose(op.Transpose(x, perm=[0, 2, 1]), perm=[1, 0, 2]),
        lambda x: op.Transpose(x, perm=[1, 0, 2]),
    ),
    case(
        "perm of three",
        lambda x: op.Transpose(op.Transpose(x, perm=[2, 0, 1]), perm=[2, 0, 1]),
        lambda x: op.Identity(x),
    ),
    case(
        "wrong epsilon",
        lambda x: layer_norm(x),
        lambda x, n: op.LayerNormalization(x, n, axis=-1, epsilon=1e-12),
        lambda x: (
            {"n": np.ones(x.shape[-1], x.dtype)}
            if x.shape and isinstance(x.shape[-1], int)
            else "the size is not known"
        ),
    ),
    case("epsilon outside the root", lambda x, y: x / op.Sqrt(y + 1e-3), lambda x, y: x / (op.Sqrt(y) + 1e-3)),
    case("overflow of whole numbers", lambda x: op.Div(op.Mul(x, 4), 4), lambda x: op.Identity(x)),
    case("division of whole numbers", lambda x, y: op.Mul(op.Div(x, y), y), lambda x, y: op.Identity(x)),
    case("whole numbers have no reciprocal", lambda x, y: x / y, lambda x, y: x * op.Reciprocal(y)),
    case("broadcasting lost", lambda x, y: x + y - y, lambda x, y: op.Identity(x)),
    case("broadcasting of zeros", lambda x, y: op.Max(x, y), lambda x, y: op.Where(op.Greater(x, 0), x, y)),
    case(
        "a sum over an axis that may be one",
        lambda x, y: op.ReduceSum(x + y, axes=[-1]),
        lambda x, y: op.ReduceSum(x, axes=[-1]) + op.ReduceSum(y, axes=[-1]),
    ),
    case("dtype changed", lambda x: op.Relu(x), lambda x: op.Cast(op.Relu(x), to=1)),
    case("truth for a number", lambda x: op.Cast(op.Greater(x, 0), to=1), lambda x: op.Greater(x, 0)),
    case(
        "keepdims", lambda x: op.ReduceMean(x, axes=[-1], keepdims=1), lambda x: op.ReduceMean(x, axes=[-1], keepdims=0)
    ),
    case(
        "keepdims left to the default",
        lambda x: op.ReduceSum(x, axes=[-1], keepdims=0),
        lambda x: op.ReduceSum(x, axes=[-1]),
    ),
    case("condition missing", lambda x, e: op.Pow(x, number(e)), lambda x: x * x),
    case("condition on the wrong thing", lambda x, w: op.MatMul(x, w), lambda x, w: op.Gemm(x, w), is_matrix),
    case("greater for not less", lambda x, y: op.Not(op.Less(x, y)), lambda x, y: op.Greater(x, y)),
    case("branches not exchanged", lambda c, x, y: op.Where(op.Not(c), x, y), lambda c, x, y: op.Where(c, x, y)),
    case("root of a square", lambda x: op.Sqrt(op.Mul(x, x)), lambda x: op.Identity(x)),
    case("sign of zero", lambda x: op.Sign(x), lambda x: x / op.Abs(x), is_float),
    case(
        "a sum that overflows",
        lambda x: op.ReduceLogSumExp(x, axes=[-1], keepdims=1),
        lambda x: op.Log(op.ReduceSum(op.Exp(x), axes=[-1], keepdims=1)),
    ),
    case("leaky slope", lambda x: op.LeakyRelu(x, alpha=0.1), lambda x: op.LeakyRelu(x)),
    case(
        "further from it than promised",
        lambda x: op.Gelu(x, approximate="none"),
        lambda x: x * op.Sigmoid(1.702 * x),
        contract=approximation(5e-3),
    ),
    case("not the same bits", lambda x: x / 3.0, lambda x: x * (1 / 3.0), contract=exact),
    case("one form of two", lambda x: either(op.Abs(x), op.Relu(x)), lambda x: op.Max(x, op.Neg(x))),
    case("attribute forgotten", lambda x, a: op.Softmax(x, axis=a), lambda x, a: op.Softmax(x)),
    case(
        "scale of a transposed weight",
        lambda x, w: op.MatMul(x, op.Transpose(w, perm=[1, 0])),
        lambda x, w: op.MatMul(x, w),
    ),
    case("order of a product", lambda x, y: op.MatMul(x, y), lambda x, y: op.MatMul(y, x)),
    case("concatenated the other way", lambda x, y: op.Concat(x, y, axis=0), lambda x, y: op.Concat(y, x, axis=0)),
    case("flattened from elsewhere", lambda x: op.Flatten(x, axis=1), lambda x: op.Flatten(x, axis=2)),
    case("rounded down", lambda x: op.Round(x), lambda x: op.Floor(x + 0.5)),
    case("bias of a convolution", lambda x, w, b: op.Conv(x, w) + b, lambda x, w, b: op.Conv(x, w)),
    case("padding of a convolution", lambda x, w: op.Conv(x, w, pads=[1, 1, 1, 1]), lambda x, w: op.Conv(x, w)),
    case(
        "the last of equal ones",
        lambda x: op.ArgMax(x, axis=-1, select_last_index=1),
        lambda x: op.ArgMax(x, axis=-1),
        contract=exact,
    ),
    case(
        "a lookup along another axis",
        lambda x, i: op.Gather(x, i, axis=1),
        lambda x, i: op.Gather(x, i, axis=0),
        contract=exact,
    ),
    case(
        "variance by the mean",
        lambda x, s, b, m, v: op.BatchNormalization(x, s, b, m, v),
        lambda x, s, b, m, v: op.BatchNormalization(x, s, b, v, m),
    ),
    case("remainder", lambda x, y: op.Mod(x, y), lambda x, y: x - y * op.Div(x, y), contract=exact),
    case("bits of one side", lambda x, y: op.BitwiseAnd(x, y), lambda x, y: op.BitwiseOr(x, y), contract=exact),
]
