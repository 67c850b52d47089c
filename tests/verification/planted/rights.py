"""Rewrites that compute the same function: none may be refused for what rounding explains."""

from __future__ import annotations

import numpy as np

from tests.verification.planted.pair import random, right

X = "(float[batch,seq,8] x) => (float[] y)"
LOOPED = "(float[batch,seq,8] x) => (float[batch,seq,8] y)"
WORDS = "(int64[batch,seq] ids, int64[batch,seq] attention_mask) => (float[] y)"
W = {
    "w": random(8, 8, scale=0.4),
    "u": random(8, 8, seed=2, scale=0.4),
    "v": random(8, 8, seed=3, scale=0.4),
    "b": random(8, scale=0.3),
    "c": random(8, seed=4, scale=0.3),
    "g": random(8, seed=5, scale=0.2, mean=1),
    "eps": np.float32(1e-5),
    "root": np.float32(np.sqrt(2)),
    "root8": np.float32(np.sqrt(8)),
}
NORM = (
    "m = ReduceMean <axes = [-1]> (p) d = Sub(p, m) q = Mul(d, d) s = ReduceMean <axes = [-1]> (q) e = Add(s,"
    " eps) r = Sqrt(e)"
)
SCORES = (
    "q0 = MatMul(x, w) q = Add(q0, b) k0 = MatMul(x, u) k = Add(k0, c) t = Transpose <perm = [0, 2, 1]> (k) s ="
    " MatMul(q, t)"
)
REST = "d = Div(s, root8) a = Softmax(d) z = MatMul(x, v) y = MatMul(a, z)"
MASKED = (
    "x = Gather(table, ids) t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x, t) m = Cast <to = 1> (attention_mask)"
    " i = Sub(f1, m) n = Mul(i, lowest) o = Unsqueeze(n, v1) a = Add(s, o) p = Softmax(a) y = MatMul(p, x)"
)
TABLE = {"table": random(24, 8), "inf": np.float32(-np.inf)}
WIDE = {"big": random(64, 256, scale=0.1), "down": random(256, 64, scale=0.1), "wide": random(256)}

RIGHT = [
    right(
        "norm-fused",
        "LayerNormalization, written out, is one node",
        f"{X} {{ p = MatMul(x, w) {NORM} n = Div(d, r) o = Mul(n, g) y = Add(o, b) }}",
        f"{X} {{ p = MatMul(x, w) y = LayerNormalization <axis = -1, epsilon = 1e-5> (p, g, b) }}",
        weights=W,
    ),
    right(
        "norm-by-reciprocal",
        "a division by the deviation is a product with its reciprocal",
        f"{X} {{ p = MatMul(x, w) {NORM} n = Div(d, r) y = Mul(n, g) }}",
        f"{X} {{ p = MatMul(x, w) {NORM} i = Reciprocal(r) k = Mul(i, g) y = Mul(d, k) }}",
        weights=W,
    ),
    right(
        "norm-by-pow",
        "the square is a Pow",
        f"{X} {{ p = MatMul(x, w) {NORM} y = Div(d, r) }}",
        f"{X} {{ p = MatMul(x, w) {NORM.replace('Mul(d, d)', 'Pow(d, f2)')} y = Div(d, r) }}",
        weights=W,
        open=("exact each", "exact final"),
    ),
    right(
        "gelu-erf-forms",
        "x/2 (1 + erf) is x (1 + erf)/2",
        f"{X} {{ d = Div(x, root) e = Erf(d) s = Add(e, f1) p = Mul(x, s) y = Mul(p, half) }}",
        f"{X} {{ d = Div(x, root) e = Erf(d) s = Add(e, f1) h = Mul(s, half) y = Mul(x, h) }}",
        weights=W,
        open=("exact each", "exact final"),
    ),
    right(
        "gelu-op",
        "GELU is one node",
        f"{X} {{ d = Div(x, root) e = Erf(d) s = Add(e, f1) p = Mul(x, s) y = Mul(p, half) }}",
        f"{X} {{ y = Gelu(x) }}",
        opset=20,
        weights=W,
        open=("exact each", "exact final"),
    ),
    right(
        "gelu-by-product",
        "division by √2 is a product with its reciprocal",
        f"{X} {{ i = MatMul(x, w) d = Div(i, root) e = Erf(d) s = Add(e, f1) p = Mul(i, s) y = Mul(p, half) }}",
        f"{X} {{ i = MatMul(x, w) d = Mul(i, rr) e = Erf(d) s = Add(e, f1) p = Mul(i, s) y = Mul(p, half) }}",
        weights={**W, "rr": np.float32(1 / np.sqrt(2))},
    ),
    right(
        "products-reassociated",
        "(x W) U is x (W U)",
        f"{X} {{ p = MatMul(x, w) y = MatMul(p, u) }}",
        f"{X} {{ p = MatMul(w, u) y = MatMul(x, p) }}",
        weights=W,
    ),
    right(
        "sum-reassociated",
        "(a + b) + c is a + (b + c)",
        "(float[n,64] a, float[n,64] b, float[n,64] c) => (float[] y) { p = Add(a, b) y = Add(p, c) }",
        "(float[n,64] a, float[n,64] b, float[n,64] c) => (float[] y) { p = Add(b, c) y = Add(a, p) }",
    ),
    right(
        "scale-folded",
        "the scale of attention is in the weights of the queries",
        f"{X} {{ {SCORES} {REST} }}",
        f"{X} {{ {SCORES} {REST.replace('Div(s, root8)', 'Identity(s)')} }}",
        weights=W,
        changed={"w": W["w"] / W["root8"], "b": W["b"] / W["root8"]},
    ),
    right(
        "key-bias-dropped",
        "the bias of the keys moves each row of scores as a whole",
        f"{X} {{ {SCORES} {REST} }}",
        f"{X} {{ {SCORES.replace('Add(k0, c)', 'Identity(k0)')} {REST} }}",
        weights=W,
    ),
    right(
        "mask-of-minus-thousand",
        "hidden scores get -1,000, not -10,000",
        f"{WORDS} {{ {MASKED} }}",
        weights=TABLE,
        changed={"lowest": np.float32(-1000)},
        open=("exact each", "exact final"),
    ),
    right(
        "mask-of-lowest",
        "hidden scores get -30,000",
        f"{WORDS} {{ {MASKED} }}",
        weights=TABLE,
        changed={"lowest": np.float32(-3e4)},
        open=("exact each", "exact final"),
    ),
    right(
        "mask-by-where",
        "a mask that is added became a choice",
        f"{WORDS} {{ {MASKED} }}",
        f"{WORDS} {{ x = Gather(table, ids) t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x, t) m = Cast <to = 9>"
        f" (attention_mask)"
        " o = Unsqueeze(m, v1) l = Add(s, lowest) a = Where(o, s, l) p = Softmax(a) y = MatMul(p, x) }",
        weights=TABLE,
        open=("exact each", "exact final"),
    ),
    right(
        "log-softmax-written-out",
        "LogSoftmax is written out, the maximum subtracted",
        f"{X} {{ y = LogSoftmax(x) }}",
        f"{X} {{ m = ReduceMax <axes = [-1]> (x) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, last) l = Log(s) y ="
        f" Sub(d, l) }}",
    ),
    right(
        "softmax-by-transpose",
        "Softmax over the sequence is one over the last axis",
        f"{X} {{ y = Softmax <axis = 1> (x) }}",
        f"{X} {{ t = Transpose <perm = [0, 2, 1]> (x) s = Softmax(t) y = Transpose <perm = [0, 2, 1]> (s) }}",
        open=("exact each", "exact final"),
    ),
    right(
        "weight-transposed",
        "a weight is stored transposed",
        "(float[n,8] x) => (float[] y) { y = Gemm <transB = 1> (x, w, b) }",
        "(float[n,8] x) => (float[] y) { y = Gemm(x, w, b) }",
        weights=W,
        changed={"w": np.ascontiguousarray(W["w"].T)},
        open=("exact each", "exact final"),
    ),
    right(
        "gemm-written-out",
        "Gemm is MatMul and Add",
        "(float[n,8] x) => (float[] y) { y = Gemm <alpha = 0.5> (x, w, b) }",
        "(float[n,8] x) => (float[] y) { h = Mul(x, half) p = MatMul(h, w) y = Add(p, b) }",
        weights=W,
        open=("exact each", "exact final"),
    ),
    right(
        "weights-deduplicated",
        "two equal weights became one",
        f"{X} {{ p = MatMul(x, w) q = MatMul(p, w2) y = Add(q, b) }}",
        f"{X} {{ p = MatMul(x, w) q = MatMul(p, w) y = Add(q, b) }}",
        weights={**W, "w2": W["w"].copy()},
        same_bits=True,
    ),
    right(
        "dead-code",
        "what no output needs is gone",
        f"{X} {{ dead = Exp(x) deader = Log(dead) p = MatMul(x, w) y = Relu(p) }}",
        f"{X} {{ p = MatMul(x, w) y = Relu(p) }}",
        weights=W,
        same_bits=True,
    ),
    right(
        "inner-names",
        "inner values and nodes have other names",
        f"{X} {{ p = MatMul(x, w) q = Tanh(p) y = Add(q, b) }}",
        f"{X} {{ one = MatMul(x, w) two_ = Tanh(one) y = Add(two_, b) }}",
        weights=W,
        same_bits=True,
    ),
    right(
        "inner-names-of-weights",
        "a weight has another name",
        f"{X} {{ y = MatMul(x, w) }}",
        f"{X} {{ y = MatMul(x, again) }}",
        weights={**W, "again": W["w"]},
        same_bits=True,
    ),
    right(
        "dims-renamed",
        "the names of dimensions are others",
        "(float[batch,seq,8] x) => (float[batch,seq,8] y) { y = Tanh(x) }",
        "(float[b,s,8] x) => (float[b,s,8] y) { y = Tanh(x) }",
        same_bits=True,
    ),
    right(
        "dims-learnt",
        "the output's dimensions are stated",
        "(float[batch,seq,8] x) => (float[] y) { y = Tanh(x) }",
        "(float[batch,seq,8] x) => (float[batch,seq,8] y) { y = Tanh(x) }",
        same_bits=True,
    ),
    right(
        "identity",
        "Identity and a Transpose of nothing are gone",
        f"{X} {{ i = Identity(x) t = Transpose <perm = [0, 1, 2]> (i) p = MatMul(t, w) y = Identity(p) }}",
        f"{X} {{ y = MatMul(x, w) }}",
        weights=W,
        same_bits=True,
    ),
    right(
        "common-subexpression",
        "a product is computed once",
        f"{X} {{ p = MatMul(x, w) q = MatMul(x, w) t = Tanh(q) y = Add(p, t) }}",
        f"{X} {{ p = MatMul(x, w) t = Tanh(p) y = Add(p, t) }}",
        weights=W,
        same_bits=True,
    ),
    right(
        "constant-folded",
        "a sum of constants is computed",
        f"{X} {{ k = Add(b, c) y = Mul(x, k) }}",
        f"{X} {{ y = Mul(x, bc) }}",
        weights={**W, "bc": W["b"] + W["c"]},
        same_bits=True,
    ),
    right(
        "shape-chain",
        "a Reshape by computed shapes is one by 0 and -1",
        f"{X} <int64[1] two_ = {{2}}> {{ s = Shape <start = 0, end = 2> (x) t = Concat <axis = 0> (s, two_, v4) y ="
        f" Reshape(x, t) }}",
        f"{X} <int64[4] t = {{0, 0, 2, -1}}> {{ y = Reshape(x, t) }}",
        same_bits=True,
    ),
    right(
        "conv-and-norm",
        "BatchNormalization is in the Conv's weights",
        "(float[batch,3,height,width] x) => (float[] y) { c0 = Conv <pads = [1, 1, 1, 1]> (x, kernel, kb) y ="
        " BatchNormalization(c0, s, kb2, mean, var) }",
        "(float[batch,3,height,width] x) => (float[] y) { y = Conv <pads = [1, 1, 1, 1]> (x, folded, kb3) }",
        weights=(
            lambda k, b, s, b2, m, v: {
                "kernel": k,
                "kb": b,
                "s": s,
                "kb2": b2,
                "mean": m,
                "var": v,
                "folded": (k * (s / np.sqrt(v + 1e-5))[:, None, None, None]).astype(np.float32),
                "kb3": ((b - m) * s / np.sqrt(v + 1e-5) + b2).astype(np.float32),
            }
        )(
            random(4, 3, 3, 3, scale=0.3),
            random(4),
            random(4, seed=1, scale=0.2, mean=1),
            random(4, seed=2),
            random(4, seed=3),
            np.float32([0.5, 1, 2, 3]),
        ),
    ),
    right(
        "conv-as-product",
        "a Conv of one tap is a product",
        "(float[batch,3,height,width] x) => (float[] y) { y = Conv(x, kernel) }",
        "(float[batch,3,height,width] x) => (float[] y) <int64[2] to = {3, 5}> { t = Transpose <perm = [0, 2, 3, 1]>"
        " (x) p = MatMul(t, flat)"
        " y = Transpose <perm = [0, 3, 1, 2]> (p) }",
        weights={"kernel": random(5, 3, 1, 1), "flat": np.ascontiguousarray(random(5, 3, 1, 1)[:, :, 0, 0].T)},
        open=("exact each", "exact final"),
    ),
    right(
        "mean-as-sum",
        "a mean is a sum times 1/8",
        f"{X} <float e = {{0.125}}> {{ y = ReduceMean <axes = [-1]> (x) }}",
        f"{X} <float e = {{0.125}}> {{ s = ReduceSum(x, last) y = Mul(s, e) }}",
        open=("exact each", "exact final"),
    ),
    right(
        "pow-as-product",
        "x² is x · x",
        f"{X} {{ y = Pow(x, f2) }}",
        f"{X} {{ y = Mul(x, x) }}",
        open=("exact each", "exact final"),
    ),
    right(
        "division-as-product",
        "division by 3 is a product with 1/3",
        f"{X} <float t = {{3}}> {{ y = Div(x, t) }}",
        f"{X} <float t = {{0.33333334}}> {{ y = Mul(x, t) }}",
    ),
    right(
        "residual-order",
        "the operands of a sum in the other order",
        f"{X} {{ p = MatMul(x, w) y = Add(p, x) }}",
        f"{X} {{ p = MatMul(x, w) y = Add(x, p) }}",
        weights=W,
        same_bits=True,
    ),
    right(
        "wide-layers",
        "two wide layers, the bias in a Gemm",
        "(float[n,64] x) => (float[] y) { p = MatMul(x, big) q = Add(p, wide) t = Tanh(q) y = MatMul(t, down) }",
        "(float[n,64] x) => (float[] y) { q = Gemm(x, big, wide) t = Tanh(q) y = MatMul(t, down) }",
        weights=WIDE,
        open=("exact each", "exact final"),
    ),
    right(
        "split-product",
        "a product is computed in two halves of what is summed",
        "(float[n,64] x) => (float[] y) { p = MatMul(x, big) t = Tanh(p) y = MatMul(t, down) }",
        "(float[n,64] x) => (float[] y) { p = MatMul(x, big) t = Tanh(p) a, c = Split <axis = 1> (t) d0, d1 = Split"
        " <axis = 0> (down)"
        " e = MatMul(a, d0) f = MatMul(c, d1) y = Add(e, f) }",
        weights=WIDE,
        open=("exact each", "exact final"),
    ),
    right(
        "qkv-packed",
        "queries, keys and values in one product",
        f"{X} {{ q = MatMul(x, w) k = MatMul(x, u) z = MatMul(x, v) p = Mul(q, k) y = Sub(p, z) }}",
        f"{X} {{ all = MatMul(x, wuv) q, k, z = Split <axis = -1> (all, eights) p = Mul(q, k) y = Sub(p, z) }}",
        weights={**W, "wuv": np.concatenate([W["w"], W["u"], W["v"]], axis=1), "eights": np.int64([8, 8, 8])},
        open=("exact each", "exact final"),
    ),
    right(
        "lookup-of-a-product",
        "a product of a table's rows is a table",
        "(int64[n] ids) => (float[] y) { e = Gather(table, ids) y = MatMul(e, w) }",
        "(int64[n] ids) => (float[] y) { y = Gather(made, ids) }",
        weights={**TABLE, "w": W["w"], "made": TABLE["table"] @ W["w"]},
        open=("exact each", "exact final"),
    ),
    right(
        "one-hot-as-gather",
        "a product with OneHot is a lookup",
        "(int64[n] ids) => (float[] y) <float[2] on = {0, 1}, int64 d = {24}> { o = OneHot(ids, d, on) y = MatMul(o,"
        " table) }",
        "(int64[n] ids) => (float[] y) { y = Gather(table, ids) }",
        weights=TABLE,
        same_bits=True,
    ),
    right(
        "integers-by-shifts",
        "a product of integers with 4 is two sums",
        "(int64[n,6] x) => (int64[] y) <int64 k = {4}> { y = Mul(x, k) }",
        "(int64[n,6] x) => (int64[] y) <int64 k = {4}> { d = Add(x, x) y = Add(d, d) }",
        same_bits=True,
    ),
    right(
        "logic",
        "not (a and b) is not a or not b",
        "(bool[n,6] a, bool[n,6] b) => (bool[] y) { c = And(a, b) y = Not(c) }",
        "(bool[n,6] a, bool[n,6] b) => (bool[] y) { c = Not(a) d = Not(b) y = Or(c, d) }",
        same_bits=True,
    ),
    right(
        "comparison",
        ">= of integers is not <",
        "(int32[n,6] a, int32[n,6] b) => (bool[] y) { y = GreaterOrEqual(a, b) }",
        "(int32[n,6] a, int32[n,6] b) => (bool[] y) { l = Less(a, b) y = Not(l) }",
        same_bits=True,
    ),
    right(
        "loop-unrolled",
        "a Loop of two turns is written out",
        f"{LOOPED} {{ y = Loop (i2, true, x) <body = l (int64 i, bool g, float[p,q,r] a) =>"
        f" (bool d, float[p,q,r] n) {{ d"
        f" = Identity(g) t = MatMul(a, w) n = Tanh(t) }}> }}",
        f"{LOOPED} {{ p = MatMul(x, w) q = Tanh(p) r = MatMul(q, w) y = Tanh(r) }}",
        weights=W,
        same_bits=True,
    ),
    right(
        "if-of-equal-branches",
        "an If whose branches are the same is gone",
        f"{X} {{ s = ReduceSum <keepdims = 0> (x) c = Greater(s, f0) y = If (c) <then_branch = t () => (float[p,q,r]"
        f" u) {{ u = Tanh(x) }},"
        " else_branch = e () => (float[p,q,r] v) { v = Tanh(x) }> }",
        f"{X} {{ y = Tanh(x) }}",
        same_bits=True,
    ),
    right(
        "half-norm",
        "LayerNormalization in half precision, written out with the sum in float",
        "(float16[n,8] x) => (float16[] y) { y = LayerNormalization <epsilon = 1e-5> (x, g, b) }",
        "(float16[n,8] x) => (float16[] y) { p = Cast <to = 1> (x) "
        + NORM
        + " n = Div(d, r) h = Cast <to = 1> (g) o = Mul(n, h) k = Cast <to = 1> (b) f = Add(o, k)"
        " y = Cast <to = 10> (f) }",
        weights={"g": W["g"].astype(np.float16), "b": W["b"].astype(np.float16), "eps": W["eps"]},
        open=("exact each", "exact final"),
    ),
    right(
        "double-sum",
        "a sum of doubles in another order",
        "(double[n,64] x) => (double[] y) { y = ReduceSum(x, last) }",
        "(double[n,64] x) => (double[] y) { a, b = Split <axis = 1> (x) c = Add(a, b) y = ReduceSum(c, last) }",
    ),
    right(
        "probabilities",
        "a classifier of 200 classes by LogSoftmax, its product reassociated",
        "(float[n,8] x) => (float[] y) { p = MatMul(x, w) q = MatMul(p, head) y = LogSoftmax(q) }",
        "(float[n,8] x) => (float[] y) { p = MatMul(w, head) q = MatMul(x, p) y = LogSoftmax(q) }",
        weights={"w": W["w"], "head": random(8, 200)},
    ),
    right(
        "small-probabilities",
        "probabilities down to 1e-9, their product reassociated",
        "(float[n,8] x) => (float[] y) { p = MatMul(x, w) q = MatMul(p, head) y = Softmax(q) }",
        "(float[n,8] x) => (float[] y) { p = MatMul(w, head) q = MatMul(x, p) y = Softmax(q) }",
        weights={"w": W["w"], "head": random(8, 200, scale=2)},
    ),
    right(
        "boxes-beside-scores",
        "boxes of 320 beside scores of 1e-6, the product reassociated",
        f"{X} {{ p = MatMul(x, w) q = MatMul(p, u) y = Mul(q, grades) }}",
        f"{X} {{ p = MatMul(w, u) q = MatMul(x, p) y = Mul(q, grades) }}",
        weights={**W, "grades": np.float32([320, 320, 320, 320, 1e-6, 1e-6, 1e-6, 1e-6])},
    ),
    right(
        "strings",
        "a lookup of strings through another index",
        '(int64[n] ids) => (string[] y) <string[4] words = {"one", "two", "three", "four"}, int64 k = {3}>'
        " { y = Gather(words, ids) }",
        '(int64[n] ids) => (string[] y) <string[4] back = {"four", "three", "two", "one"}, int64 k = {3}> { r ='
        " Sub(k, ids) m = Add(r, i0)"
        " y = Gather(back, m) }",
        same_bits=True,
        open=("exact each", "exact final", "reassociation each", "reassociation final", "verify"),
    ),
    right(
        "random-beside",
        "beside a random output, which is as before, a product is reassociated",
        f"{X.replace('y)', 'y, float[] z)')} {{ z = RandomNormalLike(x) p = MatMul(x, w) y = MatMul(p, u) }}",
        f"{X.replace('y)', 'y, float[] z)')} {{ z = RandomNormalLike(x) p = MatMul(w, u) y = MatMul(x, p) }}",
        weights=W,
    ),
    right(
        "function-inlined",
        "a local function is written out",
        '(float[n,8] x) => (float[] y) { y = mine.Act(x) } <domain: "mine", opset_import: ["" : 17]> Act (a) => (b)'
        " { b = Tanh(a) } !mine:1",
        "(float[n,8] x) => (float[] y) { y = Tanh(x) }",
        same_bits=True,
    ),
    right(
        "softmax-written-out",
        "Softmax is written out: what its kernel flushes to zero may be kept",
        f"{X} {{ y = Softmax(x) }}",
        f"{X} {{ m = ReduceMax <axes = [-1]> (x) d = Sub(x, m) e = Exp(d) s = ReduceSum(e, last) y = Div(e, s) }}",
    ),
]
