"""Host and device as one graph, which takes sequences of unlike lengths as Triton's ragged batches hold them.

input_ids[b, S] of each request  →  input_ids[tokens], input_ids_lengths[B]  →  input_ids[B, longest]  →  the model
outputs[B, longest, ..]          →  outputs[tokens, ..], which Triton splits by the shapes of the requests
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto
from onnx.helper import (
    OP_SET_ID_VERSION_MAP,
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor,
    make_tensor_value_info,
    np_dtype_to_tensor_dtype,
)

from regraft.batching.form import Form
from regraft.errors import TargetError
from regraft.files.convert import clone, from_proto
from regraft.ir.editor import Editor
from regraft.ir.graph import Tensor
from regraft.ir.model import Model
from regraft.opset.plan import apply, plan
from regraft.splitting.subgraph import join, keep
from regraft.verification.signature import Port

_FIRST_OPSET = 11  # CumSum and GatherND
_THERE, _ROWS, _TAKEN = "there", "rows", "/taken"


def by_token(form: Form, port: Port) -> bool:
    """Whether an input or an output has an element, or a row of them, for each token: [batch, sequence, ..]."""
    return (port.shape or ())[:2] == (form.batch, form.sequence)


def token_inputs(form: Form) -> list[str]:
    """The inputs with an element for each token, by name."""
    return [port.name for port in form.inputs if by_token(form, port)]


def lengths_of(name: str) -> str:
    """The input that Triton adds for an input of tokens: int32[B], the length of each sequence."""
    return f"{name}_lengths"


def is_ragged(form: Form) -> bool:
    """Whether all inputs and outputs of a model are by token or by sequence, and a mask hides padding."""
    flat = all(len(port.shape or ()) <= 2 for port in form.inputs)
    return form.together and form.mask is not None and flat and all(_fits(form, p) for p in form.inputs + form.outputs)


def joined(model: Model, form: Form, ragged: bool) -> Model:
    """A split model as one graph.

    Args:
        ragged: whether values by token are one row of all tokens, with an input of lengths for each.

    Raises:
        TargetError: an input has the name of such lengths.
    """
    assert model.host is not None
    taken = {port.name for port in form.inputs}.intersection(map(lengths_of, token_inputs(form)))
    if ragged and taken:
        raise TargetError(f"input '{min(taken)}' has the name of one that Triton makes; rename it")
    opset = max(_FIRST_OPSET, model.opset, model.host.model.opset)
    whole = _from_caller(form, opset, ragged)
    known = _values(whole)
    given = {port.name: known[f"{port.name}{_TAKEN}"] for port in form.inputs}
    made = _behind(whole, _in_opset(model.host.model, opset), given)
    fed = {name: made[output] for name, output in model.host.feeds.items()}
    results = _behind(whole, _in_opset(model.device, opset), {**given, **fed})
    beside = {_THERE: known[f"{token_inputs(form)[0]}/{_THERE}"], _ROWS: known[_ROWS]} if ragged else {}
    _give(whole, results, _to_caller(form.outputs, results, form, opset, ragged), beside)
    return whole


def device_as_promised(model: Model) -> Model:
    """The device's part, with outputs in the dtypes of the caller's."""
    made = clone(model.device)
    outputs = tuple(map(Port.of_variable, model.outputs))
    results = {tensor.name: tensor for tensor in made.graph.outputs}
    _give(made, results, _to_caller(outputs, results, Form.of(model), made.opset, ragged=False), {})
    return made


def _fits(form: Form, port: Port) -> bool:
    dims = port.shape or ()
    rest = dims[2:] if by_token(form, port) else dims[1:]
    return dims[:1] == (form.batch,) and all(isinstance(dim, int) for dim in rest)


def _from_caller(form: Form, opset: int, ragged: bool) -> Model:
    """From Triton's inputs to the caller's, whose names get `_TAKEN`."""
    inputs, nodes = [], []
    constants = [make_tensor("zero", TensorProto.INT64, [], [0]), make_tensor("one", TensorProto.INT64, [], [1])]
    constants.append(make_tensor("column", TensorProto.INT64, [2], [-1, 1]))
    if ragged:
        nodes += [
            make_node("Cast", [lengths_of(token_inputs(form)[0])], ["lengths"], to=TensorProto.INT64),
            make_node("ReduceMax", ["lengths"], ["longest"], keepdims=0),
            make_node("Range", ["zero", "longest", "one"], ["steps"]),
            make_node("Size", ["lengths"], ["count"]),
            make_node("Range", ["zero", "count", "one"], [_ROWS]),
        ]
    for port in form.inputs:
        if ragged and by_token(form, port):
            inputs.append(_info(port.name, port, ["tokens"]))
            dtype = inputs[-1].type.tensor_type.elem_type
            inputs.append(make_tensor_value_info(lengths_of(port.name), TensorProto.INT32, [form.batch]))
            constants.append(make_tensor(f"{port.name}/padding", dtype, [], np.zeros(1, port.dtype)))
            nodes += _padded(port.name)
        else:
            inputs.append(_info(port.name, port, list(port.shape or ())))
            nodes.append(make_node("Identity", [port.name], [f"{port.name}{_TAKEN}"]))
    outputs = [_info(f"{port.name}{_TAKEN}", port, list(port.shape or ())) for port in form.inputs]
    return _model(nodes, inputs, outputs, constants, opset)


def _padded(name: str) -> list[NodeProto]:
    """An input of all tokens as [B, longest]; each by lengths of its own, so that no request reaches into another's."""
    lengths, ends, starts, there = (f"{name}/{what}" for what in ("lengths", "ends", "starts", _THERE))
    return [
        make_node("Cast", [lengths_of(name)], [lengths], to=TensorProto.INT64),
        make_node("CumSum", [lengths, "zero"], [ends]),
        make_node("Sub", [ends, lengths], [starts]),
        make_node("Reshape", [lengths, "column"], [f"{lengths}/column"]),
        make_node("Reshape", [starts, "column"], [f"{starts}/column"]),
        make_node("Less", ["steps", f"{lengths}/column"], [there]),
        make_node("Add", ["steps", f"{starts}/column"], [f"{name}/steps"]),
        make_node("Where", [there, f"{name}/steps", "zero"], [f"{name}/places"]),
        make_node("Gather", [name, f"{name}/places"], [f"{name}/gathered"], axis=0),
        make_node("Where", [there, f"{name}/gathered", f"{name}/padding"], [f"{name}{_TAKEN}"]),
    ]


def _to_caller(ports: Sequence[Port], results: Mapping[str, Tensor], form: Form, opset: int, ragged: bool) -> Model:
    """From the device's outputs, named like the outputs with `_TAKEN`, to the outputs."""
    inputs, nodes, outputs = [], [], []
    if ragged:
        inputs.append(make_tensor_value_info(_THERE, TensorProto.BOOL, [form.batch, form.sequence]))
        inputs.append(make_tensor_value_info(_ROWS, TensorProto.INT64, [form.batch]))
        nodes.append(make_node("NonZero", [_THERE], ["found"]))
        nodes.append(make_node("Transpose", ["found"], ["tokens_there"], perm=[1, 0]))
    for port in ports:
        given, fitted, dims = Port.of_variable(results[port.name]), f"{port.name}/fitted", list(port.shape or ())
        inputs.append(_info(f"{port.name}{_TAKEN}", given, list(given.shape or ())))
        if ragged and by_token(form, port):
            nodes.append(make_node("GatherND", [f"{port.name}{_TAKEN}", "tokens_there"], [fitted]))
            dims = ["tokens", *dims[2:]]
        elif ragged:
            nodes.append(make_node("Gather", [f"{port.name}{_TAKEN}", _ROWS], [fitted], axis=0))
        else:
            nodes.append(make_node("Identity", [f"{port.name}{_TAKEN}"], [fitted]))
        outputs.append(_info(port.name, port, dims))
        nodes.append(make_node("Cast", [fitted], [port.name], to=outputs[-1].type.tensor_type.elem_type))
    return _model(nodes, inputs, outputs, [], opset)


def _info(name: str, port: Port, dims: Sequence[int | str | None]) -> ValueInfoProto:
    if port.dtype is None:
        raise TargetError(f"the dtype of '{port.name}' is not known; run infer-shapes before")
    return make_tensor_value_info(name, np_dtype_to_tensor_dtype(port.dtype), dims)


def _model(
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    constants: list[TensorProto],
    opset: int,
) -> Model:
    graph = make_graph(nodes, "ragged", inputs, outputs, constants)
    version = OP_SET_ID_VERSION_MAP["ai.onnx", opset]
    return from_proto(make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=version))


def _in_opset(model: Model, opset: int) -> Model:
    made = clone(model)
    if made.opset != opset:
        apply(made, plan(made, opset))
    return made


def _values(model: Model) -> dict[str, Tensor]:
    """The values that nodes make, by name."""
    return {tensor.name: tensor for node in model.graph.nodes for tensor in node.outputs}


def _behind(whole: Model, piece: Model, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of a piece by its own names for them, after it was appended to the whole."""
    names = [tensor.name for tensor in piece.graph.outputs]
    defaults = {tensor.name: tensor.default for tensor in piece.graph.inputs if tensor.default is not None}
    join(whole, piece, {**defaults, **given})
    return dict(zip(names, piece.graph.outputs, strict=True))


def _give(whole: Model, results: Mapping[str, Tensor], last: Model, beside: Mapping[str, Tensor]) -> None:
    """Give the whole the outputs of its last piece, under their names."""
    outputs = _behind(whole, last, {**beside, **{f"{name}{_TAKEN}": tensor for name, tensor in results.items()}})
    names = Editor(whole)
    for graph in whole.graphs():
        for tensor in dict.fromkeys(tensor for node in graph.nodes for tensor in (*node.inputs, *node.outputs)):
            if tensor.name in outputs and tensor is not outputs[tensor.name]:
                tensor.name = names.name(f"{tensor.name}{_TAKEN}")
    for name, tensor in outputs.items():
        tensor.name = name
    keep(whole, outputs.values())
