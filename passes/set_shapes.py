"""`set-shapes`: the dimensions of the inputs, and all that follows."""

from __future__ import annotations

from regraft import shapes
from regraft.errors import PassError
from regraft.ir.graph import Variable, walk
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.pipelines.options import Dims, Shapes, option, show_dims
from regraft.pipelines.pass_base import Context, Pass
from regraft.shapes.facts import declared
from regraft.verification.contract import interface
from regraft.verification.size_names import own_sizes
from regraft.wording import count

Dim = int | str | None


class SetShapes(Pass):
    """Fix or name the dimensions of inputs, and infer every shape anew.

    | option | input before | after |
    |---|---|---|
    | `input_ids=8x128` | batch x seq | 8 x 128, as every other input or output with `batch` or `seq` |
    | `mask=batchx?` | ? x ? | batch x ? |
    | `batch=8` | batch x seq | 8 x seq |
    | `sequence=128` | batch x seq | batch x 128 |

    A key is the name of an input, or of a dimension; `batch` and `sequence` are these dimensions whatever the model
    calls them. `?` leaves a dimension as it is.
    """

    name = "set-shapes"
    contract = interface
    shapes: Shapes = option(help="shapes of inputs, or sizes of named dimensions")

    def run(self, model: Model, context: Context) -> None:
        inputs = {t.name: t for t in model.inputs}
        named: dict[str, Dim] = {}
        for name, given in own_sizes(model, self.shapes).items():
            if name in inputs:
                _set_input(inputs[name], given, named)
            else:
                _set_dimension(name, given, named)
        sides = [model.host.model, model] if model.host else [model]
        for side in sides:
            _rename(side, named)
        if model.host:
            _hand_on(model.host, model)
        for line in shapes.infer(model):
            context.note(line)
        context.changed(", ".join(f"{name} {show_dims(dims)}" for name, dims in self.shapes.items()))


def _set_input(tensor: Variable, given: Dims, named: dict[str, Dim]) -> None:
    """Give an input its shape; a named dimension that changes goes to `named`, to change wherever it stands."""
    if declared(tensor).other is not None:
        raise PassError(f"set-shapes: input '{tensor.name}' is a {tensor.type}, which has no shape")
    shape: list[Dim] = list(given) if tensor.shape is None else list(tensor.shape)
    if len(given) != len(shape):
        raise PassError(
            f"set-shapes: input '{tensor.name}' has {count(len(shape), 'dimension')} ({show_dims(tuple(shape))}), "
            f"not {len(given)} ({show_dims(given)})"
        )
    for axis, (old, new) in enumerate(zip(shape, given, strict=True)):
        if new is None or new == old:
            continue
        if isinstance(old, int):
            raise PassError(f"set-shapes: dimension {axis} of input '{tensor.name}' is {old} in the model, not {new}")
        if old is None:
            shape[axis] = new
        else:
            _name(old, new, named, f"input '{tensor.name}'")
    tensor.shape = shape


def _set_dimension(name: str, given: Dims, named: dict[str, Dim]) -> None:
    if len(given) != 1:
        raise PassError(f"set-shapes: '{name}' is one dimension, not {show_dims(given)}")
    if given[0] is not None:
        _name(name, given[0], named, f"'{name}'")


def _name(old: str, new: int | str, named: dict[str, Dim], where: str) -> None:
    if named.setdefault(old, new) != new:
        raise PassError(f"set-shapes: {where}: dimension '{old}' cannot be both {named[old]} and {new}")


def _hand_on(host: Host, device: Model) -> None:
    """Give the device's inputs the shapes that the host knows, and the outputs those that the device declares."""
    shapes.infer(host.model)
    given = {tensor.name: tensor for tensor in (*host.model.graph.inputs, *host.model.graph.outputs)}
    for tensor in device.graph.inputs:
        tensor.shape = given[host.feeds.get(tensor.name, tensor.name)].shape
    made = {tensor.name: tensor for tensor in device.graph.outputs}
    for tensor in host.outputs:
        tensor.shape = made[tensor.name].shape


def _rename(model: Model, named: dict[str, Dim]) -> None:
    """Put the new dimensions wherever the graphs declare the old."""
    for graph in walk(model.graph):
        values = [*graph.outputs, *graph.inputs, *(t for node in graph.nodes for t in node.outputs)]
        for tensor in dict.fromkeys(values):
            if isinstance(tensor, Variable) and tensor.shape is not None:
                tensor.shape = [named.get(d, d) if isinstance(d, str) else d for d in tensor.shape]
