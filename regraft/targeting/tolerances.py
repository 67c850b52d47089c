"""How far a device's outputs may lie from the original's, as numbers that a script can apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from regraft.verification.contract import PEAK, SINGLE_EPS, Contract

Precision = Literal["fp32", "fp16", "bf16"]

SHARES: Mapping[Precision, float] = {"fp32": 1024 * SINGLE_EPS, "fp16": 2e-2, "bf16": 1.6e-1}
"""Of a value and of its tensor's typical magnitude, what arithmetic in that precision may be off by: in 32 bits what
compilers are held to, in half precision twice what `convert-fp16` and `convert-bf16` promise, since devices also
accumulate in half precision."""


def tolerances(
    outputs: Mapping[str, Any], contract: Contract, precision: Precision = "fp32"
) -> dict[str, dict[str, float]]:
    """Of each output `atol` and `rtol`: a value `y` may be off by `atol + rtol * |y|`. Zero for what is no float.

    `atol` follows the typical magnitude of the output, so that small outputs are held as closely as large ones.

    Args:
        outputs: of the original model.
        contract: of the pipeline that made the device's model.
    """
    share = SHARES[precision] + contract.ulps * SINGLE_EPS + PEAK * contract.spread
    return {name: _tolerance(np.asarray(value), share, contract.bound) for name, value in outputs.items()}


def _tolerance(value: np.ndarray, share: float, bound: float) -> dict[str, float]:
    if value.dtype.kind in "biuO":
        return {"atol": 0.0, "rtol": 0.0}
    magnitude = np.abs(value[np.isfinite(value) & (value != 0)].astype(np.float64))
    scale = float(np.median(magnitude)) if magnitude.size else 1.0
    return {"atol": bound + share * scale, "rtol": share}
