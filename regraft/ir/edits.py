"""Who is told of edits: nodes, links, attributes and lists of nodes write down what was edited, as it happens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from regraft.ir.value import Constant, Variable

if TYPE_CHECKING:
    from regraft.ir.graph import AnyGraph
    from regraft.ir.node import Node
    from regraft.ir.value import Tensor

_OURS = (Variable, Constant)
"""Those of graphsurgeon's have no hash, and become ours later."""


class Edits:
    """What was edited in the graphs that have these `Edits`, since somebody took note.

    Attributes:
        nodes: those that came, went, or have another operator, other attributes, inputs or outputs.
        values: those that a node made which makes them no longer, and constants that were assigned other values.
        graphs: those to which a node came, or from which one went.
        reordered: whether nodes stand in another order, but for those that came or went.
        renamed: values that were given another name.
    """

    __slots__ = ("graphs", "nodes", "renamed", "reordered", "values")

    def __init__(self) -> None:
        self.nodes: set[Node] = set()
        self.values: set[Tensor] = set()
        self.graphs: set[AnyGraph] = set()
        self.renamed: set[Tensor] = set()
        self.reordered = False

    def clear(self) -> None:
        """Begin anew."""
        self.nodes.clear()
        self.values.clear()
        self.graphs.clear()
        self.renamed.clear()
        self.reordered = False

    def gone(self, nodes: Sequence[Node]) -> None:
        """Note that `nodes` went."""
        self.nodes.update(nodes)
        self.values.update([value for node in nodes for value in node.outputs if isinstance(value, _OURS)])

    def edited(self, node: Node, lost: Iterable[Any] = ()) -> None:
        """Note that `node` was edited, and makes the values `lost` no longer."""
        self.nodes.add(node)
        for value in lost:
            if isinstance(value, _OURS):
                self.values.add(value)
