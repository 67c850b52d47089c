"""`convert-fp16`: float16 where it is safe."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regraft.mixed_precision.half_pass import HalfPass
from regraft.pipelines.options import option
from regraft.verification.contract import precision


class ConvertFp16(HalfPass):
    """Compute in float16 what is safe there, with the fewest casts.

        x -> MatMul(w) -> Softmax -> MatMul(v)        before, all in float32
        Cast(x) -> MatMul(w₁₆) -> Cast -> Softmax -> Cast -> MatMul(v₁₆) -> Cast

    | mode | in float16 |
    |---|---|
    | full | all but what overflows or loses: normalizations, Softmax, powers, sums, constants beyond 65504 |
    | matmul | matrix products and convolutions, and what only moves their values |
    | attention | attention with its Softmax, and fully connected layers with bias and activation |

    Nodes that may be either, as those that add or move values, are decided together so that the fewest values are cast
    (a minimum cut), and of such choices by the one that rounds least. A value is cast once, a constant never: it is
    stored in the precision of its readers, and converted while it is saved. Bodies and local functions are lowered with
    what surrounds them. Masks that hide with -3.4e38 stay in float32, or are clipped where attention takes them.

    What feeds an angle (Sin, Cos), a rounding (Floor, a Cast to integers), a place (GridSample) or a comparison of
    counts keeps its digits, through any number of nodes, as does arithmetic on inputs that nothing has normalized yet,
    and what a loop adds up. What may be large, a square or the sum with a constant beyond 65504, is followed until a
    proven bound, a scale or a normalization ends it. Products between DequantizeLinear and QuantizeLinear stay as they
    are, and no Cast parts a product from its quantized weights. Notes say how many products stay in 32 bits, and why.

    With `io=fp16` inputs are cast on the host, but for those that float16 cannot hold. With `plan` the file decides,
    row by row.

    The contract is for outputs of size 1: a float16 rounds by 2⁻¹¹, and the 240 roundings of a 24-layer encoder add up
    as their square root, to 0.0076. Measured on exports of 2 layers: below 0.002 of the largest element.
    """

    name = "convert-fp16"
    contract = precision(1e-2, 1e-2, spread=1e-3)
    dtype = np.dtype(np.float16)
    io: Literal["keep", "fp16"] = option("keep", "dtype of the inputs and outputs that are floats")
