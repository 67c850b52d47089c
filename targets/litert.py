"""LiteRT, the runtime of TensorFlow Lite's flatbuffers on the CPU, through onnx2tf."""

from __future__ import annotations

from regraft.ir.model import Model
from regraft.targeting.compiler import Compiler

GELU = 20
"""The opset that brought Gelu, which the converter writes as one operator."""


class LiteRt(Compiler):
    """LiteRT on the CPU, with XNNPACK: onnx2tf writes a float32 flatbuffer of static shapes.

    The arithmetic of shapes is folded, GELU is written as the one operator that both sides have, and integers inside
    are of 32 bits, in which the converter's lookups and running sums are right. Inputs keep their names, types and
    layout. onnx2tf would call onnxsim by itself; here it does not, so that what is rewritten is rewritten by regraft.

    Facts: onnx2tf 2.6 with ai-edge-litert 2.1, as run here.
    """

    name = "litert"
    package = "onnx2tf"
    versions = ">=2.6,<3"
    install = "run 'make compiler-litert', which needs Python 3.12 or newer"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,convert-opset{version=21},infer-shapes,fold-constants,"
        "eliminate-identity,eliminate-dead-code,simplify-mask,fuse-layer-norm,fuse-gelu,narrow-integers,fold-constants,"
        "eliminate-identity,eliminate-common-subexpressions,deduplicate-initializers,eliminate-dead-code,infer-shapes"
    )

    def pipeline_for(self, model: Model) -> str:
        """The pipeline; the opset is raised only where it has no Gelu yet."""
        return self.pipeline if model.opset < GELU else self.pipeline.replace("convert-opset{version=21},", "")
