"""Holds two models against each other: both run on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from regraft.display import Displayed, Table
from regraft.errors import VerificationError
from regraft.files.convert import from_proto
from regraft.files.loading import load
from regraft.ir.model import Model
from regraft.verification.contract import Contract, reassociation, recorded
from regraft.verification.deviation import Deviation, OutputDeviation, to_json
from regraft.verification.interface import Interface
from regraft.verification.places import Place, Prover, summary
from regraft.verification.runtime import Runnable, Session
from regraft.verification.signature import Correspondence, correspond
from regraft.verification.sizes import Given
from regraft.verification.trials import TRIALS
from regraft.verification.watch import INTERFACE, Names, Watch
from regraft.wording import count

_HALVES = ("bfloat16", "float16")  # coarser first


@dataclass(frozen=True, repr=False)
class Verdict(Displayed):
    """What two models are to each other.

    Attributes:
        drift: of the outputs that both models have, under their names before.
        inputs, outputs: the pairing of the two models'.
        unstable: random outputs of the model before, which are not compared.
        interface: changes that a caller sees, a line each.
        places: what is proved, value by value; None where that was not asked for.
    """

    drift: Deviation
    inputs: Correspondence
    outputs: Correspondence
    unstable: tuple[str, ...] = ()
    interface: tuple[str, ...] = ()
    places: tuple[Place, ...] | None = None

    @property
    def passed(self) -> bool:
        """Whether something was compared, and all of it is equal within the contract."""
        return self.drift.passed and self.drift.compared

    @property
    def _compared(self) -> list[OutputDeviation]:
        return [one for one in self.drift.outputs if one.name != INTERFACE]

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        return self._run_summary if self.places is None else f"{summary(self.places)}; {self._run_summary}"

    @property
    def _run_summary(self) -> str:
        outputs, failures = self._compared, self.drift.failures
        if failures:
            values = [one for one in failures if one.name != INTERFACE]
            seen = len(failures) > len(values)
            counted = (
                f"different in {len(values)} of {count(len(outputs), 'output')}" if values or not seen else "different"
            )
            more = f" and in {count(len(self.interface), 'part')} of the interface" if seen else ""
            return f"{counted}{more}: {failures[0]}"
        if not outputs:
            return f"undecided: two runs of the model before differ in every output ({', '.join(self.unstable)})"
        if not self.drift.compared:
            return "undecided: every output is empty; give real inputs"
        unstable = f"; random, so not compared: {', '.join(self.unstable)}" if self.unstable else ""
        contract = f"contract '{self.drift.contract}'"
        where = f"{len(outputs)} of {count(len(outputs), 'output')} on {count(self.drift.trials, 'trial')}"
        return f"equal in {where}, {contract}: {self.drift.verdict}{unstable}"

    @property
    def notes(self) -> list[str]:
        """Inputs and outputs that were renamed, removed or added, and other changes that a caller sees, a line each."""
        lines = []
        for what, found in (("input", self.inputs), ("output", self.outputs)):
            lines += [f"{what} {old} is now {new}" for old, new in found.pairs.items() if old != new]
            lines += [f"{what} {name} is gone" for name in found.removed]
            lines += [f"{what} {name} is new" for name in found.added]
        lines += [line for line in self.interface if not line.endswith((" is gone", " is new"))]
        return lines + ([f"warning: {self.drift.warning}"] if self.drift.warning else [])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        said = {"passed": self.passed, "summary": self.summary, **asdict(self), "drift": self.drift.to_dict()}
        return said if self.places is not None else {key: value for key, value in said.items() if key != "places"}

    def to_json(self) -> str:
        """The verdict as JSON."""
        return to_json(self.to_dict())

    def display(self) -> Iterator[str | Table]:
        yield self.summary
        yield from self.notes
        head = ("output", "max abs", "max rel", "cosine", "worst at", "")
        yield Table("outputs", [_row(output) for output in self.drift.outputs], head, (1, 2, 3))
        if self.places is not None:
            rows = [(one.path + one.value, one.outcome, one.reason) for one in self.places]
            yield Table("places", rows, ("value", "proof", ""))


def verify(
    before: Runnable,
    after: Runnable,
    inputs: Mapping[str, npt.ArrayLike] | Given | None = None,
    *,
    contract: Contract | None = None,
    names: Mapping[str, str] | None = None,
    seed: int = 0,
    threads: int = 0,
    trials: int = len(TRIALS),
    prove: Prover | None = None,
) -> Verdict:
    """Run both models in ONNX Runtime, optimisations off, on several sets of inputs, and compare the outputs. Inputs
    and outputs are paired by name, or if only one on each side has a dtype and rank, by these. Another name, type or
    dimension is still a difference.

    Args:
        inputs: by name; others are generated by their meaning.
        contract: of the outputs. The default is the contract of the passes that made `after` from `before`, by its
            metadata; else reassociation.
        names: of renamed inputs and outputs: name before to name after.
        trials: how many sets of inputs, at most.
        prove: proves what it can, too: `regraft.prove_models`.

    Raises:
        VerificationError: the models have no output in common, or `after` does not run where `before` does.
        RuntimeFailure: one of them does not run at all.
    """
    old, new = as_model(before), as_model(after)
    ports = [Interface.of(one) for one in (old, new)]
    ins = correspond(ports[0].inputs, ports[1].inputs, names or {})
    outs = correspond(ports[0].outputs, ports[1].outputs, names or {})
    if not outs.pairs:
        raise VerificationError(
            f"no output in common: {', '.join(outs.removed)} before, {', '.join(outs.added)} after; "
            "say which belong together"
        )
    contract = contract or recorded(old.metadata, new.metadata) or reassociation
    given = inputs if isinstance(inputs, Given) else Given(values=inputs or {})
    known = {port.name for port in (*ports[0].inputs, *ports[0].defaults)}
    values = {name: value for name, value in given.values.items() if name in known}
    watch = Watch(old, replace(given, values=values), seed, trials, threads)
    for one in watch.samples:
        one.inputs.update({name: value for name, value in given.values.items() if name not in known})
    paired = Names(_renamed(ins), _renamed(outs))
    drift = watch.look(new, contract, names=paired, named=names or {})
    proved = None if prove is None else tuple(prove(old, new, {**ins.pairs, **outs.pairs}, contract=contract))
    return Verdict(drift, ins, outs, watch.unstable, tuple(watch.interface), proved)


compare = verify
"""The name that `verify` had before; it keeps working."""


def _renamed(found: Correspondence) -> dict[str, str]:
    return {old: new for old, new in found.pairs.items() if old != new}


def snapshot(model: Runnable, inputs: Mapping[str, Any], *, threads: int = 0) -> dict[str, Any]:
    """The outputs of `model` in ONNX Runtime, optimisations off."""
    return Session(model, threads=threads).run(inputs)


def as_model(model: Runnable) -> Model:
    """`model` as a Model; weights are not read."""
    if isinstance(model, Model):
        return model
    return from_proto(model) if isinstance(model, onnx.ModelProto) else load(model)


def _row(output: OutputDeviation) -> tuple[str, ...]:
    numbers = f"{output.max_abs:.3g}", f"{output.max_rel:.3g}", f"{output.cosine:.9f}"
    place = ", ".join(map(str, output.place))
    return output.name, *(numbers if math.isfinite(output.max_abs) else ("", "", "")), place, output.reason or "ok"


def coarsest_float(model: Model) -> np.dtype[Any] | None:
    """The half-precision dtype that the model computes in, if it does."""
    dtypes = {getattr(tensor.dtype, "name", ""): tensor.dtype for node in model.nodes() for tensor in node.inputs}
    return next((dtypes[name] for name in _HALVES if name in dtypes), None)
