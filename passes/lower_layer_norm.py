"""LayerNormalization written out, for targets that lack it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from regraft.ir.graph import Tensor
from regraft.ir.weights import code_of
from regraft.pipelines.options import option
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting import formula
from regraft.rewriting.formula import LayerNormForm
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, op
from regraft.verification.contract import reassociation


def has_axes(x: Tensor, axis: int, out: Tensor, stash: int = 1) -> Refusal | dict[str, Any]:
    """The axes to take the mean over, and the type to take it in; else why they are not known."""
    if axis >= 0 and x.shape is None:
        return run_before(INFER_SHAPES, f"the rank of '{x.name}' is not known")
    first = axis - len(x.shape or []) if axis >= 0 else axis
    dtype = np.dtype(out.dtype if out.dtype is not None else x.dtype)
    wide = stash == TensorProto.FLOAT and dtype.itemsize < 4
    types = {"dtype": np.float32, "narrow": code_of(dtype)} if wide else {"dtype": dtype, "narrow": None}
    return {"axes": list(range(first, 0)), **types}


FACTS = tuple({**formula.LAYER_NORM, "narrow": narrow} for narrow in (None, TensorProto.FLOAT16, TensorProto.BFLOAT16))
NO_BIAS = tuple({**case, "bias": None} for case in FACTS)


class LowerLayerNorm(RulePass):
    """Write LayerNormalization out in operators that every target has.

    LayerNormalization(x, scale, bias)
      →  d / Sqrt(ReduceMean(d^2) + ε) · scale + bias,  d = x - ReduceMean(x)     form=pow
      →  the same with d · d for d^2                                              form=mul
      →  d · Reciprocal(Sqrt(ReduceMean(d · d) + ε)) · scale + bias               form=rsqrt
      →  x · s + (bias - ReduceMean(x) · s),  s = scale · Reciprocal(...)         form=fold

    Half-precision inputs are widened to float32 and the result narrowed, as the operator's stash_type says. One whose
    mean or inverse deviation is read too stays. Calls of `regraft::LayerNormalization` are taken like the operator.
    """

    name = "lower-layer-norm"
    contract = reassociation
    form: LayerNormForm = option("pow", "which of the forms above")

    def rules(self) -> Sequence[Rule]:
        def written(x: Any, axes: Any, eps: float, narrow: Any, scale: Any, bias: Any = None) -> Term:
            if narrow is None:
                return formula.layer_norm(x, scale, bias, axes, eps, self.form)
            x, scale, bias = (None if v is None else op.Cast(v, to=TensorProto.FLOAT) for v in (x, scale, bias))
            wide = formula.layer_norm(x, scale, bias, axes, eps, self.form)
            return op.Cast(wide, to=narrow)

        def normal(x: Any, scale: Any, bias: Any, axis: Any, eps: Any, stash: Any) -> Term:
            return op.LayerNormalization(x, scale, bias, axis=axis, epsilon=eps, stash_type=stash)

        def unbiased(x: Any, scale: Any, axis: Any, eps: Any, stash: Any) -> Term:
            return op.LayerNormalization(x, scale, axis=axis, epsilon=eps, stash_type=stash)

        return (
            Rule(normal, written, has_axes, name=self.form, facts=FACTS),
            Rule(unbiased, written, has_axes, name=f"{self.form} (no bias)", facts=NO_BIAS),
        )
