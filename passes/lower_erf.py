"""Erf as an approximation, for targets that lack it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal

import numpy as np

from regraft.ir.graph import Tensor
from regraft.pipelines.options import option
from regraft.refusal import Refusal
from regraft.rewriting.conditions import float_dtype
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, op
from regraft.verification.contract import Contract, approximation

TANH_ERROR = 2.81e-4
RATIONAL_ERROR = 6.2e-7
"""Largest errors over the 32-bit floats, computed in them; in exact arithmetic 2.807e-4 and 1.394e-7."""
HALF_ERROR = 4.71e-6
"""That of the rational form in half precision, in exact arithmetic: numbers below 1.7e-5 get part of their sign."""

_TANH = (1.12967581, 0.09979273)  # minimax, found by reweighted least squares
_SCALE = 0.3275911
_RATIONAL = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def tanh_form(x: Any) -> Term:
    first, third = _TANH
    return op.Tanh(x * (x * x * third + first))


def rational_form(x: Any, steep: float) -> Term:
    t = op.Reciprocal(op.Abs(x) * _SCALE + 1.0)
    polynomial = reduce(lambda sum, factor: sum * t + factor, reversed(_RATIONAL[:-1]), _RATIONAL[-1]) * t
    sign = op.Clip(x * steep, -1.0, 1.0)
    return sign * (1.0 - polynomial * op.Exp(-(x * x)))


SINGLE, HALF = 1e30, 6e4
FACTS = ({"steep": SINGLE}, {"steep": HALF})


def types(x: Tensor) -> Refusal | dict[str, Any]:
    """The dtype of the numbers, and a factor that takes every value of consequence beyond 1."""
    dtype = float_dtype(x)
    return dtype if isinstance(dtype, Refusal) else {"dtype": dtype, "steep": HALF if dtype == np.float16 else SINGLE}


class LowerErf(RulePass):
    """Approximate Erf by operators that more targets have.

    Erf(x)  →  Tanh(x · (1.1297 + 0.0998 · x²))                         form=tanh, within 2.81e-4
            →  sign · (1 - (a₁t + a₂t² + ... + a₅t⁵) · Exp(-x²)),       form=rational, within 6.2e-7;
               t = Reciprocal(1 + 0.3276 · Abs(x)),  sign = Clip(10³⁰ · x, -1, 1)       half: 4.71e-6 and its rounding

    Infinities give ±1 and NaN stays NaN. AWS Neuron's compilers of ONNX and of XLA graphs lack Erf, the first of them
    Sign too; hls4ml lacks it and Exp, but has Tanh. Rational form: Abramowitz & Stegun, 7.1.26; most of its error is
    the rounding of 32-bit floats. For the Erf of a Gelu see also `fuse-gelu` and `lower-gelu`.
    """

    name = "lower-erf"
    notes_refusals = True
    form: Literal["tanh", "rational"] = option("rational", "which of the approximations above")

    @property
    def contract(self) -> Contract:
        return approximation(TANH_ERROR if self.form == "tanh" else HALF_ERROR)

    def rules(self) -> Sequence[Rule]:
        form: Callable[..., Term] = tanh_form if self.form == "tanh" else rational_form
        return (Rule(lambda x: op.Erf(x), form, types, name=self.form, facts=FACTS),)
