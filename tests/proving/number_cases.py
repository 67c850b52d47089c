"""Functions of one number, rounding and quantization."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from regraft.rewriting.facts import Operand
from tests.proving.cases import Case

UINT8, INT8, FLOAT, INT32 = np.uint8, np.int8, np.float32, np.int32


def numbers(*shape: int, dtype: type = UINT8, seed: int = 0) -> np.ndarray:
    least = 0 if dtype is UINT8 else -9
    return np.random.default_rng(seed).integers(least, 10, shape).astype(dtype)


def functions() -> list[Case]:
    names = ("Cos", "Cosh", "Tan", "Elu", "Celu", "Selu", "ThresholdedRelu", "Shrink", "Sign", "Round", "Floor", "Ceil")
    found = [Case(name, (axes,)) for name in names for axes in ("", "B a")]
    given = (("Elu", {"alpha": 0.3}), ("Celu", {"alpha": 0.7}), ("Selu", {"alpha": 1.2, "gamma": 0.5}))
    given += (("ThresholdedRelu", {"alpha": 0.2}), ("Shrink", {"lambd": 0.2, "bias": 0.1}))
    found += [Case(name, ("B a",), attrs) for name, attrs in given]
    inside = np.array([-0.9, -0.2, 0.0, 0.3, 0.8], FLOAT)
    found += [Case(name, (inside,)) for name in ("Asin", "Acos", "Atanh")] + [Case("Acosh", (inside + FLOAT(2),))]
    found += [
        Case("PRelu", ("B a", "a")),
        Case("PRelu", ("b a", "1")),
        Case("Mean", ("B a", "a", "")),
        Case("Mean", ("a",)),
    ]
    found += [
        Case("Sign", ("B a",), kind="integer"),
        Case("Dropout", ("B a",)),
        Case("Round", (np.arange(-3, 4) / FLOAT(2),)),
    ]
    halves = np.array([-7, -4, -1, 0, 1, 5, 8]), np.array([2, -3, 4, 5, -6, 2, 3])
    found += [Case("Div", halves), Case("Div", (Operand("a", "integer"), np.array(2))), Case("Mod", halves)]
    found += [Case("Mod", (Operand("a", "integer"), np.array(3))), Case("Mod", halves, {"fmod": 1})]
    found += [Case("Mod", ("B a", np.array(0.7, FLOAT)), {"fmod": 1})]
    bits = np.array([1, 5, 12], UINT8), np.array(2, UINT8)
    found += [Case("BitShift", bits, {"direction": direction}) for direction in ("LEFT", "RIGHT")]
    for name in ("ArgMax", "ArgMin"):
        found += [Case(name, ("a k",), {"axis": axis, "keepdims": axis % 2}) for axis in (0, 1, -1)]
        found += [
            Case(name, (np.array([[1, 3, 3], [2, 0, 0]]),), {"axis": 1, "select_last_index": last}) for last in (0, 1)
        ]
    found += [Case("ReduceProd", ("a b k",), attrs) for attrs in ({"axes": [1]}, {"axes": [0, -1], "keepdims": 0}, {})]
    return [*found, Case("Constant", (), {"value_floats": [0.5, 1.0]}), Case("Constant", (), {"value_int": 3})]


def quantizations() -> list[Case]:
    row = np.array([0.1, 0.25, 0.5], FLOAT)
    found = [Case("QuantizeLinear", ("B a", scale)) for scale in (FLOAT(0.25), FLOAT(0.01))]
    for dtype in (UINT8, INT8):
        found += [Case("QuantizeLinear", ("B a", np.array(0.03, FLOAT), np.array(3, dtype)))]
        found += [Case("QuantizeLinear", ("b 3 k", row, numbers(3, dtype=dtype)), {"axis": 1})]
        found += [Case("DequantizeLinear", (numbers(2, 3, dtype=dtype), np.array(0.3, FLOAT), np.array(3, dtype)))]
        found += [Case("DequantizeLinear", (numbers(2, 3, dtype=dtype), row, numbers(3, dtype=dtype)), {"axis": -1})]
    found += [Case("DequantizeLinear", (numbers(3, 2, dtype=INT32), row), {"axis": 0})]
    a, b, zeros = numbers(3, 4), numbers(4, 2, seed=1), (np.array(3, UINT8), np.array(1, UINT8))
    found += [Case("MatMulInteger", (a, b)), Case("MatMulInteger", (a, b, *zeros))]
    found += [Case("MatMulInteger", (a, b, zeros[0], numbers(2)))]
    scales = np.array(0.1, FLOAT), np.array(0.3, FLOAT), np.array(0.7, FLOAT)
    found += [Case("QLinearMatMul", (a, scales[0], zeros[0], b, scales[1], zeros[1], scales[2], np.array(7, UINT8)))]
    x, w = numbers(1, 2, 5, 4), numbers(3, 2, 2, 3, seed=2)
    for attrs in ({}, {"pads": [1, 1, 0, 1]}, {"strides": [2, 1]}):
        found += [Case("ConvInteger", (x, w, zeros[0]), attrs)]
        operands = (x, scales[0], zeros[0], w, scales[1], zeros[1], scales[2], zeros[1])
        found += [
            Case("QLinearConv", operands, attrs),
            Case("QLinearConv", (*operands, numbers(3, dtype=INT32)), attrs),
        ]
    return found


CASES = [*functions(), *quantizations()]

LATER = [
    *(Case("Swish", ("B a",), attrs) for attrs in ({}, {"alpha": 0.5})),
    Case("QuantizeLinear", ("B a", np.array(0.03, FLOAT)), {"output_dtype": TensorProto.INT8}),
]
"""Of opset 24."""
