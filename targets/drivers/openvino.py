"""Calls OpenVINO, in an environment that has the package `openvino`."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino

Arrays = dict[str, Any]

MODEL = "model.xml"

_NO_WORK = {"Const", "Input", "Output"}
"""Layers that hand values in and out."""
_NOISE = re.compile(  # where in OpenVINO's source it is found, and what is said twice
    r"Exception from \S+|Check '.*' failed at \S+:\d+:|While validating node '.*' with friendly_name '.*':"
    r"|FrontEnd API failed with \w+:|Failed operations detailed log:|Summary:|-- Conversion is failed for: .*"
)


def version() -> str:
    """The installed version."""
    return str(openvino.__version__).split("-")[0]


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Write OpenVINO's form of `model`, weights as they are, once the CPU's plugin has taken it."""
    try:
        read = openvino.Core().read_model(model)
        compiled = _compile(read, options)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        raise RuntimeError(" ".join(_NOISE.sub("", str(error)).split())) from None
    openvino.save_model(read, Path(folder, MODEL), compress_to_fp16=False)
    layers = Counter(
        str(node.get_rt_info()["layerType"].astype(str)) for node in compiled.get_runtime_model().get_ops()
    )
    operators = {kind: count for kind, count in sorted(layers.items()) if kind not in _NO_WORK}
    return {
        "operators": operators,
        "ops": sum(operators.values()),
        "subgraphs": operators.get("Subgraph", 0),
        "notes": ["operators are those that run; a Subgraph is several, compiled into one kernel"],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the model in `folder`."""
    compiled = _compile(openvino.Core().read_model(Path(folder, MODEL)), options)
    request = compiled.create_infer_request()
    inputs = {port: _name(port) for port in compiled.inputs}
    outputs = {port: _name(port) for port in compiled.outputs}

    def run(arrays: Arrays) -> Arrays:
        results = request.infer({port: arrays[name] for port, name in inputs.items()})
        return {name: results[port].copy() for port, name in outputs.items()}

    return run


def _name(port: Any) -> str:
    """The name in ONNX, from the node: the names of a port are those of all values that it is equal to."""
    return str(port.get_node().get_friendly_name()).partition("/sink_port_")[0]


def _compile(model: Any, options: dict[str, Any]) -> Any:
    """Compute in 32 bits also on processors that have bfloat16."""
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if options.get("threads"):
        config["INFERENCE_NUM_THREADS"] = str(options["threads"])
    return openvino.Core().compile_model(model, "CPU", config)
