"""Where in a packed batch each token lies, computed in the graph from the mask of a padded one.

The packed shape is open: one row that holds every token. Or it is fixed, rows of some tokens, and sequences lie one
behind the other, across rows or in the first row after the last sequence's that has room. What does not fit gets a
place outside, at which the graph fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable
from regraft.packers.fits import PackedShape
from regraft.packers.shown import HIDING
from regraft.rewriting.term import Given, Term, op

_INT64, _BOOL = TensorProto.INT64, TensorProto.BOOL
_ALL = np.array([-1])
_FAR = 2**40  # no place


@dataclass(frozen=True)
class Places:
    """Values of a graph that say where tokens lie.

    Attributes:
        source: int64[rows, tokens], where in the caller's [B·S] the token of each place lies.
        places: the same in what was unpacked, which has the most sequences and tokens where the shape is fixed.
        slots: int64[B, S], or of the most sequences and tokens, the place of each token in [rows·tokens].
        size: int64[2], the shape of `slots`.
        segments: int64[rows, tokens], the number of the sequence that each place belongs to, from 1 on in every row; 0
            where there is no token, or one that the mask hides.
    """

    source: Tensor
    places: Tensor
    slots: Tensor
    size: Tensor
    segments: Tensor


@dataclass(frozen=True)
class Spans:
    """Values of a graph that say from where to where sequences go.

    Attributes:
        starts, ends: int64[B, 1], of each that has a token among the packed tokens.
        firsts, lasts: int64[B, 2], its number and the place of its first token in the padded batch; both after the
            last.
    """

    starts: Tensor
    ends: Tensor
    firsts: Tensor
    lasts: Tensor


@dataclass(frozen=True)
class Bucket:
    """Values of a graph that say what a bucket holds.

    Attributes:
        rows: int64[b], the numbers of its sequences.
        slots: int64[b, L], the place of each of their tokens among the packed ones.
    """

    rows: Tensor
    slots: Tensor


class Placing:
    """Makes the values that say where tokens lie.

    Args:
        mask, is_added: say which tokens there are, as `shown_tokens` takes them.
        ids: [B, S], read for its shape where the mask has not both.
        build: makes a value of a term; numbers are int64.
        insert: makes a node of an operator, inputs, attributes and outputs.
    """

    def __init__(
        self,
        mask: Tensor,
        ids: Tensor,
        build: Callable[[Term], Tensor],
        insert: Callable[..., None],
        opset: int,
        is_added: bool,
    ):
        self.build, self.is_added, self._insert, self._opset = build, is_added, insert, opset
        rank = len(mask.shape or ())
        self.size = op.Shape(Given(mask if rank == 2 else ids))
        if rank == 1:
            steps = op.Unsqueeze(op.Range(0, op.Gather(self.size, 1, axis=0), 1), axes=[0])
            self.shown = op.Cast(op.Less(steps, op.Unsqueeze(op.Cast(Given(mask), to=_INT64), axes=[1])), to=_INT64)
        else:
            hiding = np.full((), HIDING, mask.dtype)
            seen = op.Cast(op.Greater(Given(mask), hiding) if is_added else op.Cast(Given(mask), to=_BOOL), to=_INT64)
            self.shown = seen if rank == 2 else op.ReduceMax(seen, axes=list(range(1, rank - 1)), keepdims=0)

    def spans(self) -> Term:
        """1 from the first token of a sequence that is shown to the last, so that distances stay."""
        before, after = op.CumSum(self.shown, 1), op.CumSum(self.shown, 1, reverse=1)
        return op.Cast(op.Greater(before * after, 0), to=_INT64)

    def kept(self, whole: bool) -> Term:
        """1 where a token is packed, [B, S]; a graph of no tokens runs nowhere, so that the first one always is."""
        kept = self.spans() if whole else self.shown
        first = op.Equal(op.Reshape(_counted(op.Reshape(kept, _ALL), 0), self.size), 1)
        return op.Cast(
            op.Or(op.Greater(kept, 0), op.And(first, op.Equal(op.ReduceMax(kept, keepdims=0), 0))), to=_INT64
        )

    def open(self, whole: bool) -> Places:
        """One row of all tokens; `whole`: of those too that are hidden between others."""
        kept = op.Reshape(self.kept(whole), _ALL)
        source = op.NonZero(kept)
        slots = op.Reshape(op.Where(op.Greater(kept, 0), op.CumSum(kept, 0) - 1, 0), self.size)
        segments = op.Gather(op.Reshape(self.shown * _counted(self.shown, 0), _ALL), source, axis=0)
        made = [self.build(term) for term in (source, slots, op.Shape(slots), segments)]
        return Places(made[0], *made)

    def buckets(self, sizes: Sequence[int], places: Places) -> tuple[list[Bucket], Tensor]:
        """What buckets of these sizes hold, and one for longer sequences; and where each token is in all of them.

        A sequence goes where its last token has a place: what stands before it stays in front. A bucket without any
        has the first one, of which nothing is read: not every kernel takes a batch of none.

        Args:
            sizes: tokens of the sequences of each bucket, rising.
        """
        length = op.Gather(self.size, np.array([1]), axis=0)
        last = op.ReduceMax(self.shown * _counted(self.shown, 1), axes=[1], keepdims=0)
        begins, at, buckets = op.Mul(last, 0), op.Mul(length, 0), list[Bucket]()
        for low, high in itertools.pairwise((-1, *sizes, None)):
            held = op.Greater(last, low) if high is None else op.And(op.Greater(last, low), op.Less(last, high + 1))
            counted = op.Cast(held, to=_INT64)
            first = op.Equal(_counted(counted, 0) + op.ReduceMax(counted, axes=[0], keepdims=1), 1)
            rows = op.Reshape(op.NonZero(op.Cast(op.Or(held, first), to=_INT64)), _ALL)
            width = length if high is None else op.Where(op.Less(length, high), length, high)
            slots = op.Slice(op.Gather(Given(places.slots), rows, axis=0), np.array([0]), width, np.array([1]))
            buckets.append(Bucket(self.build(rows), self.build(slots)))
            begins = op.Add(begins, counted * (at + (op.CumSum(counted, 0) - 1) * width))
            at = op.Add(at, op.Reshape(op.Shape(rows), np.array([1])) * width)
        row, place = self._row_and_place(Given(places.source))
        return buckets, self.build(op.Gather(begins, row, axis=0) + place)

    def sequences(self, whole: bool) -> Spans:
        """Where each sequence that has a token lies in one row of all tokens; `whole` as in `open`."""
        kept = self.kept(whole)
        lengths = op.ReduceSum(kept, axes=[1], keepdims=1)
        ends, first = op.CumSum(lengths, 0), op.ArgMax(kept, axis=1, keepdims=1)
        firsts = op.Concat(_counted(lengths, 0) - 1, first, axis=1)
        lasts = op.Concat(_counted(lengths, 0), first + lengths, axis=1)
        filled = op.Gather(op.NonZero(lengths), 0, axis=0)
        return Spans(*(self.build(op.Gather(t, filled, axis=0)) for t in (ends - lengths, ends, firsts, lasts)))

    def said(self, mask: Tensor, places: Places) -> Tensor:
        """What a mask says of the tokens of each row: of each pair, of each key; and of no token that it is there."""
        rank, dtype = len(mask.shape or ()), np.dtype(mask.dtype)
        is_pairwise = rank > 2 and list(mask.shape or [])[-2] != 1
        numbers: Term = Given(places.segments)
        unseen = op.Equal(op.Unsqueeze(numbers, axes=[2]) if is_pairwise else numbers, 0)
        flat = op.Reshape(Given(mask), _ALL)
        where: Term = Given(places.source)
        if is_pairwise:
            _, place = self._row_and_place(where)
            where = op.Unsqueeze(where, axes=[2]) * op.Gather(self.size, 1, axis=0) + op.Unsqueeze(place, axes=[1])
        value = op.Where(unseen, np.full((), not self.is_added, dtype), op.Gather(flat, where, axis=0))
        between = list(range(1, rank - (2 if is_pairwise else 1)))
        made = self.build(op.Unsqueeze(value, axes=between) if between else value)
        made.dtype = dtype
        return made

    def fixed(self, shape: PackedShape) -> Places:
        """Rows of some tokens."""
        kept = self.spans() if shape.whole else self.shown
        lengths = op.ReduceSum(kept, axes=[1], keepdims=0)
        starts, numbers = self._across(lengths) if shape.across_rows else self._next_fit(lengths, shape.tokens)
        slot = op.Unsqueeze(starts, axes=[1]) + op.CumSum(kept, 1) - 1
        beyond = op.Greater(_counted(kept, 1), shape.longest), op.Greater(_counted(kept, 0), shape.sequences)
        slot = op.Where(op.Or(*beyond), _FAR, slot)
        taken = op.Reshape(op.NonZero(op.Reshape(kept, _ALL)), _ALL)
        where = op.Gather(op.Reshape(slot, _ALL), taken, axis=0)
        empty, packed = np.zeros(shape.rows * shape.tokens, np.int64), np.array([shape.rows, shape.tokens])
        source = op.Reshape(op.ScatterElements(empty, where, taken, axis=0), packed)
        numbered = op.Gather(op.Reshape(self.shown * op.Unsqueeze(numbers, axes=[1]), _ALL), taken, axis=0)
        segments = op.Reshape(op.ScatterElements(empty, where, numbered, axis=0), packed)
        row, place = self._row_and_place(source)
        places = row * shape.longest + place
        slots = self.fitted(op.Where(op.Greater(kept, 0), slot, 0), shape)
        size = np.array([shape.sequences, shape.longest])
        return Places(*(self.build(term) for term in (source, places, slots, Given(size), segments)))

    def fitted(
        self, value: Term, shape: PackedShape, axes: Sequence[int | None] = (0, 1), fill: Term | int = 0
    ) -> Term:
        """`value` cut, and filled up, to the most sequences along axes that are 0 in `axes`, and tokens where 1."""
        more = op.Sub(np.array([shape.sequences, shape.longest, 0]), op.Concat(self.size, np.array([0]), axis=0))
        added = op.Gather(more, np.array([2 if axis is None else axis for axis in axes]), axis=0)
        return op.Pad(value, op.Concat(np.zeros(len(axes), np.int64), added, axis=0), fill)

    def _row_and_place(self, source: Term) -> tuple[Term, Term]:
        """Of places in the caller's [B·S]: in which sequence, and where in it."""
        length = op.Gather(self.size, 1, axis=0)
        row = op.Div(source, length)
        return row, source - row * length

    def _across(self, lengths: Term) -> tuple[Term, Term]:
        return op.CumSum(lengths, 0, exclusive=1), _counted(lengths, 0)

    def _next_fit(self, lengths: Term, tokens: int) -> tuple[Term, Term]:
        outputs = [Variable("", np.int64, shape) for shape in ([], [], [None], [None])]
        states = [self.build(Given(np.zeros((), np.int64))) for _ in range(2)]
        attrs = {"body": _step(tokens, self._opset), "num_scan_inputs": 1}
        self._insert("Scan", [*states, self.build(lengths)], attrs, outputs)
        starts, numbers = map(Given, outputs[2:])
        return op.Where(op.Greater(lengths, tokens), _FAR, starts), numbers


def _counted(like: Term, axis: int) -> Term:
    """1, 2, 3 .. along an axis, in the shape of `like`."""
    return op.CumSum(like * 0 + 1, axis)


def _step(tokens: int, opset: int) -> Graph:
    """One sequence of next-fit: from where the last one ends, its number and a length, to the same, and a start."""
    at, number, length = (Variable(name, np.int64, []) for name in ("at", "number", "length"))
    nodes: list[Node] = []

    def emit(operator: str, *inputs: Tensor | int, dtype: type = np.int64, name: str = "") -> Variable:
        operands = [
            Constant(f"step_{len(nodes)}_{i}", np.array(t)) if isinstance(t, int) else t for i, t in enumerate(inputs)
        ]
        made = Variable(name or f"step_{len(nodes)}_value", dtype, [])
        nodes.append(Node(operator, f"step_{len(nodes)}", {}, operands, [made]))
        return made

    end = emit("Mul", emit("Add", emit("Div", at, tokens), 1), tokens)
    over = emit("Greater", emit("Add", at, length), end, dtype=np.bool_)
    start = emit("Where", over, end, at)
    row = emit("Mul", emit("Div", start, tokens), tokens)
    first = emit("Equal", emit("Sub", start, row), 0, dtype=np.bool_)
    after = emit("Add", start, length, name="at_after")
    numbered = emit("Where", first, 1, emit("Add", number, 1), name="number_after")
    seen = emit("Identity", start, name="start"), emit("Identity", numbered, name="number_here")
    return Graph(nodes, [at, number, length], [after, numbered, *seen], name="next_fit", opset=opset)
