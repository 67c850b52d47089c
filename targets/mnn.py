"""MNN, for the CPU."""

from __future__ import annotations

from regraft.targeting.compiler import Compiler


class Mnn(Compiler):
    """MNN, for the CPU, in float32.

    MNN has no IsNaN, with which exports by PyTorch guard the Softmax of attention: a row of scores that is minus
    infinity throughout makes NaN, which they turn into zeros. The pipeline takes the guard out, as if no mask hid a
    whole row. Where one does, MNN 3.6 gives zeros all the same; who runs the rewritten model elsewhere gets NaN.

    The operator Gelu is computed by Tanh whatever it says, off by 4.7e-4; written out, the converter finds it, and is
    told not to approximate it.
    """

    name = "mnn"
    package = "mnn"
    versions = ">=3.6,<4"
    install = "pip install 'regraft[mnn]'"
    pipeline = (
        "strip-training{unread-inputs=keep},strip-dropout,infer-shapes,fold-constants,eliminate-identity,"
        "lower-attention,lower-one-hot,simplify-gather,simplify-mask{assume-no-empty-rows=true},lower-gelu,fold-constants,"
        "deduplicate-initializers,eliminate-common-subexpressions,eliminate-dead-code"
    )
