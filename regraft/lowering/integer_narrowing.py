"""Which 64-bit integers of a model can be 32-bit ones: their range, and what the operators around them take.

What is decided is the type of a group: the inputs and outputs of a node that ONNX types alike. A group becomes narrow
if every value in it fits, and no output of it is needed in 64 bits: by an operator that takes nothing else (the shape
of a Reshape), by an output of the graph, or for computing such a value. So the arithmetic of shapes stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from regraft.analysis.certainty import DIMENSIONS
from regraft.analysis.interval import Interval
from regraft.analysis.value_ranges import ValueRanges
from regraft.folding.identities import maker
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Node, Tensor, subgraphs, walk
from regraft.ir.model import Model
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array
from regraft.ops.traits import COMPARES, LAYOUT, SHAPE_ONLY, WHOLE
from regraft.rewriting.matcher import is_constant

Assumed = Literal["nothing", "inputs", "all"]

NARROW = np.iinfo(np.int32)

TAKES_INT32 = (
    (WHOLE - {"DepthToSpace", "Range", "Relu", "ReverseSequence", "SpaceToDepth", "Sum"})
    | (COMPARES - {"Unique"})
    | SHAPE_ONLY
    | {"Cast", "ConstantOfShape", "Div", "ReduceProd", "Sign"}
)
"""Operators that ONNX Runtime has for int32 wherever it has them for int64.

Range is none: what its limit takes from a Shape counts as int64 in shape inference, with a Cast between too.
"""

_MARK = 2**62
"""Numbers that are larger mean the end of an axis, and no number that is computed with."""

_MOVES = LAYOUT | {"Cast"}


class Group(NamedTuple):
    """The places of a node's inputs and outputs that have one type, which is int64."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def is_wide(tensor: Tensor) -> bool:
    return bool(tensor.dtype is not None and tensor.dtype == np.int64)


def _is_short(tensor: Tensor) -> bool:
    return tensor.dtype is not None and np.dtype(tensor.dtype).kind in "iu" and np.dtype(tensor.dtype).itemsize < 8


def groups(node: Node, opset: int) -> Iterator[Group]:
    """The groups of `node` that may be int32 as well."""
    known = schema.find(node.op, opset, node.domain) if node.op in TAKES_INT32 and not node.domain else None
    if known is None:
        return
    for constraint in known.type_constraints:
        if "tensor(int32)" not in constraint.allowed_type_strs:
            continue
        inputs, outputs = (
            {
                index: tensor
                for index, tensor in enumerate(tensors)
                if formal and formal[min(index, len(formal) - 1)].type_str == constraint.type_param_str
            }
            for tensors, formal in ((node.inputs, known.inputs), (node.outputs, known.outputs))
        )
        alike = [*inputs.values(), *outputs.values()]
        index_of_pad = node.op == "Pad" and not outputs  # ONNX Runtime reads these as int64, whatever they are
        if any(tensor.name and tensor.dtype is None for tensor in alike) or index_of_pad:
            continue
        group = Group(*(tuple(p for p, tensor in side.items() if is_wide(tensor)) for side in (inputs, outputs)))
        if group.inputs or group.outputs:
            yield group


class Narrowing:
    """What of a model becomes narrow.

    Attributes:
        values: the values that do.
        groups: those of each node that do; one without outputs only if what it reads does.
        unbounded: inputs of the model that nothing bounds.
    """

    def __init__(self, model: Model, edit: Editor, assumed: Assumed, inputs: bool):
        self.assumed = assumed
        self.values: set[Tensor] = set()
        self.groups: dict[Node, list[Group]] = {}
        self._strict: set[Tensor] = set(edit.graph_outputs)
        wide_inputs = [t for t in model.graph.inputs if is_wide(t)]
        self._ranges = ValueRanges(model, self._given(model, wide_inputs))
        self._decide(model.graph)
        self.unbounded = [t for t in wide_inputs if not self.fits(t)]
        if inputs:
            self.values.update(t for t in wide_inputs if self.fits(t) and t not in self._strict and t.default is None)

    def fits(self, tensor: Tensor) -> bool:
        """Whether every element is a 32-bit integer."""
        known = self._ranges.proven(tensor, if_=DIMENSIONS)
        if self.assumed == "all" and not is_constant(tensor):
            return bool(known.high > -_MARK and known.low < _MARK)
        return bool(NARROW.min <= known.low and known.high <= NARROW.max)

    def _given(self, model: Model, inputs: list[Tensor]) -> dict[Tensor, Interval]:
        """The ranges of indices, of casts from shorter integers, and of the inputs if those are assumed to fit."""
        given = dict.fromkeys(inputs if self.assumed != "nothing" else (), Interval(NARROW.min, NARROW.max))
        for graph in walk(model.graph):
            for node in graph.nodes:
                if node.op == "Gather" and not node.domain and node.inputs[0].shape:
                    rows = node.inputs[0].shape[node.attrs.get("axis", 0)]
                    if isinstance(rows, int):
                        given |= dict.fromkeys(_forwarded(node.inputs[1]), Interval(-rows, rows - 1))
                elif node.op == "Cast" and not node.domain and is_wide(node.outputs[0]) and _is_short(node.inputs[0]):
                    limits = np.iinfo(np.dtype(node.inputs[0].dtype).name)
                    given.setdefault(node.outputs[0], Interval(int(limits.min), int(limits.max)))
        return given

    def _decide(self, graph: AnyGraph) -> None:
        """Users before producers, so that what needs 64 bits is known."""
        for node in reversed(graph.nodes):
            for body in subgraphs(node):
                self._decide(body)
            chosen = [group for group in groups(node, graph.opset) if self._can_be_narrow(node, group)]
            if node.op == "Cast" and is_wide(node.outputs[0]) and not any(group.outputs for group in chosen):
                chosen = []  # it would make 64 bits of 32 again
            self.groups[node] = chosen
            self.values.update(node.outputs[index] for group in chosen for index in group.outputs)
            free = {index for group in chosen for index in group.inputs}
            self._strict.update(t for index, t in enumerate(node.inputs) if index not in free)

    def _can_be_narrow(self, node: Node, group: Group) -> bool:
        outputs = [node.outputs[index] for index in group.outputs]
        if any(t in self._strict or not self.fits(t) for t in outputs):
            return False
        ends = node.op == "Slice" and 0 not in group.inputs  # beyond the end is the end
        return all(self.fits(t) or (ends and is_constant(t)) for t in (node.inputs[index] for index in group.inputs))


def _forwarded(index: Tensor) -> Iterator[Tensor]:
    """`index`, and the values that have the same elements."""
    yield index
    while (node := maker(index, *_MOVES)) is not None and is_wide(node.inputs[0]):
        index = node.inputs[0]
        yield index


def narrow_constant(tensor: Tensor) -> Array:
    """The value of a constant in 32 bits; what lies beyond them means "to the end" of a Slice."""
    values = np.asarray(constant_of(tensor))
    return np.asarray(np.clip(values, NARROW.min, NARROW.max), np.int32)
