"""An If whose condition is known gives way to the branch that is taken."""

from __future__ import annotations

from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Graph, Node, walk
from regraft.ir.model import Model
from regraft.ir.schema import constant_of
from regraft.pipelines.pass_base import Context


def take_branches(model: Model, context: Context) -> bool:
    """Put the nodes of the branch in the place of each If whose condition is a constant; whether there was one.

    Names inside the branch become new ones: in the graph around it, others may have them.
    """
    found = False
    with Editor(model) as edit:
        for graph in list(model.graphs()):
            for node in list(edit.live_nodes(graph)):
                if node.op != "If" or node.domain or (condition := constant_of(node.inputs[0])) is None:
                    continue
                branch: Graph = node.attrs["then_branch" if condition.item() else "else_branch"]
                inner = _inline(edit, node, branch)
                context.replaced([node], inner, rule="if")
                found = True
    return found


def _inline(edit: Editor, node: Node, branch: Graph) -> list[Node]:
    """Move the nodes of `branch` ahead of `node`, and remove `node`. Returns them."""
    nodes = list(branch.nodes)
    _rename(edit, branch)
    branch.nodes.clear()
    for inner in nodes:
        edit.move(inner, node)
    for tensor in set(branch.outputs):
        edit.graph_outputs[tensor] = [graph for graph in edit.graph_outputs[tensor] if graph is not branch]
        if not edit.graph_outputs[tensor]:
            del edit.graph_outputs[tensor]
    for old, new in zip(node.outputs, branch.outputs, strict=True):
        if old.name:
            edit.replace(old, new)
    edit.remove(node)
    return nodes


def _rename(edit: Editor, branch: Graph) -> None:
    graphs = dict.fromkeys(walk(branch))
    inside = dict.fromkeys(node for graph in graphs for node in graph.nodes)
    read = [*(t for node in inside for t in node.inputs), *(t for graph in graphs for t in graph.outputs)]
    own = [
        constant
        for constant in dict.fromkeys(t for t in read if isinstance(t, Constant))
        if inside.keys() >= set(constant.outputs) and graphs.keys() >= set(edit.graph_outputs.get(constant, ()))
    ]
    made = [t for node in branch.nodes for t in node.outputs if t.name]
    for item in (*own, *made, *(node for node in branch.nodes if node.name)):
        item.name = edit.name(item.name)
