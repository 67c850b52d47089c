"""Whether the result of a rule is what its contract allows.

In double precision rounding is no excuse: what may differ is what the contract allows one place in single precision. In
the dtype of the model itself only what is lost is wrong: more than the contract from end to end, half of the digits of
the largest number around, and many times what the original is off itself, or moves when its inputs move by a few ulps.
Whole numbers are the same, but where the result of the original is beyond what its dtype holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.testing.runner import Runner
from regraft.verification.contract import Contract
from regraft.verification.deviation import machine_eps, settled_by_form

Array = np.ndarray[Any, Any]
Inputs = Mapping[str, Array]

_SINGLE = 2.0**-23
_NOTHING = 1e-10
"""Of numbers that are so much smaller than the inputs kernels keep no digits."""
_WHOLE = 2**53
"""Beyond this ONNX Runtime's Pow keeps not every digit of whole numbers."""
_AS_MUCH = 30
"""Times what the original is off by itself."""


class Judge:
    """Compares two models that run.

    Args:
        double: the original in double precision, where there is one.
        wide: the dtypes that it takes.
    """

    def __init__(
        self,
        before: Runner,
        after: Runner,
        contract: Contract,
        double: Runner | None = None,
        wide: Mapping[str, np.dtype[Any]] | None = None,
    ):
        self.before, self.after, self.contract = before, after, contract
        self.double, self._wide = double, wide or {}

    def fault(self, inputs: Inputs) -> tuple[str, Array, Array | None] | None:
        """What is wrong with the result on `inputs`, with both results; None where nothing is.

        Raises:
            RuntimeFailure: the original does not run on them.
        """
        old = self.before.run(inputs)
        try:
            new = self.after.run(inputs)
        except RegraftError as error:
            return str(error), old, None
        form = settled_by_form("result", old, new, not self.contract.lowers_dtype)
        if form is not None:
            return form.reason, old, new
        eps = machine_eps(old.dtype)
        if eps is None:
            place = _first((old != new) & self._held(old, inputs))
        else:
            place = _first(self._differs(old.astype(np.float64), new.astype(np.float64), eps, inputs))
        if place is None:
            return None
        at = f" at {list(place)}" if place and old.size > 1 else ""
        return f"{_number(old[place])} before, {_number(new[place])} after{at}", old, new

    def _differs(self, old: Array, new: Array, eps: float, inputs: Inputs) -> Array:
        defined = np.isfinite(old)
        if self.contract.is_exact:
            return np.asarray((old != new) & ~(np.isnan(old) & np.isnan(new)))
        with np.errstate(all="ignore"):
            magnitude = np.where(defined, np.abs(old), 0.0)
            nonzero = magnitude[magnitude > 0]
            scale = float(np.median(nonzero)) if nonzero.size else 1.0
            around = max([0.0, *map(_largest, inputs.values())])
            allowed = self.contract.value(magnitude, scale, max(eps, _SINGLE)) + _NOTHING * min(1.0, around)
            if self.double is not None:  # in which the function was judged: here only what is lost is wrong
                around = max(1.0, around, float(magnitude.max(initial=0.0)))
                allowed = self.contract.through(1).value(magnitude, scale, eps) + np.sqrt(eps) * around
            off = defined & ~(np.abs(new - old) <= allowed)
            if off.any():
                allowed = allowed + self._noise(old, eps, inputs)
                off = defined & ~(np.abs(new - old) <= allowed)
        return np.asarray(off)

    def _held(self, old: Array, inputs: Inputs) -> Array:
        """Where a result of whole numbers did not overflow."""
        if self.double is None or old.dtype.kind not in "iu":
            return np.ones(old.shape, np.bool_)
        return np.asarray(np.abs(self._in_double(inputs)) <= min(np.iinfo(old.dtype).max, _WHOLE))

    def _in_double(self, inputs: Inputs) -> Array:
        assert self.double is not None
        return self.double.run(self._widened(inputs)).astype(np.float64)

    def _widened(self, inputs: Inputs) -> dict[str, Array]:
        return {name: value.astype(self._wide.get(name, value.dtype)) for name, value in inputs.items()}

    def _noise(self, old: Array, eps: float, inputs: Inputs) -> Array:
        """How far the original is off by itself: by its rounding, and when its inputs move a little."""
        runner, given, sure = self.before, inputs, old
        noise = np.zeros(old.shape)
        if eps >= _SINGLE and self.double is not None:
            runner, given = self.double, self._widened(inputs)
            sure = self._in_double(inputs)
            noise = _AS_MUCH * np.abs(old - sure)
        step = 8 * eps
        moved, further = (self._moved(runner, given, sure, size) for size in (step, 16 * step))
        jumps = further < 4 * moved  # at an edge, which both must have
        noise = noise + np.where(jumps & (eps < _SINGLE), 0.0, 4 * moved)
        return np.where(np.isfinite(noise), noise, 0.0)

    def _moved(self, runner: Runner, inputs: Inputs, sure: Array, step: float) -> Array:
        random = np.random.default_rng(0)
        most = np.zeros(sure.shape)
        for _ in range(2):
            given = {name: _shifted(value, step, random) for name, value in inputs.items()}
            most = np.maximum(most, np.abs(runner.run(given).astype(np.float64) - sure))
        return most


def smallest(inputs: Inputs, is_wrong: Callable[[Inputs], bool]) -> Inputs:
    """`inputs` with simpler numbers, as far as these are wrong still."""
    found = {name: value.copy() for name, value in inputs.items()}
    if sum(value.size for value in found.values()) > 12:
        return found
    for name, value in found.items():
        for place in np.ndindex(value.shape):
            held = value[place]
            for simple in _simpler(held):
                value[place] = simple
                if value[place] != held and is_wrong(found):
                    break
                value[place] = held
        found[name] = value
    return found


def _simpler(held: Any) -> list[Any]:
    if held.dtype.kind == "b":
        return [] if not held else [False]
    plain = [n for n in (0, 1, 2, 3, 4, 5, 10, 0.5, 0.25, -1, -2, -4, -10) if held.dtype.kind == "f" or n == int(n)]
    rounded = [round(float(held), digits) for digits in (0, 1, 2)] if held.dtype.kind == "f" else []
    every = [n for n in (*plain, *rounded) if np.isfinite(n) and (n >= 0 or held.dtype.kind != "u")]
    return every[: every.index(held)] if held in every else every


def _shifted(value: Array, step: float, random: Any) -> Array:
    if value.dtype.kind != "f":
        return value
    return np.asarray(value * (1 + step * random.choice((-1.0, 1.0), value.shape))).astype(value.dtype)


def _largest(value: Array) -> float:
    found = np.abs(value[np.isfinite(value)]) if value.dtype.kind == "f" else np.zeros(0)
    return float(found.max(initial=0.0))


def _first(wrong: Any) -> tuple[int, ...] | None:
    places = np.argwhere(np.asarray(wrong))
    return tuple(map(int, places[0])) if len(places) else None


def _number(value: Any) -> str:
    return f"{float(value):.6g}" if value.dtype.kind == "f" else str(value)
