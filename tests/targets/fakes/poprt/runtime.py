"""`poprt.runtime`; FAKE_POPRT_ERROR is added to every output, FAKE_POPRT_SWAP gives sequences those of others."""

import os
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

FILL = 3.0  # what the stand-in puts behind a sequence: PopRT does not say, and nobody may read it


class Unpack(OpRun):
    """Sequences that lie one behind the other across rows, one a row."""

    op_domain = "ai.graphcore"

    def _run(self, x, info, max_valid_num=None, segment_max_size=None):
        (longest,) = segment_max_size
        assert x.ndim == 3
        assert (info.shape, info.dtype) == ((max_valid_num, 1), np.int32)
        tokens, at = x.reshape(-1, x.shape[2]), 0
        found = np.full((max_valid_num, longest, x.shape[2]), FILL, x.dtype)
        for row, length in zip(found, info[:, 0], strict=True):
            row[:length] = tokens[at : at + length]
            at += length
        return (found,)


class AttentionMask(OpRun):
    """What hides the tokens of other sequences of the row."""

    op_domain = "ai.graphcore"

    def _run(self, ids, scores, dataType=None):
        assert dataType == {"float32": "FLOAT", "float16": "FLOAT16"}[str(scores.dtype)]
        assert ids.dtype == np.int32
        hidden = ids[:, None, :, None] != ids[:, None, None, :]
        return (np.broadcast_to(np.where(hidden, -9000, 0), scores.shape).astype(scores.dtype),)


class PackRunnerConfig:
    def __init__(self, *, timeout_microseconds=0, max_valid_num=0, dynamic_input_name=""):
        assert timeout_microseconds > 0
        self.most, self.dynamic = max_valid_num, dynamic_input_name


class Runner:
    """Runs an executable: floats go in and out in the precision that was asked for, 64-bit integers in 32 bits.

    With a PackRunnerConfig it packs what comes, one sequence after the other across rows, until somebody waits.
    """

    def __init__(self, executable, config=None):
        self.model = onnx.load(executable) if isinstance(executable, str) else executable
        self.half = any(prop.value == "fp16" for prop in self.model.metadata_props)
        self.config, self.pending = config, []
        assert not self.model.functions
        if any(node.domain for node in self.model.graph.node):
            self.session = ReferenceEvaluator(self.model, new_ops=[Unpack, AttentionMask])
        else:
            self.session = onnxruntime.InferenceSession(self.model.SerializeToString())

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

    def execute_async(self, inputs, outputs):
        if len(self.pending) == self.config.most:
            self._flush()
        self.pending.append((inputs, outputs))
        return SimpleNamespace(wait=self._flush)

    def _flush(self):
        if not self.pending:
            return
        lengths = np.zeros((self.config.most, 1), np.int32)
        lengths[: len(self.pending), 0] = [len(given[self.config.dynamic]) for given, _ in self.pending]
        fed = {"unpack_info": lengths}
        for port in self.get_execute_inputs():
            if port.name not in fed:
                flat = np.concatenate([given[port.name] for given, _ in self.pending])
                padding = np.zeros(np.prod(port.shape) - len(flat), flat.dtype)
                fed[port.name] = np.concatenate([flat, padding]).reshape(port.shape)
        made = {port.name: np.zeros(port.shape, port.numpy_data_type()) for port in self.get_execute_outputs()}
        self.execute(fed, made)
        rows = [outputs for _, outputs in self.pending]
        for row, outputs in enumerate(rows[::-1] if os.environ.get("FAKE_POPRT_SWAP") else rows):
            for name, value in outputs.items():
                value[...] = made[name][row]
        self.pending = []

    def _port(self, value):
        narrow = {np.dtype(np.int64): np.int32, np.dtype(np.float32): np.float16 if self.half else np.float32}
        dtype = np.dtype(narrow.get(_dtype(value), _dtype(value)))
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        return SimpleNamespace(name=value.name, shape=shape, numpy_data_type=lambda: dtype)


def _dtype(value):
    return tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
