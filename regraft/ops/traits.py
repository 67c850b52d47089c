"""What operators of ONNX's own domain do, whatever the values: the one table for whoever looks through a node.

A pass or an analysis names a trait, or a trait and what it knows how to handle beside it, and lists no operators of its
own for it. Each trait is held against ONNX Runtime on ONNX's test cases by tests/ops.
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

GATHERS = frozenset({"Gather", "GatherElements", "GatherND"})
"""Give the elements of the first input that the second one names."""

SELECTS = GATHERS | {"Compress", "Slice", "Split"}
"""Give some of the elements of the first input."""

MOVES = LAYOUT | SELECTS | {"DepthToSpace", "ReverseSequence", "SpaceToDepth", "Tile"}
"""Give elements of the first input, and nothing else."""

MERGES = frozenset({"Concat", "Pad", "ScatterElements", "ScatterND", "Trilu", "Where"})
"""Give elements of their inputs, or zeros, and nothing else, unless an attribute tells them to reduce."""

EXTREMES = frozenset({"GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMin", "TopK"})
"""Give those elements of the first input that are the largest or the smallest of several."""

SHAPE_ONLY = frozenset({"Shape", "Size"})
"""Read of the first input its shape only."""

BROADCASTS = frozenset(
    {"Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual"}
    | {"Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor"}
)
"""Compute each element from those at its place of all inputs, which are broadcast."""

ACTIVATIONS = frozenset(
    {"Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Relu", "Selu", "Sigmoid"}
    | {"Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu"}
)
"""Compute each element from that of the first input; far from 0 the result is proportional to it, or constant."""

ROUNDS = frozenset({"Ceil", "Floor", "Round"})
"""Give a whole number next to each number."""

ELEMENTWISE = (
    BROADCASTS
    | (ACTIVATIONS - {"PRelu"})  # whose slopes may lie along the channels
    | ROUNDS
    | {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Clip", "Cos", "Cosh", "Erf"}
    | {"Exp", "Identity", "IsInf", "IsNaN", "Log", "Neg", "Not", "Reciprocal", "Shrink", "Sign", "Sin", "Sinh"}
    | {"Sqrt", "Tan"}
)
"""Compute each element from those at its place, in the same way at each; inputs that are not read so are scalars."""

IDEMPOTENT = ROUNDS | {"Abs", "Relu", "Sign"}
"""Give what they gave once more, if they are run on it."""

SHRINKS = frozenset(
    {"Abs", "Gelu", "HardSwish", "Identity", "Mish", "Neg", "Relu", "Softsign", "Swish", "Tanh", "ThresholdedRelu"}
)
"""Compute each element from that of the first input, and none is of larger magnitude than that."""

COMMUTATIVE = frozenset({"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Mul", "Or", "Xor"})
"""Give the same bits for their two inputs in either order."""

SYMMETRIC = COMMUTATIVE | {"Max", "Mean", "Min", "Sum"}
"""Give the same numbers for two inputs in either order; of zeros and NaNs the bits may differ."""

LOGIC = frozenset({"And", "Not", "Or", "Xor"})
"""Take truths and give truths."""

COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
"""Give a truth about two values at each place."""

ORDERINGS = COMPARISONS - {"Equal"}
"""Give a truth about which of two values is larger at each place."""

COMPARES = COMPARISONS | {"ArgMax", "ArgMin", "NonZero", "TopK", "Unique"}
"""Give truths or indices, which stay the same where all floats are multiplied by one positive number."""

ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub"})
"""Compute as the four signs say."""

SUMS = frozenset({"Add", "Mean", "Sub", "Sum"})
"""Give twice the result for inputs that are twice as large."""

WHOLE = (
    MOVES
    | MERGES
    | {"Abs", "Add", "Clip", "CumSum", "Max", "Min", "Mod", "Mul", "Neg", "Range", "ReduceMax", "ReduceMin"}
    | {"ReduceSum", "Relu", "Sub", "Sum"}
)
"""Give whole numbers for whole numbers."""

REDUCTIONS = frozenset(
    {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"}
    | {"ReduceSum", "ReduceSumSquare"}
)
"""Give one number for all that lie along some axes, in whatever order."""

KEEPS_ONE = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"})
"""Give one number along the axes as it is."""

AVERAGES = frozenset({"AveragePool", "GlobalAveragePool", "Mean", "ReduceMean"})
"""Give numbers between the least and the largest of what they read, 0 included."""

SOFTMAXES = frozenset({"Hardmax", "LogSoftmax", "Softmax"})
"""Give the same where one number is added to all that they read."""

ALONG_AXIS = SOFTMAXES | {"ArgMax", "ArgMin", "Concat", "Split", "TopK"}
"""Work along the axis that an attribute names, in the same way at each place of the other axes."""

NORMALIZATIONS = frozenset(
    {"GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization"}
    | {"MeanVarianceNormalization", "RMSNormalization"}
)
"""Give the same, but for a small constant, where the first input is multiplied by a positive number."""

SATURATES = (SOFTMAXES - {"LogSoftmax"}) | {
    *("Cos", "Erf", "HardSigmoid", "LpNormalization", "Sigmoid", "Sign", "Sin", "Softsign", "Tanh")
}
"""Give numbers from -1 to 1, whatever they read."""

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "DeformConv"})
"""Are products, and move a kernel over the axes behind the first two."""

PRODUCTS = CONVOLUTIONS | {"Einsum", "Gemm", "MatMul"}
"""Sum products of elements of the first two inputs: twice the first, or twice the second, is twice the products."""

QUANTIZED_PRODUCTS = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})
"""Are products of whole numbers, each counted from a zero point."""

RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
"""Go along the first axis step by step, with a state."""

BODIES = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Run graphs, which are among their attributes."""

RANDOM = frozenset(
    {"Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""May give something else at each run."""
