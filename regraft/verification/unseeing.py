"""Elements without meaning: the outputs of queries that see no key. Where a mask hides every key of a query (padding
under a sliding window, left padding under a causal mask), all scores of the Softmax have been pushed down. Its result
depends on how far and in which form, and two right ways to write a mask differ there. An experiment finds the outputs
that this reaches: a Softmax row that is entirely below `FAR` gets another answer, and outputs that move have no
meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper

from regraft.files.convert import export, from_proto
from regraft.ir.model import Model

FAR = -5e3
"""Scores below it are masked: masks add -1e4 and less."""

_FIRST = 11  # the opset that brought CumSum


def blinded(model: Model) -> Model | None:
    """A copy of `model` that gives other numbers to queries which see no key; None where no Softmax is in float32."""
    proto, values = export(model.device)
    version = _version(proto.opset_import)
    if version < _FIRST:
        return None
    dtypes = {info.name: info.type.tensor_type.elem_type for info in (*proto.graph.value_info, *proto.graph.input)}
    count = _blind(proto.graph.node, version, dtypes, 0)
    for function in proto.functions:  # a recognised attention is a call of one
        count = _blind(function.node, _version(function.opset_import) or version, {}, count)
    if not count:
        return None
    copied = from_proto(proto, model.path, values)
    copied.host = model.host
    return copied


def _version(imports: Iterable[onnx.OperatorSetIdProto]) -> int:
    return max((one.version for one in imports if not one.domain), default=0)


def _blind(repeated: Any, version: int, dtypes: Mapping[str, int], count: int) -> int:
    """Change the nodes in `repeated`, a repeated field. Returns the number of changes, added to `count`."""
    nodes = []
    for node in repeated:
        nodes.append(node)
        if node.op_type == "Attention" and not node.domain and len(node.input) > 3 and dtypes.get(node.input[3]):
            count += 1
            nodes += _other_context(node, dtypes[node.input[3]], f"unseeing.{count}")
        if node.op_type == "Softmax" and not node.domain and version >= _FIRST and _axis(node, version) == -1:
            count += 1
            nodes += _other_answer(node, version, f"unseeing.{count}")
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del repeated[:]
    repeated.extend(kept)
    return count


def _constant(name: str, dtype: int, shape: list[int], value: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, dtype, shape, [value]))


def _axis(node: onnx.NodeProto, version: int) -> int:
    """The axis, -1 if it is the last; before opset 13 only if the attribute is -1."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), -1 if version >= 13 else 1)
    return -1 if axis in (-1, 3) else axis


def _other_answer(node: onnx.NodeProto, version: int, prefix: str) -> list[onnx.NodeProto]:
    """Nodes after a Softmax that replace its answer in hidden rows, and produce its output. The other answer is the
    cosine of a key's index: not uniform, so that scaling the sum of the keys' values, as a normalization does, does not
    undo it.
    """
    scores, result = node.input[0], node.output[0]
    node.output[0] = f"{prefix}.softmax"

    def name(what: str) -> str:
        return f"{prefix}.{what}"

    if version >= 18:
        peak = helper.make_node("ReduceMax", [scores, name("axes")], [name("peak")], keepdims=1)
    else:
        peak = helper.make_node("ReduceMax", [scores], [name("peak")], axes=[-1], keepdims=1)
    return [
        _constant(name("far"), TensorProto.FLOAT, [], FAR),
        _constant(name("axis"), TensorProto.INT64, [], -1),
        _constant(name("axes"), TensorProto.INT64, [1], -1),
        peak,
        helper.make_node("Cast", [name("peak")], [name("wide")], to=TensorProto.FLOAT),
        helper.make_node("Less", [name("wide"), name("far")], [name("hidden")]),
        helper.make_node("Equal", [scores, scores], [name("any")]),
        helper.make_node("Cast", [name("any")], [name("one")], to=TensorProto.FLOAT),
        helper.make_node("CumSum", [name("one"), name("axis")], [name("number")]),
        helper.make_node("Cos", [name("number")], [name("cosine")]),
        helper.make_node("Where", [name("hidden"), name("cosine"), node.output[0]], [result]),
    ]


def _other_context(node: onnx.NodeProto, mask: int, prefix: str) -> list[onnx.NodeProto]:
    """The same after an Attention whose result has an axis for heads, by its mask, additive or boolean."""
    result = node.output[0]
    node.output[0] = f"{prefix}.attention"
    far = 0.5 if mask == TensorProto.BOOL else FAR
    return [
        _constant(f"{prefix}.far", TensorProto.FLOAT, [], far),
        _constant(f"{prefix}.axis", TensorProto.INT64, [], -1),
        _constant(f"{prefix}.axes", TensorProto.INT64, [1], -1),
        helper.make_node("Cast", [node.input[3]], [f"{prefix}.mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", [f"{prefix}.mask", f"{prefix}.axes"], [f"{prefix}.peak"], keepdims=1),
        helper.make_node("Less", [f"{prefix}.peak", f"{prefix}.far"], [f"{prefix}.hidden"]),
        helper.make_node("Equal", [node.output[0], node.output[0]], [f"{prefix}.any"]),
        helper.make_node("Cast", [f"{prefix}.any"], [f"{prefix}.one"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", [f"{prefix}.one", f"{prefix}.axis"], [f"{prefix}.number"]),
        helper.make_node("Cos", [f"{prefix}.number"], [f"{prefix}.cosine"]),
        helper.make_node("Where", [f"{prefix}.hidden", f"{prefix}.cosine", node.output[0]], [result]),
    ]
