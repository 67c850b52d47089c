"""Calls tract, in an environment that has the packages `tract` and `onnx`."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tract

Arrays = dict[str, Any]

MODEL, PORTS = "model.onnx", "ports.json"

_NO_WORK = {"Const", "Source"}
"""Nodes that hand values in."""


def version() -> str:
    """The installed version."""
    return tract.version()


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Keep the model as it is, once tract has taken it: tract optimises while it loads."""
    import onnx

    runnable = _optimise(model)
    graph = onnx.load(model, load_external_data=False).graph
    with_default = {tensor.name for tensor in graph.initializer}
    ports = {
        "inputs": [value.name for value in graph.input if value.name not in with_default],
        "outputs": [value.name for value in graph.output],
    }
    Path(folder, PORTS).write_text(json.dumps(ports))
    for file in Path(model).parent.glob(Path(model).name + "*"):
        shutil.copyfile(file, Path(folder, MODEL + file.name.removeprefix(Path(model).name)))
    nodes = json.loads(runnable.profile_json(None))["nodes"]
    operators = Counter(node["op_name"] for node in nodes if node["op_name"] not in _NO_WORK)
    return {
        "operators": dict(sorted(operators.items())),
        "ops": operators.total(),
        "notes": ["operators are the nodes of the optimised model; it runs on one thread"],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the model in `folder`."""
    runnable = _optimise(str(Path(folder, MODEL)))
    ports = json.loads(Path(folder, PORTS).read_text())

    def run(arrays: Arrays) -> Arrays:
        try:
            results = runnable.run([np.asarray(arrays[name], order="C") for name in ports["inputs"]])
        except tract.TractError as error:
            raise _without_trace(error) from None
        return {name: value.to_numpy() for name, value in zip(ports["outputs"], results)}

    return run


def _optimise(model: str) -> Any:
    try:
        return tract.onnx().load(model).into_model().into_runnable()
    except tract.TractError as error:
        raise _without_trace(error) from None


def _without_trace(error: tract.TractError) -> RuntimeError:
    """What went wrong and why; a trace of tract's own source comes after."""
    print(error, file=sys.stderr)
    lines = [" ".join(line.split()) for line in str(error).partition("Stack backtrace:")[0].splitlines()]
    what, *why = [line for line in lines if line and line != "Caused by:"]
    return RuntimeError(": ".join([what, re.sub(r"^\d+: ", "", why[-1])] if why else [what]))
