"""Small graphs drawn at random, to try rules on."""

from __future__ import annotations

import random

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from regraft.files.convert import from_proto
from regraft.ir.model import Model

UNARY = ("Erf", "Neg", "Sqrt", "Identity", "Cast", "ReduceMean")
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Pow")
NUMBERS = (0.5, 1.0, -1.0, 2.0)


def random_model(draw: random.Random, opset: int, size: int = 14) -> Model:
    """Nodes of the operators above, each of values near the end, so that they build on one another."""
    values, nodes, initializers = ["x", "y", ""], [], []
    for place in range(size):
        kind = draw.choice(UNARY + BINARY + BINARY)
        read = []
        for _ in range(1 + (kind in BINARY)):
            if read and draw.random() < 0.5:
                name = f"c{place}_{len(read)}"
                tensor = numpy_helper.from_array(
                    np.full(draw.choice([(), (1,), (4,)]), draw.choice(NUMBERS), "f"), name
                )
                if draw.random() < 0.5:
                    initializers.append(tensor)
                else:
                    nodes.append(helper.make_node("Constant", [], [name], value=tensor))
                read.append(name)
            else:
                read.append(draw.choice([v for v in values[-4:] if v]))
        draw.shuffle(read)
        attrs = {"to": TensorProto.FLOAT} if kind == "Cast" else {}
        if kind == "ReduceMean":
            attrs = {"keepdims": 1}
            if opset < 18:
                attrs["axes"] = [-1]
            else:
                initializers.append(numpy_helper.from_array(np.array([-1]), f"axes{place}"))
                read.append(f"axes{place}")
        nodes.append(helper.make_node(kind, read, [f"t{place}"], name=f"n{place}", **attrs))
        values.append(f"t{place}")
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in ("x", "y")]
    outputs = [helper.make_tensor_value_info(values[-1], TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", infos, outputs, initializers)
    return from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]))
