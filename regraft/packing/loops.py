"""Attention in a Loop: one sequence a turn, of exactly its length.

    packed q, k, v → unpack → scores → mask → Softmax → context → pack
    →  packed q, k, v → Loop(slice → scores → mask → Softmax → context) → ConcatFromSequence

A turn runs the nodes of the padded zone on one sequence, from its first token to its last. What they read of the packed
zone, and of the padded one, is cut to these. A mask that hides the padding alone is left out: there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from onnx import helper

from regraft.errors import PassError
from regraft.ir import schema
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable, subgraphs
from regraft.ir.surgery import Editor
from regraft.ir.weights import Value
from regraft.packing.places import Spans
from regraft.packing.tokens import BATCH, PER_ELEMENT, SEQUENCE, SIZING, Tokens, counts
from regraft.packing.zones import Zones
from regraft.pipelines.pass_ import label
from regraft.regions.attention import Attention
from regraft.rewriting.build import Builder
from regraft.rewriting.node_pass import builder
from regraft.rewriting.term import Given, Term, op
from regraft.shapes.dims import Dim, Expr

FIRST_OPSET = 13
"""The first in which a Loop carries a sequence."""

_MOVES = frozenset({"Cast", "Expand", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_ALONG = {**dict.fromkeys(("Concat", "Gather", "GatherElements", "Split"), "axis"), "Slice": "axes"}


class Loops:
    """Puts attentions of the padded zone into loops.

    Args:
        spans: where each sequence lies.
        read: what each node read before it was put into a zone.
        idle: what is left out, since it changes nothing between the tokens of a turn.
    """

    def __init__(
        self,
        edit: Editor,
        zones: Zones,
        spans: Spans,
        read: Mapping[Node, Sequence[Tensor]],
        idle: Set[Tensor],
    ):
        self.edit, self.zones, self.spans, self.read, self.idle = edit, zones, spans, read, idle
        graph = edit.model.graph
        build = builder(graph.nodes[0], graph, edit, zones.added, np.dtype(np.int64))
        self._count = build(op.Gather(op.Shape(Given(spans.starts)), 0, axis=0))

    def put(self, one: Attention, result: Tensor, nodes: Iterable[Node]) -> None:
        """Put an attention into a loop.

        Args:
            result: what it gives, from where on tokens are apart again.
            nodes: all of its nodes, makers before readers.

        Raises:
            PassError: a node does more than can be done sequence by sequence.
        """
        packed = self.zones.packed_result(result)
        region = [node for node in nodes if self.zones.state(node.outputs[0]) in ("padded", "result")]
        self._expect_alone(one, region, packed)
        turn = _Turn(self, one, result)
        for node in region:
            turn.run(node)
        made = self._loop(region[0], turn, result)
        self.edit.replace(packed, made)

    def _expect_alone(self, one: Attention, region: Sequence[Node], packed: Tensor) -> None:
        """Nothing else may read what the region gives, nor mix its tokens."""
        own = {*region, *_chain(packed, set(self.zones.added))}
        for node in region:
            if not _is_sequencewise(node, one, self.zones.tokens, self.edit.model.opset):
                raise PassError(f"'{label(node)}' ({node.op}) is not done sequence by sequence: take form=gather")
            for out in node.outputs:
                if out in self.edit.ends or any(reader not in own for reader in self.edit.readers(out)):
                    raise PassError(f"'{out.name}' of an attention is read outside of it: take form=gather")

    def _loop(self, before: Node, turn: _Turn, result: Tensor) -> Tensor:
        """The loop, and its pieces one behind the other."""
        edit, dims = self.edit, self.zones.tokens.facts[result].dims or ()
        axis = turn.token_axis(result)
        elem = turn.elem
        empty = _sequence(edit.name("packing/none"), elem)
        grown, pieces = (_sequence(edit.name(f"packing/{name}"), elem) for name in ("grown", "pieces"))
        turn.emit("SequenceInsert", [turn.pieces, turn.value_of(result)], {}, [grown])
        going = turn.emit("Identity", [turn.condition], {}, None)
        body = Graph(turn.nodes, [turn.number, turn.condition, turn.pieces], [going, grown], name="attention")
        body.opset = edit.model.opset
        going.dtype, going.shape = np.dtype(np.bool_), []
        none = edit.insert(before, "SequenceEmpty", [], {"dtype": elem}, [empty])
        loop = edit.insert(before, "Loop", [self._count, Variable(""), empty], {"body": body}, [pieces])
        joined = edit.insert(before, "ConcatFromSequence", [pieces], {"axis": axis})
        shape = np.array([_told(dim, -1) for dim in dims], np.int64)
        reshaped = edit.insert(before, "Reshape", [joined.outputs[0], edit.constant(shape, "packing/shape")])
        made: Tensor = reshaped.outputs[0]
        made.dtype = result.dtype
        self.zones.added += [none, loop, joined, reshaped]
        return made


class _Turn:
    """The body of a loop, as it is written.

    Attributes:
        elem: ONNX's number of the type of what a turn gives.
        number, condition, pieces: what a turn is given: which one it is, true, and what turns before it gave.
    """

    def __init__(self, loops: Loops, one: Attention, result: Tensor):
        self.edit, self.zones, self.read, self.idle = loops.edit, loops.zones, loops.read, loops.idle
        self.tokens = self.zones.tokens
        self.elem = self.tokens.facts[result].code
        if self.elem is None:
            raise PassError(f"the type of '{result.name}' is not known; run infer-shapes before")
        self.nodes: list[Node] = []
        self.number = Variable(self.edit.name("packing/turn"), np.int64, [])
        self.condition = Variable(self.edit.name("packing/condition"), np.bool_, [])
        self.pieces = _sequence(self.edit.name("packing/before"), self.elem)
        self._values: dict[Tensor, Tensor] = {}
        self._build = Builder(self._emit, self._store, self.edit.model.opset, np.dtype(np.int64))
        self._heads_inside = one.q.layouts[-1].split()[0] == "bn"  # what meets scores has them as these have
        spans, turn = loops.spans, Given(self.number)
        self._bounds = [op.Gather(Given(t), turn, axis=0) for t in (spans.starts, spans.ends)]
        self._cuts = [op.Gather(Given(t), turn, axis=0) for t in (spans.firsts, spans.lasts)]

    def run(self, node: Node) -> None:
        """Let a node be part of the turn; one that an idle value meets does nothing there."""
        if (place := self._passed_on(node)) is not None:
            self._values[node.outputs[0]] = self._input(node, place)
            return
        inputs = [self._input(node, place) for place in range(len(node.inputs))]
        outputs = [Variable(self.edit.name(f"{out.name}/turn") if out.name else "", out.dtype) for out in node.outputs]
        self.emit(node.op, inputs, dict(node.attrs), outputs, node.domain)
        self._values |= zip(node.outputs, outputs, strict=True)

    def _passed_on(self, node: Node) -> int | None:
        """Which input `node` gives as it is; None where it does more."""
        idle = [place for place, tensor in enumerate(self.read[node]) if tensor in self.idle]
        if not idle or node.op not in ("Add", "Sub", "Mul", "Where"):
            return None
        own = [place for place, tensor in enumerate(self.read[node]) if tensor in self._values]
        return own[0] if len(own) == 1 else None

    def value_of(self, tensor: Tensor) -> Tensor:
        return self._values[tensor]

    def token_axis(self, tensor: Tensor) -> int:
        """The axis along which a value that has its tokens first counts them."""
        layout = self.tokens.layout(tensor)
        return layout[1] if isinstance(layout, tuple) else 0

    def emit(
        self,
        operator: str,
        inputs: Sequence[Tensor],
        attrs: dict[str, Any],
        outputs: list[Variable] | None,
        domain: str | None = None,
    ) -> Tensor:
        outputs = outputs or [Variable(self.edit.name(f"packing/{operator}"))]
        self.nodes.append(Node(operator, self.edit.name(f"turn/{operator}"), attrs, inputs, outputs, domain))
        return outputs[0]

    def _emit(self, operator: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        return self.emit(operator, inputs, attrs, None, domain)

    def _store(self, values: Any, hint: str) -> Constant:
        return self.edit.constant(values if isinstance(values, Value) else np.asarray(values), f"packing/{hint}")

    def _input(self, node: Node, place: int) -> Tensor:
        tensor, before = node.inputs[place], self.read[node][place]
        if before in self.idle:
            return Variable("")
        if tensor.is_empty() or before in self._values:
            return self._values.get(before, tensor)
        if place in SIZING.get(node.op, ()):
            if self.zones.state(before) == "fixed":
                return tensor
            numbers = self.tokens.facts[before].numbers
            return self._size(node) if numbers is None else self._build(Given(numbers.astype(before.dtype)))
        if not self.tokens.has(before):
            return tensor
        if before not in self._values:
            is_packed = self.zones.state(before) == "packed"
            self._values[before] = self._build(self._piece(before) if is_packed else self._cut(before, tensor))
        return self._values[before]

    def _piece(self, packed: Tensor) -> Term:
        """The tokens of this turn's sequence."""
        return op.Slice(Given(packed), *self._bounds, np.array([self.token_axis(packed)]))

    def _cut(self, before: Tensor, padded: Tensor) -> Term:
        """What a value of the padded zone holds for this turn's sequence."""
        found = [(axis, *self._counted(dim, before)) for axis, dim in enumerate(self._dims(before)) if counts(dim)]
        axes, places, factors = (list(column) for column in zip(*found, strict=True))
        ends: list[Term] = list(self._cuts)
        if places != [0, 1]:
            ends = [op.Gather(end, np.array(places), axis=0) for end in ends]
        if set(factors) != {1}:
            ends = [end * np.array(factors) for end in ends]
        return op.Slice(Given(padded), *ends, np.array(axes))

    def _dims(self, tensor: Tensor) -> Sequence[Dim]:
        known = self.tokens.facts[tensor].dims
        if known is None:
            raise PassError(f"the sizes of '{tensor.name}' are not known: take form=gather")
        return known

    def _counted(self, dim: Dim, tensor: Tensor) -> tuple[int, int]:
        """What an axis counts, 0 for sequences and 1 for tokens, and how many elements there are of each."""
        if isinstance(dim, Expr) and len(dim.terms) == 1:
            ((names, factor),) = dim.terms.items()
            if names == (SEQUENCE,) and factor == 1:
                return 1, 1
            if names == (BATCH,) and (factor == 1 or self._heads_inside):
                return 0, factor
        raise PassError(f"'{tensor.name}' has tokens on an axis of {dim}: take form=gather")

    def _size(self, node: Node) -> Tensor:
        """The shape of what a node gives for one sequence."""
        dims = self.tokens.facts[node.outputs[0]].dims
        if node.op not in ("Reshape", "Expand") or dims is None:
            raise PassError(f"the sizes of '{label(node)}' ({node.op}) are computed: take form=gather")
        known = [_told(dim, -1) for dim in dims]
        if node.op == "Reshape" and known.count(-1) <= 1:
            return self._build(Given(np.array(known, np.int64)))
        start, end = self._bounds
        parts = [end - start if size == -1 else Given(np.array([size])) for size in known]
        return self._build(op.Concat(*parts, axis=0))


def is_cut(node: Node, tokens: Tokens, layered: Set[Tensor], idle: Set[Tensor]) -> bool:
    """Whether a node of an attention reads, place by place, what layers do not compute."""
    return any(
        tensor not in layered and tensor not in idle and tokens.has(tensor)
        for place, tensor in enumerate(node.inputs)
        if not tensor.is_empty() and place not in SIZING.get(node.op, ())
    )


def _told(dim: Dim, length: int) -> int:
    """A dimension where there is one sequence, of `length`."""
    if isinstance(dim, int):
        return dim
    if len(dim.terms) == 1:
        ((names, factor),) = dim.terms.items()
        if names == (BATCH,):
            return factor
        if names in ((SEQUENCE,), (BATCH, SEQUENCE)) and factor == 1:
            return length
    raise PassError(f"a size of {dim} is not known for one sequence: take form=gather")


def _sequence(name: str, elem: int) -> Variable:
    """A value that is a sequence of tensors."""
    made = Variable(name)
    made.info = helper.make_tensor_sequence_value_info(name, elem, None)
    return made


def _chain(packed: Tensor, added: set[Node]) -> set[Node]:
    """The nodes that pack a value."""
    found: set[Node] = set()
    pending = [packed]
    while pending:
        node = next(iter(pending.pop().inputs), None)
        if node is not None and node in added and node not in found:
            found.add(node)
            pending += node.inputs
    return found


def _is_sequencewise(node: Node, one: Attention, tokens: Tokens, opset: int) -> bool:
    """Whether what `node` gives for a sequence follows from what it reads of it."""
    if node in (one.scores, one.softmax, one.context):
        return True
    if subgraphs(node) or node.domain:
        return False
    if node.op in PER_ELEMENT or node.op in _MOVES:
        return True
    if node.op == "MatMul":
        return not tokens.counts_at(node.inputs[0], -1)
    found = schema.attribute(node, _ALONG[node.op], opset) if node.op in _ALONG else None
    axes = [found] if isinstance(found, int) else found
    return axes is not None and not any(tokens.counts_at(node.inputs[0], axis) for axis in axes)
