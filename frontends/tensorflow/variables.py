"""Variables by value: each becomes a VariableV2 that is read as a tensor; and their names in the checkpoint.

    Variable, VarHandleOp                 →  VariableV2
    ReadVariableOp                        →  Identity
    ResourceGather, ResourceGatherNd      →  GatherV2, GatherNd

The graph that restores variables maps them to names in the checkpoint: RestoreV2 reads values by name, and Assign puts
them into variables.
"""

from __future__ import annotations

from collections.abc import Mapping

from regraft.files.wire import LARGE
from regraft.ir.weights import Stored
from regraft.pipelines.frontend import FrontendError

from .checkpoint import DTYPES
from .graph import Node, Nodes, Place
from .nodes import constant, variable
from .signature import Port

VARIABLES = ("Variable", "VariableV2", "VarHandleOp")
_ASSIGN = ("Assign", "AssignVariableOp")
_GATHERS = {"ResourceGather": "GatherV2", "ResourceGatherNd": "GatherNd"}
_DECIDING = (3, 4, 5, 6, 9, 10)
"""Data types of variables that may determine shapes or choose branches: integers and booleans. Large ones do not."""


def restored(nodes: Nodes) -> dict[str, str]:
    """The names in the checkpoint, by variable, that the graph `nodes` restores."""
    from tensorflow import make_ndarray

    found = {}
    for node in nodes.values():
        if node.op in _ASSIGN:
            value = _source(node.input[1], nodes)
            if nodes[value.node].op == "RestoreV2":
                names = make_ndarray(nodes[nodes[value.node].input[1]].attr["value"].tensor)
                found[_source(node.input[0], nodes).node] = names.reshape(-1)[value.output].decode()
    return found


def take_out(nodes: Nodes, names: Mapping[str, str], values: Mapping[str, Stored]) -> dict[str, Stored]:
    """Have the graph `nodes` read its variables by value; returns these values, by variable.

    Args:
        names: the names in the checkpoint by variable.
        values: what the checkpoint holds.

    Raises:
        FrontendError: a variable has no value in the checkpoint, or is used in an unknown way.
    """
    variables = [name for name, node in nodes.items() if node.op in VARIABLES]
    missing = sorted(name for name in variables if names.get(name, name) not in values)
    if missing:
        raise FrontendError(
            f"the checkpoint has no value for {', '.join(map(repr, missing[:5]))}{' and others' * (len(missing) > 5)}; "
            "variables saved in slices and variables of texts are not read"
        )
    handles = {name for name in variables if nodes[name].op == "VarHandleOp"}
    readers = [node for node in nodes.values() if any(_source(text, nodes).node in handles for text in node.input)]
    for node in readers:
        _read(node, nodes)
    weights = {}
    for name in variables:
        value = values[names.get(name, name)]
        if _fill(nodes[name], value):
            weights[name] = value
    return weights


def _source(text: str, nodes: Nodes) -> Place:
    """The source of an input, through nodes that forward it."""
    place = Place.of(text)
    while nodes[place.node].op == "Identity":
        place = Place.of(nodes[place.node].input[0])
    return place


def _read(node: Node, nodes: Nodes) -> None:
    """Let a node that reads a variable by its handle read a tensor."""
    if node.op == "Identity":
        node.attr["T"].type = nodes[_source(node.input[0], nodes).node].attr["dtype"].type
    elif node.op == "ReadVariableOp":
        dtype = node.attr["dtype"].type
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = dtype
    elif node.op in _GATHERS:
        _gather(node, nodes)
    else:
        raise FrontendError(f"{node.op} '{node.name}' uses a variable in a way that is not mapped")


def _gather(node: Node, nodes: Nodes) -> None:
    dtype, index = node.attr["dtype"].type, node.attr["Tindices"].type
    batch = node.attr["batch_dims"].i
    node.op = _GATHERS[node.op]
    node.attr.clear()
    node.attr["Tparams"].type, node.attr["Tindices"].type = dtype, index
    if node.op == "GatherV2":
        node.attr["batch_dims"].i = batch
        node.attr["Taxis"].type = 3
        axis = constant(f"{node.name}/axis", batch, 3)
        nodes[axis.name] = axis
        node.input.append(axis.name)


def _fill(node: Node, value: Stored) -> bool:
    """Make a variable a VariableV2, or a constant if its value may decide something. Returns whether the former."""
    dtype = next(code for code, onnx in DTYPES.items() if onnx == value.header.data_type)
    if dtype in _DECIDING and value.nbytes < LARGE:
        node.CopyFrom(constant(node.name, value.load(), dtype))
        return False
    node.CopyFrom(variable(Port(Place(node.name), dtype, value.shape)))
    return True
