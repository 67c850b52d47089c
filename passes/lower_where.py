"""Where written as arithmetic, for targets that lack it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from regraft.analysis.interval import Interval, largest
from regraft.analysis.value_ranges import HostedRanges
from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.ir.weights import Array, code_of
from regraft.pipelines.options import option
from regraft.refusal import INFER_SHAPES, PassRef, Refusal, run_before
from regraft.rewriting.facts import CODES, Case, Filled, Operand
from regraft.rewriting.matcher import is_constant
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, Var, op
from regraft.verification.contract import reassociation

# An infinity, for which the least number stands, is no real number: of those the branches are what they were.
FACTS: tuple[Case, ...] = tuple(
    {"a": Operand(kind=kind), "b": Operand(kind=kind), "first": Var("a"), "second": Var("b"), "code": code, **zero}
    for kind, codes in CODES.items()
    for code in codes
    for zero in ({}, {"a": Filled("", 0.0), "first": None}, {"b": Filled("", 0.0), "second": None})
)


class LowerWhere(RulePass):
    """Write Where as a sum of products.

    Where(c, a, b)  →  k · a + (1 - k) · b,  k = Cast(c)    numbers
    Where(c, a, 0)  →  k · a
    Where(c, 0, b)  →  (1 - k) · b
    Where(c, a, b)  →  (c ∧ a) ∨ (¬c ∧ b)                   booleans

    One of the products is zero, so nothing is rounded and nothing overflows: masks of 0 and the least finite number,
    scores filled with it, and integers come out the same, but for the sign of a zero. (`b + k · (a - b)` would round,
    and overflow.)

    An infinity or a NaN times 0 is no zero. So a Where stays that asks IsNaN or IsInf, and one with a branch that may
    be infinite or NaN: by a constant, an input of the model, or an operator such as Log, Exp and Div. What layers
    compute of finite numbers counts as finite, and so does what the host looks up in a finite table. `simplify-mask`
    and `clamp-mask-value` take such Wheres away. With `infinite=finite` branches count as finite, and minus infinity in
    a constant becomes the least finite number: a row of scores that is masked throughout then gives equal weights and
    no NaN.

    Wheres in the arithmetic of shapes are written out too; `fold-constants` before makes most of them constants.
    """

    name = "lower-where"
    notes_refusals = True
    introduces = frozenset({"Add", "And", "Cast", "Mul", "Not", "Or", "Sub"})
    contract = reassociation
    infinite: Literal["keep", "finite"] = option("keep", "a Where of which a branch may be infinite")

    _ranges: HostedRanges

    def prepare(self, model: Model) -> None:
        self._ranges = model.facts(HostedRanges)

    def rules(self) -> Sequence[Rule]:
        def branches(c: Tensor, a: Tensor, b: Tensor, out: Tensor, opset: int) -> Refusal | dict[str, Any]:
            if out.dtype is None:
                return run_before(INFER_SHAPES, f"the type of '{out.name}' is not known")
            if not _can_multiply(np.dtype(out.dtype), opset):
                return Refusal(f"opset {opset} cannot multiply {np.dtype(out.dtype)}")
            question = _question(c)
            if question in ("IsNaN", "IsInf"):
                return Refusal(f"it asks {question}: a NaN or an infinity times 0 is not 0")
            values = [self._finite(branch, self._ranges[branch]) for branch in (a, b)]
            if any(value is None for value in values):
                clamp = PassRef("clamp-mask-value")
                infinite = f"a branch may be infinite, and infinity times 0 is no number; {clamp} helps masks"
                return Refusal(infinite, needs=(clamp,))
            for place, (zero, other) in enumerate(((a, b), (b, a))):
                if self._ranges[zero].is_zero and _adds_no_dims(zero, c, other) and None not in values:
                    values[place] = None
            return {"first": values[0], "second": values[1], "code": code_of(out.dtype)}

        return [Rule(lambda c, a, b: op.Where(c, a, b), _written, branches, facts=FACTS)]

    def _finite(self, branch: Tensor, known: Interval) -> Tensor | Array | None:
        """A branch that can be multiplied by 0, if `branch` is one or can be made one."""
        if known.finite or (self.infinite == "finite" and not is_constant(branch)):
            return branch
        values = schema.constant_of(branch)
        if values is None or self.infinite == "keep" or np.isnan(values).any() or (values == math.inf).any():
            return None
        return np.maximum(values, np.array(-largest(values.dtype), values.dtype))


def _written(c: Any, first: Any, second: Any, code: int) -> Term:
    """Branches that are zero are None."""
    truth = code == code_of(np.bool_)
    chosen = c if truth else op.Cast(c, to=code)
    products = []
    if first is not None:
        products.append(op.And(chosen, first) if truth else chosen * first)
    if second is not None:
        products.append(op.And(op.Not(chosen), second) if truth else (1.0 - chosen) * second)
    return products[0] if len(products) == 1 else op.Or(*products) if truth else products[0] + products[1]


def _question(c: Tensor) -> str:
    """The operator that decides the condition `c`, turned round or not."""
    while c.inputs and c.inputs[0].op in ("Not", "Identity"):
        c = c.inputs[0].inputs[0]
    return c.inputs[0].op if c.inputs else ""


def _can_multiply(dtype: np.dtype[Any], opset: int) -> bool:
    """Whether Mul takes `dtype`; booleans need no Mul."""
    if dtype.kind in "iu" and dtype.itemsize < 4:
        return opset >= 14
    return dtype.kind in "biufV" and not (dtype.name == "bfloat16" and opset < 13)


def _adds_no_dims(zero: Tensor, *others: Tensor) -> bool:
    """Whether the shape of the result does not need `zero`."""
    if zero.shape is None or any(dim != 1 for dim in zero.shape):
        return False
    return not zero.shape or any(other.shape is not None and len(other.shape) >= len(zero.shape) for other in others)
