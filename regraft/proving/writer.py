"""Models of one term, to run it on numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from regraft.ir.graph import Constant, Tensor, Variable
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Term

OPSET = 20
RESULT = "result"

Array = np.ndarray[Any, Any]


def written(term: Term, inputs: Mapping[str, Array], dtype: Any = np.float64, opset: int = OPSET) -> onnx.ModelProto:
    """A model whose output `result` is `term`.

    Args:
        term: without variables; its inputs are `Given(Variable(name))`.
        inputs: what the inputs will be, of which the dtypes are taken.
        dtype: of the numbers.
    """
    writer = _Writer(dtype, opset)
    return writer.model(writer.build(term), inputs)


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

    def model(self, result: Tensor, inputs: Mapping[str, Array]) -> onnx.ModelProto:
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
            for name, value in inputs.items()
        ]
        output = helper.make_node("Identity", [result.name], [RESULT])
        result_info = helper.make_empty_tensor_value_info(RESULT)
        graph = helper.make_graph([*self.nodes, output], "term", given, [result_info], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
