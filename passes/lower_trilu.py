"""Trilu as a choice by a mask, for targets that lack it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from regraft.ir.graph import Tensor
from regraft.ir.schema import constant_of
from regraft.ir.weights import code_of
from regraft.ops.traits import MOVES
from regraft.pipelines.options import option
from regraft.refusal import INFER_SHAPES, Refusal, run_before
from regraft.rewriting.facts import Case, Kind, Operand
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import Term, op, term
from regraft.verification.contract import reassociation


def is_finite(tensor: Tensor) -> bool:
    """Whether `tensor` is known to hold no infinity and no NaN."""
    if np.dtype(tensor.dtype).kind in "iu":
        return True
    while len(tensor.inputs) == 1 and tensor.inputs[0].op in MOVES and not tensor.inputs[0].domain:
        tensor = tensor.inputs[0].inputs[0]
    values = constant_of(tensor)
    if values is None and tensor.inputs and tensor.inputs[0].op == "ConstantOfShape":
        fill = tensor.inputs[0].attrs.get("value")
        return fill is None or bool(np.isfinite(fill.values).all())
    return values is not None and bool(np.isfinite(values).all())


def mask(x: Term, k: Term | int, upper: int, shape: Sequence[Any]) -> Term:
    """What stays: where column - row is at least k, or at most."""
    rows, columns = shape[-2:]
    if isinstance(k, int) and isinstance(rows, int) and isinstance(columns, int):
        distance = np.arange(columns) - np.arange(rows)[:, None]
        return term(distance >= k if upper else distance <= k)
    row, column = (numbers(x, axis, size) for axis, size in ((-2, rows), (-1, columns)))
    diagonal = op.Add(op.Unsqueeze(row, axes=[1]), np.array(k) if isinstance(k, int) else k)
    return op.GreaterOrEqual(column, diagonal) if upper else op.LessOrEqual(column, diagonal)


def numbers(x: Term, axis: int, size: Any) -> Term:
    """0, 1, ... along an axis."""
    end = np.array(size) if isinstance(size, int) else op.Gather(op.Shape(x), np.array(axis))
    return op.Range(np.array(0), end, np.array(1))


_SHAPES: tuple[tuple[str, list[Any]], ...] = (
    ("B r c", ["...", "r", "c"]),
    ("B 2 c", ["...", 2, "c"]),
    ("B r 3", ["...", "r", 3]),
    ("B 2 3", ["...", 2, 3]),
    ("B 3 1", ["...", 3, 1]),
)
"""Where sizes are known numpy makes the mask, of which these stand for all."""
_DTYPES: dict[Kind, Any] = {"real": np.float32, "integer": np.int64, "boolean": np.bool_}
FACTS: tuple[Case, ...] = tuple(
    {"x": Operand(axes, kind), "dtype": np.dtype(dtype), "shape": shape, "upper": upper, "k": 0}
    for kind, dtype in _DTYPES.items()
    for upper in (0, 1)
    for axes, shape in _SHAPES
)
K: tuple[Case, ...] = tuple(
    {**case, "k": k}
    for case in FACTS
    for k in (Operand("", "integer"), -2, 0, 3)  # the numbers stand for all
)


class LowerTrilu(RulePass):
    """Write Trilu, which cuts a triangle off, as a choice by a mask.

    Trilu(x, k)  →  Where(mask, x, 0)    form=where
                 →  x · mask             form=mul, where x is known to hold no infinity and no NaN
                 →  And(x, mask)         where x is boolean

    The mask is a constant where the last two dimensions and k are known, else it compares the numbers of rows and
    columns, which are Ranges (see `lower-range`). The numbers stay the same but for the sign of a zero: a product makes
    -0 of a number below zero that is cut off, and ONNX Runtime's Where makes 0 of a -0 that stays.

    Causal masks are made with it, of -inf often. Of the compilers for
    accelerators that list their operators (AWS Neuron, hls4ml) none has Trilu, and the importer onnx2torch lacks it.
    """

    name = "lower-trilu"
    notes_refusals = True
    contract = reassociation
    removes = frozenset({"Trilu"})
    form: Literal["where", "mul"] = option("where", "what it becomes")

    @property
    def introduces(self) -> frozenset[str]:
        mask = {"Add", "And", "Gather", "GreaterOrEqual", "LessOrEqual", "Range", "Shape", "Unsqueeze"}
        return frozenset(mask | ({"Where"} if self.form == "where" else {"Cast", "Mul"}))

    def rules(self) -> Sequence[Rule]:
        return (
            Rule(lambda x, upper: op.Trilu(x, upper=upper), self.written, self.known, name=self.form, facts=FACTS),
            Rule(
                lambda x, k, upper: op.Trilu(x, k, upper=upper),
                self.written,
                self.known,
                name=f"{self.form} (k)",
                facts=K,
            ),
        )

    def known(self, x: Tensor, upper: Any, k: Tensor | None = None) -> Refusal | dict[str, Any]:
        """The dtype, the shape, and k as a number where it is one; else why it stays."""
        if x.dtype is None or x.shape is None:
            return run_before(INFER_SHAPES, f"the dtype and the rank of '{x.name}' are not known")
        if not isinstance(upper, int):
            return Refusal("'upper' is an attribute of the function around it")
        if self.form == "mul" and x.dtype != np.bool_ and not is_finite(x):
            return Refusal(f"'{x.name}' may hold an infinity, and 0 times that is NaN; form=where is for that")
        values = None if k is None else constant_of(k)
        diagonal = 0 if k is None else k if values is None else int(values.item())
        return {"dtype": np.dtype(x.dtype), "k": diagonal, "shape": x.shape}

    def written(self, x: Any, k: Any, upper: int, dtype: np.dtype[Any], shape: Sequence[Any]) -> Term:
        stays = mask(x, k, upper, shape)
        if dtype == np.bool_:
            return op.And(x, stays)
        if self.form == "mul":
            return x * op.Cast(stays, to=code_of(dtype))
        return op.Where(stays, x, np.zeros((), dtype))
