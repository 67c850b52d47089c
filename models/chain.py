"""Graphs of any number of nodes, for measuring scaling: they consist of motifs that clean-up passes and rules match."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from regraft.ir.graph import Constant, Tensor, Variable
from regraft.ir.model import Model
from regraft.models import motifs
from regraft.models.builder import Builder

WIDTH = 16


def build(nodes: int, opset: int = 17, seed: int = 0) -> Model:
    """A chain of at least `nodes` nodes, made of whole motifs, that ONNX Runtime can run.

    Input `x` and output `y` are float32 [batch, sequence, 16]. In every other round of the motifs constants are nodes,
    else initializers.
    """
    b = Builder(opset, seed=seed)
    inputs = [Variable("x", np.dtype(np.float32), ["batch", "sequence", WIDTH])]
    x: Tensor = inputs[0]
    for number, motif in enumerate(itertools.cycle(MOTIFS)):
        if len(b.nodes) >= nodes:
            break
        b.constant_nodes = number // len(MOTIFS) % 2 == 0
        with b.scope(f"{number}.{motif.__name__}"):
            x = motif(b, x)
    y = Variable("y", np.dtype(np.float32), ["batch", "sequence", WIDTH])
    b.nodes[-1].outputs = [y]
    return b.model("chain", inputs, [y])


def gelu(b: Builder, x: Tensor) -> Tensor:
    """For fusing and lowering GELU."""
    return motifs.gelu(b, x)


def layer_norm(b: Builder, x: Tensor) -> Tensor:
    """For fusing and lowering LayerNorm; also keeps the values of the chain near one."""
    return motifs.layer_norm(b, x, WIDTH)


def identities(b: Builder, x: Tensor) -> Tensor:
    """For eliminating: Identity, a Cast to the same type, and Dropout."""
    x = b("Cast", b("Identity", x), to=np.float32)
    return motifs.dropout(b, x, "inference")


def duplicates(b: Builder, x: Tensor) -> Tensor:
    """For eliminating common subexpressions: the same two nodes twice."""
    half = b.constant(0.5)
    left, right = (b("Sigmoid", b("Mul", x, half)) for _ in range(2))
    return b("Add", b("Sub", left, right), x)


def same_initializers(b: Builder, x: Tensor) -> Tensor:
    """For deduplicating: an initializer that every such motif repeats."""
    return b("Mul", x, Constant(f"{b.path}.ones", np.ones(WIDTH, np.float32)))


def foldable(b: Builder, x: Tensor) -> Tensor:
    """For folding: arithmetic of constants only."""
    root = b("Sqrt", b.constant(np.arange(WIDTH)))
    return b("Add", x, b("Div", root, b("Add", b.constant(7), b.constant(1))))


def shape_arithmetic(b: Builder, x: Tensor) -> Tensor:
    """For folding where shapes are known: split the last axis in heads and join it again."""
    heads = b("Concat", b.dimension(x, 0), b.dimension(x, 1), b.ints(4), b.ints(WIDTH // 4), axis=0)
    split = b("Reshape", x, heads)
    return b("Reshape", split, b("Concat", b.dimension(split, 0), b.dimension(split, 1), b.ints(WIDTH), axis=0))


def dead_branch(b: Builder, x: Tensor) -> Tensor:
    """For eliminating dead code: two nodes that nothing reads."""
    b("Relu", b("Neg", x))
    return b("Abs", x)


MOTIFS: tuple[Callable[[Builder, Tensor], Tensor], ...] = (
    gelu,
    identities,
    duplicates,
    shape_arithmetic,
    same_initializers,
    foldable,
    dead_branch,
    layer_norm,
)
