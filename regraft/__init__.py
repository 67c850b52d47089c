"""Rewrite ONNX graphs for the compiler that refuses them, prove the result equal, show what changed.

What belongs here is the core, by package: the model in memory (`ir`) and in files (`files`), patterns and rules
(`rewriting`), passes and their manager (`pipelines`), shapes, folding and opsets, the parts of transformers that passes
ask for (`regions`), half precision (`mixed_precision`), the work of host and device (`splitting`, `bundling`,
`runtime`), `verification`, `inspection` and the command line (`cli`). The core knows no pass, frontend or target by
name: it finds them through `pipelines.registry`.

The names below are imported when they are first used, so that the command line starts without onnx and numpy.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from regraft.errors import RegraftError

if TYPE_CHECKING:
    from regraft.bundling import write_bundle
    from regraft.files.loading import load
    from regraft.files.saving import save, to_proto
    from regraft.ir.model import Model
    from regraft.ir.surgery import Editor
    from regraft.pipelines.foreign import graphsurgeon_pass, onnx_ir_pass, proto_pass
    from regraft.pipelines.manager import run
    from regraft.pipelines.options import Bytes, Shapes, option
    from regraft.pipelines.pass_ import Context, Pass
    from regraft.pipelines.pipeline import Pipeline, Repeat
    from regraft.pipelines.source import open_source
    from regraft.rewriting.rule import Rule
    from regraft.rewriting.rule_pass import RulePass
    from regraft.rewriting.term import constant, either, number, op
    from regraft.rewriting.why import why
    from regraft.verification.contract import approximation, exact, interface, precision, reassociation
    from regraft.verification.verify import compare

_SOURCES = os.path.dirname(os.path.dirname(__file__))
if os.path.isfile(os.path.join(_SOURCES, "passes", "__init__.py")):
    __path__.append(_SOURCES)  # in the repository passes, frontends, targets and models lie beside this folder

_HOMES = {
    **dict.fromkeys(("approximation", "exact", "interface", "precision", "reassociation"), "verification.contract"),
    "load": "files.loading",
    "write_bundle": "bundling",
    **dict.fromkeys(("graphsurgeon_pass", "onnx_ir_pass", "proto_pass"), "pipelines.foreign"),
    "run": "pipelines.manager",
    "Model": "ir.model",
    **dict.fromkeys(("Bytes", "Shapes", "option"), "pipelines.options"),
    **dict.fromkeys(("Context", "Pass"), "pipelines.pass_"),
    **dict.fromkeys(("Pipeline", "Repeat"), "pipelines.pipeline"),
    "open_source": "pipelines.source",
    "Rule": "rewriting.rule",
    "RulePass": "rewriting.rule_pass",
    "why": "rewriting.why",
    **dict.fromkeys(("save", "to_proto"), "files.saving"),
    "Editor": "ir.surgery",
    **dict.fromkeys(("constant", "either", "number", "op"), "rewriting.term"),
    "compare": "verification.verify",
}

__all__ = [
    "Bytes",
    "Context",
    "Editor",
    "Model",
    "Pass",
    "Pipeline",
    "RegraftError",
    "Repeat",
    "Rule",
    "RulePass",
    "Shapes",
    "approximation",
    "compare",
    "constant",
    "either",
    "exact",
    "graphsurgeon_pass",
    "interface",
    "load",
    "number",
    "onnx_ir_pass",
    "op",
    "open_source",
    "option",
    "precision",
    "proto_pass",
    "reassociation",
    "run",
    "save",
    "to_proto",
    "why",
    "write_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'regraft' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(f"regraft.{_HOMES[name]}"), name)
    return value
