"""Random ONNX models: valid, runnable, the same for the same number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

from tests.random_graphs.grow import Graph, Shape, Unfit, Value, info
from tests.random_graphs.operators import fitting

OPSETS = (11, 12, 13, 14, 15, 16, 17, 17, 18, 19, 20, 21)
SIZES: tuple[dict[str, int], ...] = ({"n": 2, "s": 5}, {"n": 1, "s": 3})
"""What the open dimensions of every model can be."""
INPUTS: dict[str, tuple[str, Shape]] = {
    "x": ("float32", ("n", "s", 4)),
    "y": ("float32", ("n", 4)),
    "z": ("float32", ("n", "s", 4)),
    "ids": ("int64", ("n", "s")),
    "attention_mask": ("int64", ("n", "s")),
    "k": ("int32", ("n", 3)),
    "half": ("float16", ("n", "s", 4)),
    "double": ("float64", ("n", 4)),
    "fixed": ("float32", (3, 4)),
    "image": ("float32", ("n", 2, 6, 6)),
    "truth": ("bool", ("n", "s")),
    "flag": ("bool", ()),
}
MOST = 4096
"""Elements that a value may have beside its open dimensions."""


def generate(seed: int, nodes: int | None = None) -> onnx.ModelProto:
    """The model of this number.

    Args:
        nodes: how many operators are drawn; the first ones are the same whatever their number.
    """
    random = np.random.default_rng(seed)
    graph = Graph(int(random.choice(OPSETS)))
    names = [name for name in INPUTS if name == "x" or random.random() < 0.4]
    inputs = [Value(name, *INPUTS[name]) for name in names]
    graph.keep(*inputs)
    count = int(random.integers(5, 31))
    dead, shown, stated, overridable = random.random(), random.random(), random.random() < 0.3, random.random() < 0.1
    made: list[Value] = []
    for index in range(count if nodes is None else nodes):
        graph.random = np.random.default_rng([seed, index])
        kept = [value for value in _grow(graph) if _small(value)]
        graph.keep(*kept)
        made += kept
    graph.random = np.random.default_rng([seed, len(made), 1])
    outputs = [v for v in made if graph.coin(1 - 0.15 * dead) and (v.name not in graph.read or graph.coin(0.1 * shown))]
    outputs = outputs or made[-1:] or inputs[:1]
    model = _model(graph, inputs, outputs, overridable)
    return onnx.shape_inference.infer_shapes(model) if stated else model


def feeds(model: onnx.ModelProto, sizes: dict[str, int], seed: int) -> dict[str, Any]:
    """Inputs of these sizes, the same for the same number."""
    random = np.random.default_rng([seed, *sizes.values()])
    defaults = {tensor.name for tensor in model.graph.initializer}
    made = {}
    for name, (dtype, shape) in INPUTS.items():
        dims = [sizes.get(dim, 0) if isinstance(dim, str) else dim for dim in shape]
        kind = np.dtype(dtype).kind
        numbers = random.standard_normal(dims) if kind == "f" else random.integers(0, 2 if kind == "b" else 7, dims)
        made[name] = np.minimum(numbers, 1) if name == "attention_mask" else numbers
        made[name] = np.asarray(made[name]).astype(dtype)
    return {i.name: made[i.name] for i in model.graph.input if i.name not in defaults}


def shrink(seed: int, fails: Callable[[onnx.ModelProto], bool]) -> onnx.ModelProto:
    """The smallest model of this number, by drawn operators and then by outputs, that still fails."""
    whole = generate(seed)
    found = next((m for k in range(1, 31) if fails(m := generate(seed, k))), whole)
    for output in found.graph.output:
        alone = only(found, output.name)
        if fails(alone):
            return alone
    return found


def only(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """The model with this output, and the nodes that it needs."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    needed, nodes = {output}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed |= _reads(node)
            nodes.append(node)
    for field, kept in (
        ("node", nodes[::-1]),
        ("output", [o for o in model.graph.output if o.name == output]),
        ("initializer", [i for i in model.graph.initializer if i.name in needed]),
        ("input", [i for i in model.graph.input if i.name in needed]),
        ("value_info", []),
    ):
        made.graph.ClearField(field)  # type: ignore[arg-type]
        getattr(made.graph, field).extend(kept)
    return made


def _grow(graph: Graph) -> list[Value]:
    """Append one operator that fits."""
    makers, odds = fitting(graph.opset)
    for _ in range(50):
        before = len(graph.nodes)
        try:
            return list(makers[int(graph.random.choice(len(makers), p=odds))](graph))
        except Unfit:
            del graph.nodes[before:]
    return []


def _small(value: Value) -> bool:
    return value.rank <= 5 and np.prod([d for d in value.shape if isinstance(d, int)]) <= MOST


def _reads(node: onnx.NodeProto) -> set[str]:
    bodies = [a.g for a in node.attribute if a.HasField("g")]
    inner = [_reads(one) for body in bodies for one in body.node]
    return set(node.input).union(*inner, *({o.name for o in body.output} for body in bodies))


def _model(graph: Graph, inputs: list[Value], outputs: list[Value], overridable: bool) -> onnx.ModelProto:
    read = set[str]().union(*map(_reads, graph.nodes))
    weights = [numpy_helper.from_array(w, name) for name, w in graph.weights.items() if name in read]
    proto = helper.make_graph(graph.nodes, "random", [*map(info, inputs)], [*map(info, outputs)], weights)
    if overridable and weights:
        chosen = weights[len(weights) // 2]
        proto.input.append(helper.make_tensor_value_info(chosen.name, chosen.data_type, list(chosen.dims)))
    functions = [FUNCTION] if any(node.domain == FUNCTION.domain for node in graph.nodes) else []
    opsets = [helper.make_opsetid("", graph.opset), *(helper.make_opsetid(f.domain, 1) for f in functions)]
    made = helper.make_model(proto, opset_imports=opsets, functions=functions, ir_version=8 if graph.opset < 19 else 10)
    for function in made.functions:
        function.opset_import[0].version = graph.opset
    return made


FUNCTION = parser.parse_function(
    '<domain: "mine", opset_import: ["" : 17]> Act (a) => (b) { t = Tanh(a) b = Mul(t, a) }'
)
"""A local function of one operator that any opset has."""
