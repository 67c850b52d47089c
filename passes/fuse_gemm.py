"""Gemm out of MatMul and Add."""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.folding.identities import integers, maker
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.schema import constant_of
from regraft.refusal import Refusal
from regraft.rewriting.conditions import is_read_once
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import reassociation


class FuseGemm(NodePass):
    """Recognise Gemm: a product of two matrices and what is added to it.

    alpha · (A @ B) + beta · C  →  Gemm(A, B, C),  C of shape [N], [1, N], [M, 1], [M, N] or one number
    Transpose(A) @ B            →  Gemm(A, B, transA=1),  and B likewise

    alpha and beta are constants, or not there. Fewer nodes for a compiler that counts or schedules them, and the form
    that its kernels for dense layers know. A product with neither C nor a Transpose stays: Gemm says no more. So does
    one of more than two dimensions: a Reshape before and one behind would cost what the fusion saves.
    """

    name = "fuse-gemm"
    contract = reassociation
    removes = frozenset({"Add", "MatMul", "Mul", "Transpose"})
    introduces = frozenset({"Gemm"})
    operators = frozenset({"Add", "MatMul"})

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal | None:
        dtype = node.outputs[0].dtype
        if opset < 7 or dtype is None or np.dtype(dtype) not in (np.float16, np.float32, np.float64):
            return Refusal("its dtype is none that Gemm takes, or is not known", quiet=True)
        attrs: dict[str, Any] = {}
        bias: Term | None = None
        if node.op == "Add":
            found = product_and_bias(node, edit)
            if found is None:
                return Refusal("no product of two matrices, which nothing else reads, and what fits it", quiet=True)
            product, added = found
            product, alpha = unscaled(product, edit)
            added, beta = unscaled(added, edit)
            attrs |= {name: factor for name, factor in (("alpha", alpha), ("beta", beta)) if factor != 1}
            bias, node = Given(added), product.inputs[0]
        elif not is_matrix_product(node.outputs[0]):
            return Refusal("it multiplies more than two matrices, or their rank is not known", quiet=True)
        elif _is_added_to(node.outputs[0], edit):
            return None
        operands = [_untransposed(value) for value in node.inputs]
        attrs |= {name: 1 for name, (_, turned) in zip(("transA", "transB"), operands, strict=True) if turned}
        if bias is None and (not attrs or opset < 11):
            return Refusal("it has neither a bias nor a Transpose: Gemm would say no more", quiet=True)
        return op.Gemm(*(Given(value) for value, _ in operands), bias, **attrs)


def product_and_bias(add: Node, edit: Editor) -> tuple[Tensor, Tensor] | None:
    """The product of matrices, scaled or not, that only `add` reads, and what it adds, if Gemm can add that."""
    for product, bias in (add.inputs, add.inputs[::-1]):
        if is_matrix_product(unscaled(product, edit)[0]) and is_read_once(product, edit) and _fits(bias, product):
            return product, bias
    return None


def unscaled(value: Tensor, edit: Editor) -> tuple[Tensor, float]:
    """What `value` is a multiple of, if nothing else reads that multiple, and the factor."""
    node = maker(value, "Mul")
    for inner, factor in (node.inputs, node.inputs[::-1]) if node is not None and is_read_once(value, edit) else ():
        number = constant_of(factor) if factor.shape is not None and len(factor.shape) == 0 else None
        is_alpha = number is not None and bool(np.float32(number) == number)  # as the attribute holds it
        if number is not None and is_alpha and is_read_once(inner, edit):
            return inner, float(number)
    return value, 1.0


def is_matrix_product(value: Tensor) -> bool:
    node = maker(value, "MatMul")
    return node is not None and all(t.shape is not None and len(t.shape) == 2 for t in node.inputs)


def _untransposed(value: Tensor) -> tuple[Tensor, bool]:
    node = maker(value, "Transpose")
    if node is None or (integers(node, "perm", 7) or [1, 0]) != [1, 0]:
        return value, False
    return node.inputs[0], True


def _is_added_to(value: Tensor, edit: Editor) -> bool:
    """Whether an Add will take `value` into its Gemm."""
    readers = list(edit.users(value))
    if len(readers) == 1 and readers[0].op == "Mul" and not readers[0].domain:
        value = readers[0].outputs[0]
        readers = list(edit.users(value))
    return any(n.op == "Add" and not n.domain and product_and_bias(n, edit) is not None for n in readers)


def _fits(bias: Tensor, product: Tensor) -> bool:
    """Whether `bias` broadcasts to the shape of `product`, and not the other way round."""
    if bias.shape is None or product.shape is None or len(bias.shape) > 2:
        return False
    pairs = zip(reversed(bias.shape), reversed(product.shape), strict=False)
    return all(b == 1 or (b == p and p is not None) for b, p in pairs)
