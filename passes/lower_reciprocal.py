"""Reciprocal as a division, for compilers that recognise only that in a normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import op
from regraft.verification.contract import reassociation


class LowerReciprocal(RulePass):
    """Write Reciprocal as 1 divided by what it takes.

    Reciprocal(x)  →  Div(1, x)

    The same number but for the rounding of the kernel: some estimate a reciprocal and refine it. PyTorch's dynamo
    writes T5's normalisation by a Reciprocal, TorchScript by a division; RKNN's NPU knows only the second.
    """

    name = "lower-reciprocal"
    contract = reassociation

    def rules(self) -> Sequence[Rule]:
        return (Rule(lambda x: op.Reciprocal(x), lambda x: 1.0 / x, name="reciprocal"),)
