"""ReduceMean as a sum or a product, for targets that lack it or overflow in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import ml_dtypes
import numpy as np

from regraft.ir.graph import Tensor
from regraft.pipelines.options import option
from regraft.refusal import Refusal
from regraft.rewriting.conditions import float_dtype, size_along
from regraft.rewriting.facts import Axes, Case, Filled, Operand, SizeOf
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, op
from regraft.verification.contract import reassociation


def mean(x: Any, axes: Any, keep: Any, noop: Any) -> Term:
    return op.ReduceMean(x, axes=axes, keepdims=keep, noop_with_empty_axes=noop)


def reduced_axes(x: Tensor, axes: Any, noop: Any, out: Tensor) -> list[int] | Refusal | None:
    """The axes that the mean is over, None for all; else why they are not known."""
    if axes is None and len(out.inputs[0].inputs) > 1 and not out.inputs[0].inputs[1].is_empty():
        return Refusal("its axes are no constant")
    if not isinstance(axes, int | list | None):
        return Refusal("its axes are an attribute of the function around it")
    if axes in (None, []):
        return Refusal("without axes it forwards its input") if noop else None
    return [axes] if isinstance(axes, int) else axes


SOME: Case = {"x": Operand("A B C D E"), "axes": Axes("B D"), "share": 1.0 / SizeOf("B D")}
ALL: Case = {"x": Operand("A"), "axes": None, "share": 1.0 / SizeOf("A")}
SUM_FACTS = tuple(
    {**axes, "keep": keep, "scale_first": first}
    for axes in (SOME, {**ALL, "noop": None}, {**ALL, "noop": 0})
    for keep in (0, 1)
    for first in (False, True)
)
PRODUCT_FACTS = tuple(
    {"x": Operand(x), "axes": Axes("a"), "shares": Filled(shape, 1.0 / SizeOf("a")), "keep": keep}
    for x in ("a", "B r a")
    for keep, shape in ((0, "a"), (1, "a 1"))
)


class LowerReduceMean(RulePass):
    """Write ReduceMean as a sum and a multiplication, or as one matrix product.

    ReduceMean(x) over n elements
      →  ReduceSum(x) · (1/n)          form=sum
      →  ReduceSum(x · (1/n))          form=sum, order=scale-first: the sum is no larger than the largest element
      →  MatMul(x, [1/n, ..., 1/n])    form=matmul, over the last axis

    order=auto scales first in half precision only, whose sums overflow beyond 65504; elements below 6e-8 · n vanish
    there. n must be known: `set-shapes` fixes what is dynamic. hls4ml lacks ReduceMean and ReduceSum; PopRT has the
    form with a sum for half precision.
    """

    name = "lower-reduce-mean"
    notes_refusals = True
    contract = reassociation
    form: Literal["sum", "matmul"] = option("sum", "what it becomes")
    order: Literal["auto", "sum-first", "scale-first"] = option("auto", "what form=sum scales: the sum or the elements")

    def rules(self) -> Sequence[Rule]:
        written = as_product if self.form == "matmul" else as_sum
        facts = PRODUCT_FACTS if self.form == "matmul" else SUM_FACTS
        return (Rule(mean, written, self.known_share, name=self.form, facts=facts),)

    def known_share(self, x: Tensor, axes: Any, keep: Any, noop: Any, out: Tensor) -> Refusal | dict[str, Any]:
        """The axes, the dtype, and the share 1/n of each element, once or as a matrix; else why the mean stays."""
        dtype = float_dtype(x)
        if isinstance(dtype, Refusal):
            return dtype
        axes = reduced_axes(x, axes, noop, out)
        size = axes if isinstance(axes, Refusal) else size_along(x, axes)
        if isinstance(size, Refusal):
            return size
        if not size or 1 / size < ml_dtypes.finfo(dtype).smallest_normal:
            return Refusal(f"1/{size} is no normal number in {dtype}")
        if self.form == "matmul" and axes not in ([-1], [len(x.shape) - 1]):
            return Refusal(f"form=matmul is for the last axis, not for {'all' if axes is None else axes}")
        first = self.order == "scale-first" or (self.order == "auto" and dtype == np.float16)
        shares = np.full([size, 1] if keep else [size], 1 / size, dtype) if self.form == "matmul" else None
        return {"axes": axes, "dtype": dtype, "share": 1 / size, "shares": shares, "scale_first": first}


def as_sum(x: Any, axes: Any, keep: int, share: Any, scale_first: bool) -> Term:
    if scale_first:
        return op.ReduceSum(x * share, axes=axes, keepdims=keep)
    return op.ReduceSum(x, axes=axes, keepdims=keep) * share


def as_product(x: Any, shares: Any) -> Term:
    return x @ shares
