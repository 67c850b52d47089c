"""Small faults in a model, each of which may change what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.model import Model
from regraft.ir.schema import constant_of
from regraft.ir.weights import Array

Fault = Callable[[], None]

# a softmax that takes its smallest element off is the same over the reals, and overflows: see `test_place_rounding`
ALIKE = {
    "Abs": "Relu",
    "Add": "Sub",
    "Div": "Mul",
    "Erf": "Tanh",
    "Exp": "Sigmoid",
    "Gelu": "Relu",
    "Greater": "GreaterOrEqual",
    "Less": "LessOrEqual",
    "Max": "Min",
    "Min": "Max",
    "Mul": "Add",
    "Neg": "Abs",
    "ReduceMean": "ReduceSum",
    "ReduceSum": "ReduceMean",
    "Relu": "Abs",
    "Sigmoid": "Tanh",
    "Softmax": "LogSoftmax",
    "Sqrt": "Abs",
    "Sub": "Add",
    "Tanh": "Sigmoid",
}
ONE_SIDED = {"Sub", "Div", "Pow", "MatMul", "Greater", "Less", "Mod", "Concat"}
_LARGE = 1e3
"""Beyond, a number stands for infinity in a mask."""


def faults(model: Model) -> dict[str, list[Fault]]:
    """Everything that may be made wrong in the main graph, by the kind of fault; each fault changes `model`."""
    found: dict[str, list[Fault]] = {}
    shapes = {t: getattr(t, "shape", None) for node in model.graph.nodes for t in (*node.inputs, *node.outputs)}
    for node in model.graph.nodes:
        for kind, fault in _of_node(node, shapes):
            found.setdefault(kind, []).append(fault)
    return found


def _of_node(node: Node, shapes: dict[Tensor, object]) -> Iterator[tuple[str, Fault]]:
    if node.op in ONE_SIDED and len(node.inputs) > 1 and not node.domain:
        yield "operands swapped", lambda: _swap(node, 0, 1)
    if node.op == "Where":
        yield "branches swapped", lambda: _swap(node, 1, 2)
    if node.op == "Attention":
        yield "keys and values swapped", lambda: _swap(node, 1, 2)
    if node.op in ALIKE and not node.domain:
        yield "another operator", lambda: setattr(node, "op", ALIKE[node.op])
    if node.inputs and len(node.outputs) == 1 and shapes[node.inputs[0]] == shapes[node.outputs[0]] is not None:
        yield "a node less", lambda: _drop(node)
    yield from _of_attributes(node)
    for place, tensor in enumerate(node.inputs):
        values = constant_of(tensor)
        if values is not None and values.size:
            yield from _of_constant(node, place, values)


def _of_attributes(node: Node) -> Iterator[tuple[str, Fault]]:
    for name, value in node.attrs.items():
        if name == "axis":
            yield "another axis", lambda value=value: _set(node, "axis", value - 1 if value else 1)
        elif name == "axes":
            yield "another axis", lambda value=value: _set(node, "axes", [value[0] - 1 or 1, *value[1:]])
        elif name == "perm" and len(value) > 1:
            yield "another order", lambda value=value: _set(node, "perm", [value[1], value[0], *value[2:]])
        elif name == "epsilon":
            yield "another epsilon", lambda value=value: _set(node, "epsilon", value * 10)
        elif name in ("alpha", "beta", "scale"):
            yield "another attribute", lambda name=name, value=value: _set(node, name, value * 1.01)
        elif name in ("transA", "transB", "is_causal", "exclusive", "reverse"):
            yield "another attribute", lambda name=name, value=value: _set(node, name, 1 - value)
        elif name == "approximate":
            other = "none" if value in ("tanh", b"tanh") else "tanh"
            yield "another attribute", lambda other=other: _set(node, "approximate", other)


def _of_constant(node: Node, place: int, values: Array) -> Iterator[tuple[str, Fault]]:
    def put(kind: str, changed: Array) -> tuple[str, Fault]:
        return kind, lambda: _put(node, place, np.asarray(changed, values.dtype))

    if values.dtype.kind == "f":
        if values.size == 1 and abs(values.item()) > _LARGE:
            yield put("another mask", np.full_like(values, -2.0))
        elif values.size == 1:
            yield put("another epsilon" if 0 < values.item() < 1e-4 else "another number", _epsilon(values))
        else:
            yield put("another element", _one_changed(values))
            yield put("another element", -values)
        if values.ndim == 2 and values.shape[0] == values.shape[1] > 1:
            yield put("a weight transposed", values.T.copy())
    elif node.op == "Slice" and place in (1, 2):
        yield put("another bound", np.where(np.abs(values) < 1 << 30, values + 1, values))
    elif node.op == "Gather" and place == 1:
        yield put("another place", values + 1)
    elif values.dtype.kind == "i" and values.size == 1 and node.op in ("ReduceSum", "ReduceMean", "Unsqueeze"):
        yield put("another axis", np.where(values == 0, 1, values - 1))


def _epsilon(values: Array) -> Array:
    return values * (10 if 0 < values.item() < 1e-4 else 1.01)


def _one_changed(values: Array) -> Array:
    """The largest element by 1 %."""
    changed = values.copy().reshape(-1)
    changed[np.argmax(np.abs(changed))] *= 1.01
    return changed.reshape(values.shape)


def _swap(node: Node, one: int, other: int) -> None:
    inputs = list(node.inputs)
    inputs[one], inputs[other] = inputs[other], inputs[one]
    node.inputs[:] = inputs


def _set(node: Node, name: str, value: object) -> None:
    node.attrs[name] = value


def _put(node: Node, place: int, values: Array) -> None:
    """Give this node alone a constant of its own."""
    node.inputs[place] = Constant(f"{node.outputs[0].name}.changed", values)


def _drop(node: Node) -> None:
    """Hand the first input on."""
    node.op, node.domain = "Identity", ""
    node.attrs.clear()
    node.inputs[1:] = []
