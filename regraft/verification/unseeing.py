"""Places that mean nothing: what a query gives that sees no key.

A row of attention that hides every key (padding under a sliding window, left padding under a causal mask) has a Softmax
of numbers that were all pushed down alike. What comes out depends on how far and in which form, and two right writings
of a mask differ there. Which places of the outputs that reaches is found by experiment: a Softmax whose row lies
wholly below `FAR` is given another answer, and what moves means nothing.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from regraft.files.convert import export, from_proto
from regraft.ir.model import Model

FAR = -5e3
"""Scores below it are masked: masks add -1e4 and less."""

_OTHER = 0.37  # neither zero, as guards against NaN give, nor one over a number of keys


def blinded(model: Model) -> Model | None:
    """A copy of `model` that gives other numbers to queries which see no key; None where it has no Softmax."""
    proto, values = export(model.device)
    version = max((o.version for o in proto.opset_import if not o.domain), default=1)
    nodes, count = [], 0
    for node in proto.graph.node:
        nodes.append(node)
        if node.op_type == "Softmax" and not node.domain and _axis(node, version) == -1:
            count += 1
            nodes += _other_answer(proto.graph, node, version, f"unseeing.{count}")
    if not count:
        return None
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    copied = from_proto(proto, model.path, values)
    copied.host = model.host
    return copied


def _axis(node: onnx.NodeProto, version: int) -> int:
    """The axis, -1 where it is the last; before opset 13 that shows only where it is written so."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1 if version >= 13 else 1)
    return -1 if axis in (-1, 3) else axis


def _other_answer(graph: onnx.GraphProto, node: onnx.NodeProto, version: int, prefix: str) -> list[onnx.NodeProto]:
    """Nodes behind a Softmax that replace its answer in rows that are hidden; they give its output."""
    result = node.output[0]
    node.output[0] = f"{prefix}.softmax"
    names = {what: f"{prefix}.{what}" for what in ("far", "other", "axes", "peak", "wide", "hidden")}
    graph.initializer.append(helper.make_tensor(names["far"], TensorProto.FLOAT, [], [FAR]))
    graph.initializer.append(helper.make_tensor(names["other"], TensorProto.FLOAT, [], [_OTHER]))
    if version >= 18:
        graph.initializer.append(helper.make_tensor(names["axes"], TensorProto.INT64, [1], [-1]))
        peak = helper.make_node("ReduceMax", [node.input[0], names["axes"]], [names["peak"]], keepdims=1)
    else:
        peak = helper.make_node("ReduceMax", [node.input[0]], [names["peak"]], axes=[-1], keepdims=1)
    return [
        peak,
        helper.make_node("Cast", [names["peak"]], [names["wide"]], to=TensorProto.FLOAT),
        helper.make_node("Less", [names["wide"], names["far"]], [names["hidden"]]),
        helper.make_node("CastLike", [names["other"], node.output[0]], [names["other"] + ".like"])
        if version >= 15
        else helper.make_node("Identity", [names["other"]], [names["other"] + ".like"]),
        helper.make_node("Where", [names["hidden"], names["other"] + ".like", node.output[0]], [result]),
    ]
