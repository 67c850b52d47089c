"""Runs a small model: in ONNX Runtime, or in ONNX's reference evaluator where that has no kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from regraft.proving.writer import RESULT
from regraft.verification.runtime import NoKernel, RuntimeFailure, Session

Array = np.ndarray[Any, Any]

DIVIDE = ("Div", "Mod")
"""Of whole numbers ONNX Runtime ends the process where the second is 0."""

_REFUSED = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError)
"""What numpy and the evaluator raise for operands that do not fit, or an operator that they lack."""


class Runner:
    """A model that is ready to run. Raises RuntimeFailure where nothing here can run it."""

    def __init__(self, model: onnx.ModelProto, *, reference: bool = False):
        self._session: Session | None = None
        self._evaluator: Any = None
        if not reference:
            try:
                self._session = Session(model, threads=1)
            except NoKernel:
                reference = True
        if reference:
            self._evaluator = _evaluator(model)

    @property
    def is_reference(self) -> bool:
        """Whether ONNX's evaluator runs the model."""
        return self._session is None

    def run(self, inputs: Mapping[str, Any]) -> Array:
        """The result. Raises RuntimeFailure where the inputs do not fit."""
        if self._session is not None:
            taken = {port.name for port in self._session.inputs}
            given = {name: value for name, value in inputs.items() if name in taken}
            return np.asarray(self._session.run(given)[RESULT])
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self._evaluator.run(None, dict(inputs))[0])
        except _REFUSED as error:
            raise RuntimeFailure(f"ONNX's evaluator failed: {error}") from error


def may_divide_by_zero(model: onnx.ModelProto, dtype: np.dtype[Any]) -> bool:
    """Whether a divisor of whole numbers is computed, or a stored 0: inputs are none."""
    inputs = {value.name for value in model.graph.input}
    stored = {one.name for one in model.graph.initializer if numpy_helper.to_array(one).all()}
    divisors = {node.input[1] for node in model.graph.node if node.op_type in DIVIDE}
    return dtype.kind in "iu" and not divisors <= inputs | stored


def divides_integers(model: onnx.ModelProto, dtype: np.dtype[Any]) -> bool:
    """Whether something in the model may divide whole numbers."""
    return dtype.kind in "iu" and any(node.op_type in DIVIDE for node in model.graph.node)


def _evaluator(model: onnx.ModelProto) -> Any:
    from onnx.reference import ReferenceEvaluator

    try:
        return ReferenceEvaluator(model)
    except _REFUSED as error:
        raise RuntimeFailure(f"ONNX's evaluator refuses the model: {error}") from error
