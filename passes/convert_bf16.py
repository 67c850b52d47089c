"""`convert-bf16`: bfloat16 where it is safe."""

from __future__ import annotations

from typing import Literal

import ml_dtypes
import numpy as np

from regraft.mixed_precision.half_pass import HalfPass
from regraft.pipelines.options import option
from regraft.verification.contract import precision


class ConvertBf16(HalfPass):
    """Compute in bfloat16 what is safe there, with the fewest casts.

        x -> MatMul(w) -> Softmax -> MatMul(v)        before, all in float32
        Cast(x) -> MatMul(w₁₆) -> Cast -> Softmax -> Cast -> MatMul(v₁₆) -> Cast

    As `convert-fp16`. The range is that of float32, so nothing overflows; but a value has 8 digits, not 11, and rounds
    by 2⁻⁸: the 240 roundings of a 24-layer encoder add up to 0.06 of outputs of size 1, which the contract follows.

    ONNX has bfloat16 for most operators from opset 13 on, for none before, where the pass refuses. ONNX Runtime has no
    kernels for it on a CPU, where the result can be written but not verified.
    """

    name = "convert-bf16"
    contract = precision(8e-2, 8e-2, spread=8e-3)
    dtype = np.dtype(ml_dtypes.bfloat16)
    io: Literal["keep", "bf16"] = option("keep", "dtype of the inputs and outputs that are floats")
