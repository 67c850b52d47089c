"""Conditions of one element made scalars."""

from __future__ import annotations

from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.pipelines.pass_base import TYPES, Context, Pass
from regraft.rewriting.node_pass import builder
from regraft.rewriting.rule_pass import rewritable_graphs
from regraft.rewriting.term import Given, op
from regraft.verification.contract import exact


class NormalizeConditions(Pass):
    """Make the condition of an If a scalar, where it is a tensor of one element.

    If(c: bool[1] or bool[1, 1])  →  If(Squeeze(c): bool)

    ONNX Runtime takes any condition of one element; ONNX's text asks for a scalar, and OpenVINO and TensorRT want one.
    """

    name = "normalize-conditions"
    contract = exact
    introduces = frozenset({"Squeeze"})

    needs = (TYPES,)

    def has_work(self, model: Model) -> bool:
        return any(map(_branches, model.nodes()))

    def run(self, model: Model, context: Context) -> None:
        with Editor(model) as edit:
            for graph in rewritable_graphs(model):
                for node in filter(_branches, edit.live_nodes(graph)):
                    condition: Tensor = node.inputs[0]
                    if condition.shape and all(dim == 1 for dim in condition.shape):
                        node.inputs[0], added = _scalar(condition, node, graph, edit)
                        context.replaced([node], [*added, node], rule="If")


def _branches(node: Node) -> bool:
    return node.op == "If" and not node.domain


def _scalar(condition: Tensor, node: Node, graph: AnyGraph, edit: Editor) -> tuple[Tensor, list[Node]]:
    """The one element of `condition`, and the nodes that make it a scalar for `node`."""
    if isinstance(condition, Constant):
        return edit.constant(condition.values.reshape(()), condition.name), []
    added: list[Node] = []
    axes = list(range(len(condition.shape)))
    scalar = builder(node, graph, edit, added)(op.Squeeze(Given(condition), axes=axes))
    scalar.dtype, scalar.shape = condition.dtype, []
    return scalar, added
