"""Rewrites that change what a caller sees of the model."""

from __future__ import annotations

from tests.verification.planted.pair import wrong

TWO = "{ y = Relu(x) z = Neg(x) }"
SUB = "{ y = Sub(a, b) }"

INTERFACE = [
    wrong(
        "output-renamed",
        "an output has another name",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] x) => (float[n,8] out) { out = Relu(x) }",
    ),
    wrong(
        "output-dropped",
        "an output is gone",
        f"(float[n,8] x) => (float[n,8] y, float[n,8] z) {TWO}",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
    ),
    wrong(
        "output-added",
        "an output is new",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        f"(float[n,8] x) => (float[n,8] y, float[n,8] z) {TWO}",
    ),
    wrong(
        "outputs-reordered",
        "two outputs come in the other order",
        f"(float[n,8] x) => (float[n,8] y, float[n,8] z) {TWO}",
        f"(float[n,8] x) => (float[n,8] z, float[n,8] y) {TWO}",
    ),
    wrong(
        "outputs-swapped",
        "two integer outputs stand under each other's names",
        "(int64[n,8] x) => (int64[] y, int64[] z) { y = Abs(x) z = Neg(x) }",
        "(int64[n,8] x) => (int64[] y, int64[] z) { z = Abs(x) y = Neg(x) }",
    ),
    wrong(
        "output-dtype",
        "an output is a double",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] x) => (double[n,8] y) { r = Relu(x) y = Cast <to = 11> (r) }",
    ),
    wrong(
        "output-int32",
        "indices are 32-bit integers",
        "(float[n,8] x) => (int64[n,1] y) { y = ArgMax <axis = 1> (x) }",
        "(float[n,8] x) => (int32[n,1] y) { a = ArgMax <axis = 1> (x) y = Cast <to = 6> (a) }",
    ),
    wrong(
        "output-half",
        "an output is in half precision",
        "(float[n,8] x) => (float[n,8] y) { y = Floor(x) }",
        "(float[n,8] x) => (float16[n,8] y) { f = Floor(x) y = Cast <to = 10> (f) }",
    ),
    wrong(
        "output-dims",
        "the output is declared 5 × 8, and is n × 8",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] x) => (float[5,8] y) { y = Relu(x) }",
    ),
    wrong(
        "output-rank",
        "the output is declared without its batch",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] x) => (float[8] y) { y = Relu(x) }",
    ),
    wrong(
        "input-renamed",
        "an input has another name",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] data) => (float[n,8] y) { y = Relu(data) }",
    ),
    wrong(
        "inputs-renamed",
        "both inputs have other names, in the same order",
        f"(float[n,8] a, float[n,8] b) => (float[n,8] y) {SUB}",
        "(float[n,8] p, float[n,8] q) => (float[n,8] y) { y = Sub(p, q) }",
    ),
    wrong(
        "inputs-swapped",
        "two inputs stand under each other's names",
        f"(float[n,8] a, float[n,8] b) => (float[n,8] y) {SUB}",
        "(float[n,8] a, float[n,8] b) => (float[n,8] y) { y = Sub(b, a) }",
    ),
    wrong(
        "inputs-reordered",
        "two inputs come in the other order",
        f"(float[n,8] a, float[n,8] b) => (float[n,8] y) {SUB}",
        f"(float[n,8] b, float[n,8] a) => (float[n,8] y) {SUB}",
    ),
    wrong(
        "input-dropped",
        "an input that nothing reads is gone",
        "(float[n,8] x, int64[n,8] m) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
    ),
    wrong(
        "input-added",
        "an input is new",
        "(float[n,8] x) => (float[n,8] y) { y = Relu(x) }",
        "(float[n,8] x, int64[n,8] m) => (float[n,8] y) { y = Relu(x) }",
    ),
    wrong(
        "input-batch",
        "the batch is fixed to 1",
        "(float[batch,8] x) => (float[batch,8] y) { y = Tanh(x) }",
        "(float[1,8] x) => (float[1,8] y) { y = Tanh(x) }",
    ),
    wrong(
        "input-sequence",
        "the sequence is fixed to 16, as inputs are usually made",
        "(float[batch,seq,4] x) => (float[] y) { y = Tanh(x) }",
        "(float[batch,16,4] x) => (float[] y) { y = Tanh(x) }",
    ),
    wrong(
        "input-dtype",
        "an input takes 32-bit integers",
        "(int64[n,8] ids) => (float[n,8] y) { y = Cast <to = 1> (ids) }",
        "(int32[n,8] ids) => (float[n,8] y) { y = Cast <to = 1> (ids) }",
    ),
    wrong(
        "input-float",
        "an input takes floats for doubles",
        "(double[n,8] x) => (double[n,8] y) { y = Floor(x) }",
        "(float[n,8] x) => (double[n,8] y) { c = Cast <to = 11> (x) y = Floor(c) }",
    ),
    wrong(
        "overridable",
        "an initializer that callers may override is folded",
        "(float[n,8] x, float[8] k = {1,2,3,4,5,6,7,8}) => (float[] y) { y = Mul(x, k) }",
        "(float[n,8] x) => (float[] y) <float[8] k = {1,2,3,4,5,6,7,8}> { y = Mul(x, k) }",
    ),
    wrong(
        "overridable-int",
        "a count that callers may override is folded",
        "(float[n,8] x, int64[1] k = {2}) => (float[] y) { y, i = TopK(x, k) }",
        "(float[n,8] x) => (float[] y) { y, i = TopK(x, v2) }",
    ),
    wrong(
        "default-changed",
        "the default value of an input is another",
        "(float[n,8] x, float k = {2}) => (float[] y) { y = Mul(x, k) }",
        "(float[n,8] x, float k = {2.5}) => (float[] y) { y = Mul(x, k) }",
    ),
    wrong(
        "output-squeezed",
        "an output lost an axis of 1",
        "(float[n,8] x) => (float[n,1] y) { y = ReduceSum(x, v1) }",
        "(float[n,8] x) => (float[n] y) { y = ReduceSum <keepdims = 0> (x, v1) }",
    ),
]
