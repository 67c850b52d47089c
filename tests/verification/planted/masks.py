"""Rewrites that take masks, positions and kinds of tokens for less than they can be."""

from __future__ import annotations

import numpy as np

from tests.verification.planted.pair import random, wrong

X = "(float[batch,seq,8] x, int64[batch,seq] attention_mask) => (float[] y)"
SHARED = {
    "w": random(8, 8, scale=0.4),
    "table": random(64, 8, seed=1),
    "kinds": random(2, 8, seed=2),
    "inf": np.float32(-np.inf),
}
SCORES = "t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x, t)"
BIAS = "m = Cast <to = 1> (attention_mask) i = Sub(f1, m) n = Mul(i, lowest) u = Unsqueeze(n, v1)"
ATTEND = f"{SCORES} {BIAS} a = Add(s, u) p = Softmax(a) y = MatMul(p, x)"
LENGTH = "l = ReduceSum(attention_mask, v1) d = Shape <start = 1, end = 2> (x) e = Squeeze(d) r = Range(i0, e, i1)"

MASKS = [
    wrong(
        "mask-as-length",
        "a mask became the comparison of positions with its sum: holes and padding at the left break",
        f"{X} {{ {ATTEND} }}",
        f"{X} {{ {LENGTH} {SCORES} c = Less(r, l) m = Cast <to = 1> (c) i = Sub(f1, m) n = Mul(i, lowest)"
        " u = Unsqueeze(n, v1) a = Add(s, u) p = Softmax(a) y = MatMul(p, x) }",
        weights=SHARED,
    ),
    wrong(
        "last-token-by-length",
        "the last token is looked for at the mask's sum less one, which padding at the left moves",
        f"{X} {{ d = Shape <start = 1, end = 2> (x) e = Squeeze(d) r = Range(i0, e, i1) q = Mul(attention_mask, r)"
        " k = ReduceMax <axes = [1]> (q) g = Unsqueeze(k, v2) o = Expand(g, v3x) y = GatherElements <axis = 1> (x,"
        " o) }",
        f"{X} {{ l = ReduceSum(attention_mask, v1) h = Sub(l, i1) k = Max(h, i0) g = Unsqueeze(k, v2) o = Expand(g,"
        f" v3x)"
        " y = GatherElements <axis = 1> (x, o) }",
        weights={"v3x": np.int64([1, 1, 8])},
    ),
    wrong(
        "positions-without-mask",
        "positions that count words became 0, 1, 2, …",
        f"{X} {{ c = CumSum(attention_mask, i1) q = Sub(c, i1) k = Max(q, i0) p = Gather(table, k) y = Add(x, p) }}",
        f"{X} {{ d = Shape <start = 1, end = 2> (x) e = Squeeze(d) r = Range(i0, e, i1) p = Gather(table, r)"
        " y = Add(x, p) }",
        weights=SHARED,
    ),
    wrong(
        "mean-of-nothing",
        "the mean over a mask that hides all is NaN, not 0",
        f"{X} {{ m = Cast <to = 1> (attention_mask) u = Unsqueeze(m, last) p = Mul(x, u) t = ReduceSum(p, v1)"
        " c = ReduceSum(u, v1) k = Max(c, tiny) y = Div(t, k) }",
        f"{X} {{ m = Cast <to = 1> (attention_mask) u = Unsqueeze(m, last) p = Mul(x, u) t = ReduceSum(p, v1)"
        " c = ReduceSum(u, v1) y = Div(t, c) }",
    ),
    wrong(
        "mean-without-mask",
        "the mean over the words became one over all positions",
        f"{X} {{ m = Cast <to = 1> (attention_mask) u = Unsqueeze(m, last) p = Mul(x, u) t = ReduceSum(p, v1)"
        " c = ReduceSum(u, v1) k = Max(c, tiny) y = Div(t, k) }",
        f"{X} {{ y = ReduceMean <axes = [1]> (x) }}",
    ),
    wrong(
        "first-token-always-seen",
        "the first position is seen also where the mask hides it",
        f"{X} {{ {ATTEND} }}",
        f"{X} {{ o = Slice(attention_mask, v0, v1, v1) k = Sub(o, o) k1 = Add(k, v1) rest = Slice(attention_mask,"
        f" v1, end, v1)"
        f" all = Concat <axis = 1> (k1, rest) {ATTEND.replace('(attention_mask)', '(all)')} }}",
        weights=SHARED,
    ),
    wrong(
        "mask-of-minus-ten",
        "hidden scores get -10, not -10,000",
        f"{X} {{ {ATTEND} }}",
        weights=SHARED,
        changed={"lowest": np.float32(-10)},
    ),
    wrong(
        "mask-before-the-scale",
        "the mask is divided by 10,000 with the scores, and hides nothing",
        f"{X} <float k = {{10000}}> {{ {SCORES} {BIAS} q = Div(s, k) a = Add(q, u) y = Softmax(a) }}",
        f"{X} <float k = {{10000}}> {{ {SCORES} {BIAS} q = Add(s, u) a = Div(q, k) y = Softmax(a) }}",
    ),
    wrong(
        "infinite-mask-finite",
        "a row that hides all is uniform, not NaN",
        f"{X} {{ {SCORES} c = Cast <to = 9> (attention_mask) k = Unsqueeze(c, v1) a = Where(k, s, inf) y ="
        f" Softmax(a) }}",
        f"{X} {{ {SCORES} c = Cast <to = 9> (attention_mask) k = Unsqueeze(c, v1) a = Where(k, s, lowest) y ="
        f" Softmax(a) }}",
        weights=SHARED,
        open=("reassociation each", "reassociation final", "verify"),  # what such a row gives means nothing
    ),
    wrong(
        "bool-mask-dropped",
        "a mask of booleans is ignored",
        "(float[batch,seq] x, bool[batch,seq] mask) => (float[] y) { y = Where(mask, x, f0) }",
        "(float[batch,seq] x, bool[batch,seq] mask) => (float[] y) { y = Identity(x) }",
    ),
    wrong(
        "float-mask-dropped",
        "an additive mask is ignored",
        "(float[batch,seq,seq] x, float[batch,seq] attention_mask) => (float[] y) { u = Unsqueeze(attention_mask, v1)"
        " a = Add(x, u) y = Softmax(a) }",
        "(float[batch,seq,seq] x, float[batch,seq] attention_mask) => (float[] y) { y = Softmax(x) }",
    ),
    wrong(
        "positions-shifted",
        "positions are counted anew and not taken from the input",
        "(float[batch,seq,8] x, int64[batch,seq] position_ids) => (float[] y) { p = Gather(table, position_ids)"
        " y = Add(x, p) }",
        "(float[batch,seq,8] x, int64[batch,seq] position_ids) => (float[] y) { f = Slice(position_ids, v0, v1, v1)"
        " q = Sub(position_ids, f) p = Gather(table, q) y = Add(x, p) }",
        weights=SHARED,
    ),
    wrong(
        "positions-cut-at-15",
        "positions over 15 are taken for 15",
        "(float[batch,seq,8] x, int64[batch,seq] position_ids) => (float[] y) { p = Gather(table, position_ids)"
        " y = Add(x, p) }",
        "(float[batch,seq,8] x, int64[batch,seq] position_ids) => (float[] y) <int64 top = {15}> {"
        " q = Min(position_ids, top) p = Gather(table, q) y = Add(x, p) }",
        weights=SHARED,
    ),
    wrong(
        "one-kind-of-token",
        "all tokens are of kind 0",
        "(float[batch,seq,8] x, int64[batch,seq] token_type_ids) => (float[] y) { k = Gather(kinds, token_type_ids)"
        " y = Add(x, k) }",
        "(float[batch,seq,8] x, int64[batch,seq] token_type_ids) => (float[] y) { k = Gather(kinds, i0) y = Add(x,"
        " k) }",
        weights=SHARED,
    ),
    wrong(
        "lengths-ignored",
        "all sequences are taken for full",
        "(float[batch,16,8] x, int64[batch] lengths) => (float[] y) <int64[16] r ="
        " {0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}>"
        " { l = Unsqueeze(lengths, v1) c = Less(r, l) u = Unsqueeze(c, last) y = Where(u, x, f0) }",
        "(float[batch,16,8] x, int64[batch] lengths) => (float[] y) { y = Identity(x) }",
    ),
]
