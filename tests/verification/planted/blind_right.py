"""Right rewrites invented without a look at how inputs are made: what fusions do, and what rounding explains."""

from __future__ import annotations

import numpy as np

from tests.verification.planted.blind_models import (
    CO,
    CW,
    DE,
    DW,
    EN,
    EW,
    EXACT,
    MAPS,
    X,
    batch_norm,
    decoder,
    decoder_weights,
    edit,
    encoder,
    encoder_weights,
    norm,
    norm_parts,
)
from tests.verification.planted.pair import Pair, random, right
from tests.verification.planted.rights import W

SAME = "(float[batch,seq,8] x) => (float[batch,seq,8] y)"
HX = "(float16[batch,seq,8] x) => (float16[] y)"
SEEN = edit(
    EN,
    "mc = Cast <to = 1> (attention_mask)",
    "mq = Cast <to = 1> (attention_mask) pe = Equal(po, i0) pf = Cast <to = 1> (pe) mc = Max(mq, pf)",
)
C = {**W, "r8": W["root8"]}
H = {
    "w": random(8, 8, scale=0.4, dtype=np.float16),
    "u": random(8, 8, seed=1, scale=0.4, dtype=np.float16),
    "b": random(8, scale=0.2, dtype=np.float16),
    "g": random(8, seed=3, scale=0.2, mean=1, dtype=np.float16),
    "c": random(8, seed=5, scale=0.2, dtype=np.float16),
    "hr": np.float16(0.3535),
}


def fine(name: str, told: str, before: str, after: str = "", **kwargs: object) -> Pair:
    """A right rewrite that may round otherwise."""
    return right(f"blind-right-{name}", told, before, after, open=EXACT, **kwargs)  # type: ignore[arg-type]


def same(name: str, told: str, before: str, after: str = "", **kwargs: object) -> Pair:
    """A right rewrite that gives the same bits."""
    return right(f"blind-right-{name}", told, before, after, same_bits=True, **kwargs)  # type: ignore[arg-type]


def bert(name: str, told: str, *changes: str, **changed: object) -> Pair:
    """A right rewrite of the encoder."""
    return fine(f"encoder-{name}", told, EN, edit(EN, *changes), weights=EW, changed=changed)


def llama(name: str, told: str, *changes: str, **changed: object) -> Pair:
    """A right rewrite of the decoder."""
    return fine(f"decoder-{name}", told, DE, edit(DE, *changes), weights=DW, changed=changed)


def cnn(name: str, told: str, *changes: str, **changed: object) -> Pair:
    """A right rewrite of the net of Convs."""
    return fine(f"convs-{name}", told, CO, edit(CO, *changes), weights=CW, changed=changed)


def gelu_node(out: str, x: str) -> str:
    """GELU as a node."""
    return f" {out} = Gelu({x})"


def packed(text: str, i: int) -> str:
    """The encoder with the three products of a layer made one."""
    return edit(
        text,
        f" qa{i} = MatMul(hs{i}, wq{i}) qb{i} = Add(qa{i}, bq{i})",
        (
            f" pa{i} = MatMul(hs{i}, wp{i}_) pb{i} = Add(pa{i}, bp{i}_) qb{i}, kb{i}, vb{i} = Split <axis"
            f" = 2> (pb{i}, thirds)"
        ),
        f" ka{i} = MatMul(hs{i}, wk{i}) kb{i} = Add(ka{i}, bk{i})",
        "",
        f" va{i} = MatMul(hs{i}, wv{i}) vb{i} = Add(va{i}, bv{i})",
        "",
    )


PACKED = (
    {f"w{p}{i}_": np.concatenate([EW[f"w{n}{i}"] for n in "qkv"], axis=1) for i in range(2) for p in "p"}
    | {f"bp{i}_": np.concatenate([EW[f"b{n}{i}"] for n in "qkv"]) for i in range(2)}
    | {"thirds": np.int64([16, 16, 16])}
)
SCALED = {f"w{n}{i}": EW[f"w{n}{i}"] / np.float32(np.sqrt(8)) for n in "q" for i in range(2)} | {
    f"bq{i}": EW[f"bq{i}"] / np.float32(np.sqrt(8)) for i in range(2)
}


def folded(i: int, eps: float = 1e-5) -> dict[str, np.ndarray]:
    """A Conv's weights with its norm in them."""
    by = CW[f"ns{i}"] / np.sqrt(CW[f"nv{i}"] + eps)
    return {
        f"k{i}": (CW[f"k{i}"] * by.reshape(-1, 1, 1, 1)).astype(np.float32),
        f"kb{i}": (CW[f"nb{i}"] - CW[f"nm{i}"] * by).astype(np.float32),
    }


ALL_FOLDED = {name: value for i in range(5) for name, value in folded(i).items()}
FOLDS = [
    change
    for i, (c, k, x, n) in enumerate(
        (
            ("c0", "k0", "image", "n0"),
            ("c1", "k1", "r0", "n1"),
            ("c2", "k2", "r1", "n2"),
            ("d3", "k3", "r2", "n3"),
            ("c4", "k4", "r3", "n4"),
        )
    )
    for change in (batch_norm(n, c, str(i)), f" {n} = Identity({c})", f"({x}, {k})", f"({x}, {k}, kb{i})")
]
DEEP = encoder(4)
ENCODERS = [
    fine(
        "encoder-norms-written-out", "the norms of two layers are written out", EN, encoder(2, norm_parts), weights=EW
    ),
    fine(
        "encoder-fused-20",
        "in opset 20, GELU is a node in two layers",
        EN,
        encoder(2, norm, gelu_node),
        weights=EW,
        opset=20,
    ),
    fine(
        "encoder-four-layers",
        "the norms of four layers are written out",
        DEEP,
        encoder(4, norm_parts),
        weights=encoder_weights(4),
    ),
    fine(
        "encoder-mask-millions",
        "hidden scores get -1e6, not -1e4, where the first position is always seen",
        SEEN,
        weights=EW,
        changed={"hide": np.float32(-1e6)},
    ),
    fine(
        "encoder-packed-both",
        "queries, keys and values of both layers are one product each",
        EN,
        packed(packed(EN, 0), 1),
        weights={**EW, **PACKED},
    ),
    fine(
        "encoder-scale-folded",
        "the scale is in the weights of the queries",
        EN,
        edit(EN, "d0 = Div(s0, scale)", "d0 = Identity(s0)", "d1 = Div(s1, scale)", "d1 = Identity(s1)"),
        weights=EW,
        changed=SCALED,
    ),
    bert(
        "key-bias-gone",
        "the biases of keys are gone, which Softmax does not see",
        "kb0 = Add(ka0, bk0)",
        "kb0 = Identity(ka0)",
        "kb1 = Add(ka1, bk1)",
        "kb1 = Identity(ka1)",
    ),
    fine(
        "encoder-value-bias-late",
        "the bias of values is added after the attention, in the bias of what follows",
        EN,
        edit(EN, "vb0 = Add(va0, bv0)", "vb0 = Identity(va0)", "vb1 = Add(va1, bv1)", "vb1 = Identity(va1)"),
        weights=EW,
        changed={f"bo{i}": (EW[f"bo{i}"] + EW[f"bv{i}"] @ EW[f"wo{i}"]).astype(np.float32) for i in range(2)},
    ),
    fine(
        "encoder-norm-scale-folded",
        "a norm's scale is also in the product after it",
        EN,
        edit(
            EN,
            "n0 = LayerNormalization <axis = -1, epsilon = 1e-5> (r0, ga0, ba0)",
            "nn0 = LayerNormalization <axis = -1, epsilon = 1e-5> (r0, on1) ng0 = Mul(nn0, ga0) n0 = Add(ng0, ba0)",
            "fa0 = MatMul(n0, w10)",
            "fa0 = MatMul(nn0, w10f)",
            "fb0 = Add(fa0, b10)",
            "fb0 = Add(fa0, b10f)",
        ),
        weights={
            **EW,
            "on1": np.ones(16, np.float32),
            "w10f": EW["ga0"][:, None] * EW["w10"],
            "b10f": (EW["b10"] + EW["ba0"] @ EW["w10"]).astype(np.float32),
        },
    ),
    bert(
        "embeddings-order",
        "the three embeddings are summed in another order",
        "e2 = Add(e0, e1)",
        "",
        "e4 = Add(e2, e3)",
        "e2 = Add(e3, e1) e4 = Add(e0, e2)",
    ),
    fine(
        "encoder-skip-norm",
        "sums and norms are one node each",
        EN,
        edit(
            EN,
            "x0 = Add(fd0, n0) hs1 = LayerNormalization <axis = -1, epsilon = 1e-5> (x0, gz0, bz0)",
            "hs1 = com.microsoft.SkipLayerNormalization <epsilon = 1e-5> (fd0, n0, gz0, bz0)",
            "pooled = Tanh(pg) }",
            "pooled = Tanh(pg) } !com.microsoft:1",
        ),
        weights=EW,
    ),
    fine(
        "encoder-mask-infinite",
        "the mask hides by a choice of minus infinity, where the first position is always seen",
        SEEN,
        edit(SEEN, "mi = Sub(one_, mu) mask = Mul(mi, hide)", "mb = Cast <to = 9> (mu) mask = Where(mb, zero_, far_)"),
        weights={**EW, "zero_": np.float32(0), "far_": np.float32(-np.inf)},
    ),
    llama(
        "mask-infinite", "what is not seen yet is minus infinity; each position sees itself", hide=np.float32(-np.inf)
    ),
    llama("mask-ten-thousand", "what is not seen yet is -1e4", hide=np.float32(-1e4)),
    llama(
        "scale-on-queries",
        "queries are scaled, not scores",
        "s0 = MatMul(q0, kf0) d0 = Mul(s0, scale)",
        "z0 = Mul(q0, scale) d0 = MatMul(z0, kf0)",
        "s1 = MatMul(q1, kf1) d1 = Mul(s1, scale)",
        "z1 = Mul(q1, scale) d1 = MatMul(z1, kf1)",
    ),
    llama(
        "rms-by-reciprocal",
        "x over the root is x times its reciprocal",
        "a1n = Div(hs1, a1s)",
        "a1i = Reciprocal(a1s) a1n = Mul(hs1, a1i)",
        "n1n = Div(r1, n1s)",
        "n1i = Reciprocal(n1s) n1n = Mul(r1, n1i)",
    ),
    fine(
        "decoder-rms-scale-folded",
        "the norms' scales are in the products after them",
        DE,
        edit(DE, "a0 = Mul(a0n, ga0)", "a0 = Identity(a0n)", "n1 = Mul(n1n, gz1)", "n1 = Identity(n1n)"),
        weights=DW,
        changed={
            **{f"w{n}0": DW["ga0"][:, None] * DW[f"w{n}0"] for n in "qkv"},
            **{f"w{n}1": DW["gz1"][:, None] * DW[f"w{n}1"] for n in "13"},
        },
    ),
    llama(
        "mask-added",
        "the mask is added, not chosen",
        "m0 = Where(unseen, hide, d0)",
        "uf = Cast <to = 1> (unseen) um = Mul(uf, hide) m0 = Add(d0, um)",
        "m1 = Where(unseen, hide, d1)",
        "m1 = Add(d1, um)",
    ),
    llama(
        "groups-by-expand",
        "heads are repeated by Expand and Reshape",
        "kg0 = Gather <axis = 1> (present_key_0, group)",
        (
            "ku = Unsqueeze(present_key_0, v2) ks = Shape(present_key_0) ka_ = Slice(ks, v0, v2, v0) kc_"
            " = Slice(ks, v2, v4, v0) ke = Concat <axis = 0> (ka_, v2, kc_) kx = Expand(ku, ke) kr_ ="
            " Reshape(kx, fourheads) kg0 = Identity(kr_)"
        ),
        fourheads=np.int64([0, 4, -1, 8]),
    ),
    fine(
        "decoder-three-layers-silu",
        "SiLU is x / (1 + e⁻ˣ) in three layers",
        decoder(3, False),
        edit(
            decoder(3, False),
            *[
                c
                for i in range(3)
                for c in (
                    f"gs{i} = Sigmoid(gt{i}) gm{i} = Mul(gt{i}, gs{i})",
                    f"ne{i} = Neg(gt{i}) ex{i} = Exp(ne{i}) pl{i} = Add(ex{i}, f1) gm{i} = Div(gt{i}, pl{i})",
                )
            ],
        ),
        weights=decoder_weights(3),
    ),
]
LAYERS = "".join(f" p{i} = MatMul(t{i - 1}, w) a{i} = Add(p{i}, b) t{i} = Tanh(a{i})" for i in range(1, 31))
GEMMS = "".join(f" a{i} = Gemm(t{i - 1}, w, b) t{i} = Tanh(a{i})" for i in range(1, 31))
RESIDUAL = "".join(f" p{i} = MatMul(t{i - 1}, w) a{i} = Relu(p{i}) t{i} = Add(a{i}, t{i - 1})" for i in range(1, 31))
NORMS = "".join(
    f" p{i} = MatMul(t{i - 1}, w)" + norm(f"o{i}", f"p{i}", "n") + f" t{i} = Add(o{i}, t{i - 1})" for i in range(1, 31)
)
NORMED = "".join(
    f" p{i} = MatMul(t{i - 1}, w)" + norm_parts(f"o{i}", f"p{i}", "n") + f" t{i} = Add(o{i}, t{i - 1})"
    for i in range(1, 31)
)
FLAT = "(float[n,8] t0) => (float[] y)"
PARTS = ("(float[n,8] t0) => (float[] y) {" + RESIDUAL, {**C, "w": random(8, 8, scale=0.15)})
CHAINS = [
    fine(
        "thirty-layers",
        "30 products with biases are 30 Gemms",
        f"{FLAT} {{{LAYERS} y = Identity(t30) }}",
        f"{FLAT} {{{GEMMS} y = Identity(t30) }}",
        weights=C,
    ),
    fine(
        "thirty-layers-steep",
        "the same where each layer sharpens what is before",
        f"{FLAT} {{{LAYERS} y = Identity(t30) }}",
        f"{FLAT} {{{GEMMS} y = Identity(t30) }}",
        weights={**C, "w": C["w"] * 2},
    ),
    fine(
        "thirty-residuals",
        "30 products are made in two halves",
        PARTS[0] + " y = Identity(t30) }",
        edit(
            PARTS[0],
            *[
                c
                for i in range(1, 31)
                for c in (
                    f"p{i} = MatMul(t{i - 1}, w)",
                    (
                        f"l{i} = Slice(t{i - 1}, v0, v4, v1) rr{i} = Slice(t{i - 1}, v4, v8, v1) m{i} = MatMul(l{i},"
                        f" wa) q{i} = MatMul(rr{i}, wb) p{i} = Add(q{i}, m{i})"
                    ),
                )
            ],
        )
        + " y = Identity(t30) }",
        weights={**PARTS[1], "wa": PARTS[1]["w"][:4], "wb": PARTS[1]["w"][4:]},
    ),
    fine(
        "thirty-norms",
        "30 norms are written out",
        f"{FLAT} {{{NORMS} y = Identity(t30) }}",
        f"{FLAT} {{{NORMED} y = Identity(t30) }}",
        weights={**C, "gn": C["g"], "bn": C["b"]},
    ),
    fine(
        "products-of-thirty",
        "30 factors are multiplied beforehand",
        "(float[n,8] t0) => (float[] y) {"
        + "".join(f" t{i} = Mul(t{i - 1}, g)" for i in range(1, 31))
        + " y = Identity(t30) }",
        "(float[n,8] t0) => (float[] y) { y = Mul(t0, gp) }",
        weights={**C, "gp": (C["g"].astype(np.float64) ** 30).astype(np.float32)},
    ),
]
NINTH = {"ninths": np.full((8, 1, 3, 3), 1 / 9, np.float32)}
PREP = (CW["k0"] / np.float32(255 * 0.225)).astype(np.float32)
CONVS = [
    fine("convs-folded", "all five norms are in their Convs", CO, edit(CO, *FOLDS), weights=CW, changed=ALL_FOLDED),
    cnn(
        "norm-as-affine",
        "two norms are a product and a sum",
        batch_norm("n1", "c1", "1"),
        " z1 = Mul(c1, sc1) n1 = Add(z1, sh1)",
        batch_norm("n4", "c4", "4"),
        " z4 = Mul(c4, sc4) n4 = Add(z4, sh4)",
        **{f"sc{i}": (CW[f"ns{i}"] / np.sqrt(CW[f"nv{i}"] + 1e-5)).reshape(-1, 1, 1) for i in (1, 4)},
        **{
            f"sh{i}": (CW[f"nb{i}"] - CW[f"nm{i}"] * CW[f"ns{i}"] / np.sqrt(CW[f"nv{i}"] + 1e-5))
            .reshape(-1, 1, 1)
            .astype(np.float32)
            for i in (1, 4)
        },
    ),
    cnn(
        "pool-as-mean",
        "global pools are means",
        "gp = GlobalAveragePool(n2)",
        "gp = ReduceMean <axes = [2, 3]> (n2)",
        "gl = GlobalAveragePool(r4) fl = Flatten(gl)",
        "fl = ReduceMean <axes = [2, 3], keepdims = 0> (r4)",
    ),
    cnn(
        "gate-written-out",
        "the gate is a clipped sum",
        "gh = HardSigmoid <alpha = 0.16666667, beta = 0.5> (gb)",
        "ha = Add(gb, three_) hc = Clip(ha, zero_, six_) gh = Div(hc, six_)",
        three_=np.float32(3),
    ),
    fine(
        "preprocessing-folded",
        "an image's scale is in an unpadded Conv",
        (
            "(uint8[batch,3,height,width] x) => (float[] y) { f = Cast <to = 1> (x) d = Div(f, most) e ="
            " Sub(d, mean3) g = Div(e, std3) y = Conv(g, k0) }"
        ),
        "(uint8[batch,3,height,width] x) => (float[] y) { f = Cast <to = 1> (x) y = Conv(f, kp, bp) }",
        weights={
            **CW,
            "most": np.float32(255),
            "mean3": np.full((1, 3, 1, 1), 0.45, np.float32),
            "std3": np.float32(0.225),
            "kp": PREP,
            "bp": (-CW["k0"].sum((1, 2, 3)) * 0.45 / 0.225).astype(np.float32),
        },
    ),
    fine(
        "average-as-conv",
        "an average that counts its padding is a Conv of ninths",
        f"{MAPS} {{ y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x) }}",
        f"{MAPS} {{ y = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 8> (x, ninths) }}",
        weights=NINTH,
    ),
    same(
        "pools-stacked",
        "a MaxPool over 5 is two over 3",
        f"{MAPS} {{ y = MaxPool <kernel_shape = [5, 5], pads = [2, 2, 2, 2]> (x) }}",
        (
            f"{MAPS} {{ a = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) y = MaxPool"
            f" <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a) }}"
        ),
    ),
    fine(
        "relu-past-pool",
        "Relu moved before a MaxPool",
        f"{MAPS} {{ a = MaxPool <kernel_shape = [2, 2]> (x) y = Relu(a) }}",
        f"{MAPS} {{ r = Relu(x) y = MaxPool <kernel_shape = [2, 2]> (r) }}",
    ),
    same(
        "resize-modes",
        "the nearest of half pixels by two is the floor of asymmetric ones",
        f'{MAPS} {{ y = Resize <mode = "nearest"> (x, , sc) }}',
        (
            f'{MAPS} {{ y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",'
            f' nearest_mode = "floor"> (x, , sc) }}'
        ),
        weights={"sc": np.float32([1, 1, 2, 2])},
    ),
    same(
        "depth-to-space",
        "DepthToSpace is Reshape and Transpose",
        "(float[batch,8,6,6] x) => (float[] y) { y = DepthToSpace <blocksize = 2> (x) }",
        (
            "(float[batch,8,6,6] x) => (float[] y) { r = Reshape(x, ta) t = Transpose <perm = [0, 3, 4,"
            " 1, 5, 2]> (r) y = Reshape(t, tb) }"
        ),
        weights={"ta": np.int64([-1, 2, 2, 2, 6, 6]), "tb": np.int64([-1, 2, 12, 12])},
    ),
    fine(
        "instance-norm",
        "InstanceNormalization is written out",
        f"{MAPS} {{ y = InstanceNormalization <epsilon = 1e-5> (x, g, b) }}",
        (
            f"{MAPS} {{ m = ReduceMean <axes = [2, 3]> (x) d = Sub(x, m) q = Mul(d, d) v = ReduceMean"
            " <axes = [2, 3]> (q) e = Add(v, eps) s = Sqrt(e) n = Div(d, s) gg = Unsqueeze(g, v12) bb ="
            f" Unsqueeze(b, v12) o = Mul(n, gg) y = Add(o, bb) }}"
        ),
        weights={**{k: C[k] for k in "gb"}, "eps": C["eps"], "v12": np.int64([1, 2])},
    ),
    fine(
        "group-norm-node",
        "GroupNormalization is InstanceNormalization of groups",
        (
            "(float[batch,8,height,width] x) => (float[batch,8,height,width] y) { y = GroupNormalization"
            " <num_groups = 2> (x, g, b) }"
        ),
        (
            "(float[batch,8,height,width] x) => (float[batch,8,height,width] y) { s = Shape(x) r ="
            " Reshape(x, to) n = InstanceNormalization(r, o2, z2) k = Reshape(n, s) gg = Unsqueeze(g,"
            " v12) bb = Unsqueeze(b, v12) o = Mul(k, gg) y = Add(o, bb) }"
        ),
        opset=21,
        weights={
            "g": C["g"],
            "b": C["b"],
            "v12": np.int64([1, 2]),
            "to": np.int64([0, 2, -1]),
            "o2": np.float32([1, 1]),
            "z2": np.float32([0, 0]),
        },
    ),
    fine(
        "conv-1d-as-2d",
        "a Conv over time is one over an image of one row",
        "(float[batch,4,time] x) => (float[] y) { y = Conv <pads = [1, 1]> (x, k) }",
        (
            "(float[batch,4,time] x) => (float[] y) { u = Unsqueeze(x, v2) k2 = Unsqueeze(k, v2) z ="
            " Conv <pads = [0, 1, 0, 1]> (u, k2) y = Squeeze(z, v2) }"
        ),
        weights={"k": random(6, 4, 3, scale=0.4)},
    ),
    fine(
        "depthwise-as-sums",
        "a depthwise Conv over time is three products",
        "(float[batch,4,time] x) => (float[] y) { p = Pad(x, by) y = Conv <group = 4> (p, k) }",
        (
            "(float[batch,4,time] x) => (float[] y) { p = Pad(x, by) a0 = Slice(p, v0, m2, v2) a1 ="
            " Slice(p, v1, last, v2) a2 = Slice(p, v2, end, v2) b0 = Mul(a0, k0_) b1 = Mul(a1, k1_) b2 ="
            " Mul(a2, k2_) c = Add(b0, b1) y = Add(c, b2) }"
        ),
        weights={
            "k": random(4, 1, 3),
            "m2": np.int64([-2]),
            "by": np.int64([0, 0, 1, 0, 0, 1]),
            **{f"k{i}_": random(4, 1, 3)[:, :, i] for i in range(3)},
        },
    ),
    fine(
        "grouped-as-whole",
        "a Conv in two groups is one with zeros",
        f"{MAPS} {{ y = Conv <group = 2> (x, k) }}",
        f"{MAPS} {{ y = Conv(x, kw) }}",
        weights={
            "k": random(6, 4, 3, 3, scale=0.3),
            "kw": np.concatenate(
                [
                    np.pad(random(6, 4, 3, 3, scale=0.3)[:3], ((0, 0), (0, 4), (0, 0), (0, 0))),
                    np.pad(random(6, 4, 3, 3, scale=0.3)[3:], ((0, 0), (4, 0), (0, 0), (0, 0))),
                ]
            ),
        },
    ),
    fine(
        "transposed-as-conv",
        "a ConvTranspose of stride 1 is a Conv with turned taps",
        f"{MAPS} {{ y = ConvTranspose(x, k1) }}",
        f"{MAPS} {{ y = Conv <pads = [2, 2, 2, 2]> (x, kt) }}",
        weights={"k1": CW["k1"], "kt": CW["k1"].transpose(1, 0, 2, 3)[:, :, ::-1, ::-1].copy()},
    ),
]
STEPS = "(float[5,batch,4] x) => (float[] y)"
RN = {
    "wi": random(1, 16, 4, scale=0.4),
    "r": random(1, 16, 4, seed=1, scale=0.4),
    "bb": random(1, 32, scale=0.3),
    "wi2": random(2, 16, 4, scale=0.4),
    "r2": random(2, 16, 4, seed=2, scale=0.4),
    "b2": random(2, 32, seed=3, scale=0.3),
}


def lstm(steps: int) -> str:
    """An LSTM of some steps, written out."""
    text = "c0_ = Identity(zero) s0_ = Identity(zero)"
    for i in range(steps):
        text += (
            f" x{i} = Gather(x, n{i}) a{i} = MatMul(x{i}, wt) d{i} = MatMul(s{i}_, rt) e{i} = Add(a{i},"
            f" d{i}) g{i} = Add(e{i}, bs) gi{i}, go{i}, gf{i}, gc{i} = Split <axis = 1> (g{i}, fours)"
            f" si{i} = Sigmoid(gi{i}) so{i} = Sigmoid(go{i}) sf{i} = Sigmoid(gf{i}) tc{i} = Tanh(gc{i})"
            f" k{i} = Mul(sf{i}, c{i}_) l{i} = Mul(si{i}, tc{i}) c{i + 1}_ = Add(k{i}, l{i}) m{i} ="
            f" Tanh(c{i + 1}_) s{i + 1}_ = Mul(so{i}, m{i})"
        )
    return text


RECURRENT = [
    fine(
        "lstm-unrolled",
        "an LSTM of 5 steps is written out",
        f"{STEPS} {{ o, l = LSTM <hidden_size = 4> (x, wi, r, bb) y = Squeeze(l, v0) }}",
        f"{STEPS} {{ {lstm(5)} y = Identity(s5_) }}",
        weights={
            **RN,
            "wt": RN["wi"][0].T.copy(),
            "rt": RN["r"][0].T.copy(),
            "bs": RN["bb"][0, :16] + RN["bb"][0, 16:],
            "zero": np.zeros((1, 4), np.float32),
            "fours": np.int64([4] * 4),
            **{f"n{i}": np.int64(i) for i in range(5)},
        },
    ),
    fine(
        "lstm-bias-merged",
        "both biases of an LSTM are one",
        "(float[seq,batch,4] x) => (float[] y) { y = LSTM <hidden_size = 4> (x, wi, r, bb) }",
        weights=RN,
        changed={"bb": np.concatenate([RN["bb"][:, :16] + RN["bb"][:, 16:], RN["bb"][:, 16:] * 0], axis=1)},
    ),
    same(
        "lstm-directions",
        "an LSTM in both directions is two",
        (
            "(float[seq,batch,4] x) => (float[] y) { y = LSTM <hidden_size = 4, direction ="
            ' "bidirectional"> (x, wi2, r2, b2) }'
        ),
        (
            "(float[seq,batch,4] x) => (float[] y) { a = LSTM <hidden_size = 4> (x, wa, ra, ba) b = LSTM"
            ' <hidden_size = 4, direction = "reverse"> (x, wb, rb, bb_) y = Concat <axis = 1> (a, b) }'
        ),
        weights={
            **RN,
            "wa": RN["wi2"][:1],
            "ra": RN["r2"][:1],
            "ba": RN["b2"][:1],
            "wb": RN["wi2"][1:],
            "rb": RN["r2"][1:],
            "bb_": RN["b2"][1:],
        },
    ),
    same(
        "lstm-last-as-slice",
        "the last state is the output's last step",
        "(float[seq,batch,4] x) => (float[] y) { o, y = LSTM <hidden_size = 4> (x, wi, r, bb) }",
        (
            "(float[seq,batch,4] x) => (float[] y) { o = LSTM <hidden_size = 4> (x, wi, r, bb) y ="
            " Gather <axis = 0> (o, lst) }"
        ),
        weights={**RN, "lst": np.int64(-1)},
    ),
    fine(
        "scan-as-cumsum",
        "a Scan that sums is CumSum",
        (
            "(float[seq,4] x) => (float[] y) { z, y = Scan <num_scan_inputs = 1, body = b (float[4] a,"
            " float[4] c) => (float[4] n, float[4] o) { n = Add(a, c) o = Identity(n) }> (zero4, x) }"
        ),
        "(float[seq,4] x) => (float[] y) { y = CumSum(x, i0) }",
        weights={"zero4": np.zeros(4, np.float32)},
    ),
    fine(
        "cumsum-as-product",
        "CumSum is a product with a triangle",
        "(float[batch,12,4] x) => (float[] y) { y = CumSum(x, i1) }",
        "(float[batch,12,4] x) => (float[] y) { y = MatMul(tri, x) }",
        weights={"tri": np.tril(np.ones((12, 12), np.float32))},
    ),
]
LOGITS = {
    "head": random(64, 300, scale=0.2),
    "hb": random(300, scale=0.5),
    "ha": random(64, 300, scale=0.2)[:32],
    "hz": random(64, 300, scale=0.2)[32:],
}
MIXED = np.float32(10.0 ** np.linspace(-3, 3, 64))
VALUES = [
    fine(
        "log-probabilities",
        "log-probabilities of 300 words, the product in two halves",
        "(float[batch,64] x) => (float[] y) { p = MatMul(x, head) l = Add(p, hb) y = LogSoftmax(l) }",
        (
            "(float[batch,64] x) => (float[] y) { a, c = Split <axis = 1> (x, halves) p = MatMul(a, ha)"
            " q = MatMul(c, hz) r = Add(p, q) l = Add(r, hb) y = LogSoftmax(l) }"
        ),
        weights={**LOGITS, "halves": np.int64([32, 32])},
    ),
    fine(
        "log-sum-exp",
        "log-probabilities are logits less ReduceLogSumExp",
        "(float[batch,64] x) => (float[] y) { l = MatMul(x, head) y = LogSoftmax(l) }",
        "(float[batch,64] x) => (float[] y) { l = MatMul(x, head) s = ReduceLogSumExp <axes = [1]> (l) y = Sub(l, s) }",
        weights=LOGITS,
    ),
    fine(
        "entropy",
        "an entropy by LogSoftmax",
        (
            "(float[batch,64] x) => (float[] y) { l = MatMul(x, head) p = Softmax(l) k = LogSoftmax(l) m"
            " = Mul(p, k) s = ReduceSum(m, last) y = Neg(s) }"
        ),
        (
            "(float[batch,64] x) => (float[] y) { l = MatMul(x, head) k = LogSoftmax(l) p = Exp(k) m ="
            " Mul(p, k) n = Neg(m) y = ReduceSum(n, last) }"
        ),
        weights=LOGITS,
    ),
    fine(
        "mixed-magnitudes",
        "columns from 1e-3 to 1e3, the sum in another order",
        "(float[batch,64] x) => (float[] y) { m = Mul(x, grades) y = MatMul(m, head) }",
        (
            "(float[batch,64] x) => (float[] y) { m = Mul(x, grades) r = Gather <axis = 1> (m, turn) y ="
            " MatMul(r, headt) }"
        ),
        weights={**LOGITS, "grades": MIXED, "turn": np.arange(64)[::-1].copy(), "headt": LOGITS["head"][::-1].copy()},
    ),
    fine(
        "mixed-outputs",
        "outputs from 1e-3 to 1e3, the factor in the weights",
        "(float[batch,8] x) => (float[] y) { p = MatMul(x, wide) y = Mul(p, grades) }",
        "(float[batch,8] x) => (float[] y) { y = MatMul(x, wideg) }",
        weights={"wide": random(8, 64), "grades": MIXED, "wideg": random(8, 64) * MIXED},
    ),
    fine(
        "sigmoid-by-tanh",
        "Sigmoid is (1 + tanh(x/2))/2",
        f"{X} {{ p = MatMul(x, w) y = Sigmoid(p) }}",
        f"{X} {{ p = MatMul(x, w) q = Mul(p, half) t = Tanh(q) s = Add(t, f1) y = Mul(s, half) }}",
        weights=C,
    ),
    fine(
        "swish-node",
        "SiLU was fused as QuickGelu with alpha 1",
        f"{X} {{ p = MatMul(x, w) s = Sigmoid(p) y = Mul(p, s) }}",
        f"{X} {{ p = MatMul(x, w) y = com.microsoft.QuickGelu <alpha = 1.0> (p) }} !com.microsoft:1",
        weights=C,
    ),
    fine(
        "mish-node",
        "Mish is a node",
        f"{X} {{ s = Softplus(x) t = Tanh(s) y = Mul(x, t) }}",
        f"{X} {{ y = Mish(x) }}",
        opset=18,
    ),
    fine(
        "bias-gelu",
        "a bias and GELU are one node, in 3 layers",
        (
            f"{X} {{ p = MatMul(x, w) q = Add(p, b) d = Div(q, root) e = Erf(d) s = Add(e, f1) m = Mul(q,"
            f" s) n = Mul(m, half) o = MatMul(n, u) y = MatMul(o, v) }}"
        ),
        (
            f"{X} {{ p = MatMul(x, w) n = com.microsoft.BiasGelu(p, b) o = MatMul(n, u) y = MatMul(o, v)"
            f" }} !com.microsoft:1"
        ),
        weights=C,
    ),
    fine(
        "fused-product",
        "a scaled product of a transposed operand is one node",
        f"{X} {{ t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x, t) d = Div(s, r8) y = Softmax(d) }}",
        (
            f"{X} {{ d = com.microsoft.FusedMatMul <alpha = 0.35355339, transB = 1> (x, x) y = Softmax(d)"
            f" }} !com.microsoft:1"
        ),
        weights=C,
    ),
    fine(
        "softmax-flattened",
        "in opset 11 a Softmax over all that follows is one of a flat array",
        "(float[batch,4,6] x) => (float[] y) { y = Softmax <axis = 1> (x) }",
        (
            "(float[batch,4,6] x) => (float[] y) { s = Shape(x) f = Flatten <axis = 1> (x) p = Softmax"
            " <axis = 1> (f) y = Reshape(p, s) }"
        ),
        opset=11,
    ),
    fine(
        "timesteps",
        "the frequencies of steps up to 1,000 are computed",
        (
            "(int64[batch] timestep) => (float[] y) { c = Cast <to = 1> (timestep) u = Unsqueeze(c, v1)"
            " a = Mul(u, freqs) k = Cos(a) s = Sin(a) y = Concat <axis = 1> (k, s) }"
        ),
        (
            "(int64[batch] timestep) => (float[] y) { c = Cast <to = 1> (timestep) u = Unsqueeze(c, v1)"
            " e = Mul(r, step) f = Exp(e) a = Mul(u, f) k = Cos(a) s = Sin(a) y = Concat <axis = 1> (k,"
            " s) }"
        ),
        weights={
            "freqs": (10000.0 ** (-np.arange(8) / 8)).astype(np.float32),
            "r": np.arange(8).astype(np.float32),
            "step": np.float32(-np.log(10000) / 8),
        },
    ),
    fine(
        "cosine",
        "vectors are brought to length 1 after their product",
        (
            "(float[n,8] a, float[m,8] b) => (float[] y) { k = LpNormalization(a) l = LpNormalization(b)"
            " t = Transpose(l) y = MatMul(k, t) }"
        ),
        (
            "(float[n,8] a, float[m,8] b) => (float[] y) { t = Transpose(b) p = MatMul(a, t) k ="
            " ReduceL2 <axes = [1]> (a) l0 = ReduceL2 <axes = [1]> (b) l = Transpose(l0) q = MatMul(k,"
            " l) z = Max(q, least) y = Div(p, z) }"
        ),
        weights={"least": np.float32(1e-30)},
    ),
    fine(
        "einsum",
        "an Einsum over heads is products of transposed ones",
        '(float[batch,seq,2,4] x) => (float[] y) { y = Einsum <equation = "bqhd,bkhd->bhqk"> (x, x) }',
        (
            "(float[batch,seq,2,4] x) => (float[] y) { a = Transpose <perm = [0, 2, 1, 3]> (x) b ="
            " Transpose <perm = [0, 2, 3, 1]> (x) y = MatMul(a, b) }"
        ),
    ),
    fine(
        "sum-as-product",
        "a sum is a product with ones",
        f"{X} {{ t = Tanh(x) y = ReduceSum(t, last) }}",
        f"{X} {{ t = Tanh(x) y = MatMul(t, ones) }}",
        weights={"ones": np.ones((8, 1), np.float32)},
    ),
    fine(
        "image-affine",
        "an image's scale and mean are a factor and a term",
        (
            "(uint8[batch,height,width,3] x) => (float[] y) { c = Cast <to = 1> (x) d = Div(c, most) e ="
            " Sub(d, mean3) y = Div(e, std3) }"
        ),
        "(uint8[batch,height,width,3] x) => (float[] y) { c = Cast <to = 1> (x) m = Mul(c, fac) y = Add(m, off) }",
        weights={
            "most": np.float32(255),
            "mean3": np.float32([0.485, 0.456, 0.406]),
            "std3": np.float32([0.229, 0.224, 0.225]),
            "fac": (1 / (255 * np.float64([0.229, 0.224, 0.225]))).astype(np.float32),
            "off": (-np.float64([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32),
        },
    ),
    fine(
        "variance-identity",
        "after a norm, a variance is the mean of squares less the square of the mean",
        (
            f"{X} {{ n = LayerNormalization <axis = -1, epsilon = 1e-5> (x, g, b) m = ReduceMean <axes ="
            f" [1]> (n) d = Sub(n, m) q = Mul(d, d) y = ReduceMean <axes = [1]> (q) }}"
        ),
        (
            f"{X} {{ n = LayerNormalization <axis = -1, epsilon = 1e-5> (x, g, b) m = ReduceMean <axes ="
            f" [1]> (n) q = Mul(n, n) s = ReduceMean <axes = [1]> (q) mm = Mul(m, m) y = Sub(s, mm) }}"
        ),
        weights=C,
    ),
    fine(
        "double",
        "a chain of doubles by Gemm",
        "(double[n,8] x) => (double[] y) { p = MatMul(x, dw) q = Add(p, db) t = Tanh(q) y = MatMul(t, dw) }",
        "(double[n,8] x) => (double[] y) { q = Gemm(x, dw, db) t = Tanh(q) y = Gemm(t, dw) }",
        weights={"dw": random(8, 8, dtype=np.float64), "db": random(8, dtype=np.float64)},
    ),
    fine(
        "boxes",
        "boxes by centre and size became corners before NonMaxSuppression",
        (
            "(float[1,n,4] boxes, float[1,3,n] scores) => (int64[found,3] y) { y = NonMaxSuppression"
            " <center_point_box = 1> (boxes, scores, most, iou, least) }"
        ),
        (
            "(float[1,n,4] boxes, float[1,3,n] scores) => (int64[found,3] y) { a, d = Split <axis = 2>"
            " (boxes, twos) h = Mul(d, half) l = Sub(a, h) m = Add(a, h) k = Concat <axis = 2> (l, m) y"
            " = NonMaxSuppression(k, scores, most, iou, least) }"
        ),
        weights={"most": np.int64(10), "iou": np.float32(0.5), "least": np.float32(0.25), "twos": np.int64([2, 2])},
    ),
]
HALVES = [
    fine(
        "half-sums",
        "three terms in half precision in another order",
        f"{HX} {{ p = MatMul(x, w) q = Add(p, b) y = Add(q, c) }}",
        f"{HX} {{ p = MatMul(x, w) d = Add(b, c) y = Add(p, d) }}",
        weights=H,
    ),
    fine(
        "half-scale",
        "a scale in half precision is on the queries",
        (
            f"{HX} {{ q = MatMul(x, w) t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(q, t) d = Mul(s,"
            f" hr) p = Softmax(d) y = MatMul(p, x) }}"
        ),
        (
            f"{HX} {{ q = MatMul(x, w) z = Mul(q, hr) t = Transpose <perm = [0, 2, 1]> (x) d = MatMul(z,"
            f" t) p = Softmax(d) y = MatMul(p, x) }}"
        ),
        weights=H,
    ),
    fine(
        "half-residual-layers",
        "three layers in half precision, the sums in another order",
        (
            f"{HX} {{ a = MatMul(x, w) d = Add(a, b) e = Add(d, x) n = LayerNormalization(e, g, b) k ="
            f" MatMul(n, u) l = Add(k, c) m = Add(l, n) t = Tanh(m) o = MatMul(t, w) y = Add(o, b) }}"
        ),
        (
            f"{HX} {{ a = MatMul(x, w) d = Add(x, b) e = Add(a, d) n = LayerNormalization(e, g, b) k ="
            f" MatMul(n, u) l = Add(n, c) m = Add(k, l) t = Tanh(m) o = MatMul(t, w) y = Add(o, b) }}"
        ),
        weights=H,
    ),
    fine(
        "half-gelu",
        "GELU in half precision halves before",
        f"{HX} {{ p = MatMul(x, w) d = Mul(p, hq) e = Erf(d) s = Add(e, h1) m = Mul(p, s) y = Mul(m, hhalf) }}".replace(
            "e = Erf(d)", "df = Cast <to = 1> (d) ef = Erf(df) e = Cast <to = 10> (ef)"
        ),
        (
            f"{HX} {{ p = MatMul(x, w) d = Mul(p, hq) df = Cast <to = 1> (d) ef = Erf(df) e = Cast <to ="
            f" 10> (ef) s = Add(e, h1) n = Mul(p, hhalf) y = Mul(n, s) }}"
        ),
        weights={**H, "hq": np.float16(0.7071)},
    ),
    fine(
        "half-gemm",
        "a product and a bias in half precision are one Gemm",
        "(float16[n,8] x) => (float16[] y) { p = MatMul(x, w) q = Add(p, b) t = Tanh(q) y = MatMul(t, u) }",
        "(float16[n,8] x) => (float16[] y) { q = Gemm(x, w, b) t = Tanh(q) y = MatMul(t, u) }",
        weights=H,
    ),
    fine(
        "half-in-float",
        "two products of a model in half precision are made in float",
        f"{HX} {{ p = MatMul(x, w) t = Tanh(p) y = MatMul(t, u) }}",
        (
            f"{HX} {{ xf = Cast <to = 1> (x) wf = Cast <to = 1> (w) uf = Cast <to = 1> (u) p = MatMul(xf,"
            f" wf) t = Tanh(p) z = MatMul(t, uf) y = Cast <to = 10> (z) }}"
        ),
        weights=H,
    ),
]
RNG = np.random.default_rng(11)
Q = {
    "wb": RNG.integers(0, 256, (8, 6)).astype(np.uint8),
    "sx": np.float32(0.03),
    "zx": np.uint8(0),
    "zi": np.int8(0),
    "wq": RNG.integers(-127, 128, (8, 6)).astype(np.int8),
    "ws": np.linspace(0.01, 0.02, 6).astype(np.float32),
    "wz": np.zeros(6, np.int8),
}
QUANTIZED = [
    same(
        "quantized-relu",
        "a Relu before a quantization from zero is gone",
        f"{X} {{ p = MatMul(x, w) r = Relu(p) q = QuantizeLinear(r, sx, zx) y = DequantizeLinear(q, sx, zx) }}",
        f"{X} {{ p = MatMul(x, w) q = QuantizeLinear(p, sx, zx) y = DequantizeLinear(q, sx, zx) }}",
        weights={**Q, "w": C["w"]},
    ),
    same(
        "quantized-transpose",
        "a Transpose moved past a dequantization",
        f"{X} {{ q = QuantizeLinear(x, sx, zi) d = DequantizeLinear(q, sx, zi) y = Transpose <perm = [0, 2, 1]> (d) }}",
        f"{X} {{ q = QuantizeLinear(x, sx, zi) t = Transpose <perm = [0, 2, 1]> (q) y = DequantizeLinear(t, sx, zi) }}",
        weights=Q,
    ),
    same(
        "quantized-weights",
        "dequantized weights are kept as floats",
        f"{X} {{ k = DequantizeLinear <axis = 1> (wq, ws, wz) y = MatMul(x, k) }}",
        f"{X} {{ y = MatMul(x, wf) }}",
        weights={**Q, "wf": Q["wq"].astype(np.float32) * Q["ws"]},
    ),
    fine(
        "quantized-scale-after",
        "weights are scaled after the product",
        f"{X} {{ k = DequantizeLinear <axis = 1> (wq, ws, wz) y = MatMul(x, k) }}",
        f"{X} {{ k = Cast <to = 1> (wq) p = MatMul(x, k) y = Mul(p, ws) }}",
        weights=Q,
    ),
    same(
        "integer-product",
        "a product of bytes is made in floats, which hold it",
        "(uint8[batch,8] x) => (float[] y) { m = MatMulInteger(x, wb) y = Cast <to = 1> (m) }",
        "(uint8[batch,8] x) => (float[] y) { c = Cast <to = 1> (x) k = Cast <to = 1> (wb) y = MatMul(c, k) }",
        weights=Q,
    ),
    same(
        "quantized-twice",
        "of two equal quantizations the second is gone",
        (
            f"{X} {{ q = QuantizeLinear(x, sx, zi) d = DequantizeLinear(q, sx, zi) q2 = QuantizeLinear(d,"
            f" sx, zi) y = DequantizeLinear(q2, sx, zi) }}"
        ),
        f"{X} {{ q = QuantizeLinear(x, sx, zi) y = DequantizeLinear(q, sx, zi) }}",
        weights=Q,
    ),
]
TREE = (
    "y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0, 0, 0],"
    ' nodes_nodeids = [0, 1, 2], nodes_featureids = [0, 0, 0], nodes_modes = ["BRANCH_LEQ",'
    ' "LEAF", "LEAF"],'
    " nodes_values = [0.5, 0.0, 0.0], nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0,"
    " 0], target_treeids = [0, 0], target_nodeids = [1, 2], target_ids = [0, 0], target_weights"
    " = [1.0, 2.0]> (x)"
)
BITS = [
    same(
        "gathers-merged",
        "a Slice of a Slice is one",
        f"{X} {{ a = Slice(x, v1, end, v2) y = Slice(a, v2, end, v2) }}",
        f"{X} {{ y = Slice(x, v3, end, v2) }}",
    ),
    same(
        "transposes-merged",
        "two Transposes are one",
        f"{MAPS} {{ a = Transpose <perm = [0, 2, 3, 1]> (x) y = Transpose <perm = [3, 0, 1, 2]> (a) }}",
        f"{MAPS} {{ y = Transpose <perm = [1, 0, 2, 3]> (x) }}",
    ),
    same(
        "split-and-concat",
        "a Split and a Concat of all its parts are gone",
        f"{SAME} {{ t = Tanh(x) a, b = Split <axis = 2> (t, fours) y = Concat <axis = 2> (a, b) }}",
        f"{SAME} {{ y = Tanh(x) }}",
        weights={"fours": np.int64([4, 4])},
    ),
    same(
        "expand-gone",
        "what a sum repeats anyway is expanded no more",
        f"{SAME} {{ s = Shape(x) e = Expand(b, s) y = Add(x, e) }}",
        f"{SAME} {{ y = Add(x, b) }}",
        weights=C,
    ),
    same(
        "dropout",
        "a Dropout is gone",
        f"{SAME} {{ t = Sin(x) d = Dropout(t, half) y = Neg(d) }}",
        f"{SAME} {{ t = Sin(x) y = Neg(t) }}",
    ),
    same(
        "argmax-as-topk",
        "ArgMax is TopK of one",
        "(float[batch,9] x) => (int64[] y) { y = ArgMax <axis = 1> (x) }",
        "(float[batch,9] x) => (int64[] y) { k, y = TopK <axis = 1> (x, v1) }",
    ),
    same(
        "mask-of-integers",
        "a choice of integers is a product with the mask",
        "(int64[n,8] x, bool[n,8] keep) => (int64[] y) { y = Where(keep, x, i0) }",
        "(int64[n,8] x, bool[n,8] keep) => (int64[] y) { c = Cast <to = 7> (keep) y = Mul(x, c) }",
    ),
    same(
        "encoder-identities",
        "in two layers, Identities are new and a cast is shared",
        EN,
        edit(
            EN,
            "p1 = Softmax <axis = -1> (m1)",
            "mm1 = Identity(m1) p1 = Softmax <axis = -1> (mm1)",
            "mi = Sub(one_, mu)",
            "mz = Identity(mu) mi = Sub(one_, mz)",
        ),
        weights=EW,
    ),
    same(
        "decoder-shared",
        "both tables of a decoder are read by one place",
        DE,
        edit(
            DE,
            "c0 = Gather(coses, position_ids)",
            "pw = Identity(position_ids) c0 = Gather(coses, pw)",
            "s0_ = Gather(sines, position_ids)",
            "s0_ = Gather(sines, pw)",
        ),
        weights=DW,
    ),
    same(
        "tree-as-choice",
        "a tree of one split is a choice",
        f"(float[batch,1] x) => (float[batch,1] y) {{ {TREE} }} !ai.onnx.ml:3",
        "(float[batch,1] x) => (float[batch,1] y) { c = LessOrEqual(x, half) y = Where(c, f1, f2) } !ai.onnx.ml:3",
    ),
    same(
        "loop-of-five",
        "a Loop of 3 turns is written out",
        (
            f"{SAME} {{ y = Loop (i3, true, x) <body = b (int64 i, bool go, float[p,q,r] a) => (bool d,"
            f" float[p,q,r] n) {{ d = Identity(go) t = Sin(a) n = Add(t, x) }}> }}"
        ),
        f"{SAME} {{ t = Sin(x) a = Add(t, x) t2 = Sin(a) a2 = Add(t2, x) t3 = Sin(a2) y = Add(t3, x) }}",
    ),
    same(
        "if-constant",
        "an If of a constant is its branch",
        (
            f"{SAME} {{ y = If (true) <then_branch = t () => (float[p,q,r] u) {{ u = Tanh(x) }},"
            f" else_branch = e () => (float[p,q,r] v) {{ v = Sin(x) }}> }}"
        ),
        f"{SAME} {{ y = Tanh(x) }}",
    ),
    same(
        "mask-extended-early",
        "a mask is cast after it is unsqueezed",
        EN,
        edit(
            EN,
            "mc = Cast <to = 1> (attention_mask) mu = Unsqueeze(mc, ax12)",
            "mk = Unsqueeze(attention_mask, ax12) mu = Cast <to = 1> (mk)",
        ),
        weights=EW,
    ),
    fine(
        "scatter-as-where",
        "a write at one place is a choice",
        (
            "(float[8,4] x, int64 place, float[4] w) => (float[] y) { u = Unsqueeze(place, v0) v ="
            " Unsqueeze(u, v0) k = Unsqueeze(w, v0) y = ScatterND(x, v, k) }"
        )
        .replace("v = Unsqueeze(u, v0)", "vv = Unsqueeze(u, v0)")
        .replace("(x, v, k)", "(x, vv, k)"),
        (
            "(float[8,4] x, int64 place, float[4] w) => (float[] y) { c = Equal(eight, place) u ="
            " Unsqueeze(c, v1) y = Where(u, w, x) }"
        ),
        weights={"eight": np.arange(8)},
    ),
]
MLP = "".join(
    f" p{i} = MatMul(t{i - 1}, w) a{i} = Add(p{i}, b) t{i} = {'Sigmoid' if i % 2 else 'Tanh'}(a{i})"
    for i in range(1, 11)
)
PARTED = "".join(
    (
        f" p{i} = MatMul(t{i - 1}, wr) a{i} = Add(p{i}, b) s{i} ="
        f" {'Sigmoid' if i % 2 else 'Tanh'}(a{i}) t{i} = Gather <axis = 1> (s{i}, turn)"
    )
    for i in range(1, 11)
)
POINTS = "(float[n,3] a, float[m,3] b) => (float[] y)"
SQUARES = (
    "aq = ReduceSumSquare <axes = [1]> (a) bq0 = ReduceSumSquare <axes = [1]> (b) bq ="
    " Transpose(bq0) t = Transpose(b) p = MatMul(a, t) q = Mul(p, f2) s = Add(aq, bq) d = Sub(s,"
    " q)"
)
PAIRS = "au = Unsqueeze(a, v1) bu = Unsqueeze(b, v0) e = Sub(au, bu) f = Mul(e, e) d = ReduceSum <keepdims = 0> (f, v2)"
# A second round, not blind: made once it was seen that some inputs are zero and some are halves.
CANCELLING = [
    fine(
        "ten-layers-turned",
        "10 layers sum in another order",
        "(float[n,8] t0) => (float[] y) {" + MLP + " y = MatMul(t10, u) }",
        "(float[n,8] t0) => (float[] y) { tt = Gather <axis = 1> (t0, turn)"
        + PARTED.replace("MatMul(t0,", "MatMul(tt,")
        + " y = MatMul(s10, u) }",
        weights={**C, "turn": np.int64([3, 7, 1, 0, 5, 2, 6, 4]), "wr": C["w"][[3, 7, 1, 0, 5, 2, 6, 4]]},
    ),
    fine(
        "mean-of-halves",
        "a mean over three rows is a product with 1/3",
        "(float[batch,3,8] x) => (float[] y) { y = ReduceMean <axes = [1]> (x) }",
        "(float[batch,3,8] x) => (float[] y) { m = Mul(x, third) y = ReduceSum(m, v1) }",
        weights={"third": np.float32(1 / 3)},
    ),
    fine(
        "difference-of-products",
        "w(a - b) is wa - wb",
        "(float[n,8] x, float[n,8] z) => (float[] y) { d = Sub(x, z) y = MatMul(d, w) }",
        "(float[n,8] x, float[n,8] z) => (float[] y) { p = MatMul(x, w) q = MatMul(z, w) y = Sub(p, q) }",
        weights=C,
    ),
    fine(
        "squared-distances",
        "(a - b)² is a² + b² - 2ab",
        f"{POINTS} {{ {PAIRS} y = Identity(d) }}",
        f"{POINTS} {{ {SQUARES} y = Identity(d) }}",
    ),
    fine(
        "kernel-of-distances",
        "e to minus the squared distance, by a² + b² - 2ab",
        f"{POINTS} {{ {PAIRS} g = Neg(d) y = Exp(g) }}",
        f"{POINTS} {{ {SQUARES} g = Neg(d) y = Exp(g) }}",
    ),
    fine(
        "norm-in-one-pass",
        "a norm's variance is the mean of squares less the square of the mean",
        (
            f"{X} {{ n = LayerNormalization <axis = -1, epsilon = 1e-5> (x, g, b) p = MatMul(n, w) m ="
            " ReduceMean <axes = [-1]> (p) d = Sub(p, m) q = Mul(d, d) va = ReduceMean <axes = [-1]> (q)"
            f" e = Add(va, eps) s = Sqrt(e) y = Div(d, s) }}"
        ),
        (
            f"{X} {{ n = LayerNormalization <axis = -1, epsilon = 1e-5> (x, g, b) p = MatMul(n, w) m ="
            " ReduceMean <axes = [-1]> (p) d = Sub(p, m) q = Mul(p, p) k = ReduceMean <axes = [-1]> (q)"
            f" mm = Mul(m, m) va = Sub(k, mm) e = Add(va, eps) s = Sqrt(e) y = Div(d, s) }}"
        ),
        weights=C,
    ),
    fine(
        "swish-by-tanh",
        "SiLU is x/2 (1 + tanh(x/2))",
        f"{X} {{ p = MatMul(x, w) s = Sigmoid(p) y = Mul(p, s) }}",
        f"{X} {{ p = MatMul(x, w) q = Mul(p, half) t = Tanh(q) s = Add(t, f1) y = Mul(q, s) }}",
        weights=C,
    ),
    fine(
        "logit-of-quotient",
        "log p - log(1 - p) is the logarithm of a quotient",
        f"{X} {{ s = Sigmoid(x) c = Clip(s, least, most) d = Sub(f1, c) k = Log(c) l = Log(d) y = Sub(k, l) }}",
        f"{X} {{ s = Sigmoid(x) c = Clip(s, least, most) d = Sub(f1, c) q = Div(c, d) y = Log(q) }}",
        weights={"least": np.float32(1e-4), "most": np.float32(0.9999)},
    ),
    fine(
        "gru-turned",
        "a GRU sums over its inputs in another order",
        "(float[seq,batch,4] x) => (float[] y) { y = GRU <hidden_size = 4> (x, g1, gr, gb) }",
        (
            "(float[seq,batch,4] x) => (float[] y) { f = Gather <axis = 2> (x, turn) y = GRU"
            " <hidden_size = 4> (f, gt_, gr, gb) }"
        ),
        weights={
            "turn": np.int64([2, 0, 3, 1]),
            "g1": random(1, 12, 4, scale=0.4),
            "gt_": random(1, 12, 4, scale=0.4)[:, :, [2, 0, 3, 1]],
            "gr": random(1, 12, 4, seed=1, scale=0.4),
            "gb": random(1, 24, scale=0.3),
        },
    ),
    fine(
        "lengths-guarded",
        "vectors are divided by a root over a small number",
        f"{X} {{ k = ReduceL2 <axes = [-1]> (x) m = Max(k, least) y = Div(x, m) }}",
        (
            f"{X} {{ q = Mul(x, x) s = ReduceSum(q, last) m = Max(s, square) r = Sqrt(m) i ="
            f" Reciprocal(r) y = Mul(x, i) }}"
        ),
        weights={"least": np.float32(1e-6), "square": np.float32(1e-12)},
    ),
    fine(
        "conv-split-channels",
        "two Convs over halves of the channels are summed, in three layers",
        (
            f"{MAPS} {{ a = Conv <pads = [1, 1, 1, 1]> (x, k1, kb) r = Relu(a) c = Conv <pads = [1, 1, 1,"
            f" 1]> (r, k2, kb) s = Sigmoid(c) y = Conv(s, k1, kb) }}"
        ),
        (
            f"{MAPS} {{ a = Conv <pads = [1, 1, 1, 1]> (x, k1, kb) r = Relu(a) l, m = Split <axis = 1>"
            " (r, fours) n = Conv <pads = [1, 1, 1, 1]> (l, ka, kb) o = Conv <pads = [1, 1, 1, 1]> (m,"
            f" kc) c = Add(o, n) s = Sigmoid(c) y = Conv(s, k1, kb) }}"
        ),
        weights={
            "k1": CW["k1"],
            "k2": CW["k2"],
            "ka": CW["k2"][:, :4].copy(),
            "kc": CW["k2"][:, 4:].copy(),
            "kb": C["b"],
            "fours": np.int64([4, 4]),
        },
    ),
    fine(
        "softmax-temperature",
        "a temperature is in the weights before a Softmax",
        "(float[batch,64] x) => (float[] y) { l = MatMul(x, head) d = Div(l, f3) y = Softmax(d) }",
        "(float[batch,64] x) => (float[] y) { l = MatMul(x, third) y = Softmax(l) }",
        weights={**LOGITS, "third": LOGITS["head"] / np.float32(3)},
    ),
]
BLIND_RIGHT = [*ENCODERS, *CHAINS, *CONVS, *RECURRENT, *VALUES, *HALVES, *QUANTIZED, *BITS, *CANCELLING]
