"""The nodes of an attention for some of the sequences alone, cut to what these hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np

from regraft.errors import PassError
from regraft.idioms.additive_mask import MASKING
from regraft.idioms.attention import Attention
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable, subgraphs
from regraft.ops.traits import LAYOUT
from regraft.packing.tokens import BATCH, PER_ELEMENT, SEQUENCE, SIZING, Tokens, counts, product
from regraft.packing.zones import Zones
from regraft.pipelines.pass_base import label
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Given, Term, op
from regraft.shapes.dims import Dim

_ALONG = {**dict.fromkeys(("Concat", "Gather", "GatherElements", "Split"), "axis"), "Slice": "axes"}


class Parting(ABC):
    """Takes attentions out of the padded zone, to run them part by part.

    Args:
        read: what each node read before it was put into a zone.
        idle: what a part leaves out, since it changes nothing between its tokens.
    """

    def __init__(self, edit: Editor, zones: Zones, read: Mapping[Node, Sequence[Tensor]], idle: Set[Tensor]):
        self.edit, self.zones, self.read, self.idle = edit, zones, read, idle
        self._added = set(zones.added)

    def put(self, one: Attention, result: Tensor, nodes: Iterable[Node]) -> None:
        """Run an attention part by part.

        Args:
            result: what it gives, from where on tokens are apart again.
            nodes: all of its nodes, producers before users.

        Raises:
            PassError: a node does more than can be done sequence by sequence.
        """
        known = len(self.zones.added)
        packed = self.zones.packed_result(result)
        self._added.update(self.zones.added[known:])
        region = [node for node in nodes if self.zones.state(node.outputs[0]) in ("padded", "result")]
        self._expect_alone(one, region, packed)
        self.edit.replace(packed, self._parted(one, result, region))

    @abstractmethod
    def _parted(self, one: Attention, result: Tensor, region: Sequence[Node]) -> Tensor:
        """What the packed zone reads in place of `result`, made by parts of the nodes in `region`."""

    def _expect_alone(self, one: Attention, region: Sequence[Node], packed: Tensor) -> None:
        """Nothing else may read what the region gives, nor mix its tokens."""
        own = {*region, *_chain(packed, self._added)}
        for node in region:
            if not _is_sequencewise(node, one, self.zones.tokens, self.edit.model.opset):
                raise PassError(f"'{label(node)}' ({node.op}) is not done sequence by sequence: take form=gather")
            for out in node.outputs:
                if out in self.edit.graph_outputs or any(reader not in own for reader in self.edit.users(out)):
                    raise PassError(f"'{out.name}' of an attention is read outside of it: take form=gather")


class Part(ABC):
    """The nodes of an attention for some sequences.

    Args:
        build: makes a value of a term, where the part's nodes are.
        count: how many sequences the part has; None: one.
        length: of them, padding among it.
    """

    def __init__(self, parting: Parting, one: Attention, build: Builder, count: Term | None, length: Term):
        self.edit, self.tokens = parting.edit, parting.zones.tokens
        self._zones, self._read, self._idle = parting.zones, parting.read, parting.idle
        self._build, self._count, self._length = build, count, length
        self._heads_inside = one.q.layouts[-1].split()[0] == "bn"  # what meets scores has them as these have
        self._values: dict[Tensor, Tensor] = {}

    @abstractmethod
    def emit(self, node: Node, inputs: list[Tensor], outputs: list[Variable]) -> None:
        """A node like `node`."""

    @abstractmethod
    def piece(self, packed: Tensor) -> Term:
        """What a value of the packed zone holds for the part, padded."""

    @abstractmethod
    def cut(self, padded: Tensor, axes: Sequence[tuple[int, str, int]]) -> Term:
        """What a value of the padded zone holds for the part.

        Args:
            axes: those that count sequences or tokens, which of both, and how many elements there are of each.
        """

    def run(self, nodes: Iterable[Node]) -> None:
        """Let nodes be of the part; one that an idle value meets does nothing there."""
        for node in nodes:
            if (index := self._passed_on(node)) is not None:
                self._values[node.outputs[0]] = self._input(node, index)
                continue
            inputs = [self._input(node, index) for index in range(len(node.inputs))]
            names = [self.edit.name(f"{out.name}/part") if out.name else "" for out in node.outputs]
            outputs = [Variable(name, out.dtype) for name, out in zip(names, node.outputs, strict=True)]
            self.emit(node, inputs, outputs)
            self._values |= zip(node.outputs, outputs, strict=True)

    def value_of(self, tensor: Tensor) -> Tensor:
        return self._values[tensor]

    def _passed_on(self, node: Node) -> int | None:
        """Which input `node` gives as it is; None where it does more."""
        if self._idle.isdisjoint(self._read[node]) or schema.kind(node) == "Attention":
            return None
        own = [index for index, tensor in enumerate(self._read[node]) if tensor in self._values]
        if len(own) != 1 or node.op not in MASKING:
            raise PassError(f"'{label(node)}' ({node.op}) does more with a mask than hide: take form=gather")
        return own[0]

    def _input(self, node: Node, index: int) -> Tensor:
        tensor, before = node.inputs[index], self._read[node][index]
        if before in self._idle:
            return Variable("")
        if tensor.is_empty() or before in self._values:
            return self._values.get(before, tensor)
        if index in SIZING.get(node.op, ()):
            if self._zones.state(before) == "fixed":
                return tensor
            numbers = self.tokens.facts[before].numbers
            return self._size(node) if numbers is None else self._build(Given(numbers.astype(before.dtype)))
        if not self.tokens.has(before):
            return tensor
        if before not in self._values:
            is_packed = self._zones.state(before) == "packed"
            self._values[before] = self._build(self.piece(before) if is_packed else self._cut(before, tensor))
        return self._values[before]

    def _cut(self, before: Tensor, padded: Tensor) -> Term:
        known = self.tokens.facts[before].dims
        if known is None:
            raise PassError(f"the sizes of '{before.name}' are not known: take form=gather")
        return self.cut(padded, [(a, *self._counted(dim, before)) for a, dim in enumerate(known) if counts(dim)])

    def _counted(self, dim: Dim, tensor: Tensor) -> tuple[str, int]:
        """What an axis counts, and how many elements there are of each."""
        names, factor = product(dim) or ((), 0)
        if names == (SEQUENCE,) and factor == 1:
            return SEQUENCE, 1
        if names == (BATCH,) and (factor == 1 or self._heads_inside):
            return BATCH, factor
        raise PassError(f"'{tensor.name}' has tokens on an axis of {dim}: take form=gather")

    def _size(self, node: Node) -> Tensor:
        """The shape of what a node gives for the part."""
        dims = self.tokens.facts[node.outputs[0]].dims
        if node.op not in ("Reshape", "Expand") or dims is None:
            raise PassError(f"the sizes of '{label(node)}' ({node.op}) are computed: take form=gather")
        sizes = [self._sized(dim) for dim in dims]
        if node.op == "Reshape" and sum(not isinstance(size, int) for size in sizes) <= 1:
            return self._build(Given(np.array([size if isinstance(size, int) else -1 for size in sizes], np.int64)))
        return self._build(op.Concat(*(Given(np.array([s])) if isinstance(s, int) else s for s in sizes), axis=0))

    def _sized(self, dim: Dim) -> int | Term:
        """A dimension of the part."""
        if isinstance(dim, int):
            return dim
        names, factor = product(dim) or ((), 0)
        if names == (BATCH,):
            return factor if self._count is None else self._count * factor
        if names == (SEQUENCE,) and factor == 1:
            return self._length
        if names == (BATCH, SEQUENCE) and factor == 1:
            return self._length if self._count is None else self._count * self._length
        raise PassError(f"a size of {dim} is not known for some sequences: take form=gather")


def token_axis(tensor: Tensor, tokens: Tokens) -> int:
    """The axis along which a value that has its tokens first counts them."""
    layout = tokens.layout(tensor)
    return layout[1] if isinstance(layout, tuple) else 0


def is_cut(node: Node, tokens: Tokens, layered: Set[Tensor], idle: Set[Tensor]) -> bool:
    """Whether a node of an attention reads, place by place, what layers do not compute."""
    return any(
        tensor not in layered and tensor not in idle and tokens.has(tensor)
        for index, tensor in enumerate(node.inputs)
        if not tensor.is_empty() and index not in SIZING.get(node.op, ())
    )


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
    if node.op in PER_ELEMENT or node.op in LAYOUT:
        return True
    if node.op == "MatMul":
        return not tokens.counts_at(node.inputs[0], -1)
    found = schema.attribute(node, _ALONG[node.op], opset) if node.op in _ALONG else None
    axes = [found] if isinstance(found, int) else found
    return axes is not None and not any(tokens.counts_at(node.inputs[0], axis) for axis in axes)
