"""A model as groups: every place that reads or makes a 32-bit float belongs to one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from regraft.ir import schema
from regraft.ir.graph import AnyGraph, Constant, Function, Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.mixed_precision import dtype_support
from regraft.mixed_precision.precision_group import PrecisionGroup, Slot, Tie
from regraft.ops.traits import SHAPE_ONLY
from regraft.opset.types import Types, dtype_name
from regraft.rewriting.rule_pass import rewritable_graphs

SINGLE = np.dtype(np.float32)

AS_ASKED = "an input or an output of the model"
"""Why these have the precision that they have."""

INDIFFERENT = SHAPE_ONLY | {"Constant"}
"""Operators for whose work the dtype does not matter."""


def collect(model: Model, half: np.dtype[Any], lower_ends: bool = False) -> list[PrecisionGroup]:
    """The groups of `model`, in the order of its graphs. Those that cannot be in `half` are settled already.

    Args:
        lower_ends: whether the inputs and outputs of the main graph are to be in half precision.
    """
    return _Collector(model, half).collect(lower_ends)


def is_constant(tensor: Tensor) -> bool:
    """Whether the value is known now: that of an initializer, or of a Constant node."""
    return isinstance(tensor, Constant) or any(n.op == "Constant" and not n.domain for n in tensor.inputs)


class _Collector:
    def __init__(self, model: Model, half: np.dtype[Any]):
        self.model, self.half, self.half_name = model, half, dtype_name(half)
        self.types = Types(model)
        self.functions = {f.unique_id: f for f in model.functions if f.domain != schema.STAND_IN}
        self.stand_ins = {f.name: f for f in model.functions if f.domain == schema.STAND_IN}
        self.arguments: dict[tuple[Function, str, int], PrecisionGroup] = {}

    def collect(self, lower_ends: bool) -> list[PrecisionGroup]:
        graph = self.model.graph
        passed_on = set(graph.inputs) & set(graph.outputs)
        groups = [
            self.end("input", [], [t], lower_ends and t.default is None and t not in passed_on) for t in graph.inputs
        ]
        for inner in rewritable_graphs(self.model):
            opsets = schema.versions(inner)
            for node in inner.nodes:
                groups += self.node(node, inner, opsets.get(node.domain or "", 1))
        groups += self.arguments.values()
        for i, tensor in enumerate(graph.outputs):
            is_lowered = lower_ends and bool(tensor.inputs) and not is_constant(tensor)
            groups.append(self.end("output", [Slot(graph, i)], [], is_lowered))
        return [group for group in map(self.narrowed, groups) if group.reads or group.writes]

    def end(self, tie: Tie, reads: list[Slot], writes: list[Tensor], lowered: bool) -> PrecisionGroup:
        return PrecisionGroup(None, self.model.graph, tie, reads, writes, lowered, AS_ASKED)

    def narrowed(self, group: PrecisionGroup) -> PrecisionGroup:
        """`group` with its 32-bit floats only. Where values that it ties differ, or are unknown, nothing changes."""
        if group.node is None or group.lowered is None:
            dtypes = {self.types.dtype(t) for t in (*(s.tensor for s in group.reads), *group.writes) if t.name}
            if SINGLE in dtypes and len(dtypes) > 1:
                group.settle(False, "tied to a value of another or an unknown type")
        group.reads = [slot for slot in group.reads if self.is_single(slot.tensor)]
        group.writes = [tensor for tensor in group.writes if self.is_single(tensor)]
        return group

    def is_single(self, tensor: Tensor) -> bool:
        return bool(tensor.name) and self.types.dtype(tensor) == SINGLE

    def node(self, node: Node, graph: AnyGraph, opset: int) -> Iterator[PrecisionGroup]:
        key = (node.domain or "", node.op, node.overload) if node.overload else (node.domain or "", node.op)
        if key in self.functions:
            self.call(node, self.functions[key])
        elif (node.domain or "", node.op) in dtype_support.BEYOND_ONNX:
            indices = [i for i in dtype_support.BEYOND_ONNX[node.domain or "", node.op] if i < len(node.inputs)]
            yield PrecisionGroup(node, graph, None, [Slot(node, i) for i in indices], list(node.outputs))
        elif node.domain and node.domain != schema.STAND_IN:
            yield from self.kept(node, graph, f"{node.domain}::{node.op} is no operator of ONNX")
        elif subgraphs(node):
            yield from self.bodies(node, graph, opset)
        elif node.domain == schema.STAND_IN and (lacks := self.lacking(node)):
            yield from self.kept(node, graph, lacks)
        elif node.domain == schema.STAND_IN:
            yield PrecisionGroup(node, graph, None, self.slots(node), list(node.outputs))
        elif node.op not in INDIFFERENT:
            yield from self.operator(node, graph, opset)

    def operator(self, node: Node, graph: AnyGraph, opset: int) -> Iterator[PrecisionGroup]:
        if self.is_cast_of_half(node):
            was = "a cast that was there"
            yield PrecisionGroup(node, graph, None, self.slots(node), list(node.outputs), True, was, boundary=True)
            return
        rule = schema.find(node.op, opset)
        if rule is None or dtype_support.takes_no_tensor(rule):
            yield from self.kept(node, graph, f"{node.op} takes or makes other things than tensors")
            return
        reads = [i for i, tensor in enumerate(node.inputs) if self.is_single(tensor)]
        makes = [i for i, tensor in enumerate(node.outputs) if self.is_single(tensor)]
        if not reads and not makes:
            return
        can = dtype_support.lowerable(node, rule, reads, makes, self.half_name)
        unknown = [
            t
            for i, t in enumerate(node.inputs)
            if t.name and dtype_support.allows_float(rule, i) and self.types.name(t) is None
        ]
        lacks = f"{node.op} has no {self.half} in opset {opset}"
        if unknown or (makes and not can.outputs) or (reads and not can.inputs):
            yield from self.kept(node, graph, f"the type of '{unknown[0].name}' is not known" if unknown else lacks)
            return
        yield PrecisionGroup(
            node, graph, None, [Slot(node, i) for i in can.inputs], [node.outputs[i] for i in can.outputs]
        )
        rest = [Slot(node, i) for i in reads if i not in can.inputs]
        left = [node.outputs[i] for i in makes if i not in can.outputs]
        if rest or left:
            yield PrecisionGroup(node, graph, None, rest, left, False, lacks, cannot=True)

    def is_cast_of_half(self, node: Node) -> bool:
        if node.op != "Cast":
            return False
        return {self.types.dtype(node.inputs[0]), self.types.dtype(node.outputs[0])} == {SINGLE, self.half}

    def kept(self, node: Node, graph: AnyGraph, why: str) -> Iterator[PrecisionGroup]:
        yield PrecisionGroup(node, graph, None, self.slots(node), list(node.outputs), False, why, cannot=True)
        for body in subgraphs(node):
            reads = [Slot(body, i) for i in range(len(body.outputs))]
            yield PrecisionGroup(None, body, "body", reads, list(body.inputs), False, why)

    def slots(self, node: Node) -> list[Slot]:
        return [Slot(node, i) for i in range(len(node.inputs))]

    def call(self, node: Node, function: Function) -> None:
        """Tie the arguments and results of a call to those of the function, and so to those of every other call."""
        for i in range(len(node.inputs)):
            group = self.argument(function, "in", i, [], function.inputs[i : i + 1])
            group.reads.append(Slot(node, i))
        for i, tensor in enumerate(node.outputs):
            self.argument(function, "out", i, [Slot(function, i)], []).writes.append(tensor)

    def argument(
        self, function: Function, kind: str, index: int, reads: list[Slot], writes: list[Variable]
    ) -> PrecisionGroup:
        key = function, kind, index
        if key not in self.arguments:
            self.arguments[key] = PrecisionGroup(None, function, "argument", reads, list(writes))
        return self.arguments[key]

    def lacking(self, node: Node) -> str:
        """Which operator of the function that `node` stands for has no half precision; empty where all have."""
        function = self.stand_ins.get(node.op)
        if function is None:
            return ""
        for inner in function.nodes:
            rule = schema.find(inner.op, function.opset)
            if rule is not None and not dtype_support.has_half(rule, self.half_name):
                return f"{inner.op} has no {self.half} in opset {function.opset}"
        return ""

    def bodies(self, node: Node, graph: AnyGraph, opset: int) -> Iterator[PrecisionGroup]:
        """What an If, a Loop or a Scan forwards, each with the values that it must agree with."""
        rule = schema.find(node.op, opset)
        if rule is not None and not dtype_support.has_half(rule, self.half_name):
            yield from self.kept(node, graph, f"{node.op} has no {self.half} in opset {opset}")
            return
        if node.op == "If":
            branches = subgraphs(node)
            for i, tensor in enumerate(node.outputs):
                yield PrecisionGroup(None, graph, "result", [Slot(branch, i) for branch in branches], [tensor])
            return
        if node.op not in ("Loop", "Scan") or graph.opset < 9:  # before, a Scan had batches
            yield from self.kept(node, graph, f"{node.op} has a body")
            return
        body, first = node.attrs["body"], 2 if node.op == "Loop" else 0  # a Loop counts and asks before its states
        skip = first // 2
        sliced = node.attrs["num_scan_inputs"] if node.op == "Scan" else 0
        states = len(node.inputs) - first - sliced
        for i in range(states):
            reads = [Slot(node, first + i), Slot(body, skip + i)]
            yield PrecisionGroup(None, graph, "state", reads, [body.inputs[first + i], node.outputs[i]])
        for i in range(states, states + sliced):
            yield PrecisionGroup(None, graph, "slice", [Slot(node, i)], [body.inputs[i]])
        for i in range(states, len(node.outputs)):
            yield PrecisionGroup(None, graph, "result", [Slot(body, skip + i)], [node.outputs[i]])
