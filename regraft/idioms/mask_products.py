"""What masks once more: products with ones where a mask shows and zeros where it hides, guards against NaN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from regraft.analysis.backward_slice import HIDING
from regraft.analysis.solver import Solver, Step
from regraft.analysis.value_numbering import ValueNumbers
from regraft.analysis.value_ranges import LARGEST, ValueRanges
from regraft.idioms.additive_mask import Masking
from regraft.idioms.mask_chains import MaskChain
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ops.traits import LAYOUT
from regraft.rewriting.matcher import is_constant

Truth = tuple[Tensor, bool]
"""A condition, or numbers that are cast from or to one, and whether it is the other way round."""


class MaskProducts:
    """Finds the products and choices that say what a masking says: without them the probabilities are the same."""

    def __init__(self, numbers: ValueNumbers, ranges: ValueRanges):
        self.numbers, self.ranges = numbers, ranges
        self._whole = _Whole()

    def without(self, tensor: Tensor, masking: Masking) -> Tensor | None:
        """What `tensor` is without the gate that it is multiplied by, or chosen by; None where it has none."""
        node = tensor.producer
        shown = self._shown(masking)
        if node is None or node.domain or shown is None:
            return None
        if node.op == "Mul":
            for place in (0, 1):
                gate, kept = node.inputs[place], node.inputs[1 - place]
                if self.ranges[gate].low >= 0 and self.ranges[gate].high <= 1 and self._agree(gate, True, shown):
                    return kept
        if node.op == "Where":
            for place in (1, 2):
                if self._is_zero(node.inputs[3 - place]) and self._agree(node.inputs[0], place == 1, shown):
                    kept = node.inputs[place]
                    return kept
        return None

    def behind(self, chain: MaskChain, edit: Editor) -> list[Node]:
        """What makes 0 of probabilities that are 0, since a masking of `chain` hides their scores."""
        p: Tensor = chain[0].softmax.outputs[0]
        return [
            node
            for node in dict.fromkeys(edit.users(p))
            if any(self.without(node.outputs[0], masking) is p for masking in chain)
        ]

    def guards(self, softmax: Node, edit: Editor) -> list[Node]:
        """What makes 0 of probabilities p that are NaN: Where(IsNaN(p), 0, p)."""
        p: Tensor = softmax.outputs[0]
        questions = [node for node in edit.users(p) if node.op == "IsNaN"]
        return [
            node
            for question in questions
            for node in edit.users(question.outputs[0])
            if node.op == "Where" and node.inputs[2] is p and self._is_zero(node.inputs[1])
        ]

    def _is_zero(self, tensor: Tensor) -> bool:
        return self.ranges[tensor].is_zero

    def _agree(self, gate: Tensor, keeps: bool, shown: Truth) -> bool:
        """Whether `gate`, of zeros and ones, is 1 where `shown` says so."""
        tensor, turned = _stripped(gate, not keeps)
        return turned == shown[1] and self.numbers[tensor] == self.numbers[shown[0]] and self._whole[tensor]

    def _shown(self, masking: Masking) -> Truth | None:
        """The condition under which `masking` shows a score."""
        if masking.kind == "chosen":
            return _stripped(masking.mask, masking.scores != 1)
        node = masking.value.producer
        if node is None or node.domain or masking.kind == "subtracted":
            return None
        if node.op == "Where":
            zeros = [self._is_zero(tensor) for tensor in node.inputs[1:]]
            hides = [self.ranges[tensor].high <= HIDING for tensor in node.inputs[1:]]
            if (zeros[0] and hides[1]) or (zeros[1] and hides[0]):
                return _stripped(node.inputs[0], not zeros[0])
        if node.op == "Mul":
            for place in (0, 1):
                rest = node.inputs[place].producer
                if rest is not None and rest.op == "Sub" and self.ranges[node.inputs[1 - place]].high <= HIDING:
                    one = self.ranges[rest.inputs[0]]
                    return _stripped(rest.inputs[1], False) if one.is_one_number and one.low == 1 else None
        return None


class _Whole(Solver[bool]):
    """Whether values hold whole numbers, of whatever type."""

    def step(self, tensor: Tensor) -> Step:
        if _is_of_whole(tensor):
            return Step((), lambda: True)
        if is_constant(tensor):
            return Step((), lambda: _holds_whole(tensor))
        parts = _parts(tensor)
        return Step(parts, lambda *known: bool(known) and all(known))

    def unknown(self, tensor: Tensor) -> bool:
        return False


def _stripped(tensor: Tensor, turned: bool) -> Truth:
    """`tensor` before it was cast or negated."""
    while tensor.inputs and tensor.inputs[0].op in ("Cast", "Identity", "Not") and not tensor.inputs[0].domain:
        turned ^= tensor.inputs[0].op == "Not"
        tensor = tensor.inputs[0].inputs[0]
    return tensor, turned


def _parts(tensor: Tensor) -> Sequence[Tensor]:
    """What `tensor` is made of, where that tells whether it holds whole numbers."""
    node: Node | None = None if is_constant(tensor) or len(tensor.inputs) != 1 else tensor.inputs[0]
    if node is None or node.domain or _is_of_whole(tensor):
        return ()
    if node.op in LAYOUT or node.op == "Cast":
        return node.inputs[:1]
    return node.inputs if node.op in ("Add", "Sub", "Mul") else ()


def _holds_whole(constant: Tensor) -> bool:
    is_small = not isinstance(constant, Constant) or constant.size <= LARGEST
    values = schema.constant_of(constant) if is_small else None
    return values is not None and bool((values == np.round(values)).all())


def _is_of_whole(tensor: Tensor) -> bool:
    return tensor.dtype is not None and np.dtype(tensor.dtype).kind in "biu"
