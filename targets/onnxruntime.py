"""ONNX Runtime on the CPU, the embedded default: nothing else has to be installed for it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import onnx

from regraft.errors import TargetError
from regraft.files.loading import load
from regraft.files.saving import INLINE_LIMIT, save
from regraft.inspection.census import constants
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pass_ import label
from regraft.targeting.legality import Verdict, Violation
from regraft.targeting.target import Target
from regraft.verification.runtime import RuntimeFailure, Session

Level = Literal["basic", "extended", "all"]

GELU = 20
"""The opset that brought Gelu, which ONNX Runtime has kernels for."""

PROVIDER = "CPUExecutionProvider"

COMPILED = "regraft.compiled"
"""Metadata that says what a compiled model is tied to."""


class OnnxRuntime(Target):
    """ONNX Runtime's CPU provider, with canonical operators and nothing left of training.

    The pipeline makes the graph small and its operators high-level; ONNX Runtime's own optimisations then fuse what its
    kernels can. Compiling applies them ahead of time. Shapes serve the pipeline and are not stated in the result: they
    make ONNX Runtime 1.31 fuse SkipLayerNormalization, whose CPU kernel is slower than the two that it replaces.

    Args:
        level: which of them `compile` applies. "basic" keeps to ONNX's operators. "extended" uses ONNX Runtime's own
            operators too, which ties the file to its version. "all" also lays data out for the processor at hand: run
            the file on such a processor only.
    """

    name = "onnxruntime"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,convert-opset{version=21},infer-shapes,fold-constants,"
        "eliminate-identity,eliminate-dead-code,fuse-layer-norm,fuse-gelu,deduplicate-initializers,"
        "eliminate-common-subexpressions,eliminate-dead-code,strip-value-info"
    )

    level: Level = option("extended", "what compiling applies")

    def pipeline_for(self, model: Model) -> str:
        """The pipeline; the opset is raised only where it has no Gelu yet."""
        return self.pipeline if model.opset < GELU else self.pipeline.replace("convert-opset{version=21},", "")

    def judge(self, model: Model) -> Verdict:
        """Open the model. Where that fails, the profile says why, or the operators that it lacks, or its message."""
        verdict = super().judge(model)
        try:
            Session(model)
        except RuntimeFailure as failure:
            found = verdict.found or list(_lacking_operators(verdict)) or [(Violation(str(failure)), ())]
            return replace(verdict, found=found)
        return replace(verdict, found=[])

    def compile(self, model: Model, path: Path) -> Path:
        """Write what ONNX Runtime makes of `model` to `path`; the metadata `regraft.compiled` says for what."""
        import onnxruntime

        if violations := self.check(model):
            more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
            raise TargetError(f"ONNX Runtime does not take the model: {violations[0]}{more}")
        with tempfile.TemporaryDirectory(prefix=".regraft-", dir=path.parent) as folder:
            optimized = Path(folder, "optimized.onnx")
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.graph_optimization_level = _level(self.level)
            options.optimized_model_filepath = str(optimized)
            if sum(constant.nbytes for constant in constants(model)) > INLINE_LIMIT:
                options.add_session_config_entry(
                    "session.optimized_model_external_initializers_file_name", optimized.name + ".data"
                )
            source = save(model, Path(folder, "model.onnx"))
            onnxruntime.InferenceSession(str(source), options, providers=[PROVIDER])
            compiled = load(optimized)
            compiled.metadata.update(model.metadata)
            compiled.metadata[COMPILED] = f"onnxruntime {onnxruntime.__version__}, CPU, level {self.level}"
            return save(compiled, path)

    def load(self, path: Path) -> Session:
        """A session of the model at `path`, compiled or not; ONNX Runtime optimises what is left to optimise."""
        return Session(path, optimize=True)


def _level(level: Level) -> Any:
    from onnxruntime import GraphOptimizationLevel

    return getattr(GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}")


def _lacking_operators(verdict: Verdict) -> Iterator[tuple[Violation, Sequence[Node]]]:
    functions = {(function.domain or "", function.name) for function in verdict.view.model.functions}
    found: dict[tuple[str, str], list[Node]] = {}
    for site in verdict.view.sites:
        key = (site.node.domain or "", site.node.op)
        if key not in functions and not _has_kernel(*key, site.opset):
            reason = "no kernel" if key in _schemas() else "no such operator"
            found.setdefault((site.operator, reason), []).append(site.node)
    for (operator, reason), nodes in found.items():
        yield Violation(reason, tuple(map(label, nodes)), operator), nodes


def _has_kernel(domain: str, op: str, opset: int) -> bool:
    """Whether an operator runs: by a kernel, or because its schema says how other operators compute it."""
    if (domain, op) in _kernels() or (domain, op) == ("", "Constant"):
        return True
    try:
        schema = onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return False
    written = ("has_function", "has_context_dependent_function")  # not in onnx's stub
    return any(getattr(schema, name) for name in written)


@functools.cache
def _schemas() -> frozenset[tuple[str, str]]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return frozenset((schema.domain, schema.name) for schema in state.get_all_operator_schema())


@functools.cache
def _kernels() -> frozenset[tuple[str, str]]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kernels = state.get_all_opkernel_def()
    return frozenset((kernel.domain, kernel.op_name) for kernel in kernels if kernel.provider == PROVIDER)
