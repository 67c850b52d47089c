"""What a proof comes to, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Outcome = Literal["proved", "within", "refused", "out of reach"]


@dataclass(frozen=True, eq=False)
class Counterexample:
    """Inputs for which two terms differ.

    Attributes:
        inputs: by name; floats are in double precision.
        before, after: what the two terms give.
    """

    inputs: dict[str, Any]
    before: np.ndarray[Any, Any]
    after: np.ndarray[Any, Any]

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {_shown(value)}" for name, value in self.inputs.items())
        if self.before.shape != self.after.shape:
            return f"{given}: shape {list(self.before.shape)} before, {list(self.after.shape)} after"
        if _is_logical(self.before) != _is_logical(self.after):
            return f"{given}: {self.before.dtype} before, {self.after.dtype} after"
        place = tuple(int(i) for i in np.argwhere(differs(self.before, self.after))[0])
        here = f" at {list(place)}" if place else ""
        return f"{given}: {self.before[place]:.6g} before, {self.after[place]:.6g} after{here}"


def differs(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where the second is another number than the first, or of another shape or kind.

    Where the first is no number, anything will do.
    """
    if before.shape != after.shape or _is_logical(before) != _is_logical(after):
        return np.ones(1, np.bool_)
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    scale = np.maximum(1.0, np.abs(a[np.isfinite(a)]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        found: np.ndarray[Any, Any] = np.isfinite(a) & ~(np.abs(a - b) <= TOLERANCE * scale)
    return found


TOLERANCE = 1e-9
"""Of double precision; what differs by less may be rounding."""
FEW = 4
"""Tensors with more elements are shown by their shape."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is known of a rewrite over the reals, for all sizes.

    Attributes:
        outcome: proved; within `bound`; refused, as it is wrong; or out of reach of the prover.
        reason: why it is not proved.
        bound: of a rewrite that is within: the largest difference, proved.
        counterexample: of a refused rewrite, where a wrong number shows that.
    """

    outcome: Outcome
    reason: str = ""
    bound: float | None = None
    counterexample: Counterexample | None = None


def _is_logical(values: np.ndarray[Any, Any]) -> bool:
    return values.dtype.kind == "b"


def _shown(value: Any) -> str:
    array = np.asarray(value)
    if array.size > FEW:
        return f"a tensor of shape {list(array.shape)}"
    return np.array2string(array, precision=4, separator=", ").replace("\n", "")
