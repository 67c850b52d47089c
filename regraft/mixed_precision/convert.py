"""Give every group its precision: dtypes, weights, and the casts between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.order import sort
from regraft.ir.weights import Array, Derived, Value, code_of
from regraft.mixed_precision.dtype_support import SAYS_DTYPE
from regraft.mixed_precision.overflow import FloatLimits
from regraft.mixed_precision.precision_group import PrecisionGroup, Slot
from regraft.mixed_precision.precision_groups import INDIFFERENT, SINGLE, is_constant
from regraft.pipelines.pass_base import Context
from regraft.rewriting import decomposed
from regraft.rewriting.rule_pass import rewritable_graphs

Reading = tuple[PrecisionGroup, Slot]

_LARGE = 1024  # bytes from which on a weight is converted while it is saved


def convert(
    model: Model, groups: Sequence[PrecisionGroup], unfit: Mapping[Tensor, str], limits: FloatLimits, context: Context
) -> dict[str, Tensor]:
    """Lower the groups that are to be lowered.

    Args:
        unfit: values that are clipped before they are lowered, with the reason.

    Returns:
        For each input of the main graph that is to be in half precision, by name, the value that is; it stands behind
        a Cast, for the host to do.
    """
    with Editor(model) as edit:
        converter = _Converter(model, edit, unfit, limits, context)
        inputs = converter.convert(groups)
    for graph in model.graphs():
        sort(graph)
    return inputs


class _Converter:
    def __init__(self, model: Model, edit: Editor, unfit: Mapping[Tensor, str], limits: FloatLimits, context: Context):
        self.edit, self.unfit, self.limits, self.context = edit, unfit, limits, context
        self.half = limits.dtype
        self.starts: dict[Tensor, AnyGraph] = {t: graph for graph in model.graphs() for t in graph.inputs}
        self.main = model.graph
        self.weights: dict[tuple[int, bool], tuple[Any, Value | Array]] = {}
        self.unread: dict[Tensor, None] = {}
        self.low: set[Tensor] = set()  # the values that are in half precision

    def convert(self, groups: Sequence[PrecisionGroup]) -> dict[str, Tensor]:
        producers: dict[Tensor, PrecisionGroup] = {tensor: group for group in groups for tensor in group.writes}
        readers: dict[Tensor, list[Reading]] = {}
        for group in groups:
            for slot in group.reads:
                readers.setdefault(slot.tensor, []).append((group, slot))
            if group.lowered and group.node is not None and group.writes and not group.boundary:
                self.retarget(group.node)
        for slot in _indifferent(self.edit.model):
            if slot.tensor in producers:
                readers.setdefault(slot.tensor, []).append((producers[slot.tensor], slot))
        inputs = {}
        for tensor in dict.fromkeys((*producers, *readers)):
            producer, reading = producers.get(tensor), readers.get(tensor, [])
            if is_constant(tensor):
                self.constant(tensor, reading)
            elif producer is None or not producer.lowered:
                self.kept(tensor, reading)
            elif producer.boundary:
                self.boundary(tensor, reading)
            elif tensor in self.starts and self.starts[tensor] is self.main:
                inputs[tensor.name] = self.start(tensor, reading)
            else:
                self.lowered(tensor, reading)
        self.tidy(groups)
        return inputs

    # ------------------------------------------------------------------------------------------------ values

    def kept(self, tensor: Tensor, reading: Sequence[Reading]) -> None:
        """A 32-bit float: what is lowered reads it through one Cast; an output of the model that is lowered is it."""
        fitting = [(group, slot) for group, slot in reading if group.lowered]
        if tensor in self.unfit and any(group.clips for group, _ in fitting):
            clipped = self.cast(self.clip(tensor), self.half)
            self.give([slot for group, slot in fitting if group.clips], clipped)
            fitting = [(group, slot) for group, slot in fitting if not group.clips]
        if any(slot.holder is self.main for _, slot in fitting):
            wide = self.stand_in(tensor, SINGLE)
            self.cast(wide, self.half, tensor)
            self.give([slot for group, slot in reading if not group.lowered], wide)
            return
        here = self.home(tensor)
        boundary = next(
            (u.node for u, _ in fitting if u.boundary and u.node and self.edit.graph_of(u.node) is here), None
        )
        others = [slot for _, slot in fitting if slot.holder is not boundary]
        if others:
            self.give(others, boundary.outputs[0] if boundary else self.cast(tensor, self.half))

    def lowered(self, tensor: Tensor, reading: Sequence[Reading]) -> None:
        """In half precision: what is kept reads it through one Cast; an output of the model that is kept is it."""
        wanting = [slot for group, slot in reading if not group.lowered]
        if any(slot.holder is self.main for slot in wanting):
            low = self.stand_in(tensor, self.half)
            self.cast(low, SINGLE, tensor)
            self.give([slot for group, slot in reading if group.lowered], low)
            return
        tensor.dtype = self.half
        self.low.add(tensor)
        if wanting:
            self.give(wanting, self.cast(tensor, SINGLE))

    def boundary(self, tensor: Tensor, reading: Sequence[Reading]) -> None:
        """What a Cast made of half precision: only what is kept needs it."""
        cast, low = tensor.inputs[0], tensor.inputs[0].inputs[0]
        self.low.add(low)
        if any(group.lowered and slot.holder is self.main for group, slot in reading):
            cast.op, cast.attrs, tensor.dtype = "Identity", {}, self.half
            wanting = [slot for group, slot in reading if not group.lowered]
            if wanting:
                self.give(wanting, self.cast(low, SINGLE))
        else:
            self.give([slot for group, slot in reading if group.lowered], low)

    def start(self, tensor: Tensor, reading: Sequence[Reading]) -> Tensor:
        """An input of the main graph that is to be lowered."""
        low = self.cast(tensor, self.half)
        self.give([slot for group, slot in reading if group.lowered], low)
        wanting = [slot for group, slot in reading if not group.lowered]
        if wanting:
            self.give(wanting, self.cast(low, SINGLE))
        return low

    def constant(self, tensor: Tensor, reading: Sequence[Reading]) -> None:
        """Stored in the precision of its readers; twice where they differ."""
        wanting = [(group, slot) for group, slot in reading if group.lowered]
        if not wanting:
            return
        if isinstance(tensor, Constant) and len(wanting) == len(reading):
            tensor.values = self.weight(tensor)
            self.low.add(tensor)
            return
        copy = self.edit.constant(self.weight(tensor), f"{tensor.name}_{self.half}")
        self.low.add(copy)
        self.give([slot for _, slot in wanting], copy)

    def weight(self, tensor: Tensor) -> Value | Array:
        """The value in half precision; of a large weight when it is saved, and once for all constants that share it."""
        held = tensor.lazy if isinstance(tensor, Constant) else tensor
        clips = tensor in self.unfit
        if (id(held), clips) not in self.weights:
            half, bound = self.half, self.limits.bound if clips else np.inf

            def lower(array: Array) -> Array:
                return np.asarray(np.clip(array, -bound, bound) if clips else array, half)

            if isinstance(held, Value) and held.nbytes >= _LARGE:
                value: Value | Array = Derived([held], lower, held.shape, half)
            else:
                value = lower(np.asarray(schema.constant_of(tensor)))
            self.weights[id(held), clips] = held, value
        return self.weights[id(held), clips][1]

    # ------------------------------------------------------------------------------------------------ edits

    def give(self, slots: Sequence[Slot], tensor: Tensor) -> None:
        """Let `slots` read `tensor`."""
        for holder, index in slots:
            old = Slot(holder, index).tensor
            self.unread[old] = None
            if isinstance(holder, Node):
                holder.inputs.redirect(index, tensor)
            else:
                holder.outputs[index] = tensor
                self.edit.graph_outputs.setdefault(tensor, []).append(holder)
                self.edit.graph_outputs[old].remove(holder)
                if not self.edit.graph_outputs[old]:
                    del self.edit.graph_outputs[old]

    def home(self, tensor: Tensor) -> AnyGraph:
        return self.starts[tensor] if tensor in self.starts else self.edit.graph_of(tensor.inputs[0])

    def cast(self, tensor: Tensor, dtype: np.dtype[Any], output: Tensor | None = None) -> Tensor:
        """`tensor` as `dtype`."""
        name = output.name if output is not None else f"{tensor.name}_{dtype}"
        if output is None:
            output = Variable(self.edit.name(name), dtype, tensor.shape)
            output.promised = getattr(tensor, "promised", None)
        anchor = self.starts[tensor].nodes[0] if tensor in self.starts else tensor.inputs[0]
        node = self.edit.insert(anchor, "Cast", [tensor], {"to": code_of(dtype)}, [output], hint=f"{name}/Cast")
        self.context.replaced([], [node], "cast")
        self.low.update([output] if dtype == self.half else [])
        output.dtype = dtype
        return output

    def stand_in(self, tensor: Tensor, dtype: np.dtype[Any]) -> Variable:
        """A new value that takes the place of `tensor`, an output of the model, as what its node makes."""
        value = Variable(self.edit.name(f"{tensor.name}_{dtype}"), dtype, tensor.shape)
        producer = tensor.inputs[0]
        producer.outputs.redirect(producer.place_of(tensor), value)
        self.low.update([value] if dtype == self.half else [])
        return value

    def clip(self, tensor: Tensor) -> Variable:
        """`tensor` within what half precision has room for."""
        anchor = self.starts[tensor].nodes[0] if tensor in self.starts else tensor.inputs[0]
        graph, bound = self.edit.graph_of(anchor), self.limits.bound
        inputs = [tensor, self.edit.scalar(-bound, SINGLE, graph), self.edit.scalar(bound, SINGLE, graph)]
        output = Variable(self.edit.name(f"{tensor.name}_clipped"), SINGLE, tensor.shape)
        node = self.edit.insert(anchor, "Clip", inputs, None, [output])
        self.context.replaced([], [node], "clip")
        self.context.note(f"'{tensor.name}' {self.unfit[tensor]}: clipped to ±{bound:g} where it is lowered")
        return output

    def retarget(self, node: Node) -> None:
        """Let a node make half precision where that is not for its inputs to say."""
        attribute = SAYS_DTYPE.get(node.op)
        if node.domain == schema.STAND_IN:
            node.op, node.attrs = decomposed.provide(self.edit.model, schema.kind(node), dict(node.attrs), self.half)
        elif attribute == "value":
            given = node.attrs.get("value")
            fill = np.zeros(1, np.float32) if given is None else given.values
            node.attrs["value"] = Constant("value", fill.astype(self.half))
        elif attribute is not None:
            node.attrs[attribute] = code_of(self.half)
        elif node.op == "DequantizeLinear":
            if node.attrs.get("output_dtype"):
                node.attrs["output_dtype"] = code_of(self.half)
        elif node.op == "Attention":
            node.attrs.setdefault("softmax_precision", code_of(SINGLE))

    def tidy(self, groups: Sequence[PrecisionGroup]) -> None:
        """Remove casts between values of one precision, and what only made values that nothing reads any more."""
        for tensor in self.unread:
            tensor.outputs.settle()
        for group in groups:
            node = group.node
            if group.boundary and node is not None and group.reads and node.inputs[0] in self.low:
                self.edit.replace(node.outputs[0], node.inputs[0])
                self.edit.remove(node)
                self.context.replaced([node], rule="cast")
        producers = dict.fromkeys(node for tensor in self.unread for node in tensor.inputs)
        for node in self.edit.remove_unread(n for n in producers if n.op in ("Cast", "Constant") and not n.domain):
            self.context.replaced([node], rule="cast" if node.op == "Cast" else "constant")


def _indifferent(model: Model) -> Iterator[Slot]:
    """What reads a value in whatever precision it is made."""
    for graph in rewritable_graphs(model):
        for node in graph.nodes:
            if node.op in INDIFFERENT and not node.domain and node.inputs:
                yield Slot(node, 0)
