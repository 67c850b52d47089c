"""PopRT's operators for packing, in place of ONNX's.

    Unpack(x[rows, tokens, H], unpack_info[sequences, 1])  →  [sequences, longest, H]
    AttentionMask(ids[rows, tokens], scores[rows, N, tokens, tokens])  →  what is added to scores, 0 within a segment

`unpack_info` has the length of each sequence; their tokens lie one behind the other, across rows, as `pack_data` of
PopRT's example puts them. Each operator is the call of a local function with its name, whose body says this in ONNX's:
ONNX Runtime computes the very graph in which PopRT finds its operators. For the way back PopRT documents no inputs: it
stays a Gather, by places that the device computes of `unpack_info`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from regraft import shapes
from regraft.errors import PassError
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.weights import code_of
from regraft.packers.fits import PackedShape, write_shape
from regraft.packing.segments import HIDDEN_SCORE
from regraft.pipelines.pass_base import Context, label
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.local_function import add_function
from regraft.rewriting.node_pass import builder, put
from regraft.rewriting.term import Given, Term, op
from regraft.splitting import drop_inputs, to_host

DOMAIN = "ai.graphcore"
UNPACK_INFO = "unpack_info"
"""What PopRT's examples, and its runner, call the lengths."""

_INT32, _INT64, _BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
_SCORES = {np.dtype(np.float32): "FLOAT", np.dtype(np.float16): "FLOAT16"}


def use_unpack(model: Model, shape: PackedShape, fed: Mapping[str, Tensor], context: Context) -> None:
    """Unpack by PopRT's Unpack; the device takes `unpack_info`, int32[sequences, 1], beside what is packed.

    Args:
        model: in which attention gets one sequence a row, packed into `shape`.
        fed: the device's inputs by the names that packing gave them.

    Raises:
        PassError: the mask says more than which tokens there are.
    """
    mask, slots, places = fed[shape.mask], fed["unpack_index"], fed.get("repack_index")
    rank, graph, added = len(mask.shape or ()), model.graph, list[Node]()
    if rank > 2 or shape.is_added:
        raise PassError(
            f"mask '{shape.mask}' is {mask.dtype}{mask.shape}: PopRT's Unpack is told lengths, by a mask [batch, "
            "sequence] that is not 0 where a token is, or by lengths [batch]; leave dialect=poprt out"
        )
    with Editor(model) as edit:
        masked, unpacking = list(edit.users(mask)), list(edit.users(slots))
        build = builder(graph.nodes[0], graph, edit, added, np.dtype(np.int32))
        info = build(op.Cast(_lengths(mask), to=_INT32))
        info.shape = [shape.sequences, 1]
        lengths, steps = Given(info), np.arange(shape.longest, dtype=np.int32)[None]
        shown = op.Less(steps, lengths) if rank == 2 else op.Reshape(lengths, np.array([-1]))
        seen = build(op.Cast(shown, to=code_of(mask.dtype)))
        for node in masked:
            edit.touch(node)
            for index in [index for index, tensor in enumerate(node.inputs) if tensor is mask]:
                node.inputs[index] = seen
        _add_unpack(model, shape)
        for node in unpacking:
            context.replaced([node], put(node, [_unpacked(node, info, shape)], graph, edit), rule="Unpack")
        if places is not None:
            edit.replace(places, build(_places(lengths, shape)))
        context.replaced([], added, rule="Unpack")
        edit.remove_unread(graph.nodes)
    to_host(model, {UNPACK_INFO: info}, context, rule="Unpack")
    drop_inputs(model, [tensor for tensor in (mask, slots, places) if tensor is not None])
    write_shape(model.metadata, replace(shape, aligned=True))
    shapes.infer(model)


def _lengths(mask: Tensor) -> Term:
    """int64[sequences, 1]."""
    if len(mask.shape or ()) == 1:
        return op.Unsqueeze(op.Cast(Given(mask), to=_INT64), axes=[1])
    return op.ReduceSum(op.Cast(op.Cast(Given(mask), to=_BOOL), to=_INT64), axes=[1], keepdims=1)


def _unpacked(node: Node, info: Tensor, shape: PackedShape) -> Term:
    """What `node`, a Gather of tokens that lie one behind the other, gives."""
    tokens = node.inputs[0]
    producer = tokens.producer
    source = producer.inputs[0] if producer is not None and producer.op == "Reshape" else tokens
    rest = list(node.outputs[0].shape or ())[2:]
    rows = [shape.rows, shape.tokens, math.prod(rest)]
    value: Term = Given(source) if list(source.shape or ()) == rows else op.Reshape(Given(source), np.array(rows))
    unpacked = op[DOMAIN].Unpack(value, Given(info), max_valid_num=shape.sequences, segment_max_size=[shape.longest])
    return unpacked if len(rest) == 1 else op.Reshape(unpacked, np.array([shape.sequences, shape.longest, *rest]))


def _places(lengths: Term, shape: PackedShape) -> Term:
    """int32[rows, tokens], where in what was unpacked the token of each place lies; 0 where there is none."""
    ends, places = op.CumSum(lengths, 0), np.arange(shape.rows * shape.tokens, dtype=np.int32)
    ended = op.Cast(op.Not(op.Less(places[None], ends)), to=_INT32)
    number = op.ReduceSum(ended, axes=[0], keepdims=0)
    start = op.ReduceMax(ended * ends, axes=[0], keepdims=0)
    found = op.Where(op.Less(number, shape.sequences), number * shape.longest + (Given(places) - start), 0)
    return op.Reshape(found, np.array([shape.rows, shape.tokens]))


def _add_unpack(model: Model, shape: PackedShape) -> None:
    """The function Unpack; at places behind a sequence it gives the first token."""
    x, info = Variable("x"), Variable("info")
    lengths = op.Cast(Given(info), to=_INT64)
    steps = np.arange(shape.longest)[None]
    slots = op.Where(op.Less(steps, lengths), op.CumSum(lengths, 0, exclusive=1) + steps, 0)
    width = op.Gather(op.Shape(Given(x)), np.array([2]), axis=0)
    tokens = op.Reshape(Given(x), op.Concat(np.array([-1]), width, axis=0))
    attrs = ("max_valid_num", "segment_max_size")
    add_function(model, DOMAIN, "Unpack", [x, info], op.Gather(tokens, slots, axis=0), attrs, np.dtype(np.int64))


def use_attention_mask(model: Model, fed: Mapping[str, Tensor], context: Context) -> None:
    """Hide the tokens of other segments by PopRT's AttentionMask.

    Args:
        model: in which attention sees several sequences a row.
        fed: the device's inputs by the names that packing gave them.

    Raises:
        PassError: what hides other segments is not added to scores [rows, N, tokens, tokens].
    """
    ids, order = fed["segment_ids"], {node: n for n, node in enumerate(model.graph.nodes)}
    with Editor(model) as edit:
        hiding = _hiding(ids, edit)
        if len({node.outputs[0].dtype for node in hiding}) > 1:
            raise PassError("scores are of several types; PopRT's AttentionMask is written for one")
        for choice in hiding:
            bias = choice.outputs[0]
            sums = sorted(edit.users(bias), key=order.__getitem__)
            kind = _SCORES.get(np.dtype(bias.dtype))
            if choice.op != "Where" or kind is None or any(node.op != "Add" for node in sums):
                hides = (
                    f"'{label(sums[0])}' ({sums[0].op}) hides other segments, and PopRT's AttentionMask is added to "
                    "scores [rows, N, tokens, tokens]; put lower-attention in front, or leave dialect=poprt out"
                )
                raise PassError(Refusal(hides, needs=(PassRef("lower-attention"),)))
            scores = next(tensor for tensor in sums[0].inputs if tensor is not bias)
            added: list[Node] = []
            _add_attention_mask(model, np.dtype(bias.dtype))
            numbers = op.Cast(Given(ids), to=_INT32)
            term = op[DOMAIN].AttentionMask(numbers, Given(scores), dataType=kind)
            made = builder(sums[0], model.graph, edit, added)(term)
            made.dtype, made.shape = bias.dtype, bias.shape
            edit.replace(bias, made)
            context.replaced([choice], added, rule="AttentionMask")
        edit.remove_unread(model.graph.nodes)
    shapes.infer(model)


def _hiding(ids: Tensor, edit: Editor) -> list[Node]:
    """The nodes that make of two segments that are one, or not, what attention reads."""
    wide = [node.outputs[0] for node in edit.users(ids) if node.op == "Unsqueeze"]
    same = dict.fromkeys(node.outputs[0] for tensor in wide for node in edit.users(tensor))
    return list(dict.fromkeys(node for tensor in same for node in edit.users(tensor)))


def _add_attention_mask(model: Model, dtype: np.dtype[Any]) -> None:
    """The function AttentionMask, for scores of `dtype`."""
    ids, scores = Variable("ids"), Variable("scores")
    same = op.Equal(op.Unsqueeze(Given(ids), axes=[1, 3]), op.Unsqueeze(Given(ids), axes=[1, 2]))
    bias = op.Where(same, np.zeros((), dtype), np.full((), HIDDEN_SCORE, dtype))
    add_function(model, DOMAIN, "AttentionMask", [ids, scores], bias, ["dataType"], dtype)
