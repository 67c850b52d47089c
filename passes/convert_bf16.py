"""`convert-bf16`."""

from __future__ import annotations

from typing import Literal

import ml_dtypes
import numpy as np

from regraft.pipelines.options import option
from regraft.precision.half_pass import HalfPass
from regraft.verification.contract import Contract, precision


class ConvertBf16(HalfPass):
    """Compute in bfloat16 what is safe there, with the fewest casts."""

    name = "convert-bf16"
    dtype = np.dtype(ml_dtypes.bfloat16)
    io: Literal["keep", "bf16"] = option("keep", "dtype of the inputs and outputs that are floats")

    @property
    def contract(self) -> Contract:
        return precision(5e-2, 5e-2)

    @property
    def lowers_ends(self) -> bool:
        return self.io == "bf16"
