"""Operators that an older opset lacks, as local functions of the model.

A recognised Gelu is one operator from opset 20 on. Below, it is a call of the function `regraft::Gelu`, whose body is
what the operator means: any runtime inlines it, and patterns take it for the operator (`schema.kind`). A call has the
operator's attributes; the body is written for their values, which its name tells: `LayerNormalization_epsilon_1em12`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from regraft.errors import PassError
from regraft.ir import schema
from regraft.ir.graph import Variable
from regraft.ir.model import Model
from regraft.refusal import PassRef, Refusal
from regraft.rewriting import formula
from regraft.rewriting.local_function import add_function
from regraft.rewriting.term import Given, Term, op

_DEFAULTS: dict[str, dict[str, Any]] = {
    "Attention": {"q_num_heads": 0, "kv_num_heads": 0, "scale": 1.0, "masked": 0},
    "Gelu": {"approximate": "none"},
    "LayerNormalization": {"axis": -1, "epsilon": 1e-5},
}


def provide(
    model: Model, op: str, attrs: dict[str, Any], dtype: np.dtype[Any] | None, given: int | None = None
) -> tuple[str, dict[str, Any]]:
    """See to it that `model` has the function that stands for `op`; its name, and all attributes of a call.

    Args:
        given: how many inputs a call has, where it may have too few.

    Raises:
        PassError: no function stands for the operator, or not without an input that it has: a bias.
    """
    attrs = {**_DEFAULTS.get(op, {}), **attrs}
    inputs, body = _meaning(op, **attrs) if op in _DEFAULTS else ([], None)
    if body is None or (given is not None and given < len(inputs)):
        first = schema.since(op)
        needed = PassRef(f"convert-opset{{version={first}}}")
        lacks = f"opset {model.opset} has no {op}, which came with opset {first}; run {needed}"
        raise PassError(Refusal(lacks, needs=(needed,)))
    name = _name(op, attrs, dtype)
    add_function(model, schema.STAND_IN, name, inputs, body, attrs, dtype)
    return name, attrs


def _name(op: str, attrs: dict[str, Any], dtype: np.dtype[Any] | None) -> str:
    special = {name: value for name, value in attrs.items() if value != _DEFAULTS[op][name]}
    parts = [f"{name}_{value:g}" if isinstance(value, float) else f"{name}_{value}" for name, value in special.items()]
    parts += [] if dtype in (None, np.float32) else [str(dtype)]
    return "_".join([op, *parts]).replace("-", "m").replace(".", "p")


def _meaning(op: str, **attrs: Any) -> tuple[list[Variable], Term]:
    """The inputs of the function that stands for `op`, and what it computes of them."""
    if op == "Gelu":
        x = Variable("x")
        return [x], (formula.tanh_gelu if attrs["approximate"] == "tanh" else formula.erf_gelu)(Given(x))
    if op == "LayerNormalization":
        x, scale, bias = (Variable(name) for name in ("x", "scale", "bias"))
        axes = list(range(attrs["axis"], 0))
        return [x, scale, bias], formula.layer_norm(Given(x), Given(scale), Given(bias), axes, attrs["epsilon"])
    inputs = [Variable(name) for name in ("q", "k", "v", "mask")[: 3 + attrs["masked"]]]
    return inputs, _attention(*map(Given, inputs), **attrs)


def _attention(
    q: Term,
    k: Term,
    v: Term,
    mask: Term | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    scale: float,
    masked: int,
) -> Term:
    """Of `[B, N, S, D]`; of `[B, S, N·D]` where the numbers of heads are given. A row masked throughout gives 0."""
    guard = bool(masked)
    if not q_num_heads:
        return formula.attention(q, op.Transpose(k, perm=[0, 1, 3, 2]), v, mask, scale, guard)
    q, v = formula.split_heads(q, q_num_heads), formula.split_heads(v, kv_num_heads)
    k = formula.split_heads(k, kv_num_heads, transposed=True)
    return formula.merge_heads(formula.attention(q, k, v, mask, scale, guard))
