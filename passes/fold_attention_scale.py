"""The scale of attention goes into the weights that make the queries."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from regraft.analysis.scalar_constants import scales
from regraft.idioms.additive_mask import MASKING
from regraft.idioms.attention import Attention, find_attentions
from regraft.idioms.external_uses import read_elsewhere
from regraft.idioms.projection import find_projection
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.pipelines.pass_base import TYPES, Context, Pass, label
from regraft.refusal import PassRef, Refusal, run_before
from regraft.rewriting.derive import Products
from regraft.rewriting.node_pass import put
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.rewriting.term import Given
from regraft.shapes import Facts, analyse
from regraft.verification.contract import reassociation


class FoldAttentionScale(Pass):
    """Multiply the weights that make the queries by attention's scale, and the scores no more.

    Softmax(((x W + b) Kᵀ) · s + mask) V  →  Softmax((x (s W) + s b) Kᵀ + mask) V

    The factor may stand on the queries, the keys, the scores, or on several of them. Where one layer makes queries,
    keys and values, only the columns of the queries are multiplied. Where the layer cannot be changed (its weight is no
    constant, or what it makes is read elsewhere too), one Mul of the queries takes the place of the factors. Weights
    are multiplied while the model is saved. Where s is a power of two, as for heads of 16 and 64 elements, every bit
    stays.

    The Attention operator has its scale as an attribute, and stays.
    """

    name = "fold-attention-scale"
    contract = reassociation
    removes = frozenset({"Div", "Mul"})

    needs = (TYPES,)

    def has_work(self, model: Model) -> bool:
        return any(node.op == "Softmax" for node in model.nodes())

    def run(self, model: Model, context: Context) -> None:
        facts = analyse(model)
        with Editor(model) as edit:
            weights = Products(edit)
            for graph in rewritable_graphs(model):
                for found in find_attentions(graph, facts):
                    _fold(found, graph, facts, weights, context)


def _fold(found: Attention, graph: AnyGraph, facts: Facts, weights: Products, context: Context) -> None:
    edit, factors = weights.edit, _factors(found, facts)
    if not factors:
        return
    first = next(iter(factors))
    refusal = _reason_to_keep(found, factors.keys(), edit)
    changes = refusal or _changed_layer(found, graph.opset, facts, weights)
    if isinstance(changes, Refusal) and (refusal or (len(factors) == 1 and first in found.q.view.nodes)):
        context.refuse(changes, first)
        return
    for node, source in factors.items():
        edit.replace(node.outputs[0], source)
        edit.remove(node)
    if isinstance(changes, Refusal):
        context.refuse(changes, found.scores, f"{label(found.scores)} gets one Mul of its queries")
        left, right = (Given(tensor) for tensor in found.scores.inputs)
        product = left @ (right * found.scale) if found.q.transposed else (left * found.scale) @ right
        context.replaced([*factors, found.scores], put(found.scores, [product], graph, edit), "one factor")
        return
    added = [_with_inputs(node, constants, edit) for node, constants in changes.items()]
    context.replaced([*factors, *changes], added, "into weights")


def _factors(found: Attention, facts: Facts) -> dict[Node, Tensor]:
    """The nodes that multiply queries, keys or scores by a number, and what they multiply."""
    between = found.inner[: found.inner.index(found.softmax)]
    nodes = (*found.q.view.nodes, *found.k.view.nodes, *between)
    return {node: scaled[0] for node in nodes if (scaled := scales(node, facts)) is not None and scaled[1] != 1}


def _reason_to_keep(found: Attention, factors: Set[Node], edit: Editor) -> Refusal | None:
    """Why what is multiplied by the factors cannot do without."""
    indices = [index for index, node in enumerate(found.inner) if node in factors]
    last = max(indices, default=0)
    if any(node.op in MASKING and node not in factors for node in found.inner[:last]):
        return Refusal("the mask is multiplied too")
    values = [node.outputs[0] for node in found.inner[:last]]
    for view in (found.q.view, found.k.view):
        start = next((index for index, node in enumerate(view.nodes) if node in factors), len(view.nodes))
        values += view.values[start + 1 :]
    return read_elsewhere(values, set(found.nodes), edit)


def _changed_layer(
    found: Attention, opset: int, facts: Facts, weights: Products
) -> dict[Node, dict[int, Constant]] | Refusal:
    """The nodes that make the queries, with what constants of theirs become, by place; else why they must stay."""
    layers = [find_projection(operand.view.source, opset, facts) for operand in (found.q, found.k, found.v)]
    q = layers[0]
    if isinstance(q, Refusal):
        return q
    inside = set(found.nodes)
    for layer in layers:
        if (
            not isinstance(layer, Refusal)
            and layer.layer is q.layer
            and (layer is q or not (layer.columns & q.columns).any())
        ):
            inside.update(value.inputs[0] for value in layer.values[1:])
    refusal = read_elsewhere([*q.values, *found.q.view.values[1:]], inside, weights.edit)
    if refusal is not None:
        return refusal
    whole = np.array(found.scale)
    columns = whole if q.is_whole else np.where(q.columns, found.scale, 1.0)
    rows = q.layer.op == "Gemm" and q.layer.attrs.get("transB") and columns.ndim
    wanted = [(q.layer, 1, columns[:, None] if rows else columns)]
    wanted += [(q.layer, 2, columns)] if len(q.layer.inputs) > 2 and q.layer.inputs[2].name else []
    wanted += [(node, index, columns if i < q.common else whole) for i, (node, index) in enumerate(q.biases)]
    changes: dict[Node, dict[int, Constant]] = {}
    for node, index, factor in wanted:
        constant = weights.times(node.inputs[index], factor)
        if constant is None:
            computed = f"'{node.inputs[index].name}' is no constant that can be multiplied"
            return run_before(PassRef("fold-constants"), computed)
        changes.setdefault(node, {})[index] = constant
    return changes


def _with_inputs(node: Node, constants: dict[int, Constant], edit: Editor) -> Node:
    """`node` with other inputs, in its place."""
    inputs = [constants.get(index, tensor) for index, tensor in enumerate(node.inputs)]
    made = edit.insert(node, node.op, inputs, dict(node.attrs), hint=node.name)
    made.outputs[0].dtype, made.outputs[0].shape = node.outputs[0].dtype, node.outputs[0].shape
    edit.replace(node.outputs[0], made.outputs[0])
    edit.remove(node)
    return made
