"""Inputs that tell what a rule makes from what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Difference:
    """Inputs that tell what a rule makes from what it takes.

    Attributes:
        after: None where the result does not run.
        reason: the two in words, at the first place.
    """

    inputs: dict[str, Array]
    before: Array | None
    after: Array | None
    reason: str
    dtype: str
    opset: int

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {_shown(value)}" for name, value in self.inputs.items())
        kind = "" if self.dtype in ("float64", "float32") else f" ({self.dtype})"
        return f"{given}{kind}: {self.reason}" if given else self.reason


def _shown(value: Array) -> str:
    if value.size > 8:
        return f"a tensor of shape {list(value.shape)}"
    return np.array2string(value, precision=6, separator=", ").replace("\n", "")
