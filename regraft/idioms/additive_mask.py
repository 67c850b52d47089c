"""Where attention is masked: what is added to scores, or chosen instead of them, and does not depend on layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Node, Tensor
from regraft.ir.order import reads
from regraft.ops.traits import LAYOUT, PRODUCTS, QUANTIZED_PRODUCTS, SHAPE_ONLY
from regraft.regions.bounds import Bounds
from regraft.regions.ranges import largest
from regraft.rewriting.matcher import is_constant

_LAYERS = PRODUCTS | QUANTIZED_PRODUCTS | {"Attention"}
"""Operators that layers are made of, and masks are not."""

MASKING = frozenset({"Add", "Mul", "Sub", "Where"})
"""Operators by which a mask meets scores."""


@dataclass(frozen=True, eq=False)
class Masking:
    """A node at which scores on their way to a Softmax meet a value that no layer computes: a mask, or a bias.

    Attributes:
        node: Add, Sub (the scores first), Where, or Attention.
        place: which input of `node` is added, subtracted, or chosen instead of the scores.
        scores: which input the scores are; None of Attention.
        softmax: the Softmax, or `node` itself where that is Attention.
    """

    node: Node
    place: int
    scores: int | None
    softmax: Node

    @property
    def kind(self) -> Literal["added", "subtracted", "chosen"]:
        """What becomes of the value."""
        return "chosen" if self.node.op == "Where" else "subtracted" if self.node.op == "Sub" else "added"

    @property
    def value(self) -> Tensor:
        """What is added, subtracted, or chosen."""
        tensor: Tensor = self.node.inputs[self.place]
        return tensor

    @property
    def transpose(self) -> Node | None:
        """The Transpose that brings what is added into the layout of the scores."""
        node = self.value.producer
        return node if node is not None and node.op == "Transpose" and self.kind != "chosen" else None

    @property
    def mask(self) -> Tensor:
        """What tells which scores are hidden: the condition of a choice, or what is added, before its Transpose."""
        source: Tensor = self.node.inputs[0] if self.kind == "chosen" else self.value
        return source if self.transpose is None else self.transpose.inputs[0]


def find_maskings(graph: AnyGraph) -> list[Masking]:
    """The maskings of `graph`, Softmax after Softmax in its order, of each the nearest to it first."""
    layered = computed_by_layers(graph)
    found: list[Masking] = []
    for node in graph.nodes:
        kind = schema.kind(node)
        if kind == "Softmax":
            found += _before(node, layered)
        elif kind == "Attention" and len(node.inputs) > 3 and not node.inputs[3].is_empty():
            found += [Masking(node, 3, None, node)] if node.inputs[3] not in layered else []
    return found


def computed_by_layers(graph: AnyGraph) -> set[Tensor]:
    """The values of `graph` that depend on a layer, more than by their shape."""
    found: set[Tensor] = set()
    for node in graph.nodes:
        if node.op in SHAPE_ONLY and not node.domain:
            continue
        inputs = [tensor for tensor in reads(node) if not tensor.is_empty() and not is_constant(tensor)]
        is_layer = schema.kind(node) in _LAYERS or (node.domain and node.domain != schema.STAND_IN)
        if node.op == "Einsum" and len(node.inputs) == 1:  # a sum, or another order of axes
            is_layer = False
        if (is_layer and inputs) or not found.isdisjoint(inputs):
            found.update(node.outputs)
    return found


def _before(softmax: Node, layered: set[Tensor]) -> Iterator[Masking]:
    """The maskings on the way back from `softmax` to the product that makes the scores."""
    pending: list[Tensor] = [softmax.inputs[0]]
    seen: set[Node] = set()
    while pending:
        tensor = pending.pop()
        node = tensor.inputs[0] if tensor in layered and tensor.inputs else None
        if node is None or node.domain or node in seen:
            continue
        seen.add(node)
        if node.op in LAYOUT or node.op in ("Cast", "Dropout"):
            pending.append(node.inputs[0])
        elif node.op in MASKING or node.op == "Div":
            places = (1, 2) if node.op == "Where" else (0, 1)
            scores = [place for place in places if node.inputs[place] in layered]
            pending += [node.inputs[place] for place in scores]
            if len(scores) == 1 and _masks(node, scores[0], layered):
                yield Masking(node, sum(places) - scores[0], scores[0], softmax)


def _masks(node: Node, scores: int, layered: set[Tensor]) -> bool:
    if node.op == "Where":
        return node.inputs[0] not in layered
    return node.op == "Add" or (node.op == "Sub" and scores == 0)


def shows_each_row(softmax: Node, bounds: Bounds, opset: int) -> bool:
    """Whether the scores of `softmax` are masked by a constant that leaves a finite number in each row, and no NaN."""
    scores: Tensor = softmax.inputs[0]
    node = scores.producer
    axis = schema.attribute(softmax, "axis", opset)
    if node is None or node.op not in ("Add", "Where") or node.domain or scores.shape is None:
        return False
    axis -= len(scores.shape) if axis >= 0 else 0
    first, second = node.inputs[:2] if node.op == "Where" or is_constant(node.inputs[0]) else node.inputs[1::-1]
    known = bounds(second)
    values = schema.constant_of(first) if known.finite and (opset >= 13 or axis == -1) else None
    if values is None or -axis > values.ndim or (values == np.inf).any() or np.isnan(values).any():
        return False
    if node.op == "Where":
        shown = values if _hides_at_most(node.inputs[2], bounds) else np.zeros_like(values)
    else:
        shown = np.isfinite(values)
        largest_sum = known.magnitude + float(np.abs(values[shown].astype(np.float64)).max(initial=0.0))
        shown = shown & (largest_sum <= largest(values.dtype))
    return bool(shown.any(axis).all())


def _hides_at_most(tensor: Tensor, bounds: Bounds) -> bool:
    """Whether what is chosen instead of scores is finite or minus infinity."""
    values = schema.constant_of(tensor) if is_constant(tensor) else None
    return bounds(tensor).finite or (values is not None and bool((values < np.inf).all()))
