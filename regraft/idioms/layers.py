"""The layers of a transformer, told by how the hidden state goes through it.

Each layer adds what attention and feed-forward compute to the hidden state that it was given, so that between two
layers there is one value that all later computation goes through: the sum, or where each sum is normalized (BERT,
against GPT-2, which normalizes what it then computes with), the normalized sum. Names play no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regraft.idioms.attention import Attention
from regraft.idioms.axis_mapping import is_weight
from regraft.idioms.dominators import Stream, ancestors
from regraft.ir.graph import AnyGraph, Node, Tensor
from regraft.ir.weights import is_float
from regraft.refusal import PassRef, Refusal, run_before


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer.

    Attributes:
        attentions: those in it, its own first; a decoder's has one to the encoder's states too.
        start: the hidden state that it is given.
        middle: the hidden state between attention and feed-forward; None where the two are not one after the other.
        end: the hidden state that it gives.
    """

    attentions: tuple[Attention, ...]
    start: Tensor
    middle: Tensor | None
    end: Tensor


def find_layers(graph: AnyGraph, attentions: Sequence[Attention]) -> list[Layer] | Refusal:
    """The layers around `attentions`, all those of `graph`, in order; else why there are none."""
    if not attentions:
        none = "no attention was found"
        by_einsum = any(node.op == "Einsum" and not node.domain for node in graph.nodes)
        return run_before(PassRef("lower-einsum"), none) if by_einsum else Refusal(none)
    last = attentions[-1].context
    after = Stream(graph, last.outputs[0], graph.outputs)
    ends = after.made.intersection(graph.outputs)
    start = _start(graph, attentions[0], ends)
    if start is None:
        first = _name(attentions[0])
        return Refusal(f"the hidden state is not added to what the first attention, at '{first}', gives")
    stream = Stream(graph, start, ends)
    astray = next((a for a in attentions if a.context not in stream.place or a.query not in stream.made), None)
    if astray is not None:
        return Refusal(f"attention '{_name(astray)}' does not follow the first")
    return _layers(stream, _groups(stream, attentions))


def _start(graph: AnyGraph, attention: Attention, ends: set[Tensor]) -> Tensor | None:
    """The hidden state around `attention`: what is added to its result, and its operands come from."""
    stream = Stream(graph, attention.context.outputs[0], ends)
    for cut in stream.cuts[1:]:
        others = [t for t in _floats(cut.inputs[0]) if t not in stream.made]
        if len(others) == 1:
            common = ancestors(attention.query) & ancestors(attention.key) & ancestors(attention.value)
            return _back_to(common, others[0])
    return None


def _back_to(values: set[Tensor], tensor: Tensor) -> Tensor | None:
    """The one of `values` that `tensor` is made of, by nodes that read nothing else."""
    while tensor not in values:
        sources = _floats(tensor.inputs[0]) if tensor.inputs else []
        if len(sources) != 1:
            return None
        tensor = sources[0]
    return tensor


def _floats(node: Node) -> list[Tensor]:
    """The numbers that `node` computes with, but for weights."""
    return [t for t in node.inputs if t.dtype is not None and is_float(t.dtype) and not is_weight(t)]


def _groups(stream: Stream, attentions: Sequence[Attention]) -> list[list[Attention]]:
    """The attentions of each layer: one that computes with itself begins the next."""
    groups: list[list[Attention]] = []
    for attention in attentions:
        is_beside = groups and stream.first_cut(groups[-1][-1].context) == stream.first_cut(attention.context)
        if is_beside or attention.key not in stream.made:
            groups[-1].append(attention)
        else:
            groups.append([attention])
    return groups


def _layers(stream: Stream, groups: Sequence[Sequence[Attention]]) -> list[Layer] | Refusal:
    layers: list[Layer] = []
    start, tail = 0, None
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        limit = len(stream.cuts) - 1 if following is None else stream.first_cut(following[0].context) - 1
        attended = stream.first_cut(group[-1].context)
        if attended > limit:
            return Refusal(f"no value holds all that follows attention '{_name(group[-1])}'")
        middle = next((cut for cut in range(attended, limit) if stream.has_product(cut)), None)
        added = attended if middle is None else middle + 1
        if following is not None:
            end, tail = limit, limit - added
        elif tail is not None:
            end = _end(stream, added, tail)
        else:
            end = added if middle is None else _end(stream, added, middle - attended)
        between = None if middle is None else stream.cuts[middle]
        layers.append(Layer(tuple(group), stream.cuts[start], between, stream.cuts[end]))
        start = end
    return layers


def _end(stream: Stream, added: int, tail: int) -> int:
    """The cut at the end of the last layer, as far behind the last sum as behind others: what normalizes it."""
    end = added
    while end < min(added + tail, len(stream.cuts) - 1) and not stream.has_product(end):
        end += 1
    return end


def _name(attention: Attention) -> str:
    return attention.context.name or attention.context.outputs[0].name
