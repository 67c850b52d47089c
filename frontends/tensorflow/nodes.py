"""Nodes of TensorFlow that the conversion adds to the graph."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tensorflow import make_tensor_proto
from tensorflow.core.framework import node_def_pb2

from .graph import Node, Nodes, Place
from .signature import Port


def constant(name: str, value: Any, dtype: int) -> Node:
    """A Const."""
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = dtype
    node.attr["value"].tensor.CopyFrom(make_tensor_proto(value, dtype))
    return node


def placeholder(port: Port) -> Node:
    """An input."""
    return _of_shape("Placeholder", port)


def variable(port: Port) -> Node:
    """A variable that is read as a tensor."""
    return _of_shape("VariableV2", port)


def _of_shape(op: str, port: Port) -> Node:
    node = node_def_pb2.NodeDef(name=port.place.node, op=op)
    node.attr["dtype"].type = port.dtype
    if port.shape is None:
        node.attr["shape"].shape.unknown_rank = True
    else:
        node.attr["shape"].shape.SetInParent()
        for dim in port.shape:
            node.attr["shape"].shape.dim.add(size=dim if isinstance(dim, int) else -1)
    return node


def identity(name: str, source: Place, dtype: int) -> Node:
    """An Identity of `source`."""
    node = node_def_pb2.NodeDef(name=name, op="Identity", input=[str(source)])
    node.attr["T"].type = dtype
    return node


def mend(nodes: Nodes, inputs: Collection[str]) -> None:
    """Replace operators that tf2onnx does not convert by ones that it does.

        Erfc(x)                                  →  1 − Erf(x)
        PlaceholderWithDefault(x), no input      →  Identity(x)

    Devices and private attributes, which may name removed nodes, are dropped.
    """
    for node in list(nodes.values()):
        node.device = ""
        for name in [name for name in node.attr if name.startswith("_")]:
            del node.attr[name]
        if node.op == "Erfc":
            _mend_erfc(node, nodes)
        elif node.op == "PlaceholderWithDefault" and node.name not in inputs:
            node.CopyFrom(identity(node.name, Place.of(node.input[0]), node.attr["dtype"].type))


def _mend_erfc(node: Node, nodes: Nodes) -> None:
    dtype = node.attr["T"].type
    one = constant(f"{node.name}/one", 1, dtype)
    erf = node_def_pb2.NodeDef(name=f"{node.name}/Erf", op="Erf", input=node.input)
    erf.attr["T"].type = dtype
    nodes.update({one.name: one, erf.name: erf})
    node.op = "Sub"
    node.input[:] = [one.name, erf.name]
