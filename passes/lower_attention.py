"""Attention written out, for targets that lack it."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from regraft.analysis.value_ranges import MaskRanges
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import code_of
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting import formula
from regraft.rewriting.node_pass import put
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import reassociation

_PLAIN = frozenset({"q_num_heads", "kv_num_heads", "scale", "is_causal", "softmax_precision", "masked"})


class LowerAttention(Pass):
    """Write Attention out in operators that every target has.

    Attention(Q, K, V, mask, scale)
      →  Softmax(Q Kᵀ · scale + mask) V      scale=scores
      →  Softmax((Q · scale) Kᵀ + mask) V    scale=query

    Heads that stand side by side are split by Reshape and Transpose, and merged again; keys and values that several
    heads share are repeated. Conditions and `is_causal` become 0 and -inf, added to the scores. As the operator says, a
    row that is masked with -inf throughout gives 0: where the mask may be infinite, a Where on IsNaN sees to that.
    With `infinite=finite` float masks count as finite. Calls of `regraft::Attention` are taken like the operator.
    """

    name = "lower-attention"
    contract = reassociation
    removes = frozenset({"Attention"})
    introduces = frozenset(
        {
            "Add",
            "Cast",
            "CastLike",
            "Expand",
            "Greater",
            "IsNaN",
            "MatMul",
            "Mul",
            "Range",
            "Reshape",
            "Shape",
            "Softmax",
        }
        | {"Squeeze", "Transpose", "Unsqueeze", "Where"}
    )
    scale: Literal["scores", "query"] = option("scores", "what is multiplied by the scale")
    infinite: Literal["keep", "finite"] = option("keep", "a float mask that may hold -inf")

    needs = (TYPES,)

    def has_work(self, model: Model) -> bool:
        return any(schema.kind(node) == "Attention" for node in model.nodes())

    def run(self, model: Model, context: Context) -> None:
        ranges = model.facts(MaskRanges)
        with Editor(model) as edit:
            for graph in rewritable_graphs(model):
                for node in edit.live_nodes(graph):
                    if schema.kind(node) == "Attention":
                        written = self._written(node, ranges)
                        if isinstance(written, Refusal):
                            context.refuse(written, node)
                        else:
                            context.replaced([node], put(node, [written], graph, edit), "Attention")

    def _written(self, node: Node, ranges: MaskRanges) -> Term | Refusal:
        """What `node` means; else why that cannot be written out."""
        unknown = {name for name, value in node.attrs.items() if name not in _PLAIN and value}
        if unknown or any(t.name for t in (*node.inputs[4:], *node.outputs[1:])):
            more = ", ".join(sorted(unknown)) or "past or present keys and values"
            return Refusal(f"it has {more}, which is not written out")
        shapes = [tensor.shape for tensor in node.inputs[:3]]
        if any(shape is None or not isinstance(shape[-1], int) for shape in shapes):
            return run_before(INFER_SHAPES, "the size of its heads is not known")
        heads, kv_heads = (
            (node.attrs.get(name) or shapes[i][1]) for i, name in ((0, "q_num_heads"), (1, "kv_num_heads"))
        )
        packed = len(shapes[0]) == 3
        if heads != kv_heads and not (isinstance(heads, int) and isinstance(kv_heads, int)):
            return run_before(INFER_SHAPES, "the number of its heads is not known")
        scale = node.attrs.get("scale") or 1 / math.sqrt(shapes[0][-1] // (heads if packed else 1))
        q, k, v = (Given(tensor) for tensor in node.inputs[:3])
        context = formula.attention(
            formula.split_heads(q, heads) if packed else q,
            _heads(k, packed, heads, kv_heads, transposed=True),
            _heads(v, packed, heads, kv_heads, transposed=False),
            _sum(_mask(node), _causal(node, packed)),
            scale,
            guard=self._may_be_infinite(node, ranges),
            on_query=self.scale == "query",
            softmax=_softmax(node),
        )
        return formula.merge_heads(context) if packed else context

    def _may_be_infinite(self, node: Node, ranges: MaskRanges) -> bool:
        mask = _given(node, 3)
        if mask is None:
            return False
        return _is_condition(mask) or (self.infinite == "keep" and not ranges[mask].finite)


def _heads(x: Term, packed: bool, heads: Any, kv_heads: Any, transposed: bool) -> Term:
    """Keys or values as `[B, N, S, D]` for all `heads`; keys transposed."""
    perm = [0, 2, 3, 1] if transposed else [0, 2, 1, 3]
    if heads == kv_heads:
        if packed:
            return formula.split_heads(x, heads, transposed)
        return op.Transpose(x, perm=[0, 1, 3, 2]) if transposed else x
    apart = op.Reshape(x, np.array([0, 0, kv_heads, -1])) if packed else op.Transpose(x, perm=[0, 2, 1, 3])
    repeated = op.Expand(op.Unsqueeze(apart, axes=[3]), np.array([1, 1, 1, heads // kv_heads, 1]))
    return op.Transpose(op.Reshape(repeated, np.array([0, 0, heads, -1])), perm=perm)


def _given(node: Node, index: int) -> Tensor | None:
    return node.inputs[index] if index < len(node.inputs) and node.inputs[index].name else None


def _is_condition(mask: Tensor) -> bool:
    return mask.dtype is not None and np.dtype(mask.dtype) == np.bool_


def _mask(node: Node) -> Term | None:
    """What the mask adds to the scores."""
    mask = _given(node, 3)
    if mask is None:
        return None
    return op.Where(Given(mask), 0.0, -math.inf) if _is_condition(mask) else Given(mask)


def _causal(node: Node, packed: bool) -> Term | None:
    """-inf where a key comes after the query, if the node is causal."""
    if not node.attrs.get("is_causal"):
        return None
    axis = 1 if packed else 2
    sizes = [tensor.shape[axis] for tensor in node.inputs[:2]]
    if all(isinstance(size, int) for size in sizes):
        after: Term = Given(np.triu(np.ones(sizes, bool), 1))
    else:
        lengths = [op.Squeeze(op.Shape(Given(t), start=axis, end=axis + 1)) for t in node.inputs[:2]]
        queries, keys = (op.Range(np.array(0), size, np.array(1)) for size in lengths)
        after = op.Greater(keys, op.Unsqueeze(queries, axes=[1]))
    return op.Where(after, -math.inf, 0.0)


def _softmax(node: Node) -> int | None:
    """The data type that the Softmax is taken in, where it is another one."""
    wanted, dtype = node.attrs.get("softmax_precision"), node.inputs[0].dtype
    return wanted if wanted and dtype is not None and wanted != code_of(dtype) else None


def _sum(first: Term | None, second: Term | None) -> Term | None:
    return first + second if first is not None and second is not None else first if second is None else second
