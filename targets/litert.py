"""LiteRT, the runtime of TensorFlow Lite's flatbuffers on the CPU, through onnx2tf."""

from __future__ import annotations

from regraft.inspection.census import operators
from regraft.ir import schema
from regraft.ir.model import Model
from regraft.pipelines.pipeline import Pipeline
from regraft.targeting.compiler import Compiler


class LiteRt(Compiler):
    """LiteRT on the CPU, with XNNPACK: onnx2tf writes a float32 flatbuffer of static shapes.

    The arithmetic of shapes is folded, and integers inside are of 32 bits, in which the converter's lookups and running
    sums are right. A GELU by Erf becomes the one operator that both sides have; one by Tanh is written out, since
    LiteRT's is off by 4e-4 in GPT-2. Inputs keep their names, types and layout. onnx2tf would call onnxsim by itself;
    here it does not, so that what is rewritten is rewritten by regraft.

    Facts: onnx2tf 2.6 with ai-edge-litert 2.1, as run here.
    """

    name = "litert"
    package = "onnx2tf"
    versions = ">=2.6,<3"
    install = "run 'make compiler-litert', which needs Python 3.12 or newer"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,convert-opset{version=20,only=older,otherwise=keep},"
        "infer-shapes,normalize-conditions,"
        "fold-constants,eliminate-identity,eliminate-dead-code,lower-attention,simplify-mask,fuse-layer-norm,fuse-gelu,"
        "narrow-integers,fold-constants,eliminate-identity,eliminate-common-subexpressions,deduplicate-initializers,"
        "eliminate-dead-code,infer-shapes"
    )

    def pipeline_for(self, model: Model) -> Pipeline:
        """The pipeline; a GELU by Tanh is written out."""
        pipeline = Pipeline(self.pipeline)
        if "Erf" in operators(model):
            return pipeline
        return pipeline.replacing("fuse-gelu", "lower-gelu" if _has_gelu_by_tanh(model) else [])


def _has_gelu_by_tanh(model: Model) -> bool:
    return any(schema.kind(n) == "Gelu" and n.attrs.get("approximate") == "tanh" for n in model.nodes())
