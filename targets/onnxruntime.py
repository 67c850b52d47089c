"""ONNX Runtime on the CPU, the embedded default: nothing else has to be installed for it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import onnx

from regraft.inspection.census import missing
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.legality.verdict import Verdict, Violation
from regraft.pipelines.options import option
from regraft.pipelines.pass_base import label
from regraft.targeting.compiler import Compiler
from regraft.verification.runtime import RuntimeFailure, Session

Level = Literal["basic", "extended", "all"]

PROVIDER = "CPUExecutionProvider"


class OnnxRuntime(Compiler):
    """ONNX Runtime's CPU provider, with canonical operators and nothing left of training.

    The pipeline makes the graph small and its operators high-level; ONNX Runtime's own optimisations then fuse what its
    kernels can. Compiling applies them ahead of time, but for SkipLayerNormalization, whose CPU kernel is slower than
    the two that it replaces in ONNX Runtime 1.31. Shapes serve the pipeline and are not stated in the result: they make
    sessions of one's own fuse it.

    Args:
        level: which of them compiling applies. "basic" keeps to ONNX's operators. "extended" uses ONNX Runtime's own
            operators too, which ties the file to its version. "all" also lays data out for the processor at hand: run
            the file on such a processor only.
    """

    name = "onnxruntime"
    package = "onnxruntime"
    versions = ">=1.24,<2"
    install = "pip install onnxruntime"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,convert-opset{version=20,only=older,otherwise=keep},"
        "infer-shapes,normalize-conditions,fold-constants,"
        "eliminate-identity,eliminate-dead-code,fuse-layer-norm,fuse-gelu,deduplicate-initializers,"
        "eliminate-common-subexpressions,eliminate-dead-code,strip-value-info"
    )

    level: Level = option("extended", "what compiling applies")

    def judge(self, model: Model) -> Verdict:
        """Open the model. Where that fails, the profile says why, or the operators that it lacks, or its message.

        A model whose weights are not there cannot be opened; of it the profile and the list of operators speak.
        """
        verdict = super().judge(model)
        if missing(model):
            return replace(verdict, found=verdict.found or list(_lacking_operators(verdict)))
        try:
            Session(model)
        except RuntimeFailure as failure:
            found = verdict.found or list(_lacking_operators(verdict)) or [(Violation(str(failure)), ())]
            return replace(verdict, found=found)
        return replace(verdict, found=[])


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
