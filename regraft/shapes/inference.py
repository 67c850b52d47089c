"""What ONNX's own inference says of one node."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import NamedTuple

import onnx
from onnx import numpy_helper, shape_inference

from regraft.files.exporter import Exporter
from regraft.files.wire import LARGE
from regraft.ir import schema
from regraft.ir.endless import is_equation
from regraft.ir.graph import Constant, Node, Tensor
from regraft.ir.weights import Array, dtype_from_onnx
from regraft.shapes import dims
from regraft.shapes.dims import Dim
from regraft.shapes.facts import Fact
from regraft.shapes.op_call import Call

ERRORS = (shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError, IndexError)
"""How inference says that a node contradicts its operator's rules."""


class _Said(NamedTuple):
    """What ONNX says of one output; a dimension that it cannot tell is None."""

    code: int = 0
    dims: tuple[Dim | None, ...] | None = None
    other: onnx.TypeProto | None = None

    def fact(self) -> Fact:
        known = None if self.dims is None else tuple(dims.unnamed() if d is None else d for d in self.dims)
        return Fact(self.code, known, None, self.other)


class Schemas:
    """ONNX's inference, asked once for nodes that are alike."""

    def __init__(self) -> None:
        self._known: dict[Hashable, list[_Said]] = {}

    def infer(self, call: Call, key: Hashable) -> list[Fact]:
        """What is known of each output; empty for an operator that ONNX does not define. Raises one of `ERRORS`.

        Args:
            key: the same for calls that are alike.
        """
        node = call.node
        rule = schema.find(node.op, call.opset, node.domain)
        if rule is None:
            return []
        if key not in self._known:
            self._known[key] = _ask(rule, call)
        return [said.fact() for said in self._known[key]]


def _ask(rule: onnx.defs.OpSchema, call: Call) -> list[_Said]:
    """What ONNX says of each output."""
    if call.node.op == "Einsum" and not is_equation(call.attrs.get("equation")):
        raise ValueError(f"'{call.attrs.get('equation')}' is no equation")  # of which ONNX would find no end
    names: dict[str, Dim] = {}
    proto = _proto(call)
    types = {f"i{i}": _type(fact, names) for i, fact in enumerate(call.inputs) if call.node.inputs[i].name}
    arrays = {f"i{i}": small_array(t, call.inputs[i]) for i, t in enumerate(call.node.inputs)}
    given = {name: numpy_helper.from_array(array) for name, array in arrays.items() if array is not None}
    imports = [onnx.OperatorSetIdProto(domain=call.node.domain or "", version=call.opset)]
    found = shape_inference.infer_node_outputs(rule, proto, types, given, opset_imports=imports)
    return [_said(found.get(name), names) for name in proto.output]


def problem(node: Node, error: Exception) -> str:
    """What inference found wrong with `node`, in one line."""
    text = re.sub(r"\[\w+\]\s*|\(op_type:[^)]*\):\s*", "", str(error)).strip().partition("\n")[0]
    return f"node '{node.name or node.outputs[0].name}' ({node.op}): {text}"


def _proto(call: Call) -> onnx.NodeProto:
    """The node, its inputs called i0, i1 ..., its outputs o0, o1 ..."""
    node = call.node
    proto = onnx.NodeProto(op_type=node.op, domain=node.domain or "")
    for name, value in call.attrs.items():
        Exporter().attribute(name, value, proto.attribute.add())
    proto.input.extend(f"i{i}" if t.name else "" for i, t in enumerate(node.inputs))
    proto.output.extend(f"o{i}" if t.name else "" for i, t in enumerate(node.outputs))
    return proto


def _type(fact: Fact, names: dict[str, Dim]) -> onnx.TypeProto:
    """The type of an input; every expression becomes a name, which `names` gives back."""
    if fact.other is not None:
        return fact.other
    proto = onnx.TypeProto()
    proto.tensor_type.elem_type = fact.code
    if fact.dims is not None:
        proto.tensor_type.shape.SetInParent()
        for dim in fact.dims:
            entry = proto.tensor_type.shape.dim.add()
            if isinstance(dim, int):
                entry.dim_value = dim
            else:
                entry.dim_param = str(dim)
                names[str(dim)] = dim
    return proto


def small_array(tensor: Tensor, fact: Fact) -> Array | None:
    """The value of an input, where it is small and known."""
    if isinstance(tensor, Constant) and (tensor.nbytes >= LARGE or not tensor.is_known):
        return None
    sizes = fact.sizes
    if sizes is None:
        return None
    if isinstance(tensor, Constant):
        return tensor.values.reshape(sizes)
    numbers = fact.numbers
    return None if numbers is None else numbers.reshape(sizes).astype(dtype_from_onnx(fact.code))


def _said(proto: onnx.TypeProto | None, names: dict[str, Dim]) -> _Said:
    if proto is None or not proto.WhichOneof("value"):
        return _Said()
    if not proto.HasField("tensor_type"):
        return _Said(other=proto)
    tensor = proto.tensor_type
    known = tuple(_dim(d, names) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return _Said(tensor.elem_type, known)


def _dim(proto: onnx.TensorShapeProto.Dimension, names: dict[str, Dim]) -> Dim | None:
    return int(proto.dim_value) if proto.HasField("dim_value") else names.get(proto.dim_param)
