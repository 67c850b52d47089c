"""Attention of two heads of four elements, written as exporters write it: text bodies, and models of them.

Every body computes `y` from `x` of `[batch, seq, 8]`, by layers whose weights are drawn so that the Softmax is neither
flat nor sharp.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from regraft.files.convert import from_proto
from regraft.ir.model import Model

LAYERS = "q0 = MatMul(x, wq) q1 = Add(q0, bq) k0 = MatMul(x, wk) k1 = Add(bk, k0) v0 = MatMul(x, wv) v1 = Add(v0, bv) "
HEADS = "qr = Reshape(q1, heads) kr = Reshape(k1, heads) vr = Reshape(v1, heads) "
Q, K, V = (f"{name} = Transpose<perm=[0,2,1,3]>({name}r) " for name in "qkv")
KEYS = K + "kt = Transpose<perm=[0,1,3,2]>(k) "
TURNED = "kt = Transpose<perm=[0,2,3,1]>(kr) "
APART = LAYERS + HEADS + Q + KEYS + V
AT_ONCE = LAYERS + HEADS + Q + TURNED + V
SCORES = APART + "s = MatMul(q, kt) "
HALF = "d = Mul(s, half) "
MERGE = "t = Transpose<perm=[0,2,1,3]>(c) y = Reshape(t, merged) "
END = "p = Softmax<axis=-1>(a) c = MatMul(p, v) " + MERGE
BIASED = "a = Add(d, bias) " + END
GUARDED = "p0 = Softmax<axis=-1>(a) n = IsNaN(p0) p = Where(n, zero, p0) c = MatMul(p, v) " + MERGE
ROOT = "sh = Shape(q) size = Gather<axis=0>(sh, three) whole = Cast<to=1>(size) root = Sqrt(whole) "
FLAT = (
    LAYERS + HEADS + Q + K + V + "q3 = Reshape(q, flat) k3 = Reshape(k, flat) v3 = Reshape(v, flat) "
    "kt = Transpose<perm=[0,2,1]>(k3) "
)
FLAT_END = "c3 = MatMul(p, v3) c = Reshape(c3, split) " + MERGE
WOVEN = (
    "tx = Transpose<perm=[1,0,2]>(x) w0 = MatMul(tx, wqkv) w = Add(w0, bqkv) w5 = Reshape(w, woven) "
    "qi = Gather<axis=3>(w5, i0) ki = Gather<axis=3>(w5, i1) vi = Gather<axis=3>(w5, i2) "
    "q4 = Transpose<perm=[1,2,0,3]>(qi) k4 = Transpose<perm=[1,2,0,3]>(ki) v4 = Transpose<perm=[1,2,0,3]>(vi) "
)

FORMS = {
    "eager": SCORES + HALF + BIASED,
    "divided": SCORES + "d = Div(s, two) " + BIASED,
    "other order": SCORES + "d = Mul(half, s) a = Add(bias, d) " + END,
    "keys turned at once": AT_ONCE + "s = MatMul(q, kt) " + HALF + BIASED,
    "queries scaled": APART + "qs = Div(q, two) d = MatMul(qs, kt) " + BIASED,
    "queries scaled before heads": LAYERS
    + "qs = Mul(q1, half) qr = Reshape(qs, heads) kr = Reshape(k1, heads) vr = Reshape(v1, heads) "
    + (Q + TURNED + V + "d = MatMul(q, kt) " + BIASED),
    "keys scaled": APART + "ks = Mul(kt, half) d = MatMul(q, ks) " + BIASED,
    "both scaled, guarded": APART + "qs = Mul(q, root_half) ks = Mul(root_half, kt) d = MatMul(qs, ks) "
    "a = Add(d, bias) " + GUARDED,
    "root of a dimension": SCORES + ROOT + "d = Div(s, root) " + BIASED,
    "roots of a dimension": APART + ROOT + "f = Div(one, root) g = Sqrt(f) qs = Mul(q, g) ks = Mul(kt, g) "
    "d = MatMul(qs, ks) a = Add(d, bias) " + GUARDED,
    "keys flattened": LAYERS
    + (HEADS + Q + K + V + "k3 = Reshape(k, flat) kt3 = Transpose<perm=[0,2,1]>(k3) kt = Reshape(kt3, turned) ")
    + ("s = MatMul(q, kt) " + HALF + BIASED),
    "dropout, identity": SCORES + HALF + "a = Add(d, bias) p0 = Softmax<axis=3>(a) p1, drop = Dropout(p0) "
    "p = Identity(p1) c = MatMul(p, v) " + MERGE,
    "two biases": SCORES + "d = Add(s, places) " + BIASED,
    "bias taken away": SCORES + HALF + "m = Neg(bias) a = Sub(d, m) " + END,
    "no mask": SCORES + "a = Mul(s, half) " + END,
    "choice of minus infinity": SCORES + HALF + "m = Where(keep, zero, minus_inf) a = Add(d, m) " + GUARDED,
    "choice of the least": SCORES + HALF + "m = Where(keep, zero, least) a = Add(d, m) " + END,
    "filled": SCORES + HALF + "a = Where(keep, d, least) " + END,
    "filled where masked": SCORES + HALF + "hide = Not(keep) a = Where(hide, minus_inf, d) " + END,
    "causal fill and bias": SCORES + HALF + "w = Where(before, d, least) a = Add(w, bias) " + END,
    "flat heads, gated": FLAT + "s = MatMul(q3, kt) d = Mul(s, half) m = Cast<to=9>(keep3) f = ConstantOfShape(none) "
    "f1 = Add(f, one) f2 = Mul(f1, vast) a = Where(m, d, f2) p0 = Softmax<axis=-1>(a) p = Mul(p0, keep3) " + FLAT_END,
    "flat heads, bias": FLAT
    + "s = MatMul(q3, kt) d = Mul(s, half) a = Add(d, bias3) p = Softmax<axis=-1>(a) "
    + FLAT_END,
    "flat heads, bias between": FLAT + "s3 = MatMul(q3, kt) s = Reshape(s3, square) d = Mul(s, half) a4 = Add(d, bias) "
    "a = Reshape(a4, flat_square) p = Softmax<axis=-1>(a) " + FLAT_END,
    "keys by queries": LAYERS
    + (HEADS + K + V + "qt = Transpose<perm=[0,2,3,1]>(qr) s = MatMul(k, qt) d = Mul(s, half) ")
    + "bt = Transpose<perm=[0,1,3,2]>(rows) a = Add(d, bt) p0 = Softmax<axis=2>(a) p = Transpose<perm=[0,1,3,2]>(p0) "
    + ("c = MatMul(p, v) " + MERGE),
    "values by weights": LAYERS
    + (HEADS + Q + TURNED + "s = MatMul(q, kt) d = Mul(s, half) a = Add(d, bias) p0 = Softmax<axis=-1>(a) ")
    + "p = Transpose<perm=[0,1,3,2]>(p0) vt = Transpose<perm=[0,2,3,1]>(vr) ct = MatMul(vt, p) "
    + "t = Transpose<perm=[0,3,1,2]>(ct) y = Reshape(t, merged)",
    "two-dimensional layers": "x2 = Reshape(x, rows8) q0 = MatMul(x2, wq) k0 = MatMul(x2, wk) v0 = MatMul(x2, wv) "
    "qn = Reshape(q0, here) kn = Reshape(k0, here) vn = Reshape(v0, here) qr = Add(qn, bq2) kr = Add(kn, bk2) "
    + ("vr = Add(vn, bv2) " + Q + TURNED + V + "s = MatMul(q, kt) d = Mul(s, half) a = Add(d, bias) ")
    + "p = Softmax<axis=-1>(a) c = MatMul(p, v) t = Transpose<perm=[0,2,1,3]>(c) y2 = Reshape(t, rows8) "
    "y = Reshape(y2, merged_here)",
    "merged, split": "w0 = MatMul(x, wqkv) w = Add(w0, bqkv) q1, k1, v1 = SPLIT3(w) "
    + (HEADS + Q + TURNED + V + "s = MatMul(q, kt) " + HALF + BIASED),
    "merged, Gemm": "x2 = Reshape(x, rows8) w2 = Gemm(x2, wqkv, bqkv) w = Reshape(w2, here24) q1, k1, v1 = SPLIT3(w) "
    + (HEADS + Q + TURNED + V + "s = MatMul(q, kt) " + HALF + BIASED),
    "merged, Gemm of rows": "x2 = Reshape(x, rows8) w2 = Gemm<transB=1>(x2, wqkv_t, bqkv) w = Reshape(w2, here24) "
    + ("q1, k1, v1 = SPLIT3(w) " + HEADS + Q + TURNED + V + "s = MatMul(q, kt) " + HALF + BIASED),
    "merged, sliced": "w0 = MatMul(x, wqkv) w = Add(w0, bqkv) q1 = Slice(w, at0, at8, axis2) "
    "k1 = Slice(w, at8, at16, axis2) v1 = Slice(w, at16, at24, axis2) "
    + (HEADS + Q + TURNED + V + "s = MatMul(q, kt) " + HALF + BIASED),
    "merged, gathered": "w0 = MatMul(x, wqkv) w = Add(w0, bqkv) w5 = Reshape(w, thirds) "
    "w6 = Transpose<perm=[2,0,3,1,4]>(w5) q = Gather<axis=0>(w6, i0) k = Gather<axis=0>(w6, i1) "
    "v = Gather<axis=0>(w6, i2) kt = Transpose<perm=[0,1,3,2]>(k) s = MatMul(q, kt) " + HALF + BIASED,
    "interleaved": WOVEN + "q = Reshape(q4, flat) k = Reshape(k4, flat) v = Reshape(v4, flat) qs = Mul(q, half) "
    "kt = Transpose<perm=[0,2,1]>(k) s = MatMul(qs, kt) a = Add(s, bias3) p = Softmax<axis=-1>(a) c3 = MatMul(p, v) "
    "c4 = Reshape(c3, split) t = Transpose<perm=[2,0,1,3]>(c4) y0 = Reshape(t, merged) y = Transpose<perm=[1,0,2]>(y0)",
}
"""Bodies that any opset from 11 on can hold."""

MERGED = tuple(form for form in FORMS if "wqkv" in FORMS[form])

OPERATORS = {
    "heads apart": LAYERS + HEADS + Q + K + V + "c = Attention<scale=0.5>(q, k, v, rows) " + MERGE,
    "heads side by side": LAYERS + "y = Attention<scale=0.5, q_num_heads=2, kv_num_heads=2>(q1, k1, v1, rows)",
    "condition": LAYERS + HEADS + Q + K + V + "c = Attention(q, k, v, keep_rows) " + MERGE,
    "causal": LAYERS + "y = Attention<is_causal=1, q_num_heads=2, kv_num_heads=2>(q1, k1, v1)",
    "causal and masked": LAYERS + HEADS + Q + K + V + "c = Attention<is_causal=1>(q, k, v, keep_rows) " + MERGE,
    "wider softmax": LAYERS + HEADS + Q + K + V + "c = Attention<softmax_precision=11>(q, k, v) " + MERGE,
    "shared keys": LAYERS + "k4 = Slice(k1, at0, at4, axis2) v4 = Slice(v1, at0, at4, axis2) "
    "y = Attention<q_num_heads=2, kv_num_heads=1>(q1, k4, v4, rows)",
    "shared keys apart": LAYERS + HEADS + Q + K + V + "k4 = Slice(k, at0, at1, axis1) v4 = Slice(v, at0, at1, axis1) "
    "c = Attention(q, k4, v4, rows) " + MERGE,
}
"""Bodies for opset 23, with its operator."""

_INTEGERS = {
    "heads": [0, 0, 2, 4],
    "merged": [0, 0, 8],
    "flat": [-1, 5, 4],
    "split": [-1, 2, 5, 4],
    "turned": [-1, 2, 4, 5],
    "square": [-1, 2, 5, 5],
    "flat_square": [-1, 5, 5],
    "rows8": [-1, 8],
    "here": [-1, 5, 2, 4],
    "here24": [-1, 5, 24],
    "merged_here": [-1, 5, 8],
    "thirds": [0, 0, 3, 2, 4],
    "woven": [0, 0, 2, 3, 4],
    "thirds_of_24": [8, 8, 8],
    "three": 3,
    "none": [1],
    "at0": [0],
    "at1": [1],
    "at2": [2],
    "at4": [4],
    "axis1": [1],
    "axis3": [3],
    "at8": [8],
    "at16": [16],
    "at24": [24],
    "axis2": [2],
    "i0": 0,
    "i1": 1,
    "i2": 2,
}
_FLOATS = {
    "half": 0.5,
    "two": 2.0,
    "one": 1.0,
    "zero": 0.0,
    "root_half": 0.5**0.5,
    "minus_inf": -np.inf,
    "least": np.finfo(np.float32).min,
    "vast": -1e18,
}


def constants() -> dict[str, np.ndarray]:
    """The weights, masks and shapes that the bodies name; masks keep at least one key of each query."""
    rng = np.random.default_rng(7)
    values = {name: np.array(v, np.int64) for name, v in _INTEGERS.items()}
    values |= {name: np.array(v, np.float32) for name, v in _FLOATS.items()}
    for name in ("wq", "wk", "wv"):
        values[name] = rng.normal(0, 0.6, (8, 8)).astype(np.float32)
        values["b" + name[1]] = rng.normal(0, 0.5, 8).astype(np.float32)
        values["b" + name[1] + "2"] = values["b" + name[1]].reshape(2, 4)
    values["wqkv"] = rng.normal(0, 0.6, (8, 24)).astype(np.float32)
    values["wqkv_t"] = np.ascontiguousarray(values["wqkv"].T)
    values["bqkv"] = rng.normal(0, 0.5, 24).astype(np.float32)
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool).reshape(2, 1, 1, 5)
    values["keep"] = keep
    values["keep_rows"] = np.broadcast_to(keep, (2, 1, 5, 5)).copy()
    values["bias"] = np.where(keep, 0, -10000).astype(np.float32)
    values["rows"] = np.broadcast_to(values["bias"], (2, 1, 5, 5)) + rng.normal(0, 1, (2, 1, 5, 5)).astype(np.float32)
    values["bias3"] = np.repeat(values["bias"].reshape(2, 1, 5), 2, axis=0)
    values["keep3"] = np.repeat(np.broadcast_to(keep.reshape(2, 1, 5), (2, 5, 5)), 2, axis=0).astype(np.float32)
    values["keep_f"] = keep.astype(np.float32)
    values["turns"] = rng.normal(0, 1, (1, 1, 5, 4)).astype(np.float32)
    values["yes"] = np.array(True)
    values["places"] = rng.normal(0, 1, (1, 2, 5, 5)).astype(np.float32)
    values["before"] = np.tril(np.ones((1, 1, 5, 5), bool))
    return values


MASKS = {
    "keep": "bool[batch,1,1,5]",
    "keep_f": "float[batch,1,1,5]",
    "keep_rows": "bool[batch,1,5,5]",
    "keep3": "float[heads,5,5]",
    "bias": "float[batch,1,1,5]",
    "rows": "float[batch,1,5,5]",
    "bias3": "float[heads,1,5]",
}


def make(body: str, opset: int = 18, outputs: str = "float[batch,5,8] y") -> Model:
    """The model of a body. Masks are its inputs beside `x`, all else is in its weights."""
    third = "Split<axis=2, split=[8,8,8]>(w)" if opset < 13 else "Split<axis=2>(w, thirds_of_24)"
    body = body.replace("SPLIT3(w)", third)
    used = set(re.findall(r"\w+", body))
    masks = "".join(f", {kind} {name}" for name, kind in MASKS.items() if name in used)
    text = (
        f"""<ir_version: 8, opset_import: ["" : {opset}]> g (float[batch,5,8] x{masks}) => ({outputs}) {{ {body} }}"""
    )
    proto = onnx.parser.parse_model(text)
    for name, value in constants().items():
        if name in used and name not in MASKS:
            proto.graph.initializer.append(numpy_helper.from_array(value, name))
    return from_proto(proto)


def inputs_of(model: Model) -> dict[str, np.ndarray]:
    """Inputs for a model of `make`."""
    known = constants() | {"x": np.random.default_rng(3).normal(size=(2, 5, 8)).astype(np.float32)}
    return {tensor.name: known[tensor.name] for tensor in model.graph.inputs}
