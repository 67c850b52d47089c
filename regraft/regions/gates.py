"""Masks that multiply: ones where a mask that is added or chosen shows, zeros where it hides."""

from __future__ import annotations

from regraft.ir.graph import Node, Tensor
from regraft.regions.bounds import Bounds
from regraft.regions.mask import Masking
from regraft.regions.origin import HIDING
from regraft.regions.sameness import Sameness

Truth = tuple[Tensor, bool]
"""A condition, or numbers that are cast from or to one, and whether it is the other way round."""


class Gates:
    """Finds the gates that say what a masking says: without them the same scores show, and with the same weights."""

    def __init__(self, same: Sameness, bounds: Bounds):
        self.same, self.bounds = same, bounds

    def without(self, tensor: Tensor, masking: Masking) -> Tensor | None:
        """What `tensor` is without the gate that it is multiplied by, or chosen by; None where it has none."""
        node: Node | None = tensor.inputs[0] if tensor.inputs else None
        shown = self._shown(masking)
        if node is None or node.domain or shown is None:
            return None
        if node.op == "Mul":
            for place in (0, 1):
                gate, kept = node.inputs[place], node.inputs[1 - place]
                if self.bounds(gate).low >= 0 and self.bounds(gate).high <= 1 and self._agree(gate, True, shown):
                    return kept
        if node.op == "Where":
            for place in (1, 2):
                other = self.bounds(node.inputs[3 - place])
                if other.is_one_number and other.low == 0 and self._agree(node.inputs[0], place == 1, shown):
                    kept = node.inputs[place]
                    return kept
        return None

    def _agree(self, gate: Tensor, keeps: bool, shown: Truth) -> bool:
        tensor, turned = _stripped(gate, not keeps)
        return turned == shown[1] and self.same(tensor) == self.same(shown[0])

    def _shown(self, masking: Masking) -> Truth | None:
        """The condition under which `masking` shows a score."""
        if masking.kind == "chosen":
            return _stripped(masking.mask, masking.scores != 1)
        node: Node | None = masking.value.inputs[0] if masking.value.inputs else None
        if node is None or node.domain or masking.kind == "subtracted":
            return None
        if node.op == "Where":
            zeros = [self.bounds(tensor).is_one_number and not self.bounds(tensor).low for tensor in node.inputs[1:]]
            hides = [self.bounds(tensor).high <= HIDING for tensor in node.inputs[1:]]
            if (zeros[0] and hides[1]) or (zeros[1] and hides[0]):
                return _stripped(node.inputs[0], not zeros[0])
        if node.op == "Mul":
            for place in (0, 1):
                rest = node.inputs[place].inputs[0] if node.inputs[place].inputs else None
                if rest is not None and rest.op == "Sub" and self.bounds(node.inputs[1 - place]).high <= HIDING:
                    one = self.bounds(rest.inputs[0])
                    return _stripped(rest.inputs[1], False) if one.is_one_number and one.low == 1 else None
        return None


def _stripped(tensor: Tensor, turned: bool) -> Truth:
    """`tensor` before it was cast or negated."""
    while tensor.inputs and tensor.inputs[0].op in ("Cast", "Identity", "Not") and not tensor.inputs[0].domain:
        turned ^= tensor.inputs[0].op == "Not"
        tensor = tensor.inputs[0].inputs[0]
    return tensor, turned
