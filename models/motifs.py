"""The parts of transformers, in the forms that exporters write."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regraft.errors import ModelError
from regraft.ir.graph import Tensor, Variable
from regraft.models.builder import Builder

Gelu = Literal["erf", "tanh", "op"]
LayerNorm = Literal["decomposed", "op"]
Dropout = Literal["none", "inference", "training"]


def gelu(b: Builder, x: Tensor, form: Gelu = "erf") -> Variable:
    """GELU as x/2 (1 + erf(x/√2)), as its tanh approximation, or as one Gelu op (opset 20)."""
    if form == "op":
        _since(b, "Gelu", 20)
        return b("Gelu", x)
    if form == "erf":
        inner = b("Erf", b("Div", x, b.constant(np.sqrt(2))))
        return b("Mul", b("Mul", x, b("Add", inner, b.constant(1))), b.constant(0.5))
    cube = b("Mul", b.constant(0.044715), b("Pow", x, b.constant(3)))
    inner = b("Tanh", b("Mul", b.constant(np.sqrt(2 / np.pi)), b("Add", x, cube)))
    return b("Mul", b("Mul", b.constant(0.5), x), b("Add", b.constant(1), inner))


def layer_norm(b: Builder, x: Tensor, width: int, form: LayerNorm = "decomposed") -> Variable:
    """Normalization over the last axis, in nine primitive ops or as one LayerNormalization (opset 17)."""
    gamma = b.weight("weight", [width], 0.05, mean=1.0)
    beta = b.weight("bias", [width], 0.05)
    if form == "op":
        _since(b, "LayerNormalization", 17)
        return b("LayerNormalization", x, gamma, beta, axis=-1, epsilon=1e-12)
    centred = b("Sub", x, b.mean(x))
    variance = b.mean(b("Pow", centred, b.constant(2)))
    deviation = b("Sqrt", b("Add", variance, b.constant(1e-12)))
    return b("Add", b("Mul", b("Div", centred, deviation), gamma), beta)


def dropout(b: Builder, x: Tensor, mode: Dropout = "inference") -> Tensor:
    """Dropout of a tenth of the values; nothing at all in mode "none"."""
    if mode == "none":
        return x
    if b.opset < 12:
        return b("Dropout", x, ratio=0.1)
    if mode == "inference":
        return b("Dropout", x, b.constant(0.1))
    return b("Dropout", x, b.constant(0.1), b.constant(True, np.bool_))


def linear(b: Builder, x: Tensor, width: int, out: int) -> Variable:
    """x W + b with W [width, out]; keeps the size of normalized values near one."""
    product = b("MatMul", x, b.weight("weight", [width, out], 0.64 / np.sqrt(width)))
    return b("Add", b.weight("bias", [out], 0.02), product)


def _since(b: Builder, op: str, opset: int) -> None:
    if b.opset < opset:
        raise ModelError(
            f"{op} is an op from opset {opset} on, not at {b.opset}; raise the opset or choose another form"
        )
