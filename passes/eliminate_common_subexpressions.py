"""What is computed twice is computed once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from google.protobuf.message import Message
from onnx import defs

from regraft.inspection.contents import same
from regraft.ir import schema
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, subgraphs
from regraft.ir.model import Model
from regraft.ops.traits import COMMUTATIVE
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.verification.contract import exact

_FREE = {"Constant", "Identity"}  # an Identity in their place would be no gain

Table = dict[Hashable, Node]


class EliminateCommonSubexpressions(Pass):
    """Compute once what several nodes compute from the same values.

        a = Add(x, y); b = Add(y, x); z = Mul(a, b)  ->  a = Add(x, y); z = Mul(a, a)

    Nodes are one when operator, attributes and inputs agree, tensors by value. Operands change places where that gives
    the same bits (`Add` and `Mul` of two; not `Sum`, `Max`, `Min`). A node serves the bodies (If, Loop, Scan) of later
    nodes, a node in a body serves nothing outside. Random operators, operators that ONNX does not define and nodes with
    bodies stay. Where both are graph outputs, the second becomes an Identity.
    """

    name = "eliminate-common-subexpressions"
    contract = exact
    removes = EVERY

    def run(self, model: Model, context: Context) -> None:
        groups = same(c for node in model.nodes() for value in node.attrs.values() for c in _constants(value))
        values = {constant: i for i, group in enumerate(groups) for constant in group}
        with Editor(model) as edit:
            for root in model.roots:
                _Merger(edit, context, values).graph(root, [])


class _Merger:
    """Merges the nodes of a graph and of what is inside it. `values` numbers the tensors among the attributes."""

    def __init__(self, edit: Editor, context: Context, values: dict[Constant, int]):
        self.edit, self.context, self.values = edit, context, values

    def graph(self, graph: AnyGraph, outer: list[Table]) -> None:
        table: Table = {}
        tables = [table, *outer]
        for node in list(self.edit.live_nodes(graph)):
            for body in subgraphs(node):
                self.graph(body, tables)
            if not _is_pure(node, graph.opset):
                continue
            key = self.key(node)
            known = next((t[key] for t in tables if key in t), None)
            if known is None:
                table[key] = node
            elif node.op not in _FREE or not self.edit.needs_identity(node.outputs[0], known.outputs[0]):
                self.merge(node, known)

    def merge(self, node: Node, known: Node) -> None:
        for old, new in zip(node.outputs, known.outputs, strict=True):
            if old.name:
                self.edit.replace(old, new)
        self.edit.remove(node)
        self.context.replaced([node], [known], rule=node.op)

    def key(self, node: Node) -> Hashable:
        """What two nodes that compute the same have in common."""
        inputs = [id(tensor) if tensor.name else 0 for tensor in node.inputs]
        if node.op in COMMUTATIVE and not node.attrs:
            inputs.sort()
        outputs = tuple(bool(tensor.name) for tensor in node.outputs)
        attrs = sorted((name, self.value(value)) for name, value in node.attrs.items())
        return node.op, node.domain, tuple(inputs), outputs, repr(attrs)

    def value(self, value: Any) -> tuple[str, str]:
        """An attribute's value, and its type: 1 is not 1.0."""
        if isinstance(value, Message):
            return type(value).__name__, repr(value.SerializeToString(deterministic=True))
        if isinstance(value, np.ndarray):
            return str(value.dtype), repr((value.shape, value.tobytes()))
        constants = [self.values[constant] for constant in _constants(value)]
        return type(value).__name__, repr(constants or value)


def _is_pure(node: Node, opset: int) -> bool:
    """Whether ONNX says that equal inputs give equal outputs; of nodes with bodies it does not."""
    found = schema.find(node.op, opset, node.domain)
    deterministic = defs.OpSchema.NodeDeterminism.Deterministic
    return found is not None and found.node_determinism == deterministic  # type: ignore[attr-defined]  # not in the stub


def _constants(value: Any) -> Iterator[Constant]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Constant):
            yield item
