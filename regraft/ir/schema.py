"""What ONNX says of an operator in each opset: its inputs, its attributes, their defaults.

An attribute of one opset is an input of another (`axes` of ReduceMean from 18, `ratio` of Dropout from 12); `attribute`
reads either, and `place` writes the one that an opset wants. Source: the schemas of the installed onnx.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from onnx import defs, helper

from regraft.ir.graph import AnyGraph, Constant, Node, Tensor
from regraft.ir.weights import Array, dtype_from_onnx
from regraft.ops.traits import RANDOM

DOMAINS = ("", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training")
"""The domains whose operators onnx defines."""


def draws(node: Node) -> bool:
    """Whether what `node` gives may depend on chance."""
    return not node.domain and node.op in RANDOM


FOREIGN = "ai.onnx"
"""The domain, in memory, of operators that files keep in ONNX's own and that ONNX does not define there.

Runtimes have such: what ONNX Runtime's optimizer writes, plugins of TensorRT. They are nodes like those of any other
domain, which nobody takes for one of ONNX's. In files the domain is ONNX's.
"""

STAND_IN = "regraft"
"""The domain of local functions that stand for an operator which the model's opset lacks; see `decomposed`."""


def versions(graph: AnyGraph) -> dict[str, int]:
    """The version of each operator set that `graph` declares, by domain."""
    return {e.domain: e.version for e in graph.import_domains or ()} | {"": graph.opset}


def kind(node: Node) -> str:
    """The operator that `node` computes, be it one, or a call of the function that stands for it; else `domain::op`."""
    if not node.domain:
        return str(node.op)
    return str(node.op).partition("_")[0] if node.domain == STAND_IN else f"{node.domain}::{node.op}"


@functools.cache
def find(op: str, opset: int, domain: str | None = None) -> defs.OpSchema | None:
    """The schema of `op` in `opset` of `domain`; None where there is none."""
    try:
        return defs.get_schema(op, opset, domain or "")
    except defs.SchemaError:
        return None


@functools.cache
def input_places(op: str, opset: int, domain: str | None) -> dict[str, int]:
    schema = find(op, opset, domain)
    return {entry.name: i for i, entry in enumerate(schema.inputs)} if schema else {}


@functools.cache
def default(op: str, opset: int, domain: str | None, name: str) -> Any:
    """The value of an attribute where a node does not say it; None where it has none."""
    schema = find(op, opset, domain)
    if schema is None or name not in schema.attributes:
        return None
    value = schema.attributes[name].default_value
    return _python(helper.get_attribute_value(value)) if value.type else None


def _python(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def attribute(node: Node, name: str, opset: int) -> Any:
    """The value of `name`, be it an attribute, a constant input, or the schema's default; else None.

    A tensor comes as a list, or as a number where it has one element and rank 0.
    """
    if name in node.attrs:
        return node.attrs[name]
    place = input_places(node.op, opset, node.domain).get(name)
    if place is not None:
        values = constant_of(node.inputs[place]) if place < len(node.inputs) else None
        return None if values is None else values.tolist()
    return default(node.op, opset, node.domain, name)


def is_input(op: str, name: str, opset: int, domain: str | None = None) -> bool:
    """Whether `name` is an input of `op`, not an attribute, in `opset`."""
    return name in input_places(op, opset, domain)


def input_place(op: str, name: str, opset: int, domain: str | None = None) -> int:
    """Position of the input called `name`."""
    return input_places(op, opset, domain)[name]


def is_constant(tensor: Tensor) -> bool:
    """Whether the value of `tensor` is known, without reading it."""
    return isinstance(tensor, Constant) or bool(tensor.inputs and tensor.inputs[0].op == "Constant")


def constant_of(tensor: Tensor) -> Array | None:
    """The value of `tensor` where it is an initializer or made by a Constant node; read only then."""
    if isinstance(tensor, Constant):
        return tensor.values if tensor.is_known else None
    if len(tensor.inputs) != 1 or tensor.inputs[0].op != "Constant" or tensor.inputs[0].domain:
        return None
    return constant_node_value(tensor.inputs[0])


def constant_node_value(node: Node) -> Array | None:
    """The value of a Constant node; None where it is sparse or refers to an attribute of its function."""
    for name, value in node.attrs.items():
        if isinstance(value, Constant):
            return value.values if value.is_known else None
        if name in _CONSTANT_KINDS and not isinstance(value, node.AttributeRef):
            return np.array(value, _CONSTANT_KINDS[name])
    return None


_CONSTANT_KINDS: dict[str, Any] = {
    "value_float": "float32",
    "value_floats": "float32",
    "value_int": "int64",
    "value_ints": "int64",
    "value_string": object,
    "value_strings": object,
}


def output_dtype(node: Node, opset: int) -> Any:
    """The dtype of the first output of `node`, as the operator tells it, and its inputs; None where they do not."""
    known = find(node.op, opset, node.domain)
    if known is None:
        return None
    if node.op == "Cast":
        return dtype_from_onnx(node.attrs["to"])
    wanted = known.outputs[0].type_str
    like = (t.dtype for entry, t in zip(known.inputs, node.inputs, strict=False) if entry.type_str == wanted)
    allowed = next((c.allowed_type_strs for c in known.type_constraints if c.type_param_str == wanted), [wanted])
    alone = _TYPES.get(allowed[0]) if len(allowed) == 1 else None
    return next((dtype for dtype in like if dtype is not None), alone)


_TYPES: dict[str, Any] = {"tensor(bool)": np.bool_, "tensor(int64)": np.int64}


@functools.cache
def _history() -> dict[str, dict[str, list[defs.OpSchema]]]:
    """All versions of every operator, by domain and name."""
    found: dict[str, dict[str, list[defs.OpSchema]]] = {}
    for one in defs.get_all_schemas_with_history():
        found.setdefault(one.domain, {}).setdefault(one.name, []).append(one)
    return found


def history(op: str, domain: str | None = None) -> list[defs.OpSchema]:
    """All versions of an operator, in no order; none where onnx does not define it."""
    return _history().get(domain or "", {}).get(op, [])


@functools.cache
def names(opset: int | None = None, domain: str | None = None) -> frozenset[str]:
    """The operators of a domain, by default ONNX's own, in `opset` or in any."""
    every = _history().get(domain or "", {})
    return frozenset(every if opset is None else (n for n in every if find(n, opset, domain)))


def since(op: str) -> int:
    """The opset of the default domain in which `op` first appeared."""
    return min(one.since_version for one in history(op))


@functools.cache
def vocabulary(op: str, domain: str | None = None) -> tuple[frozenset[str], frozenset[str]]:
    """The attributes and the inputs that `op` has in one opset or another."""
    found = history(op, domain)
    attributes = frozenset(name for one in found for name in one.attributes)
    return attributes, frozenset(entry.name for one in found for entry in one.inputs)
