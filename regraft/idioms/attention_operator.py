"""The operands and the mask of an attention in the forms that the Attention operator takes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np

from regraft.idioms.attention import Attention, Operand
from regraft.idioms.score_path import Bias, Mask
from regraft.ir.graph import Tensor
from regraft.refusal import Refusal
from regraft.regions.bounds import Bounds
from regraft.regions.numbers import number
from regraft.rewriting.term import Given, Term, op
from regraft.shapes import Facts

VANISHING = -1e9
"""Filling a score with this or less is adding it: what a layer computes vanishes beside it."""


class Form(NamedTuple):
    """An attention as a call of the operator, and what becomes of the result.

    Attributes:
        q, k, v: `[B, S, N·D]` where `packed`, else `[B, N, S, D]`.
        scale: what is left to multiply the scores by, as a float32 holds it.
        place: which of the values of the region's result `finish` makes of the operator's.
    """

    q: Term
    k: Term
    v: Term
    packed: bool
    scale: float
    place: int
    finish: Callable[[Term], Term]


def form_of(found: Attention, facts: Facts) -> Form | Refusal:
    """With the heads side by side where they come so, else with heads apart; else why it can be neither."""
    if _repeats(found, facts):
        return Refusal(
            "its queries, keys and values are of different batches or heads, and one is repeated for the others"
        )
    return _packed(found) or _apart(found) or Refusal("the heads of an operand cannot be distinguished from the batch")


class MaskForm(NamedTuple):
    """What the operator takes as a mask: what is added to the scores, or where it `chooses`, when one is kept."""

    term: Term
    chooses: bool


def mask_of(found: Attention, facts: Facts, bounds: Bounds, floor: float = -math.inf) -> MaskForm | Refusal | None:
    """The mask of the operator, None where there is none; else why it can be no mask.

    Args:
        floor: finite numbers below are raised to it.
    """
    if found.score_gates:
        return Refusal(f"'{found.score_gates[0].name}' is multiplied with the scores")
    if len(found.parts) == 1 and (mask := _infinite(found.parts[0], found, facts)) is not None:
        condition = _as_scores(Given(mask.tensor), mask, found, facts)
        return MaskForm(condition if mask.keeps else op.Not(condition), True)
    if found.gates:
        return Refusal(f"'{found.gates[0].name}' is multiplied with the weights")
    small = next((mask.fill for mask in found.masks if mask.fill > VANISHING), None)
    if small is not None:
        return Refusal(f"scores that are masked become {small:g}, which is not small enough to be added instead")
    terms = [_added(part, found, facts, bounds, floor) for part in found.parts]
    return MaskForm(reduce(operator.add, terms), False) if terms else None


def _infinite(part: Bias | Mask, found: Attention, facts: Facts) -> Mask | None:
    """`part` as a choice between a score and -inf, if it is one.

    A gate that is the condition itself makes 0 of every weight that is masked: where a row is masked throughout, too.
    """
    if isinstance(part, Bias):
        producer = part.tensor.producer
        if producer is None or producer.op != "Where" or producer.domain or part.factor <= 0:
            return None
        numbers = [number(branch, facts) for branch in producer.inputs[1:]]
        if sorted(-math.inf if n is None else n for n in numbers) != [-math.inf, 0] or None in numbers:
            return None
        part = Mask(producer.inputs[0], numbers[0] == 0, -math.inf, part.swapped, part.rank)
    if not all(part.keeps and _root(gate) is _root(part.tensor) for gate in found.gates):
        return None
    return part if part.fill <= (VANISHING if found.gates else -math.inf) else None


# ------------------------------------------------------------------------------------------------------- operands


def _repeats(found: Attention, facts: Facts) -> bool:
    """Whether a product broadcasts in a way that the operator does not: it repeats heads of keys and values only."""
    q, k, v = (facts[operand.tensor].dims or () for operand in (found.q, found.k, found.v))
    heads = slice(-3, -2) if len(q) == 4 else slice(0, 0)
    if k[heads] != v[heads] or (k[heads] != q[heads] and q[heads] == (1,)):
        return True
    batches = [shape[: -3 if len(q) == 4 else -2] for shape in (q, k, v)]
    if len({len(shape) for shape in batches}) > 1:
        return True
    return any(1 in sizes and set(sizes) != {1} for sizes in zip(*batches, strict=True))


def _packed(found: Attention) -> Form | None:
    heads, size = found.q.heads, found.v.head_dim
    if not heads or not size or not found.k.heads or found.k.heads != found.v.heads:
        return None
    apart = np.array([0, 0, heads, size])
    finishes: dict[str, Callable[[Term], Term]] = {
        "b s nd": lambda y: y,
        "bs nd": lambda y: op.Reshape(y, np.array([-1, heads * size])),
        "b s n d": lambda y: op.Reshape(y, apart),
        "b n s d": lambda y: op.Transpose(op.Reshape(y, apart), perm=[0, 2, 1, 3]),
    }
    return _form(found, _side_by_side, True, finishes)


def _apart(found: Attention) -> Form | None:
    layouts = [layout for layout in found.result.layouts if _is_order(layout, "b n s d")]
    best = "b n s d" if "b n s d" in layouts else layouts[0] if layouts else None
    if best is not None:
        return _form(found, _heads_apart, False, {best: lambda y: _in_order(y, "b n s d", best)})
    first = found.result.layouts[0]
    if not _is_order(first, "b s d") or any(part.rank == 4 for part in found.parts):
        return None
    return _form(found, _no_heads, False, {first: lambda y: _in_order(op.Squeeze(y, axes=[0]), "b s d", first)})


def _form(
    found: Attention,
    write: Callable[[Operand], tuple[Term, float] | None],
    packed: bool,
    finishes: Mapping[str, Callable[[Term], Term]],
) -> Form | None:
    operands = [write(operand) for operand in (found.q, found.k, found.v)]
    places = {layout: place for place, layout in enumerate(found.result.layouts)}  # the last: Reshapes to the same go
    place = next((places[layout] for layout in finishes if layout in places), None)
    terms = [operand for operand in operands if operand is not None]
    if len(terms) < 3 or place is None:
        return None
    (q, on_q), (k, on_k), (v, _) = terms
    scale = found.scale * (on_q * on_k) / (found.q.scale * found.k.scale)
    return Form(q, k, v, packed, float(np.float32(scale)), place, finishes[found.result.layouts[place]])


def _side_by_side(operand: Operand) -> tuple[Term, float] | None:
    """`operand` as `[B, S, N·D]`, and the factor that it lacks."""
    if (start := operand.find("b s nd")) is not None:
        return Given(start[0]), start[1]
    start = operand.find("b s n d")
    if start is None or operand.heads is None or operand.head_dim is None:
        return None
    return op.Reshape(Given(start[0]), np.array([0, 0, operand.heads * operand.head_dim])), start[1]


def _heads_apart(operand: Operand) -> tuple[Term, float] | None:
    """`operand` as `[B, N, S, D]`, and the factor that it lacks."""
    layout = "b n s d" if "b n s d" in operand.layouts else _first_order(operand, "b n s d")
    start = operand.find(layout)
    return None if start is None else (_in_order(Given(start[0]), layout, "b n s d"), start[1])


def _no_heads(operand: Operand) -> tuple[Term, float] | None:
    """An operand `[B, S, D]` as one of B heads, and the factor that it lacks."""
    layout = _first_order(operand, "b s d")
    start = operand.find(layout)
    return None if start is None else (op.Unsqueeze(_in_order(Given(start[0]), layout, "b s d"), axes=[0]), start[1])


def _first_order(operand: Operand, wanted: str) -> str:
    return next((layout for layout in operand.layouts if _is_order(layout, wanted)), "")


def _is_order(layout: str, wanted: str) -> bool:
    return sorted(layout.split()) == sorted(wanted.split())


def _in_order(value: Term, layout: str, wanted: str) -> Term:
    perm = [layout.split().index(axis) for axis in wanted.split()]
    return value if perm == sorted(perm) else op.Transpose(value, perm=perm)


# ----------------------------------------------------------------------------------------------------------- masks


def _added(part: Bias | Mask, found: Attention, facts: Facts, bounds: Bounds, floor: float) -> Term:
    if isinstance(part, Bias):
        value: Term = Given(part.tensor)
        value = value if part.factor == 1 else value * part.factor
        known = bounds(part.tensor)
        value = op.Max(value, floor) if known.finite and known.low * part.factor < floor else value
        return _as_scores(value, part, found, facts)
    fill = max(part.fill, floor) if part.fill > -math.inf else part.fill
    chosen = (0.0, fill) if part.keeps else (fill, 0.0)
    return op.Where(_as_scores(Given(part.tensor), part, found, facts), *chosen)


def _as_scores(value: Term, part: Bias | Mask, found: Attention, facts: Facts) -> Term:
    """`value`, which has the shape of `part`, so that it broadcasts to `[B, N, S, S]`."""
    shape = facts[part.tensor].dims or ()
    rank = len(shape)
    if part.swapped and rank > 1:
        value = op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2])
    if part.rank == 3 and rank == 3 and shape[0] != 1 and found.heads:
        value = op.Reshape(op.Unsqueeze(value, axes=[0]), np.array([-1, found.heads, 0, 0]))
    return value


def _root(tensor: Tensor) -> Tensor:
    """What `tensor` was before it was made another dtype."""
    while len(tensor.inputs) == 1 and tensor.inputs[0].op in ("Cast", "Identity"):
        tensor = tensor.inputs[0].inputs[0]
    return tensor
