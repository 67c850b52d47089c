"""Gelu written out, for targets that lack it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from regraft.pipelines.options import option
from regraft.rewriting import formula
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import op
from regraft.verification.contract import Contract, approximation, reassociation

TANH_ERROR = 4.74e-4
SIGMOID_ERROR = 2.07e-2
"""Largest errors: 4.733e-4 of either from the other; 2.034e-2 from the exact Gelu, 2.066e-2 from its tanh form."""


class LowerGelu(RulePass):
    """Write Gelu out in operators that every target has.

    Gelu(x)  →  ½ · x · (1 + Erf(x / √2))                          form=erf
             →  ½ · x · (1 + Tanh(√(2/π) · (x + 0.044715 · x³)))   form=tanh, within 4.74e-4
             →  x · Sigmoid(1.702 · x)                             form=sigmoid, within 2.07e-2

    A Gelu that is the tanh approximation already keeps that meaning with form=erf. Calls of `regraft::Gelu` are taken
    like the operator; a Gelu that is written out another way is for `fuse-gelu` to find first.
    """

    name = "lower-gelu"
    form: Literal["erf", "tanh", "sigmoid"] = option("erf", "what it becomes")

    @property
    def contract(self) -> Contract:
        if self.form == "erf":
            return reassociation
        return approximation(TANH_ERROR if self.form == "tanh" else SIGMOID_ERROR)

    def rules(self) -> Sequence[Rule]:
        exact = {"erf": formula.erf_gelu, "tanh": formula.tanh_gelu, "sigmoid": formula.sigmoid_gelu}[self.form]
        tanh = formula.sigmoid_gelu if self.form == "sigmoid" else formula.tanh_gelu
        return (
            Rule(lambda x: op.Gelu(x, approximate="none"), exact, name=self.form),
            Rule(lambda x: op.Gelu(x, approximate="tanh"), tanh, name=f"{self.form} (of tanh)"),
        )
