"""Models of several layers that the blind pairs change: an encoder, a decoder with a cache, a net of Convs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.verification.planted.pair import random

EXACT = ("exact each", "exact final")
X = "(float[batch,seq,8] x) => (float[] y)"
IMAGE = "(float[batch,3,height,width] x) => (float[] y)"
MAPS = "(float[batch,8,height,width] x) => (float[] y)"


def edit(text: str, *changes: str) -> str:
    """The text with each odd one of `changes`, which it must have, replaced by the one after it."""
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text, old
        text = text.replace(old, new)
    return text


def norm(out: str, x: str, at: str, eps: str = "1e-5") -> str:
    """LayerNormalization as a node."""
    return f" {out} = LayerNormalization <axis = -1, epsilon = {eps}> ({x}, g{at}, b{at})"


def norm_parts(out: str, x: str, at: str) -> str:
    """LayerNormalization written out, for any opset below 18."""
    return (
        f" {out}m = ReduceMean <axes = [-1]> ({x}) {out}d = Sub({x}, {out}m) {out}q = Mul({out}d, {out}d)"
        f" {out}v = ReduceMean <axes = [-1]> ({out}q) {out}e = Add({out}v, eps) {out}s = Sqrt({out}e)"
        f" {out}n = Div({out}d, {out}s) {out}t = Mul({out}n, g{at}) {out} = Add({out}t, b{at})"
    )


def gelu(out: str, x: str) -> str:
    """GELU written out."""
    return (
        f" {out}d = Div({x}, root) {out}e = Erf({out}d) {out}a = Add({out}e, one_) {out}m = Mul({x}, {out}a)"
        f" {out} = Mul({out}m, half_)"
    )


def encoder_layer(i: int, normed: Any = norm, acted: Any = gelu) -> str:
    """A layer of the encoder, from hs{i} to hs{i + 1}."""
    return (
        f" qa{i} = MatMul(hs{i}, wq{i}) qb{i} = Add(qa{i}, bq{i}) qr{i} = Reshape(qb{i}, heads)"
        f" q{i} = Transpose <perm = [0, 2, 1, 3]> (qr{i})"
        f" ka{i} = MatMul(hs{i}, wk{i}) kb{i} = Add(ka{i}, bk{i}) kr{i} = Reshape(kb{i}, heads)"
        f" k{i} = Transpose <perm = [0, 2, 3, 1]> (kr{i})"
        f" va{i} = MatMul(hs{i}, wv{i}) vb{i} = Add(va{i}, bv{i}) vr{i} = Reshape(vb{i}, heads)"
        f" vv{i} = Transpose <perm = [0, 2, 1, 3]> (vr{i})"
        f" s{i} = MatMul(q{i}, k{i}) d{i} = Div(s{i}, scale) m{i} = Add(d{i}, mask) p{i} = Softmax <axis = -1> (m{i})"
        f" o{i} = MatMul(p{i}, vv{i}) ot{i} = Transpose <perm = [0, 2, 1, 3]> (o{i}) oo{i} = Reshape(ot{i}, merge)"
        f" oa{i} = MatMul(oo{i}, wo{i}) ob{i} = Add(oa{i}, bo{i}) r{i} = Add(ob{i}, hs{i})"
        + normed(f"n{i}", f"r{i}", f"a{i}")
        + f" fa{i} = MatMul(n{i}, w1{i}) fb{i} = Add(fa{i}, b1{i})"
        + acted(f"ge{i}", f"fb{i}")
        + f" fc{i} = MatMul(ge{i}, w2{i}) fd{i} = Add(fc{i}, b2{i}) x{i} = Add(fd{i}, n{i})"
        + normed(f"hs{i + 1}", f"x{i}", f"z{i}")
    )


def encoder(layers: int = 2, normed: Any = norm, acted: Any = gelu) -> str:
    """A BERT with a pooler."""
    return (
        "(int64[batch,seq] input_ids, int64[batch,seq] attention_mask, int64[batch,seq] token_type_ids)"
        " => (float[] hidden, float[] pooled) {"
        " e0 = Gather(words, input_ids) e1 = Gather(kinds, token_type_ids) e2 = Add(e0, e1)"
        " sh = Shape(input_ids) sl = Gather(sh, i1) po = Range(i0, sl, i1) e3 = Gather(places, po)"
        " e4 = Add(e2, e3)"
        + normed("hs0", "e4", "e")
        + " mc = Cast <to = 1> (attention_mask) mu = Unsqueeze(mc, ax12) mi = Sub(one_, mu) mask = Mul(mi, hide)"
        + "".join(encoder_layer(i, normed, acted) for i in range(layers))
        + f" hidden = Identity(hs{layers}) first = Gather <axis = 1> (hs{layers}, i0) pg = Gemm(first, wp, bp)"
        " pooled = Tanh(pg) }"
    )


def encoder_weights(layers: int = 2, size: int = 16, wide: int = 32) -> dict[str, Any]:
    """The weights of `encoder`."""
    made: dict[str, Any] = {
        "words": random(40, size, scale=0.05),
        "kinds": random(2, size, scale=0.05),
        "places": random(128, size, scale=0.05),
        "heads": np.int64([0, 0, 2, size // 2]),
        "merge": np.int64([0, 0, size]),
        "ax12": np.int64([1, 2]),
        "one_": np.float32(1),
        "half_": np.float32(0.5),
        "root": np.float32(np.sqrt(2)),
        "eps": np.float32(1e-5),
        "hide": np.float32(-1e4),
        "scale": np.float32(np.sqrt(size // 2)),
        "wp": random(size, size, seed=90, scale=0.3),
        "bp": random(size, seed=91, scale=0.1),
    }
    at = ["e", *(f"{part}{i}" for i in range(layers) for part in "az")]
    for number, name in enumerate(at):
        made[f"g{name}"] = random(size, seed=number + 10, scale=0.2, mean=1)
        made[f"b{name}"] = random(size, seed=number + 30, scale=0.1)
    for i in range(layers):
        for number, name in enumerate(("q", "k", "v", "o")):
            made[f"w{name}{i}"] = random(size, size, seed=10 * i + number, scale=0.3)
            made[f"b{name}{i}"] = random(size, seed=10 * i + number + 50, scale=0.1)
        made[f"w1{i}"] = random(size, wide, seed=10 * i + 5, scale=0.3)
        made[f"b1{i}"] = random(wide, seed=10 * i + 6, scale=0.1)
        made[f"w2{i}"] = random(wide, size, seed=10 * i + 7, scale=0.3)
        made[f"b2{i}"] = random(size, seed=10 * i + 8, scale=0.1)
    return made


def rms(out: str, x: str, at: str) -> str:
    """Root mean square normalization."""
    return (
        f" {out}q = Mul({x}, {x}) {out}v = ReduceMean <axes = [-1]> ({out}q) {out}e = Add({out}v, eps)"
        f" {out}s = Sqrt({out}e) {out}n = Div({x}, {out}s) {out} = Mul({out}n, g{at})"
    )


def turned(out: str, x: str) -> str:
    """Rotary embedding of halves."""
    return (
        f" {out}a, {out}b = Split <axis = -1> ({x}, fours) {out}c = Neg({out}b)"
        f" {out}d = Concat <axis = -1> ({out}c, {out}a) {out}e = Mul({x}, cos) {out}f = Mul({out}d, sin)"
        f" {out} = Add({out}e, {out}f)"
    )


def decoder_layer(i: int) -> str:
    """A layer of the decoder: grouped queries, four heads over two."""
    return (
        rms(f"a{i}", f"hs{i}", f"a{i}") + f" qa{i} = MatMul(a{i}, wq{i}) qr{i} = Reshape(qa{i}, qheads)"
        f" qt{i} = Transpose <perm = [0, 2, 1, 3]> (qr{i})"
        f" ka{i} = MatMul(a{i}, wk{i}) kr{i} = Reshape(ka{i}, kheads) kt{i} = Transpose <perm = [0, 2, 1, 3]> (kr{i})"
        f" va{i} = MatMul(a{i}, wv{i}) vr{i} = Reshape(va{i}, kheads) vt{i} = Transpose <perm = [0, 2, 1, 3]> (vr{i})"
        + turned(f"q{i}", f"qt{i}")
        + turned(f"k{i}", f"kt{i}")
        + f" present_key_{i} = Concat <axis = 2> (past_key_{i}, k{i})"
        f" present_value_{i} = Concat <axis = 2> (past_value_{i}, vt{i})"
        f" kg{i} = Gather <axis = 1> (present_key_{i}, group) vg{i} = Gather <axis = 1> (present_value_{i}, group)"
        f" kf{i} = Transpose <perm = [0, 1, 3, 2]> (kg{i}) s{i} = MatMul(q{i}, kf{i}) d{i} = Mul(s{i}, scale)"
        f" m{i} = Where(unseen, hide, d{i}) p{i} = Softmax <axis = -1> (m{i}) o{i} = MatMul(p{i}, vg{i})"
        f" ot{i} = Transpose <perm = [0, 2, 1, 3]> (o{i}) om{i} = Reshape(ot{i}, merge) ow{i} = MatMul(om{i}, wo{i})"
        f" r{i} = Add(hs{i}, ow{i})"
        + rms(f"n{i}", f"r{i}", f"z{i}")
        + f" gt{i} = MatMul(n{i}, w1{i}) gs{i} = Sigmoid(gt{i}) gm{i} = Mul(gt{i}, gs{i}) gu{i} = MatMul(n{i}, w3{i})"
        f" gx{i} = Mul(gm{i}, gu{i}) gd{i} = MatMul(gx{i}, w2{i}) hs{i + 1} = Add(r{i}, gd{i})"
    )


def decoder(layers: int = 2, pasts: bool = True) -> str:
    """A Llama with a cache; without `pasts` the cache is an empty initializer."""
    given = "".join(f", float[batch,2,past,8] past_{part}_{i}" for i in range(layers) for part in ("key", "value"))
    kept = "".join(f", float[] present_{part}_{i}" for i in range(layers) for part in ("key", "value"))
    text = (
        f"(int64[batch,seq] input_ids, int64[batch,seq] position_ids{given}) => (float[] logits{kept})"
        " { hs0 = Gather(words, input_ids) c0 = Gather(coses, position_ids) cos = Unsqueeze(c0, ax1)"
        " s0_ = Gather(sines, position_ids) sin = Unsqueeze(s0_, ax1)"
        " ps = Shape(past_key_0) pl = Gather(ps, i2) ns = Shape(input_ids) il = Gather(ns, i1) tl = Add(pl, il)"
        " rows = Range(pl, tl, i1) cols = Range(i0, tl, i1) ru = Unsqueeze(rows, ax1) unseen = Greater(cols, ru)"
        + "".join(decoder_layer(i) for i in range(layers))
        + rms("last_", f"hs{layers}", "f")
        + " logits = MatMul(last_, head) }"
    )
    if pasts:
        return text
    for i in range(layers):
        text = edit(text, f"Concat <axis = 2> (past_key_{i}, k{i})", f"Identity(k{i})")
        text = edit(text, f"Concat <axis = 2> (past_value_{i}, vt{i})", f"Identity(vt{i})")
    return edit(text, given, "", kept, "", " ps = Shape(past_key_0) pl = Gather(ps, i2)", " pl = Identity(i0)")


def decoder_weights(layers: int = 2, size: int = 32, wide: int = 48) -> dict[str, Any]:
    """The weights of `decoder`."""
    angles = np.arange(256)[:, None] * 10000.0 ** (-np.arange(4) / 4)
    angles = np.concatenate([angles, angles], axis=1)
    made: dict[str, Any] = {
        "words": random(50, size),
        "coses": np.cos(angles).astype(np.float32),
        "sines": np.sin(angles).astype(np.float32),
        "fours": np.int64([4, 4]),
        "group": np.int64([0, 0, 1, 1]),
        "qheads": np.int64([0, 0, 4, 8]),
        "kheads": np.int64([0, 0, 2, 8]),
        "merge": np.int64([0, 0, size]),
        "ax1": np.int64([1]),
        "eps": np.float32(1e-6),
        "hide": np.float32(-1e9),
        "scale": np.float32(8**-0.5),
        "head": random(size, 50, scale=0.2),
        "gf": random(size, seed=9, scale=0.2, mean=1),
    }
    for i in range(layers):
        for number, (name, width) in enumerate((("q", size), ("k", 16), ("v", 16), ("o", size))):
            made[f"w{name}{i}"] = random(size, width, seed=10 * i + number, scale=0.2)
        made[f"w1{i}"] = random(size, wide, seed=10 * i + 5, scale=0.2)
        made[f"w3{i}"] = random(size, wide, seed=10 * i + 6, scale=0.2)
        made[f"w2{i}"] = random(wide, size, seed=10 * i + 7, scale=0.2)
        made[f"ga{i}"] = random(size, seed=10 * i + 50, scale=0.2, mean=1)
        made[f"gz{i}"] = random(size, seed=10 * i + 51, scale=0.2, mean=1)
    return made


def batch_norm(out: str, x: str, at: str, eps: str = "1e-5") -> str:
    """BatchNormalization as a node."""
    return f" {out} = BatchNormalization <epsilon = {eps}> ({x}, ns{at}, nb{at}, nm{at}, nv{at})"


def convs() -> str:
    """A classifier: a stem, a residual block with a gate, a depthwise block, and a head."""
    return (
        "(float[batch,3,height,width] image) => (float[] logits) {"
        " c0 = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (image, k0)"
        + batch_norm("n0", "c0", "0")
        + " r0 = Relu(n0) c1 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r0, k1)"
        + batch_norm("n1", "c1", "1")
        + " r1 = Relu(n1) c2 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r1, k2)"
        + batch_norm("n2", "c2", "2")
        + " gp = GlobalAveragePool(n2) ga = Conv(gp, sa, sab) gr = Relu(ga) gb = Conv(gr, sb, sbb)"
        " gh = HardSigmoid <alpha = 0.16666667, beta = 0.5> (gb) gm = Mul(n2, gh) a2 = Add(gm, r0) r2 = Relu(a2)"
        " d3 = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 8> (r2, k3)"
        + batch_norm("n3", "d3", "3")
        + " r3 = Clip(n3, zero_, six_) c4 = Conv <kernel_shape = [1, 1]> (r3, k4)"
        + batch_norm("n4", "c4", "4")
        + " s4 = Sigmoid(n4) r4 = Mul(n4, s4) gl = GlobalAveragePool(r4) fl = Flatten(gl)"
        " logits = Gemm <transB = 1> (fl, fw, fb) }"
    )


def convs_weights() -> dict[str, Any]:
    """The weights of `convs`."""
    made: dict[str, Any] = {
        "zero_": np.float32(0),
        "six_": np.float32(6),
        "sa": random(4, 8, 1, 1, scale=0.5),
        "sab": random(4, seed=60, scale=0.3),
        "sb": random(8, 4, 1, 1, scale=0.5),
        "sbb": random(8, seed=61, scale=0.3),
        "fw": random(10, 12, scale=0.4),
        "fb": random(10, seed=62, scale=0.2),
    }
    shapes = [(8, 3, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3), (8, 1, 3, 3), (12, 8, 1, 1)]
    for i, shape in enumerate(shapes):
        made[f"k{i}"] = random(*shape, seed=i, scale=0.3)
        made[f"ns{i}"] = random(shape[0], seed=i, scale=0.2, mean=1)
        made[f"nb{i}"] = random(shape[0], seed=i + 10, scale=0.3)
        made[f"nm{i}"] = random(shape[0], seed=i + 20, scale=0.3)
        made[f"nv{i}"] = np.abs(random(shape[0], seed=i + 30, scale=0.3, mean=1)) + np.float32(0.05)
    return made


EN, EW = encoder(), encoder_weights()
DE, DW = decoder(), decoder_weights()
CO, CW = convs(), convs_weights()
