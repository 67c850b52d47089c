"""Run a model in ONNX Runtime: numpy in, numpy out."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from regraft.errors import RegraftError
from regraft.files.bundle import check_sums
from regraft.files.convert import Header
from regraft.files.loading import load
from regraft.files.saving import INLINE_LIMIT, save
from regraft.ir.endless import check_size
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.ir.weights import Array, packed_size
from regraft.packers.fits import PackedShape, read_shape
from regraft.verification.bind_initializers import Change, bind_initializers
from regraft.verification.signature import Port
from regraft.verification.vectors import received

Runnable = Model | onnx.ModelProto | str | os.PathLike[str]

_SLOWER = ["SkipLayerNormFusion"]  # its CPU kernel is slower than the kernels of the two operators that it replaces
_FATAL = 4  # ONNX Runtime's severity that leaves warnings and errors to the exceptions
_NOISE = re.compile(  # the code of the error, and the line and signature of the C++ function that found it
    r"\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|\S+\.(?:cc|h):\d+ (?:(?=[^()]*\b(?:onnxruntime|std)::)[^()]*\((?:[^()]|\([^()]*\))*\)"
    r"(?:::<lambda\([^()]*\)>)?(?: const)?(?: \[with [^\]]*\])?|\w+(?=[ :])):? ?"
)


class RuntimeFailure(RegraftError):
    """ONNX Runtime refuses the model, or its inputs."""


class NoKernel(RuntimeFailure):
    """ONNX Runtime knows the model's operators, but has no kernel for one of them with its dtypes on this processor."""


class Session:
    """A model ready to run; a split one runs host and device, and has the inputs and outputs from before the split.

    Args:
        model: a model, a `ModelProto` without external data, or the path of an ONNX file or of a bundle.
        optimize: let ONNX Runtime rewrite the graph; else it runs the graph as it is.
        threads: that share the work of one operator; 0 lets ONNX Runtime choose.
        change: of weights, in this session only; for a `Model`.
        header: of the `Model`, if it was exported already.

    Attributes:
        inputs: those that `run` needs.
        defaults: those that `run` may get.
        outputs: of the model.

    Raises:
        RuntimeFailure: ONNX Runtime refuses the model; NoKernel where it cannot compute an operator.
        ModelError: the file cannot be read.
    """

    def __init__(
        self,
        model: Runnable,
        *,
        optimize: bool = False,
        threads: int = 0,
        change: Change | None = None,
        header: Header | None = None,
    ):
        self._change, self._header = change, header
        self._kept: list[Any] = []  # values that ONNX Runtime reads as long as the session lives
        if isinstance(model, str | os.PathLike) and os.path.isdir(model):
            check_sums(Path(model))
            model = load(model)
        self._session = session = self._open(model, _options(optimize, threads))
        self.inputs = _ports(session.get_inputs())
        self.defaults = _ports(session.get_overridable_initializers())
        self.outputs = _ports(session.get_outputs())
        self._device_outputs = {port.name: port for port in self.outputs}
        self._takes_exotic = any(port.exotic for port in self.inputs)
        self._host: HostSide | None = None
        if isinstance(model, Model) and model.host is not None:
            taken, shape = {port.name for port in (*self.inputs, *self.defaults)}, read_shape(model.metadata)
            self._host = HostSide(model.host, taken, optimize, threads, shape)
            self.inputs, self.defaults, self.outputs = self._host.inputs, self._host.defaults, self._host.outputs

    def _open(self, model: Runnable, options: Any) -> Any:
        if isinstance(model, onnx.ModelProto):
            return _session(model.SerializeToString(), options)
        if not isinstance(model, Model):
            path = Path(model)
            if not path.is_file() or path.stat().st_size > INLINE_LIMIT:
                return self._open(load(path), options)  # it reports the error, or reads files that protobuf cannot
            check_size(load(path))
            return _session(str(path), options)
        check_size(model)
        attached = bind_initializers(model, options, _ort_value, self._change, self._header)
        if attached is None:
            with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
                return _session(str(save(model.device, Path(folder, "model.onnx"), "external")), options)
        proto, self._kept = attached
        return _session(proto.SerializeToString(), options)

    def run(self, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """The outputs by name; all, or those named.

        Args:
            inputs: by name, an array, or a list of arrays for a sequence, or None for an optional without a value.

        Returns:
            An array for each tensor (one of ml_dtypes for bfloat16 and the like), a list for a sequence, a dict for a
            map, None for an optional without a value.

        Raises:
            RuntimeFailure: an input is missing, unknown, or of another dtype or shape; or running failed.
        """
        known = {port.name: port for port in self.outputs}
        names = list(known) if outputs is None else list(outputs)
        for name in names:
            if name not in known:
                raise RuntimeFailure(f"no output named '{name}'; known: {', '.join(known)}")
        feeds = self._feeds(inputs)
        if self._host is not None:
            return self._host.receive(self._run(self._host.send(feeds), names), feeds)
        return self._run(feeds, names)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to do; sessions of compiled bundles end a process here."""

    def time(self, inputs: Mapping[str, Any], runs: int) -> list[float]:
        """Seconds of `runs` runs in a row. Raises RuntimeFailure as `run` does."""
        return [_seconds(self.run, inputs) for _ in range(runs)]

    def device_inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of the device: the `inputs` themselves, if the model is not split."""
        feeds = self._feeds(inputs)
        return feeds if self._host is None else self._host.send(feeds)

    def _run(self, feeds: dict[str, Any], names: list[str]) -> dict[str, Any]:
        ports = [self._device_outputs[name] for name in names]
        exotic = self._takes_exotic or any(port.exotic for port in ports)
        if exotic and (lists := [name for name, value in feeds.items() if not isinstance(value, np.ndarray)]):
            raise RuntimeFailure(f"input '{lists[0]}': ONNX Runtime takes no sequence beside dtypes that numpy lacks")
        try:
            results = self._run_exotic(feeds, ports) if exotic else self._session.run(names, feeds, _run_options())
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise RuntimeFailure(f"ONNX Runtime failed: {_one_line(error)}") from error
        return {port.name: received(value, port) for port, value in zip(ports, results, strict=True)}

    def _feeds(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        required = {port.name: port for port in self.inputs}
        known = required | {port.name: port for port in self.defaults}
        if missing := [name for name in required if name not in inputs]:
            raise RuntimeFailure(f"no value for input '{missing[0]}', {required[missing[0]]}")
        for name in inputs:
            if name not in known:
                raise RuntimeFailure(f"no input named '{name}'; known: {', '.join(known) or 'none'}")
        return {name: _checked(known[name], value) for name, value in inputs.items()}

    def _run_exotic(self, feeds: dict[str, Any], ports: list[Port]) -> list[Any]:
        """Run through ONNX Runtime's own values, which hold dtypes that numpy does not have."""
        values = {name: _ort_value(value) for name, value in feeds.items()}
        results = self._session.run_with_ort_values([port.name for port in ports], values, _run_options())
        return [_array(value) if port.exotic else value.numpy() for port, value in zip(ports, results, strict=True)]


class HostSide:
    """The part of a split model between a caller and the device.

    Args:
        wanted: the device's inputs.
        shape: the packed shape of the device, if it is packed.
    """

    def __init__(self, host: Host, wanted: set[str], optimize: bool, threads: int, shape: PackedShape | None = None):
        self._session = Session(host.model, optimize=optimize, threads=threads) if host.feeds else None
        self._shape = shape
        self._feeds, self._wanted = host.feeds, wanted
        taken = [tensor for tensor in host.model.graph.inputs if tensor.default is None]
        self.inputs = tuple(map(Port.of_variable, taken))
        self.defaults = tuple(Port.of_variable(t) for t in host.model.graph.inputs if t.default is not None)
        self.outputs = tuple(map(Port.of_variable, host.outputs))

    def send(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The device's inputs for a caller's. Raises RuntimeFailure where they are too large for it."""
        if self._shape is not None and (misfit := self._shape.misfit(inputs)):
            raise RuntimeFailure(f"the batch does not fit the packed model: {misfit}")
        forwarded = {name: inputs[name] for name in self._wanted if name in inputs and name not in self._feeds}
        if self._session is None:
            return forwarded
        made = self._session.run(inputs, sorted(set(self._feeds.values())))
        return forwarded | {name: made[output] for name, output in self._feeds.items()}

    def time(self, inputs: dict[str, Any], runs: int) -> list[float]:
        """Seconds of `send`, `runs` times in a row."""
        return [_seconds(self.send, inputs) for _ in range(runs)]

    def receive(self, outputs: dict[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The caller's outputs from the device's; see `handed_back`."""
        return handed_back(outputs, inputs, (*self.inputs, *self.defaults), self.outputs)


def handed_back(
    outputs: Mapping[str, Any], inputs: Mapping[str, Any], taken: Iterable[Port], given: Iterable[Port]
) -> dict[str, Any]:
    """The device's outputs for a caller's `inputs`, in the dtypes and sizes of the caller's outputs. A device with
    fixed shapes may give more than the caller needs. An output dimension that shares its name with an input dimension
    gets that size; elements that the device has no room for are 0.

    Args:
        taken, given: the caller's inputs and outputs.
    """
    ports = {port.name: port for port in given}
    fed = [(port.shape or (), getattr(inputs.get(port.name), "shape", ())) for port in taken]
    pairs = [pair for dims, shape in fed for pair in zip(dims, shape, strict=False)]
    sizes = {dim: size for dim, size in pairs if isinstance(dim, str)}
    return {
        name: _fitted(value, ports[name], sizes) if isinstance(value, np.ndarray) and name in ports else value
        for name, value in outputs.items()
    }


def _fitted(value: Array, port: Port, sizes: Mapping[str, int]) -> Array:
    """`value` in the dtype of an output, and in the sizes of those of its dimensions that are known."""
    if port.dtype is not None:
        value = value.astype(port.dtype, copy=False)
    if port.shape is None or len(port.shape) != value.ndim:
        return value
    shape = tuple(
        sizes.get(dim, n) if isinstance(dim, str) else n for dim, n in zip(port.shape, value.shape, strict=True)
    )
    if shape == value.shape:
        return value
    found = np.zeros(shape, value.dtype)
    common = tuple(slice(min(pair)) for pair in zip(shape, value.shape, strict=True))
    found[common] = value[common]
    return found


def _seconds(work: Callable[[Any], Any], inputs: Any) -> float:
    started = time.perf_counter()
    work(inputs)
    return time.perf_counter() - started


def _options(optimize: bool, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    if not optimize:  # it would round a product with an initializer differently from one with a computed value
        options.add_session_config_entry("session.disable_prepacking", "1")
        # planning reuse takes time quadratic in nodes, and saves nothing: values are freed after their last use anyway
        options.enable_mem_reuse = False
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # a few runs, not many: no busy waiting
    return options


def _run_options() -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = _FATAL
    return options


def _session(model: str | bytes, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOWER
        )
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as error:
        raise NoKernel(f"ONNX Runtime refuses the model: {_one_line(error)}") from error
    except Exception as error:  # as above
        raise RuntimeFailure(f"ONNX Runtime refuses the model: {_one_line(error)}") from error


def _ports(arguments: list[Any]) -> tuple[Port, ...]:
    return tuple(Port.of_runtime(a.name, a.type, a.shape) for a in arguments)


def _one_line(error: Exception) -> str:
    return _NOISE.sub("", " ".join(str(error).split())).strip()


def _checked(port: Port, value: Any) -> Any:
    """`value` as ONNX Runtime takes it for `port`."""
    if port.kind == "optional" and port.inner:
        return value if value is None else _checked(port.inner, value)
    if port.kind == "seq" and port.inner:
        if not isinstance(value, list | tuple):
            raise RuntimeFailure(f"input '{port.name}' is a sequence: give a list, not {type(value).__name__}")
        return [_checked(port.inner, item) for item in value]
    if port.kind == "map" and isinstance(value, Mapping):  # in Python's own numbers
        return {key: getattr(item, "tolist", lambda item=item: item)() for key, item in value.items()}
    if port.kind != "tensor" or port.dtype is None:
        return value
    array = np.asarray(value)
    if port.dtype == np.object_:
        array = array.astype(object)
    if array.dtype != port.dtype:
        raise RuntimeFailure(f"input '{port.name}' takes {port}, not {array.dtype}")
    dims = port.shape
    if dims is not None and not _fits(array.shape, dims):
        raise RuntimeFailure(f"input '{port.name}' takes {port}, not shape {list(array.shape)}")
    return np.ascontiguousarray(array) if array.ndim else array


def _fits(shape: tuple[int, ...], dims: tuple[Any, ...]) -> bool:
    return len(shape) == len(dims) and all(d == n for n, d in zip(shape, dims, strict=True) if isinstance(d, int))


def _ort_value(array: Array) -> Any:
    """`array` as a value of ONNX Runtime, on the same memory if possible."""
    import onnxruntime

    if array.dtype.isbuiltin != 2:  # numpy's own
        return onnxruntime.OrtValue.ortvalue_from_numpy(array)
    code = helper.np_dtype_to_tensor_dtype(array.dtype)
    size = packed_size(array.shape, code)
    bits = array.view(f"u{array.dtype.itemsize}")
    if size < array.nbytes:  # several elements a byte, at the start of the memory
        bits = np.zeros(array.shape, np.uint8)
        bits.reshape(-1)[:size] = np.frombuffer(numpy_helper.from_array(array).raw_data, np.uint8)
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, code)


def _array(value: Any) -> Array:
    """A tensor of ONNX Runtime as ml_dtypes' array."""
    shape, code = value.shape(), value.element_type()
    data = ctypes.string_at(value.data_ptr(), packed_size(shape, code))
    return numpy_helper.to_array(onnx.TensorProto(dims=shape, data_type=code, raw_data=data))
