"""Calls ONNX Runtime's CPU provider, in an environment that has `onnxruntime` and `onnx`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

Arrays = dict[str, Any]

MODEL, WEIGHTS = "model.onnx", "model.onnx.data"

_PROVIDERS = ["CPUExecutionProvider"]
_SLOWER = ["SkipLayerNormFusion"]
"""Optimisations that ONNX Runtime's CPU kernels do not repay: 1.31 adds and normalizes faster in two operators."""
_EXTERNAL = 2**30
"""Bytes of a model beyond which its weights are written beside it; protobuf holds 2 GiB."""
_FATAL = 4


def version() -> str:
    """The installed version."""
    return str(onnxruntime.__version__)


def compile(model: str, folder: str, options: dict[str, Any]) -> dict[str, Any]:
    """Write what ONNX Runtime's optimisations of the `level` make of `model`."""
    import onnx

    settings = _settings(options)
    settings.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{options['level'].upper()}"
    )
    settings.optimized_model_filepath = str(Path(folder, MODEL))
    if sum(entry.stat().st_size for entry in os.scandir(Path(model).parent)) > _EXTERNAL:
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    _open(model, settings)
    graph = onnx.load(Path(folder, MODEL), load_external_data=False).graph
    operators = Counter(node.op_type for node in graph.node)
    return {"operators": dict(sorted(operators.items())), "ops": operators.total()}


def load(folder: str, options: dict[str, Any]) -> Callable[[Arrays], Arrays]:
    """A session of the model in `folder`; ONNX Runtime optimises what is left to optimise."""
    session = _open(str(Path(folder, MODEL)), _settings(options))
    names = [output.name for output in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, arrays)))


def _open(model: str, settings: Any) -> Any:
    return onnxruntime.InferenceSession(model, settings, providers=_PROVIDERS, disabled_optimizers=_SLOWER)


def _settings(options: dict[str, Any]) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    settings.intra_op_num_threads = options.get("threads", 0)
    return settings
