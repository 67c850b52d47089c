"""What operators mean, as functions of symbolic tensors: the one table. Each is held against ONNX Runtime by tests.

Floats are real numbers and integers whole ones, without an end. Where an operator is not defined there, as a root of a
number below zero, the domain has an obligation.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from fractions import Fraction

from regraft.proving import (
    attention,
    convolution,
    elementwise,
    gathering,
    normalizing,
    pooling,
    quantizing,
    reshaping,
    resizing,
    rounding,
    slicing,
    structured,
    sums,
    views,
)
from regraft.proving.atoms import exp, odd
from regraft.proving.bodies import BODIES
from regraft.proving.call import Call, Meaning
from regraft.proving.polynomial import constant
from regraft.proving.reach import OutOfReach
from regraft.proving.tensor import Tensor, is_nan
from regraft.proving.truths import complement, either, larger
from regraft.rewriting.term import Term, op

IGNORED = frozenset({"noop_with_empty_axes", "saturate", "stash_type"})
"""Attributes without a meaning over the reals, or where axes are named."""

MEANINGS: Mapping[str, Meaning] = {
    # arithmetic
    "Add": elementwise.each(operator.add),
    "Sub": elementwise.each(operator.sub),
    "Mul": elementwise.each(operator.mul),
    "Sum": elementwise.fold(operator.add),
    "Neg": elementwise.each(operator.neg),
    "Mean": elementwise.mean,
    "Div": elementwise.divide,
    "Mod": elementwise.modulo,
    "BitShift": elementwise.shift,
    "Reciprocal": elementwise.of_reals(lambda domain, p: domain.power(p, -1)),
    "Sqrt": elementwise.of_reals(lambda domain, p: domain.power(p, Fraction(1, 2))),
    "Pow": elementwise.pow,
    "Max": elementwise.fold(larger),
    "Min": elementwise.fold(elementwise.smaller),
    "Abs": elementwise.each(lambda p: larger(p, -p)),
    "Relu": elementwise.each(lambda p: larger(p, constant(0))),
    "Clip": elementwise.clip,
    # functions
    "Exp": elementwise.of_reals(lambda domain, p: exp(p)),
    "Log": elementwise.of_reals(lambda domain, p: domain.log(p)),
    **{name: elementwise.each(odd(name)) for name in ("Asinh", "Atan", "Erf", "Sin", "Sinh")},
    **{name: elementwise.each(elementwise.even(name)) for name in ("Cos", "Cosh")},
    "Tan": elementwise.of_reals(elementwise.tangent),
    "Asin": elementwise.within("Asin", lambda p: constant(1) - p * p, ">=0", is_odd=True),
    "Acos": elementwise.within("Acos", lambda p: constant(1) - p * p, ">=0"),
    "Acosh": elementwise.within("Acosh", lambda p: p - constant(1), ">=0"),
    "Atanh": elementwise.within("Atanh", lambda p: constant(1) - p * p, ">0", is_odd=True),
    # rounding
    "Round": elementwise.each(rounding.nearest),
    "Floor": elementwise.each(rounding.floor),
    "Ceil": elementwise.each(rounding.ceil),
    "Sign": elementwise.sign,
    "QuantizeLinear": quantizing.quantize_linear,
    "DequantizeLinear": quantizing.dequantize_linear,
    "DynamicQuantizeLinear": quantizing.dynamic_quantize_linear,
    "MatMulInteger": quantizing.mat_mul_integer,
    "QLinearMatMul": quantizing.qlinear_mat_mul,
    "ConvInteger": quantizing.conv_integer,
    "QLinearConv": quantizing.qlinear_conv,
    **{name: elementwise.body(function) for name, function in BODIES.items()},
    # along axes
    "ReduceSum": structured.reduction(lambda p, number, indices, fresh: sums.total(p, indices, fresh)),
    "ReduceMean": structured.of_reals(structured.reduction(structured.mean)),
    "ReduceMax": structured.reduction(lambda p, number, indices, fresh: sums.largest(p, indices)),
    "ReduceMin": structured.reduction(lambda p, number, indices, fresh: -sums.largest(-p, indices)),
    "ReduceSumSquare": structured.reduction(lambda p, number, indices, fresh: sums.total(p * p, indices, fresh)),
    "Softmax": lambda call: structured.softmax(call, lambda x, total: op.Exp(x) / total),
    "LogSoftmax": lambda call: structured.softmax(call, lambda x, total: x - op.Log(total)),
    "ReduceL1": structured.by_sums(lambda x, total: total(op.Abs(x))),
    "ReduceL2": structured.by_sums(lambda x, total: op.Sqrt(total(op.Mul(x, x)))),
    "ReduceLogSum": structured.by_sums(lambda x, total: op.Log(total(x))),
    "ReduceLogSumExp": structured.by_sums(lambda x, total: op.Log(total(op.Exp(x)))),
    "ReduceProd": structured.reduction(lambda p, number, indices, fresh: structured.product(p, indices)),
    "ArgMax": lambda call: structured.arg_max(call, 1),
    "Hardmax": structured.hardmax,
    "ArgMin": lambda call: structured.arg_max(call, -1),
    "CumSum": structured.cumulative,
    # normalizations
    "LayerNormalization": normalizing.layer_norm,
    "RMSNormalization": normalizing.rms_norm,
    "BatchNormalization": normalizing.batch_norm,
    "InstanceNormalization": normalizing.instance_norm,
    "GroupNormalization": normalizing.group_norm,
    "LpNormalization": normalizing.lp_norm,
    "MeanVarianceNormalization": normalizing.mean_variance_norm,
    "Attention": attention.attention,
    "RotaryEmbedding": attention.rotary_embedding,
    # products of matrices
    "MatMul": lambda call: views.matmul(*call.given()),
    "Einsum": lambda call: views.einsum(call.attribute("equation"), call.given()),
    "Conv": convolution.conv,
    "ConvTranspose": convolution.conv_transpose,
    # windows
    "AveragePool": pooling.average_pool,
    "MaxPool": pooling.max_pool,
    "GlobalAveragePool": lambda call: pooling.everywhere(call, "ReduceMean"),
    "GlobalMaxPool": lambda call: pooling.everywhere(call, "ReduceMax"),
    # truths
    "Where": elementwise.where,
    "Not": elementwise.each(complement),
    "And": elementwise.each(operator.mul),
    "Or": elementwise.each(either),
    "Xor": elementwise.each(lambda a, b: a + b - (a * b).scaled(2)),
    "IsNaN": lambda call: is_nan(call.operand(0)),
    "Equal": elementwise.comparison("="),
    "Less": elementwise.comparison("<"),
    "Greater": elementwise.comparison(">"),
    "LessOrEqual": elementwise.comparison("<", or_equal=True),
    "GreaterOrEqual": elementwise.comparison(">", or_equal=True),
    # dtypes and shapes
    "Identity": lambda call: call.operand(0),
    "Dropout": elementwise.dropout,
    "Constant": gathering.constant_of,
    "Cast": elementwise.cast,
    "CastLike": lambda call: elementwise.as_kind(call.operand(0), call.operand(1).kind),
    "Transpose": lambda call: views.transposed(call.operand(0), call.attribute("perm", None)),
    "Unsqueeze": reshaping.unsqueeze,
    "Squeeze": reshaping.squeeze,
    "Reshape": reshaping.reshape,
    "Flatten": reshaping.flatten,
    "Expand": reshaping.expand,
    "Tile": reshaping.tile,
    "DepthToSpace": reshaping.depth_to_space,
    "SpaceToDepth": reshaping.space_to_depth,
    "Resize": resizing.resize,
    # parts of axes
    "Slice": slicing.slice_,
    "Split": slicing.split,
    "Concat": slicing.concat,
    "Pad": slicing.pad,
    # elements at places, and places as elements
    "Shape": gathering.shape,
    "Size": gathering.size_of,
    "Gather": gathering.gather,
    "GatherElements": gathering.gather_elements,
    "GatherND": gathering.gather_nd,
    "OneHot": gathering.one_hot,
    "ConstantOfShape": gathering.constant_of_shape,
    "Range": gathering.range_,
    "EyeLike": gathering.eye_like,
    "Trilu": gathering.triangle,
}

SEVERAL = frozenset({"Split", "DynamicQuantizeLinear"})
"""Operators of which more than the first output has a meaning."""


def meaning(call: Call) -> Tensor | Term:
    """What a call means.

    Raises:
        OutOfReach: that is not known.
    """
    if call.op not in MEANINGS:
        raise OutOfReach(f"{call.op} has no meaning in the table")
    if call.place and call.op not in SEVERAL:
        raise OutOfReach(f"the meaning of {call.op} in the table is that of its first output")
    result = MEANINGS[call.op](call)
    if unread := call.attrs.keys() - call.read - IGNORED:
        raise OutOfReach(f"the meaning of {call.op} in the table has no '{min(unread)}'")
    return result
