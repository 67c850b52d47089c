"""LayerNormalization out of its written-out forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from regraft.ir.graph import Tensor
from regraft.ir.schema import STAND_IN, constant_of
from regraft.ir.weights import Array
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.facts import Filled
from regraft.rewriting.formula import LAYER_NORM
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, either, number, op
from regraft.verification.contract import reassociation


def _mean(x: Any, axes: Any) -> Term:
    return op.ReduceMean(x, axes=axes, keepdims=1)


def _statistics(x: Any, axes: Any, eps: Any) -> tuple[Term, Term, Term]:
    """x - E[x]; the standard deviation; its inverse."""
    centred = x - _mean(x, axes)
    variance = _mean(either(centred**2.0, centred * centred), axes) + number(eps)
    deviation = either(op.Sqrt(variance), variance**0.5)
    return centred, deviation, either(op.Reciprocal(deviation), 1.0 / deviation, variance**-0.5)


def plain(x: Any, axes: Any, eps: Any) -> Term:
    """Without scale and bias."""
    centred, deviation, inverse = _statistics(x, axes, eps)
    return either(centred / deviation, centred * inverse)


def scaled(x: Any, axes: Any, eps: Any, scale: Any) -> Term:
    """Without bias."""
    centred, deviation, inverse = _statistics(x, axes, eps)
    return either((centred / deviation) * scale, centred * inverse * scale)


def shifted(x: Any, axes: Any, eps: Any, bias: Any) -> Term:
    """Without scale: one of ones is gone once `eliminate-identity` has seen it."""
    return plain(x, axes, eps) + bias


def affine(x: Any, axes: Any, eps: Any, scale: Any, bias: Any) -> Term:
    """PyTorch's form, and that of TensorFlow's batch normalization: x · s + (bias - E[x] · s); Keras has -E[x]."""
    _, _, inverse = _statistics(x, axes, eps)
    factor, mean = inverse * scale, _mean(x, axes)
    offset = either(bias - mean * factor, bias + op.Neg(mean) * factor)
    return either(scaled(x, axes, eps, scale) + bias, x * factor + offset)


def normalized_axis(x: Tensor, axes: Any) -> int | Refusal:
    """The axis from which on `axes` reach to the last, counted from the end; else why not."""
    listed = [axes] if isinstance(axes, int) else list(axes or [])
    if not listed:
        return Refusal("it does not say over which axes")
    if any(axis >= 0 for axis in listed):
        if x.shape is None:
            return run_before(INFER_SHAPES, f"the rank of '{x.name}' is not known")
        listed = [axis - len(x.shape) if axis >= 0 else axis for axis in listed]
    if sorted(listed) != list(range(-len(listed), 0)):
        return Refusal(f"axes {axes} are not the last ones")
    return -len(listed)


def normalized_shape(x: Tensor, axis: int) -> list[int] | Refusal:
    """The sizes of the normalized axes; else why they are not known."""
    dims = [dim for dim in (x.shape or [])[axis:] if isinstance(dim, int)]
    if len(dims) != -axis or x.dtype is None:
        return run_before(INFER_SHAPES, f"the size of the normalized axes of '{x.name}' is not known")
    return dims


def parameter(value: Tensor, x: Tensor, axis: int) -> Tensor | Array | Refusal:
    """Scale or bias with exactly the shape of the normalized axes; else why it cannot be one."""
    dims = normalized_shape(x, axis)
    if isinstance(dims, Refusal):
        return dims
    if list(value.shape or []) == dims:
        return value
    values = constant_of(value)
    if values is None or values.size > math.prod(dims) or values.ndim > len(x.shape or []):
        return Refusal(f"'{value.name}' has shape {value.shape}, not {dims}")
    while values.ndim > len(dims) and values.shape[0] == 1:
        values = values[0]
    try:
        return np.ascontiguousarray(np.broadcast_to(values, dims))
    except ValueError:
        return Refusal(f"'{value.name}' has shape {list(values.shape)}, not {dims}")


def is_layer_norm(x: Tensor, axes: Any, opset: int, scale: Any = None, bias: Any = None) -> Refusal | dict[str, Any]:
    """The operator's axis, scale and bias; else why the match is none."""
    axis = normalized_axis(x, axes)
    if isinstance(axis, Refusal):
        return axis
    found: dict[str, Any] = {"axis": axis, "bias": None}
    for name, value in (("scale", scale), ("bias", bias)):
        if value is not None:
            found[name] = parameter(value, x, axis)
        elif name == "scale" or opset < 17:  # the operator may lack a bias, the function not
            dims = normalized_shape(x, axis)
            found[name] = dims if isinstance(dims, Refusal) else np.full(dims, float(name == "scale"), x.dtype)
    return next((value for value in found.values() if isinstance(value, Refusal)), found)


def call(x: Any, scale: Any, bias: Any, axis: Any, eps: Any) -> Term:
    return op.LayerNormalization(x, scale, bias, axis=axis, epsilon=eps)


def is_function(out: Tensor, opset: int) -> bool | Refusal:
    """Whether LayerNormalization is a function's call that can be the operator."""
    if out.inputs[0].domain != STAND_IN:
        return Refusal("it is the operator already")
    return opset >= 17 or Refusal(f"opset {opset} has no LayerNormalization")


NO_SCALE = {"scale": Filled("A", 1.0)}
NO_BIAS: dict[str, Any] = {"bias": None}  # from opset 17 on
ZERO_BIAS = {"bias": Filled("A", 0.0)}


class FuseLayerNorm(RulePass):
    """Recognise LayerNormalization over the last axes, however it is written.

    d = x - ReduceMean(x);  v = ReduceMean(d²)
    d / Sqrt(v + ε) · scale + bias                                →  LayerNormalization(x, scale, bias)
    x · s + (bias - ReduceMean(x) · s),  s = scale / Sqrt(v + ε)  →  the same

    with the square as a power or a product, the quotient as a division or by a reciprocal, with or without bias, with
    or without scale. ε outside the root is another function, and stays. Below opset 17, which brought the operator,
    the result is a call of the local function `regraft::LayerNormalization`; from 17 on such calls become the operator.
    """

    name = "fuse-layer-norm"
    contract = reassociation

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(affine, call, is_layer_norm, name="affine", facts=(LAYER_NORM,)),
            Rule(
                scaled,
                call,
                is_layer_norm,
                name="scaled",
                facts=({**LAYER_NORM, **NO_BIAS}, {**LAYER_NORM, **ZERO_BIAS}),
            ),
            Rule(shifted, call, is_layer_norm, name="shifted", facts=({**LAYER_NORM, **NO_SCALE},)),
            Rule(
                *(plain, call, is_layer_norm),
                name="plain",
                facts=(
                    {**LAYER_NORM, **NO_SCALE, **NO_BIAS},
                    {**LAYER_NORM, **NO_SCALE, **ZERO_BIAS},
                ),
            ),
            Rule(call, call, is_function, name="function", facts=(LAYER_NORM,)),
        )
