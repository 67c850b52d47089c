"""Rewrites by passes that promise more than rounding: what the promise covers, and what it does not."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from regraft import approximation, interface, precision
from regraft.verification.contract import Contract, reassociation
from tests.verification.planted.pair import Pair, random, right, wrong

X = "(float[batch,seq,8] x) => (float[] y)"
TWO = "(float[batch,seq,8] x) => (float[] y, int64[] i)"
IDS = "(int64[n,8] x) => (int64[] y)"
W = {
    "w": random(8, 64, scale=0.4),
    "u": random(64, 8, scale=0.3),
    "b": random(64, scale=0.3),
    "f1702": np.float32(1.702),
    "f15": np.float32(1.5),
    "f1001": np.float32(1.001),
    "c100": np.float32(100),
    "kilo": np.float32(1000),
    "many": np.float32(1e-8),
}
GELU = "a = MatMul(x, w) p = Add(a, b) g = Gelu(p) y = MatMul(g, u)"
HALF_W = {f"h{name}": W[name].astype(np.float16) for name in "wub"}
OFF = {"off": (W["b"] + np.float32(0.2) * np.abs(W["b"])).astype(np.float32)}


def gelu(factor: str, rest: str = "") -> str:
    """The network with Gelu as `p · Sigmoid(factor · p)`."""
    return (
        f"{X} {{ a = MatMul(x, w) p = Add(a, b) s = Mul(p, {factor}) e = Sigmoid(s) g0 = Mul(p, e)"
        f" g = {rest or 'Identity(g0)'} y = MatMul(g, u) }}"
    )


def halved(*, w: str = "hw", bias: str = "hb", last: str = "y = Cast <to = 1> (z)") -> str:
    """The network in half precision, between two Casts."""
    return (
        f"{X} {{ k = Cast <to = 10> (x) a = MatMul(k, {w}) p = Add(a, {bias}) g = Relu(p) z = MatMul(g, hu) {last} }}"
    )


RELU = f"{X} {{ a = MatMul(x, w) p = Add(a, b) g = Relu(p) y = MatMul(g, u) }}"
HALF = {
    **W,
    **HALF_W,
    "hoff": OFF["off"].astype(np.float16),
    "hw8": (np.round(HALF_W["hw"] * 8) / 8).astype(np.float16),
}
SHIFTED = "h = Add(x, c100) s = Mul(h, h)"
VARIANCE = f"{X} {{ q = Mul(x, many) v = Mul(q, kilo) d = Mul(v, kilo) e = Mul(d, c100) y = Mul(x, e) }}"


class Promised(NamedTuple):
    """A pair, and what the pass behind it promises."""

    contract: Contract
    pair: Pair


def under(contract: Contract, *pairs: Pair) -> list[Promised]:
    return [Promised(contract, pair) for pair in pairs]


def options(weights: dict[str, Any]) -> dict[str, Any]:
    return {"opset": 20, "weights": weights}


PROMISES = [
    *under(
        approximation(0.0204),
        right("sigmoid-gelu", "Gelu by a Sigmoid", f"{X} {{ {GELU} }}", gelu("f1702"), **options(W)),
        wrong("sigmoid-by-15", "the Sigmoid's factor is 1.5", f"{X} {{ {GELU} }}", gelu("f1"), **options(W)),
        wrong("sigmoid-and-offset", "and 1 is added", f"{X} {{ {GELU} }}", gelu("f1702", "Add(g0, f1)"), **options(W)),
        wrong(
            "sigmoid-and-scale", "and it is doubled", f"{X} {{ {GELU} }}", gelu("f1702", "Mul(g0, f2)"), **options(W)
        ),
        wrong("sigmoid-of-nothing", "Gelu is gone", f"{X} {{ {GELU} }}", f"{X} {{ y = Mul(x, f0) }}", **options(W)),
        wrong(
            "sigmoid-and-bias",
            "and a bias is another",
            f"{X} {{ {GELU} }}",
            gelu("f1702"),
            **options(W),
            changed={"b": W["b"] + np.float32(1)},
        ),
        wrong(
            "sigmoid-and-index",
            "and an output of integers is another",
            f"{TWO} {{ {GELU} i = ArgMax <axis = 2> (x) }}",
            gelu("f1702").replace(X, TWO).replace("y = MatMul", "i = ArgMin <axis = 2> (x) y = MatMul"),
            **options(W),
        ),
        wrong(
            "sigmoid-and-output",
            "and an output has another name",
            f"{X} {{ {GELU} }}",
            gelu("f1702").replace("[] y)", "[] z)").replace("y = ", "z = "),
            **options(W),
        ),
    ),
    *under(
        precision(1e-2, 1e-2, 2e-3),
        right("halves", "products in half precision", RELU, halved(), weights=HALF),
        wrong("halves-and-bias", "and a bias is off by a fifth", RELU, halved(bias="hoff"), weights=HALF),
        wrong("halves-and-rounded", "and weights are rounded to eighths", RELU, halved(w="hw8"), weights=HALF),
        wrong(
            "halves-negated",
            "and the result negated",
            RELU,
            halved(last="n = Neg(z) y = Cast <to = 1> (n)"),
            weights=HALF,
        ),
        wrong(
            "halves-that-vanish",
            "1e-8 is nothing in half precision",
            VARIANCE,
            VARIANCE.replace("q = Mul(x, many)", "h = Cast <to = 10> (many) r = Cast <to = 1> (h) q = Mul(x, r)"),
            weights=W,
        ),
        wrong(
            "halves-and-index",
            "an output of integers is another",
            f"{TWO} {{ y = Relu(x) i = ArgMax <axis = 2> (x) }}",
            f"{TWO} {{ h = Cast <to = 10> (x) r = Relu(h) y = Cast <to = 1> (r) i = ArgMin <axis = 2> (x) }}",
        ),
        wrong(
            "halves-and-dims",
            "a dimension is gone",
            f"{X} {{ y = ReduceSum <keepdims = 1> (x, last) }}",
            f"{X} {{ h = Cast <to = 10> (x) s = ReduceSum <keepdims = 0> (h, last) y = Cast <to = 1> (s) }}",
        ),
    ),
    *under(
        interface,
        right("an-output-less", "an output is gone", f"{TWO} {{ y = Relu(x) i = Shape(x) }}", f"{X} {{ y = Relu(x) }}"),
        right("an-output-more", "an output is new", f"{X} {{ y = Relu(x) }}", f"{TWO} {{ y = Relu(x) i = Shape(x) }}"),
        right(
            "sizes-fixed",
            "the batch is fixed",
            f"{X} {{ y = Relu(x) }}",
            "(float[2,seq,8] x) => (float[2,seq,8] y) { y = Relu(x) }",
        ),
        wrong(
            "an-output-less-and-scaled",
            "and the other is scaled",
            f"{TWO} {{ y = Relu(x) i = Shape(x) }}",
            f"{X} {{ r = Relu(x) y = Mul(r, f1001) }}",
            weights=W,
        ),
        wrong(
            "an-output-more-and-another-op",
            "and the old one is another",
            f"{X} {{ y = Relu(x) }}",
            f"{TWO} {{ y = Abs(x) i = Shape(x) }}",
        ),
        wrong(
            "sizes-fixed-and-cut",
            "and the last position is left out of the sum",
            f"{X} {{ y = ReduceSum <keepdims = 0> (x, v1) }}",
            "(float[2,seq,8] x) => (float[] y) { c = Slice(x, v0, last, v1) y = ReduceSum <keepdims = 0> (c, v1) }",
        ),
        wrong(
            "outputs-swapped-by-name",
            "two outputs change places under their names",
            "(float[n,8] x) => (float[] y, float[] z) { y = Relu(x) z = Neg(x) }",
            "(float[n,8] x) => (float[] y, float[] z) { z = Relu(x) y = Neg(x) }",
        ),
        wrong(
            "input-split-and-negated",
            "an input is new, and the old one negated",
            "(float[n,8] x) => (float[] y) { y = Relu(x) }",
            "(float[n,8] x, float[n,8] more) => (float[] y, float[] z) { m = Neg(x) y = Relu(m) z = Neg(more) }",
        ),
    ),
    *under(
        reassociation.assuming("integers fit 32 bits"),
        right(
            "integers-in-32-bits",
            "sums of ids in 32 bits",
            f"{IDS} {{ y = Add(x, x) }}",
            f"{IDS} {{ a = Cast <to = 6> (x) b = Add(a, a) y = Cast <to = 7> (b) }}",
        ),
        wrong(
            "integers-in-8-bits",
            "sums of ids in 8 bits",
            f"{IDS} {{ y = Add(x, x) }}",
            f"{IDS} {{ a = Cast <to = 3> (x) b = Add(a, a) y = Cast <to = 7> (b) }}",
        ),
        wrong(
            "integers-without-signs",
            "negative numbers lose their sign",
            f"{IDS} {{ y = Neg(x) }}",
            f"{IDS} {{ a = Cast <to = 6> (x) b = Abs(a) c = Neg(b) y = Cast <to = 7> (c) }}",
        ),
    ),
]

OVERFLOWING = right(
    "halves-that-overflow",
    "a square of hundreds times a thousand is infinite in half precision, which ONNX Runtime does not show",
    f"{X} {{ {SHIFTED} y = Mul(s, kilo) }}",
    f"{X} {{ {SHIFTED} a = Cast <to = 10> (s) k = Cast <to = 10> (kilo) m = Mul(a, k) y = Cast <to = 1> (m) }}",
    weights=W,
)
