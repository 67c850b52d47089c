"""Two models on the same inputs: how far their outputs lie apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx

from regraft.errors import VerificationError
from regraft.files.convert import from_proto
from regraft.files.loading import load
from regraft.ir.model import Model
from regraft.verification.contract import Contract, reassociation
from regraft.verification.drift import Drift, OutputDrift, to_json
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.runtime import Runnable, Session
from regraft.verification.signature import Correspondence, correspond

_HALVES = ("bfloat16", "float16")  # coarser first


@dataclass(frozen=True)
class Verdict:
    """What a comparison found.

    Attributes:
        drift: of the outputs that both models have, under their names before.
        inputs, outputs: which of the two models belong together.
        unstable: outputs that the model before gives differently each time; their shapes and dtypes are compared.
    """

    drift: Drift
    inputs: Correspondence
    outputs: Correspondence
    unstable: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something could be compared, and all of it is equal within the contract."""
        return self.drift.passed and bool(self.drift.outputs)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        outputs, failures = self.drift.outputs, self.drift.failures
        if failures:
            return f"different in {len(failures)} of {len(outputs)} outputs: {failures[0]}"
        if not outputs:
            return f"undecided: two runs of the model before differ in every output ({', '.join(self.unstable)})"
        unstable = f"; random, so not compared: {', '.join(self.unstable)}" if self.unstable else ""
        return f"equal in {len(outputs)} of {len(outputs)} outputs, contract '{self.drift.contract}'{unstable}"

    @property
    def notes(self) -> list[str]:
        """Inputs and outputs that were renamed, removed or added, a line each."""
        lines = []
        for what, found in (("input", self.inputs), ("output", self.outputs)):
            lines += [f"{what} {old} is now {new}" for old, new in found.pairs.items() if old != new]
            lines += [f"{what} {name} is gone" for name in found.removed]
            lines += [f"{what} {name} is new" for name in found.added]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"passed": self.passed, "summary": self.summary, **asdict(self), "drift": self.drift.to_dict()}

    def to_json(self) -> str:
        """The verdict as JSON."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"  {line}" for line in (*map(str, self.drift.outputs), *self.notes))])

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table

        table = Table("output", "max abs", "max rel", "cosine", "worst at", "")
        for output in self.drift.outputs:
            table.add_row(*_row(output))
        return Group(table, *self.notes, self.summary)


def compare(
    before: Runnable,
    after: Runnable,
    inputs: Mapping[str, Any] | None = None,
    *,
    contract: Contract | None = None,
    names: Mapping[str, str] | None = None,
    seed: int = 0,
    threads: int = 0,
) -> Verdict:
    """Run both models in ONNX Runtime, optimisations off, and compare what they give.

    Inputs and outputs belong together by name, or else where only one on each side has that dtype and rank.

    Args:
        inputs: by name; what is not given is made from its meaning.
        contract: what to hold the outputs to. By default reassociation in every node, and outputs may come and go.
        names: of inputs and outputs that are called otherwise after: name before to name after.

    Raises:
        VerificationError: the models have no output in common.
        RuntimeFailure: one of them does not run.
    """
    old, new = Session(before, threads=threads), Session(after, threads=threads)
    ins = correspond(old.inputs, new.inputs, names or {})
    outs = correspond(old.outputs, new.outputs, names or {})
    if not outs.pairs:
        raise VerificationError(
            f"no output in common: {', '.join(outs.removed)} before, {', '.join(outs.added)} after; "
            "say which belong together"
        )
    model = as_model(before)
    if contract is None:
        contract = replace(reassociation.through(sum(1 for _ in model.nodes())), changes_interface=True)
    inputs = inputs or {}
    values = make_inputs(model, seed=seed, given=Given(_only([*ins.pairs, *ins.removed], inputs)))
    feeds = {ins.pairs[name]: values[name] for name in ins.pairs} | _only(ins.added, inputs)
    if any(name not in feeds for name in ins.added):
        feeds = make_inputs(as_model(after), seed=seed, given=Given(feeds))
    first = old.run(values)
    unstable = _unlike(contract, first, old.run(values))
    renamed = {new: old for old, new in outs.pairs.items()}
    results = {renamed.get(name, name): value for name, value in new.run(feeds).items()}
    drift = _check(contract, first, results, unstable, coarsest_float(model))
    return Verdict(drift, ins, outs, unstable)


def snapshot(model: Runnable, inputs: Mapping[str, Any], *, threads: int = 0) -> dict[str, Any]:
    """The outputs of `model` in ONNX Runtime, optimisations off."""
    return Session(model, threads=threads).run(inputs)


def unstable_outputs(model: Runnable, inputs: Mapping[str, Any], contract: Contract) -> tuple[str, ...]:
    """The outputs that `model` gives differently, by more than `contract` allows, in two runs on the same inputs."""
    session = Session(model)
    return _unlike(contract, session.run(inputs), session.run(inputs))


def as_model(model: Runnable) -> Model:
    """`model` as one whose graph can be looked at; weights are not read."""
    if isinstance(model, Model):
        return model
    return from_proto(model) if isinstance(model, onnx.ModelProto) else load(model)


def _unlike(contract: Contract, first: Mapping[str, Any], again: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in first if not contract.check(_only([name], first), _only([name], again)).passed)


def _check(
    contract: Contract,
    before: dict[str, Any],
    after: dict[str, Any],
    unstable: tuple[str, ...],
    computed_in: np.dtype[Any] | None,
) -> Drift:
    """The drift of the stable outputs, and of the unstable ones whose shape or dtype changed."""
    stable = contract.check(_without(unstable, before), _without(unstable, after), computed_in=computed_in)
    form = contract.check(_forms(_only(unstable, before)), _forms(_only(unstable, after)))
    return replace(stable, outputs=(*stable.outputs, *form.failures))


def _forms(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of the same shapes and dtypes, with nothing in them."""
    return {name: np.zeros_like(value) for name, value in values.items() if isinstance(value, np.ndarray)}


def _only(names: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _without(names: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in set(names)}


def _row(output: OutputDrift) -> tuple[str, ...]:
    numbers = f"{output.max_abs:.3g}", f"{output.max_rel:.3g}", f"{output.cosine:.9f}"
    place = ", ".join(map(str, output.place))
    return output.name, *(numbers if math.isfinite(output.max_abs) else ("", "", "")), place, output.reason or "ok"


def coarsest_float(model: Model) -> np.dtype[Any] | None:
    """The half-precision dtype that the model computes in, if it does."""
    dtypes = {getattr(tensor.dtype, "name", ""): tensor.dtype for node in model.nodes() for tensor in node.inputs}
    return next((dtypes[name] for name in _HALVES if name in dtypes), None)
