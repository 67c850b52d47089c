"""What a model consists of, counted; no weight is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from regraft.ir.graph import Constant, Node, Variable
from regraft.ir.model import Model
from regraft.ir.weights import Absent
from regraft.wording import count


def constants(model: Model) -> Iterator[Constant]:
    """Every constant of the model once: operands, tensor attributes, defaults of inputs, unused initializers."""
    seen: set[Constant] = set()
    for constant in _constants(model):
        if constant not in seen:
            seen.add(constant)
            yield constant


def missing(model: Model) -> list[str]:
    """The files of weights that were not there when `model` was loaded, and how many tensors each has, a line each."""
    found: Counter[str] = Counter()
    for constant in constants(model):
        if isinstance(constant.lazy, Absent):
            found[dict(constant.lazy.place).get("location", "")] += 1
    return [f"{name} is missing, which has the values of {count(tensors, 'tensor')}" for name, tensors in found.items()]


def _constants(model: Model) -> Iterator[Constant]:
    for graph in model.graphs():
        yield from graph.unused
        yield from (t for t in graph.outputs if isinstance(t, Constant))
        yield from (t.default for t in graph.inputs if isinstance(t, Variable) and t.default is not None)
        for node in graph.nodes:
            for tensor in node.inputs:
                if isinstance(tensor, Constant):
                    yield tensor
            for value in node.attrs.values():
                yield from (t for t in (value if isinstance(value, list) else [value]) if isinstance(t, Constant))


def operator(node: Node) -> str:
    """The operator with its domain, where that is not ONNX's own: `com.microsoft.Gelu`."""
    return f"{node.domain}.{node.op}" if node.domain else str(node.op)


def operators(model: Model) -> Counter[str]:
    """How many nodes of each operator the model has."""
    return Counter(operator(node) for node in model.nodes())
