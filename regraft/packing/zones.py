"""A graph in two zones: packed, where tokens of all sequences lie one behind the other, and padded, as it was.

What keeps tokens apart is packed; what does not is padded. A value that goes from one zone to the other is gathered:

    padded [B, S, ..] → Gather by `places` → packed [rows, tokens, ..] → Gather by `slots` → padded [B, S, ..]

Nodes stay as they are and read other values. What computes sizes, or numbers that follow from sizes alone, is copied
for the zone that asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from regraft.errors import PassError
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ops.traits import SHAPE_ONLY
from regraft.packing.places import Places
from regraft.packing.tokens import BATCH, SEQUENCE, SIZING, Tokens, product
from regraft.pipelines.pass_base import label
from regraft.refusal import PassRef, run_before
from regraft.rewriting.node_pass import builder
from regraft.rewriting.term import Given, Term, op
from regraft.shapes.dims import Dim

State = Literal["fixed", "sized", "mask", "given", "packed", "padded", "result"]
"""What a value is computed of: constants; sizes too; the mask too; inputs that hold tokens too. Or it lies in the
packed zone; or it is computed of what was packed before, in the padded one; and there, the result of an attention."""

_HEADS: tuple[State, ...] = ("mask", "padded")  # what is combined with these behind the body is padded too
_LAZY: tuple[State, ...] = ("sized", "mask", "given")
_RANK: dict[State, int] = {"fixed": 0, "sized": 1, "mask": 2, "given": 3, "result": 3, "packed": 4, "padded": 5}


@dataclass(frozen=True)
class Ways:
    """How values go from zone to zone.

    Attributes:
        places: where tokens lie.
        mask: the input that says which tokens are there.
        ones: stands for `mask` in the packed zone; None where nothing there may read it.
        fit: makes of an input what the padded zone reads, where that has another shape.
        anywhere: whether what is packed may have its tokens on other axes than the first ones.
    """

    places: Places
    mask: Tensor
    ones: Tensor | None = None
    fit: Callable[[Tensor], Tensor] = lambda tensor: tensor
    anywhere: bool = False


class Zones:
    """Puts each node of the main graph of `model` into a zone.

    Args:
        given: inputs that hold tokens.
        results: values in the padded zone from which on tokens are apart again.
        inside: the nodes of attentions, which mix tokens. Where what is packed may have its tokens anywhere, they are
            packed all the same: they know which belong together.
        body: nodes that an attention depends on. Behind them what is multiplied by the mask, or chosen by it, is
            padded: there what stands for hidden tokens counts.
        edit: takes the changes; nothing is changed where a PassError is raised and it is left.
    """

    def __init__(
        self,
        model: Model,
        edit: Editor,
        tokens: Tokens,
        ways: Ways,
        given: Collection[Tensor],
        results: Collection[Tensor] = (),
        inside: Collection[Node] = (),
        body: Collection[Node] = (),
    ):
        self.model, self.edit, self.tokens, self.ways = model, edit, tokens, ways
        self.results, self.inside, self.body = set(results), set(inside), set(body)
        self.opset = model.opset
        self.states: dict[Tensor, State] = {ways.mask: "mask"}
        self.states.update(dict.fromkeys(given, "given"))
        self.mixed: dict[Tensor, Node] = {}  # of what is padded: the first node that mixed its tokens
        self.added: list[Node] = []
        self._packed: dict[Tensor, Tensor] = {}
        self._padded: dict[Tensor, Tensor] = {}
        self._copies: dict[tuple[Tensor, bool], Tensor] = {}
        self._inputs = set(model.graph.inputs)
        first = model.graph.nodes[0]
        self._build = builder(first, model.graph, edit, self.added, np.dtype(np.int64))

    def run(self) -> None:
        """Rewrite the graph. Raises PassError where tokens are mixed on a way that goes on in the packed zone."""
        for node in list(self.model.graph.nodes):
            self._visit(node)
        for tensor in list(self.model.graph.outputs):
            if self.state(tensor) == "packed":
                self._give(tensor)

    def packed_inputs(self) -> dict[Tensor, Tensor]:
        """What is computed of inputs alone and numbers rows or tokens, and what the packed zone reads in its place."""
        return {tensor: made for tensor, made in self._packed.items() if self.state(tensor) == "given"}

    def packed_result(self, tensor: Tensor) -> Tensor:
        """What the packed zone reads in place of a result of an attention."""
        return self.packed(tensor, tensor.inputs[0])

    def state(self, tensor: Tensor) -> State:
        return self.states.get(tensor, "fixed")

    # ----------------------------------------------------------------------------------------------- each node

    def _visit(self, node: Node) -> None:
        if node.op in SHAPE_ONLY and not node.domain:
            self._settle(node, "sized")
            return
        if node.op == "CastLike" and (code := self.tokens.facts[node.outputs[0]].code):
            self.edit.touch(node, *node.inputs)
            node.op, node.attrs = "Cast", {"to": code}  # it would read another value for its type alone
            del node.inputs[1]
        data = [t for i, t in enumerate(node.inputs) if not t.is_empty() and i not in SIZING.get(node.op, ())]
        states = [self.state(t) for t in data]
        sizes = [self.state(node.inputs[i]) for i in SIZING.get(node.op, ()) if i < len(node.inputs)]
        apart = self._is_apart(node, states, sizes)
        if apart or (self.ways.anywhere and node in self.inside and "packed" in states):
            self._pack(node, apart)
            return
        most: State = max(map(self.state, reads(node)), key=_RANK.__getitem__, default="fixed")
        if most in ("packed", "padded"):
            self._pad(node, data)
        else:
            if most == "result":
                most = "padded"
                self.mixed |= dict.fromkeys(node.outputs, node)
            self._settle(node, most)

    def _settle(self, node: Node, state: State) -> None:
        for out in node.outputs:
            self.states[out] = "result" if out in self.results and state == "padded" else state

    def _is_apart(self, node: Node, states: Sequence[State], sizes: Sequence[State]) -> bool:
        """Whether `node` belongs to the packed zone."""
        if any(_RANK[size] > _RANK["sized"] for size in sizes) or subgraphs(node):
            return False
        if node not in self.body and any(self.state(t) in _HEADS and self.tokens.has(t) for t in node.inputs):
            return False
        begins = any(s in ("given", "result") for s in states) and self._has_features(node.outputs[0])
        if not ("packed" in states or begins) or not self.tokens.keep_apart(node, self.opset):
            return False
        leads = all(self.tokens.leads(out) for out in node.outputs if out.name)
        return leads or (self.ways.anywhere and "packed" in states)

    def _has_features(self, tensor: Tensor) -> bool:
        """Whether each token has several numbers: hidden states, not ids."""
        known = self.tokens.facts[tensor].dims
        return known is not None and len(known) > (1 if self.tokens.layout(tensor) == "flat" else 2)

    def _pack(self, node: Node, apart: bool) -> None:
        for i, tensor in enumerate(node.inputs):
            if not tensor.is_empty():
                self._read(node, i, self._for_packed(node, i, tensor, apart))
        self._settle(node, "packed")

    def _for_packed(self, node: Node, index: int, tensor: Tensor, apart: bool) -> Tensor:
        """What a node in the packed zone reads in place of `tensor`."""
        state = self.state(tensor)
        if state in ("packed", "fixed"):
            return tensor
        if index in SIZING.get(node.op, ()):
            return self.copied(tensor, packed=True)
        if state in ("sized", "mask") and not (apart and self._is_gathered(tensor, node)):
            return self.copied(tensor, packed=True)
        return self.packed(tensor, node) if self.tokens.has(tensor) or state == "padded" else tensor

    def _is_gathered(self, tensor: Tensor, node: Node) -> bool:
        """Whether the numbers in `tensor` that belong to each token can be told, to go with it."""
        return self.tokens.has(tensor) and self.tokens.layout(node.outputs[0]) is not None

    def _pad(self, node: Node, data: Sequence[Tensor]) -> None:
        mixes = node in self.body and node not in self.inside and not self.tokens.keep_apart(node, self.opset)
        if mixes and any(self.state(t) == "packed" for t in data):
            raise PassError(f"'{label(node)}' ({node.op}) mixes tokens, and an attention depends on it")
        if any(self.state(t) == "packed" for t in reads(node) if t not in node.inputs):
            raise PassError(f"the body of '{label(node)}' ({node.op}) reads tokens: it is not packed")
        for i, tensor in enumerate(node.inputs):
            if not tensor.is_empty():
                self._read(node, i, self.padded(tensor))
        first = next((self.mixed[t] for t in data if t in self.mixed), node)
        self.mixed |= dict.fromkeys(node.outputs, first)
        self._settle(node, "padded")

    def _read(self, node: Node, index: int, tensor: Tensor) -> None:
        if node.inputs[index] is not tensor:
            self.edit.touch(node, node.inputs[index], tensor)
            node.inputs[index] = tensor

    def _give(self, output: Tensor) -> None:
        """Unpack an output of the graph, which keeps its name."""
        if not self.tokens.has(output):
            return
        unpacked = self.padded(output)
        self.edit.touch(self.model.graph, output, unpacked)
        name = output.name
        output.name = self.edit.name(f"{name}/packed")
        unpacked.name, unpacked.dtype, unpacked.shape = name, output.dtype, output.shape
        outputs = self.model.graph.outputs
        self.model.graph.outputs = [unpacked if t is output else t for t in outputs]
        self.edit.graph_outputs[unpacked] = self.edit.graph_outputs.pop(output)

    # ---------------------------------------------------------------------------------- from one zone to the other

    def packed(self, tensor: Tensor, node: Node) -> Tensor:
        """`tensor`, of the padded zone, as `node` in the packed one reads it."""
        if self.state(tensor) == "padded":
            mixing = self.mixed[tensor]
            raise PassError(
                f"'{label(mixing)}' ({mixing.op}) mixes tokens, and '{label(node)}' goes on with each of them"
            )
        own = self.tokens.layout(tensor)
        if own is not None and tensor in self._packed:
            return self._packed[tensor]
        made = self._made(self._gathered(tensor, node.outputs[0]), tensor)
        if own is not None:
            self._packed[tensor] = made
        return made

    def _gathered(self, tensor: Tensor, out: Tensor) -> Term:
        """The tokens of `tensor`, or what it is when it is broadcast to `out`, in their places."""
        given, own = tensor in self._inputs, self.tokens.layout(tensor)
        layout = own or self.tokens.layout(out)
        places = self.ways.places.source if given else self.ways.places.places
        value: Term = Given(tensor if given else self.padded(tensor))
        if layout is None:
            raise PassError(f"'{tensor.name}' is read with its tokens on other axes than those of '{out.name}'")
        if layout == "flat":
            return op.Gather(value, op.Reshape(Given(places), _ALL), axis=0)
        dims, rank = list(self.tokens.facts[tensor].dims or ()), len(self.tokens.facts[out].dims or ())
        if own is None and rank > len(dims):
            value, dims = op.Unsqueeze(value, axes=list(range(rank - len(dims)))), [*[1] * (rank - len(dims)), *dims]
        order = _lead(layout, len(dims))
        value = _turned(value, order)
        if own is None:
            ones = np.ones(len(dims) - 2, np.int64)
            value = op.Expand(value, op.Concat(Given(self.ways.places.size), ones, axis=0))
        rest = self._rest(tensor, [dims[i] for i in order[2:]])
        return _turned(op.Gather(op.Reshape(value, rest), Given(places), axis=0), _inverse(order))

    def padded(self, tensor: Tensor) -> Tensor:
        """`tensor` as the padded zone reads it."""
        state = self.state(tensor)
        if state in _LAZY:
            return self.copied(tensor, packed=False)
        if state != "packed" or not self.tokens.has(tensor):
            return tensor
        if tensor not in self._padded:
            self._padded[tensor] = self._made(self.unpacked(tensor, self.ways.places.slots), tensor)
        return self._padded[tensor]

    def unpacked(self, tensor: Tensor, slots: Tensor) -> Term:
        """A value of the packed zone with the tokens at `slots`, int64[sequences, tokens], in its former layout."""
        layout, dims = self.tokens.layout(tensor), list(self.tokens.facts[tensor].dims or ())
        if layout is None:
            raise PassError(f"'{tensor.name}' has its tokens among other things on an axis: it cannot be unpacked")
        if layout == "flat":
            return op.Reshape(op.Gather(Given(tensor), Given(slots), axis=0), self._rest(tensor, dims[1:]))
        order = _lead(layout, len(dims))
        value = op.Reshape(_turned(Given(tensor), order), self._rest(tensor, [dims[i] for i in order[2:]]))
        return _turned(op.Gather(value, Given(slots), axis=0), _inverse(order))

    def packed_of(self, pieces: Sequence[Term], like: Tensor, places: Tensor) -> Term:
        """What lies at `places` of all tokens of `pieces`, which have the layout of `like`."""
        layout, dims = self.tokens.layout(like), list(self.tokens.facts[like].dims or ())
        if layout is None or layout == "flat":
            return op.Gather(op.Concat(*pieces, axis=0), op.Reshape(Given(places), _ALL), axis=0)
        order = _lead(layout, len(dims))
        rest = self._rest(like, [dims[i] for i in order[2:]])
        flat = [op.Reshape(_turned(piece, order), rest) for piece in pieces]
        return _turned(op.Gather(op.Concat(*flat, axis=0), Given(places), axis=0), _inverse(order))

    def _rest(self, tensor: Tensor, rest: Sequence[Any]) -> Any:
        """The shape of all tokens one behind the other."""
        if not all(isinstance(dim, int) for dim in rest):
            unknown = f"the sizes of '{tensor.name}' behind its tokens are not known"
            raise PassError(run_before(PassRef("set-shapes"), unknown))
        return np.array([-1, *rest], np.int64)

    def copied(self, tensor: Tensor, packed: bool) -> Tensor:
        """What computes `tensor` of sizes, and of the mask, in one of the zones."""
        pending = [tensor]
        while pending:
            current = pending[-1]
            needed = [t for t in self._needs(current, packed) if (t, packed) not in self._copies]
            if needed and (current, packed) not in self._copies:
                pending += needed
                continue
            pending.pop()
            self._copies.setdefault((current, packed), self._copy(current, packed))
        return self._copies[tensor, packed]

    def _needs(self, tensor: Tensor, packed: bool) -> list[Tensor]:
        """What is copied before `tensor` is."""
        node = tensor.producer
        if node is None or self.state(tensor) not in _LAZY:
            return []
        if node.op in SHAPE_ONLY and not node.domain:
            return [t for t in node.inputs if self._is_copied(t, packed)]
        return [t for t in node.inputs if not t.is_empty() and self.state(t) in _LAZY]

    def _is_copied(self, asked: Tensor, packed: bool) -> bool:
        """Whether the size of `asked`, a value of sizes or of inputs, is that of its copy."""
        state = self.state(asked)
        if state not in _LAZY or asked in self._inputs:
            return False
        return state != "given" or not (packed or self.tokens.layout(asked) == (0, 1))

    def _copy(self, tensor: Tensor, packed: bool) -> Tensor:
        if self.state(tensor) not in _LAZY:
            return tensor
        if not tensor.inputs:
            if not packed:
                return self.ways.fit(tensor)
            if tensor is not self.ways.mask or self.ways.ones is None:
                raise PassError(f"'{tensor.name}' is read beside packed tokens, on other axes than theirs")
            return self.ways.ones
        node, numbers = tensor.inputs[0], self.tokens.facts[tensor].numbers
        if numbers is not None:
            return self._build(Given(numbers.astype(tensor.dtype)))
        if node.op in SHAPE_ONLY and not node.domain:
            return self._size(node, tensor, packed)
        inputs = [self._copies.get((t, packed), t) for t in node.inputs]
        if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
            return tensor
        if subgraphs(node):
            raise PassError(f"'{label(node)}' ({node.op}) computes sizes in a body")
        outputs = [Variable(self.edit.name(f"{out.name}/zone"), out.dtype) for out in node.outputs]
        copy = self.edit.insert(node, node.op, inputs, dict(node.attrs), outputs, node.domain)
        self.added.append(copy)
        return outputs[list(node.outputs).index(tensor)]

    def _size(self, node: Node, tensor: Tensor, packed: bool) -> Tensor:
        """The shape of what `node` asks, in one of the zones."""
        source, state = node.inputs[0], self.state(node.inputs[0])
        if not self.tokens.has(source) or (packed and state == "packed"):
            return tensor
        if self._is_copied(source, packed):
            asked = self._copies[source, packed]
            return tensor if asked is source else self._again(node, asked, tensor)
        told = self._told(node, packed)
        if told is not None:
            return self._build(told)
        if packed and self.tokens.layout(source) is None:
            raise PassError(f"'{label(node)}' asks for the size of '{source.name}', which is not packed")
        return self._again(node, self._packed_like(source) if packed else self.padded(source), tensor)

    def _told(self, node: Node, packed: bool) -> Term | None:
        """The shape that `node` asks for, where its dimensions are numbers, sequences and tokens."""
        dims = self.tokens.facts[node.inputs[0]].dims
        if node.op != "Shape" or dims is None:
            return None
        size = op.Shape(Given(self.ways.places.places)) if packed else Given(self.ways.places.size)
        parts = [_sized(dim, size) for dim in dims[slice(node.attrs.get("start", 0), node.attrs.get("end"))]]
        if not parts or None in parts:
            return None
        return op.Concat(*parts, axis=0) if len(parts) > 1 else parts[0]

    def _packed_like(self, source: Tensor) -> Tensor:
        """A value with the shape of `source` in the packed zone."""
        if source not in self._packed:
            self._packed[source] = self._made(self._gathered(source, source), source)
        return self._packed[source]

    def _again(self, node: Node, asked: Tensor, tensor: Tensor) -> Tensor:
        output = Variable(self.edit.name(f"{tensor.name}/zone"), tensor.dtype)
        self.added.append(self.edit.insert(node, node.op, [asked], dict(node.attrs), [output]))
        return output

    def _made(self, term: Term, like: Tensor) -> Tensor:
        made = self._build(term)
        made.dtype = like.dtype
        return made


_ALL = np.array([-1])


def _sized(dim: Dim, size: Term) -> Term | None:
    """A dimension as int64[1], where it is a number, or one times sequences, tokens or both; else None."""
    if isinstance(dim, int):
        return Given(np.array([dim]))
    names, factor = product(dim) or ((), 0)
    indices = {(BATCH,): [0], (SEQUENCE,): [1], (BATCH, SEQUENCE): [0, 1]}.get(names)
    if indices is None:
        return None
    parts = [op.Gather(size, np.array([index]), axis=0) for index in indices]
    counted = parts[0] if len(parts) == 1 else parts[0] * parts[1]
    return counted if factor == 1 else counted * factor


def _lead(layout: tuple[int, int], rank: int) -> list[int]:
    """The axes of a value, those of sequences and tokens first."""
    return [*layout, *(axis for axis in range(rank) if axis not in layout)]


def _inverse(order: Sequence[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def _turned(value: Term, order: Sequence[int]) -> Term:
    return value if list(order) == sorted(order) else op.Transpose(value, perm=list(order))
