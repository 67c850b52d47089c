"""Rewrites that are right at one size only."""

from __future__ import annotations

import numpy as np

from tests.verification.planted.pair import random, wrong

TABLE = random(64, 8, seed=1)
WIDE = {"w": random(8, 8, scale=0.4), "table": TABLE, "cut": TABLE[:16], "ramp": np.arange(16, dtype=np.int64)}
X = "(float[batch,seq,8] x) => (float[] y)"
LOOPED = "(float[batch,seq,8] x) => (float[batch,seq,8] y)"
IDS = "(int64[batch,seq] ids) => (float[] y)"
SEQ = "s = Shape(x) n = Gather(s, i1)"

SIZES = [
    wrong(
        "size-of-another-dimension",
        "a mean divides by the size of another open dimension",
        "(float[batch,rows,columns] x) => (float[] y) { y = ReduceMean <axes = [1], keepdims = 0> (x) }",
        "(float[batch,rows,columns] x) => (float[] y) { t = ReduceSum <keepdims = 0> (x, v1)"
        " s = Shape <start = 2, end = 3> (x) f = Cast <to = 1> (s) y = Div(t, f) }",
    ),
    wrong(
        "higher-than-wide",
        "an image is resized to its width by its height",
        '(float[batch,3,height,width] x) => (float[] y) { s = Shape(x) y = Resize <mode = "nearest"> (x, , , s) }',
        "(float[batch,3,height,width] x) => (float[] y) <int64[4] o = {0, 1, 3, 2}> { s = Shape(x) t = Gather(s, o)"
        ' y = Resize <mode = "nearest"> (x, , , t) }',
    ),
    wrong(
        "reshape-2x16",
        "the heads' Reshape has batch 2 and sequence 16",
        f"{X} <int64[4] to = {{0, 0, 2, 4}}> {{ r = Reshape(x, to) y = Transpose <perm = [0, 2, 1, 3]> (r) }}",
        f"{X} <int64[4] to = {{2, 16, 2, 4}}> {{ r = Reshape(x, to) y = Transpose <perm = [0, 2, 1, 3]> (r) }}",
    ),
    wrong(
        "reshape-sequence",
        "the sequence is 16 in a Reshape whose batch is open",
        f"{X} <int64[4] to = {{0, 0, 2, 4}}> {{ p = MatMul(x, w) y = Reshape(p, to) }}",
        f"{X} <int64[4] to = {{-1, 16, 2, 4}}> {{ p = MatMul(x, w) y = Reshape(p, to) }}",
        weights=WIDE,
    ),
    wrong(
        "flatten-as-reshape",
        "Flatten became a Reshape to two rows",
        "(float[batch,4,8] x) => (float[] y) { y = Flatten(x) }",
        "(float[batch,4,8] x) => (float[] y) <int64[2] to = {2, -1}> { y = Reshape(x, to) }",
    ),
    wrong(
        "expand-2x16",
        "a class token is expanded to a batch of 2",
        f"{X} <float[1,1,8] c = {{1,2,3,4,5,6,7,8}}> {{ s = Shape <start = 0, end = 1> (x) t = Concat <axis = 0> (s,"
        f" v1, v8)"
        " e = Expand(c, t) y = Concat <axis = 1> (e, x) }",
        f"{X} <float[1,1,8] c = {{1,2,3,4,5,6,7,8}}, int64[3] t = {{2, 1, 8}}> {{ e = Expand(c, t) y = Concat <axis"
        f" = 1> (e, x) }}",
    ),
    wrong(
        "slice-end-16",
        "all but the first position became positions 1 to 15",
        f"{X} {{ y = Slice(x, v1, end, v1) }}",
        f"{X} {{ y = Slice(x, v1, v16, v1) }}",
    ),
    wrong(
        "half-slice-end-16",
        "a Slice to the end, in half precision, became one to 16",
        "(float16[batch,seq,8] x) => (float16[] y) { c = Slice(x, v0, end, v1) y = Mul(c, h3) }",
        "(float16[batch,seq,8] x) => (float16[] y) { c = Slice(x, v0, v16, v1) y = Mul(c, h3) }",
    ),
    wrong(
        "position-table-cut",
        "the table of 64 positions is cut to 16",
        f"{X} {{ s = Shape <start = 1, end = 2> (x) p = Slice(table, v0, s, v0) y = Add(x, p) }}",
        f"{X} {{ s = Shape <start = 1, end = 2> (x) p = Slice(cut, v0, s, v0) y = Add(x, p) }}",
        weights=WIDE,
    ),
    wrong(
        "range-as-constant",
        "Range over the sequence became the numbers 0 to 15",
        f"{IDS} {{ s = Shape(ids) n = Gather(s, i1) r = Range(i0, n, i1) t = Add(ids, r) y = Cast <to = 1> (t) }}",
        f"{IDS} {{ t = Add(ids, ramp) y = Cast <to = 1> (t) }}",
        weights=WIDE,
    ),
    wrong(
        "positions-modulo-16",
        "positions start again at 16",
        f"{X} {{ {SEQ} r = Range(i0, n, i1) p = Gather(table, r) y = Add(x, p) }}",
        f"{X} {{ {SEQ} q = Range(i0, n, i1) r = Mod(q, i16) p = Gather(table, r) y = Add(x, p) }}",
        weights=WIDE,
    ),
    wrong(
        "mean-as-sum-over-16",
        "the mean over the sequence became a sum over 16, after a product",
        f"{X} {{ p = MatMul(x, w) y = ReduceMean <axes = [1], keepdims = 0> (p) }}",
        f"{X} {{ p = MatMul(x, w) t = ReduceSum <keepdims = 0> (p, v1) y = Div(t, f16) }}",
        weights=WIDE,
    ),
    wrong(
        "batch-mean-as-half-the-sum",
        "the mean over the batch became half the sum",
        "(float[batch,6] x) => (float[] y) { y = ReduceMean <axes = [0]> (x) }",
        "(float[batch,6] x) => (float[] y) { t = ReduceSum(x, v0) y = Mul(t, half) }",
    ),
    wrong(
        "squeeze-all",
        "a Squeeze of the last axis became one of every axis of 1",
        "(float[batch,seq,1] x) => (float[] y) { n = Neg(x) y = Squeeze(n, last) }",
        "(float[batch,seq,1] x) => (float[] y) { n = Neg(x) y = Squeeze(n) }",
    ),
    wrong(
        "branch-for-one",
        "the branch for sequences of one is another",
        f"{X} {{ {SEQ} one = Equal(n, i1) y = If (one) <then_branch = t () => (float[a,b,c] u) {{ u = Abs(x) }},"
        " else_branch = e () => (float[a,b,c] v) { v = Tanh(x) }> }",
        f"{X} {{ {SEQ} one = Equal(n, i1) y = If (one) <then_branch = t () => (float[a,b,c] u) {{ u = Identity(x) }},"
        " else_branch = e () => (float[a,b,c] v) { v = Tanh(x) }> }",
    ),
    wrong(
        "branch-for-long",
        "the branch for sequences over 16 is another",
        f"{X} {{ {SEQ} long = Greater(n, i16) y = If (long) <then_branch = t () => (float[a,b,c] u) {{ u = Abs(x) }},"
        " else_branch = e () => (float[a,b,c] v) { v = Tanh(x) }> }",
        f"{X} {{ y = Tanh(x) }}",
    ),
    wrong(
        "every-second-by-pairs",
        "every second position is taken by pairs, which an odd sequence does not have",
        "(float[batch,seq] x) => (float[] y) { y = Slice(x, v0, end, v1, v2) }",
        "(float[batch,seq] x) => (float[] y) <int64[3] to = {0, -1, 2}> { p = Reshape(x, to)"
        " y = Gather <axis = 2> (p, i0) }",
    ),
    wrong(
        "half-rounded-up",
        "the first half of the sequence, rounded down, is rounded up",
        "(int64[batch,seq] ids) => (int64[] y) { s = Shape <start = 1, end = 2> (ids) n = Div(s, v2)"
        " y = Slice(ids, v0, n, v1) }",
        "(int64[batch,seq] ids) => (int64[] y) { s = Shape <start = 1, end = 2> (ids) m = Add(s, v1) n = Div(m, v2)"
        " y = Slice(ids, v0, n, v1) }",
    ),
    wrong(
        "resize-to-64",
        "an image is resized to 64 × 64, not to twice its size",
        "(float[batch,3,height,width] x) => (float[] y) <float[4] by = {1, 1, 2, 2}> { y = Resize(x, , by) }",
        "(float[batch,3,height,width] x) => (float[] y) <int64[2] to = {64, 64}> { s = Shape <end = 2> (x)"
        " t = Concat <axis = 0> (s, to) y = Resize(x, , , t) }",
    ),
    wrong(
        "zeros-2x16",
        "ConstantOfShape makes zeros of 2 × 16",
        "(int32[batch,seq] x) => (int32[] y) { s = Shape(x) z = ConstantOfShape <value = int32[1] {5}> (s)"
        " y = Concat <axis = 0> (x, z) }",
        "(int32[batch,seq] x) => (int32[] y) <int64[2] s = {2, 16}> { z = ConstantOfShape <value = int32[1] {5}> (s)"
        " y = Concat <axis = 0> (x, z) }",
    ),
    wrong(
        "tile-twice",
        "an Expand over the batch became a Tile of two",
        "(double[batch,4] x, double[1,4] z) => (double[] y) { s = Shape(x) e = Expand(z, s)"
        " y = Concat <axis = 1> (x, e) }",
        "(double[batch,4] x, double[1,4] z) => (double[] y) <int64[2] by = {2, 1}> { e = Tile(z, by)"
        " y = Concat <axis = 1> (x, e) }",
    ),
    wrong(
        "loop-of-16",
        "a Loop over the sequence goes round 16 times",
        f"{LOOPED} {{ {SEQ} z = Mul(x, f0) y = Loop (n, true, z) <body = b (int64 i, bool c, float[p,q,r] a) =>"
        " (bool d, float[p,q,r] t) { d = Identity(c) k = Gather <axis = 1> (x, i) u = Unsqueeze(k, v1)"
        " t = Add(a, u) }> }",
        f"{LOOPED} {{ z = Mul(x, f0) y = Loop (i16, true, z) <body = b (int64 i, bool c, float[p,q,r] a) =>"
        " (bool d, float[p,q,r] t) { d = Identity(c) k = Gather <axis = 1> (x, i) u = Unsqueeze(k, v1)"
        " t = Add(a, u) }> }",
    ),
    wrong(
        "temperature-of-16",
        "scores are divided by 4, not by the root of the sequence",
        f"{X} {{ s = Shape <start = 1, end = 2> (x) n = Cast <to = 1> (s) r = Sqrt(n) q = Div(x, r)"
        " y = Softmax <axis = 1> (q) }",
        f"{X} <float four = {{4}}> {{ q = Div(x, four) y = Softmax <axis = 1> (q) }}",
    ),
    wrong(
        "causal-table-of-15",
        "positions after the fifteenth see everything",
        "(float[batch,seq,seq] x) => (float[] y) { s = Shape <start = 1> (x) o = ConstantOfShape <value = float[1]"
        " {-10000}> (s)"
        " m = Trilu(o, i1) a = Add(x, m) y = Softmax(a) }",
        "(float[batch,seq,seq] x) => (float[] y) <int64[1] most = {15}> { s = Shape <start = 1> (x) o ="
        " ConstantOfShape <value = float[1]"
        " {-10000}> (s)"
        " t = Trilu(o, i1) k = Slice(t, v0, most, v0) d = Shape <start = 0, end = 1> (k) g = Sub(s, d)"
        " g0 = Slice(g, v0, v1, v0) p = Concat <axis = 0> (v0, v0, g0, v0) m = Pad(k, p) a = Add(x, m) y ="
        " Softmax(a) }",
    ),
    wrong(
        "topk-of-five",
        "the smaller of five and the sequence became five",
        "(float[batch,seq] x) => (float[] y) <int64[1] five = {5}> { s = Shape <start = 1, end = 2> (x)"
        " k = Min(s, five) y, i = TopK(x, k) }",
        "(float[batch,seq] x) => (float[] y) <int64[1] five = {5}> { y, i = TopK(x, five) }",
    ),
    wrong(
        "last-by-number",
        "the last position became the fifteenth",
        f"{X} <int64 minus = {{-1}}> {{ y = Gather <axis = 1> (x, minus) }}",
        f"{X} <int64 number = {{15}}> {{ y = Gather <axis = 1> (x, number) }}",
    ),
    wrong(
        "split-of-16",
        "a Split of the sequence in halves became one into 8 and the rest",
        "(float[batch,seq,4] x) => (float[] y) { s = Shape <start = 1, end = 2> (x) n = Div(s, v2) m = Sub(s, n)"
        " k = Concat <axis = 0> (n, m) a, b = Split <axis = 1> (x, k) y = Concat <axis = 1> (b, a) }",
        "(float[batch,seq,4] x) => (float[] y) { s = Shape <start = 1, end = 2> (x) m = Sub(s, v8)"
        " k = Concat <axis = 0> (v8, m) a, b = Split <axis = 1> (x, k) y = Concat <axis = 1> (b, a) }",
    ),
    wrong(
        "pool-ceil",
        "the last row and column of odd images are left out",
        "(float[batch,3,height,width] x) => (float[] y)"
        " { y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x) }",
        "(float[batch,3,height,width] x) => (float[] y) { y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }",
    ),
]
