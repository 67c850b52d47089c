"""Softmax and LogSoftmax written out, for targets that lack them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regraft.ir.graph import Tensor
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.conditions import float_dtype
from regraft.rewriting.facts import Axes, Operand
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, op
from regraft.verification.contract import reassociation


def softmax(x: Any, axes: list[int]) -> Term:
    share = op.Exp(x - op.ReduceMax(x, axes=axes, keepdims=1))
    return share / op.ReduceSum(share, axes=axes, keepdims=1)


def log_softmax(x: Any, axes: list[int]) -> Term:
    below = x - op.ReduceMax(x, axes=axes, keepdims=1)
    return below - op.Log(op.ReduceSum(op.Exp(below), axes=axes, keepdims=1))


def known_axes(x: Tensor, axis: Any, opset: int) -> Refusal | dict[str, Any]:
    """The axes to sum over, and the dtype; else why they are not known."""
    dtype = float_dtype(x)
    if isinstance(dtype, Refusal):
        return dtype
    if not isinstance(axis, int):
        return Refusal("its axis is an attribute of the function around it")
    if opset >= 13:
        return {"axes": [axis], "dtype": dtype}
    if axis >= 0 and x.shape is None:
        return run_before(INFER_SHAPES, f"the rank of '{x.name}' is not known")
    return {"axes": list(range(axis - len(x.shape or ()) if axis >= 0 else axis, 0)), "dtype": dtype}


FACTS = (
    {"x": Operand("B a C"), "axis": Axes("a"), "axes": Axes("a")},
    {"x": Operand("B A"), "axis": Axes("A"), "axes": Axes("A")},  # before opset 13
)


class LowerSoftmax(RulePass):
    """Write Softmax and LogSoftmax out in exponentials and sums.

    Softmax(x)     →  e / ReduceSum(e),  e = Exp(x - ReduceMax(x))
    LogSoftmax(x)  →  d - Log(ReduceSum(Exp(d))),  d = x - ReduceMax(x)

    over the axis, and before opset 13 over all axes from it on, as the operator was then. A row that is -inf throughout
    gives NaN, as in the operator. XLA has neither operator, nor has AWS Neuron's compiler of XLA graphs; hls4ml has
    Softmax over the last axis only.
    """

    name = "lower-softmax"
    notes_refusals = True
    contract = reassociation

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(lambda x, axis: op.Softmax(x, axis=axis), softmax, known_axes, name="softmax", facts=FACTS),
            Rule(lambda x, axis: op.LogSoftmax(x, axis=axis), log_softmax, known_axes, name="log-softmax", facts=FACTS),
        )
