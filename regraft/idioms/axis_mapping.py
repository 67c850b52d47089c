"""Where the axes of a value come from, through nodes that only move elements.

Heads are split and merged by Reshape and Transpose in many orders. Here an axis of a value is a group of `Axis`: a
Reshape that splits an axis splits the `Axis`, in every value that has it, so that two values can be compared axis by
axis whatever nodes lie between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from regraft.ir.graph import Node, Tensor
from regraft.ops.traits import REARRANGES, REGROUPS
from regraft.regions.numbers import scales
from regraft.rewriting.matcher import is_constant
from regraft.shapes import Facts, dims
from regraft.shapes.dims import Dim

_SAME = frozenset({"Identity", "Dropout"})
_MOVES = REARRANGES | {"Cast"}


@dataclass(eq=False)
class Axis:
    """An axis of `size` places; its `parts`, outer first, once a Reshape has split it."""

    size: Dim
    parts: list[Axis] = field(default_factory=list)

    def leaves(self) -> Iterator[Axis]:
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


Axes = list[list[Axis]]
"""The axes of a value, each as the `Axis` that it is made of, outer first."""


def leaves(group: Iterable[Axis]) -> list[Axis]:
    """What a group is made of, as finely as is known."""
    return [leaf for axis in group for leaf in axis.leaves()]


def axes_of(tensor: Tensor, facts: Facts) -> Axes | None:
    """New axes for a value; None where its rank is not known."""
    known = facts[tensor].dims
    return None if known is None else [[Axis(dim)] for dim in known]


@dataclass(frozen=True, eq=False)
class View:
    """A value as its `source` rearranged and multiplied by numbers.

    Attributes:
        values: the source, what each node makes of it, and last the value itself.
        nodes: the nodes between; `nodes[i]` makes `values[i + 1]`.
        factors: the number that each node multiplies by.
        axes: the axes of each of the values.
    """

    values: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    factors: tuple[float, ...]
    axes: tuple[Axes, ...]

    @property
    def source(self) -> Tensor:
        return self.values[0]


def trace(tensor: Tensor, facts: Facts, scaled: bool = True) -> View | None:
    """`tensor` as a view of the value farthest back; None where its rank is not known.

    Args:
        scaled: whether factors other than 1 may be in the view.
    """
    nodes: list[Node] = []
    factors: list[float] = []
    source = tensor
    while (before := step(source, facts)) is not None and (scaled or before[1] == 1):
        nodes.append(source.inputs[0])
        source, factor = before
        factors.append(factor)
    nodes.reverse()
    factors.reverse()
    values = [source, *(node.outputs[0] for node in nodes)]
    for start in range(len(values)):
        axes = _follow(values[start], nodes[start:], facts)
        if axes is not None:
            return View(tuple(values[start:]), tuple(nodes[start:]), tuple(factors[start:]), tuple(axes))
    return None


def step(tensor: Tensor, facts: Facts) -> tuple[Tensor, float] | None:
    """What the producer of `tensor` rearranges or multiplies, and by how much; None where it does more."""
    node = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if node is None or node.domain or node.outputs[0] is not tensor:
        return None
    if node.op in REGROUPS or node.op in _SAME or node.op == "Transpose" or keeps_dtype(node, facts):
        return node.inputs[0], 1.0
    return scales(node, facts)


def keeps_dtype(node: Node, facts: Facts) -> bool:
    """Whether `node` is a Cast to the dtype that its input has."""
    return node.op == "Cast" and facts[node.inputs[0]].code == node.attrs.get("to")


def is_weight(tensor: Tensor) -> bool:
    """Whether `tensor` is a constant, or one moved about."""
    while len(tensor.inputs) == 1 and not is_constant(tensor):
        node = tensor.inputs[0]
        if node.domain or node.op not in _MOVES:
            return False
        tensor = node.inputs[0]
    return is_constant(tensor)


def move(node: Node, axes: Axes, facts: Facts) -> Axes | None:
    """The axes of what `node`, which a view may hold, makes of a value with `axes`; None where that is not known."""
    if node.op == "Transpose":
        perm = node.attrs.get("perm", range(len(axes))[::-1])
        return [axes[place] for place in perm]
    if node.op not in REGROUPS:
        return axes
    shape = _target(node, axes, facts) or facts[node.outputs[0]].dims
    return None if shape is None else regroup(axes, shape)


def _target(node: Node, axes: Axes, facts: Facts) -> list[Dim] | None:
    """The shape that a Reshape to a constant target gives, told by the axes of its input."""
    numbers = facts[node.inputs[1]].numbers if node.op == "Reshape" and len(node.inputs) > 1 else None
    if numbers is None or node.attrs.get("allowzero"):
        return None
    sizes = [_size(group) for group in axes]
    target: list[Dim] = [sizes[place] if not size else int(size) for place, size in enumerate(numbers.flat)]
    if -1 in target:
        place = target.index(-1)
        rest = _exact(math.prod(sizes), math.prod(target[:place] + target[place + 1 :]))
        if rest is None:
            return None
        target[place] = rest
    return target


def _size(group: list[Axis]) -> Dim:
    return math.prod(axis.size for axis in group)


def regroup(axes: Axes, shape: Sequence[Dim]) -> Axes | None:
    """The axes that a Reshape to `shape` gives; splits axes where it must. None where the shapes do not tell."""
    left = [leaf for group in axes for leaf in leaves(group)][::-1]
    groups = []
    for size in shape:
        group = _take(size, left)
        if group is None:
            return None
        groups.append(group)
    if any(axis.size != 1 for axis in left):
        return None
    if groups:
        groups[-1] += left[::-1]
    return groups


def _take(size: Dim, left: list[Axis]) -> list[Axis] | None:
    """As many axes from the end of `left` as make `size`; None where they do not."""
    if size == 1:
        return [left.pop()] if left and left[-1].size == 1 else [Axis(1)]
    group: list[Axis] = []
    while size != 1:
        if not left:
            return None
        axis = left.pop()
        if (rest := _exact(size, axis.size)) is not None:
            size = rest
        elif (inner := _exact(axis.size, size)) is not None:
            axis.parts += [Axis(size), Axis(inner)]
            left.append(axis.parts[1])
            axis, size = axis.parts[0], 1
        else:
            return None
        group.append(axis)
    return group


def _exact(dividend: Dim, divisor: Dim) -> Dim | None:
    """The quotient, where it is known to be whole."""
    if divisor == 0:
        return None
    quotient = dims.quotient([dividend], [divisor])
    return quotient if quotient * divisor == dividend else None


def _follow(source: Tensor, nodes: Sequence[Node], facts: Facts) -> list[Axes] | None:
    """The axes of `source` and of what each node makes of it; None where a node's are not known."""
    axes = axes_of(source, facts)
    found = []
    for node in nodes:
        if axes is None:
            return None
        found.append(axes)
        axes = move(node, axes, facts)
    return None if axes is None else [*found, axes]
