"""What enters the products of attention and what leaves them, with the heads split and merged.

A layout names the axes of a value: `b` the batch, `n` the heads, `s` the places, `d` the elements of a head. BERT's
queries are `b s nd` where they are projected, `b s n d` once the heads are split, `b n s d` where they enter the
product; MXNet's products take `bn s d`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from regraft.idioms.axis_mapping import Axes, Axis, View, axes_of, is_weight, leaves, move, regroup, step, trace
from regraft.idioms.external_uses import needs_elements
from regraft.ir.graph import Node, Tensor
from regraft.regions.dataflow import settle
from regraft.shapes import Facts
from regraft.shapes.dims import Dim

_THROUGH = dict.fromkeys(
    ("Split", "Slice", "Gather", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Flatten"), 1
)
_THROUGH |= dict.fromkeys(("Identity", "Dropout", "Transpose", "LayerNormalization", "RMSNormalization"), 1)
_THROUGH |= dict.fromkeys(("ReduceMean", "Sqrt", "Reciprocal", "Neg"), 1)
_THROUGH |= dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Concat"), 4)
"""Operators between a layer and a product, and how many of their first inputs hold data."""


@dataclass(frozen=True, eq=False)
class Operand:
    """Queries, keys or values on their way into a product.

    Attributes:
        tensor: what enters the product: `[B, N, S, D]` or `[B·N, S, D]`, or `[.., D, S]` where it is `transposed`.
        view: `tensor` as its source, which holds the heads in another order, rearranged and scaled.
        layouts: the layout of each of `view.values`.
        heads, head_dim: sizes; None where they are not known.
        projection: the MatMul or Gemm that it is computed from; None where that is not one. Queries, keys and values
            have the same one where it makes all three. `projection.find_projection` tells the columns.
    """

    tensor: Tensor
    transposed: bool
    view: View
    layouts: tuple[str, ...]
    heads: int | None
    head_dim: int | None
    projection: Node | None

    @property
    def scale(self) -> float:
        """What it is multiplied by on its way."""
        total = 1.0
        for factor in self.view.factors:
            total *= factor
        return total

    def find(self, layout: str) -> tuple[Tensor, float] | None:
        """The first value that has `layout`, and what it is multiplied by from there on; None where none has."""
        for place, found in enumerate(self.layouts):
            if found == layout:
                factor = 1.0
                for later in self.view.factors[place:]:
                    factor *= later
                return self.view.values[place], factor
        return None


@dataclass(frozen=True, eq=False)
class Result:
    """What attention computes, from the product with the values to where the heads are merged, if they are.

    Attributes:
        values: the product, what each node makes of it, and last the merged heads.
        nodes: the nodes between.
        layouts: the layout of each of the values.
        transposed: whether the product is `[.., D, S]`.
    """

    values: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    layouts: tuple[str, ...]
    transposed: bool

    @property
    def tensor(self) -> Tensor:
        return self.values[-1]

    @property
    def is_merged(self) -> bool:
        """Whether the heads stand side by side in the last axis."""
        return self.layouts[-1].split()[-1] in ("nd", "dn")


def find_operand(tensor: Tensor, transposed: bool, facts: Facts, scaled: bool = True) -> Operand | None:
    """The operand of a product; None where its rank is not known.

    Args:
        scaled: whether its view may hold factors; not those of values, which are no part of the scale.
    """
    view = trace(tensor, facts, scaled)
    return None if view is None or len(view.axes[-1]) < 2 else _operand(tensor, transposed, view, view.axes[-1], facts)


def find_packed(tensor: Tensor, heads: int, facts: Facts) -> Operand | None:
    """An operand of the Attention operator that has its heads side by side; None where its shape is not known."""
    axes = axes_of(tensor, facts)
    last = facts[tensor].dims
    if axes is None or last is None or len(last) != 3 or not isinstance(last[2], int) or last[2] % heads:
        return None
    split = regroup(axes, [last[0], last[1], heads, last[2] // heads])
    if split is None:
        return None
    inside = [split[0], split[2], split[1], split[3]]
    return _operand(tensor, False, View((tensor,), (), (), (axes,)), inside, facts)


def find_result(
    tensor: Tensor, transposed: bool, shape: Sequence[Dim] | None, ends: Set[Tensor], facts: Facts
) -> Result:
    """What becomes of the product `tensor`, up to where heads are merged.

    Args:
        shape: its shape, as the operands tell it; None where they do not.
        ends: values that must stay: outputs of the graph.
    """
    if shape is None:
        return Result((tensor,), (), ("?",), transposed)
    inside: Axes = [[Axis(size)] for size in shape]
    values, nodes, groups = [tensor], [], [inside]
    while not _is_merged(groups[-1], inside, transposed) and (node := _next(values[-1], ends, facts)) is not None:
        moved = move(node, groups[-1], facts)
        if moved is None:
            break
        values.append(node.outputs[0])
        nodes.append(node)
        groups.append(moved)
    letters = _letters(inside, transposed)
    kept = len(values) if _is_merged(groups[-1], inside, transposed) else 1
    layouts = tuple(_layout(axes, letters) for axes in groups[:kept])
    return Result(tuple(values[:kept]), tuple(nodes[: kept - 1]), layouts, transposed)


def _operand(tensor: Tensor, transposed: bool, view: View, inside: Axes, facts: Facts) -> Operand:
    letters = _letters(inside, transposed)
    layouts = tuple(_layout(axes, letters) for axes in view.axes)
    heads, head_dim = _size(letters, "n"), _size(letters, "d")
    return Operand(tensor, transposed, view, layouts, heads, head_dim, _projection(view.source, facts))


def _letters(axes: Axes, transposed: bool) -> dict[Axis, str]:
    """What each axis is, told by its place where it enters or leaves a product."""
    *lead, first, second = axes
    outer = leaves(axis for group in lead for axis in group)
    heads = leaves(lead[-1]) if len(lead) > 1 else outer[-1:] if len(outer) > 1 else []
    letters = {axis: "n" if axis in heads else "b" for axis in outer}
    letters |= dict.fromkeys(leaves(first), "d" if transposed else "s")
    return letters | dict.fromkeys(leaves(second), "s" if transposed else "d")


def _layout(axes: Axes, letters: dict[Axis, str]) -> str:
    return " ".join(_group(axis, letters) for axis in axes)


def _group(group: list[Axis], letters: dict[Axis, str]) -> str:
    text = ""
    for leaf in leaves(group):
        letter = letters.get(leaf, "" if leaf.size == 1 else "?")
        text += letter if not text.endswith(letter) else ""
    return text or "1"


def _size(letters: dict[Axis, str], letter: str) -> int | None:
    size: Dim = 1
    found = [axis.size for axis, said in letters.items() if said == letter]
    for each in found:
        size = size * each
    return size if found and isinstance(size, int) else None


def _is_merged(axes: Axes, inside: Axes, transposed: bool) -> bool:
    return _layout(axes, _letters(inside, transposed)).split()[-1] in ("nd", "dn")


def _next(tensor: Tensor, ends: Set[Tensor], facts: Facts) -> Node | None:
    """The only node that does something with the elements of `tensor`, where it only moves them."""
    readers = [node for node in tensor.outputs if needs_elements(node, tensor)]
    if len(readers) != 1 or tensor in ends or readers[0].inputs[0] is not tensor:
        return None
    before = step(readers[0].outputs[0], facts)
    return readers[0] if before is not None and before[0] is tensor and before[1] == 1 else None


def _projection(tensor: Tensor, facts: Facts) -> Node | None:
    """The one linear layer that `tensor` is computed from, through biases, scales, norms, rotations and parts."""
    known: dict[Tensor, frozenset[Node]] = facts.found[_projection]
    layers = settle(tensor, known, _data, lambda t: _layers(t, known))
    return next(iter(layers)) if len(layers) == 1 else None


def _data(tensor: Tensor) -> Sequence[Tensor]:
    """What `tensor` is made of on its way from a layer."""
    node: Node | None = tensor.inputs[0] if len(tensor.inputs) == 1 and not tensor.inputs[0].domain else None
    if node is None or node.op not in _THROUGH:
        return []
    return node.inputs[: _THROUGH[node.op]]


def _layers(tensor: Tensor, known: Mapping[Tensor, frozenset[Node]]) -> frozenset[Node]:
    """The linear layers that `tensor` is computed from; two stand for more."""
    node: Node | None = tensor.inputs[0] if len(tensor.inputs) == 1 and not tensor.inputs[0].domain else None
    if node is not None and node.op in ("MatMul", "Gemm") and is_weight(node.inputs[1]):
        return frozenset({node})
    found = frozenset[Node]().union(*(known[t] for t in _data(tensor)))
    return frozenset(islice(found, 2))
