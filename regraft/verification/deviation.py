"""Deviation: how far the outputs of a rewritten model are from the original's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from regraft.wording import count


class Tolerance(Protocol):
    """The allowed difference."""

    def value(self, magnitude: np.ndarray, scale: float, eps: float) -> np.ndarray:
        """Of each value, from its magnitude, the tensor's typical magnitude and its machine epsilon."""

    def tensor(self, rms: float, scale: float, eps: float) -> float:
        """Of the tensor as a whole, in root mean square."""


@dataclass(frozen=True)
class OutputDeviation:
    """The drift of one output.

    Attributes:
        max_abs: largest absolute difference.
        rms: root mean square of the differences.
        max_rel: largest difference relative to the value, over the values that are not zero.
        cosine: cosine similarity of the two tensors; 1 when both are zero.
        ulps: largest difference in units of eps * (the value's magnitude + the tensor's typical magnitude).
        measured, allowed: the difference and its tolerance at the value with the largest ratio of both.
        place: the indices of that value; empty for a scalar, or where nothing differs.
        reason: why the output failed; empty when it passed.
        meaningless: how many values differ where the output has no meaning, which are not judged.
        trial: the name of the inputs.
        values: how many were compared, on all inputs.
    """

    name: str
    max_abs: float = 0.0
    rms: float = 0.0
    max_rel: float = 0.0
    cosine: float = 1.0
    ulps: float = 0.0
    measured: float = 0.0
    allowed: float = 0.0
    reason: str = ""
    place: tuple[int, ...] = ()
    meaningless: int = 0
    trial: int = 0
    values: int = 0

    @classmethod
    def failure(cls, name: str, reason: str, place: tuple[int, ...] = ()) -> OutputDeviation:
        """An output that cannot be compared by value."""
        infinite = float("inf")
        return cls(name, infinite, infinite, infinite, 0.0, infinite, infinite, 0.0, reason, place)

    @property
    def passed(self) -> bool:
        return not self.reason

    @property
    def share(self) -> float:
        """The difference as a share of the tolerance."""
        return self.measured / self.allowed if self.allowed else self.measured

    def worse(self, other: OutputDeviation) -> OutputDeviation:
        """The one with the larger ratio of difference to tolerance, with the largest differences of both."""
        return replace(
            max((self, other), key=lambda drift: (bool(drift.reason), drift.share)),
            max_abs=max(self.max_abs, other.max_abs),
            rms=max(self.rms, other.rms),
            max_rel=max(self.max_rel, other.max_rel),
            cosine=min(self.cosine, other.cosine),
            meaningless=self.meaningless + other.meaningless,
            values=self.values + other.values,
        )

    def __str__(self) -> str:
        if self.reason:
            return f"{self.name}: {self.reason}"
        return f"{self.name}: max abs {self.max_abs:.3g}, max rel {self.max_rel:.3g}, cosine {self.cosine:.9f}"


@dataclass(frozen=True)
class Deviation:
    """The drift of every output that both sides have, and the outputs that only one has.

    Attributes:
        trials: sets of inputs.
        warning: what is wrong although the outputs are right; empty if nothing is.
    """

    contract: str
    outputs: tuple[OutputDeviation, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    trials: int = 1
    warning: str = ""

    @property
    def passed(self) -> bool:
        return all(output.passed for output in self.outputs)

    @property
    def compared(self) -> bool:
        """Whether a value was compared, not shapes alone."""
        return any(output.values for output in self.outputs)

    @property
    def failures(self) -> list[OutputDeviation]:
        return [output for output in self.outputs if not output.passed]

    @property
    def verdict(self) -> str:
        """One line: the first failure, or the largest difference and its tolerance."""
        if self.failures:
            return str(self.failures[0])
        if not self.outputs:
            return "nothing was compared"
        worst = max(self.outputs, key=lambda one: one.share)
        moved = "no difference"
        if self.max_abs:
            moved = f"largest difference {self.max_abs:.3g}; nearest to its limit {worst.measured:.3g}, "
            moved += f"{worst.allowed:.3g} allowed"
        unjudged = sum(one.meaningless for one in self.outputs)
        apart = (
            f"; {count(unjudged, 'value')} of padding, or where a query sees no key, differ and mean nothing"
            if unjudged
            else ""
        )
        return f"{moved}{apart}"

    def worse(self, other: Deviation) -> Deviation:
        """Two comparisons in one: for every output the one with the larger ratio of difference to tolerance."""
        outputs = {one.name: one for one in self.outputs}
        for one in other.outputs:
            outputs[one.name] = outputs[one.name].worse(one) if one.name in outputs else one
        added, removed = ({*self.added, *other.added}, {*self.removed, *other.removed})
        contract = "+".join(dict.fromkeys([*self.contract.split("+"), *other.contract.split("+")]))
        trials, warning = max(self.trials, other.trials), self.warning or other.warning
        return Deviation(contract, tuple(outputs.values()), tuple(added), tuple(removed), trials, warning)

    def with_failure(self, name: str, reason: str) -> Deviation:
        """The same with one more failure, named `name`."""
        return replace(self, outputs=(*self.outputs, OutputDeviation.failure(name, reason)))

    @property
    def max_abs(self) -> float:
        return max((output.max_abs for output in self.outputs), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        outputs = [asdict(output) | {"passed": output.passed} for output in self.outputs]
        interface = {"added": list(self.added), "removed": list(self.removed)}
        said = {"contract": self.contract, "passed": self.passed, "trials": self.trials, "outputs": outputs}
        return said | interface

    def __str__(self) -> str:
        return "; ".join(map(str, self.failures or self.outputs)) or "no output in common"


def to_json(value: Any) -> str:
    """`value` as JSON, which has no infinity and no NaN: they become text."""
    return json.dumps(_finite(value), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The arrays in outputs that may be sequences or maps, each with a name such as `boxes[2]`."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves({f"{name}[{key!r}]": item for key, item in value.items()})
        elif isinstance(value, list | tuple):
            yield f"{name}.length", np.int64(len(value))
            yield from leaves({f"{name}[{i}]": item for i, item in enumerate(value)})
        else:
            yield name, value


def measure(
    name: str, before: Any, after: Any, tolerance: Tolerance, *, same_dtype: bool = True, computed_in: Any = None
) -> OutputDeviation:
    """Compare one output.

    Args:
        before, after: arrays of any dtype and shape, or None for an absent optional value.
        tolerance: the allowed difference.
        same_dtype: whether a change of dtype fails.
        computed_in: a float dtype coarser than the output's, whose machine epsilon counts.
    """
    settled = settled_by_form(name, before, after, same_dtype)
    if settled is not None:
        return settled
    before, after = np.asarray(before), np.asarray(after)
    eps = machine_eps(before.dtype)
    if eps is None:
        return _measure_equality(name, before, after)
    if computed_in is not None:
        eps = max(eps, machine_eps(np.dtype(computed_in)) or 0.0)
    wide = np.complex128 if before.dtype.kind == "c" else np.float64
    return _measure_floats(name, before.astype(wide), after.astype(wide), tolerance, eps)


def settled_by_form(name: str, before: Any, after: Any, same_dtype: bool) -> OutputDeviation | None:
    """The result if values need not be compared: one is absent, or has another shape or dtype; None otherwise."""
    if before is None or after is None:
        same = before is None and after is None
        return OutputDeviation(name) if same else OutputDeviation.failure(name, "one side has no value")
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape:
        return OutputDeviation.failure(name, f"shape {list(before.shape)} became {list(after.shape)}")
    if before.dtype != after.dtype and (
        same_dtype or machine_eps(before.dtype) is None or machine_eps(after.dtype) is None
    ):
        return OutputDeviation.failure(name, f"dtype {before.dtype} became {after.dtype}")
    return None


def _measure_equality(name: str, before: np.ndarray, after: np.ndarray) -> OutputDeviation:
    differing = np.asarray(before != after)
    if not differing.any():
        return OutputDeviation(name)
    reason = f"{np.count_nonzero(differing):,} of {count(before.size, f'{before.dtype} value')} differ"
    return OutputDeviation.failure(name, reason, _place(differing, 0))


def _measure_floats(
    name: str, before: np.ndarray, after: np.ndarray, tolerance: Tolerance, eps: float
) -> OutputDeviation:
    finite = np.isfinite(before) & np.isfinite(after)
    lost = ~finite & (before != after) & ~(np.isnan(before) & np.isnan(after))
    if lost.any():
        reason = f"{np.count_nonzero(lost):,} of {count(before.size, 'value')} changed to or from NaN or infinity"
        return OutputDeviation.failure(name, reason, _place(lost, 0))
    before, after = before[finite], after[finite]
    if not before.size or np.array_equal(before, after):
        return OutputDeviation(name)
    difference, magnitude = np.abs(after - before), np.abs(before)
    nonzero = magnitude > 0
    scale = float(np.median(magnitude[nonzero])) if nonzero.any() else 1.0
    allowed = tolerance.value(magnitude, scale, eps)
    worst = int(np.argmax(difference - allowed))
    broken = int(np.count_nonzero(difference > allowed))
    rms, allowed_rms = root_mean_square(difference), tolerance.tensor(root_mean_square(magnitude), scale, eps)
    reason = ""
    if broken:
        reason = (
            f"{broken:,} of {count(before.size, 'value')} differ too much: {difference[worst]:.3g} at the worst, "
            f"{allowed[worst]:.3g} allowed"
        )
    elif rms > allowed_rms:
        reason = f"the values differ too much: {rms:.3g} in root mean square, {allowed_rms:.3g} allowed"
    return OutputDeviation(
        name,
        max_abs=float(np.max(difference)),
        rms=rms,
        max_rel=float(np.max(difference[nonzero] / magnitude[nonzero], initial=0.0)),
        cosine=cosine(before, after),
        ulps=float(np.max(difference / (eps * (magnitude + scale)))),
        measured=float(difference[worst]),
        allowed=float(allowed[worst]),
        reason=reason,
        place=_place(finite, worst),
    )


def root_mean_square(values: np.ndarray) -> float:
    """Of all elements; there must be one."""
    return float(np.sqrt(np.mean(np.square(values))))


def _place(chosen: np.ndarray, n: int) -> tuple[int, ...]:
    """The indices of element number `n` among those that are `chosen`."""
    return tuple(map(int, np.unravel_index(np.flatnonzero(chosen)[n], chosen.shape)))


def cosine(before: np.ndarray, after: np.ndarray) -> float:
    """Cosine similarity of two tensors; 1 when both are zero, 0 when one is."""
    squares = [_product(values, values) for values in (before, after)]
    if not all(map(_is_ordinary, squares)):
        peak = max(np.abs(before).max(), np.abs(after).max())
        if not peak:
            return 1.0
        before, after = before / peak, after / peak
        squares = [_product(values, values) for values in (before, after)]
    norms = math.sqrt(squares[0]) * math.sqrt(squares[1])
    return _product(before, after) / norms if norms else 0.0


def _product(one: np.ndarray, other: np.ndarray) -> float:
    """The inner product, without the threads that BLAS would start for it."""
    return float(np.sum(one.conj() * other).real)


def _is_ordinary(square: float) -> bool:
    """Whether a sum of squares neither overflowed nor underflowed."""
    return 1e-200 < square < 1e200


def machine_eps(dtype: np.dtype) -> float | None:
    """Machine epsilon of a float or complex dtype, those of ml_dtypes included; None for the others."""
    try:
        return float(ml_dtypes.finfo(dtype).eps)
    except ValueError:
        return None
