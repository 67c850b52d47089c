"""Rewrites that are off by a weight, an attribute, or an operand."""

from __future__ import annotations

import numpy as np

from tests.verification.planted.pair import put, random, wrong

X = "(float[batch,seq,8] x) => (float[] y)"
IDS = "(int64[batch,seq] ids) => (float[] y)"
IMAGE = "(float[batch,3,height,width] x) => (float[] y)"
W = {
    "w": random(8, 8, scale=0.4),
    "u": random(8, 8, seed=2, scale=0.4),
    "v": random(8, 8, seed=3, scale=0.4),
    "b": random(8, scale=0.3),
    "c": random(8, seed=4, scale=0.3),
    "g": random(8, seed=5, scale=0.2, mean=1),
    "eps": np.float32(1e-5),
    "root": np.float32(np.sqrt(2)),
}
K = {"k": random(4, 3, 3, 3, scale=0.3), "kb": random(4, scale=0.3)}
NORM = "y = LayerNormalization <axis = -1, epsilon = 1e-5> (p, g, b)"
ATTENTION = (
    "q0 = MatMul(x, w) q = Add(q0, b) k0 = MatMul(x, u) t = Transpose <perm = [0, 2, 1]> (k0) v0_ = MatMul(x, v)"
    " vv = Add(v0_, c) s = MatMul(q, t) d = Div(s, scale) a = Softmax(d) y = MatMul(a, vv)"
)
A = {**W, "scale": np.float32(np.sqrt(8))}
WORDS = random(1000, 6, scale=0.2)
RNN = {"wi": random(1, 16, 4, scale=0.4), "r": random(1, 16, 4, seed=1, scale=0.4), "bb": random(1, 32, scale=0.3)}
GRU = {"wi": random(1, 12, 4, scale=0.4), "r": random(1, 12, 4, seed=1, scale=0.4), "bb": random(1, 24, scale=0.3)}
STEPS = "(float[seq,batch,4] x) => (float[] y)"
HALF = {"w": random(8, 8, scale=0.4, dtype=np.float16), "b": random(8, scale=0.3, dtype=np.float16)}
GRADES = np.float32([*[1e3] * 7, 1e-3])

WEIGHTS = [
    wrong(
        "norm-scale-one-channel",
        "one channel of LayerNormalization's scale × 1.001",
        f"{X} {{ p = MatMul(x, w) {NORM} }}",
        weights=W,
        changed={"g": put(W["g"], 2, W["g"][2] * 1.001)},
    ),
    wrong(
        "norm-epsilon",
        "LayerNormalization's epsilon is 1e-12, not 1e-5",
        f"{X} {{ p = MatMul(x, w) {NORM} }}",
        f"{X} {{ p = MatMul(x, w) y = LayerNormalization <axis = -1, epsilon = 1e-12> (p, g, b) }}",
        weights=W,
    ),
    wrong(
        "rms-epsilon",
        "the epsilon of a root mean square is 1e-3, not 1e-5",
        f"{X} {{ s = Mul(x, x) m = ReduceMean <axes = [-1]> (s) e = Add(m, eps) r = Sqrt(e) n = Div(x, r) y = Mul(n,"
        f" g) }}",
        weights=W,
        changed={"eps": np.float32(1e-3)},
    ),
    wrong(
        "rms-epsilon-outside",
        "epsilon is added to the root, not under it",
        f"{X} {{ s = Mul(x, x) m = ReduceMean <axes = [-1]> (s) e = Add(m, eps) r = Sqrt(e) y = Div(x, r) }}",
        f"{X} {{ s = Mul(x, x) m = ReduceMean <axes = [-1]> (s) r = Sqrt(m) e = Add(r, eps) y = Div(x, e) }}",
        weights=W,
    ),
    wrong(
        "batch-norm-epsilon",
        "BatchNormalization's epsilon is 1e-3, not 1e-5",
        f"{IMAGE} {{ y = BatchNormalization(x, s, b3, m, v3) }}",
        f"{IMAGE} {{ y = BatchNormalization <epsilon = 1e-3> (x, s, b3, m, v3) }}",
        weights={"s": random(3, mean=2), "b3": random(3), "m": random(3, seed=1), "v3": np.float32([0.5, 1.5, 0.01])},
    ),
    wrong(
        "batch-norm-mean",
        "one mean of BatchNormalization moved by 1e-3",
        f"{IMAGE} {{ y = BatchNormalization(x, s, b3, m, v3) }}",
        weights={"s": random(3, mean=2), "b3": random(3), "m": random(3, seed=1), "v3": np.float32([0.5, 1.5, 0.01])},
        changed={"m": put(random(3, seed=1), 0, random(3, seed=1)[0] + 1e-3)},
    ),
    wrong(
        "instance-norm-epsilon",
        "InstanceNormalization's epsilon is 1e-2",
        f"{IMAGE} {{ y = InstanceNormalization(x, s, b3) }}",
        f"{IMAGE} {{ y = InstanceNormalization <epsilon = 0.01> (x, s, b3) }}",
        weights={"s": random(3, mean=2), "b3": random(3)},
    ),
    wrong(
        "variance-of-a-sample",
        "the variance is divided by one less",
        f"{X} {{ m = ReduceMean <axes = [-1]> (x) d = Sub(x, m) s = Mul(d, d) v = ReduceMean <axes = [-1]> (s) e ="
        f" Add(v, eps)"
        " r = Sqrt(e) y = Div(d, r) }",
        f"{X} <float less = {{7}}> {{ m = ReduceMean <axes = [-1]> (x) d = Sub(x, m) s = Mul(d, d) t = ReduceSum(s,"
        f" last) v = Div(t, less)"
        " e = Add(v, eps) r = Sqrt(e) y = Div(d, r) }",
        weights={"eps": W["eps"]},
    ),
    wrong(
        "conv-bias-element",
        "one element of a Conv's bias + 1e-3",
        f"{IMAGE} {{ y = Conv <pads = [1, 1, 1, 1]> (x, k, kb) }}",
        weights=K,
        changed={"kb": put(K["kb"], 1, K["kb"][1] + 1e-3)},
    ),
    wrong(
        "conv-bias-dropped",
        "a Conv's bias is gone",
        f"{IMAGE} {{ y = Conv(x, k, kb) }}",
        f"{IMAGE} {{ y = Conv(x, k) }}",
        weights=K,
    ),
    wrong(
        "conv-tap",
        "one tap of a Conv is zero",
        f"{IMAGE} {{ c = Conv(x, k, kb) y = Relu(c) }}",
        weights=K,
        changed={"k": put(K["k"], (3, 2, 1, 0), 0)},
    ),
    wrong(
        "conv-pads",
        "a Conv pads at the other side",
        f"{IMAGE} {{ y = Conv <pads = [1, 1, 0, 0]> (x, k, kb) }}",
        f"{IMAGE} {{ y = Conv <pads = [0, 0, 1, 1]> (x, k, kb) }}",
        weights=K,
    ),
    wrong(
        "pool-counts-pads",
        "AveragePool counts its padding",
        f"{IMAGE} {{ y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) }}",
        f"{IMAGE} {{ y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x) }}",
    ),
    wrong(
        "resize-corners",
        "Resize aligns corners",
        f'{IMAGE} <float[4] by = {{1, 1, 2, 2}}> {{ y = Resize <mode = "linear"> (x, , by) }}',
        f'{IMAGE} <float[4] by = {{1, 1, 2, 2}}> {{ y = Resize <mode = "linear",'
        ' coordinate_transformation_mode = "align_corners"> (x, , by) }',
    ),
    wrong(
        "gemm-c-dropped",
        "Gemm's C is gone",
        "(float[n,8] x) => (float[] y) { y = Gemm(x, w, b) }",
        "(float[n,8] x) => (float[] y) { y = Gemm(x, w) }",
        weights=W,
    ),
    wrong(
        "gemm-alpha",
        "Gemm's alpha is 1.0005",
        "(float[n,8] x) => (float[] y) { y = Gemm(x, w, b) }",
        "(float[n,8] x) => (float[] y) { y = Gemm <alpha = 1.0005> (x, w, b) }",
        weights=W,
    ),
    wrong(
        "gemm-transposed-square",
        "Gemm transposes a square weight",
        "(float[n,8] x) => (float[] y) { y = Gemm(x, w, b) }",
        "(float[n,8] x) => (float[] y) { y = Gemm <transB = 1> (x, w, b) }",
        weights=W,
    ),
    wrong(
        "one-weight",
        "one element of a product's weight moved by a hundredth",
        f"{X} {{ p = MatMul(x, w) y = Add(p, b) }}",
        weights=W,
        changed={"w": put(W["w"], (3, 4), W["w"][3, 4] * 1.01)},
    ),
    wrong(
        "value-bias-dropped",
        "the bias of the values is gone",
        f"{X} {{ {ATTENTION} }}",
        weights=A,
        changed={"c": np.zeros(8, np.float32)},
    ),
    wrong(
        "query-bias-element",
        "one element of the queries' bias + 1e-2",
        f"{X} {{ {ATTENTION} }}",
        weights=A,
        changed={"b": put(W["b"], 6, W["b"][6] + 1e-2)},
    ),
    wrong(
        "attention-scale",
        "the scale of attention × 1.001",
        f"{X} {{ {ATTENTION} }}",
        weights=A,
        changed={"scale": np.float32(np.sqrt(8) * 1.001)},
    ),
    wrong(
        "attention-axis",
        "Softmax over the queries",
        f"{X} {{ {ATTENTION} }}",
        f"{X} {{ {ATTENTION.replace('Softmax(d)', 'Softmax <axis = 1> (d)')} }}",
        weights=A,
    ),
    wrong(
        "query-and-key-swapped",
        "queries and keys are swapped",
        f"{X} {{ {ATTENTION} }}",
        weights=A,
        changed={"w": W["u"], "u": W["w"]},
    ),
    wrong(
        "heads-swapped",
        "the two heads come out in the other order",
        f"{X} <int64[4] to = {{0, 0, 2, 4}}, int64[3] back = {{0, 0, 8}}> {{ r = Reshape(x, to) t = Tanh(r) y ="
        f" Reshape(t, back) }}",
        f"{X} <int64[4] to = {{0, 0, 2, 4}}, int64[3] back = {{0, 0, 8}}, int64[2] o = {{1, 0}}> {{ r = Reshape(x, to)"
        " q = Gather <axis = 2> (r, o) t = Tanh(q) y = Reshape(t, back) }",
    ),
    wrong(
        "split-order",
        "the parts of a Split are swapped",
        f"{X} {{ a, b0 = Split <axis = -1> (x) y = Sub(a, b0) }}",
        f"{X} {{ b0, a = Split <axis = -1> (x) y = Sub(a, b0) }}",
    ),
    wrong(
        "rotary-sign",
        "the half that is turned has the other sign",
        f"{X} {{ a, d = Split <axis = -1> (x) n = Neg(d) t = Concat <axis = -1> (n, a) p = Mul(x, b) q = Mul(t, c) y"
        f" = Add(p, q) }}",
        f"{X} {{ a, d = Split <axis = -1> (x) n = Neg(a) t = Concat <axis = -1> (d, n) p = Mul(x, b) q = Mul(t, c) y"
        f" = Add(p, q) }}",
        weights=W,
    ),
    wrong(
        "gelu-by-tanh",
        "GELU became its tanh approximation",
        f"{X} {{ d = Div(x, root) e = Erf(d) s = Add(e, f1) p = Mul(x, s) y = Mul(p, half) }}",
        f"{X} <float c3 = {{0.044715}}, float r = {{0.7978846}}> {{ q = Mul(x, x) k = Mul(q, x) m = Mul(k, c3) a ="
        f" Add(x, m) i = Mul(a, r)"
        " t = Tanh(i) s = Add(t, f1) p = Mul(x, s) y = Mul(p, half) }",
        weights=W,
    ),
    wrong(
        "gelu-root",
        "√2 became 1.4142",
        f"{X} {{ p0 = MatMul(x, w) d = Div(p0, root) e = Erf(d) s = Add(e, f1) p = Mul(p0, s) y = Mul(p, half) }}",
        weights=W,
        changed={"root": np.float32(1.4142)},
    ),
    wrong(
        "silu-by-hard-swish",
        "x · sigmoid(x) became HardSwish",
        f"{X} {{ s = Sigmoid(x) y = Mul(x, s) }}",
        f"{X} {{ y = HardSwish(x) }}",
    ),
    wrong(
        "last-row-of-a-table",
        "the last row of a table of 1,000 is another",
        f"{IDS} {{ y = Gather(t, ids) }}",
        weights={"t": WORDS},
        changed={"t": put(WORDS, 999, WORDS[0])},
    ),
    wrong(
        "a-row-of-a-table",
        "row 457 of a table of 1,000 is off by a thousandth",
        f"{IDS} {{ e = Gather(t, ids) y = Tanh(e) }}",
        weights={"t": WORDS},
        changed={"t": put(WORDS, 457, WORDS[457] * 1.001)},
    ),
    wrong(
        "a-row-of-a-half-table",
        "row 801 of a table in half precision is zero",
        "(int32[batch,seq] ids) => (float16[] y) { y = Gather(t, ids) }",
        weights={"t": WORDS.astype(np.float16)},
        changed={"t": put(WORDS.astype(np.float16), 801, 0)},
    ),
    wrong(
        "a-row-of-a-small-table",
        "row 13 of 20 is off by a thousandth",
        f"{IDS} {{ y = Gather(t, ids) }}",
        weights={"t": WORDS[:20]},
        changed={"t": put(WORDS[:20], 13, WORDS[13] * 1.001)},
    ),
    wrong(
        "table-rounded",
        "a table is rounded to half precision",
        f"{IDS} {{ y = Gather(t, ids) }}",
        weights={"t": WORDS},
        changed={"t": WORDS.astype(np.float16).astype(np.float32)},
    ),
    wrong(
        "lstm-reversed",
        "an LSTM runs backwards",
        f"{STEPS} {{ y = LSTM <hidden_size = 4> (x, wi, r, bb) }}",
        f'{STEPS} {{ y = LSTM <hidden_size = 4, direction = "reverse"> (x, wi, r, bb) }}',
        weights=RNN,
    ),
    wrong(
        "lstm-bias-element",
        "one element of an LSTM's bias + 1e-2",
        f"{STEPS} {{ y = LSTM <hidden_size = 4> (x, wi, r, bb) }}",
        weights=RNN,
        changed={"bb": put(RNN["bb"], (0, 9), RNN["bb"][0, 9] + 1e-2)},
    ),
    wrong(
        "gru-reset-after",
        "a GRU resets before the product",
        f"{STEPS} {{ y = GRU <hidden_size = 4, linear_before_reset = 1> (x, wi, r, bb) }}",
        f"{STEPS} {{ y = GRU <hidden_size = 4> (x, wi, r, bb) }}",
        weights=GRU,
    ),
    wrong(
        "grades-zeroed",
        "a channel of 1e-3 beside those of 1e3 is zero",
        f"{X} {{ t = Tanh(x) y = Mul(t, gr) }}",
        weights={"gr": GRADES},
        changed={"gr": put(GRADES, 7, 0)},
    ),
    wrong(
        "grades-doubled",
        "an output column of 1e-3 beside those of 1e3 is doubled",
        f"{X} {{ p = MatMul(x, w) y = Mul(p, gr) }}",
        weights={"gr": GRADES, "w": W["w"]},
        changed={"gr": put(GRADES, 7, 2e-3)},
    ),
    wrong(
        "half-bias-dropped",
        "the bias is gone in half precision",
        "(float16[n,8] x) => (float16[] y) { p = MatMul(x, w) y = Add(p, b) }",
        "(float16[n,8] x) => (float16[] y) { y = MatMul(x, w) }",
        weights=HALF,
    ),
    wrong(
        "half-gemm-weights",
        "all weights × 1.005 in half precision",
        "(float16[n,8] x) => (float16[] y) { y = Gemm(x, w, b) }",
        weights=HALF,
        changed={"w": (HALF["w"] * np.float16(1.005)).astype(np.float16)},
    ),
    wrong(
        "half-weights-in-float",
        "float16 weights, cast and used in float, × 1.002",
        f"{X} {{ w32 = Cast <to = 1> (w) y = MatMul(x, w32) }}",
        weights={"w": HALF["w"]},
        changed={"w": (HALF["w"].astype(np.float32) * 1.002).astype(np.float16)},
    ),
    wrong(
        "double-weights-as-float",
        "double weights are rounded to float",
        "(double[n,8] x) => (double[] y) { y = MatMul(x, w) }",
        weights={"w": random(8, 8, dtype=np.float64)},
        changed={"w": random(8, 8).astype(np.float64)},
    ),
    wrong(
        "dequantize-zero-point",
        "a zero point is off by one",
        f"{X} {{ d = DequantizeLinear(q, s, z) y = MatMul(x, d) }}",
        weights={"q": np.int8(random(8, 8, scale=40)), "s": np.float32(0.02), "z": np.int8(3)},
        changed={"z": np.int8(4)},
    ),
    wrong(
        "dequantize-scale",
        "one channel's scale × 1.001",
        f"{X} {{ d = DequantizeLinear <axis = 1> (q, s, z) y = MatMul(x, d) }}",
        weights={
            "q": np.int8(random(8, 8, scale=40)),
            "s": np.float32(np.linspace(0.01, 0.03, 8)),
            "z": np.zeros(8, np.int8),
        },
        changed={"s": put(np.float32(np.linspace(0.01, 0.03, 8)), 6, np.linspace(0.01, 0.03, 8)[6] * 1.001)},
    ),
    wrong(
        "quantized-weight",
        "one quantized weight is one more",
        f"{X} {{ d = DequantizeLinear(q, s) y = MatMul(x, d) }}",
        weights={"q": np.int8(random(8, 8, scale=40)), "s": np.float32(0.02)},
        changed={"q": np.int8(random(8, 8, scale=40)) + np.int8(np.eye(8))},
    ),
    wrong(
        "quantize-saturates",
        "QuantizeLinear to uint8 became one to int8 and an offset, with another zero point",
        "(float[n,8] x) => (uint8[] y) <float s = {0.05}, uint8 z = {100}> { y = QuantizeLinear(x, s, z) }",
        "(float[n,8] x) => (uint8[] y) <float s = {0.05}, uint8 z = {101}> { y = QuantizeLinear(x, s, z) }",
    ),
    wrong(
        "tiny-output",
        "an output of 1e-20 × 1.01",
        f"{X} <float t = {{1e-20}}> {{ h = Tanh(x) y = Mul(h, t) }}",
        f"{X} <float t = {{1.01e-20}}> {{ h = Tanh(x) y = Mul(h, t) }}",
    ),
    wrong(
        "large-output",
        "an output of 1e20 × 1.0001",
        f"{X} <float t = {{1e20}}> {{ p = MatMul(x, w) y = Mul(p, t) }}",
        f"{X} <float t = {{1.0001e20}}> {{ p = MatMul(x, w) y = Mul(p, t) }}",
        weights=W,
    ),
    wrong(
        "chain",
        "the sixtieth of 100 constants is 1.001",
        f"{X} {{ a0 = Tanh(x) "
        + " ".join(f"a{n + 1} = Mul(a{n}, k{n % 7}_)" for n in range(100))
        + " y = Identity(a100) }",
        f"{X} {{ a0 = Tanh(x) "
        + " ".join(f"a{n + 1} = Mul(a{n}, {'off' if n == 60 else f'k{n % 7}_'})" for n in range(100))
        + " y = Identity(a100) }",
        weights={
            **{f"k{n}_": np.float32(1 + (n - 3) / 50) for n in range(7)},
            "off": np.float32((1 + (60 % 7 - 3) / 50) * 1.001),
        },
    ),
    wrong(
        "second-of-two-outputs",
        "the second output's product is off",
        "(float[n,8] x) => (float[] y, float[] z) { y = MatMul(x, w) z = MatMul(x, u) }",
        weights=W,
        changed={"u": put(W["u"], (0, 0), 0)},
    ),
    wrong(
        "layout",
        "a Transpose to the channels' end is gone where sizes agree",
        "(float[batch,8,8,8] x) => (float[] y)"
        " { t = Transpose <perm = [0, 2, 3, 1]> (x) p = MatMul(t, w) y = Transpose <perm = [0, 3, 1, 2]> (p) }",
        "(float[batch,8,8,8] x) => (float[] y) { p = MatMul(x, w) y = Transpose <perm = [0, 3, 1, 2]> (p) }",
        weights=W,
    ),
    wrong(
        "einsum",
        "an Einsum sums over the other axis",
        '(float[n,8] x) => (float[] y) { y = Einsum <equation = "ni,ij->nj"> (x, w) }',
        '(float[n,8] x) => (float[] y) { y = Einsum <equation = "ni,ji->nj"> (x, w) }',
        weights=W,
    ),
    wrong(
        "pow-exponent",
        "an exponent of 1.999",
        f"{X} <float e = {{2}}> {{ a = Abs(x) y = Pow(a, e) }}",
        f"{X} <float e = {{1.999}}> {{ a = Abs(x) y = Pow(a, e) }}",
    ),
    wrong(
        "softcap",
        "scores are capped at 50.1, not 50",
        f"{X} <float c = {{50}}> {{ d = Div(x, c) t = Tanh(d) y = Mul(t, c) }}",
        f"{X} <float c = {{50.1}}> {{ d = Div(x, c) t = Tanh(d) y = Mul(t, c) }}",
    ),
]
