"""`convert-fp16`."""

from __future__ import annotations

from typing import Literal

import numpy as np

from regraft.pipelines.options import option
from regraft.precision.half_pass import HalfPass
from regraft.verification.contract import Contract, precision


class ConvertFp16(HalfPass):
    """Compute in float16 what is safe there, with the fewest casts."""

    name = "convert-fp16"
    dtype = np.dtype(np.float16)
    io: Literal["keep", "fp16"] = option("keep", "dtype of the inputs and outputs that are floats")

    @property
    def contract(self) -> Contract:
        return precision(1e-2, 1e-2)

    @property
    def lowers_ends(self) -> bool:
        return self.io == "fp16"
