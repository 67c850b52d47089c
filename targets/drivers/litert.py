"""Calls onnx2tf and LiteRT, in an environment that has `onnx2tf` and `ai-edge-litert`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Arrays = dict[str, Any]

MODEL, PORTS = "model.tflite", "ports.json"

_DELEGATE = "DELEGATE"
"""What stands for the operators that XNNPACK has taken together; they are listed as well."""


def version() -> str:
    """The installed version of onnx2tf."""
    return installed("onnx2tf")


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Convert to a float32 flatbuffer that takes every input in ONNX's layout, and prepare it once."""
    from onnx2tf import convert

    graph = onnx.load(model, load_external_data=False).graph
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in held]
    with tempfile.TemporaryDirectory() as scratch:
        convert(
            input_onnx_file_path=model,
            output_folder_path=scratch,
            keep_shape_absolutely_input_names=[*inputs, *map(_written, inputs)],
            copy_onnx_input_output_names_to_tflite=True,
            not_use_onnxsim=True,
            non_verbose=True,
        )
        shutil.copyfile(Path(scratch, f"{Path(model).stem}_float32.tflite"), Path(folder, MODEL))
    dtypes = [onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in graph.output]
    outputs = {value.name: dtype.name for value, dtype in zip(graph.output, dtypes)}
    scalars = [
        value.name
        for value in graph.output
        if value.type.tensor_type.HasField("shape") and not value.type.tensor_type.shape.dim
    ]  # onnx2tf gives them an axis
    Path(folder, PORTS).write_text(json.dumps({"inputs": inputs, "outputs": outputs, "scalars": scalars}))
    kinds = Counter(one["op_name"] for one in _open(folder, options)._get_ops_details())  # no public way says it
    partitions = kinds.pop(_DELEGATE, 0)
    return {
        "operators": dict(sorted(kinds.items())),
        "ops": sum(kinds.values()),
        "subgraphs": partitions,
        "notes": ["operators are the flatbuffer's; subgraphs are those that XNNPACK runs"],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the flatbuffer in `folder`, with XNNPACK."""
    interpreter = _open(folder, options)
    ports = json.loads(Path(folder, PORTS).read_text())
    found = {one["name"]: one for one in (*interpreter.get_input_details(), *interpreter.get_output_details())}
    names = [*ports["inputs"], *ports["outputs"]]
    if missing := [name for name in names if _written(name) not in found]:
        raise RuntimeError(f"the flatbuffer has no '{missing[0]}', but {', '.join(found)}")
    places = {name: found[_written(name)] for name in names}

    def run(arrays: Arrays) -> Arrays:
        for name in ports["inputs"]:
            place = places[name]
            value = arrays[name].astype(place["dtype"], copy=False)
            interpreter.set_tensor(place["index"], value if value.ndim else value.reshape(place["shape"]))
        interpreter.invoke()
        results = {name: np.asarray(interpreter.get_tensor(places[name]["index"])) for name in ports["outputs"]}
        return {
            name: (value.reshape(()) if name in ports["scalars"] else value).astype(ports["outputs"][name], copy=False)
            for name, value in results.items()
        }

    return run


def _written(name: str) -> str:
    """How onnx2tf writes a name."""
    return name.replace(":", "__")


def _open(folder: str, options: dict[str, Any]) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(Path(folder, MODEL)), num_threads=options.get("threads") or None)
    interpreter.allocate_tensors()
    return interpreter
