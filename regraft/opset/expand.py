"""An operator as the function that ONNX defines it by."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, shape_inference

from regraft.files import convert
from regraft.ir.graph import Constant, Graph, Node, Tensor, Variable, subgraphs
from regraft.ir.model import Model
from regraft.ir.schema import constant_of, find
from regraft.ir.weights import dtype_from_onnx
from regraft.opset import history
from regraft.opset.adapter_context import AttributeRef, Draft, Site
from regraft.refusal import INFER_SHAPES
from regraft.shapes.analysis import analyse
from regraft.shapes.facts import Facts

_DOMAIN = "regraft.opset"
_FORWARDED = ("Identity", "Cast", "CastLike")


def has_body(op: str, opset: int) -> bool:
    """Whether ONNX defines `op` by others."""
    schema = find(op, opset)
    kinds = ("has_function", "has_context_dependent_function")  # which onnx's stubs do not list
    return any(getattr(schema, kind, False) for kind in kinds)


def expand(site: Site) -> list[Draft]:
    """The nodes that define the site's node, each of the opset that the definition is written in."""
    if any(isinstance(v, AttributeRef | Graph) for v in site.node.attrs.values()):
        site.refuse("it takes an attribute of the function around it, or a graph")
    body = _body(site)
    graph, facts = body.graph, analyse(body)
    if any(True for node in graph.nodes for _ in subgraphs(node)):
        site.refuse("its definition has a loop")
    if any(node.op == site.node.op or node.domain for node in graph.nodes):
        site.refuse("it is defined by itself")
    meant: dict[Tensor, Tensor] = {t: _meant(t.name, site.node.inputs, "i") for t in graph.inputs}
    meant |= {t: _meant(t.name, site.node.outputs, "o") for t in graph.outputs}
    drafts = [_draft(node, meant, int(graph.opset)) for node in graph.nodes if not _folded(node, meant, facts, site)]
    return _needed(drafts, site.node.outputs)


def _meant(name: str, tensors: list[Tensor], prefix: str) -> Tensor:
    return tensors[int(name.removeprefix(prefix))]


def _body(site: Site) -> Model:
    """The typed body as a model of its own, whose inputs and outputs are called i0, i1 ... and o0, o1 ..."""
    node = site.node
    attrs = {**history.defaults(node.op, site.source), **node.attrs}
    taken, made = _names(node.inputs, "i"), _names(node.outputs, "o")
    message = helper.make_node(node.op, taken, made, **{k: _plain(v) for k, v in attrs.items()})
    inputs = [
        onnx.ValueInfoProto(name=name, type=site.types.proto(t))
        for name, t in zip(taken, node.inputs, strict=True)
        if name
    ]
    if not all(info.type.WhichOneof("value") for info in inputs):
        site.refuse(f"the dtypes of its inputs are not known; annotate them or run {INFER_SHAPES} before", INFER_SHAPES)
    outputs = [onnx.ValueInfoProto(name=name, type=onnx.TypeProto()) for name in made if name]
    version, function = _definition(site, message)
    function.domain = message.domain = _DOMAIN
    versions = [helper.make_opsetid("", version), helper.make_opsetid(_DOMAIN, 1)]
    del function.opset_import[:]  # the inliner skips a function of other versions than the model
    function.opset_import.extend(versions)
    graph = helper.make_graph([message], "body", inputs, outputs)
    proto = helper.make_model(graph, opset_imports=versions, functions=[function])
    return convert.from_proto(shape_inference.infer_shapes(inliner.inline_local_functions(proto)))


def _definition(site: Site, node: onnx.NodeProto) -> tuple[int, onnx.FunctionProto]:
    """The function that defines `node`, and the opset that it is written in: one near the site's target."""
    schema: Any = find(node.op_type, site.source)  # onnx's stubs do not list what it has of functions
    if schema.has_function:
        versions, read = schema.function_opset_versions, schema.get_function_with_opset_version
    else:
        versions = schema.context_dependent_function_opset_versions
        types = [site.types.proto(t).SerializeToString() for t in site.node.inputs]
        read = functools.partial(_read_for, schema, node.SerializeToString(), types)
    version = max((v for v in versions if v <= site.version), default=min(versions))
    body = read(version)
    if not body:
        site.refuse("ONNX has no definition of it by other operators")
    return version, onnx.FunctionProto.FromString(body)


def _read_for(schema: Any, node: bytes, types: list[bytes], version: int) -> bytes:
    return schema.get_context_dependent_function_with_opset_version(version, node, types)


def _names(tensors: list[Tensor], prefix: str) -> list[str]:
    return ["" if t.is_empty() else f"{prefix}{i}" for i, t in enumerate(tensors)]


def _plain(value: Any) -> Any:
    return onnx.numpy_helper.from_array(value.values) if isinstance(value, Constant) else value


def _folded(node: Node, meant: dict[Tensor, Tensor], facts: Facts, site: Site) -> bool:
    """Whether `node` needs not be written: a constant, or one that forwards its input; `meant` then knows."""
    output = node.outputs[0]
    if output in meant:
        return False
    value, fact = constant_of(output), facts[output]
    if value is None and fact.numbers is not None:
        value = fact.numbers.astype(dtype_from_onnx(fact.code))
    if value is not None:
        meant[output] = site.constant(value, "constant")
        return True
    if node.op not in _FORWARDED:
        return False
    source = meant.get(node.inputs[0], node.inputs[0])
    dtype = np.dtype(output.dtype) if output.dtype is not None else None
    if node.op == "Identity" or (dtype is not None and site.types.dtype(source) == dtype):
        meant[output] = source
        return True
    if isinstance(source, Constant) and dtype is not None:
        meant[output] = site.constant(source.values.astype(dtype), "constant")
        return True
    return False


def _draft(node: Node, meant: dict[Tensor, Tensor], version: int) -> Draft:
    inputs = [t if t.is_empty() else meant.get(t, t) for t in node.inputs]
    for output in node.outputs:
        if not output.is_empty() and output not in meant:
            meant[output] = Variable(output.name.removesuffix("__1"), output.dtype, output.shape)
    outputs = [t if t.is_empty() else meant[t] for t in node.outputs]
    return Draft(node.op, inputs, outputs, dict(node.attrs), version)


def _needed(drafts: list[Draft], ends: list[Tensor]) -> list[Draft]:
    """Those of `drafts` that `ends` need, in order."""
    wanted, kept = set(ends), []
    for draft in reversed(drafts):
        if not wanted.isdisjoint(t for t in draft.outputs if not t.is_empty()):
            wanted.update(draft.inputs)
            kept.append(draft)
    return kept[::-1]
