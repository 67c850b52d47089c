"""Calls TVM's Relax compiler, in an environment that has `apache-tvm` and `onnx`, and a C compiler that links."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tvm
from tvm import relax

Arrays = dict[str, Any]

LIBRARY, PORTS = "model.so", "ports.json"

_CALL = re.compile(r"^\s*call\s+(\S+)\s+in:", re.MULTILINE)
_BUILTIN = "vm.builtin."


def version() -> str:
    """The installed version."""
    return str(tvm.__version__)


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Compile for the CPU that the option `cpu` names; `host` is the one at hand."""
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    source = onnx.load(model)
    try:
        module = from_onnx(source, keep_params_in_input=False)
        executable = relax.build(relax.transform.DecomposeOpsForInference()(module), target=_target(options["cpu"]))
    except Exception as error:
        print(error, file=sys.stderr)
        raise RuntimeError(_summary(error)) from error
    executable.export_library(str(Path(folder, LIBRARY)))
    held = {tensor.name for tensor in source.graph.initializer}
    ports = {  # by place: TVM has other names for those with a dot
        "inputs": [value.name for value in source.graph.input if value.name not in held],
        "outputs": [value.name for value in source.graph.output],
    }
    Path(folder, PORTS).write_text(json.dumps(ports))
    called = [name for name in _CALL.findall(executable.as_text()) if not name.startswith(_BUILTIN)]
    kernels = Counter(re.sub(r"\d+$", "", name) for name in called)
    return {
        "operators": dict(sorted(kernels.items())),
        "ops": kernels.total(),
        "notes": [
            "operators are calls of kernels, named after what is fused in them",
            f"kernels are not tuned, run on one thread, and are for the CPU '{options['cpu']}'",
        ],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the library in `folder`."""
    machine = relax.VirtualMachine(tvm.runtime.load_module(str(Path(folder, LIBRARY))), tvm.cpu())
    main = machine["main"]
    ports = json.loads(Path(folder, PORTS).read_text())

    def run(arrays: Arrays) -> Arrays:
        results = main(*(tvm.runtime.tensor(arrays[name]) for name in ports["inputs"]))
        results = [results] if isinstance(results, tvm.runtime.Tensor) else results
        return {name: value.numpy() for name, value in zip(ports["outputs"], results)}

    return run


def _target(cpu: str) -> Any:
    if cpu == "host":
        cpu = tvm.target.codegen.llvm_get_system_cpu()
    return tvm.target.Target({"kind": "llvm", "mcpu": cpu} if cpu else "llvm")


def _summary(error: Exception) -> str:
    """The last lines of a message, which say what is wrong; a trace of TVM's own source stands before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
