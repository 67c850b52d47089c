"""Attention out of its written-out forms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from regraft.analysis.interval import largest
from regraft.analysis.value_ranges import MaskRanges
from regraft.idioms.attention import Attention, look_at
from regraft.idioms.attention_operator import Form, MaskForm, form_of, mask_of
from regraft.idioms.external_uses import read_elsewhere
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph
from regraft.ir.model import Model
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.refusal import PassRef, Refusal, run_before
from regraft.rewriting import decomposed
from regraft.rewriting.node_pass import put, remove_unread_makers
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.rewriting.term import Given, Term, op
from regraft.shapes import Facts, analyse
from regraft.verification.contract import reassociation

OPERATOR_SINCE = 23


class FuseAttention(Pass):
    """Recognise scaled dot-product attention, however it is written.

    Softmax(scale · Q Kᵀ + mask) V  →  Attention(Q, K, V, mask, scale)

    Below opset 23, which brought the operator, the result is a call of the local function `regraft::Attention`; from 23
    on such calls become the operator. Q, K and V are `[B, S, N·D]`, as projections make them, so that the splitting and
    merging of heads goes too; where something stands between the projections and the heads (rotary positions, places
    before the batch) they are `[B, N, S, D]`. All factors on Q, K and the scores are one `scale`; masks that choose
    between a score and a large negative number are added, those that choose -inf are the operator's conditions.

    As the operator is defined, a row that is masked with -inf throughout gives 0, and a NaN in the inputs is forwarded.
    PyTorch's exports guard the Softmax by IsNaN, and so give 0 for both; where there is no guard both gave NaN. ONNX
    Runtime's operator takes the least finite number in a mask for -inf: a mask that may hold it is raised to a quarter
    of it.
    """

    name = "fuse-attention"
    contract = reassociation
    removes = frozenset({"Add", "Div", "IsNaN", "MatMul", "Mul", "Reshape", "Softmax", "Transpose", "Where"})
    introduces = frozenset({"Attention", "Concat", "Expand", "Shape", "Unsqueeze", "Where"})

    needs = (TYPES,)

    def has_work(self, model: Model) -> bool:
        return any(schema.kind(node) in ("Softmax", "Attention") for node in model.nodes())

    def run(self, model: Model, context: Context) -> None:
        facts, ranges = analyse(model), model.facts(MaskRanges)
        places = [(*item, graph) for graph in rewritable_graphs(model) for item in look_at(graph, facts).items()]
        with Editor(model) as edit:
            for node, found, graph in reversed(places):  # what is read by a later one is then still there
                if isinstance(found, Attention):
                    self._fuse(found, graph, facts, ranges, edit, context)
                else:
                    context.refuse(replace(found, quiet=not found.needs), node)

    def _fuse(
        self, found: Attention, graph: AnyGraph, facts: Facts, ranges: MaskRanges, edit: Editor, context: Context
    ) -> None:
        is_operator = graph.opset >= OPERATOR_SINCE
        obstacle, form = _obstacle(found, edit, facts), form_of(found, facts)
        mask = mask_of(found, facts, ranges, _floor(found) if is_operator else -math.inf)
        if obstacle is not None or isinstance(form, Refusal) or isinstance(mask, Refusal):
            refusal = next(one for one in (obstacle, form, mask) if isinstance(one, Refusal))
            context.refuse(replace(refusal, quiet=found.softmax.op != "Softmax"), found.softmax)
            return
        if not _is_done(found, form, graph.opset):
            call = _operator if is_operator else _function
            root = found.result.values[form.position].inputs[0]
            added = put(root, [form.finish(call(found, form, mask, facts, edit))], graph, edit)
            context.replaced([root, *remove_unread_makers(root, edit)], added, found.softmax.op)


def _obstacle(found: Attention, edit: Editor, facts: Facts) -> Refusal | None:
    """Why the nodes of `found` cannot go."""
    if found.drops:
        return run_before(PassRef("strip-dropout"), "a Dropout in training mode stands inside")
    if found.scale <= 0:
        return Refusal(f"the operator takes no scale of {found.scale:g}")
    if found.context.op == "Attention" and (found.context.inputs[4:] or found.context.outputs[1:]):
        return Refusal("it has past or present keys and values")
    if any(n.op == "Cast" and facts[n.inputs[0]].code != facts[n.outputs[0]].code for n in found.inner[:-1]):
        return Refusal("the Softmax is computed in another type")
    return read_elsewhere((node.outputs[0] for node in found.inner[:-1]), set(found.inner), edit)


def _floor(found: Attention) -> float:
    """The least number that finite masks may hold, so that the sum of two is not the least that there is."""
    return -math.inf if found.output.dtype is None else -largest(found.output.dtype) / 4


def _is_done(found: Attention, form: Form, opset: int) -> bool:
    """Whether `found` is what would take its place."""
    if schema.kind(found.context) != "Attention" or (found.context.domain is None) != (opset >= OPERATOR_SINCE):
        return False
    operands = zip((form.q, form.k, form.v), (found.query, found.key, found.value), strict=True)
    return all(isinstance(term, Given) and term.value is tensor for term, tensor in operands)


def _operator(found: Attention, form: Form, mask: MaskForm | None, facts: Facts, edit: Editor) -> Term:
    kept = found.context.attrs if found.context.op == "Attention" else {}
    attrs = {name: value for name, value in kept.items() if name in ("is_causal", "softcap", "softmax_precision")}
    if form.packed:
        attrs |= {"q_num_heads": found.q.heads, "kv_num_heads": found.k.heads}
    full = None if mask is None else _full(mask.term, found, form, facts)
    return op.Attention(form.q, form.k, form.v, full, scale=form.scale, **attrs)


def _function(found: Attention, form: Form, mask: MaskForm | None, facts: Facts, edit: Editor) -> Term:
    given = [] if mask is None else [op.Where(mask.term, 0.0, -math.inf) if mask.chooses else mask.term]
    heads = {"q_num_heads": found.q.heads, "kv_num_heads": found.k.heads} if form.packed else {}
    attrs = {"scale": form.scale, "masked": len(given), **heads}
    name, attrs = decomposed.provide(edit.model, "Attention", attrs, found.output.dtype)
    return getattr(op[schema.STAND_IN], name)(form.q, form.k, form.v, *given, **attrs)


def _full(mask: Term, found: Attention, form: Form, facts: Facts) -> Term:
    """`mask` with a number for each query and key: ONNX Runtime does not broadcast it along these axes."""
    sizes: list[Any] = [np.array([1]), np.array([1])]
    for operand, term, axis in ((found.q, form.q, -2), (found.k, form.k, -1)):
        size = (facts[operand.tensor].dims or (None, None))[-1 if operand.transposed else -2]
        shapes = ((part.swapped, facts[part.tensor].dims or ()) for part in found.parts)
        if any(len(shape) > 1 and shape[-3 - axis if swapped else axis] == size for swapped, shape in shapes):
            sizes.append(np.array([1]))
        elif isinstance(size, int):
            sizes.append(np.array([size]))
        else:
            axis = 1 if form.packed else 2
            sizes.append(op.Shape(term, start=axis, end=axis + 1))
    if all(isinstance(size, np.ndarray) for size in sizes):
        whole = np.concatenate(sizes)
        return mask if (whole == 1).all() else op.Expand(mask, whole)
    return op.Expand(mask, op.Concat(*sizes, axis=0))
