"""The arithmetic of masks without what has no effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from regraft.analysis.value_ranges import ValueRanges
from regraft.idioms.additive_mask import shows_each_row
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import code_of
from regraft.lowering.broadcast import narrowed
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import TYPES, Context
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.facts import CODES, Case, Operand
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass, rewritable_graphs
from regraft.rewriting.term import Term, either, op
from regraft.splitting import cone
from regraft.verification.contract import Contract, reassociation

SOFTMAX = ({"p": Operand(never_nan=True)},)
TO = tuple({"c": Operand(kind="boolean"), "to": code} for codes in CODES.values() for code in codes)
WHOLE = ({"m": Operand(kind="integer")}, {"m": Operand()})
TRUTHS = tuple({"c": Operand(kind="boolean"), "code": code} for code in CODES["real"] + CODES["integer"])
CHOICES: tuple[Case, ...] = tuple(
    {"a": Operand(kind=kind), "b": Operand(kind=kind), **truth} for kind in CODES for truth in TRUTHS
)


class SimplifyMask(RulePass):
    """Remove from the arithmetic of masks what has no effect: guards against NaN, Expand, negations, constant truths.

    Where(IsNaN(p), 0, p)        →  p              p = Softmax(x), and no row of x is minus infinity throughout
    Expand(m, shape)             →  m              where all that read it broadcast it, or it has that shape
    m ∧ true, m ∨ false          →  m              true and false may be computed: Range(0, n) >= 0
    Where(true, a, b)            →  a              the same
    Softmax(x + 0)               →  Softmax(x)     the same: a mask that hides nothing
    Where(¬c, a, b)              →  Where(c, b, a)
    Where(c, 1, 0)               →  Cast(c), or c itself; Where(c, 0, 1) the same of ¬c
    1 - (1 - m)                  →  m              of whole numbers
    Cast(1 - Cast(c)) to bool    →  ¬c             so is Cast(c) = 0

    A row is never empty where its mask is finite, as one of the least finite number is, or a constant that shows
    something in each row. A mask of -inf that is computed hides whole rows if its caller says so: with
    `assume-no-empty-rows` that is ruled out. That scores are finite without their mask is assumed. Every number stays
    what it is, but for the sign of a zero: ONNX Runtime's Where keeps that of its last input only.
    """

    name = "simplify-mask"
    notes_refusals = True
    exact_numbers = True
    assume_no_empty_rows: bool = option(False, "whether each row of scores has a place that no mask of -inf hides")

    @property
    def contract(self) -> Contract:
        return reassociation.assuming("each query sees a key") if self.assume_no_empty_rows else reassociation

    @property
    def removes(self) -> frozenset[str]:
        return super().removes | {"Add", "And", "Expand", "Or"}

    _ranges: ValueRanges

    def has_work(self, model: Model) -> bool:
        return True

    def run(self, model: Model, context: Context) -> None:
        super().run(model, context)
        TYPES.arrange(model)  # of what the rules made, too
        ranges = model.facts(ValueRanges)
        bypassed: list[Node] = []
        narrower: set[Tensor] = set()
        with Editor(model) as edit:
            for graph in rewritable_graphs(model):
                for node in reversed(list(edit.live_nodes(graph))):  # users first: what they read may get narrower
                    same = _same_but_broadcast(node, ranges, edit)
                    if same is not None and _bypass(node, same, edit, narrower):
                        bypassed.append(node)
                        context.replaced([node], rule=node.op)
            unread = edit.remove_unread(cone(tensor for node in bypassed for tensor in node.inputs)[0])
        for tensor in narrower:
            tensor.shape = None
        if unread:
            context.replaced(unread, rule="unread")

    def prepare(self, model: Model) -> None:
        self._ranges = model.facts(ValueRanges)

    def rules(self) -> Sequence[Rule]:
        def is_idle(p: Tensor, opset: int) -> bool | Refusal:
            softmax = p.producer
            if softmax is None or schema.kind(softmax) != "Softmax":
                return Refusal(f"'{p.name}' is no Softmax")
            scores = softmax.inputs[0]
            if self.assume_no_empty_rows or self._ranges[scores].finite or shows_each_row(softmax, self._ranges, opset):
                return True
            clamp = PassRef("clamp-mask-value")
            empty = f"a row of '{scores.name}' may be -inf throughout; run {clamp}, or see assume-no-empty-rows"
            return Refusal(empty, needs=(clamp,))

        return (
            Rule(
                lambda p: op.Where(op.IsNaN(p), 0.0, p), lambda p: p, is_idle, name="guard against NaN", facts=SOFTMAX
            ),
            Rule(lambda c: op.Where(c, 1.0, 0.0), _as_number, _type_of_out, name="Where(c, 1, 0)", facts=TO),
            Rule(lambda c: op.Where(c, 0.0, 1.0), _as_negation, _type_of_out, name="Where(c, 0, 1)", facts=TO),
            Rule(lambda m: 1.0 - (1.0 - m), lambda m: m, _is_whole, name="1 - (1 - m)", facts=WHOLE),
            Rule(_where_not, lambda c, a, b: op.Where(c, b, a), _is_truth, name="Where(Not)", facts=CHOICES),
            Rule(_inverted, lambda c: op.Not(c), _is_truth, name="negation in numbers", facts=TRUTHS),
        )


def _inverted(c: Any, code: Any) -> Term:
    number = op.Cast(c, to=code)
    return either(op.Cast(1.0 - number, to=9), op.Equal(number, 0.0))


def _where_not(c: Any, code: Any, a: Any, b: Any) -> Term:
    return op.Where(either(op.Not(c), _inverted(c, code)), a, b)


def _as_number(c: Any, to: int) -> Any:
    return c if to == code_of(np.bool_) else op.Cast(c, to=to)


def _as_negation(c: Any, to: int) -> Any:
    return _as_number(op.Not(c), to)


def _type_of_out(c: Tensor, out: Tensor) -> Refusal | dict[str, Any]:
    if out.dtype is None or c.shape is None or out.shape != c.shape:
        return Refusal(f"the type of '{out.name}' is not known, or its shape is not that of the condition")
    return {"to": code_of(out.dtype)}


def _is_truth(c: Tensor, code: int | None = None) -> bool | Refusal:
    """Whether `c`, which is cast to `code`, holds truths."""
    known = code is None or (c.dtype is not None and np.dtype(c.dtype).kind == "b")
    return known or Refusal(f"'{c.name}' is not known to be boolean")


def _is_whole(m: Tensor) -> bool | Refusal:
    """Whether `m` holds whole numbers, so that nothing is rounded."""
    source = m.inputs[0].inputs[0] if m.inputs and m.inputs[0].op == "Cast" else m
    kind = None if source.dtype is None else np.dtype(source.dtype)
    whole = kind is not None and (kind.kind == "b" or (kind.kind in "iu" and (source is m or kind.itemsize == 1)))
    return whole or Refusal(f"'{m.name}' is not known to hold zeros and ones")


def _same_but_broadcast(node: Node, ranges: ValueRanges, edit: Editor) -> Tensor | None:
    """The value that `node` gives, in a shape that may be narrower."""
    if node.domain or node.op not in ("Expand", *_NEUTRAL, "Where"):
        return None
    if node.op == "Expand":
        return node.inputs[0]
    out: Tensor = node.outputs[0]
    if node.op == "Add" and (
        out in edit.graph_outputs or any(schema.kind(reader) != "Softmax" for reader in edit.users(out))
    ):
        return None  # x + 0 is not -0 where x is; a Softmax does not distinguish them
    known = [ranges[tensor] for tensor in node.inputs]
    if node.op == "Where":
        chosen: Tensor = node.inputs[1 if known[0].low else 2]
        return chosen if known[0].is_one_number else None
    neutral = _NEUTRAL[node.op]
    return next((node.inputs[1 - i] for i in (0, 1) if known[i].is_one_number and known[i].low == neutral), None)


_NEUTRAL = {"And": 1.0, "Or": 0.0, "Add": 0.0}


def _bypass(node: Node, same: Tensor, edit: Editor, narrower: set[Tensor]) -> bool:
    """Let those that read `node` read `same`, if that makes no difference; `narrower` gets what changes its shape."""
    out: Tensor = node.outputs[0]
    if same.shape is None or out.shape is None or (out in edit.graph_outputs and edit.needs_identity(out, same)):
        return False
    changed = narrowed(out, same.shape, edit)
    if changed is None:
        return False
    edit.replace(out, same)
    edit.remove(node)
    for tensor, axes in changed.items():
        tensor.shape = [1 if index - len(tensor.shape) in axes else dim for index, dim in enumerate(tensor.shape)]
    narrower.update(changed)
    return True
