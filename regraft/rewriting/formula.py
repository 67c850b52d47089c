"""What the high-level operators mean, as terms of plain ones: the source of lowerings and of local functions.

Gelu: Hendrycks & Gimpel, arXiv:1606.08415. LayerNormalization: Ba et al., arXiv:1607.06450. Both as ONNX's operator
documentation defines them.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from regraft.rewriting.term import Term, op

LayerNormForm = Literal["pow", "mul", "rsqrt", "fold"]


def erf_gelu(x: Any) -> Term:
    """x · Φ(x), exactly."""
    return 0.5 * x * (1.0 + op.Erf(x * math.sqrt(0.5)))


def tanh_gelu(x: Any) -> Term:
    """Gelu to within 4.74e-4."""
    cube = x * x * x
    return 0.5 * x * (1.0 + op.Tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * cube)))


def sigmoid_gelu(x: Any) -> Term:
    """Gelu to within 2.04e-2."""
    return x * op.Sigmoid(1.702 * x)


def layer_norm(x: Any, scale: Any, bias: Any, axes: Any, epsilon: Any, form: LayerNormForm = "pow") -> Term:
    """(x - E[x]) / sqrt(Var[x] + epsilon) · scale + bias over `axes`; scale and bias may be None.

    Args:
        form: "pow" and "mul" differ in how they square; "rsqrt" multiplies by a reciprocal instead of dividing; "fold"
            is TensorFlow's: x · s + (bias - E[x] · s) with s = scale / sqrt(...).
    """
    mean = op.ReduceMean(x, axes=axes, keepdims=1)
    centred = x - mean
    square = centred**2.0 if form == "pow" else centred * centred
    deviation = op.Sqrt(op.ReduceMean(square, axes=axes, keepdims=1) + epsilon)
    if form == "fold":
        factor = _times(op.Reciprocal(deviation), scale)
        shift = -(mean * factor) if bias is None else bias - mean * factor
        return x * factor + shift
    normal = centred * op.Reciprocal(deviation) if form == "rsqrt" else centred / deviation
    scaled = _times(normal, scale)
    return scaled if bias is None else scaled + bias


def _times(value: Term, scale: Any) -> Term:
    return value if scale is None else value * scale
