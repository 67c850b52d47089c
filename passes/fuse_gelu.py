"""Gelu out of its written-out forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from regraft.ir.graph import Tensor
from regraft.ir.schema import STAND_IN
from regraft.refusal import Refusal
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, either, op
from regraft.verification.contract import reassociation


def erf_form(x: Any) -> Term:
    """BERT's, and PyTorch's export before opset 20."""
    return 0.5 * x * (1.0 + op.Erf(x / math.sqrt(2.0)))


def erfc_form(x: Any) -> Term:
    """TensorFlow's, where Erfc(z) is 1 - Erf(z)."""
    return 0.5 * x * (1.0 - op.Erf(either(op.Neg(x) / math.sqrt(2.0), x / -math.sqrt(2.0))))


def tanh_form(x: Any) -> Term:
    """google-research/bert and GPT-2's gelu_new; also with x taken out of the inner bracket."""
    square, cube = either(x**2.0, x * x), either(x**3.0, x * x * x)
    inner = either(x + 0.044715 * cube, x * (1.0 + 0.044715 * square))
    return 0.5 * x * (1.0 + op.Tanh(math.sqrt(2.0 / math.pi) * inner))


def is_function(out: Tensor, opset: int) -> bool | Refusal:
    """Whether Gelu is a function's call that can be the operator."""
    if out.inputs[0].domain != STAND_IN:
        return Refusal("it is the operator already")
    return opset >= 20 or Refusal(f"opset {opset} has no Gelu")


class FuseGelu(RulePass):
    """Recognise Gelu, exact or approximated by tanh, however it is written.

    x · ½ · (1 + Erf(x / √2))                          →  Gelu(x)
    x · ½ · (1 - Erf(-x / √2))                         →  Gelu(x)
    x · ½ · (1 + Tanh(√(2/π) · (x + 0.044715 · x³)))   →  Gelu(x, approximate="tanh")

    in any order and bracketing. Below opset 20, which brought the operator, the result is a call of the local function
    `regraft::Gelu`; from 20 on such calls become the operator.
    """

    name = "fuse-gelu"
    contract = reassociation

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(erf_form, lambda x: op.Gelu(x), name="erf"),
            Rule(erfc_form, lambda x: op.Gelu(x), name="erfc"),
            Rule(tanh_form, lambda x: op.Gelu(x, approximate="tanh"), name="tanh"),
            Rule(call, call, is_function, name="function", facts=({"kind": "none"}, {"kind": "tanh"})),
        )


def call(x: Any, kind: Any) -> Term:
    return op.Gelu(x, approximate=kind)
