"""What a value is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regraft.analysis.passages import Passages
from regraft.ir import schema
from regraft.ir.changes import Changes
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.ir.schema import is_constant
from regraft.ops.traits import SHAPE_ONLY

HIDING = -1000.0
"""What is added to a score, or chosen instead of it, hides it if it is no larger."""


@dataclass(frozen=True, eq=False)
class Slice:
    """What a value is computed from, up to where only shapes are asked for.

    Attributes:
        nodes: those that compute it.
        inputs: graph inputs whose values it depends on, and other values that no node makes.
        sizes: the Shape and Size nodes among `nodes`: what they read is asked for its shape.
        tables: constants in floats that hold more than what hides and what shows: learned biases, slopes.
        values: all that was looked at on the way.
    """

    nodes: frozenset[Node]
    inputs: tuple[Tensor, ...]
    sizes: tuple[Node, ...]
    tables: tuple[Tensor, ...]
    values: frozenset[Tensor]


class BackwardSlices:
    """What each value is computed from: `model.facts(BackwardSlices)[value]`.

    What a body takes from the node around it is followed there: to the first value, and to what a round makes of it.
    """

    def __init__(self, model: Model):
        self._passages = Passages(model)
        self._known: dict[Tensor, Slice] = {}

    def __getitem__(self, tensor: Tensor) -> Slice:
        if tensor not in self._known:
            self._known[tensor] = self._slice(tensor)
        return self._known[tensor]

    def follow(self, model: Model, changes: Changes) -> None:
        """Forget the slices in which something changed."""
        if not changes:
            return
        self._passages = Passages(model)
        if changes.all:
            self._known.clear()
        for tensor, known in list(self._known.items()):
            if not (known.nodes.isdisjoint(changes.nodes) and known.values.isdisjoint(changes.values)):
                del self._known[tensor]

    def _slice(self, tensor: Tensor) -> Slice:
        nodes, starts, seen = dict[Node, None](), dict[Tensor, None](), set[Tensor]()
        pending = [tensor]
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            passage = None if current.inputs else self._passages.into.get(current)
            if passage is not None:
                pending += passage.values
            elif is_constant(current) or not current.inputs:
                starts[current] = None
            for node in () if is_constant(current) else current.inputs:
                if node not in nodes:
                    nodes[node] = None
                    pending += () if node.op in SHAPE_ONLY and not node.domain else reads(node)
        return Slice(
            frozenset(nodes),
            tuple(t for t in starts if not is_constant(t) and not t.is_empty()),
            tuple(node for node in nodes if node.op in SHAPE_ONLY and not node.domain),
            tuple(t for t in starts if is_constant(t) and _is_table(t)),
            frozenset(seen),
        )


def _is_table(tensor: Tensor) -> bool:
    if isinstance(tensor, Constant) and (tensor.size == 1 or np.dtype(tensor.dtype).kind in "biu"):
        return False
    values = schema.constant_of(tensor)
    if values is None or values.size <= 1 or values.dtype.kind not in "fV":
        return False
    return not (np.isin(values, (-1, 0, 1)) | (values <= HIDING)).all()
