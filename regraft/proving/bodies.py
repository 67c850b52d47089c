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


BODIES: Mapping[str, Callable[..., Term]] = {
    "Sigmoid": lambda x: 1.0 / (1.0 + op.Exp(-x)),
    "Tanh": lambda x: 1.0 - 2.0 / (1.0 + op.Exp(2.0 * x)),
    "Softplus": lambda x: op.Log(1.0 + op.Exp(x)),
    "Softsign": lambda x: x / (1.0 + op.Abs(x)),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: op.Clip(x * alpha + beta, 0.0, 1.0),
    "HardSwish": lambda x: x * op.Clip(x * (1 / 6) + 0.5, 0.0, 1.0),
    "LeakyRelu": lambda x, alpha=0.01: op.Relu(x) - op.Relu(-x) * alpha,
    "Mish": lambda x: x * op.Tanh(op.Softplus(x)),
    "Gelu": gelu,
    "Gemm": gemm,
}
"""By the attributes' names in ONNX."""
