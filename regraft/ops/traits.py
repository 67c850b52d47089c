"""What operators of ONNX's own domain do, whatever the values: the one table for whoever looks through a node.

A pass or an analysis names a trait, or a trait and what it knows how to handle beside it, and lists no operators of its
own for it. Each trait is held against ONNX Runtime on ONNX's test cases by tests/ops/test_traits.py.
"""

from __future__ import annotations

REGROUPS = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
"""Give the elements of the first input in their order, in another shape."""

VIEWS = REGROUPS | {"Identity"}
"""Give the elements of the first input in their order."""

REARRANGES = VIEWS | {"Transpose"}
"""Give each element of the first input once."""

LAYOUT = REARRANGES | {"Expand"}
"""Give every element of the first input, some more than once, and nothing else."""

SELECTS = frozenset({"Compress", "Gather", "GatherElements", "GatherND", "Slice", "Split"})
"""Give some of the elements of the first input."""

MOVES = LAYOUT | SELECTS | {"DepthToSpace", "ReverseSequence", "SpaceToDepth", "Tile"}
"""Give elements of the first input, and nothing else."""

SHAPE_ONLY = frozenset({"Shape", "Size"})
"""Read of the first input its shape only."""

BROADCASTS = frozenset(
    {"Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual"}
    | {"Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"}
)
"""Compute each element from those at its place of all inputs, which are broadcast."""

ELEMENTWISE = BROADCASTS | {
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Clip", "Cos"),
    *("Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN"),
    *("LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign"),
    *("Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu"),
}
"""Compute each element from those at its place, in the same way at each; inputs that are not read so are scalars."""

COMMUTATIVE = frozenset({"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Mul", "Or", "Xor"})
"""Give the same bits for their two inputs in either order."""

SYMMETRIC = COMMUTATIVE | {"Max", "Mean", "Min", "Sum"}
"""Give the same numbers for two inputs in either order; of zeros and NaNs the bits may differ."""

LOGIC = frozenset({"And", "Not", "Or", "Xor"})
"""Take truths and give truths."""

COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
"""Give a truth about two values at each place."""

RANDOM = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""May give something else at each run."""
