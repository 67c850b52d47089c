"""OpenVINO, for the CPU."""

from __future__ import annotations

from regraft.ir.model import Model
from regraft.targeting.compiler import Compiler

SOFTMAX = 13
"""The opset since when Softmax is over one axis, as OpenVINO has it."""


class OpenVino(Compiler):
    """OpenVINO's CPU plugin, in float32.

    OpenVINO takes open shapes, and its own fusions find LayerNormalization, Gelu and attention as exporters write
    them, so that the pipeline fuses nothing. It takes out what they stumble over: guards against NaN, and arithmetic
    on shapes. Of local functions, which is how a Gelu is written before opset 20, OpenVINO knows nothing.
    """

    name = "openvino"
    package = "openvino"
    versions = ">=2026.4,<2027"
    install = "pip install 'regraft[openvino]'"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
        "simplify-mask,fold-constants,deduplicate-initializers,eliminate-common-subexpressions,eliminate-dead-code"
    )

    def pipeline_for(self, model: Model) -> str:
        """The pipeline; an opset without today's Softmax is raised first."""
        return self.pipeline if model.opset >= SOFTMAX else f"convert-opset{{version=17}},{self.pipeline}"
