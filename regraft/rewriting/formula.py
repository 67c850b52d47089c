"""What the high-level operators mean, as terms of plain ones: the source of lowerings and of local functions.

Gelu: Hendrycks & Gimpel, arXiv:1606.08415. LayerNormalization: Ba et al., arXiv:1607.06450. Attention: Vaswani et al.,
arXiv:1706.03762. All as ONNX's operator documentation defines them.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from regraft.rewriting.facts import Axes, Operand
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
    """Gelu to within 2.07e-2."""
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


def attention(
    q: Any, kt: Any, v: Any, mask: Any, scale: float, guard: bool, on_query: bool = False, softmax: int | None = None
) -> Term:
    """Softmax(scale · Q Kᵀ + mask) V of Q and V `[B, N, S, D]` and Kᵀ `[B, N, D, S]`.

    Args:
        mask: added to the scores, or None.
        guard: whether a row that is masked with -inf throughout gives 0; without, it gives NaN.
        on_query: whether the queries are scaled, not the scores.
        softmax: data type that the Softmax is taken in, where it is another one.
    """
    scores = _scaled(q, scale) @ kt if on_query else _scaled(q @ kt, scale)
    scores = scores if mask is None else scores + mask
    if softmax is None:
        weights: Term = op.Softmax(scores, axis=-1)
    else:
        weights = op.CastLike(op.Softmax(op.Cast(scores, to=softmax), axis=-1), q)
    return (op.Where(op.IsNaN(weights), 0.0, weights) if guard else weights) @ v


def split_heads(x: Any, heads: int, transposed: bool = False) -> Term:
    """`[B, S, N·D]` as `[B, N, S, D]`, or transposed as `[B, N, D, S]`."""
    return op.Transpose(op.Reshape(x, np.array([0, 0, heads, -1])), perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3])


def merge_heads(x: Any) -> Term:
    """`[B, N, S, D]` as `[B, S, N·D]`."""
    return op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), np.array([0, 0, -1]))


def _scaled(value: Any, scale: float) -> Any:
    return value if scale == 1 else value * scale


def _times(value: Term, scale: Any) -> Term:
    return value if scale is None else value * scale


LAYER_NORM = {
    "x": Operand("B A"),
    "axes": Axes("A"),
    "axis": Axes("A"),
    "eps": Operand(""),
    "scale": Operand("A"),
    "bias": Operand("A"),
}
"""What the names of a LayerNormalization over the last axes are, for proofs of rules."""
