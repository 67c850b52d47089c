"""A graph as people edit it for an accelerator: norms with eps outside the root, the mask as arithmetic, no lookups."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

import regraft
from regraft.files.saving import to_proto
from regraft.pipelines.frontend import ImportOptions
from regraft.verification.runtime import Session
from tests.frontends.symbols import Edge, Net

BATCH, SEQUENCE, HEADS, WIDTH, INNER = 3, 5, 2, 8, 16
EPS = 1e-3  # large enough to tell where it stands
RANDOM = np.random.default_rng(7)
WEIGHTS = {
    name: RANDOM.normal(0, 0.5, shape).astype(np.float32)
    for name, shape in {
        **{f"{kind}_{part}": (WIDTH, WIDTH)[: 2 - (part == "bias")] for kind in "qkvo" for part in ("weight", "bias")},
        **{f"{norm}_{part}": (WIDTH,) for norm in ("norm0", "norm1") for part in ("gamma", "beta")},
        "up_weight": (INNER, WIDTH),
        "up_bias": (INNER,),
        "down_weight": (WIDTH, INNER),
        "down_bias": (WIDTH,),
    }.items()
}


class Edited(Net):
    """One layer."""

    def __init__(self) -> None:
        super().__init__()
        mask, x, lengths = self.input("mask"), self.input("x"), self.input("lengths")
        x = self.norm(x, "norm0")
        x = self.norm(self("elemwise_add", self.attention(x, mask), x), "norm1")
        x = self("elemwise_add", self.feed_forward(x), x)
        x = self("SequenceMask", x, lengths, axis=1, use_sequence_length=True)
        x = self("slice", x, begin="(0, 0, 0)", end="(None, 1, None)")
        self("Reshape", x, name="first", shape=(-1, WIDTH))

    def dense(self, x: Edge, name: str, width: int) -> Edge:
        weight, bias = (self.param(f"{name}_{part}", WEIGHTS[f"{name}_{part}"]) for part in ("weight", "bias"))
        return self("FullyConnected", x, weight, bias, flatten=False, no_bias=False, num_hidden=width)

    def norm(self, x: Edge, name: str) -> Edge:
        """`delta / (sqrt(var) + eps)`, not `delta / sqrt(var + eps)`."""
        delta = self("broadcast_sub", x, self("mean", x, axis=-1, keepdims=True))
        variance = self("mean", self("_power_scalar", delta, scalar=2), axis=-1, keepdims=True)
        unit = self("broadcast_div", delta, self("_plus_scalar", self("sqrt", variance), scalar=EPS))
        gamma, beta = (self.param(f"{name}_{part}", WEIGHTS[f"{name}_{part}"]) for part in ("gamma", "beta"))
        return self("broadcast_add", self("broadcast_mul", gamma, unit), beta)

    def heads(self, x: Edge) -> Edge:
        apart = self("transpose", self("Reshape", x, shape=(0, 0, HEADS, -1)), axes=(0, 2, 1, 3))
        return self("Reshape", apart, shape=(-1, 0, 0), reverse=True)

    def attention(self, x: Edge, mask: Edge) -> Edge:
        q, k, v = (self.heads(self.dense(x, name, WIDTH)) for name in "qkv")
        scores = self("batch_dot", self("_div_scalar", q, scalar=math.sqrt(WIDTH / HEADS)), k, transpose_b=True)
        ones = self("_ones", shape=(1, HEADS, 1, 1), dtype="float32")
        kept = self("broadcast_div", self("expand_dims", mask, axis=1), ones)
        kept = self("Reshape", kept, shape=(-1, 0, 0), reverse=True)
        low = self("_mul_scalar", self("ones_like", scores), scalar="-1e+18")
        hidden = self("elemwise_mul", self("_equal_scalar", kept, scalar=0), low)
        shown = self("elemwise_mul", self("_equal_scalar", self("_rminus_scalar", kept, scalar=1), scalar=0), scores)
        weights = self("softmax", self("elemwise_add", hidden, shown), axis=-1)
        weights = self("_copy", self("elemwise_mul", weights, kept))
        mixed = self("Reshape", self("batch_dot", weights, v), shape=(-1, HEADS, 0, 0), reverse=True)
        return self.dense(self("Reshape", self("transpose", mixed, axes=(0, 2, 1, 3)), shape=(0, 0, -1)), "o", WIDTH)

    def feed_forward(self, x: Edge) -> Edge:
        x = self.dense(x, "up", INNER)
        cube = self("_mul_scalar", self("_power_scalar", x, scalar=3), scalar=0.044715)
        inner = self("tanh", self("_mul_scalar", self("elemwise_add", x, cube), scalar=math.sqrt(2 / math.pi)))
        half = self("_mul_scalar", x, scalar=0.5)
        return self.dense(self("elemwise_mul", half, self("_plus_scalar", inner, scalar=1)), "down", WIDTH)


def expected(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The same layer in numpy."""

    def dense(x, name):
        return x @ WEIGHTS[f"{name}_weight"].T + WEIGHTS[f"{name}_bias"]

    def norm(x, name):
        unit = (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + EPS)
        return WEIGHTS[f"{name}_gamma"] * unit + WEIGHTS[f"{name}_beta"]

    x = norm(x, "norm0")
    q, k, v = (dense(x, n).reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3) for n in "qkv")
    scores = np.where(mask[:, None] == 0, -1e18, q @ k.swapaxes(-1, -2) / math.sqrt(WIDTH / HEADS))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights *= mask[:, None] / weights.sum(-1, keepdims=True)
    x = norm(dense((weights @ v).transpose(0, 2, 1, 3).reshape(x.shape), "o") + x, "norm1")
    up = dense(x, "up")
    gelu = 0.5 * up * (1 + np.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
    return (dense(gelu, "down") + x)[:, 0]


LENGTHS = np.float32([5, 3, 1])
MASK = np.repeat((np.arange(SEQUENCE) < LENGTHS[:, None])[:, None].astype(np.float32), SEQUENCE, 1)
X = RANDOM.normal(0, 0.01, (BATCH, SEQUENCE, WIDTH)).astype(np.float32)  # small, so that eps matters
FEEDS = {"x": X, "mask": MASK, "lengths": LENGTHS}
DIMENSIONS = [("batch", SEQUENCE), (BATCH, SEQUENCE), ("batch", "sequence")]


def imported(folder, batch="batch", sequence=SEQUENCE, opset=17):
    shapes = {"x": (batch, sequence, WIDTH), "mask": (batch, sequence, sequence), "lengths": (batch,)}
    return regraft.open_source(Edited().save(folder), options=ImportOptions(shapes, opset))


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("dimensions", DIMENSIONS, ids=str)
def test_it_computes_what_it_says(tmp_path, dimensions, opset):
    model = imported(tmp_path, *dimensions, opset)
    onnx.checker.check_model(to_proto(model), full_check=True)
    np.testing.assert_allclose(Session(model).run(FEEDS)["first_output"], expected(X, MASK), rtol=0, atol=1e-5)


def test_eps_stands_outside_the_root(tmp_path):
    """In the root it would be another function, and no pass may take one for the other."""
    model = imported(tmp_path)
    report = regraft.run(model, "fold-constants,fuse-layer-norm", verify="each", inputs=FEEDS)
    assert not report.passes[1].changes
    assert not any(node.op == "LayerNormalization" for node in model.graph.nodes)


@pytest.mark.parametrize("one", ["fuse-gelu", "externalize-mask", "convert-fp16"])
@pytest.mark.parametrize("dimensions", DIMENSIONS, ids=str)
def test_passes_apply_and_verify(tmp_path, dimensions, one):
    report = regraft.run(imported(tmp_path, *dimensions), one, verify="each", inputs=FEEDS)
    assert report.passes[0].changes
