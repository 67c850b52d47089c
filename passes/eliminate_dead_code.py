"""What no output needs goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import defs

from regraft.ir import schema
from regraft.ir.calls import called_functions
from regraft.ir.editor import Editor
from regraft.ir.graph import AnyGraph, Function, Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.pipelines.pass_base import EVERY, Context, Pass
from regraft.verification.contract import exact
from regraft.wording import count

_OPTIONAL = defs.OpSchema.FormalParameterOption.Optional


class EliminateDeadCode(Pass):
    """Remove what no output of the model needs.

    | unneeded | what becomes of it |
    |---|---|
    | node | removed, with its bodies |
    | optional output (LayerNormalization's mean, MaxPool's indices) | left out |
    | output of If, or scan output of Loop or Scan | removed from the node and from its bodies |
    | initializer, local function | removed |

    The inputs of the model, of its functions and of its bodies stay: they are an interface.
    """

    name = "eliminate-dead-code"
    contract = exact
    removes = EVERY

    def run(self, model: Model, context: Context) -> None:
        needed = _Needed()
        for root in model.roots:
            needed.mark(root.outputs)
        with Editor(model) as edit:
            for graph in model.graphs():
                if graph in needed.bodies or graph is model.graph or isinstance(graph, Function):
                    _sweep(graph, needed, edit, context)
        _drop_functions(model, context)
        for graph in model.graphs():
            if graph.unused and not model.header.training_info:  # which may read them
                context.replaced((), rule="unread initializers")
                context.note(f"removed {count(len(graph.unused), 'initializer')} that nothing reads")
                graph.unused.clear()


class _Needed:
    """The values, the nodes and the bodies that the outputs depend on."""

    def __init__(self) -> None:
        self.tensors: set[Tensor] = set()
        self.nodes: set[Node] = set()
        self.bodies: set[AnyGraph] = set()

    def mark(self, tensors: Iterable[Tensor]) -> None:
        """Mark what `tensors` depend on, in their graph and in those around it."""
        pending = list(tensors)
        while pending:
            tensor = pending.pop()
            if tensor in self.tensors:
                continue
            self.tensors.add(tensor)
            for node in tensor.inputs:
                pending += self._reads(node, tensor)

    def _reads(self, node: Node, output: Tensor) -> Iterator[Tensor]:
        """What making `output` takes beyond what was marked for other outputs of `node`."""
        bodies = subgraphs(node)
        if node not in self.nodes:
            self.nodes.add(node)
            self.bodies.update(bodies)
            yield from node.inputs
            for body in bodies:
                yield from body.outputs[: _carried(node, body)]
        for body in bodies:
            index = node.outputs.index(output) + _shift(node)
            if index >= _carried(node, body):
                yield body.outputs[index]


def _carried(node: Node, body: AnyGraph) -> int:
    """How many outputs of a body are needed whichever of the node's are: those that its next run reads."""
    if node.domain or node.op not in ("If", "Loop", "Scan"):
        return len(body.outputs)
    if node.op == "If":
        return 0
    scanned = 1 if node.op == "Loop" else node.attrs["num_scan_inputs"]
    return len(body.inputs) - scanned if isinstance(scanned, int) else len(body.outputs)


def _shift(node: Node) -> int:
    """How far the body's outputs are behind the node's: the body of a Loop begins with its condition."""
    return 1 if node.op == "Loop" else 0


def _sweep(graph: AnyGraph, needed: _Needed, edit: Editor, context: Context) -> None:
    dead = [node for node in graph.nodes if node not in needed.nodes]
    for node in dead:
        edit.remove(node)
    if dead:
        context.replaced(dead, rule="unread")
    for node in edit.live_nodes(graph):
        if len(node.outputs) == 1:  # it is needed for that one
            continue
        unneeded = [i for i, t in enumerate(node.outputs) if t.name and t not in needed.tensors]
        drop = _drop_from_bodies if subgraphs(node) else _leave_out
        if unneeded and drop(node, unneeded, graph.opset):
            context.replaced([node], [node], rule="unread output")


def _drop_from_bodies(node: Node, unneeded: list[int], opset: int) -> bool:
    bodies = subgraphs(node)
    dropped = [i for i in unneeded if all(i + _shift(node) >= _carried(node, body) for body in bodies)]
    for i in reversed(dropped):
        for name in ("scan_output_axes", "scan_output_directions"):
            if name in node.attrs:
                del node.attrs[name][i - _carried(node, bodies[0])]
        for body in bodies:
            del body.outputs[i + _shift(node)]
        del node.outputs[i]
    return bool(dropped)


def _leave_out(node: Node, unneeded: list[int], opset: int) -> bool:
    found = schema.find(node.op, opset, node.domain)
    if found is None or _is_training(node, opset):
        return False
    optional = [i for i in unneeded if i < len(found.outputs) and found.outputs[i].option == _OPTIONAL]
    for i in optional:
        node.outputs[i] = Variable("")
    while optional and not node.outputs[-1].name:
        node.outputs.pop()
    return bool(optional)


def _is_training(node: Node, opset: int) -> bool:
    """Whether the outputs of a BatchNormalization say what it computes: before opset 14 their number does."""
    return node.op == "BatchNormalization" and (opset < 14 or node.attrs.get("training_mode", 0) != 0)


def _drop_functions(model: Model, context: Context) -> None:
    called = called_functions(model)
    for function in model.functions:
        if function not in called:
            context.replaced((), rule="uncalled function")
            context.note(f"removed function {function.domain}.{function.name}, which nothing calls")
    model.functions[:] = [function for function in model.functions if function in called]
