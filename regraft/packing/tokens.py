"""Which axes of a value count sequences and tokens, and which operators keep tokens apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.ops.traits import ACTIVATIONS, ALONG_AXIS, ELEMENTWISE, LAYOUT, REDUCTIONS, SOFTMAXES
from regraft.shapes import Facts
from regraft.shapes.dims import Dim, Expr, symbol

Layout = tuple[int, int] | Literal["flat"]
"""The axes of sequences and tokens of a value; or it is flat, [B·S, ..]."""

BATCH, SEQUENCE = "tokens.batch", "tokens.sequence"
"""What the two dimensions are called while a model is analysed: names that no model has."""

SIZING = {
    **dict.fromkeys(("Reshape", "Expand", "Tile", "Split", "Unsqueeze", "Squeeze"), (1,)),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 3),
}
"""Operands that say how large a result is, or which part of another is meant."""

PER_ELEMENT = ELEMENTWISE | ACTIVATIONS | {"DequantizeLinear", "Dropout", "QuantizeLinear"}
"""Operators that work element by element, or do in inference."""

_NORMS = frozenset({"LayerNormalization", "RMSNormalization", "ai.onnx::SimplifiedLayerNormalization"})


@dataclass(frozen=True)
class Tokens:
    """The two dimensions, and what is known of the values of a model."""

    facts: Facts

    def layout(self, tensor: Tensor) -> Layout | None:
        """How tokens lie in a value; None where there is no axis for sequences and one for tokens, or one for both."""
        known = self.facts[tensor].dims or ()
        counting = {axis: dim for axis, dim in enumerate(known) if counts(dim)}
        found = {dim: axis for axis, dim in counting.items()}
        batch, sequence = symbol(BATCH), symbol(SEQUENCE)
        if len(counting) == 2 and batch in found and sequence in found:
            return found[batch], found[sequence]
        return "flat" if counting == {0: batch * sequence} else None

    def leads(self, tensor: Tensor) -> bool:
        """Whether the first axes are those of tokens."""
        return self.layout(tensor) in ((0, 1), (1, 0), "flat")

    def has(self, tensor: Tensor) -> bool:
        """Whether an axis of `tensor` counts sequences or tokens, or its rank is not known."""
        known = self.facts[tensor].dims
        return known is None or any(map(counts, known))

    def are_apart(self, tensor: Tensor) -> bool:
        """Whether `tensor` has each token once: one axis for sequences, one for tokens, or one for both."""
        known = self.facts[tensor].dims
        if known is None:
            return False
        total: Dim = 1
        for dim in known:
            total = total * dim if counts(dim) else total
        return isinstance(total, Expr) and list(total.terms) == [(BATCH, SEQUENCE)]

    def keep_apart(self, node: Node, opset: int) -> bool:
        """Whether each token of what `node` gives is computed of that token alone."""
        kind = schema.kind(node)
        if not all(self.are_apart(out) for out in node.outputs if out.name):
            return False
        if kind in PER_ELEMENT:
            return all(self._is_aligned(t, node.outputs[0]) for t in node.inputs if not t.is_empty())
        if kind in LAYOUT:
            return kind == "Transpose" or self._order(node.inputs[0]) == self._order(node.outputs[0])
        if kind in ("MatMul", "Gemm"):
            transposed = kind == "Gemm" and node.attrs.get("transA", 0)
            return not any(map(self.has, node.inputs[1:])) and not self.counts_at(node.inputs[0], -1) and not transposed
        if kind in _NORMS:
            first = schema.attribute(node, "axis", opset)
            first = -1 if first is None else first
            return self._is_beside(node, range(first, 0) if first < 0 else None)
        if kind in ALONG_AXIS | REDUCTIONS:
            return self._is_beside(node, self._axes(node, opset))
        if kind == "Slice":
            axes = schema.attribute(node, "axes", opset)
            return axes is not None and self._is_beside(node, axes)
        if kind == "Gather":
            axis = schema.attribute(node, "axis", opset)
            if self.has(node.inputs[0]):
                return not self.has(node.inputs[1]) and self._is_beside(node, [axis])
            return axis == 0
        return False

    def _axes(self, node: Node, opset: int) -> list[int] | None:
        name = "axes" if node.op in REDUCTIONS else "axis"
        found = schema.attribute(node, name, opset)
        if node.op in SOFTMAXES and opset < 13:  # over all axes from there on
            rank = len(self.facts[node.inputs[0]].dims or ())
            return list(range(found % rank, rank)) if rank else None
        return [found] if isinstance(found, int) else None if found is None else list(found)

    def _is_beside(self, node: Node, axes: range | list[int] | None) -> bool:
        """Whether none of `axes` counts tokens."""
        return axes is not None and not any(self.counts_at(t, axis) for t in node.inputs[:1] for axis in axes)

    def counts_at(self, tensor: Tensor, axis: int) -> bool:
        """Whether an axis counts sequences or tokens, or it is not known what it counts."""
        known = self.facts[tensor].dims
        return known is None or not -len(known) <= axis < len(known) or counts(known[axis])

    def _order(self, tensor: Tensor) -> list[str]:
        """The two dimensions, in the order in which `tensor` has them."""
        return [name for dim in self.facts[tensor].dims or () if isinstance(dim, Expr) for name in _names(dim)]

    def _is_aligned(self, tensor: Tensor, out: Tensor) -> bool:
        """Whether `tensor` has tokens only on the axes on which the result has them."""
        known, total = self.facts[tensor].dims, self.facts[out].dims
        if known is None or total is None or len(known) > len(total):
            return False
        pairs = zip(known, total[len(total) - len(known) :], strict=True)
        return all(not counts(dim) or dim == whole for dim, whole in pairs)


def counts(dim: Dim) -> bool:
    """Whether a dimension counts sequences or tokens, be it among other things."""
    return isinstance(dim, Expr) and any(name in text for term in dim.terms for text in term for name in _BOTH)


def product(dim: Dim) -> tuple[tuple[str, ...], int] | None:
    """The names that a dimension is a multiple of, and of how many; None where it is a number, or a sum."""
    return next(iter(dim.terms.items())) if isinstance(dim, Expr) and len(dim.terms) == 1 else None


def _names(dim: Expr) -> list[str]:
    return [name for name in _BOTH if any(name in text for term in dim.terms for text in term)]


_BOTH = (BATCH, SEQUENCE)
