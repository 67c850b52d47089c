"""Calls MNN, in an environment that has the packages `mnn` and `onnx`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version as installed
from pathlib import Path
from typing import IO, Any

import numpy as np

Arrays = dict[str, Any]

MODEL, PORTS = "model.mnn", "ports.json"

FREE = 8
"""The size that dimensions without one get while operators are counted."""

_REFUSAL = re.compile(r"^\[\d\d:\d\d:\d\d\] \S*:\d+: (.*)")


def version() -> str:
    """The installed version."""
    return installed("mnn")


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Convert by the native function; the command `mnnconvert` installs packages on its way."""
    import _tools
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    with_default = {tensor.name for tensor in graph.initializer}
    ports = {
        "inputs": {value.name: _dtype(value) for value in graph.input if value.name not in with_default},
        "outputs": {value.name: _dtype(value) for value in graph.output},
    }
    Path(folder, PORTS).write_text(json.dumps(ports))
    converted = Path(folder, MODEL)
    arguments = ["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", str(converted), "--bizCode", "regraft"]
    arguments += ["--useGeluApproximation", "0"]
    with tempfile.TemporaryFile() as said:
        with _printing_to(said):
            _tools.mnnconvert(arguments)
        said.seek(0)
        text = said.read().decode(errors="replace")
    print(text, file=sys.stderr)
    if not converted.exists():
        found = [match[1].strip() for line in text.splitlines() if (match := _REFUSAL.match(line))]
        raise RuntimeError(found[-1] if found else "the converter fails without a message")
    operators = _operators(converted)
    return {
        "operators": operators,
        "ops": sum(operators.values()),
        "notes": [f"operators are those that run, at size {FREE} of dimensions that have none"],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the model in `folder`, in 32 bits; 64-bit integers are narrowed, as MNN has none."""
    from MNN import expr, nn

    ports = json.loads(Path(folder, PORTS).read_text())
    threads = {"thread_num": options["threads"]} if options.get("threads") else {}
    module = nn.load_module_from_file(
        str(Path(folder, MODEL)),
        list(ports["inputs"]),
        list(ports["outputs"]),
        precision_mode=expr.PrecisionMode.High,
        **threads,
    )
    kinds = {expr.int: np.int32, expr.float: np.float32, expr.uint8: np.uint8}
    wanted = [(value.dtype, kinds[value.dtype]) for value in module.get_info()["inputs"]]

    def run(arrays: Arrays) -> Arrays:
        feeds = []
        for name, (kind, dtype) in zip(ports["inputs"], wanted):
            value = np.asarray(arrays[name], dtype, order="C")
            feeds.append(expr.const(value, list(value.shape), expr.NCHW, kind))
        results = {}
        for (name, dtype), value in zip(ports["outputs"].items(), module.forward(feeds)):
            if value.data_format == expr.NC4HW4:
                value = expr.convert(value, expr.NCHW)
            results[name] = np.array(value.read(), dtype).reshape(value.shape)
        return results

    return run


def _operators(model: Path) -> dict[str, int]:
    """How many operators of each kind run, with what converts layouts between them; inputs are zeros."""
    import MNN

    interpreter = MNN.Interpreter(str(model))
    session = interpreter.createSession()
    inputs = interpreter.getSessionInputAll(session)
    for tensor in inputs.values():
        interpreter.resizeTensor(tensor, tuple(dim if dim > 0 else FREE for dim in tensor.getShape()))
    interpreter.resizeSession(session)
    found: Counter[str] = Counter()

    def count(tensors: Any, operator: Any) -> bool:
        found[operator.getType()] += 1
        return True

    interpreter.runSessionWithCallBackInfo(session, count, lambda tensors, operator: True)
    return dict(sorted(found.items()))


def _dtype(value: Any) -> str:
    import onnx

    return onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name


@contextlib.contextmanager
def _printing_to(file: IO[bytes]) -> Iterator[None]:
    """What C++ prints goes to `file`."""
    kept = {number: os.dup(number) for number in (1, 2)}
    sys.stdout.flush()
    try:
        for number in kept:
            os.dup2(file.fileno(), number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
