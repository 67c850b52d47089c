"""Einsum written as matrix products, for targets that lack it."""

from __future__ import annotations

import numpy as np

from regraft.errors import PassError
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.refusal import Refusal
from regraft.rewriting import einsum
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Term
from regraft.verification.contract import reassociation

MULTIPLIED = frozenset({"bfloat16", "float16", "float32", "float64", "int32", "int64", "uint32", "uint64"})


class LowerEinsum(NodePass):
    """Write Einsum as Transpose, MatMul, and what else its equation needs.

    Einsum("bhqd,bhkd->bhqk", q, k)  →  MatMul(q, Transpose(k))
    Einsum("bsd,dhe->bshe", x, w)    →  Reshape(MatMul(x, Reshape(w)))
    Einsum("ij,ij->ij", x, y)        →  Mul(x, y);  with "->i", ReduceSum of it
    Einsum("ij->j", x)               →  ReduceSum(x)

    Three operands or more are multiplied in pairs, from left to right. An ellipsis, an implicit output and sizes of 1
    that broadcast are taken as numpy takes them. There is a Reshape only where several labels must be one axis, and it
    needs no size that is known only when the model runs. Sizes of one label that are not known are taken as equal;
    where they are not, MatMul refuses them. A diagonal ("ii") stays. Neither neuron-cc's operator lists nor hls4ml have
    Einsum, and PopRT replaces it likewise; Keras writes its attention in it.
    """

    name = "lower-einsum"
    contract = reassociation
    introduces = frozenset({"MatMul", "Mul", "ReduceSum", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
    operators = frozenset({"Einsum"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal:
        dtype = node.outputs[0].dtype
        if dtype is not None and np.dtype(dtype).name not in MULTIPLIED:
            return Refusal(f"MatMul lacks the type {np.dtype(dtype)}")
        try:
            return einsum.written(node.attrs["equation"], node.inputs, edit)
        except PassError as error:
            return error.refusal
