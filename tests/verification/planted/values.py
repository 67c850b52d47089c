"""Rewrites that are right for some values only."""

from __future__ import annotations

import numpy as np

from tests.verification.planted.pair import put, random, wrong

X = "(float[batch,seq,8] x) => (float[] y)"
W = {"w": random(8, 8, scale=0.4), "b": random(8)}

BUCKETS = {"table": random(17, 4)}
RECURRENT = {"w": random(1, 20, 8, scale=0.4), "r": random(1, 20, 5, scale=0.4), "b": random(1, 40)}
STATE = "(float[steps,batch,8] x, int32[batch] n) => (float[] y)"

VALUES = [
    wrong(
        "hash-in-32-bits",
        "ids beyond 32 bits fall into other buckets",
        "(int64[batch] user_id) => (float[] y) <int64 m = {17}> { h = Mod(user_id, m) y = Gather(table, h) }",
        "(int64[batch] user_id) => (float[] y) <int32 m = {17}> { c = Cast <to = 6> (user_id) h = Mod(c, m)"
        " y = Gather(table, h) }",
        weights=BUCKETS,
    ),
    wrong(
        "total-in-float32",
        "a total of counts has the digits of a float32",
        "(int64[batch,seq] counts) => (int64[] y) { y = ReduceSum(counts, v1) }",
        "(int64[batch,seq] counts) => (int64[] y) { c = Cast <to = 1> (counts) t = ReduceSum(c, v1)"
        " y = Cast <to = 7> (t) }",
    ),
    wrong(
        "fraction-of-an-index",
        "what is left of a time when its whole part looked up a row is zero",
        "(float[batch,seq] t) => (float[] y) { c = Cast <to = 7> (t) w = Cast <to = 1> (c) d = Sub(t, w)"
        " g = Gather(table, c) e = Unsqueeze(d, v2) y = Add(g, e) }",
        "(float[batch,seq] t) => (float[] y) { c = Cast <to = 7> (t) y = Gather(table, c) }",
        weights=BUCKETS,
    ),
    wrong(
        "state-after-the-end",
        "an LSTM whose lengths are dropped reads on behind the end of a sequence",
        f"{STATE} {{ a, s, y = LSTM <hidden_size = 5> (x, w, r, b, n) }}",
        f"{STATE} {{ z = Sub(n, n) t = Shape <end = 1> (x) i = Cast <to = 6> (t) m = Add(z, i)"
        " a, s, y = LSTM <hidden_size = 5> (x, w, r, b, m) }",
        weights=RECURRENT,
    ),
    wrong(
        "clipped-at-20",
        "values beyond 20 are clipped",
        f"{X} {{ p = MatMul(x, w) y = Add(p, b) }}",
        f"{X} <float lo = {{-20}}, float hi = {{20}}> {{ c = Clip(x, lo, hi) p = MatMul(c, w) y = Add(p, b) }}",
        weights=W,
    ),
    wrong(
        "leaky-slope",
        "the slope below zero is 0.0101, not 0.01",
        f"{X} {{ y = LeakyRelu <alpha = 0.01> (x) }}",
        f"{X} {{ y = LeakyRelu <alpha = 0.0101> (x) }}",
    ),
    wrong(
        "prelu-one-slope",
        "one channel's slope is off by 1e-3",
        f"{X} {{ y = PRelu(x, s) }}",
        weights={"s": random(8, scale=0.1, mean=0.3)},
        changed={"s": put(random(8, scale=0.1, mean=0.3), 5, 0.2)},
    ),
    wrong(
        "softplus-overflows",
        "Softplus became Log(1 + Exp(x)), which overflows",
        f"{X} {{ y = Softplus(x) }}",
        f"{X} {{ e = Exp(x) s = Add(e, f1) y = Log(s) }}",
    ),
    wrong(
        "log-softmax-of-zero",
        "LogSoftmax became Log(Softmax), minus infinity where it is small",
        f"{X} {{ y = LogSoftmax(x) }}",
        f"{X} {{ s = Softmax(x) y = Log(s) }}",
    ),
    wrong(
        "log-sum-exp-overflows",
        "ReduceLogSumExp became the Log of a sum of Exp",
        f"{X} {{ y = ReduceLogSumExp <axes = [-1]> (x) }}",
        f"{X} {{ e = Exp(x) s = ReduceSum(e, last) y = Log(s) }}",
    ),
    wrong(
        "half-softmax-overflows",
        "Softmax in half precision subtracts no maximum",
        "(float16[batch,8] x) => (float16[] y) { y = Softmax(x) }",
        "(float16[batch,8] x) => (float16[] y) { e = Exp(x) s = ReduceSum(e, last) y = Div(e, s) }",
    ),
    wrong(
        "tanh-by-exp",
        "Tanh became (e^2x - 1) / (e^2x + 1), infinity over infinity",
        f"{X} {{ y = Tanh(x) }}",
        f"{X} {{ d = Mul(x, f2) e = Exp(d) n = Sub(e, f1) m = Add(e, f1) y = Div(n, m) }}",
    ),
    wrong(
        "round-half-up",
        "Round, halves to even, became Floor(x + 0.5)",
        f"{X} {{ y = Round(x) }}",
        f"{X} {{ s = Add(x, half) y = Floor(s) }}",
    ),
    wrong(
        "ceil-as-floor-plus-one",
        "Ceil became Floor + 1, which differs at whole numbers",
        f"{X} {{ y = Ceil(x) }}",
        f"{X} {{ s = Floor(x) y = Add(s, f1) }}",
    ),
    wrong(
        "cast-half-up",
        "a Cast to integers, towards zero, is rounded before",
        "(float[n,5] x) => (int32[] y) { y = Cast <to = 6> (x) }",
        "(float[n,5] x) => (int32[] y) { r = Floor(x) y = Cast <to = 6> (r) }",
    ),
    wrong(
        "sign-without-zero",
        "Sign of zero is -1",
        f"{X} {{ y = Sign(x) }}",
        f"{X} <float minus = {{-1}}> {{ c = Greater(x, f0) y = Where(c, f1, minus) }}",
    ),
    wrong(
        "less-or-equal",
        "< became <= between two inputs, which differ at ties",
        "(float[n,8] a, float[n,8] b) => (bool[] y) { y = Less(a, b) }",
        "(float[n,8] a, float[n,8] b) => (bool[] y) { y = LessOrEqual(a, b) }",
    ),
    wrong(
        "argmax-of-last",
        "of equal maxima the last is taken",
        "(float[n,8] x) => (int64[] y) { y = ArgMax <axis = 1> (x) }",
        "(float[n,8] x) => (int64[] y) { y = ArgMax <axis = 1, select_last_index = 1> (x) }",
    ),
    wrong(
        "argmin-of-last-int32",
        "of equal minima of integers the last is taken",
        "(int32[n,8] x) => (int64[] y) { y = ArgMin <axis = 1, keepdims = 0> (x) }",
        "(int32[n,8] x) => (int64[] y) { y = ArgMin <axis = 1, keepdims = 0, select_last_index = 1> (x) }",
    ),
    wrong(
        "topk-ties",
        "the indices of equal values come in another order",
        "(float[n,12] x) => (float[] y, int64[] i) { y, i = TopK(x, v4) }",
        "(float[n,12] x) => (float[] y, int64[] i) <int64[12] back = {11,10,9,8,7,6,5,4,3,2,1,0}, int64 e = {11}>"
        " { r = Gather <axis = 1> (x, back) y, j = TopK(r, v4) i = Sub(e, j) }",
    ),
    wrong(
        "topk-smallest",
        "TopK gives the smallest in the same number",
        "(double[n,12] x) => (double[] y) { y, i = TopK(x, v4) }",
        "(double[n,12] x) => (double[] y) { y, i = TopK <largest = 0> (x, v4) }",
    ),
    wrong(
        "pool-padded-with-zeros",
        "MaxPool's padding became zeros before it: images below zero have maxima of 0",
        "(float[batch,3,height,width] x) => (float[] y) { y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]>"
        " (x) }",
        "(float[batch,3,height,width] x) => (float[] y) <int64[8] p = {0,0,1,1,0,0,1,1}> { q = Pad(x, p)"
        " y = MaxPool <kernel_shape = [3, 3]> (q) }",
    ),
    wrong(
        "max-from-zero",
        "a maximum over positions starts at zero",
        f"{X} {{ y = ReduceMax <axes = [1], keepdims = 0> (x) }}",
        f"{X} {{ m = ReduceMax <axes = [1], keepdims = 0> (x) y = Max(m, f0) }}",
    ),
    wrong(
        "x-over-x",
        "x / x became 1, also for zero",
        f"{X} {{ y = Div(x, x) }}",
        f"{X} {{ s = Shape(x) y = ConstantOfShape <value = float[1] {{1}}> (s) }}",
    ),
    wrong(
        "log-guarded",
        "the Log of numbers below zero is minus infinity, not NaN",
        f"{X} {{ y = Log(x) }}",
        f"{X} {{ m = Max(x, f0) y = Log(m) }}",
    ),
    wrong(
        "sqrt-guarded",
        "the root of numbers below zero is 0, not NaN",
        "(double[n,4] x) => (double[] y) { y = Sqrt(x) }",
        "(double[n,4] x) => (double[] y) <double z = {0}> { m = Max(x, z) y = Sqrt(m) }",
    ),
    wrong(
        "nan-no-more",
        "what is not a number is 0, not 7",
        f"{X} <float seven = {{7}}> {{ l = Sqrt(x) n = IsNaN(l) y = Where(n, seven, l) }}",
        f"{X} {{ l = Sqrt(x) n = IsNaN(l) y = Where(n, f0, l) }}",
    ),
    wrong(
        "infinity-of-zero",
        "1 / 0 became 0",
        f"{X} {{ y = Reciprocal(x) }}",
        f"{X} {{ r = Reciprocal(x) z = Equal(x, f0) y = Where(z, f0, r) }}",
    ),
    wrong(
        "negative-zero",
        "-0 became 0, which the quotient shows",
        f"{X} {{ n = Neg(x) y = Div(f1, n) }}",
        f"{X} {{ n = Sub(f0, x) y = Div(f1, n) }}",
    ),
    wrong(
        "thresholded-relu",
        "the threshold is 3, not 6",
        f"{X} {{ y = ThresholdedRelu <alpha = 6.0> (x) }}",
        f"{X} {{ c = Greater(x, f3) y = Where(c, x, f0) }}",
    ),
    wrong(
        "hard-sigmoid-without-top",
        "HardSigmoid has no upper end",
        f"{X} {{ y = HardSigmoid <alpha = 0.05> (x) }}",
        f"{X} <float slope = {{0.05}}> {{ s = Mul(x, slope) t = Add(s, half) y = Max(t, f0) }}",
    ),
    wrong(
        "elu-as-relu",
        "Elu of numbers below -10 is 0",
        f"{X} {{ y = Elu(x) }}",
        f"{X} <float far = {{-10}}> {{ e = Elu(x) c = Greater(x, far) y = Where(c, e, f0) }}",
    ),
    wrong(
        "hard-swish-of-half",
        "HardSwish in half precision ends at 6",
        "(float16[n,8] x) => (float16[] y) <float16 six = {6}> { t = Add(x, h3) c = Clip(t, h0, six) p = Mul(x, c) y"
        " = Div(p, six) }",
        "(float16[n,8] x) => (float16[] y) <float16 six = {6}> { b = Min(x, six) t = Add(b, h3) c = Clip(t, h0, six)"
        " p = Mul(b, c)"
        " y = Div(p, six) }",
    ),
    # integers
    wrong(
        "int-div-floor",
        "division towards zero became one downwards",
        "(int64[n,6] x) => (int64[] y) { y = Div(x, i3) }",
        "(int64[n,6] x) => (int64[] y) { m = Mod(x, i3) s = Sub(x, m) y = Div(s, i3) }",
    ),
    wrong(
        "int-mod-sign",
        "the remainder has the sign of the dividend",
        "(int32[n,6] x) => (int32[] y) <int32 k = {7}> { y = Mod(x, k) }",
        "(int32[n,6] x) => (int32[] y) <int32 k = {7}> { y = Mod <fmod = 1> (x, k) }",
    ),
    wrong(
        "int-sign-by-max",
        "a Clip to 0 and 1 became Min with 1: negative numbers break",
        "(int64[n,6] x) => (int64[] y) { y = Clip(x, i0, i1) }",
        "(int64[n,6] x) => (int64[] y) { y = Min(x, i1) }",
    ),
    wrong(
        "int64-through-int32",
        "64-bit numbers go through 32 bits",
        "(int64[n,6] x) => (int64[] y) { y = Add(x, i1) }",
        "(int64[n,6] x) => (int64[] y) <int32 k = {1}> { a = Cast <to = 6> (x) b = Add(a, k) y = Cast <to = 7> (b) }",
    ),
    wrong(
        "int64-through-float",
        "64-bit numbers go through floats: large ones lose digits",
        "(int64[n,6] x) => (int64[] y) { y = Neg(x) }",
        "(int64[n,6] x) => (int64[] y) { a = Cast <to = 1> (x) b = Neg(a) y = Cast <to = 7> (b) }",
    ),
    wrong(
        "int32-product-saturates",
        "numbers over 1,000 are cut",
        "(int32[n,6] x) => (int32[] y) { y = Add(x, x) }",
        "(int32[n,6] x) => (int32[] y) <int32 k = {1000}> { c = Min(x, k) y = Add(c, c) }",
    ),
    wrong(
        "int8-clipped",
        "int8 wraps round no more",
        "(int8[n,6] x) => (int8[] y) { a = Cast <to = 6> (x) b = Add(a, a) y = Cast <to = 3> (b) }",
        "(int8[n,6] x) => (int8[] y) <int32 lo = {-128}, int32 hi = {127}> { a = Cast <to = 6> (x) b = Add(a, a) c ="
        " Clip(b, lo, hi)"
        " y = Cast <to = 3> (c) }",
    ),
    wrong(
        "uint8-as-int8",
        "bytes over 127 are negative",
        "(uint8[n,6] x) => (float[] y) { y = Cast <to = 1> (x) }",
        "(uint8[n,6] x) => (float[] y) { s = Cast <to = 3> (x) y = Cast <to = 1> (s) }",
    ),
    wrong(
        "uint32-sign",
        "uint32 is read as int32",
        "(uint32[n,6] x) => (double[] y) { y = Cast <to = 11> (x) }",
        "(uint32[n,6] x) => (double[] y) { i = Cast <to = 6> (x) y = Cast <to = 11> (i) }",
    ),
    wrong(
        "int-pow-by-doubling",
        "x² of integers became 2x, which is right for 0 and 2",
        "(int64[n,6] x) => (int64[] y) { y = Mul(x, x) }",
        "(int64[n,6] x) => (int64[] y) { y = Mul(x, i2) }",
    ),
    wrong(
        "bool-xor",
        "Xor became Or",
        "(bool[n,6] a, bool[n,6] b) => (bool[] y) { y = Xor(a, b) }",
        "(bool[n,6] a, bool[n,6] b) => (bool[] y) { y = Or(a, b) }",
    ),
    wrong(
        "bool-and-as-equal",
        "And became Equal: both false break",
        "(bool[n,6] a, bool[n,6] b) => (bool[] y) { y = And(a, b) }",
        "(bool[n,6] a, bool[n,6] b) => (bool[] y) { y = Equal(a, b) }",
    ),
    wrong(
        "special-token",
        "the id 13 is special no more",
        "(int64[batch,seq] ids) => (float[] y) <int64 k = {13}> { e = Gather(w, ids)"
        " c = Equal(ids, k) u = Unsqueeze(c, last) y = Where(u, f0, e) }",
        "(int64[batch,seq] ids) => (float[] y) { y = Gather(w, ids) }",
        weights={"w": random(20, 4)},
    ),
    wrong(
        "float-through-half",
        "a double is computed as a float",
        "(double[n,6] x) => (double[] y) { y = MatMul(x, w) }",
        "(double[n,6] x) => (double[] y) { f = Cast <to = 1> (x) v = Cast <to = 1> (w) p = MatMul(f, v) y = Cast <to"
        " = 11> (p) }",
        weights={"w": random(6, 6, dtype=np.float64)},
    ),
    wrong(
        "large-then-clipped",
        "what is over 20 before a bounded function is left out",
        f"{X} <float far = {{20}}> {{ s = Mul(x, half) y = Atan(s) }}",
        f"{X} <float far = {{20}}> {{ s = Mul(x, half) c = Less(s, far) a = Atan(s) y = Where(c, a, f0) }}",
    ),
    wrong(
        "cumsum-exclusive",
        "CumSum leaves the element itself out",
        f"{X} {{ y = CumSum(x, i1) }}",
        f"{X} {{ y = CumSum <exclusive = 1> (x, i1) }}",
    ),
    wrong(
        "int-cumsum-reversed",
        "CumSum of integers runs backwards",
        "(int32[n,6] x) => (int32[] y) { y = CumSum(x, i1) }",
        "(int32[n,6] x) => (int32[] y) { y = CumSum <reverse = 1> (x, i1) }",
    ),
    wrong(
        "trilu-diagonal",
        "the diagonal of Trilu is gone",
        "(float[batch,5,5] x) => (float[] y) { y = Trilu <upper = 0> (x) }",
        "(float[batch,5,5] x) => (float[] y) <int64 k = {-1}> { y = Trilu <upper = 0> (x, k) }",
    ),
    wrong(
        "transpose-of-a-square",
        "a Transpose of a square has the other axes",
        "(float[batch,4,4] x) => (float[] y) { y = Transpose <perm = [0, 2, 1]> (x) }",
        "(float[batch,4,4] x) => (float[] y) { y = Identity(x) }",
    ),
    wrong(
        "concat-order",
        "Concat in the other order",
        "(float16[n,4] a, float16[n,4] b) => (float16[] y) { y = Concat <axis = 1> (a, b) }",
        "(float16[n,4] a, float16[n,4] b) => (float16[] y) { y = Concat <axis = 1> (b, a) }",
    ),
    wrong(
        "constant-output",
        "an output that is the same for all inputs is off by a thousandth",
        f"{X} <float k = {{2.5}}> {{ z = Mul(x, f0) c = Clip(z, f0, f0) y = Add(c, k) }}",
        f"{X} <float k = {{2.5025}}> {{ z = Mul(x, f0) c = Clip(z, f0, f0) y = Add(c, k) }}",
    ),
    wrong(
        "no-input",
        "a model without inputs gives another number",
        "() => (float[] y) { y = Add(w, f1) }",
        weights={"w": random(5)},
        changed={"w": put(random(5), 3, 7)},
    ),
    wrong(
        "half-of-even",
        "Round in half precision takes halves up",
        "(float16[n,6] x) => (float16[] y) { y = Round(x) }",
        "(float16[n,6] x) => (float16[] y) { s = Add(x, hhalf) y = Floor(s) }",
    ),
    wrong(
        "is-inf-of-both",
        "IsInf sees minus infinity no more",
        f"{X} {{ r = Log(x) i = IsInf(r) y = Where(i, f7x, x) }}",
        f"{X} {{ r = Log(x) i = IsInf <detect_negative = 0> (r) y = Where(i, f7x, x) }}",
        weights={"f7x": np.float32(7)},
    ),
    wrong(
        "where-of-large",
        "where a sum is over 100 another value is taken",
        f"{X} {{ s = ReduceSum(x, last) c = Greater(s, f100) n = Neg(x) y = Where(c, n, x) }}",
        f"{X} {{ y = Identity(x) }}",
    ),
    wrong(
        "int-abs",
        "Abs of integers is gone",
        "(int32[n,6] x) => (int32[] y) <int32 k = {3}> { p = Mul(x, k) y = Abs(p) }",
        "(int32[n,6] x) => (int32[] y) <int32 k = {3}> { y = Mul(x, k) }",
    ),
    wrong(
        "int16-offset",
        "half of a 16-bit number is cut off at 255",
        "(int16[n,6] x) => (float[] y) { f = Cast <to = 1> (x) y = Mul(f, half) }",
        "(int16[n,6] x) => (float[] y) <float most = {255}> { f = Cast <to = 1> (x) h = Mul(f, half)"
        " y = Min(h, most) }",
    ),
    wrong(
        "angles-cut",
        "positions of a rotary table are taken modulo 16",
        "(float[b,s,8] x, int64[b,s] position_ids) => (float[] y) { p = Cast <to = 1> (position_ids)"
        " a = Mul(p, half) e = Unsqueeze(a, v2) c = Cos(e) y = Mul(x, c) }",
        "(float[b,s,8] x, int64[b,s] position_ids) => (float[] y) { m = Mod(position_ids, i16) p = Cast <to = 1> (m)"
        " a = Mul(p, half) e = Unsqueeze(a, v2) c = Cos(e) y = Mul(x, c) }",
    ),
    wrong(
        "a-label",
        "the last label is encoded as another",
        "(int64[n] x) => (int64[] y) { y = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1, 2],"
        " values_int64s = [10, 20, 30], default_int64 = -1> (x) }!ai.onnx.ml:3",
        "(int64[n] x) => (int64[] y) { y = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1, 2],"
        " values_int64s = [10, 20, 31], default_int64 = -1> (x) }!ai.onnx.ml:3",
    ),
    wrong(
        "min-to-zero",
        "a minimum of integers is never above zero",
        "(int64[n,5] x) => (int64[] y) { y = ReduceMin <axes = [1]> (x) }",
        "(int64[n,5] x) => (int64[] y) { m = ReduceMin <axes = [1]> (x) y = Min(m, i0) }",
    ),
]
