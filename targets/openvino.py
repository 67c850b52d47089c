"""OpenVINO, for the CPU."""

from __future__ import annotations

from regraft.targeting.compiler import Compiler


class OpenVino(Compiler):
    """OpenVINO's CPU plugin, in float32.

    OpenVINO takes open shapes, and its own fusions find LayerNormalization, Gelu and attention as exporters write
    them, so that the pipeline fuses nothing. It takes out what they stumble over: guards against NaN, arithmetic on
    shapes, and the Softmax of before opset 13, which was another. Of local functions, which is how a Gelu is written
    before opset 20, OpenVINO knows nothing.
    """

    name = "openvino"
    package = "openvino"
    versions = ">=2026.4,<2027"
    install = "pip install 'regraft[openvino]'"
    pipeline = (
        "convert-opset{version=13,only=older,otherwise=keep},strip-training{unread-inputs=keep},strip-dropout,"
        "infer-shapes,normalize-conditions,"
        "fold-constants,eliminate-identity,simplify-mask,fold-constants,deduplicate-initializers,"
        "eliminate-common-subexpressions,eliminate-dead-code"
    )
