"""Small regions of models for bounds of rounding: terms as models in any precision, and their reference in double."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import regraft
from regraft.ir.graph import Tensor, Variable
from regraft.ir.model import Model
from regraft.proving.intervals import erf
from regraft.proving.roundoff import Rounding, Roundings, box
from regraft.proving.writer import RESULT, Array, written
from regraft.rewriting.term import Given, Term
from regraft.verification.runtime import Session

Ranges = Mapping[str, tuple[float, float]]


def proto(form: Any, inputs: Mapping[str, Array], dtype: Any) -> onnx.ModelProto:
    """The term that `form` makes of the inputs, as a model of fixed sizes."""
    term: Term = form(**{name: Given(Variable(name)) for name in inputs})
    made = written(term, inputs, dtype)
    for entry in made.graph.input:
        code = entry.type.tensor_type.elem_type
        entry.CopyFrom(helper.make_tensor_value_info(entry.name, code, inputs[entry.name].shape))
    return made


def loaded(made: onnx.ModelProto) -> tuple[Model, dict[str, Tensor]]:
    """The model, and its values by name."""
    model = regraft.load(made)
    return model, model.graph.tensors()


def bound(made: onnx.ModelProto, ranges: Ranges) -> Rounding:
    """The bound of the result where the inputs lie in a box."""
    model, values = loaded(made)
    return Roundings(model).bound(values[RESULT], {values[name]: box(*ends) for name, ends in ranges.items()})


def computed(made: onnx.ModelProto, inputs: Mapping[str, Array]) -> Array:
    """What ONNX Runtime computes of the graph as it is."""
    found: Array = Session(made, threads=1).run(dict(inputs))[RESULT]
    return found.astype(np.float64)


class Erf(OpRun):
    """In double precision; onnx's is off by 3e-8."""

    def _run(self, x: Array) -> tuple[Array]:  # type: ignore[override]
        return (erf(x.astype(np.float64)).astype(x.dtype),)


def evaluated(made: onnx.ModelProto, inputs: Mapping[str, Array]) -> Array:
    """What numpy computes of it, which rounds half precision after each operator."""
    found = np.asarray(ReferenceEvaluator(made, new_ops=[Erf]).run(None, dict(inputs))[0])  # type: ignore[index]
    return found.astype(np.float64)


def exact(form: Any, inputs: Mapping[str, Array]) -> Array:
    """What the term is in double precision, of the same inputs."""
    wide = {name: value.astype(np.float64) for name, value in inputs.items()}
    return evaluated(proto(form, wide, np.float64), wide)


def drawn(ranges: Ranges, shapes: Mapping[str, tuple[int, ...]], dtype: Any, seed: int) -> dict[str, Array]:
    """Inputs in a box: spread over it, close to one end, or next to each other in a row."""
    random = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        low, high = ranges[name]
        share = random.random(shape)
        if seed % 4 == 1:
            share = share**6
        if seed % 4 == 2:
            share = np.clip(random.random((*shape[:-1], 1)) + 10.0 ** random.uniform(-5, -2) * (share - 0.5), 0, 1)
        if seed % 4 == 3:
            share = np.round(share)
        values = (low + (high - low) * share).astype(dtype)
        found[name] = np.clip(values, np.asarray(low, dtype), np.asarray(high, dtype))
    return found
