"""From a symbol and its arrays to an ONNX model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import TensorProto, helper

from regraft.errors import UnknownNameError
from regraft.ir.graph import Constant, Tensor, Variable
from regraft.ir.model import Model
from regraft.ir.weights import Value, dtype_from_onnx
from regraft.pipelines.frontend import FrontendError
from regraft.pipelines.options import Dims
from regraft.rewriting.term import Given, op

from . import elementwise, linear, sequences, shaping
from .call import Call
from .emitter import Emitter, output_name
from .params import DTYPES
from .symbol import VARIABLE, Edge, Node, Symbol
from .table import CONVERTERS

FAMILIES = (elementwise, linear, sequences, shaping)
"""The modules of the converters: importing them fills the table."""

_PARAMETERS = {"Embedding": (1,), "FullyConnected": (1, 2), "LayerNorm": (1, 2)}
"""The operands that are always parameters."""

_SAME_SHAPE = "elemwise_"
"""Prefixes of operators whose operands have one shape, from which MXNet infers the length of a range."""

_SHOWN = 8


def check_mapped(symbol: Symbol) -> None:
    """Raise FrontendError with all operators of `symbol` that have no converter."""
    counts = Counter(node.op for node in symbol.nodes if node.op != VARIABLE and node.op not in CONVERTERS)
    if counts:
        names = ", ".join(f"{name} ({number})" for name, number in sorted(counts.items()))
        raise FrontendError(f"operators that are not mapped to ONNX: {names}")


def translate(symbol: Symbol, arrays: Mapping[str, Value], shapes: Mapping[str, Dims], opset: int) -> Model:
    """The ONNX model of `symbol`.

    Raises:
        FrontendError: parameters are missing, shapes of inputs are not known or do not fit, or an operator is used in
            a way that is not mapped.
    """
    check_mapped(symbol)
    return _Translation(symbol, arrays, shapes, opset).model()


class _Translation:
    def __init__(self, symbol: Symbol, arrays: Mapping[str, Value], shapes: Mapping[str, Dims], opset: int):
        self.symbol, self.arrays, self.shapes = symbol, arrays, shapes
        self.emitter = Emitter(
            opset,
            variables=(node.name for node in symbol.nodes if node.op == VARIABLE),
            operations=(node.name for node in symbol.nodes if node.op != VARIABLE),
        )
        self.values: list[Tensor | None] = []  # by node; None for a range whose length its user determines
        self.inputs: list[Variable] = []
        self.heads: set[Tensor] = set()

    def model(self) -> Model:
        """The finished model."""
        self.check_variables()
        for node in self.symbol.nodes:
            self.values.append(self.variable(node) if node.op == VARIABLE else self.operation(node))
        outputs = [self.output(edge) for edge in self.symbol.heads]
        graph = self.emitter.graph("mxnet", self.inputs, outputs)
        graph.ir_version = helper.OP_SET_ID_VERSION_MAP[("ai.onnx", graph.opset)]
        return Model(graph)

    def check_variables(self) -> None:
        """Check that every variable has a value or a shape, and that every given shape is of an input."""
        free = {node.name: node for node in self.symbol.nodes if node.op == VARIABLE and node.name not in self.arrays}
        operands = {edge[0] for node in self.symbol.nodes for edge in _parameters(node)}
        parameters = {self.symbol.nodes[index].name for index in operands}
        missing = [
            name
            for name, node in free.items()
            if name not in self.shapes and (name in parameters or "__lr_mult__" in node.attrs)
        ]
        if missing:
            raise FrontendError(f"parameters without a value: {_listed(missing)}; one that is an input needs a shape")
        for name in self.shapes:
            if name not in free:
                raise FrontendError(str(UnknownNameError("input", name, free)))
        if open_inputs := [name for name, node in free.items() if self.shape(node) is None]:
            example = " ".join(f"--shape {name}=8x64" for name in open_inputs)
            raise FrontendError(
                f"the graph does not say the shape of {_listed(open_inputs)}; give each, as in {example} "
                "(a dimension may be a name: batchx64)"
            )

    def shape(self, node: Node) -> Dims | None:
        """The shape of an input, from the options or the graph; None if neither has it."""
        if node.name in self.shapes:
            return self.shapes[node.name]
        if "__shape__" not in node.attrs:
            return None
        said = self.call(node).ints("__shape__")
        return tuple(dim if dim > 0 else f"{node.name}_{axis}" for axis, dim in enumerate(said)) or None

    def variable(self, node: Node) -> Tensor:
        """An input, or a parameter."""
        if node.name in self.arrays:
            return Constant(node.name, self.arrays[node.name])
        shape = self.shape(node)
        assert shape is not None
        dtype = DTYPES.get(self.call(node).int("__dtype__", 0), TensorProto.FLOAT)
        self.inputs.append(Variable(node.name, dtype_from_onnx(dtype), list(shape)))
        return self.inputs[-1]

    def operation(self, node: Node) -> Tensor | None:
        """The value of a node; None for a range that does not know its length."""
        if node.op == "_arange" and node.attrs.get("infer_range") in ("True", "1"):
            return None
        operands = [self.operand(node, edge) for edge in node.inputs]
        return self.convert(node, operands)

    def operand(self, node: Node, edge: Edge) -> Tensor:
        """The operand of `node` at an index."""
        index, output = edge
        if output:
            raise FrontendError(
                f"{node}: reads output {output} of '{self.symbol.nodes[index].name}', which is not mapped"
            )
        value = self.values[index]
        if value is None:
            others = [self.values[other] for other, _ in node.inputs] if node.op.startswith(_SAME_SHAPE) else []
            known = [tensor for tensor in others if tensor is not None]
            value = self.values[index] = self.convert(self.symbol.nodes[index], known[:1])
        return value

    def call(self, node: Node, operands: Sequence[Tensor] = ()) -> Call:
        """`node` as a converter sees it."""
        return Call(node, operands, self.emitter.facts, self.emitter.opset)

    def convert(self, node: Node, operands: list[Tensor]) -> Tensor:
        """Have the node's converter write it."""
        call = self.call(node, operands)
        origin = {"mxnet.op": node.op, "mxnet.node": node.name}
        return self.emitter.build(CONVERTERS[node.op](call), node.name, call.dtype(), origin)

    def output(self, edge: Edge) -> Variable:
        """The output that a head names, with MXNet's name."""
        node = self.symbol.nodes[edge[0]]
        tensor = self.operand(node, edge)
        if tensor in self.heads or tensor.name != output_name(node.name):
            origin = {"mxnet.op": node.op, "mxnet.node": node.name}
            tensor = self.emitter.build(op.Identity(Given(tensor)), node.name, np.dtype(np.float32), origin)
        assert isinstance(tensor, Variable)
        self.heads.add(tensor)
        return tensor


def _parameters(node: Node) -> list[Edge]:
    """The operands of a node that are parameters."""
    return [node.inputs[index] for index in _PARAMETERS.get(node.op, ()) if index < len(node.inputs)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
