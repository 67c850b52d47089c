"""Wrong rewrites invented without a look at how inputs are made: what converters, fusions and scripts get wrong.

A comment says on which inputs the two differ, where that is not on all.
"""

from __future__ import annotations

import numpy as np

from tests.verification.planted.blind_models import (
    CO,
    CW,
    DE,
    DW,
    EN,
    EW,
    IMAGE,
    MAPS,
    X,
    batch_norm,
    decoder,
    decoder_weights,
    edit,
    encoder,
    encoder_weights,
    norm_parts,
)
from tests.verification.planted.pair import MODES, Pair, put, random, wrong

NORMED = "(float[batch,8,height,width] x) => (float[batch,8,height,width] y)"
PLAIN = decoder(pasts=False)


def bert(name: str, told: str, *changes: str, **changed: object) -> Pair:
    """A wrong rewrite of the encoder."""
    return wrong(f"blind-encoder-{name}", told, EN, edit(EN, *changes), weights=EW, changed=changed)


def llama(name: str, told: str, *changes: str, **changed: object) -> Pair:
    """A wrong rewrite of the decoder with a cache."""
    return wrong(f"blind-decoder-{name}", told, DE, edit(DE, *changes), weights=DW, changed=changed)


def cnn(name: str, told: str, *changes: str, **changed: object) -> Pair:
    """A wrong rewrite of the net of Convs."""
    return wrong(f"blind-convs-{name}", told, CO, edit(CO, *changes), weights=CW, changed=changed)


ENCODERS = [
    # where attention_mask has zeros
    bert(
        "mask-gone-in-layer-1", "the second layer sees what the mask hides", "m1 = Add(d1, mask)", "m1 = Identity(d1)"
    ),
    bert(
        "mask-over-queries",
        "the mask hides rows, not columns",
        "Unsqueeze(mc, ax12)",
        "Unsqueeze(mc, ax13)",
        ax13=np.int64([1, 3]),
    ),
    # where the rows of a batch are not padded alike
    bert(
        "mask-of-the-first-row",
        "the first row's mask is taken for all of the batch",
        "mc = Cast <to = 1> (attention_mask)",
        "mf = Slice(attention_mask, v0, v1, v0) mc = Cast <to = 1> (mf)",
    ),
    bert("mask-weak", "hidden scores get -8", hide=np.float32(-8)),
    bert(
        "norm-epsilon-layer-1",
        "the last norm's epsilon is 1e-3",
        "hs2 = LayerNormalization <axis = -1, epsilon = 1e-5>",
        "hs2 = LayerNormalization <axis = -1, epsilon = 1e-3>",
    ),
    bert(
        "norm-epsilon-embeddings",
        "the epsilon of the embeddings' norm is 1e-12",
        "hs0 = LayerNormalization <axis = -1, epsilon = 1e-5>",
        "hs0 = LayerNormalization <axis = -1, epsilon = 1e-12>",
    ),
    # where token_type_ids has ones
    bert(
        "kinds-row-1", "a number of the second kind's row is off by a hundredth", kinds=put(EW["kinds"], (1, 5), 0.01)
    ),
    bert("residual-before-norm", "layer 1 adds what is before the norm", "x1 = Add(fd1, n1)", "x1 = Add(fd1, r1)"),
    bert(
        "pooled-last",
        "the last position is pooled",
        "Gather <axis = 1> (hs2, i0)",
        "Gather <axis = 1> (hs2, lst)",
        lst=np.int64(-1),
    ),
    bert(
        "ffn-bias-element",
        "an element of layer 1's inner bias is off by 0.004",
        b11=put(EW["b11"], 9, EW["b11"][9] + 0.004),
    ),
    bert(
        "scale-layer-1",
        "layer 1 divides by the root of the full width",
        "d1 = Div(s1, scale)",
        "d1 = Div(s1, scale4)",
        scale4=np.float32(4),
    ),
    bert(
        "gelu-layer-1",
        "layer 1 has the sigmoid approximation of GELU",
        "ge1d = Div(fb1, root) ge1e = Erf(ge1d) ge1a = Add(ge1e, one_) ge1m = Mul(fb1, ge1a) ge1 = Mul(ge1m, half_)",
        "ge1d = Mul(fb1, quick) ge1e = Sigmoid(ge1d) ge1 = Mul(fb1, ge1e)",
        quick=np.float32(1.702),
    ),
    bert(
        "value-and-key-swapped",
        "layer 1's packed weights were cut in another order",
        "va1 = MatMul(hs1, wv1)",
        "va1 = MatMul(hs1, wk1)",
        "ka1 = MatMul(hs1, wk1)",
        "ka1 = MatMul(hs1, wv1)",
    ),
    bert(
        "heads-of-layer-1",
        "layer 1's heads are cut as pairs, not as halves",
        "vr1 = Reshape(vb1, heads)",
        "vq1 = Reshape(vb1, pairs) vr1 = Transpose <perm = [0, 1, 3, 2]> (vq1)",
        pairs=np.int64([0, 0, 8, 2]),
    ),
    bert("pooled-of-layer-0", "the pooler reads layer 0", "Gather <axis = 1> (hs2, i0)", "Gather <axis = 1> (hs1, i0)"),
    # where the sequence is longer than 64
    bert(
        "places-past-64",
        "rows of the position table past 64 are zero",
        places=np.where(np.arange(128)[:, None] < 64, EW["places"], 0).astype(np.float32),
    ),
    bert("words-row", "one word's row is another's", words=put(EW["words"], 31, EW["words"][30])),
    bert(
        "softmax-unmasked-probabilities",
        "layer 1 masks by a product after Softmax and does not norm anew",
        "m1 = Add(d1, mask) p1 = Softmax <axis = -1> (m1)",
        "p1s = Softmax <axis = -1> (d1) p1 = Mul(p1s, mu)",
    ),
    wrong(
        "blind-encoder-one-pass-variance-of-means",
        "in opset 14, the last norm has its variance from the squares of layer 1's input",
        encoder(2, norm_parts),
        edit(encoder(2, norm_parts), "hs2q = Mul(hs2d, hs2d)", "hs2q = Mul(n1d, n1d)"),
        opset=14,
        weights=EW,
    ),
    wrong(
        "blind-encoder-epsilon-of-embeddings-dropped",
        "in opset 14, the embeddings' norm lost its epsilon, which their small variance shows",
        encoder(2, norm_parts),
        edit(encoder(2, norm_parts), "hs0e = Add(hs0v, eps)", "hs0e = Identity(hs0v)"),
        opset=14,
        weights=EW,
    ),
    wrong(
        "blind-encoder-three-layers-norm-scale",
        "in a model of 3 layers, one element of the middle norm's scale is off by 0.003",
        encoder(3),
        weights=encoder_weights(3),
        changed={"ga1": put(encoder_weights(3)["ga1"], 4, encoder_weights(3)["ga1"][4] + 0.003)},
    ),
]
DECODERS = [
    # where there is a past
    llama(
        "causal-without-past",
        "the causal mask counts its rows from 0: the past shifts it",
        "rows = Range(pl, tl, i1)",
        "rows = Range(i0, il, i1)",
    ),
    llama(
        "positions-from-0",
        "positions are counted and not taken from the input",
        "c0 = Gather(coses, position_ids)",
        "nq = Shape(input_ids) iq = Gather(nq, i1) pq = Range(i0, iq, i1) c0 = Gather(coses, pq)",
        "c0, ax1",
        "c0, ax01",
        "s0_ = Gather(sines, position_ids)",
        "s0_ = Gather(sines, pq)",
        "(s0_, ax1)",
        "(s0_, ax01)",
        ax01=np.int64([0, 1]),
    ),
    llama(
        "positions-from-past",
        "positions are counted from the past and not taken from the input",
        "c0 = Gather(coses, position_ids)",
        (
            "nq = Shape(input_ids) iq = Gather(nq, i1) pz = Shape(past_key_0) pw = Gather(pz, i2) px ="
            " Add(pw, iq) pq = Range(pw, px, i1) c0 = Gather(coses, pq)"
        ),
        "c0, ax1",
        "c0, ax01",
        "s0_ = Gather(sines, position_ids)",
        "s0_ = Gather(sines, pq)",
        "(s0_, ax1)",
        "(s0_, ax01)",
        ax01=np.int64([0, 1]),
    ),
    llama(
        "causal-itself-hidden",
        "a position does not see itself",
        "unseen = Greater(cols, ru)",
        "unseen = GreaterOrEqual(cols, ru)",
    ),
    llama(
        "causal-one-ahead",
        "a position sees the next one",
        "unseen = Greater(cols, ru)",
        "rp = Add(ru, i1) unseen = Greater(cols, rp)",
    ),
    # where past and sequence are longer than 16 together
    llama(
        "sliding-window",
        "a position sees only 16 back",
        "unseen = Greater(cols, ru)",
        "un = Greater(cols, ru) rb = Sub(ru, i16) ol = Less(cols, rb) unseen = Or(un, ol)",
    ),
    llama(
        "rotary-sign-of-keys",
        "layer 1's keys are turned the other way",
        "k1f = Mul(k1d, sin)",
        "k1g = Neg(sin) k1f = Mul(k1d, k1g)",
    ),
    llama(
        "rotary-interleaved",
        "layer 0's queries are turned by pairs",
        "q0a, q0b = Split <axis = -1> (qt0, fours) q0c = Neg(q0b) q0d = Concat <axis = -1> (q0c, q0a)",
        "q0x = Gather <axis = 3> (qt0, flip) q0d = Mul(q0x, signs)",
        flip=np.int64([1, 0, 3, 2, 5, 4, 7, 6]),
        signs=np.float32([-1, 1] * 4),
    ),
    llama("groups-interleaved", "the heads of a group are taken in turns", group=np.int64([0, 1, 0, 1])),
    llama("present-of-layer-0", "layer 1 keeps the values of layer 0", "(past_value_1, vt1)", "(past_value_1, vt0)"),
    llama(
        "present-before-rotary",
        "layer 1's keys are kept as they are before they are turned",
        "present_key_1 = Concat <axis = 2> (past_key_1, k1)",
        "present_key_1 = Concat <axis = 2> (past_key_1, kt1) kz1 = Concat <axis = 2> (past_key_1, k1)",
        "kg1 = Gather <axis = 1> (present_key_1, group)",
        "kg1 = Gather <axis = 1> (kz1, group)",
    ),
    llama(
        "past-after",
        "the past of layer 1 comes after what is new",
        "(past_value_1, vt1)",
        "(vt1, past_value_1)",
        "(past_key_1, k1)",
        "(k1, past_key_1)",
    ),
    llama(
        "epsilon-layer-1",
        "layer 1's epsilon is 1e-3, not 1e-6",
        "n1e = Add(n1v, eps)",
        "n1e = Add(n1v, eps3)",
        eps3=np.float32(1e-3),
    ),
    llama(
        "rotary-base",
        "the base of the angles is 10010",
        coses=np.cos(np.tile(np.arange(256)[:, None] * 10010.0 ** (-np.arange(4) / 4), 2)).astype(np.float32),
        sines=np.sin(np.tile(np.arange(256)[:, None] * 10010.0 ** (-np.arange(4) / 4), 2)).astype(np.float32),
    ),
    # where a position is over 128
    llama(
        "rotary-table-scaled-late",
        "positions over 128 are turned by half as much",
        coses=np.where(np.arange(256)[:, None] < 128, DW["coses"], DW["coses"][np.arange(256) // 2]),
        sines=np.where(np.arange(256)[:, None] < 128, DW["sines"], DW["sines"][np.arange(256) // 2]),
    ),
    llama(
        "gate-and-up",
        "the gate and what it gates are swapped in layer 1",
        "gt1 = MatMul(n1, w11)",
        "gt1 = MatMul(n1, w31)",
        "gu1 = MatMul(n1, w31)",
        "gu1 = MatMul(n1, w11)",
    ),
    llama(
        "last-norm-scale", "the last norm has another's scale", "last_ = Mul(last_n, gf)", "last_ = Mul(last_n, gz1)"
    ),
    llama(
        "scale-of-layer-0",
        "layer 0's scale is 0.35",
        "d0 = Mul(s0, scale)",
        "d0 = Mul(s0, other)",
        other=np.float32(0.35),
    ),
    llama(
        "head-column",
        "a column of the head is off by a hundredth",
        head=DW["head"] * put(np.ones((1, 50), np.float32), (0, 41), 1.01),
    ),
    wrong(
        "blind-decoder-causal-table",
        "the causal mask is a table of 32, repeated beyond",
        # sequences over 32
        PLAIN,
        edit(PLAIN, "unseen = Greater(cols, ru)", "rm = Mod(ru, n32) cm = Mod(cols, n32) unseen = Greater(cm, rm)"),
        weights={**DW, "n32": np.int64(32)},
    ),
    wrong(
        "blind-decoder-positions-reset",
        "positions are the sequence's own: those of packed sequences start anew",
        PLAIN,
        edit(
            PLAIN,
            "c0 = Gather(coses, position_ids)",
            "nq = Shape(input_ids) iq = Gather(nq, i1) pq = Range(i0, iq, i1) c0 = Gather(coses, pq)",
            "c0, ax1",
            "c0, ax01",
            "s0_ = Gather(sines, position_ids)",
            "s0_ = Gather(sines, pq)",
            "(s0_, ax1)",
            "(s0_, ax01)",
        ),
        weights={**DW, "ax01": np.int64([0, 1])},
    ),
    wrong(
        "blind-decoder-three-layers",
        "in the third layer, a product of 48 lacks its last column",
        decoder(3, False),
        weights=decoder_weights(3),
        changed={"w22": put(decoder_weights(3)["w22"], 47, 0)},
    ),
]
CONVS = [
    cnn(
        "epsilon-deep",
        "the fourth norm's epsilon is 1e-3",
        "n3 = BatchNormalization <epsilon = 1e-5>",
        "n3 = BatchNormalization <epsilon = 1e-3>",
    ),
    wrong(
        "blind-convs-folded-without-epsilon",
        "a norm was folded without its epsilon, which a small variance shows",
        CO,
        edit(CO, batch_norm("n1", "c1", "1"), batch_norm("n1", "c1", "1", "1e-12")),
        weights={**CW, "nv1": CW["nv1"] * np.float32(1e-3)},
    ),
    cnn("se-gate", "the gate's slope is 0.2", "alpha = 0.16666667", "alpha = 0.2"),
    cnn("relu6-as-relu", "values over 6 pass", "Clip(n3, zero_, six_)", "Relu(n3)"),
    cnn(
        "residual-after-relu",
        "the sum is made after the Relu",
        "a2 = Add(gm, r0) r2 = Relu(a2)",
        "a2 = Relu(gm) r2 = Add(a2, r0)",
    ),
    cnn(
        "gate-before-residual",
        "the gate is taken over the sum",
        "gp = GlobalAveragePool(n2)",
        "gz = Add(n2, r0) gp = GlobalAveragePool(gz)",
    ),
    cnn(
        "depthwise-swapped",
        "two channels' taps are swapped in the depthwise Conv",
        k3=CW["k3"][[0, 1, 2, 4, 3, 5, 6, 7]],
    ),
    cnn(
        "norm-mean-folded-twice",
        "the third norm's mean is taken off twice in one channel",
        nm2=put(CW["nm2"], 3, CW["nm2"][3] * 2),
    ),
    cnn(
        "silu-by-hard",
        "the last SiLU is a hard one",
        "s4 = Sigmoid(n4)",
        "s4 = HardSigmoid <alpha = 0.16666667, beta = 0.5> (n4)",
    ),
    cnn(
        "stem-pads",
        "the stem pads at the other side, as SAME_UPPER does for even sizes",
        "strides = [2, 2], pads = [1, 1, 1, 1]",
        'strides = [2, 2], auto_pad = "SAME_UPPER"',
    ),
    cnn("pool-of-maxima", "the gate's pool takes maxima", "gp = GlobalAveragePool(n2)", "gp = GlobalMaxPool(n2)"),
    cnn("stem-channels", "the stem's taps are for BGR", k0=CW["k0"][:, ::-1].copy()),
    cnn("head-bias", "one class's bias is off by 0.002", fb=put(CW["fb"], 7, CW["fb"][7] + 0.002)),
    cnn(
        "tap-of-1x1",
        "one tap of the last Conv is rounded to a hundredth",
        k4=put(CW["k4"], (5, 3, 0, 0), round(float(CW["k4"][5, 3, 0, 0]), 2)),
    ),
    wrong(
        "blind-norm-into-padded-conv",
        "a norm before a padded Conv is in its weights: the border sees the shift as zero",
        "(float[batch,8,height,width] x) => (float[] y) {"
        + batch_norm("n", "x", "1")
        + " y = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (n, k1) }",
        (
            "(float[batch,8,height,width] x) => (float[] y) { y = Conv <kernel_shape = [3, 3], pads ="
            " [1, 1, 1, 1]> (x, kf, bf) }"
        ),
        weights={
            **CW,
            "kf": CW["k1"] * (CW["ns1"] / np.sqrt(CW["nv1"] + 1e-5)).reshape(1, 8, 1, 1).astype(np.float32),
            "bf": (CW["k1"] * (CW["nb1"] - CW["nm1"] * CW["ns1"] / np.sqrt(CW["nv1"] + 1e-5)).reshape(1, 8, 1, 1))
            .sum((1, 2, 3))
            .astype(np.float32),
        },
    ),
    wrong(
        "blind-norm-after-relu",
        "a norm after a Relu was folded as if before it",
        "(float[batch,3,height,width] x) => (float[] y) { c = Conv(x, k0) r = Relu(c)"
        + batch_norm("y", "r", "0")
        + " }",
        "(float[batch,3,height,width] x) => (float[] y) { c = Conv(x, k0)"
        + batch_norm("n", "c", "0")
        + " y = Relu(n) }",
        weights=CW,
    ),
    wrong(
        "blind-preprocessing-into-padded-conv",
        "the mean is in the bias of a padded Conv: the border differs",
        f"{IMAGE} {{ s = Sub(x, mean3) y = Conv <pads = [1, 1, 1, 1]> (s, k0) }}",
        f"{IMAGE} {{ y = Conv <pads = [1, 1, 1, 1]> (x, k0, bf) }}",
        weights={
            **CW,
            "mean3": np.float32([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1),
            "bf": -(CW["k0"] * np.float32([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1)).sum((1, 2, 3)),
        },
    ),
    wrong(
        "blind-same-lower",
        "SAME_UPPER became SAME_LOWER",
        f'{IMAGE} {{ y = Conv <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER"> (x, k0) }}',
        f'{IMAGE} {{ y = Conv <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_LOWER"> (x, k0) }}',
        weights=CW,
    ),
    # odd heights or widths
    wrong(
        "blind-same-baked-even",
        "SAME_UPPER was baked as the pads of even sizes",
        f'{IMAGE} {{ y = Conv <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER"> (x, k0) }}',
        f"{IMAGE} {{ y = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 1]> (x, k0) }}",
        weights=CW,
    ),
    # even heights or widths
    wrong(
        "blind-same-baked-odd",
        "SAME_UPPER was baked as the pads of odd sizes",
        f'{IMAGE} {{ y = Conv <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER"> (x, k0) }}',
        f"{IMAGE} {{ y = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, k0) }}",
        weights=CW,
    ),
    wrong(
        "blind-transposed-kernel",
        "a ConvTranspose's taps were turned twice",
        f"{MAPS} {{ y = ConvTranspose <strides = [2, 2], kernel_shape = [3, 3]> (x, k1) }}",
        weights=CW,
        changed={"k1": CW["k1"][:, :, ::-1, ::-1].copy()},
    ),
    wrong(
        "blind-transposed-pads",
        "a ConvTranspose is cut at the other end",
        f"{MAPS} {{ y = ConvTranspose <strides = [2, 2], kernel_shape = [3, 3], pads = [1, 1, 0, 0]> (x, k1) }}",
        f"{MAPS} {{ y = ConvTranspose <strides = [2, 2], kernel_shape = [3, 3], pads = [0, 0, 1, 1]> (x, k1) }}",
        weights=CW,
    ),
    wrong(
        "blind-dilation-lost",
        "a dilated Conv is not dilated and pads less",
        f"{MAPS} {{ y = Conv <dilations = [2, 2], pads = [2, 2, 2, 2]> (x, k1) }}",
        f"{MAPS} {{ y = Conv <pads = [1, 1, 1, 1]> (x, k1) }}",
        weights=CW,
    ),
    wrong(
        "blind-channel-shuffle",
        "channels are shuffled as 4 groups of 2, not 2 of 4",
        f"{MAPS} {{ s = Shape(x) hw = Slice(s, v2, v4, v0) b = Slice(s, v0, v1, v0) t = Concat <axis = 0> (b, to, hw)"
        " r = Reshape(x, t) p = Transpose <perm = [0, 2, 1, 3, 4]> (r) y = Reshape(p, s) }",
        weights={"to": np.int64([2, 4])},
        changed={"to": np.int64([4, 2])},
    ),
    wrong(
        "blind-pixel-shuffle",
        "DepthToSpace in the other mode",
        f'{MAPS} {{ y = DepthToSpace <blocksize = 2, mode = "CRD"> (x) }}',
        f'{MAPS} {{ y = DepthToSpace <blocksize = 2, mode = "DCR"> (x) }}',
    ),
    wrong(
        "blind-focus-order",
        "the slices of a Focus are SpaceToDepth's, in another order",
        "(float[batch,3,32,32] x) => (float[] y) { a = Slice(x, z2, e2, sp, st)"
        " o10 = Slice(x, p10, e2, sp, st) o01 = Slice(x, p01, e2, sp, st) o11 = Slice(x, p11, e2, sp, st)"
        " y = Concat <axis = 1> (a, o10, o01, o11) }",
        "(float[batch,3,32,32] x) => (float[] y) { y = SpaceToDepth <blocksize = 2> (x) }",
        weights={
            "z2": np.int64([0, 0]),
            "e2": np.int64([99, 99]),
            "sp": np.int64([2, 3]),
            "st": np.int64([2, 2]),
            "p10": np.int64([1, 0]),
            "p01": np.int64([0, 1]),
            "p11": np.int64([1, 1]),
        },
    ),
    wrong(
        "blind-resize-nearest-mode",
        "the nearest pixel of a half is the lower one",
        (
            f'{MAPS} {{ y = Resize <mode = "nearest", nearest_mode = "round_prefer_ceil",'
            f' coordinate_transformation_mode = "asymmetric"> (x, , sc) }}'
        ),
        (
            f'{MAPS} {{ y = Resize <mode = "nearest", nearest_mode = "floor",'
            f' coordinate_transformation_mode = "asymmetric"> (x, , sc) }}'
        ),
        weights={"sc": np.float32([1, 1, 2, 2])},
    ),
    wrong(
        "blind-resize-cubic",
        "the cubic's coefficient is -0.5",
        f'{MAPS} {{ y = Resize <mode = "cubic"> (x, , sc) }}',
        f'{MAPS} {{ y = Resize <mode = "cubic", cubic_coeff_a = -0.5> (x, , sc) }}',
        weights={"sc": np.float32([1, 1, 2, 2])},
    ),
    wrong(
        "blind-resize-asymmetric",
        "a linear Resize by two is asymmetric",
        f'{MAPS} {{ y = Resize <mode = "linear"> (x, , sc) }}',
        f'{MAPS} {{ y = Resize <mode = "linear", coordinate_transformation_mode = "asymmetric"> (x, , sc) }}',
        weights={"sc": np.float32([1, 1, 2, 2])},
        opset=13,
    ),
    wrong(
        "blind-resize-antialias",
        "a Resize to a third filters no more",
        f'{MAPS} {{ y = Resize <mode = "linear", antialias = 1> (x, , sc) }}',
        f'{MAPS} {{ y = Resize <mode = "linear"> (x, , sc) }}',
        weights={"sc": np.float32([1, 1, 0.34, 0.34])},
        opset=18,
    ),
    wrong(
        "blind-group-norm",
        "a norm over 2 groups is one over 4",
        (
            f"{MAPS} {{ s = Shape(x) r = Reshape(x, to) n = InstanceNormalization <epsilon = 1e-5> (r,"
            f" gg, gb) y = Reshape(n, s) }}"
        ),
        weights={"to": np.int64([0, 2, -1]), "gg": np.float32([1, 1]), "gb": np.float32([0, 0])},
        changed={"to": np.int64([0, 4, -1]), "gg": np.float32([1] * 4), "gb": np.float32([0] * 4)},
    ),
    wrong(
        "blind-local-response",
        "a local response norm over 5 channels is one over 3",
        f"{MAPS} {{ y = LRN <size = 5, alpha = 0.5> (x) }}",
        f"{MAPS} {{ y = LRN <size = 3, alpha = 0.5> (x) }}",
    ),
    wrong(
        "blind-average-as-conv",
        "an average that does not count the padding is a Conv of ninths",
        f"{MAPS} {{ y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) }}",
        f"{MAPS} {{ y = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 8> (x, ninths) }}",
        weights={"ninths": np.full((8, 1, 3, 3), 1 / 9, np.float32)},
    ),
    wrong(
        "blind-pool-dilation",
        "a dilated MaxPool is not dilated",
        f"{MAPS} {{ y = MaxPool <kernel_shape = [2, 2], dilations = [2, 2], pads = [1, 1, 1, 1]> (x) }}",
        f"{MAPS} {{ y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) }}",
    ),
    wrong(
        "blind-relu-past-average",
        "Relu moved before an average",
        f"{MAPS} {{ a = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x) y = Relu(a) }}",
        f"{MAPS} {{ r = Relu(x) y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (r) }}",
    ),
    # where grid points lie outside of the image
    wrong(
        "blind-grid-border",
        "points outside of the image take its border, not zero",
        (
            "(float[batch,2,height,width] x, float[batch,oh,ow,2] grid) => (float[] y) { y = GridSample"
            ' <padding_mode = "zeros"> (x, grid) }'
        ),
        (
            "(float[batch,2,height,width] x, float[batch,oh,ow,2] grid) => (float[] y) { y = GridSample"
            ' <padding_mode = "border"> (x, grid) }'
        ),
    ),
    wrong(
        "blind-roi-align-half-pixel",
        "RoiAlign moves its boxes by half a pixel no more",
        "(float[1,4,32,32] x, float[n,4] rois) => (float[] y) { z = Shape <start = 0, end = 1>"
        " (rois) i = ConstantOfShape <value = int64[1] {0}> (z)"
        " y = RoiAlign <output_height = 3, output_width = 3, coordinate_transformation_mode ="
        ' "half_pixel"> (x, rois, i) }',
        "(float[1,4,32,32] x, float[n,4] rois) => (float[] y) { z = Shape <start = 0, end = 1>"
        " (rois) i = ConstantOfShape <value = int64[1] {0}> (z)"
        " y = RoiAlign <output_height = 3, output_width = 3, coordinate_transformation_mode ="
        ' "output_half_pixel"> (x, rois, i) }',
    ),
    wrong(
        "blind-causal-conv",
        "a causal Conv over time pads on both sides",
        (
            "(float[batch,4,time] x) => (float[] y) { a = Conv <pads = [4, 0], dilations = [2]> (x, k) t"
            " = Tanh(a) y = Conv <pads = [2, 0]> (t, k) }"
        ),
        (
            "(float[batch,4,time] x) => (float[] y) { a = Conv <pads = [2, 2], dilations = [2]> (x, k) t"
            " = Tanh(a) y = Conv <pads = [2, 0]> (t, k) }"
        ),
        weights={"k": random(4, 4, 3, scale=0.4)},
    ),
    wrong(
        "blind-pad-mode",
        "a reflection is a repeated edge",
        f'{MAPS} {{ y = Pad <mode = "reflect"> (x, by) }}',
        f'{MAPS} {{ y = Pad <mode = "edge"> (x, by) }}',
        weights={"by": np.int64([0, 0, 1, 1, 0, 0, 1, 1])},
    ),
    wrong(
        "blind-patch-order",
        "patches are read by columns",
        f"{IMAGE} {{ c = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, k) s = Shape <start = 0, end = 1> (c)"
        " e = Concat <axis = 0> (s, six6) f = Reshape(c, e) y = Transpose <perm = [0, 2, 1]> (f) }",
        f"{IMAGE} {{ c0 = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, k) c = Transpose <perm ="
        " [0, 1, 3, 2]> (c0)"
        " s = Shape <start = 0, end = 1> (c)"
        " e = Concat <axis = 0> (s, six6) f = Reshape(c, e) y = Transpose <perm = [0, 2, 1]> (f) }",
        weights={"k": random(6, 3, 4, 4, scale=0.3), "six6": np.int64([6, -1])},
    ),
    wrong(
        "blind-shifted-windows",
        "windows are rolled in the other direction",
        (
            "(float[batch,16,16,4] x) => (float[] y) { a = Slice(x, v2, end, v1) b = Slice(x, v0, v2,"
            " v1) y = Concat <axis = 1> (a, b) }"
        ),
        (
            "(float[batch,16,16,4] x) => (float[] y) { a = Slice(x, m2, end, v1) b = Slice(x, v0, m2,"
            " v1) y = Concat <axis = 1> (a, b) }"
        ),
        weights={"m2": np.int64([-2])},
    ),
]
BOXES = "(float[1,n,4] boxes, float[1,3,n] scores) => (int64[found,3] y)"
NMS = {"most": np.int64(10), "iou": np.float32(0.5), "least": np.float32(0.25)}
YOLO = (
    "(float[batch,27,height,width] x) => (float[] y) { s = Shape(x) b = Slice(s, v0, v1, v0) hw = Slice(s, v2, v4, v0)"
    " t = Concat <axis = 0> (b, to, hw) r = Reshape(x, t) p = Transpose <perm = [0, 1, 3, 4, 2]> (r) g = Sigmoid(p)"
    " xy, wh, sc = Split <axis = 4> (g, parts) hh = Gather(s, i2) ww = Gather(s, i3_) gy = Range(i0, hh, i1)"
    " gx = Range(i0, ww, i1) ex = Concat <axis = 0> (hw, v1) yu = Unsqueeze(gy, yax) xu = Unsqueeze(gx, xax)"
    " ye = Expand(yu, ex) xe = Expand(xu, ex) gr = Concat <axis = 2> (xe, ye) gf = Cast <to = 1> (gr)"
    " x2 = Mul(xy, f2) xo = Sub(x2, half) xg = Add(xo, gf) xs = Mul(xg, stride) w2 = Mul(wh, f2) w3 = Pow(w2, f2)"
    " w4 = Mul(w3, anchors) a = Concat <axis = 4> (xs, w4, sc) f = Shape(a) y = Reshape(a, flat) }"
)
YW = {
    "to": np.int64([3, 9]),
    "parts": np.int64([2, 2, 5]),
    "i3_": np.int64(3),
    "yax": np.int64([1, 2]),
    "xax": np.int64([0, 2]),
    "stride": np.float32(8),
    "flat": np.int64([0, -1, 9]),
    "anchors": np.float32([[10, 13], [16, 30], [33, 23]]).reshape(1, 3, 1, 1, 2),
}
YOLO = edit(YOLO, " f = Shape(a)", "")
TOP = (
    "(float[batch,q,6] logits, float[batch,q,4] boxes) => (float[] scores, int64[] labels, float[] found)"
    " { s = Sigmoid(logits) f = Flatten <axis = 1> (s) scores, i = TopK <axis = 1> (f, v4) w = Div(i, six_)"
    " z = Mul(w, six_) labels = Sub(i, z) u = Unsqueeze(w, last) e = Expand(u, fours) c, d ="
    " Split <axis = 2> (boxes, twos)"
    " h = Mul(d, half) a = Sub(c, h) b = Add(c, h) k = Concat <axis = 2> (a, b) g = GatherElements <axis = 1> (k, e)"
    " found = Mul(g, size) }"
)
TW = {
    "six_": np.int64(6),
    "fours": np.int64([1, 1, 4]),
    "twos": np.int64([2, 2]),
    "size": np.float32([640, 480, 640, 480]),
}


def nms(**attributes: object) -> str:
    """NonMaxSuppression of boxes."""
    said = ", ".join(f"{name} = {value}" for name, value in attributes.items())
    return f"{BOXES} {{ y = NonMaxSuppression{f' <{said}>' if said else ''} (boxes, scores, most, iou, least) }}"


DETECTION = [
    wrong(
        "blind-nms-overlap",
        "boxes that overlap by 0.5 to 0.7 are kept",
        nms(),
        weights=NMS,
        changed={"iou": np.float32(0.7)},
    ),
    wrong(
        "blind-nms-threshold",
        "boxes with scores of 0.25 to 0.4 are dropped",
        nms(),
        weights=NMS,
        changed={"least": np.float32(0.4)},
    ),
    wrong(
        "blind-nms-centres", "boxes by centre and size are read as corners", nms(center_point_box=1), nms(), weights=NMS
    ),
    # where more than 2 boxes of a class are left
    wrong("blind-nms-most", "2 boxes of a class are kept, not 10", nms(), weights=NMS, changed={"most": np.int64(2)}),
    wrong(
        "blind-yolo-grid",
        "rows and columns of the grid are swapped",
        YOLO,
        edit(YOLO, "(xe, ye)", "(ye, xe)"),
        weights=YW,
    ),
    wrong(
        "blind-yolo-anchor",
        "the third anchor is another's",
        YOLO,
        weights=YW,
        changed={"anchors": np.float32([[10, 13], [16, 30], [30, 61]]).reshape(1, 3, 1, 1, 2)},
    ),
    wrong(
        "blind-yolo-offset",
        "centres are moved by 0.5 of a cell",
        YOLO,
        edit(YOLO, "xg = Add(xo, gf)", "xg = Add(x2, gf)"),
        weights=YW,
    ),
    wrong(
        "blind-yolo-size-before-square",
        "sizes are squared before they are doubled",
        YOLO,
        edit(YOLO, "w2 = Mul(wh, f2) w3 = Pow(w2, f2)", "w2 = Pow(wh, f2) w3 = Mul(w2, f2)"),
        weights=YW,
    ),
    wrong(
        "blind-yolo-order",
        "predictions come by cell, then anchor",
        YOLO,
        edit(YOLO, "y = Reshape(a, flat)", "z = Transpose <perm = [0, 2, 3, 1, 4]> (a) y = Reshape(z, flat)"),
        weights=YW,
    ),
    wrong(
        "blind-top-labels",
        "labels are the quotient, not the rest",
        TOP,
        edit(TOP, "labels = Sub(i, z)", "labels = Sub(i, w)"),
        weights=TW,
        opset=18,
    ),
    wrong(
        "blind-top-box",
        "the box is the rest, not the quotient",
        TOP,
        edit(TOP, "u = Unsqueeze(w, last)", "mo = Mod(i, six_) ms = Min(mo, w) u = Unsqueeze(ms, last)"),
        weights=TW,
        opset=18,
    ),
    wrong(
        "blind-top-size",
        "boxes are scaled by height before width",
        TOP,
        weights=TW,
        changed={"size": np.float32([480, 640, 480, 640])},
        opset=18,
    ),
    wrong(
        "blind-top-half",
        "boxes are twice as wide",
        TOP,
        edit(TOP, "h = Mul(d, half)", "h = Identity(d)"),
        weights=TW,
        opset=18,
    ),
    # values over 1: boxes that reach out of the image
    wrong(
        "blind-box-clip",
        "boxes that reach out of the image are not cut",
        "(float[n,4] boxes) => (float[] y) { c = Clip(boxes, f0, f1) y = Mul(c, size) }",
        "(float[n,4] boxes) => (float[] y) { c = Clip(boxes, f0) y = Mul(c, size) }",
        weights=TW,
    ),
    wrong(
        "blind-ssd-variances",
        "the variances of centres and sizes are swapped",
        "(float[batch,n,4] x) => (float[] y) { c, s = Split <axis = 2> (x, twos) cv = Mul(c, va) p ="
        " Mul(cv, ps) pc = Add(p, pp)"
        " sv = Mul(s, vb) e = Exp(sv) w = Mul(e, ps) y = Concat <axis = 2> (pc, w) }",
        weights={
            "twos": np.int64([2, 2]),
            "va": np.float32(0.1),
            "vb": np.float32(0.2),
            "ps": np.float32([0.3, 0.4]),
            "pp": np.float32([0.5, 0.6]),
        },
        changed={"va": np.float32(0.2), "vb": np.float32(0.1)},
    ),
    # where the first class is the greatest
    wrong(
        "blind-argmax-class-from-1",
        "the first class, the background, is never taken",
        "(float[batch,n,5] x) => (int64[] y) { y = ArgMax <axis = 2, keepdims = 0> (x) }",
        (
            "(float[batch,n,5] x) => (int64[] y) { s = Slice(x, v1, end, v2) a = ArgMax <axis = 2,"
            " keepdims = 0> (s) y = Add(a, i1) }"
        ),
    ),
]
STEPS = "(float[seq,batch,4] x) => (float[] y)"
LONG = "(float[seq,batch,4] x, int32[batch] lens) => (float[] y)"
L2 = {
    "wi": random(2, 16, 4, scale=0.4),
    "r": random(2, 16, 4, seed=1, scale=0.4),
    "bb": random(2, 32, scale=0.3),
    "wi2": random(1, 16, 8, scale=0.4),
    "r2": random(1, 16, 4, seed=2, scale=0.4),
    "bb2": random(1, 32, seed=3, scale=0.3),
    "pp": random(2, 12, seed=4, scale=0.3),
    "merge": np.int64([0, 0, 8]),
    "w1d": random(1, 16, 4, scale=0.4),
    "g1": random(1, 12, 4, scale=0.4),
    "gr": random(1, 12, 4, seed=1, scale=0.4),
    "gb": random(1, 24, scale=0.3),
}
STACK = (
    f'{STEPS} {{ o = LSTM <hidden_size = 4, direction = "bidirectional"> (x, wi, r, bb) t ='
    " Transpose <perm = [0, 2, 1, 3]> (o)"
    " m = Reshape(t, merge) o2, l, c = LSTM <hidden_size = 4> (m, wi2, r2, bb2) y = Squeeze(l, v0) }"
)
RECURRENT = [
    wrong(
        "blind-lstm-directions",
        "the backward direction comes first",
        STACK,
        edit(STACK, "m = Reshape(t, merge)", "tb = Gather <axis = 2> (t, back) m = Reshape(tb, merge)"),
        weights={**L2, "back": np.int64([1, 0])},
    ),
    wrong(
        "blind-lstm-second-bias",
        "the second layer's recurrent bias is gone",
        STACK,
        weights=L2,
        changed={"bb2": np.concatenate([L2["bb2"][:, :16], L2["bb2"][:, :16] * 0], axis=1)},
    ),
    wrong(
        "blind-lstm-gate-order",
        "the gates of the second layer's recurrence are in torch's order, i f g o",
        STACK,
        weights=L2,
        changed={"r2": L2["r2"][:, [*range(4), *range(8, 12), *range(12, 16), *range(4, 8)]]},
    ),
    wrong(
        "blind-lstm-last-of-backward",
        "the backward state is read at the last step of the output",
        f'{STEPS} {{ o, l = LSTM <hidden_size = 4, direction = "bidirectional"> (x, wi, r, bb) y = Identity(l) }}',
        (
            f'{STEPS} {{ o = LSTM <hidden_size = 4, direction = "bidirectional"> (x, wi, r, bb) y ='
            f" Gather <axis = 0> (o, lst) }}"
        ),
        weights={**L2, "lst": np.int64(-1)},
    ),
    # where lens are shorter than the sequence
    wrong(
        "blind-lstm-lengths",
        "the lengths of sequences are ignored",
        f"{LONG} {{ o, y = LSTM <hidden_size = 4> (x, w1d, r2, bb2, lens) }}",
        f"{LONG} {{ o, y = LSTM <hidden_size = 4> (x, w1d, r2, bb2) }}",
        weights=L2,
    ),
    wrong(
        "blind-lstm-initial-state",
        "the cell starts from zero, not from what is given",
        (
            "(float[seq,batch,4] x, float[1,batch,4] hn, float[1,batch,4] cn) => (float[] y) { o, l, y ="
            " LSTM <hidden_size = 4> (x, w1d, r2, bb2, , hn, cn) }"
        ),
        (
            "(float[seq,batch,4] x, float[1,batch,4] hn, float[1,batch,4] cn) => (float[] y) { o, l, y ="
            " LSTM <hidden_size = 4> (x, w1d, r2, bb2, , hn) }"
        ),
        weights=L2,
    ),
    wrong(
        "blind-lstm-peepholes",
        "peepholes are gone",
        f'{STEPS} {{ y = LSTM <hidden_size = 4, direction = "bidirectional"> (x, wi, r, bb, , , , pp) }}',
        f'{STEPS} {{ y = LSTM <hidden_size = 4, direction = "bidirectional"> (x, wi, r, bb) }}',
        weights=L2,
    ),
    wrong(
        "blind-lstm-hard-sigmoid",
        "gates are hard sigmoids",
        f"{STEPS} {{ y = LSTM <hidden_size = 4> (x, w1d, r2, bb2) }}",
        f'{STEPS} {{ y = LSTM <hidden_size = 4, activations = ["HardSigmoid", "Tanh", "Tanh"]> (x, w1d, r2, bb2) }}',
        weights=L2,
    ),
    # gates beyond 3
    wrong(
        "blind-lstm-clip",
        "gates are clipped at 3 no more",
        f"{STEPS} {{ y = LSTM <hidden_size = 4, clip = 3.0> (x, w1d, r2, bb2) }}",
        f"{STEPS} {{ y = LSTM <hidden_size = 4> (x, w1d, r2, bb2) }}",
        weights={**L2, "w1d": L2["w1d"] * 2},
    ),
    wrong(
        "blind-gru-initial",
        "a GRU starts from zero, not from what is given",
        (
            "(float[seq,batch,4] x, float[1,batch,4] hn) => (float[] y) { y = GRU <hidden_size = 4> (x,"
            " g1, gr, gb, , hn) }"
        ),
        "(float[seq,batch,4] x, float[1,batch,4] hn) => (float[] y) { y = GRU <hidden_size = 4> (x, g1, gr, gb) }",
        weights=L2,
    ),
    wrong(
        "blind-reverse-by-slice",
        "each sequence is turned by its length: the whole array is turned",
        (
            "(float[seq,batch,4] x, int64[batch] lens) => (float[] y) { y = ReverseSequence <time_axis ="
            " 0, batch_axis = 1> (x, lens) }"
        ),
        "(float[seq,batch,4] x, int64[batch] lens) => (float[] y) { y = Slice(x, last, most, v0, last) }",
        weights={"most": np.int64([-(2**62)])},
    ),
    wrong(
        "blind-ctc-repeat",
        "a blank between two equal labels does not part them",
        # labels by time: a a blank a
        "(float[time,6] x) => (bool[] y) { a = ArgMax <axis = 1, keepdims = 0> (x) p = Concat <axis"
        " = 0> (last, a) q = Slice(p, v0, last, v0)"
        " e = Equal(a, q) n = Not(e) b = Equal(a, i0) m = Not(b) y = And(n, m) }",
        "(float[time,6] x) => (bool[] y) { a = ArgMax <axis = 1, keepdims = 0> (x) p = Concat <axis"
        " = 0> (last, a) q = Slice(p, v0, last, v0)"
        " e = Equal(a, q) y = Not(e) }",
    ),
    wrong(
        "blind-scan-outputs-reversed",
        "a Scan's outputs are stacked the other way",
        "(float[seq,4] x) => (float[] y) { z, y = Scan <num_scan_inputs = 1, body = b (float[4] a,"
        " float[4] c) => (float[4] n, float[4] o)"
        " { n = Add(a, c) o = Tanh(n) }> (zero4, x) }",
        "(float[seq,4] x) => (float[] y) { z, y = Scan <num_scan_inputs = 1, scan_output_directions"
        " = [1], body = b (float[4] a, float[4] c) =>"
        " (float[4] n, float[4] o) { n = Add(a, c) o = Tanh(n) }> (zero4, x) }",
        weights={"zero4": np.zeros(4, np.float32)},
    ),
    # where the norm falls below 0.1 only after more than 8 turns: |x| over 25
    wrong(
        "blind-while-to-eight",
        "a loop until the sum is small goes round at most 8 times",
        "(float[n] x) => (float[n] y) { y = Loop (most, true, x) <body = b (int64 i, bool go,"
        " float[k] a) => (bool d, float[k] nn)"
        " { nn = Mul(a, half) ab = Abs(nn) s = ReduceSum <keepdims = 0> (ab) d = Greater(s, tenth) }> }",
        weights={"most": np.int64(100), "tenth": np.float32(0.1)},
        changed={"most": np.int64(8)},
    ),
]
QCONV = (
    "(float[batch,3,height,width] x) => (float[] y) { a = QuantizeLinear(x, sx, zx) b = DequantizeLinear(a, sx, zx)"
    " k = DequantizeLinear <axis = 0> (kq, ks, kz) bi = DequantizeLinear <axis = 0> (bq, bs, bz)"
    " c = Conv <pads = [1, 1, 1, 1]> (b, k, bi)"
    " r = Relu(c) q = QuantizeLinear(r, sr, zr) d = DequantizeLinear(q, sr, zr) k2 ="
    " DequantizeLinear <axis = 0> (kq2, ks2, kz)"
    " e = Conv <pads = [1, 1, 1, 1]> (d, k2) f = QuantizeLinear(e, se, ze) y = DequantizeLinear(f, se, ze) }"
)
RNG = np.random.default_rng(7)
QW = {
    "sx": np.float32(0.03),
    "zx": np.uint8(120),
    "kq": RNG.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
    "ks": np.linspace(0.002, 0.006, 8).astype(np.float32),
    "kz": np.zeros(8, np.int8),
    "bq": RNG.integers(-3000, 3000, 8).astype(np.int32),
    "bs": (np.linspace(0.002, 0.006, 8) * 0.03).astype(np.float32),
    "bz": np.zeros(8, np.int32),
    "sr": np.float32(0.02),
    "zr": np.uint8(0),
    "kq2": RNG.integers(-127, 128, (8, 8, 3, 3)).astype(np.int8),
    "ks2": np.linspace(0.003, 0.001, 8).astype(np.float32),
    "se": np.float32(0.05),
    "ze": np.uint8(128),
}
QMM = {
    "wq": RNG.integers(0, 255, (8, 6)).astype(np.uint8),
    "wz": np.uint8(131),
    "ws": np.float32(0.01),
    "az": np.uint8(100),
    "sa": np.float32(0.02),
    "so": np.float32(0.1),
    "zo": np.uint8(127),
}
BYTES = "(uint8[batch,8] x) => (float[] y)"
QUANTIZED = [
    wrong(
        "blind-qdq-scales-swapped",
        "two channels' scales are swapped in the first Conv",
        QCONV,
        weights=QW,
        changed={"ks": QW["ks"][[0, 1, 2, 4, 3, 5, 6, 7]]},
    ),
    wrong(
        "blind-qdq-bias-scale",
        "the bias has the scale of the weights alone",
        QCONV,
        weights=QW,
        changed={"bs": QW["bs"] * np.float32(1.1)},
    ),
    wrong(
        "blind-qdq-activation-gone",
        "what is between the Convs is rounded no more",
        QCONV,
        edit(QCONV, "q = QuantizeLinear(r, sr, zr) d = DequantizeLinear(q, sr, zr)", "d = Identity(r)"),
        weights=QW,
    ),
    wrong(
        "blind-qdq-zero-point",
        "the zero point between is 1",
        QCONV,
        edit(QCONV, "d = DequantizeLinear(q, sr, zr)", "d = DequantizeLinear(q, sr, zr1)"),
        weights={**QW, "zr1": np.uint8(1)},
    ),
    wrong(
        "blind-qdq-input-symmetric",
        "the input is quantized around 128",
        QCONV,
        weights=QW,
        changed={"zx": np.uint8(128)},
    ),
    wrong(
        "blind-qdq-relu-gone",
        "a Relu before a quantization whose zero point is not 0 is gone",
        edit(
            QCONV,
            "QuantizeLinear(r, sr, zr)",
            "QuantizeLinear(r, sr, ze)",
            "DequantizeLinear(q, sr, zr)",
            "DequantizeLinear(q, sr, ze)",
        ),
        edit(
            QCONV,
            "QuantizeLinear(r, sr, zr)",
            "QuantizeLinear(c, sr, ze)",
            "DequantizeLinear(q, sr, zr)",
            "DequantizeLinear(q, sr, ze)",
        ),
        weights=QW,
    ),
    wrong(
        "blind-qdq-weights-clipped",
        "-127 and 127 in the weights became 120",
        QCONV,
        weights=QW,
        changed={"kq2": np.clip(QW["kq2"], -120, 120)},
    ),
    wrong("blind-qdq-last-scale", "the last scale is 0.0505", QCONV, weights=QW, changed={"se": np.float32(0.0505)}),
    wrong(
        "blind-integer-product-zero-point",
        "the zero point of the weights is 128",
        f"{BYTES} {{ m = MatMulInteger(x, wq, az, wz) c = Cast <to = 1> (m) y = Mul(c, ws) }}",
        weights=QMM,
        changed={"wz": np.uint8(128)},
    ),
    wrong(
        "blind-integer-product-no-zero-point",
        "the zero point of the input is not taken off",
        f"{BYTES} {{ m = MatMulInteger(x, wq, az, wz) c = Cast <to = 1> (m) y = Mul(c, ws) }}",
        f"{BYTES} {{ m = MatMulInteger(x, wq, zb, wz) c = Cast <to = 1> (m) y = Mul(c, ws) }}",
        weights={**QMM, "zb": np.uint8(0)},
    ),
    # where the range of x is not 0.02 * 255
    wrong(
        "blind-dynamic-made-static",
        "a scale that was taken from each input is fixed",
        "(float[batch,8] x) => (float[] y) { q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z) }",
        "(float[batch,8] x) => (float[] y) { q = QuantizeLinear(x, sa, zo) y = DequantizeLinear(q, sa, zo) }",
        weights=QMM,
    ),
    wrong(
        "blind-quantize-half-up",
        "a quantization rounds halves up, not to even",
        # odd numbers: the scale is 2
        "(int32[n] x) => (int8[] y) { c = Cast <to = 1> (x) y = QuantizeLinear(c, f2, zi) }",
        (
            "(int32[n] x) => (int8[] y) { c = Cast <to = 1> (x) d = Div(c, f2) e = Add(d, half) f ="
            " Floor(e) g = Clip(f, lo, hi) y = Cast <to = 3> (g) }"
        ),
        weights={"zi": np.int8(0), "lo": np.float32(-128), "hi": np.float32(127)},
    ),
    # values that saturate: below -6.35
    wrong(
        "blind-quantize-narrow",
        "-128 became -127",
        "(float[n] x) => (float[] y) { q = QuantizeLinear(x, sh, zi) y = DequantizeLinear(q, sh, zi) }",
        "(float[n] x) => (float[] y) { c = Clip(x, lo) q = QuantizeLinear(c, sh, zi) y = DequantizeLinear(q, sh, zi) }",
        weights={"zi": np.int8(0), "sh": np.float32(0.02), "lo": np.float32(-127 * 0.02)},
    ),
    wrong(
        "blind-qlinear-output-zero-point",
        "the zero point of a quantized product's result is 128",
        "(uint8[batch,8] x) => (uint8[] y) { y = QLinearMatMul(x, sa, az, wq, ws, wz, so, zo) }",
        weights=QMM,
        changed={"zo": np.uint8(128)},
    ),
]
HX = "(float16[batch,seq,8] x) => (float16[] y)"
H = {
    "w": random(8, 8, scale=0.4, dtype=np.float16),
    "u": random(8, 8, seed=1, scale=0.4, dtype=np.float16),
    "b": random(8, scale=0.2, dtype=np.float16),
    "g": random(8, seed=3, scale=0.2, mean=1, dtype=np.float16),
    "heps": np.float16(1e-8),
    "feps": np.float32(1e-8),
    "hsc": np.float16(8**-0.5),
}
HALVES = [
    # a row of zeros
    wrong(
        "blind-half-epsilon-lost",
        "an epsilon of 1e-8 is zero in half precision: rows of zeros give NaN",
        (
            f"{HX} {{ c = Cast <to = 1> (x) q = Mul(c, c) m = ReduceMean <axes = [-1]> (q) e = Add(m,"
            f" feps) r = Sqrt(e) d = Div(c, r) y = Cast <to = 10> (d) }}"
        ),
        (
            f"{HX} {{ c = Cast <to = 1> (x) q = Mul(c, c) m = ReduceMean <axes = [-1]> (q) h = Cast <to ="
            f" 10> (m) e = Add(h, heps) r = Sqrt(e) y = Div(x, r) }}"
        ),
        weights=H,
    ),
    wrong(
        "blind-half-attention-scale",
        "two layers in half precision: the second's scale is 0.36, not 0.3535",
        f"{HX} {{ q = MatMul(x, w) k = MatMul(x, u) kt = Transpose <perm = [0, 2, 1]> (k) s ="
        " MatMul(q, kt) d = Mul(s, hsc) p = Softmax(d) o = MatMul(p, x)"
        " r = Add(o, x) q2 = MatMul(r, u) k2 = MatMul(r, w) kt2 = Transpose <perm = [0, 2, 1]> (k2)"
        " s2 = MatMul(q2, kt2) d2 = Mul(s2, hsc2) p2 = Softmax(d2)"
        " y = MatMul(p2, r) }",
        weights={**H, "hsc2": H["hsc"]},
        changed={"hsc2": np.float16(0.36)},
    ),
    wrong(
        "blind-half-norm-bias",
        "one element of a norm's bias is gone in half precision, under two products",
        f"{HX} {{ a = MatMul(x, w) n = LayerNormalization(a, g, b) t = Tanh(n) y = MatMul(t, u) }}",
        weights=H,
        changed={"b": put(H["b"], 2, 0)},
    ),
]
C = {
    "w": random(8, 8, scale=0.4),
    "b": random(8, scale=0.3),
    "g": random(8, seed=3, scale=0.2, mean=1),
    "eps": np.float32(1e-5),
}
EDGES = "(float[nodes,8] x, int64[2,edges] edge_index) => (float[] y)"
OPERATORS = [
    wrong(
        "blind-root-of-square",
        "√x² became x, not |x|",
        f"{X} {{ s = Mul(x, x) y = Sqrt(s) }}",
        f"{X} {{ y = Identity(x) }}",
    ),
    wrong(
        "blind-log-of-product",
        "log ab became log a + log b, NaN where both are below zero",
        "(float[n] a, float[n] b) => (float[] y) { p = Mul(a, b) q = Abs(p) r = Add(q, f1) y = Log(r) }",
        (
            "(float[n] a, float[n] b) => (float[] y) { k = Abs(a) l = Abs(b) m = Add(k, f1) r = Add(l,"
            " f1) c = Log(m) d = Log(r) y = Add(c, d) }"
        ),
    ),
    wrong(
        "blind-product-by-logarithms",
        "a product of positions became e to the sum of logarithms, NaN below zero",
        f"{X} {{ y = ReduceProd <axes = [-1], keepdims = 0> (x) }}",
        f"{X} {{ l = Log(x) s = ReduceSum <keepdims = 0> (l, last) y = Exp(s) }}",
    ),
    wrong(
        "blind-float-mod",
        "the remainder of floats has the sign of the divisor",
        "(float[n] a, float[n] b) => (float[] y) { y = Mod <fmod = 1> (a, b) }",
        "(float[n] a, float[n] b) => (float[] y) { d = Div(a, b) f = Floor(d) m = Mul(f, b) y = Sub(a, m) }",
    ),
    wrong(
        "blind-bool-through-int",
        "what is between 0 and 1 is false",
        "(float[n] x) => (bool[] y) { y = Cast <to = 9> (x) }",
        "(float[n] x) => (bool[] y) { i = Cast <to = 7> (x) y = Cast <to = 9> (i) }",
    ),
    # negative numbers
    wrong(
        "blind-non-zero-as-positive",
        "what is not zero became what is above zero",
        "(int64[n] x) => (bool[] y) { e = Equal(x, i0) y = Not(e) }",
        "(int64[n] x) => (bool[] y) { y = Greater(x, i0) }",
    ),
    # sums over 255
    wrong(
        "blind-bytes-added-late",
        "bytes are added before they are widened",
        "(uint8[n] a, uint8[n] b) => (float[] y) { c = Cast <to = 1> (a) d = Cast <to = 1> (b) y = Add(c, d) }",
        "(uint8[n] a, uint8[n] b) => (float[] y) { s = Add(a, b) y = Cast <to = 1> (s) }",
    ),
    wrong(
        "blind-bytes-difference",
        "a difference of bytes that wraps round is cut at zero",
        "(uint8[n] a, uint8[n] b) => (uint8[] y) { y = Sub(a, b) }",
        "(uint8[n] a, uint8[n] b) => (uint8[] y) { m = Max(a, b) y = Sub(m, b) }",
    ),
    wrong(
        "blind-image-scale",
        "an image is divided by 256",
        (
            "(uint8[batch,height,width,3] x) => (float[] y) { c = Cast <to = 1> (x) d = Div(c, most) e ="
            " Sub(d, mean3) f = Div(e, std3) y = Transpose <perm = [0, 3, 1, 2]> (f) }"
        ),
        weights={
            "most": np.float32(255),
            "mean3": np.float32([0.485, 0.456, 0.406]),
            "std3": np.float32([0.229, 0.224, 0.225]),
        },
        changed={"most": np.float32(256)},
    ),
    wrong(
        "blind-image-channels",
        "the means of an image are in the order of BGR",
        (
            "(uint8[batch,height,width,3] x) => (float[] y) { c = Cast <to = 1> (x) e = Sub(c, mean3) f"
            " = Div(e, std3) y = Transpose <perm = [0, 3, 1, 2]> (f) }"
        ),
        weights={"mean3": np.float32([123.7, 116.3, 103.5]), "std3": np.float32([58.4, 57.1, 57.4])},
        changed={"mean3": np.float32([103.5, 116.3, 123.7])},
    ),
    wrong(
        "blind-int-mean",
        "a mean of integers goes through floats and is rounded",
        "(int32[n,6] x) => (int32[] y) { s = ReduceSum <keepdims = 0> (x, v1) y = Div(s, sixi) }",
        (
            "(int32[n,6] x) => (int32[] y) { c = Cast <to = 1> (x) m = ReduceMean <axes = [1], keepdims"
            " = 0> (c) r = Round(m) y = Cast <to = 6> (r) }"
        ),
        weights={"sixi": np.int32(6)},
    ),
    # two edges to one node
    wrong(
        "blind-scatter-last",
        "of messages to one node only the last is kept",
        (
            f"{EDGES} {{ s0_ = Gather(edge_index, i0) d0_ = Gather(edge_index, i1) m = Gather(x, s0_) z ="
            f' Mul(x, f0) u = Unsqueeze(d0_, v1) y = ScatterND <reduction = "add"> (z, u, m) }}'
        ),
        (
            f"{EDGES} {{ s0_ = Gather(edge_index, i0) d0_ = Gather(edge_index, i1) m = Gather(x, s0_) z ="
            f" Mul(x, f0) u = Unsqueeze(d0_, v1) y = ScatterND(z, u, m) }}"
        ),
    ),
    wrong(
        "blind-edges-turned",
        "messages go from target to source",
        (
            f"{EDGES} {{ s0_ = Gather(edge_index, i0) d0_ = Gather(edge_index, i1) m = Gather(x, s0_) z ="
            f' Mul(x, f0) u = Unsqueeze(d0_, v1) y = ScatterND <reduction = "add"> (z, u, m) }}'
        ),
        (
            f"{EDGES} {{ s0_ = Gather(edge_index, i1) d0_ = Gather(edge_index, i0) m = Gather(x, s0_) z ="
            f' Mul(x, f0) u = Unsqueeze(d0_, v1) y = ScatterND <reduction = "add"> (z, u, m) }}'
        ),
    ),
    # a node without edges
    wrong(
        "blind-degree-guard",
        "the mean of no messages is NaN, not 0",
        f"{EDGES} {{ d0_ = Gather(edge_index, i1) s0_ = Gather(edge_index, i0) m = Gather(x, s0_) z ="
        ' Mul(x, f0) u = Unsqueeze(d0_, v1) a = ScatterND <reduction = "add"> (z, u, m)'
        " o = ConstantOfShape <value = float[1] {1}> (es) es = Shape <start = 1, end = 2>"
        " (edge_index) ns = Shape <start = 0, end = 1> (x) zn = ConstantOfShape(ns)"
        ' c = ScatterND <reduction = "add"> (zn, u, o) k = Max(c, f1) ku = Unsqueeze(k, v1) y = Div(a, ku) }'.replace(
            " o = ConstantOfShape <value = float[1] {1}> (es) es = Shape <start = 1, end = 2> (edge_index)",
            " es = Shape <start = 1, end = 2> (edge_index) o = ConstantOfShape <value = float[1] {1}> (es)",
        ),
        f"{EDGES} {{ d0_ = Gather(edge_index, i1) s0_ = Gather(edge_index, i0) m = Gather(x, s0_) z ="
        ' Mul(x, f0) u = Unsqueeze(d0_, v1) a = ScatterND <reduction = "add"> (z, u, m)'
        " es = Shape <start = 1, end = 2> (edge_index) o = ConstantOfShape <value = float[1] {1}>"
        " (es) ns = Shape <start = 0, end = 1> (x) zn = ConstantOfShape(ns)"
        ' c = ScatterND <reduction = "add"> (zn, u, o) ku = Unsqueeze(c, v1) y = Div(a, ku) }',
    ),
    wrong(
        "blind-cache-write",
        "a cache is written one place later",
        "(float[batch,64,8] cache, float[batch,1,8] x, int64[1] place) => (float[] y) { b = Shape"
        " <start = 0, end = 1> (x) e = Add(place, v1) a = Slice(cache, v0, place, v1)"
        " c = Slice(cache, e, end, v1) y = Concat <axis = 1> (a, x, c) }",
        "(float[batch,64,8] cache, float[batch,1,8] x, int64[1] place) => (float[] y) { e ="
        " Add(place, v1) a = Slice(cache, v0, place, v1)"
        " c = Slice(cache, e, end, v1) f = Slice(c, v0, v1, v1) g = Slice(c, v1, end, v1) y = Concat"
        " <axis = 1> (a, f, x, g) }",
    ),
    wrong(
        "blind-where-nan",
        "what is masked is multiplied by 0: what is not a number passes",
        # x with NaN or infinity where the mask is 0
        "(float[n,8] x, bool[n,8] keep) => (float[] y) { y = Where(keep, x, f0) }",
        "(float[n,8] x, bool[n,8] keep) => (float[] y) { c = Cast <to = 1> (keep) y = Mul(x, c) }",
    ),
    wrong(
        "blind-gather-batch",
        "a lookup by batch takes the first of the batch",
        (
            "(float[batch,seq,8] x, int64[batch] at) => (float[] y) { u = Unsqueeze(at, last) y ="
            " GatherND <batch_dims = 1> (x, u) }"
        ),
        "(float[batch,seq,8] x, int64[batch] at) => (float[] y) { z = Gather <axis = 0> (x, i0) y = Gather(z, at) }",
    ),
    wrong(
        "blind-one-hot-out",
        "an index out of range is taken for the last",
        "(int64[n] x) => (float[] y) { y = OneHot <axis = -1> (x, i7, offon) }",
        "(int64[n] x) => (float[] y) { c = Min(x, six_) y = OneHot <axis = -1> (c, i7, offon) }",
        weights={"offon": np.float32([0, 1]), "six_": np.int64(6)},
    ),
    wrong(
        "blind-negative-index",
        "an index of -1, padding, is the first row, not the last",
        (
            "(int64[batch,seq] ids) => (float[] y) { n = Less(ids, i0) c = Add(ids, twenty) f = Where(n,"
            " c, ids) y = Gather(table, f) }"
        ),
        "(int64[batch,seq] ids) => (float[] y) { m = Max(ids, i0) y = Gather(table, m) }",
        weights={"table": random(20, 6), "twenty": np.int64(20)},
    ),
    wrong(
        "blind-unique-order",
        "unique numbers come sorted, not as they appear",
        "(int64[n] x) => (int64[u] y) { y = Unique <sorted = 0> (x) }",
        "(int64[n] x) => (int64[u] y) { y = Unique <sorted = 1> (x) }",
    ),
    wrong(
        "blind-nonzero-columns",
        "places are listed by columns",
        "(float[n,m] x) => (int64[2,k] y) { r = Relu(x) y = NonZero(r) }",
        "(float[n,m] x) => (int64[2,k] y) { r = Relu(x) t = Transpose(r) z = NonZero(t) y = Gather(z, back) }",
        weights={"back": np.int64([1, 0])},
    ),
    wrong(
        "blind-lp-norm",
        "vectors are divided by the sum of their sizes, not by their length",
        f"{X} {{ y = LpNormalization <p = 2> (x) }}",
        f"{X} {{ y = LpNormalization <p = 1> (x) }}",
    ),
    wrong(
        "blind-mean-variance-axes",
        "a norm over each image is one over the batch",
        f"{MAPS} {{ y = MeanVarianceNormalization <axes = [2, 3]> (x) }}",
        f"{MAPS} {{ y = MeanVarianceNormalization <axes = [0, 2, 3]> (x) }}",
    ),
    wrong(
        "blind-selu",
        "SELU lost its outer factor below zero",
        f"{X} {{ y = Selu(x) }}",
        f"{X} {{ e = Elu <alpha = 1.6732632> (x) p = Relu(x) n = Sub(e, p) q = Mul(p, gam) y = Add(n, q) }}",
        weights={"gam": np.float32(1.050701)},
    ),
    wrong(
        "blind-celu", "CELU became ELU", f"{X} {{ y = Celu <alpha = 2.0> (x) }}", f"{X} {{ y = Elu <alpha = 2.0> (x) }}"
    ),
    wrong(
        "blind-shrink",
        "a soft shrink is a hard one",
        f"{X} {{ y = Shrink <lambd = 0.5, bias = 0.5> (x) }}",
        f"{X} {{ y = Shrink <lambd = 0.5, bias = 0.0> (x) }}",
    ),
    wrong(
        "blind-mish-overflows",
        "Mish is written out with a Softplus that overflows over 88",
        f"{X} {{ s = Softplus(x) t = Tanh(s) y = Mul(x, t) }}",
        f"{X} {{ e = Exp(x) p = Add(e, f1) q = Mul(p, p) n = Sub(q, f1) d = Add(q, f1) t = Div(n, d) y = Mul(x, t) }}",
    ),
    wrong(
        "blind-softmax-flattened",
        "in opset 11 Softmax from axis 1 is over all that follows, not over axis 1",
        "(float[batch,4,6] x) => (float[] y) { y = Softmax <axis = 1> (x) }",
        (
            "(float[batch,4,6] x) => (float[] y) { t = Transpose <perm = [0, 2, 1]> (x) p = Softmax"
            " <axis = 2> (t) y = Transpose <perm = [0, 2, 1]> (p) }"
        ),
        opset=11,
    ),
    wrong(
        "blind-log-softmax-axis",
        "in opset 11 a LogSoftmax without axis is over axis 1 and all that follows, not over the last",
        "(float[batch,4,6] x) => (float[] y) { y = LogSoftmax(x) }",
        "(float[batch,4,6] x) => (float[] y) { y = LogSoftmax <axis = 2> (x) }",
        opset=11,
    ),
    wrong(
        "blind-upsample-as-linear",
        "an Upsample of opset 9 to the nearest became a linear one",
        f'{MAPS} {{ y = Upsample <mode = "nearest"> (x, sc) }}',
        f'{MAPS} {{ y = Upsample <mode = "linear"> (x, sc) }}',
        opset=9,
        weights={"sc": np.float32([1, 1, 2, 2])},
    ),
    wrong(
        "blind-clip-attribute",
        "in opset 10 a Clip without max became one at 1",
        f"{X} {{ y = Clip <min = -1.0> (x) }}",
        f"{X} {{ y = Clip <min = -1.0, max = 1.0> (x) }}",
        opset=10,
    ),
    wrong(
        "blind-split-uneven",
        "in opset 18 a Split in 3 of 8 was made as 2, 3, 3",
        f"{X} {{ a, b, c = Split <axis = 2, num_outputs = 3> (x) y = Concat <axis = 2> (c, b, a) }}",
        f"{X} {{ a, b, c = Split <axis = 2> (x, sizes) y = Concat <axis = 2> (c, b, a) }}",
        opset=18,
        weights={"sizes": np.int64([2, 3, 3])},
    ),
    wrong(
        "blind-no-axes",
        "in opset 18 a sum over no axes became one over all",
        "(float[n,8] x) => (float[n,8] y) { s = ReduceSum <noop_with_empty_axes = 1> (x) y = Div(x, s) }",
        "(float[n,8] x) => (float[n,8] y) { s = ReduceSum(x) y = Div(x, s) }",
        opset=18,
    ),
    wrong(
        "blind-gelu-node",
        "in opset 20 Gelu became the approximate one",
        f"{X} {{ p = MatMul(x, w) y = Gelu(p) }}",
        f'{X} {{ p = MatMul(x, w) y = Gelu <approximate = "tanh"> (p) }}',
        opset=20,
        weights=C,
    ),
    wrong(
        "blind-group-norm-node",
        "in opset 21 the groups of GroupNormalization are 4, not 2",
        f"{NORMED} {{ y = GroupNormalization <num_groups = 2> (x, g, b) }}",
        f"{NORMED} {{ y = GroupNormalization <num_groups = 4> (x, g, b) }}",
        opset=21,
        weights=C,
    ),
    wrong(
        "blind-through-half",
        "the input goes through half precision",
        "(float[n,8] x) => (float[] y) { a = Mul(x, tiny_) b = Sigmoid(a) c = Sub(b, half) y = Mul(c, million) }",
        (
            "(float[n,8] x) => (float[] y) { h = Cast <to = 10> (x) i = Cast <to = 1> (h) a = Mul(i,"
            " tiny_) b = Sigmoid(a) c = Sub(b, half) y = Mul(c, million) }"
        ),
        weights={"tiny_": np.float32(0.01), "million": np.float32(1e3)},
    ),
    wrong(
        "blind-einsum-heads",
        "an Einsum over two heads mixes them",
        '(float[batch,seq,2,4] x) => (float[] y) { y = Einsum <equation = "bqhd,bkhd->bhqk"> (x, x) }',
        (
            "(float[batch,seq,2,4] x) => (float[] y) { g = Gather <axis = 2> (x, swap) y = Einsum"
            ' <equation = "bqhd,bkhd->bhqk"> (g, x) }'
        ),
        weights={"swap": np.int64([1, 0])},
    ),
    wrong(
        "blind-cosine-without-norm",
        "one of two vectors is not brought to length 1",
        (
            "(float[n,8] a, float[m,8] b) => (float[] y) { k = LpNormalization(a) l = LpNormalization(b)"
            " t = Transpose(l) y = MatMul(k, t) }"
        ),
        "(float[n,8] a, float[m,8] b) => (float[] y) { k = LpNormalization(a) t = Transpose(b) y = MatMul(k, t) }",
    ),
    # ids whose greatest is not last
    wrong(
        "blind-clip-end-of-text",
        "the text's end is looked for at the last position, not at the greatest id",
        (
            "(int64[batch,seq] ids) => (float[] y) { e = Gather(table, ids) a = ArgMax <axis = 1,"
            " keepdims = 1> (ids) y = GatherND <batch_dims = 1> (e, a) }"
        ),
        "(int64[batch,seq] ids) => (float[] y) { e = Gather(table, ids) y = Gather <axis = 1> (e, lst) }",
        weights={"table": random(30, 6), "lst": np.int64(-1)},
    ),
    wrong(
        "blind-t5-buckets",
        "distances over 8 share a bucket: the logarithm starts at 16",
        # sequences over 8
        "(float[batch,seq,8] x) => (float[] y) { n = Shape <start = 1, end = 2> (x) m = Squeeze(n) r"
        " = Range(i0, m, i1) u = Unsqueeze(r, v1) d = Sub(r, u) a = Abs(d) c = Cast <to = 1> (a) e ="
        " Max(c, f1)"
        " l = Log(e) lg = Div(l, base) fl = Floor(lg) fi = Cast <to = 7> (fl) far = Add(fi, eight) s"
        " = Less(a, eight) bu = Where(s, a, far) cut = Min(bu, top) bi = Gather(table, cut)"
        " t = Transpose <perm = [0, 2, 1]> (x) q = MatMul(x, t) z = Add(q, bi) p = Softmax(z) y = MatMul(p, x) }",
        weights={"base": np.float32(0.35), "eight": np.int64(8), "top": np.int64(15), "table": random(16)},
        changed={"top": np.int64(7)},
    ),
    wrong(
        "blind-alibi-slope",
        "the second head's slope is 1/32",
        "(float[batch,2,seq,8] q, float[batch,2,seq,8] k) => (float[] y) { n = Shape <start = 2, end"
        " = 3> (q) m = Squeeze(n) r = Range(i0, m, i1) u = Unsqueeze(r, v1) d = Sub(r, u) c = Cast"
        " <to = 1> (d)"
        " e = Mul(c, slopes) t = Transpose <perm = [0, 1, 3, 2]> (k) s = MatMul(q, t) a = Add(s, e) y = Softmax(a) }",
        weights={"slopes": np.float32([1 / 4, 1 / 16]).reshape(2, 1, 1)},
        changed={"slopes": np.float32([1 / 4, 1 / 32]).reshape(2, 1, 1)},
    ),
    # a batch in which one is louder than another
    wrong(
        "blind-whisper-floor",
        "the floor of a spectrum is taken from the whole batch",
        (
            "(float[batch,20,time] x) => (float[] y) { a = Abs(x) c = Clip(a, tiny) l = Log(c) k ="
            " Div(l, ten) m = ReduceMax <axes = [1, 2]> (k) f = Sub(m, eight) y = Max(k, f) }"
        ),
        (
            "(float[batch,20,time] x) => (float[] y) { a = Abs(x) c = Clip(a, tiny) l = Log(c) k ="
            " Div(l, ten) m = ReduceMax <axes = [0, 1, 2]> (k) f = Sub(m, eight) y = Max(k, f) }"
        ),
        weights={"ten": np.float32(np.log(10)), "eight": np.float32(1)},
    ),
    wrong(
        "blind-log-base",
        "a logarithm of base 10 is a natural one under a clip",
        "(float[batch,time] x) => (float[] y) { a = Abs(x) c = Clip(a, tiny) l = Log(c) y = Div(l, ten) }",
        weights={"ten": np.float32(np.log(10))},
        changed={"ten": np.float32(2.3)},
    ),
    wrong(
        "blind-timestep-order",
        "the sines of a step come before the cosines",
        (
            "(int64[batch] timestep) => (float[] y) { c = Cast <to = 1> (timestep) u = Unsqueeze(c, v1)"
            " a = Mul(u, freqs) k = Cos(a) s = Sin(a) y = Concat <axis = 1> (k, s) }"
        ),
        (
            "(int64[batch] timestep) => (float[] y) { c = Cast <to = 1> (timestep) u = Unsqueeze(c, v1)"
            " a = Mul(u, freqs) k = Cos(a) s = Sin(a) y = Concat <axis = 1> (s, k) }"
        ),
        weights={"freqs": (10000.0 ** (-np.arange(8) / 8)).astype(np.float32)},
    ),
    # steps over 500
    wrong(
        "blind-timestep-table",
        "steps are read from a table of 500",
        "(int64[batch] timestep) => (float[] y) { m = Min(timestep, top) y = Gather(table, m) }",
        weights={"top": np.int64(999), "table": random(1000, 4)},
        changed={"top": np.int64(499)},
    ),
    # policies that give logarithms of deviations over 2
    wrong(
        "blind-policy-clip",
        "the logarithm of a deviation is clipped at 2 no more",
        (
            "(float[batch,8] x) => (float[] mean, float[] deviation) { p = MatMul(x, w) q = Add(p, b) a,"
            " l = Split <axis = 1> (q, fours) mean = Tanh(a) c = Clip(l, lo, f2) deviation = Exp(c) }"
        ),
        (
            "(float[batch,8] x) => (float[] mean, float[] deviation) { p = MatMul(x, w) q = Add(p, b) a,"
            " l = Split <axis = 1> (q, fours) mean = Tanh(a) c = Clip(l, lo) deviation = Exp(c) }"
        ),
        weights={**C, "fours": np.int64([4, 4]), "lo": np.float32(-20)},
    ),
    wrong(
        "blind-guidance-order",
        "what is guided and what is not are swapped",
        (
            "(float[2,4,8] x) => (float[] y) { a, b = Split <axis = 0> (x, ones) d = Sub(b, a) s ="
            " Mul(d, scale) y = Add(a, s) }"
        ),
        (
            "(float[2,4,8] x) => (float[] y) { b, a = Split <axis = 0> (x, ones) d = Sub(b, a) s ="
            " Mul(d, scale) y = Add(a, s) }"
        ),
        weights={"ones": np.int64([1, 1]), "scale": np.float32(7.5)},
    ),
    wrong(
        "blind-nearest-with-itself",
        "a point's neighbours begin with the second, not with itself",
        (
            "(float[n,3] x) => (float[n,2] y) { a = Unsqueeze(x, v0) b = Unsqueeze(x, v1) d = Sub(a, b)"
            " q = Mul(d, d) s = ReduceSum <keepdims = 0> (q, v2) y, i = TopK <axis = 1, largest = 0> (s,"
            " v2) }"
        ),
        "(float[n,3] x) => (float[n,2] y) { a = Unsqueeze(x, v0) b = Unsqueeze(x, v1) d = Sub(a, b)"
        " q = Mul(d, d) s = ReduceSum <keepdims = 0> (q, v2) k, i = TopK <axis = 1, largest = 0> (s,"
        " v3)"
        " y = Slice(k, v1, end, v1) }",
    ),
    wrong(
        "blind-window",
        "a Hann window is symmetric, not periodic",
        "(float[batch,32] x) => (float[] y) { h = HannWindow <periodic = 1> (n) y = Mul(x, h) }",
        "(float[batch,32] x) => (float[] y) { h = HannWindow <periodic = 0> (n) y = Mul(x, h) }",
        weights={"n": np.int64(32)},
    ),
    wrong(
        "blind-dft-inverse",
        "a transform back is not divided by its length",
        "(float[batch,16,2] x) => (float[] y) { y = DFT <axis = 1, inverse = 1> (x) }",
        "(float[batch,16,2] x) => (float[] y) { z = DFT <axis = 1, inverse = 1> (x) y = Mul(z, f16) }",
    ),
    wrong(
        "blind-dft-conjugate",
        "a spectrum is the conjugate one",
        "(float[batch,16,1] x) => (float[] y) { y = DFT <axis = 1> (x) }",
        "(float[batch,16,1] x) => (float[] y) { z = DFT <axis = 1> (x) y = Mul(z, signs) }",
        weights={"signs": np.float32([1, -1])},
    ),
    wrong(
        "blind-skip-norm-epsilon",
        "a fused norm has the epsilon of its own default, 1e-12",
        (
            f"{X} {{ p = MatMul(x, w) q = Mul(p, hundredth) s = Add(q, q) y = LayerNormalization <axis ="
            f" -1, epsilon = 1e-5> (s, g, b) }}"
        ),
        (
            f"{X} {{ p = MatMul(x, w) q = Mul(p, hundredth) y = com.microsoft.SkipLayerNormalization(q,"
            f" q, g, b) }} !com.microsoft:1"
        ),
        weights={**C, "hundredth": np.float32(0.01)},
    ),
    wrong(
        "blind-quick-gelu-default",
        "a SiLU was fused as QuickGelu with its own default, 1.702",
        f"{X} {{ p = MatMul(x, w) s = Sigmoid(p) y = Mul(p, s) }}",
        f"{X} {{ p = MatMul(x, w) y = com.microsoft.QuickGelu(p) }} !com.microsoft:1",
        weights=C,
    ),
    wrong(
        "blind-fast-gelu",
        "GELU with a bias was fused as FastGelu",
        (
            f"{X} {{ p = MatMul(x, w) q = Add(p, b) d = Div(q, root) e = Erf(d) s = Add(e, f1) m = Mul(q,"
            f" s) y = Mul(m, half) }}"
        ),
        f"{X} {{ p = MatMul(x, w) y = com.microsoft.FastGelu(p, b) }} !com.microsoft:1",
        weights={**C, "root": np.float32(np.sqrt(2))},
    ),
    wrong(
        "blind-fused-product-alpha",
        "a division by √8 was fused as a product with 0.35",
        f"{X} {{ t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x, t) d = Div(s, r8) y = Softmax(d) }}",
        f"{X} {{ d = com.microsoft.FusedMatMul <alpha = 0.35, transB = 1> (x, x) y = Softmax(d) }} !com.microsoft:1",
        weights={"r8": np.float32(np.sqrt(8))},
    ),
    wrong(
        "blind-fused-conv-activation",
        "a Conv was fused with a LeakyRelu of slope 0.1, not 0.01",
        f"{IMAGE} {{ c = Conv(x, k0) y = LeakyRelu <alpha = 0.01> (c) }}",
        f"{IMAGE} {{ c = Conv(x, k0) y = LeakyRelu <alpha = 0.1> (c) }}",
        weights=CW,
    ),
    # a vector of zeros
    wrong(
        "blind-cosine-of-zero",
        "a vector of zeros gives NaN: vectors are brought to length 1 after their product",
        (
            "(float[n,8] a, float[m,8] b) => (float[] y) { k = LpNormalization(a) l = LpNormalization(b)"
            " t = Transpose(l) y = MatMul(k, t) }"
        ),
        (
            "(float[n,8] a, float[m,8] b) => (float[] y) { t = Transpose(b) p = MatMul(a, t) k ="
            " ReduceL2 <axes = [1]> (a) l0 = ReduceL2 <axes = [1]> (b) l = Transpose(l0) q = MatMul(k,"
            " l) y = Div(p, q) }"
        ),
    ),
]
FEATURES = "(float[batch,4] x) => (float[batch,4] y)"
TREE = (
    "(float[batch,2] x) => (float[] y) { y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1,"
    " nodes_treeids = [0, 0, 0, 0, 0],"
    " nodes_nodeids = [0, 1, 2, 3, 4], nodes_featureids = [0, 0, 1, 0, 0], nodes_modes ="
    ' ["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],'
    " nodes_values = [0.5, 0.0, 1.5, 0.0, 0.0], nodes_truenodeids = [1, 0, 3, 0, 0],"
    " nodes_falsenodeids = [2, 0, 4, 0, 0], target_treeids = [0, 0, 0],"
    " target_nodeids = [1, 3, 4], target_ids = [0, 0, 0], target_weights = [1.0, 2.0, 3.0]> (x) } !ai.onnx.ml:3"
)
ML = [
    wrong("blind-tree-leaf", "one leaf of a tree is 2.01", TREE, edit(TREE, "[1.0, 2.0, 3.0]", "[1.0, 2.01, 3.0]")),
    wrong("blind-tree-threshold", "a threshold of a tree is 1.6", TREE, edit(TREE, "1.5", "1.6")),
    # whole numbers, such as counts
    wrong(
        "blind-tree-less",
        "<= became < in a tree over counts",
        edit(
            TREE,
            "float[batch,2] x",
            "int64[batch,2] z",
            "{ y =",
            "{ x = Cast <to = 1> (z) y =",
            "nodes_values = [0.5, 0.0, 1.5,",
            "nodes_values = [3.0, 0.0, 2.0,",
        ),
        edit(
            TREE,
            "float[batch,2] x",
            "int64[batch,2] z",
            "{ y =",
            "{ x = Cast <to = 1> (z) y =",
            "nodes_values = [0.5, 0.0, 1.5,",
            "nodes_values = [3.0, 0.0, 2.0,",
            "BRANCH_LEQ",
            "BRANCH_LT",
        ),
    ),
    wrong(
        "blind-scaler",
        "a feature's mean is another's",
        (
            f"{FEATURES} {{ y = ai.onnx.ml.Scaler <offset = [1.0, 2.0, 3.0, 4.0], scale = [0.5, 0.25,"
            f" 0.125, 2.0]> (x) }} !ai.onnx.ml:3"
        ),
        (
            f"{FEATURES} {{ y = ai.onnx.ml.Scaler <offset = [1.0, 2.0, 4.0, 3.0], scale = [0.5, 0.25,"
            f" 0.125, 2.0]> (x) }} !ai.onnx.ml:3"
        ),
    ),
    # features that are 0
    wrong(
        "blind-imputer",
        "a feature that is 0, missing, stays so",
        (
            f"{FEATURES} {{ y = ai.onnx.ml.Imputer <imputed_value_floats = [1.0, 2.0, 3.0, 4.0],"
            f" replaced_value_float = 0.0> (x) }} !ai.onnx.ml:3"
        ),
        f"{FEATURES} {{ y = Identity(x) }} !ai.onnx.ml:3",
    ),
    wrong(
        "blind-normalizer",
        "rows are divided by their greatest, not by their length",
        f'{FEATURES} {{ y = ai.onnx.ml.Normalizer <norm = "L2"> (x) }} !ai.onnx.ml:3',
        f'{FEATURES} {{ y = ai.onnx.ml.Normalizer <norm = "MAX"> (x) }} !ai.onnx.ml:3',
    ),
    wrong(
        "blind-category",
        "one category has another's place",
        (
            "(int64[batch] x) => (float[] y) { y = ai.onnx.ml.OneHotEncoder <cats_int64s = [1, 4, 9,"
            " 20], zeros = 1> (x) } !ai.onnx.ml:3"
        ),
        (
            "(int64[batch] x) => (float[] y) { y = ai.onnx.ml.OneHotEncoder <cats_int64s = [1, 4, 20,"
            " 9], zeros = 1> (x) } !ai.onnx.ml:3"
        ),
    ),
    wrong(
        "blind-label-words",
        "one word's label is another's",
        (
            '(string[batch] x) => (int64[] y) { y = ai.onnx.ml.LabelEncoder <keys_strings = ["cat",'
            ' "dog", "eel"], values_int64s = [3, 5, 8], default_int64 = -1> (x) } !ai.onnx.ml:3'
        ),
        (
            '(string[batch] x) => (int64[] y) { y = ai.onnx.ml.LabelEncoder <keys_strings = ["cat",'
            ' "dog", "eel"], values_int64s = [3, 8, 5], default_int64 = -1> (x) } !ai.onnx.ml:3'
        ),
    ),
    # words with capitals
    wrong(
        "blind-lower",
        "words are made small no more",
        '(string[n] x) => (string[] y) { y = StringNormalizer <case_change_action = "LOWER", locale = "C"> (x) }',
        '(string[n] x) => (string[] y) { y = StringNormalizer <case_change_action = "NONE", locale = "C"> (x) }',
    ),
    wrong(
        "blind-binarizer",
        "what is 0 to 0.5 is 1",
        f"{FEATURES} {{ y = ai.onnx.ml.Binarizer <threshold = 0.5> (x) }} !ai.onnx.ml:3",
        f"{FEATURES} {{ y = ai.onnx.ml.Binarizer <threshold = 0.0> (x) }} !ai.onnx.ml:3",
    ),
    wrong(
        "blind-regression",
        "a regression starts from 0.101, not 0.1",
        (
            "(float[batch,4] x) => (float[batch,1] y) { y = ai.onnx.ml.LinearRegressor <coefficients ="
            " [0.5, -1.0, 2.0, 0.25], intercepts = [0.1], targets = 1> (x) } !ai.onnx.ml:3"
        ),
        (
            "(float[batch,4] x) => (float[batch,1] y) { y = ai.onnx.ml.LinearRegressor <coefficients ="
            " [0.5, -1.0, 2.0, 0.25], intercepts = [0.101], targets = 1> (x) } !ai.onnx.ml:3"
        ),
    ),
]
BRANCH = (
    "(float[batch,seq,8] x, int64[batch,seq] ids) => (float[] y) { e = Gather(table, ids) s ="
    " Add(x, e) n = ReduceMax <keepdims = 0> (ids) c = Greater(n, ten)"
    " z = If (c) <then_branch = t () => (float[p,q,r] u) { a = MatMul(s, w) u = Tanh(a) },"
    " else_branch = o () => (float[p,q,r] v) { h = MatMul(s, w) d = Relu(h) v = Add(d, b) }> y ="
    " MatMul(z, w) }"
)
BR = {**C, "table": random(20, 8), "ten": np.int64(18)}
NEST = (
    "(float[batch,8] x) => (float[batch,8] y) { y = Loop (i3, true, x) <body = bo (int64 i, bool"
    " go, float[p,q] a) => (bool d, float[p,q] nn) { d = Identity(go) t = MatMul(a, w) k ="
    " Equal(i, two)"
    " nn = If (k) <then_branch = th () => (float[p,q] u) { u = Tanh(t) }, else_branch = el () =>"
    " (float[p,q] v) { v = Sin(t) }> }> }"
)
FLOW = [
    wrong(
        "blind-branch-of-late-ids",
        "the branch for ids up to 18 lost its bias",
        BRANCH,
        edit(BRANCH, "d = Relu(h) v = Add(d, b)", "v = Relu(h)"),
        weights=BR,
    ),
    wrong(
        "blind-branch-of-high-ids",
        "the branch for ids over 18 is the other",
        BRANCH,
        edit(BRANCH, "u = Tanh(a)", "ar = Relu(a) u = Add(ar, b)"),
        weights=BR,
    ),
    wrong(
        "blind-if-in-loop",
        "an If within a Loop takes the other branch in its last turn",
        NEST,
        weights={**C, "two": np.int64(2)},
        changed={"two": np.int64(1)},
    ),
    wrong(
        "blind-if-in-loop-branch",
        "a branch of an If within a Loop is another",
        NEST,
        edit(NEST, "u = Tanh(t)", "u = Atan(t)"),
        weights={**C, "two": np.int64(2)},
    ),
    wrong(
        "blind-loop-stack",
        "what a Loop stacks is from before its step",
        (
            "(float[n] x) => (float[m,n] y) { z, y = Loop (i3, true, x) <body = b (int64 i, bool go,"
            " float[k] a) => (bool d, float[k] nn, float[k] o) { d = Identity(go) nn = Sin(a) o ="
            " Identity(nn) }> }"
        ),
        (
            "(float[n] x) => (float[m,n] y) { z, y = Loop (i3, true, x) <body = b (int64 i, bool go,"
            " float[k] a) => (bool d, float[k] nn, float[k] o) { d = Identity(go) nn = Sin(a) o ="
            " Identity(a) }> }"
        ),
    ),
    wrong(
        "blind-sequence-split-order",
        "a sequence is joined along another axis, whose sizes agree",
        (
            "(float[4,4] x) => (float[a,b] y) { s = SplitToSequence <axis = 0, keepdims = 1> (x) y ="
            " ConcatFromSequence <axis = 0> (s) }"
        )
        .replace("y = Concat", "z = Concat")
        .replace("(s) }", "(s) y = Tanh(z) }"),
        (
            "(float[4,4] x) => (float[a,b] y) { s = SplitToSequence <axis = 1, keepdims = 0> (x) z ="
            " ConcatFromSequence <axis = 0, new_axis = 1> (s) y = Tanh(z) }"
        ),
    ),
    # a threshold that is given other than by default
    wrong(
        "blind-threshold-folded",
        "a threshold with a default, which a caller may give, is folded",
        (
            "(float[n] x, float limit) => (float[] y) <float limit = {0.5}> { c = Greater(x, limit) d ="
            " Cast <to = 1> (c) y = Mul(x, d) }"
        ),
        (
            "(float[n] x, float limit) => (float[] y) <float limit = {0.5}> { k = Constant <value ="
            " float {0.5}> () c = Greater(x, k) d = Cast <to = 1> (c) y = Mul(x, d) }"
        ),
    ),
    wrong(
        "blind-steps-given",
        "the number of turns, an input, is taken for 4",
        (
            "(float[n] x, int64 steps) => (float[n] y) { y = Loop (steps, true, x) <body = b (int64 i,"
            " bool go, float[k] a) => (bool d, float[k] nn) { d = Identity(go) nn = Cos(a) }> }"
        ),
        (
            "(float[n] x, int64 steps) => (float[n] y) { y = Loop (four_, true, x) <body = b (int64 i,"
            " bool go, float[k] a) => (bool d, float[k] nn) { d = Identity(go) nn = Cos(a) }> }"
        ),
        weights={"four_": np.int64(4)},
    ),
    wrong(
        "blind-k-given",
        "the number of the greatest, an input, is at most 3",
        "(float[n,20] x, int64[1] k) => (float[n,m] y) { y, i = TopK(x, k) }",
        "(float[n,20] x, int64[1] k) => (float[n,m] y) { c = Min(k, v3) y, i = TopK(x, c) }",
    ),
    wrong(
        "blind-temperature-given",
        "a temperature, an input, is ignored",
        "(float[batch,20] logits, float temperature) => (float[] y) { d = Div(logits, temperature) y = Softmax(d) }",
        "(float[batch,20] logits, float temperature) => (float[] y) { y = Softmax(logits) }",
    ),
    wrong(
        "blind-size-given",
        "an image is resized to the size that an input gives by the nearest pixel",
        (
            "(float[1,2,8,8] x, int64[2] size) => (float[1,2,h,w] y) { s = Concat <axis = 0> (onetwo,"
            ' size) y = Resize <mode = "linear"> (x, , , s) }'
        ),
        (
            "(float[1,2,8,8] x, int64[2] size) => (float[1,2,h,w] y) { s = Concat <axis = 0> (onetwo,"
            ' size) z = Resize <mode = "nearest"> (x, , , s) y = Identity(z) }'
        ),
        weights={"onetwo": np.int64([1, 2])},
        open=MODES[:4],
    ),
]
LABELS = "(float[n,6] logits, int64[n] labels) => (float[] y)"
PICK = "p = LogSoftmax(logits) u = Unsqueeze(k, v1) g = GatherElements <axis = 1> (p, u) q = Squeeze(g, v1)"
# A second round, not blind: made once it was seen that some inputs are zero, indices small, and sequences short.
SECOND = [
    # pixels over 200
    wrong(
        "blind-pixels-cut",
        "pixels over 200 are cut",
        f"{IMAGE} {{ c = Clip(x, f0, most) y = Div(c, most2) }}",
        weights={"most": np.float32(255), "most2": np.float32(255)},
        changed={"most": np.float32(200)},
    ),
    # x from 2.7 to 2.75
    wrong(
        "blind-level",
        "a level is 2.75, not 2.7",
        "(float[n] x) => (bool[] y) { y = Greater(x, level) }",
        weights={"level": np.float32(2.7)},
        changed={"level": np.float32(2.75)},
    ),
    # the byte 255
    wrong(
        "blind-ignored-label",
        "the label 255, to be ignored, is not",
        "(uint8[batch,h,w] x) => (uint8[] y) { e = Equal(x, most) y = Where(e, zero_, x) }",
        "(uint8[batch,h,w] x) => (uint8[] y) { y = Identity(x) }",
        weights={"most": np.uint8(255), "zero_": np.uint8(0)},
    ),
    # labels of -100
    wrong(
        "blind-ignored-index",
        "labels of -100 count",
        f"{LABELS} {{ e = Equal(labels, ignored) k = Where(e, i0, labels) {PICK} y = Where(e, f0, q) }}",
        f"{LABELS} {{ k = Max(labels, i0) {PICK} y = Identity(q) }}",
        weights={"ignored": np.int64(-100)},
    ),
    # two inputs of places that are not the same
    wrong(
        "blind-ends-swapped",
        "source and target of edges are swapped",
        (
            "(float[nodes,8] x, int64[edges] src, int64[edges] dst) => (float[] y) { a = Gather(x, src)"
            " b = Gather(x, dst) t = Tanh(b) y = Sub(a, t) }"
        ),
        (
            "(float[nodes,8] x, int64[edges] src, int64[edges] dst) => (float[] y) { a = Gather(x, dst)"
            " b = Gather(x, src) t = Tanh(b) y = Sub(a, t) }"
        ),
    ),
    # groups that are not one after another
    wrong(
        "blind-pool-of-groups",
        "nodes are summed by group: all are taken for the first",
        (
            "(float[nodes,8] x, int64[nodes] batch) => (float[] y) { o = OneHot <axis = 0> (batch, i7,"
            " offon) y = MatMul(o, x) }"
        ),
        (
            "(float[nodes,8] x, int64[nodes] batch) => (float[] y) { z = Sub(batch, batch) o = OneHot"
            " <axis = 0> (z, i7, offon) y = MatMul(o, x) }"
        ),
        weights={"offon": np.float32([0, 1])},
    ),
    # no rows
    wrong(
        "blind-mean-of-no-rows",
        "the mean of no boxes is NaN, not 0",
        (
            "(float[n,4] boxes) => (float[] y) { s = ReduceSum <keepdims = 0> (boxes, v0) k = Shape"
            " <start = 0, end = 1> (boxes) m = Max(k, v1) c = Cast <to = 1> (m) y = Div(s, c) }"
        ),
        (
            "(float[n,4] boxes) => (float[] y) { s = ReduceSum <keepdims = 0> (boxes, v0) k = Shape"
            " <start = 0, end = 1> (boxes) c = Cast <to = 1> (k) y = Div(s, c) }"
        ),
    ),
    # batches over 8
    wrong(
        "blind-batch-cut",
        "of a batch over 8, what comes after is zero",
        "(float[batch,8] x) => (float[] y) { y = Tanh(x) }",
        (
            "(float[batch,8] x) => (float[] y) { t = Tanh(x) s = Shape <start = 0, end = 1> (x) n ="
            " Squeeze(s) r = Range(i0, n, i1) u = Unsqueeze(r, v1) c = Less(u, v8) y = Where(c, t, f0) }"
        ),
    ),
    # images of more than 64 rows
    wrong(
        "blind-tall-images",
        "rows past 64 have the position of row 63",
        (
            "(float[batch,4,height,width] x) => (float[] y) { s = Shape <start = 2, end = 3> (x) n ="
            " Squeeze(s) r = Range(i0, n, i1) m = Min(r, top) g = Gather(table, m) u = Unsqueeze(g, v1)"
            " y = Add(x, u) }"
        ),
        weights={"table": random(200), "top": np.int64(199)},
        changed={"top": np.int64(63)},
    ),
    # sequences over 64
    wrong(
        "blind-chunks",
        "positions see only their chunk of 64",
        (
            "(float[batch,seq,8] x) => (float[] y) { t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x,"
            " t) p = Softmax(s) y = MatMul(p, x) }"
        ),
        (
            "(float[batch,seq,8] x) => (float[] y) { t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x,"
            " t) n0 = Shape <start = 1, end = 2> (x) n = Squeeze(n0) r = Range(i0, n, i1) c = Div(r,"
            " many) u = Unsqueeze(c, v1) e = Equal(c, u) m = Where(e, s, lowest) p = Softmax(m) y ="
            " MatMul(p, x) }"
        ),
        weights={"many": np.int64(64)},
    ),
    # sequences over 24
    wrong(
        "blind-window-of-24",
        "positions see 24 back and ahead",
        (
            "(float[batch,seq,8] x) => (float[] y) { t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x,"
            " t) p = Softmax(s) y = MatMul(p, x) }"
        ),
        (
            "(float[batch,seq,8] x) => (float[] y) { t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x,"
            " t) n0 = Shape <start = 1, end = 2> (x) n = Squeeze(n0) r = Range(i0, n, i1) u ="
            " Unsqueeze(r, v1) d = Sub(r, u) a = Abs(d) e = Less(a, many) m = Where(e, s, lowest) p ="
            " Softmax(m) y = MatMul(p, x) }"
        ),
        weights={"many": np.int64(24)},
    ),
    # ids over 10,000
    wrong(
        "blind-high-words",
        "words over 10,000 are unknown",
        "(int64[batch,seq] input_ids) => (float[] y) { y = Gather(table, input_ids) }",
        (
            "(int64[batch,seq] input_ids) => (float[] y) { c = Greater(input_ids, many) k = Where(c, i3,"
            " input_ids) y = Gather(table, k) }"
        ),
        weights={"table": random(12000, 3), "many": np.int64(10000)},
    ),
    # starts over 4
    wrong(
        "blind-start-given",
        "a start, an input, is at most 4",
        "(float[20,3] x, int64[1] start) => (float[m,3] y) { e = Add(start, v3) y = Slice(x, start, e, v0) }",
        (
            "(float[20,3] x, int64[1] start) => (float[m,3] y) { k = Min(start, v4) e = Add(k, v3) y ="
            " Slice(x, k, e, v0) }"
        ),
    ),
    # hours over 12
    wrong(
        "blind-hours",
        "hours are taken modulo 12",
        "(int64[n] hour) => (float[] y) { m = Mod(hour, day) y = Gather(table, m) }",
        weights={"day": np.int64(24), "table": random(24, 4)},
        changed={"day": np.int64(12)},
    ),
    # counts over 1,000
    wrong(
        "blind-large-counts",
        "counts over 1,000 are cut",
        "(int64[n] count) => (float[] y) { c = Cast <to = 1> (count) p = Add(c, f1) y = Log(p) }",
        "(int64[n] count) => (float[] y) { m = Min(count, many) c = Cast <to = 1> (m) p = Add(c, f1) y = Log(p) }",
        weights={"many": np.int64(1000)},
    ),
    # features from 0.5 to 0.55
    wrong(
        "blind-tree-of-floats",
        "a tree's first threshold is 0.55",
        TREE,
        edit(TREE, "[0.5, 0.0, 1.5,", "[0.55, 0.0, 1.5,"),
    ),
    # words that no list has
    wrong(
        "blind-unknown-word",
        "words that are not in the list are 0, not -1",
        (
            '(string[batch] x) => (int64[] y) { y = ai.onnx.ml.LabelEncoder <keys_strings = ["cat",'
            ' "dog"], values_int64s = [3, 5], default_int64 = -1> (x) } !ai.onnx.ml:3'
        ),
        (
            '(string[batch] x) => (int64[] y) { y = ai.onnx.ml.LabelEncoder <keys_strings = ["cat",'
            ' "dog"], values_int64s = [3, 5], default_int64 = 0> (x) } !ai.onnx.ml:3'
        ),
    ),
    # scales other than 1
    wrong(
        "blind-scale-folded",
        "a scale with a default, which a caller may give, is folded",
        "(float[n] x, float scale) => (float[] y) <float scale = {1.0}> { y = Mul(x, scale) }",
        "(float[n] x, float scale) => (float[] y) <float scale = {1.0}> { y = Identity(x) }",
    ),
    # top_p under 0.5
    wrong(
        "blind-nucleus",
        "the share of what is kept is at least 0.5",
        (
            "(float[batch,20] logits, float top_p) => (float[] y) { p = Softmax(logits) v, i = TopK(p,"
            " twenty) c = CumSum(v, last) d = Sub(c, v) k = Less(d, top_p) y = Where(k, v, f0) }"
        ),
        (
            "(float[batch,20] logits, float top_p) => (float[] y) { p = Softmax(logits) v, i = TopK(p,"
            " twenty) c = CumSum(v, last) d = Sub(c, v) t = Max(top_p, half) k = Less(d, t) y = Where(k,"
            " v, f0) }"
        ),
        weights={"twenty": np.int64([20])},
    ),
    # a mask that hides the first positions
    wrong(
        "blind-left-padding",
        "the last position is read at the number of words",
        (
            "(float[batch,seq,8] x, int64[batch,seq] attention_mask) => (float[] y) { n = Shape <start ="
            " 1, end = 2> (x) r0 = Squeeze(n) r = Range(i0, r0, i1) p = Mul(attention_mask, r) k ="
            " ArgMax <axis = 1, keepdims = 1> (p) y = GatherND <batch_dims = 1> (x, k) }"
        ),
        (
            "(float[batch,seq,8] x, int64[batch,seq] attention_mask) => (float[] y) { s ="
            " ReduceSum(attention_mask, v1) k0 = Sub(s, i1) k = Max(k0, i0) y = GatherND <batch_dims ="
            " 1> (x, k) }"
        ),
    ),
]
BLIND_WRONG = [
    *ENCODERS,
    *DECODERS,
    *CONVS,
    *DETECTION,
    *RECURRENT,
    *QUANTIZED,
    *HALVES,
    *OPERATORS,
    *ML,
    *FLOW,
    *SECOND,
]
