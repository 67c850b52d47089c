"""Attention in buckets: sequences of like lengths share a padded batch, and each bucket has its own.

    packed q, k, v → unpack → scores → mask → Softmax → context → pack
    →  packed q, k, v → for each bucket: unpack → scores → mask → Softmax → context; then Concat → pack

Nothing of it is control flow: how many buckets there are is fixed, what they hold is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from regraft.idioms.attention import Attention
from regraft.ir.editor import Editor
from regraft.ir.graph import Node, Tensor, Variable
from regraft.packing.parts import Part, Parting
from regraft.packing.places import Bucket
from regraft.packing.tokens import BATCH, SEQUENCE
from regraft.packing.zones import Zones
from regraft.rewriting.node_pass import builder
from regraft.rewriting.term import Given, Term, op

_ALL = np.array([-1])


class Buckets(Parting):
    """Puts attentions into buckets.

    Args:
        buckets: what each holds.
        repack: int64[rows, tokens], where among what all buckets give each token lies.
    """

    def __init__(
        self,
        edit: Editor,
        zones: Zones,
        read: Mapping[Node, Sequence[Tensor]],
        buckets: Sequence[Bucket],
        repack: Tensor,
    ):
        super().__init__(edit, zones, read, set())
        self.buckets, self.repack = buckets, repack
        graph = edit.model.graph
        self.build = builder(graph.nodes[0], graph, edit, zones.added, np.dtype(np.int64))

    def _parted(self, one: Attention, result: Tensor, region: Sequence[Node]) -> Tensor:
        """What all buckets give, packed."""
        pieces: list[Term] = []
        for bucket in self.buckets:
            part = _Bucket(self, one, bucket, region[0])
            part.run(region)
            pieces.append(Given(part.value_of(result)))
        made = self.build(self.zones.packed_of(pieces, result, self.repack))
        made.dtype = result.dtype
        return made


class _Bucket(Part):
    """What is done with the sequences of one bucket."""

    def __init__(self, buckets: Buckets, one: Attention, bucket: Bucket, before: Node):
        size = op.Shape(Given(bucket.slots))
        count, length = (op.Gather(size, np.array([axis]), axis=0) for axis in (0, 1))
        super().__init__(buckets, one, buckets.build, count, length)
        self._zones, self._bucket, self._before, self._length = buckets.zones, bucket, before, length

    def emit(self, node: Node, inputs: list[Tensor], outputs: list[Variable]) -> None:
        made = self.edit.insert(self._before, node.op, inputs, dict(node.attrs), outputs, node.domain)
        self._zones.added.append(made)

    def piece(self, packed: Tensor) -> Term:
        return self._zones.unpacked(packed, self._bucket.slots)

    def cut(self, padded: Tensor, axes: Sequence[tuple[int, str, int]]) -> Term:
        value: Term = Given(padded)
        for axis, what, factor in axes:
            if what == BATCH:
                rows: Term = Given(self._bucket.rows)
                if factor != 1:
                    rows = op.Reshape(op.Unsqueeze(rows * factor, axes=[1]) + np.arange(factor), _ALL)
                value = op.Gather(value, rows, axis=axis)
        counted = [axis for axis, what, _ in axes if what == SEQUENCE]
        if counted:
            ends = op.Expand(self._length, np.array([len(counted)]))
            value = op.Slice(value, np.zeros(len(counted), np.int64), ends, np.array(counted))
        return value
