"""The arithmetic of attention masks moves to the host; the device adds what it is given."""

from __future__ import annotations

import functools
import operator
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from regraft import shapes
from regraft.analysis.backward_slice import HIDING, BackwardSlices, Slice
from regraft.analysis.interval import largest
from regraft.analysis.uniformity import Uniformity
from regraft.analysis.value_numbering import ValueNumbers
from regraft.analysis.value_ranges import ValueRanges
from regraft.errors import PassError
from regraft.idioms.additive_mask import Masking, find_maskings
from regraft.idioms.mask_chains import MaskChain, find_mask_chains, rows_alike
from regraft.idioms.mask_products import MaskProducts
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor
from regraft.ir.model import Model
from regraft.ir.weights import code_of
from regraft.ops.traits import SHAPE_ONLY
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import EVERY, Context, Pass, label
from regraft.refusal import Refusal
from regraft.rewriting.node_pass import builder, remove_unread_makers
from regraft.rewriting.term import Given, Term, op
from regraft.shapes import Facts, dims
from regraft.splitting import cone, drop_inputs, take_sizes, to_host
from regraft.verification.contract import interface


class ExternalizeMask(Pass):
    """Let the host compute attention masks, and the device take them as an additive bias.

    scores + (1 - m) · -3.4e38          →  scores + attention_bias[B, 1, 1, S]
    scores + Where(visible, 0, -inf)    →  the same; [B, 1, S, S] where rows differ, as in a causal mask
    Where(visible, scores, -3.4e38)     →  the same
    Attention(q, k, v, mask)            →  Attention(q, k, v, attention_bias), always with rows

    Whatever computes the mask goes to the host: Range, Expand, GatherND, comparisons, the clamp to `value`. It is one
    input for all layers that mask alike. A mask over rows that are all the same loses them: the device broadcasts.
    A learned position bias that is added to a mask stays on the device, and so does a mask that is a constant, or that
    the caller gives as it is added. What asks the former inputs of the mask for their shape is given that of the bias.
    Behind the Softmax a guard against NaN goes, and a product with the mask: what is hidden has the weight 0 already.

    The outputs are the same but for rows that hide everything; see `clamp-mask-value`.
    """

    name = "externalize-mask"
    contract = interface
    removes = EVERY
    introduces = frozenset({"Add", "Cast", "Concat", "Gather", "Shape", "Transpose"})
    input: str = option("attention_bias", "name of the input that the device takes")
    value: float = option(-10000.0, "what hides; below zero")
    dtype: Literal["same", "float32", "float16"] = option("same", "of the input; same: as that of the scores")

    def run(self, model: Model, context: Context) -> None:
        if self.value > HIDING:
            raise PassError(f"{self.name}: a mask of {self.value:g} does not hide; give {HIDING:g} or less")
        shapes.infer(model)
        every = find_maskings(model.graph)
        chains, refusals = find_mask_chains(every, model)
        for refusal in refusals:
            context.refuse(refusal)
        if not chains:
            context.refuse(Refusal("none is computed from inputs or their shape", heading="no mask to move"))
            return
        slices = model.facts(BackwardSlices)
        sources = [slices[masking.mask] for chain in chains for masking in chain]
        _ask_inputs(sources, shapes.analyse(model), model, context)
        biases = self._apply(chains, every, model, context)
        facts = shapes.analyse(model)
        known = {name: facts[bias].dims or () for name, bias in biases.items()}
        for name, bias in biases.items():
            bias.shape = [dims.show(dim) for dim in known[name]]
        _, starts = cone(biases.values())
        inputs = [tensor for tensor in model.graph.inputs if tensor in starts]
        for name, given in to_host(model, biases, context, rule="mask").items():
            idle = [tensor for tensor in inputs if all(node.op in SHAPE_ONLY for node in tensor.outputs)]
            with Editor(model) as edit:
                asking = dict.fromkeys(node for tensor in idle for node in tensor.outputs)
                take_sizes(asking, given, known[name], facts, edit, context)
        drop_inputs(model, inputs)
        for tensor in dict.fromkeys(tensor for source in sources for tensor in source.inputs):
            readers = [label(node) for node in tensor.outputs if node.op not in SHAPE_ONLY]
            if readers and tensor in model.graph.inputs:
                stays = f"input '{tensor.name}' stays on the device"
                context.refuse(Refusal(f"{readers[0]} reads it", heading=stays))

    def _apply(
        self, chains: Sequence[MaskChain], every: Sequence[Masking], model: Model, context: Context
    ) -> dict[str, Tensor]:
        """Let every chain add a bias; the biases, by the names of the inputs that they become."""
        same, uniform, ranges = model.facts(ValueNumbers), model.facts(Uniformity), model.facts(ValueRanges)
        gates = MaskProducts(same, ranges)
        made: dict[Hashable, Tensor] = {}
        moved = {masking for chain in chains for masking in chain}
        infinite = {m.softmax for m in every if m not in moved and not ranges[m.value].finite}
        with Editor(model) as edit:
            for chain in chains:
                axes = rows_alike(chain, uniform)
                key = (axes, _layout(chain), *((same[m.mask], m.kind, m.kind == "chosen" and m.scores) for m in chain))
                if key not in made:
                    made[key] = self._bias(chain, axes, ranges, model, edit, context)
                if chain[0].softmax not in infinite:
                    _drop(gates.guards(chain[0].softmax, edit), chain[0].softmax, edit, context)
                _drop(gates.behind(chain, edit), chain[0].softmax, edit, context)
                _add(chain, made[key], gates, model, edit, context)
        names = (self.input if number == 1 else f"{self.input}_{number}" for number in range(1, len(made) + 1))
        return dict(zip(names, made.values(), strict=True))

    def _bias(
        self, chain: MaskChain, axes: tuple[int, ...], ranges: ValueRanges, model: Model, edit: Editor, context: Context
    ) -> Tensor:
        """What the maskings of `chain` add up to, with 1 element along `axes`."""
        node, added = chain[0].node, list[Node]()
        dtype = np.dtype(node.outputs[0].dtype)
        target = dtype if self.dtype == "same" else np.dtype(self.dtype)
        if -self.value > largest(target):
            raise PassError(f"{self.name}: {target} cannot hold a mask of {self.value:g}; choose another value")
        terms = [self._term(masking, axes, ranges) for masking in chain]
        total = functools.reduce(operator.add, terms)
        if len(terms) > 1:
            total = op.Max(total, self.value)
        missing = len(node.outputs[0].shape or ()) - max(len(masking.mask.shape or ()) for masking in chain)
        if missing > 0:
            total = op.Unsqueeze(total, axes=list(range(missing)))
        if target != dtype:
            total = op.Cast(total, to=code_of(target))
        bias = builder(node, model.graph, edit, added, dtype)(total)
        bias.dtype = target
        context.replaced([], added, rule="bias")
        return bias

    def _term(self, masking: Masking, axes: tuple[int, ...], ranges: ValueRanges) -> Term:
        """What `masking` adds, no less than `value`."""
        tensor = masking.mask
        term: Term = Given(tensor)
        for axis in axes:
            if -axis <= len(tensor.shape or ()) and (tensor.shape or ())[axis] != 1:
                term = op.Gather(term, np.zeros(1, np.int64), axis=axis)
        if masking.kind == "chosen" or tensor.dtype == np.bool_:
            shown, hidden = (0.0, self.value) if masking.scores in (None, 1) else (self.value, 0.0)
            return op.Where(term, shown, hidden)
        if masking.kind == "subtracted":
            term = -term
        known = ranges[masking.value]
        low = -known.high if masking.kind == "subtracted" else known.low
        return term if known.finite and low >= self.value else op.Max(term, self.value)


def _layout(chain: MaskChain) -> tuple[int, str]:
    """Rank and type of the scores."""
    out = chain[0].node.outputs[0]
    return len(out.shape or ()), str(out.dtype)


def _ask_inputs(sources: Sequence[Slice], facts: Facts, model: Model, context: Context) -> None:
    """Let the arithmetic of masks ask inputs for sizes, those first whose values it reads, instead of hidden states."""
    computing = frozenset().union(*(source.nodes for source in sources))
    asking = [
        node
        for node in dict.fromkeys(node for source in sources for node in source.sizes)
        if node.inputs[0].inputs and node.inputs[0].inputs[0] not in computing
    ]
    read = dict.fromkeys(tensor for source in sources for tensor in source.inputs)
    with Editor(model) as edit:
        for tensor in dict.fromkeys((*read, *model.graph.inputs)):
            left = [node for node in asking if node not in edit.dead]
            take_sizes(left, tensor, facts[tensor].dims or (), facts, edit, context)
        unread = [gone for node in asking if node in edit.dead for gone in remove_unread_makers(node, edit)]
    if unread:
        context.replaced(unread, rule="unread")


# ----------------------------------------------------------------------------------------------- on the device


def _add(chain: MaskChain, bias: Tensor, gates: MaskProducts, model: Model, edit: Editor, context: Context) -> None:
    """Let `bias` be added where `chain` masks, to scores that no gate makes zero first."""
    first, added, removed = chain[0], list[Node](), list[Node]()
    for masking in chain[1:]:
        assert masking.scores is not None  # Attention, the one without, is the only mask of its chain
        edit.replace(masking.node.outputs[0], masking.node.inputs[masking.scores])
        removed.append(masking.node)
    node, transpose = first.node, first.transpose
    out: Tensor = node.outputs[0]
    term: Term = Given(bias)
    if transpose is not None:
        term = op.Transpose(term, perm=transpose.attrs.get("perm"))
    if bias.dtype != out.dtype:
        term = op.Cast(term, to=code_of(out.dtype))
    build = builder(node, model.graph, edit, added)
    if first.scores is None:
        edit.touch(node, node.inputs[3])
        node.inputs[3] = build(term)
    else:
        scores = node.inputs[first.scores]
        free = gates.without(scores, first) if len(chain) == 1 else None
        if free is not None and free.shape == scores.shape and None not in (free.shape or [None]):
            scores = free
        total = build(Given(scores) + term)
        total.dtype, total.shape = out.dtype, out.shape
        edit.replace(out, total)
        removed.append(node)
    for old in removed:
        edit.remove(old)
    unread = [gone for old in removed for gone in remove_unread_makers(old, edit)]
    context.replaced([*removed, *unread], added or [node], rule=first.node.op)


def _drop(nodes: Sequence[Node], softmax: Node, edit: Editor, context: Context) -> None:
    """Let those that read `nodes` read the probabilities."""
    for node in nodes:
        edit.replace(node.outputs[0], softmax.outputs[0])
        edit.remove(node)
        context.replaced([node, *remove_unread_makers(node, edit)], rule="idle")
