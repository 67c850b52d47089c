"""A signature as an ONNX model: tf2onnx converts the graph, whose variables are inputs, and these become weights.

An operator of TensorFlow that tf2onnx leaves is an error here; tf2onnx only logs it, and reports success.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx
from tf2onnx import optimizer, tf_loader, tfonnx

from regraft import shapes
from regraft.errors import RegraftError
from regraft.files import wire
from regraft.files.convert import from_proto
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.ir.weights import Array, Stored, Value
from regraft.pipelines.frontend import FrontendError, ImportOptions

from .graph import Nodes, inline, needed, resolve
from .nodes import identity, mend, placeholder
from .signature import FILE, Port, Signature, read_signature
from .variables import restored, take_out

OPSET = 18
"""The newest opset that tf2onnx writes. In older ones it turns ReduceMean into GlobalAveragePool."""

_ADDED = re.compile(r"((_[A-Z]\w*?)?__\d+)+$")
"""The suffixes of tf2onnx for further nodes of one TensorFlow node."""


def convert(folder: Path, values: Mapping[str, Stored], options: ImportOptions) -> Model:
    """The model of a signature.

    Args:
        values: the variables of the checkpoint by name.

    Raises:
        FrontendError: there is no such signature, or its graph cannot be converted.
    """
    signature = read_signature(folder, options)
    try:
        return _convert(signature, values, options, folder / FILE)
    except RegraftError as error:
        raise FrontendError(f"{folder / FILE}: signature '{signature.name}': {error}") from error


def _convert(signature: Signature, values: Mapping[str, Stored], options: ImportOptions, path: Path) -> Model:
    graph = signature.graph
    everything = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    names = _checkpoint_names(graph.saver_def.restore_op_name, everything, functions)
    nodes, ends = _cut(signature, everything, functions)
    weights = take_out(nodes, names, values)
    kept = needed(nodes, ends.values())
    starts = {
        key: port.place.node
        for key, port in signature.inputs.items()
        if port.place.node in kept or not options.drop_unused_inputs
    }
    origins = {name: node.op for name, node in nodes.items()}
    mend(nodes, starts.values())
    named = {node: f"{node}:0" if node in (*starts, *ends) else node for node in weights}
    source = tf.compat.v1.GraphDef(node=nodes.values(), library=graph.graph_def.library)
    proto = _to_onnx(source, starts, ends, named)
    _check(proto)
    model = _with_weights(proto, {named[node]: value for node, value in weights.items()}, path)
    _describe(model, {key: signature.inputs[key] for key in starts}, origins)
    model.metadata["regraft.source"] = (
        f"TensorFlow {graph.meta_info_def.tensorflow_version}, signature {signature.name}: {path.parent.name}"
    )
    return model


def _checkpoint_names(restore: str, everything: Nodes, functions: dict[str, Any]) -> dict[str, str]:
    """The names in the checkpoint, by variable."""
    if restore not in everything:
        return {}
    nodes = needed(everything, [restore], control=True)
    inline(nodes, functions)
    return restored(nodes)


def _cut(signature: Signature, everything: Nodes, functions: dict[str, Any]) -> tuple[Nodes, dict[str, str]]:
    """The nodes between inputs and outputs, and for each output its own Identity node."""
    starts = [port.place.node for port in signature.inputs.values()]
    for key, port in signature.inputs.items():
        if port.place.output or starts.count(port.place.node) > 1:
            raise FrontendError(f"input '{key}' is tensor {port.place}: another input's, or not its node's first")
        everything[port.place.node].CopyFrom(placeholder(port))
    nodes = needed(everything, [*starts, *(port.place.node for port in signature.outputs.values())])
    instead = inline(nodes, functions)
    ends = {}
    for key, port in signature.outputs.items():
        node = identity(f"regraft/{key}", resolve(port.place, instead), port.dtype)
        ends[key] = node.name
        nodes[node.name] = node
    return needed(nodes, [*starts, *ends.values()]), ends


def _to_onnx(
    graph: Any, starts: Mapping[str, str], ends: Mapping[str, str], weights: Mapping[str, str]
) -> onnx.ModelProto:
    """The model that tf2onnx makes of the graph; weights are inputs, named in `weights` by variable."""
    renamed = {f"{node}:0": name for node, name in weights.items()}
    renamed.update((f"{node}:0", key) for key, node in starts.items())
    renamed.update((f"{node}:0", key if key not in starts else f"{key}_output") for key, node in ends.items())
    inputs, outputs = [f"{node}:0" for node in (*starts.values(), *weights)], [f"{node}:0" for node in ends.values()]
    try:
        with tf.Graph().as_default():
            tf.import_graph_def(graph, name="")
            graph = tf_loader.tf_optimize(inputs, outputs, graph)
        for node in graph.node:
            if node.op == "VariableV2":  # only now: TensorFlow would allocate the value of a placeholder
                node.op = "Placeholder"
                for name in set(node.attr) - {"dtype", "shape"}:
                    del node.attr[name]
        with tf.Graph().as_default() as imported:
            tf.import_graph_def(graph, name="")
            converted = tfonnx.process_tf_graph(
                imported, opset=OPSET, input_names=inputs, output_names=outputs, tensors_to_rename=renamed
            )
            return optimizer.optimize_graph(converted).make_model("tensorflow")
    except Exception as error:  # whatever tf2onnx and TensorFlow raise
        raise FrontendError(f"tf2onnx {tf2onnx.__version__} cannot convert it: {error}") from error


def _check(proto: onnx.ModelProto) -> None:
    """Raise a FrontendError if tf2onnx left operators that are not ONNX's."""
    graphs = [proto.graph]
    foreign: dict[str, str] = {}
    for graph in graphs:
        for node in graph.node:
            if node.domain in ("", "ai.onnx") and not onnx.defs.has(node.op_type, OPSET, ""):
                foreign.setdefault(node.op_type, node.name)
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    if foreign:
        listed = ", ".join(f"{op} (node '{name}')" for op, name in sorted(foreign.items()))
        raise FrontendError(f"tf2onnx {tf2onnx.__version__} has no ONNX form for {listed}")
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise FrontendError(f"tf2onnx {tf2onnx.__version__} wrote an invalid model: {error}") from error


def _with_weights(proto: onnx.ModelProto, weights: Mapping[str, Stored], path: Path) -> Model:
    """The model of `proto`, with weights in place of the inputs of their names."""
    large: list[Value | Array] = []
    for info in list(proto.graph.input):
        if info.name in weights:
            value = weights[info.name]
            tensor = proto.graph.initializer.add(name=info.name, dims=value.shape, data_type=value.header.data_type)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=wire.reference(len(large)))
            large.append(value)
            proto.graph.input.remove(info)
    del proto.graph.value_info[:]
    return from_proto(proto, path, large)


def _describe(model: Model, inputs: Mapping[str, Port], origins: Mapping[str, str]) -> None:
    """Give inputs their shapes, infer all other shapes, and write the names of TensorFlow's nodes into the metadata."""
    for tensor in model.inputs:
        shape = inputs[tensor.name].shape
        tensor.shape = None if shape is None else list(shape)
    for tensor in model.outputs:
        if tensor.shape is not None:
            tensor.shape = [dim if isinstance(dim, int) else None for dim in tensor.shape]
    shapes.infer(model)
    for graph in model.graphs():
        for node in reversed(graph.nodes):
            node.metadata = _origin(node, origins)


def _origin(node: Node, origins: Mapping[str, str]) -> dict[str, str]:
    """The node of TensorFlow that `node` comes from, or the node that reads it."""
    for text in (node.name, *(tensor.name for tensor in node.outputs)):
        name = _ADDED.sub("", text.partition(":")[0])
        if name in origins:
            return {"tensorflow.op": origins[name], "tensorflow.node": name}
    readers = (reader for tensor in node.outputs for reader in tensor.outputs)
    return next((dict(reader.metadata) for reader in readers if reader.metadata), {})
