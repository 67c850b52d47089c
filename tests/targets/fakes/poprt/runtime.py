"""`poprt.runtime`; FAKE_POPRT_ERROR is added to every output."""

import os
from types import SimpleNamespace

import numpy as np
import onnxruntime
from onnx.helper import tensor_dtype_to_np_dtype


class Runner:
    """Runs an executable: floats go in and out in the precision that was asked for, 64-bit integers in 32 bits."""

    def __init__(self, executable):
        self.model = executable
        self.half = any(prop.value == "fp16" for prop in executable.metadata_props)
        self.session = onnxruntime.InferenceSession(executable.SerializeToString())

    def get_execute_inputs(self):
        return [self._port(value) for value in self.model.graph.input]

    def get_execute_outputs(self):
        return [self._port(value) for value in self.model.graph.output]

    def execute(self, inputs, outputs):
        for port in self.get_execute_inputs():
            assert inputs[port.name].dtype == port.numpy_data_type(), port.name
        wide = {value.name: inputs[value.name].astype(_dtype(value)) for value in self.model.graph.input}
        error = float(os.environ.get("FAKE_POPRT_ERROR", "0"))
        for name, value in zip(outputs, self.session.run(list(outputs), wide), strict=True):
            outputs[name][...] = value + error

    def _port(self, value):
        narrow = {np.dtype(np.int64): np.int32, np.dtype(np.float32): np.float16 if self.half else np.float32}
        dtype = np.dtype(narrow.get(_dtype(value), _dtype(value)))
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        return SimpleNamespace(name=value.name, shape=shape, numpy_data_type=lambda: dtype)


def _dtype(value):
    return tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
