"""Convolutions, pooling, normalizations and attention."""

from __future__ import annotations

import numpy as np

from tests.proving.cases import Case

Attrs = dict[str, object]


def convolutions() -> list[Case]:
    one: list[Attrs] = [{}, {"strides": [2]}, {"pads": [1, 1]}, {"pads": [2, 1], "dilations": [2]}]
    one += [{"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER", "strides": [2]}, {"auto_pad": "VALID"}]
    found = [Case("Conv", ("b 2 7", "3 2 3"), attrs) for attrs in one]
    found += [Case("Conv", ("2 4 6", "6 2 2", "6"), {"group": 2}), Case("Conv", ("b a k", "m a 3"))]
    found += [
        Case("Conv", ("1 4 6", "4 1 3", "4"), {"group": 4, "pads": [1, 1]}),
        Case("Conv", ("b 3 6", "m 3 1", "m")),
    ]
    found += [Case("Conv", ("2 2 5 4", "3 2 3 2"), {"pads": [1, 0, 1, 1], "strides": [2, 1]})]
    found += [Case("Conv", ("1 2 4 4", "2 2 4 4")), Case("Conv", ("2 2 5 1", "3 2 3 1"), {"pads": [1, 0, 1, 0]})]
    turned: list[Attrs] = [{}, {"pads": [1, 1]}, {"strides": [2]}, {"strides": [3]}, {"dilations": [2]}]
    turned += [{"strides": [2], "pads": [1, 0], "output_padding": [1]}]
    found += [Case("ConvTranspose", ("b 2 4", "2 3 3"), attrs) for attrs in turned]
    found += [Case("ConvTranspose", ("2 4 4", "4 3 2", "6"), {"group": 2})]
    return [*found, Case("ConvTranspose", ("1 2 3 2", "2 2 2 2", "2"), {"strides": [2, 2]})]


def pools() -> list[Case]:
    kinds: list[Attrs] = [{}, {"strides": [2]}, {"pads": [1, 1]}, {"pads": [0, 1], "strides": [2]}]
    found = [Case(op, ("b 2 7",), {"kernel_shape": [3], **more}) for op in ("MaxPool", "AveragePool") for more in kinds]
    found += [Case("AveragePool", ("2 2 5",), {"kernel_shape": [2], "pads": [1, 1], "count_include_pad": 1})]
    found += [Case("MaxPool", ("2 2 7",), {"kernel_shape": [2], "dilations": [2]})]
    for op in ("MaxPool", "AveragePool"):
        found += [Case(op, ("b 1 4 5",), {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1], "strides": [2, 2]})]
    return [
        *found,
        *(Case(op, (axes,)) for op in ("GlobalAveragePool", "GlobalMaxPool") for axes in ("a b k", "a 2 3 k")),
    ]


def norms() -> list[Case]:
    found = [Case("BatchNormalization", (axes, *["a"] * 4), positive=True) for axes in ("b a", "b a k", "b a 2 3")]
    found += [Case("InstanceNormalization", (axes, "a", "a"), {"epsilon": 0.1}) for axes in ("b a k", "b a 2 3")]
    found += [Case("LpNormalization", ("a k",), {"axis": axis, "p": p}) for axis in (0, -1) for p in (1, 2)]
    for op in ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceLogSum"):
        for attrs in ({"axes": [-1]}, {"axes": [0, 2], "keepdims": 0}, {}):
            found += [Case(op, ("a b k",), attrs, positive=op == "ReduceLogSum")]
    for attrs in ({}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}):
        found += [Case("CumSum", ("a k",), {"axis": axis, **attrs}) for axis in (0, -1)]
    found += [Case("Hardmax", ("a k",), {"axis": axis}) for axis in (0, -1)]
    return [*found, Case("MeanVarianceNormalization", ("2 a 3 2",))]


CASES = [*convolutions(), *pools(), *norms()]

MASKS = ["a k", "b 1 a k", "4 a k"]


def attentions() -> list[Case]:
    apart, packed = ("b 4 a 2", "b 2 k 2", "b 2 k 3"), ("b a 8", "b k 4", "b k 6")
    heads: Attrs = {"q_num_heads": 4, "kv_num_heads": 2}
    more: list[Attrs] = [{}, {"scale": 0.3}, {"softcap": 2.0}, {"is_causal": 1}]
    found = [Case("Attention", apart, attrs) for attrs in more]
    found += [Case("Attention", packed, {**heads, **attrs}) for attrs in more]
    found += [Case("Attention", (*apart, mask)) for mask in MASKS]
    found += [Case("Attention", (*packed, MASKS[0]), {**heads, "softcap": 1.5})]
    found += [Case("Attention", (*packed, MASKS[0]), {**heads, "is_causal": 1})]
    caches = ("b a 2", "b a 2")
    kept = np.array([[True, False, True, True], [False, True, False, False], [True, True, True, False]])
    found += [
        Case("Attention", ("2 4 3 2", "2 2 4 2", "2 2 4 3", mask)) for mask in (kept, kept[None], kept[None, None])
    ]
    places = np.array([[0, 2, 7], [1, 4, 3]])
    found += [Case("RotaryEmbedding", ("2 3 3 4", "9 2", "9 2", places))]
    turns: list[Attrs] = [{}, {"interleaved": 1}]
    found += [Case("RotaryEmbedding", ("b 3 a 4", *caches), attrs) for attrs in turns]
    found += [Case("RotaryEmbedding", ("b a 12", *caches), {**attrs, "num_heads": 3}) for attrs in turns]
    found += [Case("RotaryEmbedding", ("b 3 a 6", *caches), {**attrs, "rotary_embedding_dim": 4}) for attrs in turns]
    return found


LATER = [
    *attentions(),
    *(Case("RMSNormalization", ("B a", "a"), attrs) for attrs in ({}, {"epsilon": 0.1}, {"axis": -1})),
    Case("RMSNormalization", ("k a b", "a b"), {"axis": 1}),
    *(Case("GroupNormalization", (axes, "6", "6"), {"num_groups": 2}) for axes in ("b 6 k", "2 6 3 2")),
]
"""Of opset 23."""
