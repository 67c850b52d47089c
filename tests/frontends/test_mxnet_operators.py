"""Every operator that the frontend maps, against what MXNet's documentation says, in numpy; fixed shapes and named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

import regraft
from regraft.files.saving import to_proto
from regraft.frontends.mxnet.table import CONVERTERS
from regraft.pipelines.frontend import FrontendError, ImportOptions
from regraft.verification.runtime import Session
from tests.frontends.symbols import Net

Arrays = tuple[np.ndarray, ...]


class Case(NamedTuple):
    """An operator with attributes on `inputs`, and what it gives; `named` of the first axes may be names."""

    op: str
    inputs: Arrays
    expected: Any
    attrs: Mapping[str, Any] = {}
    named: int = 9

    def __str__(self) -> str:
        return f"{self.op} {','.join(f'{k}={v}' for k, v in self.attrs.items())}".strip()


def draw(*shape: int, seed: int = 0, low: float = -2, high: float = 2) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def soft(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def soft_to(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    result = np.zeros_like(x)
    for place in np.ndindex(*lengths.shape):
        if n := int(lengths[place]):
            result[(*place, slice(n))] = soft(x[(*place, slice(n))])
    return result


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x).astype(np.float32)


def attention_parts(x: np.ndarray, heads: int) -> Arrays:
    sequence, batch, columns = x.shape
    apart = x.reshape(sequence, batch * heads, 3, columns // heads // 3)
    return tuple(apart[:, :, i].transpose(1, 0, 2) for i in range(3))


def scores(x: np.ndarray, heads: int) -> np.ndarray:
    q, k, _ = attention_parts(x, heads)
    return q / math.sqrt(q.shape[-1]) @ k.transpose(0, 2, 1)


def weighted(x: np.ndarray, weights: np.ndarray, heads: int) -> np.ndarray:
    v = attention_parts(x, heads)[2]
    return (weights @ v).transpose(1, 0, 2).reshape(x.shape[0], x.shape[1], -1)


def normal(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * gamma + beta


A, B, ROW = draw(2, 3), draw(2, 3, seed=1), draw(1, 3)
POSITIVE = draw(2, 3, low=0.5)
SAME = np.array([[1, 2, 3], [1, 0, 3]], np.float32)
OTHER = np.array([[1, 5, 1], [2, 0, 3]], np.float32)
X3, X4 = draw(2, 3, 4), draw(2, 3, 5, 4)
QKV = draw(5, 2, 24)
WEIGHTS = soft(draw(4, 5, 5))
LENGTHS = np.array([5, 0, 2, 3], np.float32)
ROWS = np.repeat(LENGTHS[:, None], 5, 1).astype(np.int32)
TABLE, IDS = draw(9, 4), np.array([[0, 8, 3], [1, 1, 7]], np.float32)
W, BIAS = draw(6, 4), draw(6)

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "lesser": np.less,
    "lesser_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}
SCALARS = {"add": "plus", "sub": "minus"}
UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "erf": erf,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "negative": np.negative,
    "reciprocal": np.reciprocal,
    "relu": lambda x: np.maximum(x, 0),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}

CASES = [
    *(Case(f"{kind}_{n}", (POSITIVE, B), f(POSITIVE, B)) for n, f in ARITHMETIC.items() for kind in ("elemwise", "")),
    *(Case(f"broadcast_{n}", (POSITIVE, ROW), f(POSITIVE, ROW)) for n, f in ARITHMETIC.items()),
    *(Case(f"broadcast_{n}", (SAME, OTHER), f(SAME, OTHER).astype(np.float32)) for n, f in COMPARISONS.items()),
    *(Case(f"_{SCALARS.get(n, n)}_scalar", (POSITIVE,), f(POSITIVE, 3), {"scalar": 3}) for n, f in ARITHMETIC.items()),
    *(Case(f"_{n}_scalar", (SAME,), f(SAME, 1).astype(np.float32), {"scalar": "1.0"}) for n, f in COMPARISONS.items()),
    Case("_rminus_scalar", (A,), 1 - A, {"scalar": 1}),
    Case("_rdiv_scalar", (A,), 2 / A, {"scalar": 2}),
    Case("_rpower_scalar", (A,), np.power(np.float32(2), A), {"scalar": 2}),
    Case("_mul_scalar", (A,), A * np.float32(-1e18), {"scalar": "-1e+18"}),
    *(Case(n, (POSITIVE,), f(POSITIVE)) for n, f in UNARY.items()),
    Case("Activation", (A,), np.tanh(A), {"act_type": "tanh"}),
    Case("Activation", (A,), np.log1p(np.exp(A)), {"act_type": "softrelu"}),
    Case("LeakyReLU", (A,), 0.5 * A * (1 + erf(A / math.sqrt(2))), {"act_type": "gelu"}),
    Case("LeakyReLU", (A,), np.where(A > 0, A, 0.25 * A)),
    Case("LeakyReLU", (A,), np.where(A > 0, A, 0.5 * np.expm1(A)), {"act_type": "elu", "slope": 0.5}),
    Case("where", (OTHER, A, B), np.where(OTHER != 0, A, B)),
    Case("Cast", (A,), A.astype(np.int32), {"dtype": "int32"}),
    Case("Dropout", (A,), A, {"p": 0.1, "axes": "()"}),
    Case("_copy", (A,), A),
    Case("Reshape", (X3,), X3.reshape(6, 4), {"shape": "(-1, 4)"}),
    Case("Reshape", (X4,), X4.reshape(6, 5, 4), {"shape": "(-1, 0, 0)", "reverse": "True"}),
    Case("Reshape", (X4.reshape(6, 5, 4),), X4, {"shape": "(-1, 3, 0, 0)", "reverse": "True"}),
    Case("Reshape", (X3,), X3.reshape(2, 3, 2, 2), {"shape": "(0, 0, 2, -1)"}),
    Case("Reshape", (X3,), X3.reshape(-1), {"shape": "-1"}),
    Case("Reshape", (X4,), X4.reshape(6, 5, 4), {"shape": "(-3, -2)"}),
    Case("Reshape", (X4,), X4.reshape(2, 3, 5, 2, 2), {"shape": "(0, 0, 0, -4, 2, -1)"}),
    Case("reshape_like", (X3.reshape(6, 4), A), X3, {"lhs_begin": -2, "lhs_end": -1, "rhs_begin": 0}),
    Case("reshape_like", (X3.reshape(6, 4), X3), X3),
    Case("Flatten", (X3,), X3.reshape(2, 12)),
    Case("transpose", (X3,), X3.transpose(1, 0, 2), {"axes": "(1, 0, 2)"}),
    Case("transpose", (X3,), X3.T, {"axes": "()"}),
    Case("expand_dims", (A,), A[:, None], {"axis": 1}),
    Case("expand_dims", (A,), A[..., None], {"axis": -1}),
    Case("squeeze", (X3[:, :1],), X3[:, 0], {"axis": 1}),
    Case("squeeze", (X3[:1, :1],), X3[0, 0]),
    Case("Concat", (A, B), np.concatenate([A, B], -1), {"dim": -1, "num_args": 2}),
    Case("Concat", (A, B), np.concatenate([A, B], 0), {"dim": 0, "num_args": 2}),
    Case("stack", (A, B), np.stack([A, B], 1), {"axis": 1, "num_args": 2}),
    Case("stack", (A, B), np.stack([A, B], -1), {"axis": -1, "num_args": 2}),
    Case("slice", (X3,), X3[:, :1], {"begin": "(0, 0, 0)", "end": "(None, 1, None)"}),
    Case("slice", (X3,), X3[:1, :, :1], {"begin": "(0, 0, 0)", "end": "(1, None, 1)"}),
    Case("slice", (X3,), X3[:, 1:3, ::2], {"begin": "(None, 1, 0)", "end": "(None, 3, 4)", "step": "(1, 1, 2)"}),
    Case("slice", (X3,), X3[::-1], {"begin": "(None,)", "end": "(None,)", "step": "(-1,)"}),
    Case("slice", (X3,), X3[-1:, :-1], {"begin": "(-1, None)", "end": "(None, -1)"}),
    Case("slice_axis", (X3,), X3[:, 1:], {"axis": 1, "begin": 1, "end": "None"}),
    Case("broadcast_axis", (X3[:, :1],), np.repeat(X3[:, :1], 7, 1), {"axis": 1, "size": 7}),
    Case("broadcast_axis", (X3[:1, :1],), np.tile(X3[:1, :1], (5, 7, 1)), {"axis": "(0, 1)", "size": "(5, 7)"}),
    Case("broadcast_like", (ROW, A), np.repeat(ROW, 2, 0)),
    Case("shape_array", (X3,), np.array(X3.shape)),
    Case("gather_nd", (X3, np.array([[0, 1, 1], [2, 0, 1]], np.float32)), X3[[0, 1, 1], [2, 0, 1]], named=0),
    Case("mean", (X3,), X3.mean(-1, keepdims=True), {"axis": -1, "keepdims": "True"}),
    Case("mean", (X3,), X3.mean((0, 2)), {"axis": "(0, 2)"}),
    Case("sum", (X3,), X3.sum((0, 2)), {"axis": 1, "exclude": "True"}),
    Case("max", (X3,), X3.max(1), {"axis": 1}),
    Case("min", (X3,), X3.min()),
    Case("ones_like", (X3,), np.ones_like(X3)),
    Case("zeros_like", (X3,), np.zeros_like(X3)),
    Case("_ones", (), np.ones((1, 4, 1), np.float32), {"shape": "(1, 4, 1)"}),
    Case("_zeros", (), np.zeros(3, np.int32), {"shape": "(3,)", "dtype": "int32"}),
    Case("_arange", (), np.arange(1, 4, 0.5, np.float32), {"start": 1, "stop": 4, "step": 0.5}),
    Case("_arange", (), np.arange(4, dtype=np.int32), {"start": 4, "stop": "None", "dtype": "int32"}),
    Case("_contrib_arange_like", (X3,), np.arange(3, dtype=np.float32), {"axis": 1}),
    Case("_contrib_arange_like", (X3,), np.float32([3, 5]), {"axis": 0, "start": 3, "step": 2}),
    Case("Embedding", (IDS, TABLE), TABLE[IDS.astype(int)], {"input_dim": 9, "output_dim": 4}),
    Case("FullyConnected", (X3, W, BIAS), X3 @ W.T + BIAS, {"flatten": "False", "num_hidden": 6}, 2),
    Case("FullyConnected", (X3, W), X3 @ W.T, {"flatten": "False", "no_bias": "True", "num_hidden": 6}, 2),
    Case("FullyConnected", (X3[:, 0], W, BIAS), X3[:, 0] @ W.T + BIAS, {"num_hidden": 6}, 1),
    Case("FullyConnected", (X3, draw(6, 12), BIAS), X3.reshape(2, 12) @ draw(6, 12).T + BIAS, {"num_hidden": 6}, 1),
    Case("batch_dot", (X3, draw(2, 4, 5)), X3 @ draw(2, 4, 5)),
    Case("batch_dot", (X3, draw(2, 5, 4)), X3 @ draw(2, 5, 4).transpose(0, 2, 1), {"transpose_b": "True"}),
    Case("batch_dot", (X3, draw(2, 3, 5)), X3.transpose(0, 2, 1) @ draw(2, 3, 5), {"transpose_a": "True"}),
    Case("_contrib_div_sqrt_dim", (X3,), X3 / 2, named=2),
    Case("_contrib_interleaved_matmul_selfatt_qk", (QKV,), scores(QKV, 2), {"heads": 2}, 2),
    Case("_contrib_interleaved_matmul_selfatt_valatt", (QKV, WEIGHTS), weighted(QKV, WEIGHTS, 2), {"heads": 2}, 2),
    Case("LayerNorm", (X3, draw(4), draw(4, seed=1)), normal(X3, draw(4), draw(4, seed=1), 1e-5), {"axis": -1}, 2),
    Case("LayerNorm", (X3, draw(4), draw(4)), normal(X3, draw(4), draw(4), 0.5), {"axis": 2, "eps": 0.5}, 2),
    Case("softmax", (X3,), soft(X3)),
    Case("softmax", (X3,), soft(X3 / 2, 1), {"axis": 1, "temperature": 2.0}),
    Case("softmax", (WEIGHTS, ROWS), soft_to(WEIGHTS, ROWS), {"axis": -1, "use_length": "True"}),
    Case(
        "softmax",
        (X3, np.array([[2, 3, 0, 1], [3, 3, 2, 1]], np.int32)),
        soft_to(X3.swapaxes(1, 2), np.array([[2, 3, 0, 1], [3, 3, 2, 1]])).swapaxes(1, 2),
        {"axis": 1, "use_length": "True"},
    ),
    Case("SequenceMask", (X3, LENGTHS[2:]), X3 * [[[1]] * 2 + [[0]], [[1]] * 3], {"axis": 1, "use_sequence_length": 1}),
    Case(
        "SequenceMask",
        (A, np.float32([1, 2, 0])),
        np.where([[1, 1, 0], [0, 1, 0]], A, -7),
        {"axis": 0, "use_sequence_length": "True", "value": -7.0},
    ),
    Case("SequenceMask", (A,), A),
]


@pytest.mark.parametrize("named", [False, True], ids=["fixed", "named"])
@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator(case: Case, opset: int, named: bool, tmp_path):
    net = Net()
    codes = {"float32": "0", "int32": "4"}
    inputs = [net.input(f"x{i}", __dtype__=codes[x.dtype.name]) for i, x in enumerate(case.inputs)]
    net(case.op, *inputs, name="result", **case.attrs)
    shapes = {
        f"x{i}": tuple(f"n{d}" if named and axis < case.named and d > 1 else d for axis, d in enumerate(x.shape))
        for i, x in enumerate(case.inputs)
    }
    model = regraft.open_source(net.save(tmp_path), options=ImportOptions(shapes, opset))
    onnx.checker.check_model(to_proto(model), full_check=True)
    assert model.opset == opset
    outputs = Session(model).run({f"x{i}": x for i, x in enumerate(case.inputs)})
    assert list(outputs) == ["result_output"]
    found = outputs["result_output"]
    assert found.shape == np.shape(case.expected)
    assert found.dtype == (np.float32 if np.asarray(case.expected).dtype.kind == "f" else case.expected.dtype)
    np.testing.assert_allclose(found, case.expected, rtol=2e-6, atol=2e-6)


def test_every_operator_has_a_case():
    aliases = {"concat", "cast", "flatten", "identity", "BlockGrad", "reshape", "broadcast_axes"}
    aliases |= {f"_{name}" for name in ("plus", "minus", "Plus", "Minus", "Mul", "Div")}
    aliases |= {f"{kind}_{name}" for name in COMPARISONS for kind in ("", "elemwise")}
    assert set(CONVERTERS) - {case.op for case in CASES} == aliases


@pytest.mark.parametrize(
    ("op", "attrs", "shapes", "what"),
    [
        ("Activation", {"act_type": "swish"}, ["2x3"], "act_type swish"),
        ("LeakyReLU", {"act_type": "rrelu"}, ["2x3"], "act_type rrelu"),
        ("Reshape", {"shape": "(5, -1)"}, ["2x3"], "cannot be reshaped"),
        ("Reshape", {"shape": "(0, 0, 0)"}, ["2x3"], "more dimensions"),
        ("Reshape", {}, ["2x3"], "attribute shape is missing"),
        ("transpose", {"axes": "one, two"}, ["2x3"], "axes='one, two'"),
        ("softmax", {"axis": "4"}, ["2x3"], "none of 2 axes"),
        ("softmax", {"use_length": "perhaps"}, ["2x3"], "use_length='perhaps'"),
        ("softmax", {"use_length": "True"}, ["2x3", "2x3"], "the lengths have 2 dimensions"),
        ("softmax", {"use_length": "True"}, ["2x3"], "has 1 operand, and 2 are needed"),
        ("Cast", {"dtype": "complex64"}, ["2x3"], "dtype='complex64'"),
        ("where", {}, ["2", "2x3", "2x3"], "whole rows"),
        ("Dropout", {"mode": "always"}, ["2x3"], "always"),
        ("LayerNorm", {"axis": "0"}, ["2x3", "3", "3"], "last axis"),
        ("elemwise_add", {}, ["2x3", "4x5"], "do the shapes of the inputs fit"),
        ("_contrib_div_sqrt_dim", {}, ["2xwidth"], "last dimension"),
        ("_contrib_interleaved_matmul_selfatt_qk", {"heads": 5}, ["2x3x24"], "5 heads"),
        ("_contrib_interleaved_matmul_selfatt_valatt", {"heads": 2}, ["2x24", "4x2x2"], "has 2 dimensions, not 3"),
        ("_contrib_interleaved_matmul_selfatt_qk", {"heads": 0}, ["2x3x24"], "0 heads"),
        ("broadcast_axis", {"axis": 1, "size": 4}, ["2"], "axis=1 is none of 1 axis"),
        ("broadcast_axis", {"axis": "(0, 1)", "size": 4}, ["1x1"], "2 axes and 1 size"),
        ("mean", {"axis": "(0, 5)"}, ["2x3"], "axis=5 is none of 2 axes"),
        ("gather_nd", {}, ["2x3", "depthx5"], "fix the first dimension"),
        ("_arange", {"infer_range": "True"}, [], "its length is inferred"),
        ("_arange", {"repeat": "2"}, [], "repeat=1"),
        ("SequenceMask", {"axis": "2", "use_sequence_length": "True"}, ["2x3x4", "2"], "axis 2"),
        ("slice", {"begin": "(0, 0)", "end": "(1,)"}, ["2x3"], "do not fit"),
    ],
)
def test_a_use_that_is_not_mapped(op, attrs, shapes, what, tmp_path):
    net = Net()
    net(op, *(net.input(f"x{i}") for i in range(len(shapes))), name="the-node", **attrs)
    given = {f"x{i}": tuple(int(d) if d.isdigit() else d for d in s.split("x")) for i, s in enumerate(shapes)}
    with pytest.raises(FrontendError, match=r"the-node") as raised:
        regraft.open_source(net.save(tmp_path), options=ImportOptions(given))
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)
