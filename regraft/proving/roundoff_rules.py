"""How each operator rounds: the one table, for whoever bounds what a graph computes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from regraft.analysis.dataflow import Transfer, first, rows
from regraft.ops.traits import MOVES
from regraft.proving import rounded_functions as functions
from regraft.proving import roundoff_elementwise as elementwise
from regraft.proving import roundoff_products as products
from regraft.proving import roundoff_sums as sums
from regraft.proving.rounded import Rounded, either, largest_of, smallest_of
from regraft.proving.roundoff_elementwise import ERF, bounded, exactly, library, step

_ALL = first(None)
_ZERO = Rounded(0.0, 0.0)

RULES: Mapping[str, Transfer] = {
    **rows(exactly(lambda x, *_: x), _ALL, *(MOVES - {"Split"})),
    "Split": Transfer(exactly(lambda x, *_: x), _ALL, every=True),
    **rows(exactly(either), _ALL, "Concat"),
    **rows(exactly(lambda x, *_: either(x, _ZERO)), _ALL, "Trilu"),
    **rows(exactly(lambda _, x, y: either(x, y)), _ALL, "Where"),
    **rows(elementwise.padded, _ALL, "Pad"),
    **rows(elementwise.filled, _ALL, "ConstantOfShape"),
    **rows(elementwise.cast, first(1), "Cast", "CastLike"),
    # arithmetic
    **rows(elementwise.add, _ALL, "Add", "Sum"),
    **rows(step(lambda x, y: x - y), _ALL, "Sub"),
    **rows(elementwise.mul, _ALL, "Mul"),
    **rows(step(lambda x, y: x * y.reciprocal()), _ALL, "Div"),
    **rows(step(lambda x: x.reciprocal()), _ALL, "Reciprocal"),
    **rows(exactly(lambda x: -x), _ALL, "Neg"),
    **rows(exactly(elementwise.absolute), _ALL, "Abs"),
    **rows(exactly(elementwise.relu), _ALL, "Relu"),
    **rows(exactly(largest_of), _ALL, "Max"),
    **rows(exactly(smallest_of), _ALL, "Min"),
    **rows(elementwise.clip, _ALL, "Clip"),
    **rows(step(functions.root), _ALL, "Sqrt"),
    **rows(elementwise.pow, _ALL, "Pow"),
    # functions of a library
    **rows(library("Exp", functions.exponential), _ALL, "Exp"),
    **rows(library("Log", functions.logarithm), _ALL, "Log"),
    **rows(library("Erf", functions.steep(math.erf, ERF)), _ALL, "Erf"),
    **rows(library("Tanh", functions.steep(math.tanh, 1.0)), _ALL, "Tanh"),
    **rows(bounded("Sigmoid", functions.steep(elementwise.sigmoid, 0.25)), _ALL, "Sigmoid"),
    **rows(bounded("Sin", elementwise.wave), _ALL, "Sin"),
    **rows(bounded("Cos", elementwise.wave), _ALL, "Cos"),
    **rows(elementwise.gelu, _ALL, "Gelu"),
    **rows(elementwise.softplus, _ALL, "Softplus"),
    # along axes
    **rows(sums.reduce_sum, _ALL, "ReduceSum"),
    **rows(sums.reduce_mean, _ALL, "ReduceMean"),
    **rows(sums.sum_square, _ALL, "ReduceSumSquare"),
    **rows(exactly(lambda x, *_: largest_of(x)), _ALL, "ReduceMax"),
    **rows(exactly(lambda x, *_: smallest_of(x)), _ALL, "ReduceMin"),
    **rows(sums.softmax, _ALL, "Softmax"),
    **rows(sums.log_softmax, _ALL, "LogSoftmax"),
    **rows(sums.layer_norm, _ALL, "LayerNormalization"),
    # products
    **rows(products.matmul, _ALL, "MatMul"),
    **rows(products.gemm, _ALL, "Gemm"),
    **rows(products.einsum, _ALL, "Einsum"),
    **rows(products.conv, _ALL, "Conv"),
}
"""By operator; of whole numbers and truths, which are exact or not known, nothing is said here."""
