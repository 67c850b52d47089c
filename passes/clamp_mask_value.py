"""The number that masks are filled with becomes one that every dtype holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from regraft.analysis.interval import largest
from regraft.analysis.value_ranges import LARGEST
from regraft.errors import PassError
from regraft.idioms.additive_mask import Masking, find_maskings
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Node
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import Context, Pass, label
from regraft.refusal import Refusal
from regraft.rewriting.matcher import is_constant
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.verification.contract import reassociation


class Fill(NamedTuple):
    """A constant input of a node, or the value of a ConstantOfShape, on the way to scores.

    Attributes:
        position: of the input; None for the attribute.
        sign: -1 where it is subtracted, 0 where it is a factor.
    """

    node: Node
    position: int | None
    sign: int


class ClampMaskValue(Pass):
    """Let masks hide with a moderate number instead of minus infinity, the least finite number, -1e18 or the like.

    scores + Where(c, 0, -inf)         →  scores + Where(c, 0, value)
    Where(c, scores, -3.4e38)          →  Where(c, scores, value)
    scores + (1 - m) · -1e9            →  scores + (1 - m) · value

    Constants are changed that are added to the scores of a Softmax or of Attention, or chosen instead of scores: by
    themselves, through what moves and chooses values, as factor of what no layer computes. Others of that size stay,
    and so does one that is read elsewhere too. Float16 holds `value`, and holds it still if two masks add up to twice
    of it.

    The outputs are the same, since exp(-10000) is 0 beside any score that shows, as long as scores lie thousands
    apart from `value`. Not so in rows in which everything is hidden by what is added: with -inf these are NaN, with
    the least finite number equal weights; afterwards they are the weights that the scores have without mask.
    """

    name = "clamp-mask-value"
    contract = reassociation
    value: float = option(-10000.0, "what hides; below zero")

    def run(self, model: Model, context: Context) -> None:
        if self.value >= 0:
            raise PassError(f"a mask of {self.value:g} hides nothing; give a value below zero")
        with Editor(model) as edit:
            for graph in rewritable_graphs(model):
                maskings = find_maskings(graph)
                ends = {masking.node for masking in maskings}
                inside = set(ends)
                fills = [fill for masking in maskings for fill in _fills(masking, inside)]
                for fill in dict.fromkeys(fills):
                    refusal = self._clamp(fill, inside, ends, edit, context)
                    if refusal is not None:
                        stays = f"kept the mask value that {label(fill.node)} reads"
                        context.refuse(refusal, fill.node, stays)

    def _clamp(self, fill: Fill, inside: set[Node], ends: set[Node], edit: Editor, context: Context) -> Refusal | None:
        """Change one constant, if it is beyond `value`; why it must stay."""
        node = fill.node
        held = node.attrs["value"] if fill.position is None else node.inputs[fill.position]
        if isinstance(held, Constant) and held.size > LARGEST:
            return Refusal(f"'{held.name}' has more than {LARGEST:,} elements")
        values = schema.constant_of(held)
        if values is None or values.dtype.kind not in "fV":
            return None
        clamped = self._clamped(values, fill.sign)
        if (clamped == values).all():
            return None
        if -self.value > largest(values.dtype):
            return Refusal(f"{values.dtype} cannot hold {self.value:g}")
        elsewhere = _read_elsewhere(node, inside, ends, edit)
        if elsewhere is not None:
            return elsewhere
        edit.touch(node, *node.inputs)
        changed = edit.constant(clamped.astype(values.dtype), f"{held.name}_clamped")
        if fill.position is None:
            node.attrs["value"] = changed
        else:
            node.inputs[fill.position] = changed
            edit.remove_unread(held.inputs)
        context.replaced([node], [node], rule=node.op)
        return None

    def _clamped(self, values: Array, sign: int) -> Array:
        low, high = (self.value if sign >= 0 else None), (-self.value if sign <= 0 else None)
        return np.asarray(np.clip(values.astype(np.float64), low, high))


def _fills(masking: Masking, inside: set[Node]) -> Iterator[Fill]:
    """The constants that make the value of `masking`; the nodes on the way are added to `inside`."""
    pending = [Fill(masking.node, masking.index, -1 if masking.kind == "subtracted" else 1)]
    seen: set[Fill] = set()
    while pending:
        fill = pending.pop()
        assert fill.position is not None  # a ConstantOfShape is not looked at again
        tensor = fill.node.inputs[fill.position]
        node = tensor.producer
        if fill in seen or tensor.is_empty():
            continue
        seen.add(fill)
        if is_constant(tensor):
            yield fill
        elif node is not None and not node.domain and node.op in _WAYS:
            inside.add(node)
            pending += [Fill(node, index, fill.sign * sign) for index, sign in _WAYS[node.op](node)]
        elif node is not None and not node.domain and node.op == "ConstantOfShape" and "value" in node.attrs:
            inside.add(node)
            yield Fill(node, None, fill.sign)


def _read_elsewhere(node: Node, inside: set[Node], ends: set[Node], edit: Editor) -> Refusal | None:
    """Who reads what `node` makes, on its way to scores, and applies no mask; None where nobody does."""
    pending, seen = [node], {node}
    while pending:
        current = pending.pop()
        if current in ends:
            continue
        for tensor in current.outputs:
            readers = list(edit.users(tensor))
            other = next((reader for reader in readers if reader not in inside), None)
            if other is not None or tensor in edit.graph_outputs:
                use = "an output" if other is None else f"read by {label(other)}"
                return Refusal(f"'{tensor.name}' is {use} too")
            pending += [reader for reader in readers if reader not in seen]
            seen.update(readers)
    return None


def _first(sign: int) -> Way:
    return lambda node: [(0, sign)]


def _all(node: Node) -> list[tuple[int, int]]:
    return [(index, 1) for index in range(len(node.inputs))]


def _factors(node: Node) -> list[tuple[int, int]]:
    return [(index, 0) for index in range(len(node.inputs))]


Way = Callable[[Node], list[tuple[int, int]]]
_WAYS: dict[str, Way] = {
    **dict.fromkeys(("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"), _first(1)),
    **dict.fromkeys(("Expand", "Tile", "Slice", "Gather", "GatherND", "GatherElements", "Trilu"), _first(1)),
    **dict.fromkeys(("Add", "Sum", "Max", "Min", "Concat"), _all),
    "Sub": lambda node: [(0, 1), (1, -1)],
    "Neg": _first(-1),
    "Where": lambda node: [(1, 1), (2, 1)],
    "Mul": _factors,
}
