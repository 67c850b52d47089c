"""MNN, for the CPU."""

from __future__ import annotations

from regraft.targeting.compiler import Compiler


class Mnn(Compiler):
    """MNN, for the CPU, in float32.

    MNN has no IsNaN, with which exports by PyTorch guard the Softmax of attention: a row of scores that is minus
    infinity throughout makes NaN, which they turn into zeros. The pipeline takes the guard out, as if no mask hid a
    whole row. Where one does, MNN 3.6 gives zeros all the same; who runs the rewritten model elsewhere gets NaN.

    Gelu is computed by Erf: what the converter takes in its place, if it may, is off by up to 2e-3.
    """

    name = "mnn"
    package = "mnn"
    versions = ">=3.6,<4"
    install = "pip install 'regraft[mnn]'"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
        "simplify-gather,simplify-mask{assume-no-empty-rows=true},fold-constants,deduplicate-initializers,"
        "eliminate-common-subexpressions,eliminate-dead-code"
    )
