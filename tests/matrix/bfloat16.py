"""bfloat16 for ONNX Runtime on a CPU, which lacks it."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from onnx import TensorProto

from regraft.files.convert import clone
from regraft.ir.graph import Constant, Node, Variable
from regraft.ir.model import Model
from regraft.verification.verify import coarsest_float

FLOAT, BFLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)


def without_bfloat16(model: Model) -> Model:
    """`model`, or one that computes in float32 and rounds to bfloat16 after every node, which ONNX Runtime can run."""
    if coarsest_float(model) != BFLOAT16:
        return model
    model = clone(model)
    widened: dict[Constant, Constant] = {}
    for graph in model.graphs():
        nodes = []
        for node in graph.nodes:
            nodes.append(node)
            if node.attrs.get("to") == TensorProto.BFLOAT16:
                node.attrs["to"] = TensorProto.FLOAT
            for place, tensor in enumerate(node.inputs):
                if isinstance(tensor, Constant) and tensor.dtype == BFLOAT16:
                    if tensor not in widened:
                        widened[tensor] = Constant(f"{tensor.name}/wide", tensor.values.astype(np.float32))
                    node.inputs[place] = widened[tensor]
            for tensor in [tensor for tensor in node.outputs if tensor.dtype == BFLOAT16]:
                wide, half = Variable(f"{tensor.name}/wide", FLOAT), Variable(f"{tensor.name}/half", BFLOAT16)
                node.outputs[node.outputs.index(tensor)] = wide
                tensor.dtype = FLOAT
                nodes.append(Node("Cast", attrs={"to": TensorProto.BFLOAT16}, inputs=[wide], outputs=[half]))
                nodes.append(Node("Cast", attrs={"to": TensorProto.FLOAT}, inputs=[half], outputs=[tensor]))
        graph.nodes[:] = nodes
    return model
