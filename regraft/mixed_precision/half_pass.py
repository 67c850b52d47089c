"""The passes that lower a model to half precision, but for the dtype."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from regraft.errors import PassError
from regraft.ir.model import Model
from regraft.mixed_precision.dtype_support import FIRST_OPSET
from regraft.mixed_precision.lower import carry_out, decide
from regraft.mixed_precision.overflow import FloatLimits
from regraft.mixed_precision.plan import read
from regraft.mixed_precision.policy import Mode, make_policy
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.refusal import PassRef, Refusal


class HalfPass(Pass):
    """A pass that computes in the half precision `dtype` what can be."""

    dtype: ClassVar[np.dtype[Any]]
    introduces = frozenset({"Cast", "Clip"})
    mode: Mode = option("full", "all that is safe, or products only, or attention and fully connected layers")
    io: str = option("keep", "dtype of the inputs and outputs that are floats")
    keep_ops: tuple[str, ...] = option((), "operators that stay in 32 bits")
    needs = (TYPES,)
    keep_nodes: tuple[str, ...] = option((), "nodes that stay in 32 bits, by name or pattern")
    plan: str = option("", "a file that `regraft precision-plan` made, which decides instead")

    def run(self, model: Model, context: Context) -> None:
        first, oldest = FIRST_OPSET[str(self.dtype)], min(graph.opset for graph in model.graphs())
        if oldest < first:
            needed = PassRef(f"convert-opset{{version={first}}}")
            lacks = f"opset {oldest} has no {self.dtype}; run {needed} or newer before"
            raise PassError(Refusal(lacks, needs=(needed,)))
        limits, lower_ends = FloatLimits(self.dtype), self.io != "keep"
        if self.plan:
            if self.shown_options().keys() - {"plan", "io"}:
                raise PassError(f"{self.name}: a plan decides by itself; leave out mode, keep-ops and keep-nodes")
            decision = read(self.plan, model, limits, lower_ends)
        else:
            policy = make_policy(model, self.mode, self.keep_ops, self.keep_nodes)
            decision = decide(model, limits, policy, lower_ends)
        carry_out(model, decision, limits, context)
