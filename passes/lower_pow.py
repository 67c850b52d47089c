"""Pow of constant exponents as products and roots, for targets that lack it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from regraft.analysis.value_ranges import ValueRanges
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.refusal import Refusal
from regraft.rewriting.conditions import float_dtype
from regraft.rewriting.facts import Case, Operand
from regraft.rewriting.matcher import adds_no_dims, uniform
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, constant, op
from regraft.verification.contract import reassociation

LARGEST = 8
_DIGITS = 2.0**53
"""Whole numbers below are what they are in double precision, in which runtimes compute powers beyond the third."""


def power(x: Any, n: int) -> Term:
    """x to a whole power, by repeated squaring."""
    if n == 1:
        return x
    half = power(x, n // 2)
    return half * half * x if n % 2 else half * half


def written(x: Any, exponent: float) -> Term:
    """x to a whole or half power; the inverse is taken first, so that nothing overflows that would not in Pow."""
    whole, half = divmod(abs(exponent), 1)
    base, root = x, op.Sqrt(x)
    if exponent < 0:
        base, root = op.Reciprocal(base), op.Reciprocal(root)
    if not half:
        return power(base, int(whole))
    return power(base, int(whole)) * root if whole else root


def known_exponent(x: Tensor, e: Tensor, ranges: ValueRanges) -> Refusal | dict[str, Any]:
    """The exponent, where Pow is a few products and roots; else why it is not."""
    found = uniform(e)
    if found is None:
        return Refusal(f"the exponent '{e.name}' is not one number")
    exponent, shape = found
    if shape and (x.shape is None or not adds_no_dims(shape, x)):
        return Refusal(f"the exponent '{e.name}' has shape {list(shape)}, and the result may have it too")
    if not 0.5 <= abs(exponent) <= LARGEST or exponent % 0.5:
        return Refusal(f"the exponent is {exponent:g}, not a whole or half number from 1/2 to {LARGEST}")
    dtype = float_dtype(x)
    if isinstance(dtype, Refusal) and (exponent < 0 or exponent % 1):
        return dtype
    if isinstance(dtype, Refusal) and exponent > 3 and not _fits(ranges[x].magnitude ** exponent, x):
        return Refusal(f"powers of '{x.name}' may overflow, which products do otherwise")
    return {"exponent": exponent}


def _fits(power: float, x: Tensor) -> bool:
    """Whether a power of `x`, which holds whole numbers, is the same however it is computed."""
    return x.dtype is not None and power <= min(_DIGITS, np.iinfo(x.dtype).max)


FACTS: tuple[Case, ...] = (
    *({"e": sign * n / 2, "exponent": sign * n / 2} for n in range(1, 2 * LARGEST + 1) for sign in (1, -1)),
    *({"x": Operand(kind="integer"), "e": float(n), "exponent": float(n)} for n in range(1, LARGEST + 1)),
)


class LowerPow(RulePass):
    """Write Pow with a constant exponent as products, roots and reciprocals.

    Pow(x, 2)     →  x · x                          Pow(x, 1)     →  x
    Pow(x, 3)     →  x · x · x, and so on up to 8   Pow(x, -3)    →  the same of Reciprocal(x)
    Pow(x, 1/2)   →  Sqrt(x)                        Pow(x, -1/2)  →  Reciprocal(Sqrt(x))
    Pow(x, 5/2)   →  x · x · Sqrt(x)                Pow(x, -3/2)  →  Reciprocal(x) · Reciprocal(Sqrt(x))

    Base and exponent may differ in dtype; of whole numbers only positive whole powers are taken, beyond the
    third only where no power overflows. hls4ml lacks Pow, and
    AWS Neuron's compiler of MXNet has it for single numbers only; PopRT rewrites it too. Where a root is taken, -inf
    gives NaN (Pow: inf, or 0) and the reciprocal of the root of -0 is -inf (Pow: inf).
    """

    name = "lower-pow"
    notes_refusals = True
    contract = reassociation
    removes = frozenset({"Pow"})
    introduces = frozenset({"Mul", "Reciprocal", "Sqrt"})

    _ranges: ValueRanges

    def prepare(self, model: Model) -> None:
        self._ranges = model.facts(ValueRanges)

    def rules(self) -> Sequence[Rule]:
        def condition(x: Tensor, e: Tensor) -> Refusal | dict[str, Any]:
            return known_exponent(x, e, self._ranges)

        return (Rule(lambda x, e: op.Pow(x, constant(e)), written, condition, name="pow", facts=FACTS),)
