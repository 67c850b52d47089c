"""Division by a constant as multiplication, for targets that lack it or are slow at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import ml_dtypes
import numpy as np

from regraft.ir.graph import Constant, Tensor
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array, Derived, Stored, is_float
from regraft.pipelines.options import option
from regraft.refusal import Refusal
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Var, constant, op
from regraft.verification.contract import Contract, exact, reassociation


def reciprocal(values: Array) -> Array:
    """1 / `values`, rounded once."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.asarray((1 / values.astype(np.float64)).astype(values.dtype))


def are_powers_of_two(values: Array) -> bool:
    return bool((np.abs(np.frexp(values.astype(np.float64))[0]) == 0.5).all())


def is_normal(values: Array) -> bool:
    """Whether no value is zero, subnormal, infinite or NaN."""
    limits, sizes = ml_dtypes.finfo(values.dtype), np.abs(values.astype(np.float64))
    return bool(((sizes >= float(limits.smallest_normal)) & (sizes <= float(limits.max))).all())


class LowerDiv(RulePass):
    """Turn division by a constant into multiplication by its reciprocal.

    Div(x, c)  →  Mul(x, 1/c)

    Exact where c is a power of two, such as the root of a head size of 64, else one more rounding; with
    divisors=powers-of-two the others stay. A division of whole numbers stays, and one by what has no normal reciprocal
    in its dtype (zero, infinity, 10⁵ in half precision). Hardware multiplies in far fewer cycles than it divides, and
    some has no divider: PopRT makes the same rewrite. The reciprocal of a weight is computed while saving.
    """

    name = "lower-div"
    notes_refusals = True
    divisors: Literal["all", "powers-of-two"] = option("all", "which divisors")

    @property
    def contract(self) -> Contract:
        return exact if self.divisors == "powers-of-two" else reassociation

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(
                lambda x, c: op.Div(x, constant(c)),
                lambda x, inverse: x * inverse,
                self.has_inverse,
                name="div",
                facts=({"inverse": 1.0 / Var("c")},),
            ),
        )

    def has_inverse(self, c: Tensor) -> Refusal | dict[str, Any]:
        """The reciprocal of the divisor; else why it is not taken."""
        values = constant_of(c)
        if values is None or not is_float(values.dtype):
            return Refusal(f"'{c.name}' holds no floats")
        if self.divisors == "powers-of-two" and not are_powers_of_two(values):
            return Refusal(f"'{c.name}' holds other than powers of two")
        inverse = reciprocal(values)
        if not is_normal(inverse):
            return Refusal(f"the reciprocal of '{c.name}' is no normal number in {values.dtype}")
        if isinstance(c, Constant) and isinstance(c.lazy, Stored):
            c.lazy.release()
            return {"inverse": Derived([c.lazy], reciprocal, values.shape, values.dtype)}
        return {"inverse": inverse}
