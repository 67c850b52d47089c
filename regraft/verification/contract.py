"""Contracts: what a pass promises about the outputs, and how the promise is checked on numbers.

Where both models can run, `judgement` compares their difference with the rounding noise of the original. For arrays
alone, of another runtime or a compiler, the tolerance of one value `y` in an output of typical magnitude `s` is

    atol + rtol * |y| + bound + (ulps * eps + PEAK * spread) * (|y| + s)

`eps` is the machine epsilon of the output's dtype. Adding `s`, the median of the non-zero magnitudes, makes the
check normwise for small values, which hold the rounding of the larger ones that they were computed from, and leaves it
relative for large ones; the median is not moved by the huge values of an attention mask. The same formula at the root
mean square of `y`, without PEAK, bounds the root mean square of the differences.

A promise is about one rewritten place. The rest of the network lies between a place and the outputs, and a model has
many such places. `through(n)` gives the tolerance from end to end: it assumes that errors of n places are independent,
so they grow as sqrt(n) (Higham & Mary, 2019), and that the layers after a place amplify its error by at most `GAIN`;
the `bound` of an approximation, which is absolute, becomes a `spread` relative to the output. This allows, in 32-bit
floats:

- reassociation: 7.6e-6 for one place, 1.2e-4 for the 240 of a 24-layer encoder. Exporters customarily accept 1e-5 to
  1e-4; ONNX Runtime's own fusions moved sentence encoders of 3 and 6 layers by 2e-6 and 1e-5.
- tanh GELU, 4.73e-4 a unit: 0.33 % for 3 layers, 0.46 % for 6, 0.93 % for 24, in root mean square. Those encoders
  drifted by 0.08 % and 0.14 %; with the sigmoid GELU, 2.03e-2 a unit, by 5.1 % of 14 % and 6.3 % of 20 %.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce
from math import sqrt
from typing import Any, Literal

import numpy as np

from regraft.errors import ModelError
from regraft.verification.deviation import Deviation, OutputDeviation, leaves, measure

GAIN = 4.0
PEAK = 10.0
"""Of an error that spreads over a tensor, the largest: 5 standard deviations, where `s` is half of one of `y`."""
ROUNDING = 16.0
"""Ulps of one reassociated place: a sum of 1,024 terms rounds to about sqrt(1024) half-ulps."""

HALF_ROUNDING = 4.0
"""Ulps that half precision is always allowed: ONNX Runtime's CPU kernels compute it in float32 and round where a value
leaves a run of nodes, so that the same operators round at other places when a node between them is removed."""
SINGLE_EPS = 2.0**-23


Assumption = Literal["each query sees a key", "integers fit 32 bits", "what the mask hides means nothing"]
HIDDEN: Assumption = "what the mask hides means nothing"
"""About padding: a contract with this assumption promises nothing about outputs there."""


@dataclass(frozen=True)
class Contract:
    """What a pass promises. Fields are the terms of the tolerance above; all zero means equality."""

    name: str
    meaning: str
    ulps: float = 0.0
    bound: float = 0.0
    spread: float = 0.0
    rtol: float = 0.0
    atol: float = 0.0
    changes_interface: bool = False
    lowers_dtype: bool = False
    assumes: tuple[str, ...] = ()

    def assuming(self, what: Assumption) -> Contract:
        """The contract on inputs for which `what` is true; it promises nothing for others."""
        return replace(self, assumes=(*self.assumes, what))

    @property
    def is_exact(self) -> bool:
        """Whether it promises the same bits."""
        return not (self.ulps or self.bound or self.spread or self.rtol or self.atol)

    @property
    def is_rounding(self) -> bool:
        """Whether only rounding may differ."""
        return bool(self.ulps) and not (self.bound or self.spread or self.rtol or self.atol)

    def through(self, places: int) -> Contract:
        """The contract from end to end of a network in which `places` places were rewritten."""
        growth = GAIN * sqrt(max(places, 1))
        return replace(self, ulps=self.ulps * growth, spread=self.spread + self.bound * growth)

    def __add__(self, other: Contract) -> Contract:
        """The contract of two passes in a row: tolerances add up."""
        name = self.name if other.name in self.name.split("+") else f"{self.name}+{other.name}"
        return Contract(
            name="+".join(part for part in name.split("+") if part != "exact") or "exact",
            meaning=self.meaning if self.meaning == other.meaning else f"{self.meaning}; {other.meaning}",
            ulps=self.ulps + other.ulps,
            bound=self.bound + other.bound,
            spread=self.spread + other.spread,
            rtol=self.rtol + other.rtol,
            atol=self.atol + other.atol,
            changes_interface=self.changes_interface or other.changes_interface,
            lowers_dtype=self.lowers_dtype or other.lowers_dtype,
            assumes=tuple(dict.fromkeys((*self.assumes, *other.assumes))),
        )

    def check(
        self, before: Mapping[str, Any], after: Mapping[str, Any], *, computed_in: np.dtype | None = None
    ) -> Deviation:
        """Compare outputs by name.

        Values are arrays, or lists and maps of arrays; NaN equals NaN. Shapes must agree, and dtypes unless
        the contract lowers them. Values other than floats must be equal. An output that one side lacks fails,
        unless the contract changes the interface. `computed_in` is the coarsest float dtype inside the
        model, where it is coarser than the outputs'.
        """
        old, new = dict(leaves(before)), dict(leaves(after))
        same_dtype = not self.lowers_dtype
        drifts = [
            measure(name, old[name], new[name], self, same_dtype=same_dtype, computed_in=computed_in)
            for name in old
            if name in new
        ]
        removed = tuple(name for name in old if name not in new)
        added = tuple(name for name in new if name not in old)
        if not self.changes_interface:
            drifts += [OutputDeviation.failure(name, "the output is gone") for name in removed]
            drifts += [OutputDeviation.failure(name, "the output is new") for name in added]
        return Deviation(self.name, tuple(drifts), added=added, removed=removed)

    def value(self, magnitude: Any, scale: float, eps: float, peak: float = PEAK) -> Any:
        """The allowed difference of values of some magnitude in a tensor whose typical magnitude is `scale`."""
        ulps = max(self.ulps, HALF_ROUNDING) if eps > SINGLE_EPS else self.ulps
        share = ulps * eps + peak * self.spread
        return self.atol + self.rtol * magnitude + self.bound + share * (magnitude + scale)

    def tensor(self, rms: float, scale: float, eps: float) -> float:
        """The allowed root mean square of the differences in a tensor."""
        return float(self.value(rms, scale, eps, peak=1.0))

    def __str__(self) -> str:
        return self.name


exact = Contract("exact", "same values out")
interface = Contract("interface", "inputs or outputs change; the others stay", ulps=ROUNDING, changes_interface=True)
reassociation = Contract("reassociation", f"same function, other rounding: {ROUNDING:g} ulps a place", ulps=ROUNDING)


def approximation(bound: float) -> Contract:
    """Another function, at most `bound` (absolute) away from the first in each place."""
    return Contract(f"approximation({bound:g})", f"within {bound:g} a place", ulps=ROUNDING, bound=bound)


def precision(rtol: float, atol: float, spread: float = 0.0) -> Contract:
    """A lower dtype: outputs within `atol + rtol * |value|`, end to end.

    A value near zero holds the rounding of the larger ones beside it: it may be off by `spread` times their magnitude
    in root mean square, and by at most `PEAK` times that.
    """
    name = f"precision({rtol:g}, {atol:g})"
    told = f"lower dtype: within {atol:g} + {rtol:g} |y|"
    return Contract(name, told, rtol=rtol, atol=atol, spread=spread, lowers_dtype=True)


def combine(contracts: Iterable[Contract]) -> Contract:
    """The contract of passes in a row."""
    return reduce(Contract.__add__, contracts, exact)


PROMISED = "regraft.contracts"
"""The metadata key of the contracts of each run of passes."""


def promise(metadata: dict[str, str], contract: Contract) -> None:
    """Append the contract of a run to a model's metadata."""
    metadata[PROMISED] = json.dumps([*_promises(metadata), asdict(contract)], separators=(",", ":"))


def recorded(before: Mapping[str, str], after: Mapping[str, str]) -> Contract | None:
    """The contract of the runs between two models, by their metadata; None where the metadata do not have it.

    Raises:
        ModelError: the metadata are damaged.
    """
    old, new = _promises(before), _promises(after)
    if len(new) <= len(old) or new[: len(old)] != old:
        return None
    try:
        return combine(Contract(**said) for said in new[len(old) :])
    except TypeError as error:
        raise ModelError(f"the metadata {PROMISED} are damaged: {error}; remove them") from error


def _promises(metadata: Mapping[str, str]) -> list[dict[str, Any]]:
    try:
        said = json.loads(metadata.get(PROMISED, "[]"))
    except ValueError as error:
        raise ModelError(f"the metadata {PROMISED} are damaged: {error}; remove them") from error
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise ModelError(f"the metadata {PROMISED} are damaged: no list of contracts; remove them")
    return said
