"""What a value is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.order import reads
from regraft.ir.schema import is_constant
from regraft.ops.traits import SHAPE_ONLY

HIDING = -1000.0
"""What is added to a score, or chosen instead of it, hides it if it is no larger."""


@dataclass(frozen=True, eq=False)
class Origin:
    """What a value is computed from, up to where only shapes are asked for.

    Attributes:
        nodes: those that compute it.
        inputs: graph inputs whose values it depends on.
        sizes: the Shape and Size nodes among `nodes`: what they read is asked for its shape.
        tables: constants in floats that hold more than what hides and what shows: learned biases, slopes.
    """

    nodes: frozenset[Node]
    inputs: tuple[Tensor, ...]
    sizes: tuple[Node, ...]
    tables: tuple[Tensor, ...]


def origin(tensor: Tensor) -> Origin:
    """What `tensor` is computed from."""
    nodes: dict[Node, None] = {}
    starts: dict[Tensor, None] = {}
    pending = [tensor]
    while pending:
        current = pending.pop()
        if is_constant(current) or not current.inputs:
            starts[current] = None
            continue
        for node in current.inputs:
            if node not in nodes:
                nodes[node] = None
                pending += () if node.op in SHAPE_ONLY and not node.domain else reads(node)
    return Origin(
        frozenset(nodes),
        tuple(t for t in starts if not is_constant(t) and not t.is_empty()),
        tuple(node for node in nodes if node.op in SHAPE_ONLY and not node.domain),
        tuple(t for t in starts if is_constant(t) and _is_table(t)),
    )


def _is_table(tensor: Tensor) -> bool:
    if isinstance(tensor, Constant) and (tensor.size == 1 or np.dtype(tensor.dtype).kind in "biu"):
        return False
    values = schema.constant_of(tensor)
    if values is None or values.size <= 1 or values.dtype.kind not in "fV":
        return False
    return not (np.isin(values, (-1, 0, 1)) | (values <= HIDING)).all()
