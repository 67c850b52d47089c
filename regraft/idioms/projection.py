"""Which part of a linear layer a value is: all of it, or some columns where a layer makes queries, keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from regraft.idioms.axis_mapping import Axes, Axis, axes_of, is_weight, leaves, move, step
from regraft.ir import schema
from regraft.ir.graph import Node, Tensor
from regraft.ir.weights import Array
from regraft.refusal import Refusal
from regraft.shapes import Facts, dims

_TAKES = frozenset({"Split", "Slice", "Gather"})


@dataclass(frozen=True, eq=False)
class Projection:
    """The way from a MatMul or Gemm by a constant to a value.

    Attributes:
        layer: the node; its second input is the weight.
        columns: which of the layer's outputs the value is, a boolean each.
        biases: the Adds on the way, with the place of the constant.
        common: how many of the `biases`, the first ones, are added to all of the layer's outputs.
        values: what the layer makes, and what is made of it, the value last.
    """

    layer: Node
    columns: Array
    biases: tuple[tuple[Node, int], ...]
    common: int
    values: tuple[Tensor, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the value is all that the layer makes."""
        return bool(self.columns.all())


def find_projection(tensor: Tensor, opset: int, facts: Facts) -> Projection | Refusal:
    """The layer that makes `tensor`; else why none can be told."""
    values = _path(tensor, facts)
    layer = values[0].inputs[0] if len(values[0].inputs) == 1 else None
    if layer is None or layer.domain or layer.op not in ("MatMul", "Gemm") or not is_weight(layer.inputs[1]):
        return Refusal(f"'{values[0].name}' is made by no layer with a constant weight")
    axes = axes_of(values[0], facts)
    if axes is None or not isinstance(axes[-1][0].size, int):
        return Refusal(f"the shape of '{values[0].name}' is not known")
    outputs, taken = axes[-1][0], dict[Axis, Array]()
    biases: list[tuple[Node, int]] = []
    common: int | None = None
    for value in values[1:]:
        node = value.inputs[0]
        if node.op == "Add":
            biases.append((node, next(i for i, t in enumerate(node.inputs) if is_weight(t))))
            continue
        if node.op in _TAKES:
            common = len(biases) if common is None else common
            axes = _take(node, value, axes, taken, opset, facts)
        else:
            axes = move(node, axes, facts)
        if axes is None:
            return Refusal(f"what {node.op} '{node.name}' takes cannot be told")
    if not taken.keys() <= set(outputs.leaves()):
        return Refusal("it takes part of another axis too")
    columns = reduce(np.kron, (taken.get(leaf, np.ones(_places(leaf), bool)) for leaf in outputs.leaves()))
    return Projection(layer, columns, tuple(biases), len(biases) if common is None else common, tuple(values))


def _path(tensor: Tensor, facts: Facts) -> list[Tensor]:
    """What `tensor` comes from, through views, parts and biases, and the values between."""
    values = [tensor]
    while len(values[-1].inputs) == 1 and not (node := values[-1].inputs[0]).domain:
        before = step(values[-1], facts)
        if before is not None and before[1] == 1:
            values.append(before[0])
        elif node.op in _TAKES:
            values.append(node.inputs[0])
        elif node.op == "Add" and [is_weight(t) for t in node.inputs] in ([True, False], [False, True]):
            values.append(next(t for t in node.inputs if not is_weight(t)))
        else:
            break
    return values[::-1]


def _take(node: Node, value: Tensor, axes: Axes, taken: dict[Axis, Array], opset: int, facts: Facts) -> Axes | None:
    """The axes of the part `value` that `node` takes, which is put down in `taken`; None where it cannot be told."""
    axis, indices, keeps = _part(node, value, axes, opset, facts)
    group = leaves(axes[axis]) if axis is not None else []
    if axis is None or indices is None or len(group) != 1 or not isinstance(group[0].size, int):
        return None
    taken[group[0]] = np.isin(np.arange(group[0].size), indices)
    return [*axes[:axis], *([[Axis(len(indices))]] if keeps else []), *axes[axis + 1 :]]


def _part(node: Node, value: Tensor, axes: Axes, opset: int, facts: Facts) -> tuple[int | None, list[int] | None, bool]:
    """Along which axis `node` takes which places, and whether the axis stays."""
    if node.op == "Gather":
        index = facts[node.inputs[1]].numbers
        axis = node.attrs.get("axis", 0) % len(axes)
        size = facts[node.inputs[0]].dims
        if index is None or size is None or not isinstance(size[axis], int):
            return axis, None, True
        return axis, [int(i) % size[axis] for i in index.flat], index.ndim > 0
    if node.op == "Split":
        axis = node.attrs.get("axis", 0) % len(axes)
        shapes = [facts[t].dims for t in node.outputs]
        position = node.place_of(value)
        sizes = [shape[axis] for shape in shapes[: position + 1] if shape is not None]
        numbers = [size for size in sizes if isinstance(size, int)]
        if len(numbers) <= position:
            return axis, None, True
        return axis, list(range(sum(numbers[:position]), sum(numbers))), True
    starts, ends, along, steps = (schema.attribute(node, name, opset) for name in ("starts", "ends", "axes", "steps"))
    whole = facts[node.inputs[0]].dims
    if not starts or not ends or len(starts) != 1 or whole is None:
        return None, None, True
    axis = (along or [0])[0] % len(axes)
    if not isinstance(whole[axis], int):
        return axis, None, True
    return axis, list(dims.slice_places(whole[axis], starts[0], ends[0], (steps or [1])[0])), True


def _places(leaf: Axis) -> int:
    assert isinstance(leaf.size, int)
    return leaf.size
