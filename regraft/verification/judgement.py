"""Whether an output is close enough to the original's: element by element, by the noise of the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from regraft.ir.weights import Array
from regraft.verification.contract import PEAK, Contract
from regraft.verification.deviation import OutputDeviation, cosine, machine_eps, root_mean_square, settled_by_form
from regraft.verification.noise import FACTOR, around, smoothed
from regraft.wording import count

RUNS = (1, 2, 3, 6, 12)
"""Moved runs that measure the noise: few first, more only where single elements are in doubt."""

_SURE = 10.0
"""The factor on the tolerance where the models agree in float64: then the difference is rounding, by a coarser
kernel."""

_AGREEING = 2.0**-34  # of the magnitudes: a thousandth of what float32 resolves
_HOPELESS = 30.0  # times the tolerance of several runs: more runs would not allow it


@dataclass(frozen=True)
class Evidence:
    """Measurements of an output of the original, each made on first use.

    Attributes:
        unit: the noise of each element, by so many runs; None where there is none.
        moves: where a value that is no float changed in one of so many runs of the original.
        blind: where the output has no meaning (see `unseeing`); None if it has one everywhere.
        apart: how far the models are from each other in float64; None if unknown.
        only_signs: whether the original gives zeros for all inputs, so that only their signs are information.
    """

    unit: Callable[[int], Array | None] = lambda runs: None
    moves: Callable[[int], Array | None] = lambda runs: None
    blind: Callable[[Array], Array | None] = lambda allowed: None
    apart: Callable[[], Array | None] = lambda: None
    only_signs: bool = False


def judge(name: str, before: Any, after: Any, contract: Contract, evidence: Evidence) -> OutputDeviation:
    """Compare `after` with `before`: arrays of one shape, and of one dtype unless the contract lowers it. An exact
    contract requires the same bits; NaNs must be at the same places. Others allow `FACTOR` times the noise, never less
    than that many half ulps of the value, plus the contract's bounds for approximations and precision.
    """
    settled = settled_by_form(name, before, after, not contract.lowers_dtype)
    if settled is not None:
        return settled
    before, after = np.asarray(before), np.asarray(after)
    if before.dtype == after.dtype != np.object_ and before.tobytes() == after.tobytes():
        return OutputDeviation(name)
    eps = machine_eps(before.dtype)
    if eps is None:
        return _judge_discrete(name, before, after, contract, evidence)
    wide: Any = np.complex128 if before.dtype.kind == "c" else np.float64
    wider, found = before.astype(wide), after.astype(wide)
    if contract.is_exact:
        return _judge_bits(name, wider, found)
    return _Floats(name, wider, found, contract, eps, _tiny(before.dtype), evidence).judge()


def _judge_bits(name: str, before: Array, after: Array) -> OutputDeviation:
    """Widening keeps every number, so that equal numbers with equal signs had equal bits."""
    same = (
        (before == after)
        & (np.signbit(before.real) == np.signbit(after.real))
        & (np.signbit(before.imag) == np.signbit(after.imag))
    )
    differs = ~(same | (np.isnan(before) & np.isnan(after)))
    if not differs.any():
        return OutputDeviation(name)
    worst = _worst(differs, _distance(before, after))
    where = tuple(map(int, np.unravel_index(worst, before.shape)))
    one, other = before.reshape(-1)[worst], after.reshape(-1)[worst]
    differing = int(np.count_nonzero(differs))
    reason = f"{differing:,} of {count(before.size, 'value')} differ, which an exact contract does not allow: "
    reason += f"{one:.9g} became {other:.9g}"
    return _drift(name, before, after, measured=float(_distance(one, other)), allowed=0.0, reason=reason, place=where)


def _judge_discrete(name: str, before: Array, after: Array, contract: Contract, evidence: Evidence) -> OutputDeviation:
    """Values that are no floats must be equal, except those that the original's own rounding changes too."""
    differs = np.asarray(before != after)
    if not differs.any():
        return OutputDeviation(name)
    if not contract.is_exact:
        moves = evidence.moves(RUNS[-1])
        if moves is not None and not (differs & ~moves).any():
            return OutputDeviation(name)
        blind = evidence.blind(np.zeros(before.shape))
        if blind is not None and not (differs & ~blind).any():
            return OutputDeviation(name, meaningless=int(np.count_nonzero(differs)))
    place = tuple(map(int, np.argwhere(differs)[0])) if before.ndim else ()
    reason = f"{np.count_nonzero(differs):,} of {count(before.size, f'{before.dtype} value')} differ: "
    return OutputDeviation.failure(name, f"{reason}{before[place]} became {after[place]}", place)


class _Floats:
    """One output of floats under a contract that allows them to move."""

    def __init__(
        self, name: str, before: Array, after: Array, contract: Contract, eps: float, tiny: float, evidence: Evidence
    ):
        self.name, self.before, self.after, self.contract = name, before, after, contract
        self.evidence, self.eps, self.tiny, self.meaningless = evidence, eps, tiny, 0
        self.difference = _distance(before, after)
        self.lost = np.isfinite(before) != np.isfinite(after)
        self.lost |= ~np.isfinite(before) & (before != after) & ~(np.isnan(before) & np.isnan(after))

    def judge(self) -> OutputDeviation:
        allowed = self._promised() + FACTOR * self._floor()
        failed = self._failed(allowed)
        for runs in RUNS:
            if not failed.any() and not self._rms_breaks(allowed, failed):
                break
            unit = self.evidence.unit(runs)
            if unit is None or unit.shape != self.before.shape:
                unit = np.zeros(self.before.shape)
            allowed = self._promised() + FACTOR * np.maximum(unit, self._floor())
            failed = self._failed(allowed)
            if runs == RUNS[1] and failed.any():
                self._set_apart(allowed)
                failed = self._failed(allowed)
            if runs > RUNS[0] and failed.any() and self._is_hopeless(allowed, failed, unit):
                break
        if failed.any() and not self.contract.spread:
            allowed = np.where(self._is_rounding(), _SURE * allowed, allowed)
            failed = self._failed(allowed)
        return self._verdict(allowed, failed)

    def _is_hopeless(self, allowed: Array, failed: Array, unit: Array) -> bool:
        """Whether further runs could not turn the failure into a pass."""
        reachable = np.maximum(allowed, FACTOR * around(unit))
        return bool((self.difference > _HOPELESS * reachable)[failed].any())

    def _is_rounding(self) -> Array | bool:
        """Where the models agree in float64."""
        apart = self.evidence.apart()
        magnitude = _magnitude(self.before)
        if apart is None or apart.shape != magnitude.shape:
            return False
        return np.asarray(apart <= _AGREEING * (magnitude + smoothed(magnitude)))

    def _set_apart(self, allowed: Array) -> None:
        """Leave out elements without meaning. A number must stay a number there too: a NaN would spread to sums."""
        blind = self.evidence.blind(allowed)
        if blind is None or blind.shape != self.before.shape:
            return
        apart = blind & ~(np.isfinite(self.before) & ~np.isfinite(self.after))
        self.meaningless = int(np.count_nonzero(apart & self._failed(allowed)))
        self.after = np.where(apart, self.before, self.after)
        self.difference, self.lost = np.where(apart, 0.0, self.difference), self.lost & ~apart

    def _failed(self, allowed: Array) -> Array:
        return np.asarray(self.lost | (np.isfinite(self.difference) & (self.difference > allowed)) | self._signs())

    def _signs(self) -> Array | bool:
        """Where an output of zeros only has another sign."""
        return self.evidence.only_signs and np.signbit(self.before.real) != np.signbit(self.after.real)

    def _promised(self) -> Array:
        """The contract's tolerance beside rounding: for a lower dtype, for an approximation."""
        one = self.contract
        magnitude = _magnitude(self.before)
        promised = one.atol + one.rtol * magnitude + one.bound
        if one.spread:
            promised = promised + PEAK * one.spread * (magnitude + smoothed(magnitude))
        return np.asarray(promised)

    def _floor(self) -> Array:
        return _magnitude(self.before) * (self.eps / 2) + self.tiny / FACTOR

    def _rms_breaks(self, allowed: Array, failed: Array) -> bool:
        """Whether an approximation, whose error may peak at a few values, peaks at too many."""
        one = self.contract
        if not one.spread:
            return False
        kept = np.isfinite(self.difference) & ~failed
        rest = allowed - (PEAK - 1) * one.spread * (_magnitude(self.before) + smoothed(_magnitude(self.before)))
        return bool(kept.any() and root_mean_square(self.difference[kept]) > root_mean_square(rest[kept]))

    def _verdict(self, allowed: Array, failed: Array) -> OutputDeviation:
        if not self.difference.size:
            return OutputDeviation(self.name)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.nan_to_num(self.difference / allowed, nan=0.0, posinf=0.0)
        worst = (
            int(np.argmax(np.where(failed, share + np.max(share) + 1, share)))
            if failed.any()
            else int(np.argmax(share))
        )
        place = tuple(map(int, np.unravel_index(worst, self.before.shape)))
        measured, limit = float(self.difference.reshape(-1)[worst]), float(allowed.reshape(-1)[worst])
        reason = ""
        broken, lost = int(np.count_nonzero(failed)), int(np.count_nonzero(failed & self.lost))
        if lost:
            place = tuple(map(int, np.argwhere(failed & self.lost)[0])) if self.before.ndim else ()
            reason = f"{lost:,} of {count(self.before.size, 'value')} changed to or from NaN or infinity"
            return OutputDeviation.failure(self.name, reason, place)
        if broken:
            reason = f"{broken:,} of {count(self.before.size, 'value')} differ too much: {measured:.3g} at the worst, "
            reason += f"{limit:.3g} allowed"
        elif self._rms_breaks(allowed, failed):
            reason = "the values differ too much, in root mean square"
        return _drift(
            self.name,
            self.before,
            self.after,
            measured=measured,
            allowed=limit,
            reason=reason,
            place=place,
            meaningless=self.meaningless,
        )


def _tiny(dtype: np.dtype[Any]) -> float:
    """The magnitude below which a value may become zero: kernels differ in whether they keep subnormal numbers."""
    info = ml_dtypes.finfo(dtype)
    return float(info.smallest_normal if dtype.name in ("float32", "float64") else info.smallest_subnormal)


def _drift(name: str, before: Array, after: Array, **found: Any) -> OutputDeviation:
    difference, magnitude = _distance(before, after), _magnitude(before)
    kept = np.isfinite(difference)
    difference, magnitude = difference[kept], magnitude[kept]
    if not difference.size:
        return OutputDeviation(name, **found)
    nonzero = magnitude > 0
    return OutputDeviation(
        name,
        max_abs=float(difference.max()),
        rms=root_mean_square(difference),
        max_rel=float(np.max(difference[nonzero] / magnitude[nonzero], initial=0.0)),
        cosine=cosine(before[kept], after[kept]),
        **found,
    )


def _distance(before: Array, after: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.abs(after - before)


def _magnitude(values: Array) -> Array:
    return np.nan_to_num(np.abs(values), nan=0.0, posinf=0.0)


def _worst(chosen: Array, distance: Array) -> int:
    return int(np.argmax(np.where(chosen, np.nan_to_num(distance, nan=np.inf) + 1, 0)))
