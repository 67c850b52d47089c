"""TVM: Relax, for the CPU."""

from __future__ import annotations

from regraft.pipelines.options import option
from regraft.targeting.compiler import Compiler


class Tvm(Compiler):
    """TVM's Relax compiler, for the CPU.

    Kernels are as TVM writes them without tuning: what it accepts and what it fuses shows here, not how fast it can be.

    Args:
        cpu: that LLVM compiles for, by LLVM's name; what was compiled for one may not run on another.
    """

    name = "tvm"
    package = "apache-tvm"
    versions = ">=0.27,<0.28"
    install = "pip install 'regraft[tvm]'"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
        "lower-attention,lower-one-hot,simplify-gather,simplify-mask,fold-constants,deduplicate-initializers,"
        "eliminate-common-subexpressions,eliminate-dead-code"
    )

    cpu: str = option("host", "CPU to compile for; host is the one at hand")
