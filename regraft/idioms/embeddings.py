"""The embeddings of a model: rows of tables, chosen by token ids, token types and positions, and their sum.

Found by what the nodes compute, not by names. Between the lookups and the sum may stand what leaves the values as they
are, or scales them; behind it a LayerNormalization, be it the operator or written out in any form: what is computed of
the sum and constants alone, up to the one value by which all else reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from regraft.idioms.lookups import SAME_VALUES, Lookup, Lookups, Role, is_float
from regraft.ir import schema
from regraft.ir.graph import Graph, Node, Tensor, walk
from regraft.ir.model import Model
from regraft.ops.traits import ARITHMETIC, LAYOUT, SHAPE_ONLY
from regraft.rewriting.matcher import drops_nothing
from regraft.shapes import declare_types

_SCALING = ARITHMETIC | {"Cast", "Identity", "Neg", "Pow", "Reciprocal", "Sqrt"}
"""Operators that a normalization is written out with, beside means."""

_MEANS = frozenset({"LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization", "ReduceMean"})


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A sum of lookups of which one at least is by `ids`.

    Attributes:
        lookups: its summands, in the order of the graph, constants last.
        ids: the token ids, [B, S], that choose the rows of the largest table.
        total: the sum, [B, S, H] wherever the graph has it in that layout.
        normalized: the LayerNormalization of `total`; None where none follows, or `total` is read beside it.
        nodes: those from the lookups to `total`, in the order of the graph.
    """

    lookups: tuple[Lookup, ...]
    ids: Tensor
    total: Tensor
    normalized: Tensor | None
    nodes: tuple[Node, ...]

    def by(self, role: Role) -> list[Lookup]:
        """The lookups of one role."""
        return [lookup for lookup in self.lookups if lookup.role == role]

    def way(self, lookup: Lookup) -> list[Node]:
        """The nodes from the rows of `lookup` to the first sum with rows by ids in it, which is the last of them."""
        with_ids = self.sums_with_ids()
        reader = {tensor: node for node in self.nodes for tensor in node.inputs}
        way = [reader[lookup.output]]
        while way[-1].outputs[0] not in with_ids:
            way.append(reader[way[-1].outputs[0]])
        return way

    def sums_with_ids(self) -> set[Tensor]:
        """The lookups by ids, and what is made of them up to `total`."""
        found = {lookup.output for lookup in self.by("ids")}
        for node in self.nodes:
            if not found.isdisjoint(node.inputs):
                found.update(node.outputs)
        return found


def find_embeddings(model: Model) -> list[Embeddings]:
    """The embeddings in the main graph, in its order; an encoder and a decoder have each their own.

    All are as wide as those of the largest table: other lookups, of rotations for one, are no hidden states.
    """
    declare_types(model)
    search = _Search(model.graph)
    every = [found for total in search.totals() if (found := search.embeddings(total)) is not None]
    width = max(((lookup.rows, lookup.width) for found in every for lookup in found.by("ids")), default=(0, 0))[1]
    return [found for found in every if all(lookup.width == width for lookup in found.lookups)]


class _Search:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.recognise = Lookups(graph)
        self.position = {node: i for i, node in enumerate(graph.nodes)}
        self.ends = {tensor for inner in walk(graph) for tensor in inner.outputs}
        self.idle = _idle(graph, self.ends)
        self.lookups: dict[Tensor, Lookup] = {}
        self.sums: dict[Tensor, bool] = {}  # lookups and sums of them; whether one of the lookups is by ids
        for node in graph.nodes:
            lookup = self.recognise.at(node)
            if lookup is not None:
                self.lookups[lookup.output] = lookup
                self.sums[lookup.output] = lookup.role == "ids"
            elif parts := self._summands(node):
                self.sums[node.outputs[0]] = any(self.sums[part] for part in parts)

    def totals(self) -> Iterator[Tensor]:
        """The sums that something else reads; not what is only forwarded from one of them."""
        done: set[Tensor] = set()
        for tensor, has_ids in self.sums.items():
            (node,) = tensor.inputs
            if tensor not in self.lookups and node.op not in ("Add", "Sum") and self._summands(node)[0] in done:
                done.add(tensor)
            elif has_ids and self._is_read_beside(tensor, self.sums):
                done.add(tensor)
                if self._is_hidden(tensor):
                    yield tensor

    def embeddings(self, end: Tensor) -> Embeddings | None:
        """Those whose sum is `end`, if they are rows for token ids [B, S]."""
        total = self._in_rows(end)
        lookups: dict[Tensor, Lookup] = {}
        nodes: set[Node] = set()
        pending = [total]
        while pending:
            tensor = pending.pop()
            (node,) = tensor.inputs
            if node in nodes:
                continue
            nodes.add(node)
            if tensor in self.lookups:
                lookups[tensor] = self.lookups[tensor]
                continue
            pending += self._summands(node)
            for other in node.inputs if node.op in ("Add", "Sum") else ():
                lookup = None if other in self.sums else self.recognise.of_constant(other)
                if lookup is not None and lookup.width == (node.outputs[0].shape or [None])[-1]:
                    lookups[other] = lookup
        last = len(self.position)
        found = sorted(lookups.values(), key=lambda lookup: self.position[lookup.node] if lookup.node else last)
        ordered = sorted(nodes, key=self.position.__getitem__)
        ids = _token_ids(found)
        found = [lookup for lookup in found if lookup.node or _is_place_by_place(lookup, ids)]
        return Embeddings(tuple(found), ids, total, self._normalized(total), tuple(ordered)) if ids else None

    def _summands(self, node: Node) -> list[Tensor]:
        """The sums that `node` adds, scales or forwards; none if it does anything else."""
        parts = [tensor for tensor in node.inputs if tensor in self.sums]
        if node.domain or not parts:
            return []
        first, others = node.inputs[0], [tensor for tensor in node.inputs if tensor not in self.sums]
        if node.op in LAYOUT or node.op in ("Cast", "DequantizeLinear") or self._is_dropout(node):
            return [first] if first in self.sums else []
        if node.op in ("Add", "Sum"):
            return parts if all(map(self._is_constant, others)) else []
        if len(parts) == 1 and (node.op == "Mul" or (node.op == "Div" and parts[0] is first)):
            return parts if all(self.recognise.matcher.number(t, parts[0]) is not None for t in others) else []
        return []

    def _in_rows(self, tensor: Tensor) -> Tensor:
        """`tensor` before its rows were laid out otherwise: the first that has three dimensions."""
        found = tensor
        while tensor not in self.lookups and tensor.inputs[0].op in LAYOUT:
            tensor = tensor.inputs[0].inputs[0]
            if len(tensor.shape or ()) == 3 or len(found.shape or ()) != 3:
                found = tensor
        return found

    def _is_hidden(self, tensor: Tensor) -> bool:
        """Whether `tensor` goes on as hidden states do. Rows that multiply others, as rotations do, are none."""
        inside = self._elementwise(tensor)
        products = [node.outputs[0] for node in tensor.outputs if node.op == "Mul"]
        return is_float(tensor) and all(t in inside or t in self.sums or t.shape == tensor.shape for t in products)

    # ------------------------------------------------------------------------------------------------ normalization

    def _normalized(self, total: Tensor) -> Tensor | None:
        """The one value by which all that follows reads `total`, if a mean is taken on the way."""
        inside = self._elementwise(total)
        made = sorted(inside, key=lambda tensor: self.position[tensor.inputs[0]])
        exits = [tensor for tensor in (total, *made) if self._is_read_beside(tensor, inside)]
        if not exits or exits[0] is total:
            return None
        behind = self._elementwise(exits[0])
        has_mean = any(schema.kind(tensor.inputs[0]) in _MEANS for tensor in made if tensor not in behind)
        return exits[0] if has_mean and all(tensor in behind for tensor in exits[1:]) else None

    def _elementwise(self, tensor: Tensor) -> set[Tensor]:
        """What is computed of `tensor` and constants alone, by the operators that LayerNormalization is written in."""
        inside = {tensor}
        pending = [tensor]
        while pending:
            for node in pending.pop().outputs:
                made = node.outputs[0]
                if made not in inside and node in self.position and self._reads_only(node, inside):
                    inside.add(made)
                    pending.append(made)
        return inside - {tensor}

    def _reads_only(self, node: Node, inside: set[Tensor]) -> bool:
        op = schema.kind(node)
        fits = self._is_dropout(node) if op == "Dropout" else op in _MEANS or op in _SCALING
        return fits and all(t in inside or t.is_empty() or self._is_constant(t) for t in node.inputs)

    # ------------------------------------------------------------------------------------------------ questions

    def _is_read_beside(self, tensor: Tensor, inside: Collection[Tensor]) -> bool:
        """Whether a graph gives `tensor`, or a node reads more than its shape and makes nothing of `inside`."""
        others = (node for node in tensor.outputs if node not in self.idle)
        return tensor in self.ends or any(n not in self.position or n.outputs[0] not in inside for n in others)

    def _is_constant(self, tensor: Tensor) -> bool:
        return self.recognise.is_fixed(self.recognise.matcher.source(tensor)[0])

    def _is_dropout(self, node: Node) -> bool:
        return node.op == "Dropout" and drops_nothing(node, self.graph.opset)


def _idle(graph: Graph, ends: Collection[Tensor]) -> set[Node]:
    """The nodes that hand nothing on of their first input but its shape."""
    idle: set[Node] = set()
    for node in reversed(graph.nodes):
        hands_on = node.op not in SHAPE_ONLY and any(
            tensor in ends or any(reader not in idle for reader in tensor.outputs) for tensor in node.outputs
        )
        if not hands_on and node.op in SHAPE_ONLY | SAME_VALUES:
            idle.add(node)
    return idle


def _is_place_by_place(constant: Lookup, ids: Tensor | None) -> bool:
    """Whether the rows of `constant`, where they come before the sequences, are one for each place of `ids`."""
    shape = list(constant.table.shape)
    return len(shape) < 3 or shape[0] == 1 or (ids is not None and ids.shape[1] == shape[0])


def _token_ids(lookups: Iterable[Lookup]) -> Tensor | None:
    """What chooses the rows of the largest table where it has two dimensions: the input, if those are the same."""
    tensor = max((lookup for lookup in lookups if lookup.role == "ids"), key=lambda lookup: lookup.rows).index
    flat: list[Tensor] = []
    while tensor is not None:
        flat += [tensor] if len(tensor.shape or ()) == 2 else []
        tensor = tensor.inputs[0].inputs[0] if tensor.inputs and tensor.inputs[0].inputs else None
    sizes = [sorted(map(str, ids.shape)) for ids in flat]
    return None if not flat else flat[-1] if sizes[0] == sizes[-1] and "None" not in sizes[0] else flat[0]
