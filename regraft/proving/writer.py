"""Models of one term, to run it on numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from regraft.ir.graph import Constant, Tensor, Variable
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Term

OPSET = 20
IR_VERSION = 10
RESULT = "result"

Array = np.ndarray[Any, Any]


Dims = Callable[[Array], Sequence[int | None] | None]
"""The shape that is stated of an input that will be like an array; None: not even its rank."""


def ranked(value: Array) -> list[None]:
    """The rank of an input, and no more."""
    return [None] * value.ndim


def written(
    term: Term, inputs: Mapping[str, Array], dtype: Any = np.float64, opset: int = OPSET, dims: Dims = ranked
) -> onnx.ModelProto:
    """A model whose output `result` is `term`.

    Args:
        term: without variables; its inputs are `Given(Variable(name))`.
        inputs: what the inputs will be, of which the dtypes are taken.
        dtype: of the numbers.
        dims: what is stated of the shapes of the inputs.
    """
    writer = _Writer(dtype, opset)
    return writer.model(writer.build(term), inputs, dims)


class _Writer:
    """Writes terms as nodes."""

    def __init__(self, dtype: Any, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.build = Builder(self._emit, self._store, opset, np.dtype(dtype))

    def _new_name(self) -> str:
        return f"value {len(self.nodes) + len(self.constants)}"

    def _emit(self, op: str, inputs: list[Tensor], attrs: dict[str, Any], domain: str | None) -> Tensor:
        result = Variable(self._new_name())
        names = [value.name for value in inputs]
        self.nodes.append(helper.make_node(op, names, [result.name], domain=domain or "", **attrs))
        return result

    def _store(self, values: Any, hint: str) -> Constant:
        name = self._new_name()
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return Constant(name, np.asarray(values))

    def model(self, result: Tensor, inputs: Mapping[str, Array], dims: Dims) -> onnx.ModelProto:
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), dims(value))
            for name, value in inputs.items()
        ]
        output = helper.make_node("Identity", [result.name], [RESULT])
        result_info = helper.make_empty_tensor_value_info(RESULT)
        graph = helper.make_graph([*self.nodes, output], "term", given, [result_info], self.constants)
        others = sorted({node.domain for node in self.nodes if node.domain})
        imports = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(domain, 1) for domain in others)]
        return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
