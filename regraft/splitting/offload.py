"""`to_host`: the host computes a value and passes it to the device."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from regraft.errors import PassError
from regraft.files.convert import clone
from regraft.ir.editor import Editor
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.ir.order import reads
from regraft.opset.plan import apply, plan
from regraft.pipelines.pass_base import Context
from regraft.refusal import INFER_SHAPES, Refusal
from regraft.splitting.subgraph import extract, join, keep


def to_host(model: Model, values: Mapping[str, Tensor], context: Context, rule: str = "") -> dict[str, Variable]:
    """Let the host compute `values`, and the device take them as inputs.

    The nodes that compute them are copied to the host, beside those that earlier passes moved. On the device, nodes
    that nothing else needs are removed, with the inputs and weights that only they read.

    Args:
        values: of the main graph, by the names that they get as inputs; a name in use gets a number.
        rule: the name in the report.

    Returns:
        The new inputs, by the names in `values`.

    Raises:
        PassError: the dtype of a value is not known, or it is an input of the model already.
    """
    for name, tensor in values.items():
        _check(tensor, name)
    with Editor(model) as edit:
        computed = {name: _made_by_node(tensor, edit) for name, tensor in values.items()}
    host = model.host = model.host or without_work(model)
    piece = extract(model, computed.values())
    _join(host, piece)
    inputs = _feed_device(model, computed, context, rule)
    _feed_from_host(model, host, list(inputs.values()), piece.graph.outputs)
    return inputs


def without_work(model: Model) -> Host:
    """A host that computes nothing yet."""
    before = clone(model.device)
    keep(before, [])
    before.graph.name = "host"
    before.metadata = {}
    return Host(before, {}, [_port(tensor) for tensor in model.graph.outputs])


def _port(output: Tensor) -> Variable:
    """Name and type of an output, which may be a constant."""
    if isinstance(output, Constant):
        return Variable(output.name, output.dtype, list(output.shape))
    return output.copy()


def _check(tensor: Tensor, name: str) -> None:
    if tensor.dtype is None:
        unknown = f"the type of '{tensor.name}' is not known, so it cannot be input '{name}'; run {INFER_SHAPES}"
        raise PassError(Refusal(unknown, needs=(INFER_SHAPES,)))
    if isinstance(tensor, Variable) and not tensor.inputs:
        raise PassError(f"'{tensor.name}' is an input of the model already, so it cannot be input '{name}'")


def _made_by_node(tensor: Tensor, edit: Editor) -> Tensor:
    """`tensor`, or if it is a constant, the output of an Identity that all its users read."""
    if not isinstance(tensor, Constant):
        return tensor
    output = Variable(edit.name(f"{tensor.name}/value"), tensor.dtype, list(tensor.shape))
    edit.replace(tensor, output)
    edit.insert(edit.model.graph.nodes[0], "Identity", [tensor], outputs=[output])
    return output


def _join(host: Host, piece: Model) -> None:
    """Append `piece` to the host; both in the newer of their opsets."""
    newest = max(host.model.opset, piece.opset)
    for part in (host.model, piece):
        if part.opset != newest:
            apply(part, plan(part, newest))
    outputs = {tensor.name: tensor for tensor in host.model.graph.outputs}
    given = {tensor.name: tensor for tensor in host.model.graph.inputs}
    sources = {
        t.name: outputs[host.feeds[t.name]] if t.name in host.feeds else given[t.name] for t in piece.graph.inputs
    }
    join(host.model, piece, sources)


def _feed_device(model: Model, values: Mapping[str, Tensor], context: Context, rule: str) -> dict[str, Variable]:
    """Make `values` inputs, and remove nodes that nothing needs any more."""
    graph = model.graph
    nodes, starts = cone(values.values())
    made = {name: Variable("", tensor.dtype, tensor.shape) for name, tensor in values.items()}
    with Editor(model) as edit:
        for name, tensor in values.items():
            edit.replace(tensor, made[name])
        removed = edit.remove_unread(nodes)
    _drop_unread(graph, starts)
    graph.inputs += made.values()
    names = Editor(model)  # without those of the inputs that went
    for name, tensor in made.items():
        tensor.name = names.name(name)
    context.replaced(removed, rule=rule)
    context.changed(", ".join(f"input '{tensor.name}' from the host" for tensor in made.values()))
    return made


def _feed_from_host(model: Model, host: Host, inputs: list[Variable], values: list[Tensor]) -> None:
    """Let `values` of the host feed `inputs`, and remove outputs of the host that feed no input any more."""
    names = Editor(host.model)
    for given, value in zip(inputs, values, strict=True):
        value.name = names.name(given.name)
        host.feeds[given.name] = value.name
    host.model.graph.outputs += values
    _drop_idle(model, host)


def drop_inputs(model: Model, inputs: Collection[Tensor]) -> None:
    """Remove the unused ones of `inputs` from the device, and from the host the nodes that only they needed."""
    _drop_unread(model.graph, inputs)
    if model.host is not None:
        _drop_idle(model, model.host)


def _drop_unread(graph: Graph, inputs: Collection[Tensor]) -> None:
    ends = set(graph.outputs)
    graph.inputs = [t for t in graph.inputs if t not in inputs or t.outputs or t in ends]


def _drop_idle(model: Model, host: Host) -> None:
    """Remove outputs of the host that feed no input of the device any more."""
    taken = [tensor.name for tensor in model.graph.inputs]
    host.feeds = {name: host.feeds[name] for name in taken if name in host.feeds}
    outputs = {value.name: value for value in host.model.graph.outputs}
    keep(host.model, dict.fromkeys(outputs[name] for name in host.feeds.values()))


def cone(values: Iterable[Tensor]) -> tuple[list[Node], set[Tensor]]:
    """The nodes that compute `values`, users before producers, and the inputs and weights that they read."""
    nodes: dict[Node, None] = {}
    starts: set[Tensor] = set()
    pending = list(values)
    while pending:
        tensor = pending.pop()
        if not tensor.inputs:
            starts.add(tensor)
        for node in tensor.inputs:
            if node not in nodes:
                nodes[node] = None
                pending += reads(node)
    return list(nodes), starts
