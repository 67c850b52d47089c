"""Scaled dot-product attention, Softmax(scale · Q Kᵀ + bias) V, in the forms that exporters write.

Vaswani et al., arXiv:1706.03762. The search starts at a Softmax: back through scale, mask and bias to the product of
queries and keys, on to the product with the values; then from the three operands back, and from the result on, through
what splits and merges heads. The Attention operator, and calls of the function that stands for it, are found too.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass

from onnx import TensorProto

from regraft.idioms.axis_mapping import is_weight
from regraft.idioms.heads import Operand, Result, find_operand, find_packed, find_result
from regraft.idioms.score_path import Bias, Context, Mask, Scores, find_context, find_scores
from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Node, Tensor
from regraft.refusal import INFER_SHAPES, PassRef, Refusal, run_before
from regraft.shapes import Facts
from regraft.shapes.dims import Dim

__all__ = ["Attention", "Bias", "Mask", "Operand", "Result", "find_attentions", "look_at"]

STARTS = ("Softmax", "Attention")
"""The operators at which attention is looked for."""


@dataclass(frozen=True, eq=False)
class Attention:
    """A place where attention is computed.

    Attributes:
        q, k, v: the operands of the products, and how they come from what projects them.
        scores: the node that multiplies queries and keys.
        softmax: the Softmax over the keys.
        context: the node that multiplies by the values. Of an Attention operator all three are that node.
        scale: the total factor on Q Kᵀ, wherever it is written.
        biases: what is added to the scores, in the order of computation.
        masks: conditions that choose between the scores and a fill, in that order.
        score_gates, gates: what the scores, and what the weights are multiplied by: masks of zeros and ones.
        zeroes_nan: whether weights that are NaN, as in a row masked with -inf throughout, become 0.
        drops: whether a Dropout in training mode stands inside.
        causal: whether the operator's `is_causal` is set; a causal mask that is computed is a mask or a bias.
        result: what is computed, and how its heads are merged.
        inner: the nodes from the first product to the last, in order.
    """

    q: Operand
    k: Operand
    v: Operand
    scores: Node
    softmax: Node
    context: Node
    scale: float
    result: Result
    inner: tuple[Node, ...]
    biases: tuple[Bias, ...] = ()
    masks: tuple[Mask, ...] = ()
    score_gates: tuple[Tensor, ...] = ()
    gates: tuple[Tensor, ...] = ()
    zeroes_nan: bool = False
    drops: bool = False
    causal: bool = False

    @property
    def query(self) -> Tensor:
        """The queries as they enter the product: `[B, N, S, D]` or `[B·N, S, D]`; see `q.transposed`."""
        return self.q.tensor

    @property
    def key(self) -> Tensor:
        """The keys as they enter the product; mostly `[.., D, S]`, as `k.transposed` says."""
        return self.k.tensor

    @property
    def value(self) -> Tensor:
        """The values as they enter the product."""
        return self.v.tensor

    @property
    def output(self) -> Tensor:
        """The result, with its heads merged where the graph merges them."""
        return self.result.tensor

    @property
    def parts(self) -> tuple[Bias | Mask, ...]:
        """All that is added to the scores, and all that chooses among them."""
        return (*self.biases, *self.masks)

    @property
    def bias(self) -> Tensor | None:
        """What is added to the scores, where that is one value."""
        return self.biases[0].tensor if len(self.biases) == 1 else None

    @property
    def mask(self) -> Tensor | None:
        """The condition that masks scores, where there is one."""
        return self.masks[0].tensor if len(self.masks) == 1 else None

    @property
    def heads(self) -> int | None:
        """How many heads the queries have; None where the region does not tell."""
        return self.q.heads

    @property
    def head_dim(self) -> int | None:
        """Elements of a query's head."""
        return self.q.head_dim

    @property
    def projections(self) -> tuple[Node, ...]:
        """The nodes that make queries, keys and values: three, or one or two where they are merged."""
        return tuple(dict.fromkeys(o.projection for o in (self.q, self.k, self.v) if o.projection is not None))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, from what splits the heads to what merges them, producers before users."""
        before = (*self.q.view.nodes, *self.k.view.nodes, *self.v.view.nodes)
        return tuple(dict.fromkeys((*before, *self.inner, *self.result.nodes)))


def find_attentions(graph: AnyGraph, facts: Facts | None = None) -> list[Attention]:
    """The attentions of `graph`, in its order; those of graphs inside it are not among them.

    Args:
        facts: what `shapes.analyse` knows; without, what the graph declares is believed, and numbers that are computed
            from shapes are not known.
    """
    return [found for found in look_at(graph, facts).values() if isinstance(found, Attention)]


def look_at(graph: AnyGraph, facts: Facts | None = None) -> dict[Node, Attention | Refusal]:
    """Each node of `graph` at which attention can be, and the attention, or why there is none."""
    facts, ends = Facts() if facts is None else facts, set(graph.outputs)
    return {node: _at(node, graph.opset, ends, facts) for node in graph.nodes if schema.kind(node) in STARTS}


def _at(node: Node, opset: int, ends: Set[Tensor], facts: Facts) -> Attention | Refusal:
    """The attention whose Softmax, or operator, `node` is; else why there is none."""
    if schema.kind(node) == "Attention":
        return _operator(node, ends, facts)
    last = _keys_last(node, opset, facts)
    if last is None:
        return Refusal("its axis is not one of the last two")
    scores = find_scores(node, last, facts)
    if scores is None:
        return Refusal("no MatMul makes what it reads")
    if scores.product.op == "Einsum":
        return run_before(PassRef("lower-einsum"), "an Einsum makes what it reads")
    context = find_context(node, last, opset, facts)
    if context is None:
        return Refusal("no MatMul sums its result over the same axis")
    return _written_out(node, scores, context, ends, facts)


def _written_out(
    softmax: Node, scores: Scores, context: Context, ends: Set[Tensor], facts: Facts
) -> Attention | Refusal:
    first, second = scores.product.inputs
    queries, keys = (first, second) if scores.keys_last else (second, first)
    values = context.product.inputs[1 - context.place]
    if is_weight(keys) or is_weight(values):
        return Refusal("keys or values are constant: this is a layer, not attention")
    backwards = context.place == 1
    q = find_operand(queries, not scores.keys_last, facts)
    k = find_operand(keys, scores.keys_last, facts)
    v = find_operand(values, backwards, facts, scaled=False)
    if q is None or k is None or v is None:
        return run_before(INFER_SHAPES, "the rank of an operand is not known")
    shape = _shape_of_result(q, v, backwards, facts)
    return Attention(
        *(q, k, v, scores.product, softmax, context.product),
        scale=scores.factor * q.scale * k.scale,
        result=find_result(context.product.outputs[0], backwards, shape, ends, facts),
        inner=(*scores.nodes, softmax, *context.nodes),
        biases=scores.biases,
        masks=scores.masks,
        score_gates=scores.gates,
        gates=context.gates,
        zeroes_nan=context.zeroes_nan,
        drops=context.drops,
    )


def _operator(node: Node, ends: Set[Tensor], facts: Facts) -> Attention | Refusal:
    heads, kv_heads = (node.attrs.get(name) for name in ("q_num_heads", "kv_num_heads"))
    operands: list[Operand | None] = []
    for tensor, count in zip(node.inputs[:3], (heads, kv_heads, kv_heads), strict=True):
        if count and len(facts[tensor].dims or ()) == 3:
            operands.append(find_packed(tensor, count, facts))
        else:
            operands.append(find_operand(tensor, False, facts, scaled=len(operands) < 2))
    q, k, v = operands
    if q is None or k is None or v is None:
        return run_before(INFER_SHAPES, "the shape of an operand is not known")
    if q.head_dim is None:
        return run_before(PassRef("set-shapes"), "the size of a head is not known")
    scale = node.attrs.get("scale") or 1 / math.sqrt(q.head_dim)
    result = Result((node.outputs[0],), (), ("b s nd",), False)
    if len(facts[node.inputs[0]].dims or ()) == 4:
        result = find_result(node.outputs[0], False, _shape_of_result(q, v, False, facts), ends, facts)
    bias = node.inputs[3] if len(node.inputs) > 3 and node.inputs[3].name else None
    chooses = bias is not None and facts[bias].code == TensorProto.BOOL
    return Attention(
        *(q, k, v, node, node, node),
        scale=scale * q.scale * k.scale,
        result=result,
        inner=(node,),
        biases=() if bias is None or chooses else (Bias(bias, 1.0, False, 4),),
        masks=(Mask(bias, True, -math.inf, False, 4),) if bias is not None and chooses else (),
        zeroes_nan=True,
        causal=bool(node.attrs.get("is_causal", 0)),
    )


def _shape_of_result(q: Operand, v: Operand, transposed: bool, facts: Facts) -> list[Dim] | None:
    """The shape of the product with the values: places from the queries, elements of a head from the values."""
    queries, values = facts[q.tensor].dims, facts[v.tensor].dims
    if queries is None or values is None or len(queries) != len(values):
        return None
    last = [queries[-1 if q.transposed else -2], values[-2 if v.transposed else -1]]
    return [*queries[:-2], *(last[::-1] if transposed else last)]


def _keys_last(node: Node, opset: int, facts: Facts) -> bool | None:
    """Whether a Softmax runs over the last axis, not the one before; None where it is neither."""
    axis = schema.attribute(node, "axis", opset)
    known = facts[node.inputs[0]].dims
    if axis >= 0:
        if known is None:
            return None
        axis -= len(known)
    if axis == -1:
        return True
    return False if axis == -2 and opset >= 13 else None  # before 13 a Softmax ran over all axes from there on
