"""IREE, for the CPU."""

from __future__ import annotations

from typing import Literal

from regraft.ir.model import Model
from regraft.pipelines.options import option
from regraft.pipelines.pipeline import Pipeline
from regraft.targeting.compiler import Compiler

FOLD = "fold-constants{max-bytes=64KiB}"
"""What GPT-2 transposes of the embeddings stays so: IREE multiplies by them as they lie, 7 % faster in a small one."""

Level = Literal["0", "1", "2", "3"]


class Iree(Compiler):
    """IREE, for the CPU, through LLVM.

    Shapes may stay open, but fixed ones make what is compiled about twice as fast: give sizes,
    `iree{batch=1,sequence=128}`. Without any, GPT-2 as PyTorch's dynamo exports it goes wrong. The module is for the
    CPU that it is compiled for.

    Before opset 13 Softmax was another, which IREE does not take. It computes every Gelu by Erf, whatever its
    `approximate` says, so that the pipeline writes Gelu out; and it has no Attention.

    Args:
        cpu: that LLVM compiles for, by LLVM's name; what was compiled for one may not run on another.
        level: of IREE's optimisations. Above 0, IREE 3.13 refuses some models of open shapes that it compiles at 0;
            from 2 on a BERT-base too ("exceeded stack allocation limit"), and most of the models that it compiles
            take some 12 % longer.
    """

    name = "iree"
    package = "iree-base-compiler"
    versions = ">=3.13,<4"
    install = "pip install 'regraft[iree]'"
    pipeline = (
        "convert-opset{version=17,only=older,otherwise=keep},strip-training{unread-inputs=keep},strip-dropout,"
        "infer-shapes,normalize-conditions,"
        f"{FOLD},eliminate-identity,lower-attention,lower-gelu,simplify-mask,{FOLD},"
        "deduplicate-initializers,eliminate-common-subexpressions,eliminate-dead-code"
    )

    cpu: str = option("host", "CPU to compile for; host is the one at hand")
    level: Level = option("0", "how much IREE optimises")

    def pipeline_for(self, model: Model) -> Pipeline:
        """The pipeline; where shapes stay open, nothing is folded.

        A Reshape to open dimensions, which folding writes as 0, becomes code that is slower by 13 % in BERT.
        """
        pipeline = Pipeline(self.pipeline)
        return pipeline.without("fold-constants") if _is_open(model) and not self.sizes else pipeline


def _is_open(model: Model) -> bool:
    return any(not isinstance(dim, int) for tensor in model.graph.inputs for dim in tensor.shape or [None])
