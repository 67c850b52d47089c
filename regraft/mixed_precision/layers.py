"""Fully connected layers: products with weights, their biases, and the activations behind them."""

from __future__ import annotations

from collections.abc import Iterable

from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.mixed_precision.precision_group import PrecisionGroup
from regraft.mixed_precision.precision_groups import is_constant
from regraft.ops.traits import ACTIVATIONS, ARITHMETIC, REARRANGES

_BEHIND_PRODUCTS = (
    ACTIVATIONS | ARITHMETIC | {"Abs", "Clip", "Dropout", "Erf", "Exp", "Identity", "Max", "Min", "Neg", "Pow", "Sqrt"}
)
"""Activations, and what they are written out with."""

_VIEWS = REARRANGES | {"Slice", "Split"}


def connected_layers(groups: Iterable[PrecisionGroup]) -> set[Node]:
    """The nodes of such layers: what reads nothing but a product with weights, and constants, belongs to it."""
    layers: set[Node] = set()
    made: set[Tensor] = set()
    weights: set[Tensor] = set()
    for group in groups:
        node = group.node
        if node is None:
            continue
        given = [tensor for tensor in node.inputs if tensor.name]
        open_ones = [tensor for tensor in given if tensor not in weights and not is_constant(tensor)]
        kind = schema.kind(node)
        is_product = kind in ("MatMul", "Gemm") and 0 < len(open_ones) < len(given)
        if not open_ones:
            weights.update(node.outputs)
        elif is_product or (kind in _BEHIND_PRODUCTS and made.issuperset(open_ones)):
            layers.add(node)
            made.update(node.outputs)
        elif kind in _VIEWS and open_ones[0] in made:
            made.update(node.outputs)
    return layers
