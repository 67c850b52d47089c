"""Calls RKNN-Toolkit2, in an environment that has `rknn-toolkit2` and what it needs.

The toolkit's simulator computes what the NPU computes, in float16, and runs what was built in the same process only: it
takes no `.rknn` file. So the ONNX file is kept beside it, and built again where it is to be run.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Arrays = dict[str, Any]

MODEL, SOURCE, PORTS = "model.rknn", "model.onnx", "ports.json"

_PORTS = {"InputOperator", "OutputOperator"}
"""Rows of the table that hand values in and out."""
_ROW = re.compile(
    r"\] \d+ +(?P<kind>\w+) +\w+ +(?P<place>NPU|CPU|GPU) .* \d+/\d+/(?P<cycles>\d+) +[\d.]+ +\w+:(?P<name>.+?) *$",
    re.MULTILINE,
)
_ERROR = re.compile(r"^.*?\bE\b\S* (?:RKNN: \[[\d:.]+\] )?(.*?)(?:\x1b\[0m)?$", re.MULTILINE)


def version() -> str:
    """The installed version."""
    return installed("rknn-toolkit2")


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Build for the NPU that the option `platform` names, and tell which operators it runs."""
    source = str(Path(folder, SOURCE))
    _write_with_axes(model, source)
    built, said = _build(source, options)
    _succeed(built.export_rknn(str(Path(folder, MODEL))), "export_rknn", said)
    graph = onnx.load(model, load_external_data=False).graph
    held = {tensor.name for tensor in graph.initializer}
    ports = {
        "inputs": [value.name for value in graph.input if value.name not in held],
        "outputs": {
            value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
            for value in graph.output
        },
        "scalars": [value.name for value in graph.output if _is_scalar(value)],
    }
    Path(folder, PORTS).write_text(json.dumps(ports))
    rows = [row for row in _ROW.finditer(said) if row["kind"] not in _PORTS]
    return {
        "operators": dict(sorted(Counter(row["kind"] for row in rows).items())),
        "ops": len(rows),
        "placed": dict(Counter(row["place"] for row in rows)),
        "leftovers": [row["name"] for row in rows if row["place"] == "CPU"],
        "cycles": sum(int(row["cycles"]) for row in rows),
        "notes": ["placement and cycles are the compiler's own; it counts cycles of convolutions and products only"],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the model in the simulator, which knows no time."""
    built, said = _build(str(Path(folder, SOURCE)), options)
    _succeed(built.init_runtime(), "init_runtime", said)
    ports = json.loads(Path(folder, PORTS).read_text())

    def run(arrays: Arrays) -> Arrays:
        feeds = [np.atleast_1d(np.asarray(arrays[name], order="C")) for name in ports["inputs"]]
        results = built.inference(inputs=feeds, data_format=["nchw"] * len(feeds))
        if results is None:
            raise RuntimeError("the simulator gives nothing")
        return {
            name: (np.reshape(value, ()) if name in ports["scalars"] else np.asarray(value)).astype(dtype, copy=False)
            for (name, dtype), value in zip(ports["outputs"].items(), results)
        }

    return run


def _write_with_axes(model: str, path: str) -> None:
    """Write `model` to `path` with an axis on each input that is one number: the simulator takes none without."""
    loaded = onnx.load(model, load_external_data=False)
    graph = loaded.graph
    held = {tensor.name for tensor in graph.initializer}
    scalars = [v for v in graph.input if v.name not in held and _is_scalar(v)]
    if not scalars:
        shutil.copyfile(model, path)
        return
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {v.name for v in graph.input}
    shape = _fresh("no_axes", taken)
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(0, np.int64), shape))
    for value in scalars:
        without = _fresh(f"{value.name}_without_axis", taken)
        for node in graph.node:
            node.input[:] = [without if name == value.name else name for name in node.input]
        graph.node.insert(0, onnx.helper.make_node("Reshape", [value.name, shape], [without], name=without))
        value.type.tensor_type.shape.dim.add().dim_value = 1
    onnx.save(loaded, path)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _is_scalar(value: Any) -> bool:
    return value.type.tensor_type.HasField("shape") and not value.type.tensor_type.shape.dim


def _build(model: str, options: dict[str, Any]) -> tuple[Any, str]:
    """What the toolkit built, and all that it said.

    Its compiler prints to the process's standard output, its Python part to a log file.
    """
    from rknn.api import RKNN

    with tempfile.TemporaryDirectory() as scratch:
        log, printed = Path(scratch, "build.log"), Path(scratch, "printed")
        kept = os.dup(1)
        with printed.open("wb") as file:
            os.dup2(file.fileno(), 1)
        try:
            toolkit = RKNN(verbose=True, verbose_file=str(log))
            settings: dict[str, Any] = {"remove_reshape": options["remove_reshape"]}
            if options["disable_rules"]:
                settings["disable_rules"] = options["disable_rules"]
            steps: list[tuple[str, Callable[[], int]]] = [
                ("config", lambda: toolkit.config(target_platform=options["platform"], **settings)),
                ("load_onnx", lambda: toolkit.load_onnx(model=model)),
                ("build", lambda: toolkit.build(do_quantization=False)),
            ]
            for name, step in steps:
                try:
                    _succeed(step(), name, log.read_text(errors="replace") if log.exists() else "")
                except ValueError as error:  # the text of a traceback is its message
                    raise RuntimeError(f"{name}: {str(error).strip().splitlines()[-1]}") from error
        finally:
            sys.stdout.flush()
            ctypes.CDLL(None).fflush(None)
            os.dup2(kept, 1)
            os.close(kept)
            said = printed.read_text(errors="replace")
            print(said)
        return toolkit, said


def _succeed(status: int, step: str, said: str) -> None:
    """Raise with the toolkit's last error where a step failed."""
    if status:
        errors = _ERROR.findall(said)
        raise RuntimeError(f"{step}: {errors[-1]}" if errors else f"{step} fails")
