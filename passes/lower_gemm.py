"""Gemm written out, for targets that lack it."""

from __future__ import annotations

import numpy as np

from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.refusal import Refusal
from regraft.rewriting.derive import own_weight, scaled, transposed
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term
from regraft.verification.contract import reassociation


class LowerGemm(NodePass):
    """Write Gemm as MatMul and Add.

    Gemm(A, B, C)  →  alpha · (A' @ B') + beta · C,  A' and B' transposed where transA and transB say so

    A weight that only this Gemm reads is transposed and scaled while the model is saved; anything else by Transpose and
    Mul. Without C, or with beta 0, there is no Add. For compilers that know one matrix product: hls4ml, whose door for
    ONNX wants MatMul and Add, and PopRT, which has the same pass.
    """

    name = "lower-gemm"
    contract = reassociation
    introduces = frozenset({"Add", "MatMul", "Mul", "Transpose"})
    operators = frozenset({"Gemm"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal:
        if opset < 7:
            return Refusal("before opset 7 an attribute says how C is broadcast; convert the opset first")
        alpha, beta = (schema.attribute(node, name, opset) for name in ("alpha", "beta"))
        dtype = node.outputs[0].dtype
        if (alpha, beta) != (1, 1) and (dtype is None or np.dtype(dtype).kind in "iu"):
            return Refusal("alpha and beta are floats, and it computes integers or a type that is not known")
        left, right = (
            transposed(Given(value), (1, 0) if node.attrs.get(name) else (0, 1), edit)
            for value, name in zip(node.inputs, ("transA", "transB"), strict=False)
        )
        if own_weight(right, edit):
            product = left @ scaled(right, alpha, edit)
        elif own_weight(left, edit):
            product = scaled(left, alpha, edit) @ right
        else:
            product = scaled(left @ right, alpha, edit)
        if len(node.inputs) < 3 or not node.inputs[2].name or beta == 0:
            return product
        return product + scaled(Given(node.inputs[2]), beta, edit)
