"""`poprt.runtime`; FAKE_POPRT_ERROR is added to every output."""

import os
from types import SimpleNamespace

import numpy as np
import onnxruntime
from onnx.helper import tensor_dtype_to_np_dtype


class Runner:
    """Runs an executable: floats go in and out in the precision that it was converted to."""

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
        wide = {n: v.astype(np.float32) if v.dtype == np.float16 else v for n, v in inputs.items()}
        error = float(os.environ.get("FAKE_POPRT_ERROR", "0"))
        for name, value in zip(outputs, self.session.run(list(outputs), wide), strict=True):
            outputs[name][...] = value + error

    def _port(self, value):
        kind = value.type.tensor_type
        dtype = tensor_dtype_to_np_dtype(kind.elem_type)
        dtype = np.dtype(np.float16) if self.half and dtype == np.float32 else dtype
        shape = [dim.dim_value for dim in kind.shape.dim]
        return SimpleNamespace(name=value.name, shape=shape, numpy_data_type=lambda: dtype)
