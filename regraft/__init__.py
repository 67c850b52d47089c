"""Rewrite ONNX graphs for the compiler that refuses them, prove the result equal, show what changed.

What belongs here is the core: the model and its weights, surgery, patterns, the pass manager, verification, the diff and
the command line. The core knows no pass, frontend or target by name: it finds them through `regraft.registry`.

The names below are imported when they are first used, so that the command line starts without onnx and numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from regraft.errors import RegraftError

if TYPE_CHECKING:
    from regraft.loading import load
    from regraft.model import Model
    from regraft.pass_ import Context, Pass
    from regraft.pipeline import Pipeline
    from regraft.saving import save

_HOMES = {
    "Context": "pass_",
    "Model": "model",
    "Pass": "pass_",
    "Pipeline": "pipeline",
    "load": "loading",
    "save": "saving",
}

__all__ = ["Context", "Model", "Pass", "Pipeline", "RegraftError", "load", "save"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'regraft' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(f"regraft.{_HOMES[name]}"), name)
    return value
