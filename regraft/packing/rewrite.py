"""Packing a model: what its inputs mean, the two zones, and the host that packs what a caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from regraft import shapes
from regraft.analysis.backward_slice import BackwardSlices
from regraft.errors import PassError
from regraft.idioms.additive_mask import computed_by_layers, find_maskings
from regraft.idioms.attention import Attention, look_at
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ops.traits import BODIES, CONVOLUTIONS, LAYOUT, RECURRENT, SHAPE_ONLY
from regraft.packers.fits import WAY, PackedShape, Way, write_shape
from regraft.packing.buckets import Buckets
from regraft.packing.loops import Loops
from regraft.packing.padding import find_idle
from regraft.packing.parts import Parting, is_cut
from regraft.packing.places import Places, Placing
from regraft.packing.segments import HIDDEN_SCORE, Segments
from regraft.packing.tokens import BATCH, SEQUENCE, Tokens, counts
from regraft.packing.zones import Ways, Zones
from regraft.pipelines.pass_base import Context, label
from regraft.refusal import PassRef, Refusal
from regraft.rewriting.build import Builder
from regraft.rewriting.node_pass import builder
from regraft.rewriting.term import Given
from regraft.shapes.dims import symbol
from regraft.splitting import cone, drop_inputs, to_host
from regraft.verification.input_roles import input_role
from regraft.verification.inputs import reader
from regraft.verification.signature import Port

MIXING = CONVOLUTIONS | RECURRENT | BODIES | {"CumSum", "DFT", "STFT"}
"""What an attention is not made of: behind these every token has something of others."""


@dataclass(frozen=True)
class Sequences:
    """The inputs of an encoder that have an element, or a row of them, for each token.

    Attributes:
        mask: says which tokens are there, as `shown_tokens` takes it.
        given: the others.
        dims: what sequences and tokens are called.
        is_added: whether the mask is added to scores.
        is_pairwise: whether it says of each query which keys it sees.
    """

    mask: Variable
    given: list[Variable]
    dims: tuple[str, str]
    is_added: bool
    is_pairwise: bool


def find_sequences(model: Model) -> Sequences:
    """Raises PassError where there is no mask, or its dimensions are fixed."""
    masks = _masks(model)
    if not masks:
        raise PassError("no input says which tokens are padding: attention has no mask that is computed of one")
    if len(masks) > 1:
        raise PassError(f"attention is masked by several inputs: {', '.join(t.name for t in masks)}")
    mask, known = masks[0], masks[0].shape or []
    given = [t for t in model.graph.inputs if t is not mask and t.default is None and _has_tokens(t)]
    like = mask if len(known) == 2 else given[0] if given else None
    if like is None:
        raise PassError(f"mask '{mask.name}' is {known}, and no input has a shape [batch, sequence]")
    batch, sequence = (like.shape or [None, None])[:2]
    if any(isinstance(dim, int) for dim in (*known[:1], *known[1:][-1:], batch, sequence)):
        raise PassError(f"mask '{mask.name}' has fixed dimensions {known}: export the model with open ones")
    if len(known) > 2 and not (known[0] == batch and known[-1] == sequence and set(known[1:-1]) <= {1, sequence}):
        raise PassError(f"mask '{mask.name}' is {known}, and '{like.name}' {like.shape}: not of the same names")
    is_added = input_role(reader(mask, model), Port.of_variable(mask)).kind == "bias"
    dims = str(batch or "batch"), str(sequence or "sequence")
    return Sequences(mask, given, dims, is_added, is_pairwise=sequence in known[1:-1])


def _masks(model: Model) -> list[Variable]:
    """Inputs that attention masks are computed of, but for those that are looked up in tables too."""
    masks = dict.fromkeys(masking.mask for masking in find_maskings(model.graph))
    slices = model.facts(BackwardSlices)
    found = {t for mask in masks for t in slices[mask].inputs}
    return [t for t in model.graph.inputs if t in found and not _is_looked_up(t)]


def _is_looked_up(tensor: Tensor) -> bool:
    """Whether an input numbers rows of a table, as it is or in another type or shape."""
    pending, seen = [tensor], {tensor}
    while pending:
        current = pending.pop()
        for node in current.outputs:
            if node.op == "Gather" and node.inputs[1] is current:
                return True
            if node.op in LAYOUT or node.op == "Cast":
                pending += [out for out in node.outputs if out not in seen]
                seen.update(node.outputs)
    return False


def _is_of(tensor: Variable, batch: str) -> bool:
    """Whether an input has something for each sequence, though not for each token."""
    return tensor.default is None and bool(tensor.shape) and (tensor.shape or [None])[0] == batch


def _has_tokens(tensor: Variable) -> bool:
    shape = tensor.shape or ()
    return len(shape) >= 2 and not any(isinstance(dim, int) for dim in shape[:2]) and len(shape) <= 3


class Packer:
    """Rewrites an encoder for packed sequences; what is computed of the caller's inputs goes to the host.

    Args:
        shape: the packed one, where it is fixed.
        way: how attention keeps sequences apart.
        sizes: tokens of the sequences of each bucket, rising.
    """

    def __init__(self, model: Model, context: Context, shape: PackedShape | None, way: Way, sizes: Sequence[int] = ()):
        self.model, self.context, self.shape, self.way, self.sizes = model, context, shape, way, sizes
        self.added: list[Node] = []  # what says where tokens lie
        self.fitted: dict[Tensor, Tensor] = {}  # inputs in the fixed shape of the padded zone
        self.idle: set[Tensor] = set()  # what hides padding and does nothing else
        self.read: dict[Node, list[Tensor]] = {}  # what each node read before it was put into a zone
        self.told: dict[str, tuple[Tensor, list[Any]]] = {}  # what parts of attention are told, and its shape
        self.fed: dict[str, Variable] = {}  # the device's inputs, by what they are
        self.said: Tensor | None = None  # what the packed zone reads of a mask that says more
        self.sequences = find_sequences(model)
        if shape is not None:
            self.shape = replace(shape, mask=self.sequences.mask.name, is_added=self.sequences.is_added)
        tokens = self.sequences.mask, *self.sequences.given
        self.others = [t for t in model.graph.inputs if t not in tokens and _is_of(t, self.sequences.dims[0])]
        self.named = {t: list(t.shape or ()) for t in (*tokens, *self.others)}
        for tensor, known in self.named.items():
            if len(known) > 2 and tensor is self.sequences.mask:
                tensor.shape = [BATCH, *(SEQUENCE if dim == self.sequences.dims[1] else dim for dim in known[1:])]
            else:
                lead = [BATCH, SEQUENCE][: len(known) if tensor in tokens else 1]
                tensor.shape = [*lead, *known[len(lead) :]]
        self.facts = shapes.analyse(model)
        self.tokens = Tokens(self.facts)
        self.layered = computed_by_layers(model.graph)

    def attentions(self) -> list[Attention]:
        """Raises PassError where there is none that is recognised."""
        found = look_at(self.model.graph, self.facts)
        every = [one for one in found.values() if isinstance(one, Attention)]
        if not every:
            refused = next(((node, one) for node, one in found.items() if isinstance(one, Refusal)), None)
            if refused is None:
                raise PassError("no attention is recognised")
            node, why = refused
            raise PassError(Refusal(f"no attention is recognised; at '{label(node)}' {why.reason}", needs=why.needs))
        said = self._of_mask()
        for one in every:
            if said.isdisjoint((*(part.tensor for part in one.parts), *one.score_gates, *one.gates)):
                raise PassError(f"'{label(one.softmax)}' sees padding: '{self.sequences.mask.name}' does not reach it")
        return every

    def _of_mask(self) -> set[Tensor]:
        """The values that are computed of the mask, and of no layer."""
        found: set[Tensor] = {self.sequences.mask}
        for node in self.model.graph.nodes:
            is_size = node.op in SHAPE_ONLY and not node.domain
            if not is_size and self.layered.isdisjoint(node.outputs) and not found.isdisjoint(reads(node)):
                found.update(node.outputs)
        return found

    def run(self) -> None:
        """Rewrite the model.

        Raises:
            PassError: it cannot be done; the model is as it was.
        """
        with self._renamed():
            attentions = self.attentions()
            results = [] if self.segmented else [self._result(one) for one in attentions]
            outputs = [self._declared(tensor) for tensor in self.model.graph.outputs]
            self.idle = self._idle(attentions) if self.way in ("loop", "segments") else set()
            if self.way == "loop" and not self.idle:
                reads_more = (
                    "attention reads more than what is padding, and cuts it for each sequence; where that is not so, "
                    "simplify-gather and simplify-mask in front show it"
                )
                self.context.refuse(Refusal(reads_more, needs=(PassRef("simplify-gather"), PassRef("simplify-mask"))))
            with Editor(self.model) as edit:
                placing = self._placing(edit)
                whole = self.segmented or (self.way == "loop" and not self.idle)
                places = placing.open(whole) if self.shape is None else placing.fixed(self.shape)
                self.read = {node: list(node.inputs) for node in self.model.graph.nodes}
                order = {node: number for number, node in enumerate(self.read)}
                inside = [sorted(_inside([one], self.tokens), key=order.__getitem__) for one in attentions]
                zones = self._zoned(edit, placing, places, attentions, results)
                if self.way in ("loop", "bucket"):
                    edit.remove_unread([*self.read, *zones.added])
                    parting = self._parting(edit, zones, placing, places)
                    for one, result, nodes in zip(attentions, results, inside, strict=True):
                        parting.put(one, result, nodes)
                self.context.replaced([], [*self.added, *zones.added], rule="packing")
                edit.remove_unread([*self.model.graph.nodes, *self.added, *zones.added])
            self._to_host(zones, places, outputs)

    @contextmanager
    def _renamed(self) -> Iterator[None]:
        """Give dimensions their names back, whatever happens."""
        try:
            yield
        finally:
            for tensor, shape in self.named.items():
                tensor.shape = shape

    def _declared(self, output: Tensor) -> list[Any]:
        """The shape of an output, with the callers' names for sequences and tokens.

        Raises:
            PassError: it is of pairs of tokens, and what it says of those that are hidden would be judged.
        """
        names = dict(zip(map(symbol, (BATCH, SEQUENCE)), self.sequences.dims, strict=True))
        declared = list(output.shape or ())
        known = self.facts[output].dims
        if known is not None and sum(map(counts, known)) > 2:
            pairs = f"output '{output.name}' is of pairs of tokens: leave it out, with select-outputs in front"
            raise PassError(Refusal(pairs, needs=(PassRef("select-outputs"),)))
        if known is None or len(known) != len(declared):
            return declared
        return [names.get(dim, old) for dim, old in zip(known, declared, strict=True)]

    def _result(self, one: Attention) -> Tensor:
        """What an attention gives, from where on tokens are apart again."""
        found = next((t for t in one.result.values if self.tokens.leads(t)), None)
        if found is None:
            raise PassError(f"the heads of '{label(one.softmax)}' are not merged into tokens again")
        return found

    def _parting(self, edit: Editor, zones: Zones, placing: Placing, places: Places) -> Parting:
        """What runs attention part by part."""
        if self.way == "bucket":
            buckets, repack = placing.buckets(self.sizes, places)
            for number, bucket in enumerate(buckets, 1):
                self.told[f"bucket_{number}_rows"] = bucket.rows, [f"bucket_{number}"]
                self.told[f"bucket_{number}_index"] = bucket.slots, [f"bucket_{number}", f"length_{number}"]
            self.told["buckets_repack_index"] = repack, [1, "tokens"]
            return Buckets(edit, zones, self.read, buckets, repack)
        spans = placing.sequences(whole=not self.idle)
        for name, width in {"starts": 1, "ends": 1, "firsts": 2, "lasts": 2}.items():
            self.told[f"sequence_{name}"] = getattr(spans, name), ["sequences", width]
        return Loops(edit, zones, self.read, self.idle, spans)

    @property
    def segmented(self) -> bool:
        """Whether attention gets several sequences a row; else it gets one."""
        return self.way == "segments"

    def _idle(self, attentions: list[Attention]) -> set[Tensor]:
        """What attention can do without where it sees no padding; in a loop nothing, if it reads more by place."""
        mask, graph = self.sequences.mask, self.model.graph
        says_more = self.sequences.is_pairwise or len(mask.shape or ()) == 1
        found = set() if says_more or self.sequences.is_added else find_idle(attentions, graph, mask, self.tokens)
        if self.segmented:
            return found
        nodes = [node for node in _inside(attentions, self.tokens) if not self.layered.isdisjoint(node.outputs)]
        is_more = any(one.causal for one in attentions)
        is_more = is_more or any(is_cut(node, self.tokens, self.layered, found) for node in nodes)
        return set() if is_more else found

    def _builder(self, edit: Editor, added: list[Node]) -> Builder:
        graph = self.model.graph
        return builder(graph.nodes[0], graph, edit, added, np.dtype(np.int64))

    def _placing(self, edit: Editor) -> Placing:
        def insert(operator: str, inputs: list[Tensor], attrs: dict[str, Any], outputs: list[Variable]) -> None:
            for tensor in outputs:
                tensor.name = edit.name(f"packing/{operator}")
            self.added.append(edit.insert(self.model.graph.nodes[0], operator, inputs, attrs, outputs))

        mask, given = self.sequences.mask, self.sequences.given
        ids = next((t for t in given if len(t.shape or ()) == 2), mask)
        return Placing(mask, ids, self._builder(edit, self.added), insert, self.model.opset, self.sequences.is_added)

    def _zoned(
        self, edit: Editor, placing: Placing, places: Places, attentions: list[Attention], results: list[Tensor]
    ) -> Zones:
        """Put every node into a zone, and let attention heed segments where it gets several."""
        mask, on_device = self.sequences.mask, list[Node]()
        segments = Segments(places.segments, self._builder(edit, on_device)) if self.segmented else None
        ones = segments.ones(mask) if segments else None
        if segments and (self.sequences.is_pairwise or self.sequences.is_added):
            ones = self.said = placing.said(mask, places)
        ways = Ways(places, mask, ones, lambda tensor: self._fit(tensor, placing), self.segmented)
        given, inside = [*self.sequences.given, *self.others], _inside(attentions, self.tokens)
        zones = Zones(self.model, edit, self.tokens, ways, given, results, inside, _body(attentions))
        zones.run()
        for one in attentions:
            self._expect_packed(one, zones)
            if segments:
                segments.keep_apart(one, self.facts, edit, self.read, self.idle)
        zones.added += on_device
        return zones

    def _fit(self, tensor: Tensor, placing: Placing) -> Tensor:
        """An input in the shape of the padded zone."""
        if self.shape is None:
            return tensor
        if tensor not in self.fitted:
            axes = [{BATCH: 0, SEQUENCE: 1}.get(str(dim)) for dim in tensor.shape or ()]
            hides = tensor is self.sequences.mask and self.sequences.is_added
            fill = Given(np.full((), HIDDEN_SCORE if hides else 0, tensor.dtype))
            made = self.fitted[tensor] = placing.build(placing.fitted(Given(tensor), self.shape, axes, fill))
            made.dtype, made.shape = tensor.dtype, tensor.shape
        return self.fitted[tensor]

    def _expect_packed(self, one: Attention, zones: Zones) -> None:
        for node in one.projections:
            if zones.state(node.outputs[0]) != "packed":
                mixing = zones.mixed.get(node.outputs[0])
                why = f": '{label(mixing)}' ({mixing.op}) mixes tokens before it" if mixing is not None else ""
                raise PassError(
                    f"'{label(node)}', which makes queries, keys or values, does not get packed tokens{why}"
                )
        if self.segmented and zones.state(one.context.outputs[0]) != "packed":
            raise PassError(f"'{label(one.softmax)}' and what is around it cannot be packed")

    def _to_host(self, zones: Zones, places: Places, outputs: list[list[Any]]) -> None:
        """Let the host make what tells where tokens lie, and pack what the caller gives."""
        graph = self.model.graph
        for tensor, shape in self.named.items():
            tensor.shape = shape
        for tensor, known in zip(graph.outputs, outputs, strict=True):
            tensor.shape = known
        batch, sequence = self.sequences.dims
        packed = [1, "tokens"] if self.shape is None else [self.shape.rows, self.shape.tokens]
        padded = [batch, sequence] if self.shape is None else [self.shape.sequences, self.shape.longest]
        values: dict[str, Tensor] = {}

        def feed(name: str, tensor: Tensor, shape: list[Any]) -> None:
            tensor.shape, tensor.dtype = shape, np.dtype(tensor.dtype)
            if any(reader not in made for reader in tensor.outputs):
                values[name if name not in values else f"{name}_{len(values)}"] = tensor

        made = {*self.added, *cone(zones.packed_inputs().values())[0]}
        for tensor, value in sorted(zones.packed_inputs().items(), key=lambda pair: pair[0] not in self.named):
            lead = packed[::-1] if self.tokens.layout(tensor) == (1, 0) else packed
            name = tensor.name if tensor in self.named else self._name(value)
            feed(name, value, [*lead, *(tensor.shape or [])[2:]])
        for tensor, value in self.fitted.items():
            sizes = {BATCH: padded[0], SEQUENCE: padded[1]}
            feed(tensor.name, value, [sizes.get(str(dim), dim) for dim in value.shape or ()])
        if self.said is not None:
            names = {batch: packed[0], sequence: packed[1]}
            known = self.sequences.mask.shape or []
            feed(self.sequences.mask.name, self.said, [names.get(dim, dim) for dim in known])
        feed("unpack_index", places.slots, padded)
        feed("segment_ids", places.segments, packed)
        feed("repack_index", places.places, packed)
        for name, (tensor, dims) in self.told.items():
            feed(name, tensor, dims)
        inputs = list(graph.inputs)
        self.fed = to_host(self.model, values, self.context, rule="packing")
        drop_inputs(self.model, inputs)
        self._infer()
        self.model.metadata[WAY] = self.way
        if self.shape is not None:
            write_shape(self.model.metadata, self.shape)

    def _name(self, packed: Tensor) -> str:
        """What a packed input is called: as the one input that it is made of, beside the mask."""
        sources = [
            t
            for t in self.model.facts(BackwardSlices)[packed].inputs
            if t in self.model.graph.inputs and t is not self.sequences.mask
        ]
        return str(sources[0].name) if len(sources) == 1 else "packed_input"

    def _infer(self) -> None:
        """Shapes of the packed zone are not what they were."""
        for node in self.model.graph.nodes:
            for tensor in node.outputs:
                tensor.shape = None
        shapes.infer(self.model)


def _body(attentions: Iterable[Attention]) -> set[Node]:
    """The nodes that attentions depend on, more than by a shape."""
    found: set[Node] = set()
    pending = [t for one in attentions for t in one.context.outputs[:1]]
    while pending:
        for node in pending.pop().inputs:
            if node not in found and (node.domain or node.op not in SHAPE_ONLY):
                found.add(node)
                pending += reads(node)
    return found


def _inside(attentions: Iterable[Attention], tokens: Tokens) -> set[Node]:
    """The nodes of attentions that mix tokens: from where queries, keys and values are made on."""
    found = {node for one in attentions for node in (one.softmax, one.context, *one.inner, *one.result.nodes)}
    pending = [t for node in found for t in node.inputs]
    while pending:
        tensor = pending.pop()
        node = tensor.producer
        if node is None or node in found or not tokens.has(tensor) or tokens.leads(tensor):
            continue
        if schema.kind(node) in MIXING:
            continue
        found.add(node)
        pending += node.inputs
    return found
