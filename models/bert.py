"""BERT encoders of any size with generated weights, in the styles of several exporters.

Weights are computed one after the other while the model is saved, so memory holds only one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from regraft.errors import ModelError
from regraft.ir.graph import Tensor, Variable
from regraft.ir.model import Model
from regraft.models import motifs
from regraft.models.builder import Builder


@dataclass(frozen=True)
class Size:
    """Hyperparameters, with the meaning they have in BERT's configuration files; with `labels`, a classifier."""

    layers: int = 2
    hidden: int = 32
    heads: int = 4
    intermediate: int = 64
    vocabulary: int = 128
    positions: int = 64
    labels: int = 0


TINY = Size()
BASE = Size(12, 768, 12, 3072, 30_522, 512)
LARGE = Size(24, 1024, 16, 4096, 30_522, 512)
"""335 million parameters: 1.34 GB as float32."""


@dataclass(frozen=True)
class Style:
    """The style of an exporter.

    Attributes:
        opset: 11 to 23; the ops Gelu and LayerNormalization need 20 and 17.
        mask: "where" selects 0 or the smallest float; "additive" computes (1 - mask) * -10000.
        shapes: "chains" leaves batch and sequence open and computes them with Shape and Gather;
            "static" fixes the sequence to the number of positions and leaves only the batch open.
        dropout: "training" nodes have training_mode true and drop; "inference" nodes do nothing.
        constants: small constants as Constant nodes or as initializers.
    """

    opset: int = 17
    gelu: motifs.Gelu = "erf"
    layer_norm: motifs.LayerNorm = "decomposed"
    mask: Literal["where", "additive"] = "where"
    shapes: Literal["chains", "static"] = "chains"
    dropout: motifs.Dropout = "none"
    constants: Literal["nodes", "initializers"] = "nodes"


def build(size: Size = TINY, style: Style | None = None, seed: int = 0) -> Model:
    """A BERT encoder.

    Inputs are `input_ids`, `attention_mask` and `token_type_ids`, int64 [batch, sequence]. Outputs are
    `last_hidden_state`, float32 [batch, sequence, hidden], and `pooler_output`, float32 [batch, hidden]; of a
    classifier `logits`, float32 [batch, labels].

    Raises:
        ModelError: the heads do not divide the hidden size, or the style needs a later opset.
    """
    if size.hidden % size.heads:
        raise ModelError(f"{size.heads} heads do not divide a hidden size of {size.hidden}; choose a divisor of it")
    return _Encoder(size, style or Style(), seed).build()


class _Encoder:
    def __init__(self, size: Size, style: Style, seed: int):
        self.size, self.style = size, style
        self.b = Builder(style.opset, style.constants == "nodes", seed)
        self.dims: list[int | str] = ["batch", size.positions if style.shapes == "static" else "sequence"]

    def build(self) -> Model:
        b, size = self.b, self.size
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = [Variable(name, np.dtype(np.int64), self.dims) for name in names]
        ids, mask, types = inputs
        with b.scope("embeddings"):
            x = self.embeddings(ids, types)
        bias = self.attention_bias(ids, mask)
        for layer in range(size.layers):
            with b.scope("encoder"), b.scope(f"layer.{layer}"):
                x = self.layer(x, bias)
        with b.scope("pooler"):
            first = b("Gather", x, b.constant(0, np.int64), axis=1)
            pooled = b("Tanh", motifs.linear(b, first, size.hidden, size.hidden))
        if size.labels:
            with b.scope("classifier"):
                logits = motifs.linear(b, pooled, size.hidden, size.labels)
            return b.model("bert", inputs, [_output(logits, "logits", ["batch", size.labels])])
        outputs = [
            _output(x, "last_hidden_state", [*self.dims, size.hidden]),
            _output(pooled, "pooler_output", ["batch", size.hidden]),
        ]
        return b.model("bert", inputs, outputs)

    def embeddings(self, ids: Tensor, types: Tensor) -> Tensor:
        b, size = self.b, self.size
        words = b("Gather", b.weight("word_embeddings.weight", [size.vocabulary, size.hidden], 0.02), ids)
        kinds = b("Gather", b.weight("token_type_embeddings.weight", [2, size.hidden], 0.02), types)
        x = b("Add", b("Add", words, kinds), self.positions(ids))
        with b.scope("LayerNorm"):
            x = motifs.layer_norm(b, x, size.hidden, self.style.layer_norm)
        return motifs.dropout(b, x, self.style.dropout)

    def positions(self, ids: Tensor) -> Tensor:
        b, size = self.b, self.size
        if self.style.shapes == "static":
            return b.weight("position_embeddings", [1, size.positions, size.hidden], 0.02)
        numbers = b.constant(np.arange(size.positions)[None], np.int64)
        used = b("Slice", numbers, b.ints(0), b.dimension(ids, 1), b.ints(1))
        return b("Gather", b.weight("position_embeddings.weight", [size.positions, size.hidden], 0.02), used)

    def attention_bias(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The mask that is added to the scores: 0 where attention is allowed."""
        b = self.b
        mask = b.unsqueeze(b.unsqueeze(mask, 1), 2)
        if self.style.mask == "additive":
            inverse = b("Sub", b.constant(1), b("Cast", mask, to=np.float32))
            return b("Mul", inverse, b.constant(-10_000))
        if self.style.shapes == "chains":
            batch, sequence = b.dimension(ids, 0), b.dimension(ids, 1)
            mask = b("Expand", mask, b("Concat", batch, b.ints(1), sequence, sequence, axis=0))
        lowest = b.constant(np.finfo(np.float32).min)
        return b("Where", b("Cast", mask, to=np.bool_), b.constant(0), lowest)

    def layer(self, x: Tensor, bias: Tensor) -> Tensor:
        b, size, style = self.b, self.size, self.style
        with b.scope("attention"):
            attended = self.attention(x, bias)
            with b.scope("output"):
                x = self.residual(attended, x, size.hidden)
        with b.scope("intermediate"):
            wide = motifs.gelu(b, motifs.linear(b, x, size.hidden, size.intermediate), style.gelu)
        with b.scope("output"):
            return self.residual(wide, x, size.intermediate)

    def residual(self, x: Tensor, shortcut: Tensor, width: int) -> Tensor:
        b, size, style = self.b, self.size, self.style
        with b.scope("dense"):
            x = motifs.linear(b, x, width, size.hidden)
        x = b("Add", motifs.dropout(b, x, style.dropout), shortcut)
        with b.scope("LayerNorm"):
            return motifs.layer_norm(b, x, size.hidden, style.layer_norm)

    def attention(self, x: Tensor, bias: Tensor) -> Tensor:
        b, size = self.b, self.size
        with b.scope("self"):
            query, key, value = (self.heads(x, name) for name in ("query", "key", "value"))
            query = b("Transpose", query, perm=[0, 2, 1, 3])
            key = b("Transpose", key, perm=[0, 2, 3, 1])
            value = b("Transpose", value, perm=[0, 2, 1, 3])
            scores = b("Div", b("MatMul", query, key), b.constant(np.sqrt(size.hidden // size.heads)))
            weights = b("Softmax", b("Add", scores, bias), axis=-1)
            weights = motifs.dropout(b, weights, self.style.dropout)
            context = b("Transpose", b("MatMul", weights, value), perm=[0, 2, 1, 3])
            return self.reshape(context, size.hidden)

    def heads(self, x: Tensor, name: str) -> Tensor:
        with self.b.scope(name):
            x = motifs.linear(self.b, x, self.size.hidden, self.size.hidden)
        return self.reshape(x, self.size.heads, self.size.hidden // self.size.heads)

    def reshape(self, x: Tensor, *rest: int) -> Tensor:
        """Keep batch and sequence, and give the other axes these lengths."""
        b = self.b
        if self.style.shapes == "static":
            return b("Reshape", x, b.ints(0, 0, *rest))
        target = b("Concat", b.dimension(x, 0), b.dimension(x, 1), *map(b.ints, rest), axis=0)
        return b("Reshape", x, target)


def _output(x: Tensor, name: str, shape: list[int | str]) -> Tensor:
    x.name, x.dtype, x.shape = name, np.dtype(np.float32), shape
    return x
