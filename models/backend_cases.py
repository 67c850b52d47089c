"""The ONNX backend test set that the onnx package carries: a model, inputs and expected outputs for each case."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.case.test_case import TestCase

from regraft.verification.runtime import Runnable, Session

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
_INSTALLED = Path(onnx.__file__).parent.parent
_MESSAGES: dict[str | None, Any] = {
    "tensor_type": onnx.TensorProto,
    "sequence_type": onnx.SequenceProto,
    "optional_type": onnx.OptionalProto,
}


@dataclass(frozen=True)
class Case:
    """One case. `runs` are pairs of inputs and expected outputs, in the order of the graph's."""

    name: str
    model: onnx.ModelProto
    runs: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    def outputs(self, model: Runnable) -> list[dict[str, Any]]:
        """The outputs in each run of `model`, this case's or a rewritten one; inputs that it no longer has are left
        out."""
        session = Session(model, threads=1)
        taken = {port.name for port in (*session.inputs, *session.defaults)}
        names = [info.name for info in _given(self.model)]
        feeds = [dict(zip(names, inputs, strict=False)) for inputs, _ in self.runs]
        return [session.run({name: feed[name] for name in feed if name in taken}) for feed in feeds]


@functools.cache
def sources() -> dict[str, TestCase]:
    """Every case that this version of onnx has, by kind and name. Node cases are made by running their code."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {f"{kind}/{case.name}": case for kind in KINDS for case in loader.load_model_tests(kind=kind)}


def read(name: str) -> Case:
    """The case of a name among `sources()`."""
    source = sources()[name]
    if source.model is not None and source.data_sets is not None:
        model = source.model
        runs = [([*map(_value, inputs)], [*map(_value, outputs)]) for inputs, outputs in source.data_sets]
    elif source.model_dir:
        model = onnx.load(Path(source.model_dir, "model.onnx"))
        folders = sorted(Path(source.model_dir).glob("test_data_set_*"))
        runs = [
            (_read(folder, "input", model.graph.input), _read(folder, "output", model.graph.output))
            for folder in folders
        ]
    else:
        path = _INSTALLED / str(source.url)
        model = onnx.load(path)
        expected = _read(path.parent, f"{path.stem}_output", model.graph.output)
        runs = [([_ramp(info) for info in _given(model)], expected)]
    return Case(name, model, runs, source.rtol, source.atol)


def _given(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs without a default value."""
    defaults = {tensor.name for tensor in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in defaults]


def _read(folder: Path, prefix: str, infos: Any) -> list[Any]:
    paths = [(folder / f"{prefix}_{i}.pb", info) for i, info in enumerate(infos)]
    return [
        _value(_MESSAGES[info.type.WhichOneof("value")].FromString(path.read_bytes()))
        for path, info in paths
        if path.exists()
    ]


def _value(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return numpy_helper.to_optional(value)
    return value


def _ramp(info: onnx.ValueInfoProto) -> np.ndarray:
    """0, 1/n, 2/n ... in the shape of an input: the inputs of the real models' expected outputs."""
    shape = [dim.dim_value or 1 for dim in info.type.tensor_type.shape.dim]
    size = int(np.prod(shape))
    return (np.arange(size).reshape(shape) / size).astype(np.float32)
