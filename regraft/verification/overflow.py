"""Overflow of float16, which ONNX Runtime's CPU kernels do not show: they compute in float32.

The float32 twin of a model gets the range of float16: after each node with a float16 output, the value is multiplied by
2¹¹² and by 2⁻¹¹², which is exact below 65,536, and gives infinity above.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from regraft.errors import RegraftError
from regraft.files.convert import export, from_proto
from regraft.ir.model import Model
from regraft.verification.twin import float32_twin, graphs

_UP, _DOWN = "overflow.up", "overflow.down"
_POWER = 112


def limited_twin(model: Model) -> Model | None:
    """The float32 twin of `model` with the range of float16 where the model is in float16; None where it is nowhere."""
    proto, _ = export(model.device)
    halves = set(_halves(_inferred(proto).graph))
    if not halves:
        return None
    twin = float32_twin(model)
    written, values = export(twin.device)
    for graph in graphs(written.graph):
        _limit(graph, halves)
    for name, power in ((_UP, _POWER), (_DOWN, -_POWER)):
        written.graph.initializer.append(numpy_helper.from_array(np.array(2.0**power, np.float32), name))
    limited = from_proto(written, model.path, values)
    limited.host = twin.host
    return limited


def _inferred(proto: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(proto)
    except Exception as error:  # onnx's inference has no common base
        raise RegraftError(f"ONNX's inference fails on the model: {error}") from error


def _halves(root: onnx.GraphProto) -> Iterator[str]:
    """The names of the float16 outputs of nodes."""
    for graph in graphs(root):
        typed = {
            info.name
            for info in (*graph.value_info, *graph.output)
            if info.type.tensor_type.elem_type == TensorProto.FLOAT16
        }
        yield from (name for node in graph.node for name in node.output if name in typed)


def _limit(graph: onnx.GraphProto, halves: set[str]) -> None:
    nodes = []
    for node in graph.node:
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        nodes.append(kept)
        for index, name in enumerate(node.output):
            if name in halves:
                kept.output[index] = before = f"{name}.unlimited"
                nodes.append(helper.make_node("Mul", [before, _UP], [f"{name}.up"]))
                nodes.append(helper.make_node("Mul", [f"{name}.up", _DOWN], [name]))
    del graph.node[:]
    graph.node.extend(nodes)
