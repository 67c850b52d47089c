"""The original model and its outputs on every trial, which rewritten models are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.files.convert import Header, clone, export, from_proto
from regraft.ir.host import Host
from regraft.ir.model import Model
from regraft.ir.weights import Array
from regraft.verification.contract import HIDDEN, Contract, exact, reassociation
from regraft.verification.deviation import Deviation, OutputDeviation, leaves, machine_eps, measure
from regraft.verification.hidden import Hidden, with_hidden
from regraft.verification.input_roles import sizing_values
from regraft.verification.judgement import Evidence, judge
from regraft.verification.noise import Moved, Noise, smoothed, unshared
from regraft.verification.overflow import limited_twin
from regraft.verification.runtime import Session
from regraft.verification.twin import float32_twin, float64_twin, is_half, widened, widened_to_double
from regraft.verification.unseeing import blinded

Arrays = dict[str, Any]

OVERFLOWS = "float16 ends at 65504, as on a device; ONNX Runtime computes in float32; precision-plan finds what to keep"

Rerun = Callable[[Model, Callable[[Arrays], Arrays]], list[Arrays]]
"""Runs a twin of a model on all trials; the second argument widens inputs to the twin's dtypes."""


class Reference:
    """What a rewritten model is compared with.

    Args:
        model: may change afterwards; a copy is kept.
        trials: inputs that it runs on.
        header: of `model`, if it was exported already.

    Attributes:
        outputs: for each trial.
        header: of the model.

    Raises:
        RuntimeFailure: the model does not run on a trial.
    """

    def __init__(
        self,
        model: Model,
        trials: Sequence[Mapping[str, Any]],
        *,
        header: Header | None = None,
        outputs: Sequence[Arrays] | None = None,
        threads: int = 0,
    ):
        self.trials, self.threads = [dict(inputs) for inputs in trials], threads
        self.header, self._path = header or export(model.device), model.path
        self._host = model.host and Host(
            clone(model.host.model), dict(model.host.feeds), [t.copy() for t in model.host.outputs]
        )
        self.is_half = is_half(model)
        if outputs is None:
            session = Session(model, threads=threads, header=self.header)
            outputs = [session.run(inputs) for inputs in self.trials]
        self.outputs = [dict(values) for values in outputs]
        self._hidden: dict[int, Hidden] = {}

    def add(self, inputs: Mapping[str, Any], outputs: Arrays) -> None:
        """Add a trial. The noise is measured again on its next use."""
        self.trials.append(dict(inputs))
        self.outputs.append(dict(outputs))
        for name in ("_measured", "_signs", "_unseeing", "_twin", "in_double"):
            self.__dict__.pop(name, None)

    @cached_property
    def model(self) -> Model:
        """The original model."""
        model = from_proto(self.header.proto, self._path, self.header.values)
        model.host = self._host
        return model

    def hold(
        self,
        model: Model,
        found: Sequence[Arrays],
        contract: Contract,
        *,
        places: int = 1,
        skip: Sequence[str] = (),
        plain: Sequence[bool] = (),
        rerun: Rerun | None = None,
    ) -> Deviation:
        """How far `model`, which gave `found` on the trials, is from this one.

        Args:
            places: that were rewritten.
            skip: outputs that depend on chance.
            plain: for each trial, whether its values are ordinary; a lower dtype is judged on these only.
            rerun: runs a twin of `model` on the trials, if its inputs or outputs have other names.
        """
        rerun = rerun or self._rerun
        if contract.lowers_dtype:
            return self._lowered(model, found, contract, skip, plain, rerun)
        if not self.is_half or not is_half(model):
            return self._judge(found, contract, skip, plain, _Apart(self, model, rerun))
        drift = self._judge(found, contract, skip, plain, loose=reassociation.through(places))
        return drift if not drift.passed or not drift.max_abs else self._twins(model, contract, skip, plain, rerun)

    def _judge(
        self,
        found: Sequence[Arrays],
        contract: Contract,
        skip: Sequence[str],
        plain: Sequence[bool],
        apart: _Apart | None = None,
        loose: Contract | None = None,
    ) -> Deviation:
        """Compare outputs under `contract`; by their numbers alone, and under `loose`, if given."""
        worst: dict[str, OutputDeviation] = {}
        removed: dict[str, None] = {}
        added: dict[str, None] = {}
        for trial, (before, after) in enumerate(zip(self.outputs, found, strict=True)):
            if (contract.lowers_dtype and plain and not plain[trial]) or self._is_outside(trial, contract):
                continue
            old = {name: value for name, value in leaves(before) if _output(name) not in skip}
            new = {name: value for name, value in leaves(after) if _output(name) not in skip}
            worst |= {one.name: one for one in _forms(_only(skip, before), _only(skip, after)) if one.reason}
            removed |= dict.fromkeys(name for name in old if name not in new)
            added |= dict.fromkeys(name for name in new if name not in old)
            for name in old:
                if name in new:
                    if loose:
                        shown = new[name]
                        if HIDDEN in contract.assumes:
                            shown = with_hidden(shown, old[name], self.hides(trial, name))
                        one = measure(name, old[name], shown, loose, computed_in=np.dtype(np.float16))
                    else:
                        one = judge(name, old[name], new[name], contract, self._evidence(trial, name, apart, contract))
                    one = replace(one, trial=trial, values=0 if old[name] is None else np.size(old[name]))
                    worst[name] = worst[name].worse(one) if name in worst else one
        outputs = list(worst.values())
        if not contract.changes_interface:
            outputs += [OutputDeviation.failure(name, "the output is gone") for name in removed]
            outputs += [OutputDeviation.failure(name, "the output is new") for name in added]
        return Deviation(contract.name, tuple(outputs), tuple(added), tuple(removed), trials=len(self.trials))

    def _lowered(
        self,
        model: Model,
        found: Sequence[Arrays],
        contract: Contract,
        skip: Sequence[str],
        plain: Sequence[bool],
        rerun: Rerun,
    ) -> Deviation:
        """The drift of a model in half precision, with a warning if the range of float16 changes it."""
        drift = self._judge(found, contract, skip, plain, _Apart(self, model, rerun))
        limited = limited_twin(model) if drift.passed else None
        if limited is None:
            return drift
        ending = list(map(_ending, found, rerun(limited, widened)))
        ended = self._judge(ending, contract, skip, plain)
        return drift if ended.passed else replace(drift, warning=f"{ended.failures[0]} where {OVERFLOWS}")

    @cached_property
    def in_double(self) -> list[Arrays]:
        """The outputs of the model in float64, by leaves."""
        return in_double(self.model, self._rerun)

    def _rerun(self, twin: Model, widen: Callable[[Arrays], Arrays]) -> list[Arrays]:
        session = Session(twin, threads=self.threads)
        return [session.run(widen(inputs)) for inputs in self.trials]

    def _is_outside(self, trial: int, contract: Contract) -> bool:
        """Whether the contract promises nothing for a trial."""
        wide = any(
            isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size and abs(value).max() >= 2**31
            for value in self.trials[trial].values()
        )
        if "integers fit 32 bits" in contract.assumes and wide:
            return True
        return "each query sees a key" in contract.assumes and not all(
            np.array_equal(value, other, equal_nan=np.asarray(value).dtype.kind in "fc")
            for name, value in leaves(self.outputs[trial])
            if (other := self._unseeing[trial].get(name)) is not None
        )

    def _evidence(self, trial: int, name: str, apart: _Apart | None, contract: Contract) -> Evidence:
        means_nothing = self._means_nothing if HIDDEN in contract.assumes else self._blind
        return Evidence(
            lambda runs: self._noise(trial, runs).unit(trial, name),
            lambda runs: self._noise(trial, runs).moves(trial, name),
            lambda allowed: means_nothing(trial, name, allowed),
            lambda: apart.of(trial, name) if apart else None,
            name in self._signs,
        )

    @cached_property
    def _signs(self) -> set[str]:
        """Outputs that are zero throughout, on every trial."""
        every = [dict(leaves(values)) for values in self.outputs]
        return {name for name in every[0] if not any(np.any(values.get(name)) for values in every)} if every else set()

    def _noise(self, trial: int, runs: int) -> Noise:
        """The noise, from at least so many runs of a trial."""
        self._measured.measure(runs, trial)
        return self._measured

    @cached_property
    def _measured(self) -> Noise:
        header = unshared(self.header, {tensor.name for tensor in sizing_values(self.model)})
        model, threads = self.model, self.threads  # not self, which would be in a ring, and so stay in memory
        if header is not self.header:
            model = from_proto(header.proto, self._path, header.values)
            model.host = self._host

        def open_session(*, optimize: bool = False, change: Moved | None = None, wide: bool = False) -> Session:
            if wide:
                return Session(float64_twin(model), threads=threads)
            return Session(model, optimize=optimize, threads=threads, change=change, header=header)

        return Noise(model, open_session, self.trials, self.outputs)

    def hides(self, trial: int, name: str) -> Array:
        """Where an output belongs to hidden tokens, so that it has no meaning."""
        if trial not in self._hidden:
            self._hidden[trial] = Hidden(self.model, self.trials[trial], self._session.run)
        hidden, base = self._hidden[trial], dict(leaves(self.outputs[trial]))[name]
        other, places = dict(leaves(hidden.outputs)).get(name), hidden.places(base)
        if other is None or places is None or np.shape(other) != np.shape(base):
            return hidden.absent(base)
        return np.asarray(hidden.absent(base) | (places & (np.asarray(other) != np.asarray(base))))

    def _means_nothing(self, trial: int, name: str, allowed: Array) -> Array | None:
        """Where an output belongs to hidden tokens, or to queries that see no key."""
        hidden, blind = self.hides(trial, name), self._blind(trial, name, allowed)
        return hidden if blind is None else hidden | blind

    @cached_property
    def _session(self) -> Session:
        return Session(self.model, threads=self.threads)

    def _blind(self, trial: int, name: str, allowed: Array) -> Array | None:
        """Where an output moves by more than `allowed` when attention gives queries that see no key another answer."""
        base = dict(leaves(self.outputs[trial]))[name]
        return self._moved(base, self._unseeing[trial].get(name), allowed)

    def _moved(self, base: Any, other: Any, allowed: Array) -> Array | None:
        """Where an output moves by more than `allowed`; None if it has another form."""
        if other is None or np.shape(other) != np.shape(base):
            return None
        if np.asarray(base).dtype.kind not in "fc":
            return np.asarray(base != other)
        before, after = np.asarray(base, float), np.asarray(other, float)
        with np.errstate(invalid="ignore"):
            step = np.where(_same(before, after), 0.0, np.abs(after - before))
        return np.asarray(smoothed(np.nan_to_num(step, nan=np.inf)) > allowed)

    @cached_property
    def _unseeing(self) -> list[Arrays]:
        model = blinded(self.model)
        if model is None:
            return [{} for _ in self.trials]
        try:
            session = Session(model, threads=self.threads)
            return [dict(leaves(session.run(inputs))) for inputs in self.trials]
        except RegraftError:
            return [{} for _ in self.trials]

    def _twins(
        self, model: Model, contract: Contract, skip: Sequence[str], plain: Sequence[bool], rerun: Rerun
    ) -> Deviation:
        """The drift of the float32 twins."""

        def rerun_twin(twin: Model, widen: Callable[[Arrays], Arrays]) -> list[Arrays]:
            return rerun(twin, lambda inputs: widen(widened(inputs)))

        try:
            twin = float32_twin(model)
            found = rerun(twin, widened)
            return self._twin.hold(twin, found, contract, skip=skip, plain=plain, rerun=rerun_twin)
        except RegraftError as error:
            raise RegraftError(
                f"the float32 twin of the model, by which half precision is judged, does not run: {error}"
            ) from error

    @cached_property
    def _twin(self) -> Reference:
        return Reference(float32_twin(self.model), [widened(inputs) for inputs in self.trials], threads=self.threads)


class _Apart:
    """How far a model is from the original, both in float64: a measure without much rounding.

    Few comparisons need it. A model that does not run in float64 gives None.
    """

    def __init__(self, old: Reference, new: Model, rerun: Rerun):
        self._old, self._new, self._rerun = old, new, rerun

    def of(self, trial: int, name: str) -> Array | None:
        """The distance of each element of an output; None if it cannot be measured."""
        before, after = (values[trial].get(name) if values else None for values in (self._old.in_double, self._after))
        if before is None or after is None or np.shape(before) != np.shape(after):
            return None
        if np.asarray(before).dtype.kind not in "fc":
            return None
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.abs(np.asarray(after) - np.asarray(before)), nan=np.inf)

    @cached_property
    def _after(self) -> list[Arrays]:
        return in_double(self._new, self._rerun)


def in_double(model: Model, rerun: Rerun) -> list[Arrays]:
    """The outputs of a model's twin in float64 on each trial; empty if it does not run."""
    try:
        return [dict(leaves(values)) for values in rerun(float64_twin(model), widened_to_double)]
    except RegraftError:  # ONNX Runtime has no kernels for it
        return []


def _ending(values: Arrays, limited: Arrays) -> Arrays:
    """`values`, with those of `limited` where these are not finite."""
    return {
        name: np.where(np.isfinite(ends := np.asarray(limited[name])), value, ends).astype(value.dtype)
        if isinstance(value, np.ndarray)
        and machine_eps(value.dtype) is not None
        and value.shape == np.shape(limited[name])
        else value
        for name, value in values.items()
    }


def _same(one: Any, other: Any) -> Array:
    return np.asarray(np.isnan(one) & np.isnan(other) | (one == other))


def _output(leaf: str) -> str:
    """The output that a leaf such as `boxes[2]` belongs to."""
    return leaf.partition("[")[0]


def _only(names: Sequence[str], values: Mapping[str, Any]) -> Arrays:
    return {name: values[name] for name in names if name in values}


def _forms(before: Arrays, after: Arrays) -> Iterator[OutputDeviation]:
    """How the shapes and dtypes of outputs differ."""
    for name, value in before.items():
        if isinstance(value, np.ndarray) and isinstance(other := after.get(name), np.ndarray):
            yield judge(name, np.zeros_like(value), np.zeros_like(other), exact, Evidence())
