"""Operators as terms of others, where these mean the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from regraft.rewriting import formula
from regraft.rewriting.term import Term, op


def gelu(x: Any, approximate: str = "none") -> Term:
    return (formula.tanh_gelu if approximate == "tanh" else formula.erf_gelu)(x)


def gemm(a: Any, b: Any, c: Any = None, alpha: Any = 1.0, beta: Any = 1.0, transA: int = 0, transB: int = 0) -> Term:
    left = op.Transpose(a, perm=[1, 0]) if transA else a
    right = op.Transpose(b, perm=[1, 0]) if transB else b
    product = op.MatMul(left, right) * alpha
    return product if c is None else product + c * beta


def shrink(x: Any, lambd: Any = 0.5, bias: Any = 0.0) -> Term:
    return op.Where(op.Less(x, -lambd), x + bias, op.Where(op.Greater(x, lambd), x - bias, 0.0))


def below_zero(x: Any, value: Any) -> Term:
    """`value` where `x` is below 0, else `x`."""
    return op.Where(op.Less(x, 0.0), value, x)


def selu(x: Any, alpha: Any = 1.67326319217681884765625, gamma: Any = 1.05070102214813232421875) -> Term:
    return below_zero(x, op.Exp(x) * alpha - alpha) * gamma


BODIES: Mapping[str, Callable[..., Term]] = {
    "Sigmoid": lambda x: 1.0 / (1.0 + op.Exp(-x)),
    "Tanh": lambda x: 1.0 - 2.0 / (1.0 + op.Exp(2.0 * x)),
    "Softplus": lambda x: op.Log(1.0 + op.Exp(x)),
    "Softsign": lambda x: x / (1.0 + op.Abs(x)),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: op.Clip(x * alpha + beta, 0.0, 1.0),
    "HardSwish": lambda x: x * op.Clip(x * (1 / 6) + 0.5, 0.0, 1.0),
    "LeakyRelu": lambda x, alpha=0.01: op.Relu(x) - op.Relu(-x) * alpha,
    "Mish": lambda x: x * op.Tanh(op.Softplus(x)),
    "PRelu": lambda x, slope: op.Relu(x) - op.Relu(-x) * slope,
    "Elu": lambda x, alpha=1.0: below_zero(x, (op.Exp(x) - 1.0) * alpha),
    "Celu": lambda x, alpha=1.0: below_zero(x, (op.Exp(x / alpha) - 1.0) * alpha),
    "Selu": selu,
    "ThresholdedRelu": lambda x, alpha=1.0: op.Where(op.Greater(x, alpha), x, 0.0),
    "Shrink": shrink,
    "Swish": lambda x, alpha=1.0: x * op.Sigmoid(x * alpha),
    "Gelu": gelu,
    "Gemm": gemm,
}
"""By the attributes' names in ONNX."""
