"""Rewrite ONNX graphs for the compiler that refuses them, prove the result equal, show what changed.

What belongs here is the core: the model and its weights, surgery, patterns, the pass manager, verification, the diff
and the command line. The core knows no pass, frontend or target by name: it finds them through `regraft.registry`.

The names below are imported when they are first used, so that the command line starts without onnx and numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from regraft.errors import RegraftError

if TYPE_CHECKING:
    from regraft.contract import approximation, exact, interface, precision, reassociation
    from regraft.loading import load
    from regraft.manager import run
    from regraft.model import Model
    from regraft.options import Bytes, Shapes, option
    from regraft.pass_ import Context, Pass
    from regraft.pipeline import Pipeline
    from regraft.rule import Rule, RulePass, why
    from regraft.saving import save
    from regraft.surgery import Editor
    from regraft.term import constant, either, number, op
    from regraft.verify import compare

_HOMES = {
    **dict.fromkeys(("approximation", "exact", "interface", "precision", "reassociation"), "contract"),
    "load": "loading",
    "run": "manager",
    "Model": "model",
    **dict.fromkeys(("Bytes", "Shapes", "option"), "options"),
    **dict.fromkeys(("Context", "Pass"), "pass_"),
    "Pipeline": "pipeline",
    **dict.fromkeys(("Rule", "RulePass", "why"), "rule"),
    "save": "saving",
    "Editor": "surgery",
    **dict.fromkeys(("constant", "either", "number", "op"), "term"),
    "compare": "verify",
}

__all__ = [
    "Bytes",
    "Context",
    "Editor",
    "Model",
    "Pass",
    "Pipeline",
    "RegraftError",
    "Rule",
    "RulePass",
    "Shapes",
    "approximation",
    "compare",
    "constant",
    "either",
    "exact",
    "interface",
    "load",
    "number",
    "op",
    "option",
    "precision",
    "reassociation",
    "run",
    "save",
    "why",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'regraft' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(f"regraft.{_HOMES[name]}"), name)
    return value
