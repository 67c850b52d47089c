"""Calls IREE, in an environment that has `iree-base-compiler`, `iree-base-runtime` and `onnx`."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]

MODULE, PORTS = "model.vmfb", "ports.json"

_DISPATCH = re.compile(r'^\d+,"dispatch",".*?_dispatch_\d+_([a-zA-Z]+(?:_[a-zA-Z]+)*).*?",[^,]*,(\d+),', re.MULTILINE)
_ERROR = re.compile(r"\berror: (.*)")


def version() -> str:
    """The installed version."""
    return installed("iree-base-compiler")


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Compile for the CPU that the option `cpu` names; `host` is the one at hand."""
    import onnx
    from iree.compiler import tools
    from iree.compiler.tools.import_onnx import __main__ as importer

    graph = onnx.load(model, load_external_data=False).graph
    with_default = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in with_default]
    dtypes = [onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in graph.output]
    outputs = {value.name: dtype.name for value, dtype in zip(graph.output, dtypes)}
    ports = {"inputs": inputs, "outputs": outputs}
    Path(folder, PORTS).write_text(json.dumps(ports))
    with tempfile.TemporaryDirectory() as scratch:
        imported, statistics = str(Path(scratch, "model.mlir")), Path(scratch, "statistics.csv")
        importer.main(importer.parse_arguments([model, "-o", imported]))
        try:
            tools.compile_file(
                imported,
                output_file=str(Path(folder, MODULE)),
                target_backends=["llvm-cpu"],
                input_type="onnx",
                extra_args=[
                    f"--iree-llvmcpu-target-cpu={options['cpu']}",
                    f"--iree-opt-level=O{options['level']}",
                    "--iree-scheduling-dump-statistics-format=csv",
                    f"--iree-scheduling-dump-statistics-file={statistics}",
                ],
            )
        except tools.CompilerToolError as error:
            print(error, file=sys.stderr)
            found = _ERROR.search(str(error))
            raise RuntimeError(found[1] if found else "iree-compile fails without a message") from None
        dispatches = Counter[str]()
        for kind, invocations in _DISPATCH.findall(statistics.read_text()):
            dispatches[kind] += int(invocations)
    return {
        "operators": dict(sorted(dispatches.items())),
        "ops": dispatches.total(),
        "notes": [f"operators are dispatches; compiled for the CPU '{options['cpu']}', run it on such only"],
    }


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """What runs the module in `folder`: one thread is the calling one, 0 as many as IREE chooses."""
    from iree import runtime

    threads = options.get("threads", 0)
    if threads > 1:
        runtime.flags.parse_flags(f"--task_topology_group_count={threads}")
    driver = "local-sync" if threads == 1 else "local-task"
    module = runtime.load_vm_flatbuffer_file(str(Path(folder, MODULE)), driver=driver)
    names = module.vm_module.function_names
    function = module[next(name for name in names if f"{name}$async" in names)]
    ports = json.loads(Path(folder, PORTS).read_text())

    def run(arrays: Arrays) -> Arrays:
        results = function(*(arrays[name] for name in ports["inputs"]))
        results = results if isinstance(results, tuple) else (results,)
        return {
            name: np.asarray(value).astype(dtype, copy=False)
            for (name, dtype), value in zip(ports["outputs"].items(), results)
        }

    return run
