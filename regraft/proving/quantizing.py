"""Meanings of quantization: rounding to the nearest whole number, of an integer type that ends."""

from __future__ import annotations

from dataclasses import replace

from regraft.proving import convolution, views
from regraft.proving.arrays import dtype_of
from regraft.proving.call import Call
from regraft.proving.domain import Domain
from regraft.proving.elementwise import smaller
from regraft.proving.polynomial import Polynomial, constant
from regraft.proving.reach import OutOfReach, ShapeError
from regraft.proving.reductions import place_of
from regraft.proving.rounding import nearest
from regraft.proving.tensor import UNIT, Limits, Tensor, filled, limits_of, named, pointwise
from regraft.proving.truths import larger
from regraft.rewriting.term import Term, op

_BYTE = 0, 255


def quantize_linear(call: Call) -> Tensor:
    x, scale, zero = (*call.operands, None)[:3]
    if x is None or scale is None:
        raise OutOfReach("QuantizeLinear without a scale")
    to, axis = call.attribute("output_dtype", 0), call.attribute("axis", 1)
    call.attribute("precision", 0)
    _blocks(call)
    given = _BYTE if zero is None else zero.limits
    limits = limits_of(dtype_of(to)) if to else given
    return quantized(x, _along(scale, x, axis), None if zero is None else _along(zero, x, axis), limits)


def quantized(x: Tensor, scale: Tensor, zero: Tensor | None, limits: Limits | None) -> Tensor:
    """x / scale to the nearest whole number, plus `zero`, within limits."""
    if limits is None:
        raise OutOfReach("quantization to a type that is not known")
    least, most = map(constant, limits)

    def number(domain: Domain, p: Polynomial, s: Polynomial, z: Polynomial) -> Polynomial:
        return smaller(larger(nearest(p * domain.power(s, -1)) + z, least), most)

    found = pointwise(number, x, scale, zero or filled(constant(0)), kind="integer", partial=True)
    return replace(found, limits=limits)


def dequantize_linear(call: Call) -> Tensor:
    x, scale, zero = (*call.operands, None)[:3]
    axis = call.attribute("axis", 1)
    call.attribute("output_dtype", 0)
    _blocks(call)
    if x is None or scale is None:
        raise OutOfReach("DequantizeLinear without a scale")
    return dequantized(x, _along(scale, x, axis), None if zero is None else _along(zero, x, axis))


def dequantized(x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    return pointwise(lambda p, s, z: (p - z) * s, x, scale, zero or filled(constant(0)), kind="real")


def _blocks(call: Call) -> None:
    if call.attribute("block_size", 0):
        raise OutOfReach(f"{call.op} of blocks")


def _along(tensor: Tensor, x: Tensor, axis: int) -> Tensor:
    """A number, or one for each place along an axis of `x`, so that it broadcasts with it."""
    if tensor.axes == (UNIT,):
        return views.squeezed(tensor, [0])
    if not tensor.axes:
        return tensor
    place = place_of(axis, x.axes)
    if tensor.axes != (x.axes[place],):
        raise ShapeError(f"a scale [{named(tensor.axes)}] along {x.axes[place]}")
    behind = len(x.axes) - 1 - place
    return views.unsqueezed(tensor, [*range(1, behind + 1)]) if behind else tensor


def dynamic_quantize_linear(call: Call) -> Tensor | Term:
    """The quantized operand, its scale, or the zero point, as is asked for."""
    x = call.terms[0]
    least, most = op.Min(op.ReduceMin(x, keepdims=0), 0.0), op.Max(op.ReduceMax(x, keepdims=0), 0.0)
    scale = (most - least) / 255.0
    if call.place == 1:
        return scale
    zero = op.QuantizeLinear(-least, scale)
    return zero if call.place == 2 else op.QuantizeLinear(x, scale, zero)


def _whole(tensor: Tensor, zero: Tensor | None) -> Tensor:
    """`tensor` counted from `zero`."""
    return pointwise(lambda p, z: p - z, tensor, zero, kind="integer") if zero is not None else tensor


def mat_mul_integer(call: Call) -> Tensor:
    a, b, a_zero, b_zero = (*call.operands, None, None)[:4]
    if a is None or b is None:
        raise OutOfReach("MatMulInteger without an operand")
    if a_zero is not None and a_zero.axes:
        a_zero = _along(a_zero, a, -2)
    return replace(views.matmul(_whole(a, a_zero), _whole(b, b_zero)), limits=None)


def qlinear_mat_mul(call: Call) -> Tensor:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = call.given()
    a_scale, a_zero = (_along(one, a, -2) for one in (a_scale, a_zero))
    product = views.matmul(dequantized(a, a_scale, a_zero), dequantized(b, b_scale, b_zero))
    return quantized(product, _along(scale, product, -2), _along(zero, product, -2), zero.limits)


def conv_integer(call: Call) -> Tensor:
    x, w, x_zero, w_zero = (*call.operands, None, None)[:4]
    if x is None or w is None:
        raise OutOfReach("ConvInteger without an operand")
    w_zero = None if w_zero is None else _along(w_zero, w, 0)
    return convolution.convolved(call, _whole(x, x_zero), _whole(w, w_zero))


def qlinear_conv(call: Call) -> Tensor:
    x, x_scale, x_zero, w, w_scale, w_zero, scale, zero = (call.operand(place) for place in range(8))
    per_channel = _along(w_scale, w, 0)
    whole = dequantized(x, x_scale, x_zero), dequantized(w, per_channel, _along(w_zero, w, 0))
    bias = call.operand(8) if len(call.operands) > 8 else None
    if bias is not None:
        bias = dequantized(bias, pointwise(lambda s, t: s * t, x_scale, w_scale), None)
    found = convolution.convolved(call, *whole, bias)
    return quantized(found, scale, zero, zero.limits)
