"""What computes in one precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from regraft.ir.graph import AnyGraph, Node, Tensor

Tie = Literal["input", "output", "result", "state", "slice", "argument", "body"]
"""An input or output of the model, a result of a body, a state of a Loop or a Scan, what a Scan cuts into pieces, an
argument or result of a function, the ends of a body of which too little is known."""


class Slot(NamedTuple):
    """A place that reads a value: an input of a node, or an output of a graph."""

    holder: Node | AnyGraph
    place: int

    @property
    def tensor(self) -> Tensor:
        """The value that stands there."""
        tensors = self.holder.inputs if isinstance(self.holder, Node) else self.holder.outputs
        tensor: Tensor = tensors[self.place]
        return tensor


@dataclass(eq=False)
class PrecisionGroup:
    """A node, or a tie: values that must have one precision, such as the results of the branches of an If.

    Attributes:
        node: None for a tie.
        tie: what a tie is; empty for a node.
        reads, writes: the 32-bit floats that change with the precision it computes in.
        lowered: whether that is half precision; None until it is decided.
        why: the reason, in a few words.
        cannot: whether it must be in 32 bits because ONNX has no other, or because too little is known.
        clips: whether it takes values beyond the range of half precision as the largest that it has room for.
        boundary: whether it is a Cast between 32-bit floats and half precision that was there before: its work is drawn
            anew, so it counts as lowered.
    """

    node: Node | None = None
    graph: AnyGraph | None = None
    tie: Tie | None = None
    reads: list[Slot] = field(default_factory=list)
    writes: list[Tensor] = field(default_factory=list)
    lowered: bool | None = None
    why: str = ""
    cannot: bool = False
    clips: bool = False
    boundary: bool = False

    def settle(self, lowered: bool, why: str) -> None:
        """Decide, unless that was done before."""
        if self.lowered is None:
            self.lowered, self.why = lowered, why
