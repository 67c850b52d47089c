"""Whether a value may be narrower than it is, because those that read it broadcast it."""

from __future__ import annotations

from collections.abc import Sequence

from regraft.ir.editor import Editor
from regraft.ir.graph import Dim, Tensor
from regraft.ops.traits import ELEMENTWISE


def narrowed(wide: Tensor, narrow: Sequence[Dim], edit: Editor) -> dict[Tensor, set[int]] | None:
    """What else changes its shape if `wide` has the shape `narrow`: values, and the axes that become 1 or go.

    Axes are counted from the end. None where a reader or an output of a graph would notice. `narrow` broadcasts to the
    shape of `wide`, which is known.
    """
    changed: dict[Tensor, set[int]] = {wide: _lost(wide.shape or [], narrow)}
    pending = [wide] if changed[wide] else []
    while pending:
        tensor = pending.pop()
        if tensor in edit.graph_outputs:
            return None
        for reader in edit.users(tensor):
            out = reader.outputs[0]
            if reader.op not in ELEMENTWISE or reader.domain or out.shape is None:
                return None
            lost = {axis for t in reader.inputs for axis in changed.get(t, ())}
            lost = {axis for axis in lost if not any(_gives(t, axis, out, changed) for t in reader.inputs)}
            if lost - changed.get(out, set()):
                changed[out] = lost | changed.get(out, set())
                pending.append(out)
    return {tensor: axes for tensor, axes in changed.items() if tensor is not wide}


def _lost(wide: Sequence[Dim], narrow: Sequence[Dim]) -> set[int]:
    """The axes of `wide`, counted from the end, that `narrow` has not in the same size."""
    kept = {-i - 1 for i, (a, b) in enumerate(zip(reversed(wide), reversed(narrow), strict=False)) if _same(a, b)}
    return {-i - 1 for i in range(len(wide))} - kept


def _gives(tensor: Tensor, axis: int, out: Tensor, changed: dict[Tensor, set[int]]) -> bool:
    """Whether `tensor` gives `out` its size along `axis`."""
    if tensor.shape is None or out.shape is None or -axis > len(tensor.shape) or axis in changed.get(tensor, ()):
        return False
    return _same(tensor.shape[axis], out.shape[axis])


def _same(a: Dim, b: Dim) -> bool:
    return a is not None and a == b
