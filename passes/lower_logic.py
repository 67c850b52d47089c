"""Logic and comparisons written as other comparisons, or as arithmetic, for targets without booleans."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regraft.ir.editor import Editor
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.lowering.logic_to_arithmetic import rewrite_as_arithmetic
from regraft.ops.traits import COMPARISONS, LOGIC
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import Context
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.term import Given, Term, op
from regraft.verification.contract import SHORT, Contract, exact


class LowerLogic(NodePass):
    """Write the logic of masks in fewer operators, or without booleans.

    to=less:
        a >= b    →  Not(a < b)            whole numbers; of floats, where NaN is neither, (a > b) ∨ (a = b)
        a <= b    →  Not(a > b)            the same

    to=arithmetic: truth is 1.0, falsehood 0.0
        a ∧ b     →  a · b                 a ∨ b   →  Max(a, b)
        ¬a        →  1 - a                 a xor b →  Abs(a - b)
        a = b     →  1 - Min(Abs(a - b), 1)          whole numbers and truths
        a > b     →  Clip(a - b, 0, 1)               whole numbers whose difference fits their type; <, >=, <= likewise
        Cast(t)   →  Cast of the number, or nothing  and Reshape, Expand, Gather ... move numbers

    The number becomes a truth again, by one Cast, where a Where, an If or an output asks for one: run `lower-where`
    before, whose products ask for numbers. Every value is 0 or 1, so nothing is rounded. No dimension is taken to have
    2³¹ elements. Comparisons of floats stay: no difference tells NaN, and those of infinities are NaN. So does the
    arithmetic of shapes, which is for `fold-constants`. onnx2torch and PopRT lack the two comparisons; neuron-cc and
    hls4ml have no booleans at all.
    """

    name = "lower-logic"
    operators = frozenset({"GreaterOrEqual", "LessOrEqual"})
    to: Literal["less", "arithmetic"] = option("less", "what it becomes")

    @property
    def contract(self) -> Contract:
        return exact if self.to == "less" else exact.assuming(SHORT)

    @property
    def removes(self) -> frozenset[str]:
        return self.operators if self.to == "less" else LOGIC | COMPARISONS

    @property
    def introduces(self) -> frozenset[str]:
        if self.to == "less":
            return frozenset({"Equal", "Greater", "Less", "Not", "Or"})
        return frozenset({"Abs", "Cast", "Clip", "Max", "Min", "Mul", "Sub"})

    def has_work(self, model: Model) -> bool:
        return self.to == "arithmetic" or super().has_work(model)

    def run(self, model: Model, context: Context) -> None:
        if self.to == "less":
            super().run(model, context)
        else:
            rewrite_as_arithmetic(model, context)

    def rewrite(self, node: Node, opset: int, edit: Editor) -> Term | Refusal:
        a, b = map(Given, node.inputs)
        dtype = node.inputs[0].dtype
        if dtype is None:
            return run_before(INFER_SHAPES, "the type that it compares is not known")
        is_greater = node.op == "GreaterOrEqual"
        if np.dtype(dtype).kind in "iu":
            return op.Not(op.Less(a, b) if is_greater else op.Greater(a, b))
        return op.Or(op.Greater(a, b) if is_greater else op.Less(a, b), op.Equal(a, b))
