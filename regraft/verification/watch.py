"""A model held against what it was, again and again while it is rewritten.

The outputs after a pass are the outputs before the next one, so a model runs once for each pass that changed it.
Where a pass changes the inputs so that the old ones no longer fit, the model from before it runs again on new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from regraft.errors import RegraftError, VerificationError
from regraft.files.convert import Header, export
from regraft.ir.model import Model
from regraft.ir.schema import draws
from regraft.packers.fits import read_shape
from regraft.verification.contract import Contract, exact
from regraft.verification.drift import Drift
from regraft.verification.inputs import make_inputs
from regraft.verification.interface import Interface, differences
from regraft.verification.reference import Reference
from regraft.verification.runtime import Session
from regraft.verification.samples import Sample, forms, sample
from regraft.verification.sizes import Given
from regraft.verification.tables import differing_rows, looking_up, tables
from regraft.verification.trials import TRIALS, USUAL

Arrays = dict[str, Any]

INTERFACE = "interface"
"""The name under which a drift says that a caller sees something else."""


class Names(NamedTuple):
    """What inputs and outputs are called in another model, by what they are called in the first."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


SAME = Names({}, {})


class Watch:
    """Compares a model with what it was when it was last looked at.

    Args:
        model: the model before any pass.
        inputs: what to run it on, or what is given of it; the rest is made from what each input means.
        seed: of the made inputs.
        trials: how many sets of inputs, unlike each other, to run on.

    Attributes:
        unstable: outputs that depend on chance, which are not compared.
        samples: what the model is run on.
        interface: what another caller sees at the last look, a line each.
    """

    interface: list[str]

    def __init__(
        self,
        model: Model,
        inputs: Mapping[str, Any] | Given | None = None,
        seed: int = 0,
        trials: int = len(TRIALS),
        threads: int = 0,
    ):
        self._given = inputs if isinstance(inputs, Given) else Given(values=inputs or {})
        self._seed, self._trials, self._threads = seed, trials, threads
        self.expect(model)

    def expect(self, model: Model) -> None:
        """Hold what comes against `model`."""
        header = export(model.device)
        session = Session(model, threads=self._threads, header=header)
        self.samples = sample(model, session.run, given=self._given, count=self._trials, seed=self._seed)
        self.unstable = _unstable(session, self.samples) if any(map(draws, model.nodes())) else ()
        self._hold(model, [one.outputs for one in self.samples], header)

    @property
    def compares(self) -> bool:
        """Whether an output is there that can be compared."""
        return any(name not in self.unstable for one in self.samples for name in one.outputs)

    @property
    def witness(self) -> Sample:
        """The first sample, with what the model gave for it when it was last looked at."""
        return replace(self.samples[0], outputs=self._reference.outputs[0])

    def look(
        self,
        model: Model,
        contract: Contract,
        places: int = 1,
        header: Header | None = None,
        names: Names = SAME,
        named: Mapping[str, str] = {},
    ) -> Drift:
        """The drift since the last look.

        Args:
            places: that were rewritten since.
            header: of `model`, if it was exported already.
            names: of inputs and outputs that are called otherwise in `model`.
            named: those of them that the caller knows of; the others are differences of the interface.

        Raises:
            VerificationError: given inputs no longer fit the model, or it does not run on one that it ran on before.
        """
        if contract.changes_interface or Interface.of(model).inputs != self._interface.inputs:
            self._follow(model, names)
        self._leave_out(model)
        header = header or export(model.device)
        session = Session(model, threads=self._threads, header=header)
        found = [self._again(session, one, names) for one in self.samples]
        drift = self._judge(model, found, contract, places, names)
        self.interface = differences(self._interface, Interface.of(model), found, named)
        if self.interface and not contract.changes_interface:
            drift = drift.with_failure(INTERFACE, "; ".join(self.interface))
        rows = differing_rows(self._tables, tables(model)) if drift.passed else {}
        if rows:
            found.append(self._again(session, self._look_up(rows), names))
            drift = self._judge(model, found, contract, places, names)
        self._hold(model, found, header)
        return drift

    def _leave_out(self, model: Model) -> None:
        """Look no more at samples that are too large for a packed model of fixed shape."""
        shape = read_shape(model.metadata)
        if shape is None:
            return
        misfits = [shape.misfit(one.inputs) for one in self.samples]
        if all(misfits):
            raise VerificationError(f"no inputs fit the packed shape: {misfits[0]}; give some that do with --inputs")
        if any(misfits):
            kept = [n for n, misfit in enumerate(misfits) if not misfit]
            outputs = [self._reference.outputs[n] for n in kept]
            self.samples = [self.samples[n] for n in kept]
            self._hold(self._reference.model, outputs)

    def _again(self, session: Session, one: Sample, names: Names) -> Arrays:
        """What a model gives for a sample, under the names of before."""
        known = {port.name for port in (*session.inputs, *session.defaults)}
        feeds = {names.inputs.get(name, name): value for name, value in one.inputs.items()}
        try:
            results = session.run(_only(known, feeds))
        except RegraftError as error:
            raise VerificationError(f"{error} (on inputs '{one.trial.name}': {forms(one.inputs)})") from error
        before = {new: old for old, new in names.outputs.items()}
        return {before.get(name, name): value for name, value in results.items()}

    def _judge(self, model: Model, found: list[Arrays], contract: Contract, places: int, names: Names) -> Drift:
        def rerun(twin: Model, widen: Callable[[Arrays], Arrays]) -> list[Arrays]:
            session = Session(twin, threads=self._threads)
            return [self._again(session, replace(one, inputs=widen(one.inputs)), names) for one in self.samples]

        plain = [one.trial.is_plain for one in self.samples]
        drift = self._reference.hold(
            model, found, contract, places=places, skip=self.unstable, plain=plain, rerun=rerun
        )
        if drift.warning and set(self.samples[0].inputs) <= set(self._given.values):  # made ones may be too large
            return drift.with_failure("values", drift.warning)
        return drift

    def _look_up(self, rows: Mapping[str, Any]) -> Sample:
        """One more sample, which looks up the rows of tables that changed."""
        old, first = self._reference.model, self.samples[0]
        inputs = looking_up(first.inputs, rows)
        outputs = Session(old, threads=self._threads).run(_for(old, inputs))
        self.samples.append(Sample(replace(USUAL, name="rows that changed"), inputs, outputs))
        self._reference.add(inputs, outputs)
        return self.samples[-1]

    def _hold(self, model: Model, outputs: list[Arrays], header: Header | None = None) -> None:
        trials = [one.inputs for one in self.samples]
        self._reference = Reference(model, trials, header=header, outputs=outputs, threads=self._threads)
        self._interface, self._tables = Interface.of(model), tables(model)

    def _follow(self, new: Model, names: Names) -> None:
        """Find inputs for both: the ones of before, where they fit; those that `new` has gained are made."""
        old = {new: old for old, new in names.inputs.items()}
        made = make_inputs(new, seed=self._seed)
        given = [(n, one.inputs[name]) for n in made for one in self.samples if (name := old.get(n, n)) in one.inputs]
        misfits = dict.fromkeys(n for n, value in given if not _fits(new, n, value))
        if wrong := set(self._given.values).intersection(old.get(name, name) for name in misfits):
            raise VerificationError(f"the given input '{min(wrong)}' no longer fits the model; give one that does")
        if misfits:
            self._sample_both(new, names)
        for one in self.samples:
            if any(old.get(name, name) not in one.inputs for name in made):
                known = {names.inputs.get(name, name): value for name, value in one.inputs.items()}
                rest = make_inputs(new, seed=self._seed, given=Given(_for(new, known)), trial=one.trial)
                one.inputs.update(
                    {name: value for name, value in rest.items() if old.get(name, name) not in one.inputs}
                )

    def _sample_both(self, new: Model, names: Names) -> None:
        """Sample anew, of what `new` takes; the model before gets the same, and what it alone takes."""
        old = self._reference.model
        before = {new: old for old, new in names.inputs.items()}
        session, after = Session(old, threads=self._threads), Session(new, threads=self._threads)

        def of_old(inputs: Mapping[str, Any]) -> Arrays:
            known = _for(old, {before.get(name, name): value for name, value in inputs.items()})
            return make_inputs(old, seed=self._seed, given=Given({**self._given.values, **known}))

        def run(inputs: Mapping[str, Any]) -> Arrays:
            after.run(inputs)
            return session.run(of_old(inputs))

        known = [t.name for t in new.inputs]
        values = {names.inputs.get(name, name): value for name, value in self._given.values.items()}
        shapes = {n: shape for n, shape in self._given.shapes.items() if n in known and _has_shape(new, n, shape)}
        given = Given(_only(known, values), shapes, self._given.dims)
        found = sample(new, run, given=given, count=self._trials, seed=self._seed)
        self.samples = [
            replace(
                one,
                inputs={
                    **{before.get(name, name): value for name, value in one.inputs.items()},
                    **of_old(one.inputs),
                },
            )
            for one in found
        ]
        self._hold(old, [one.outputs for one in self.samples])


def _unstable(session: Session, samples: list[Sample]) -> tuple[str, ...]:
    """The outputs that two runs of one session give differently."""
    names: dict[str, None] = {}
    for one in samples:
        drift = exact.check(one.outputs, session.run(one.inputs))
        names |= dict.fromkeys(output.name.partition("[")[0] for output in drift.failures)
    return tuple(names)


def _for(model: Model, inputs: Mapping[str, Any]) -> Arrays:
    return _only([tensor.name for tensor in model.inputs], inputs)


def _only(names: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _fits(model: Model, name: str, value: Any) -> bool:
    """Whether `value` has the dtype and the fixed dimensions of an input."""
    tensor = next(tensor for tensor in model.inputs if tensor.name == name)
    if not isinstance(value, np.ndarray):
        return True
    return value.dtype == tensor.dtype and _has_shape(model, name, value.shape)


def _has_shape(model: Model, name: str, shape: Sequence[int]) -> bool:
    """Whether an input may have a shape."""
    tensor = next(tensor for tensor in model.inputs if tensor.name == name)
    if tensor.shape is None:
        return True
    fixed = zip(tensor.shape, shape, strict=False)
    return len(tensor.shape) == len(shape) and all(not isinstance(d, int) or d == n for d, n in fixed)
