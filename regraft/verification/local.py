"""Verifies a pass where it changed the model: what it computes otherwise runs before and after, on recorded tensors.

Which part that is, is found by comparing the two models, whatever the pass says it did: every value is numbered by how
it is computed. Where a value of one name is computed otherwise, both ways run on the tensors around, which were
recorded when the model was run as a whole, and the results are judged by the pass's contract as outputs are.
"""

from __future__ import annotations

from typing import NamedTuple

from regraft.errors import RegraftError
from regraft.files.convert import Header, from_proto
from regraft.ir.model import Model
from regraft.verification.alike import Values, values_of
from regraft.verification.contract import SHORT, Contract
from regraft.verification.deviation import Deviation, OutputDeviation
from regraft.verification.interface import Interface, differences
from regraft.verification.record import Record, record
from regraft.verification.reference import Reference
from regraft.verification.regions import Regions, exits_of, regions
from regraft.verification.runtime import Session
from regraft.verification.tables import Tables, differing_rows, tables
from regraft.verification.watch import Watch
from regraft.wording import count

SHARE = 0.5
"""Of the nodes of both models, the most that are run by themselves: beyond, to run the whole is no dearer."""


class _State(NamedTuple):
    """The model before a pass."""

    values: Values
    header: Header
    tables: Tables


class Local:
    """A model from one whole run of it on: each pass is held against the state before it.

    Args:
        watch: has the model as it ran, and the inputs.

    Attributes:
        told: what of the last pass was run, or why the whole model must be.
        overwritten: whether the last pass wrote to an array that the model before it holds, too.
    """

    def __init__(self, watch: Watch):
        self._watch, self._trials, self._interface = watch, len(watch.samples), Interface.of(watch.model)
        self._state: _State | None = None
        self._record: Record = {}
        self.told, self.overwritten = "", False

    def look(self, model: Model, contract: Contract, header: Header) -> Deviation | None:
        """How far what a pass computes otherwise is from what it was; None where the whole model must be run for that.

        Args:
            contract: of one place.
            header: of `model`.
        """
        try:
            return self._look(model, contract, header)
        except RegraftError as error:
            self.told = str(error)
            return None

    def _look(self, model: Model, contract: Contract, header: Header) -> Deviation | None:
        state = self._state = self._state or self._start()
        new, held = values_of(model, state.values), tables(model)
        self.told, self.overwritten = self._unlike(state, model, contract, new, held), new.overwritten
        if self.told:
            return None
        exits = exits_of(model, state.values, new)
        if exits:
            before = from_proto(state.header.proto, model.path, state.header.values)
            found = regions(before, model, exits, (state.values, new), self._record)
            if found.nodes > SHARE * (len(before.graph.nodes) + len(model.graph.nodes)):
                self.told = f"{count(found.nodes, 'node')} of the two models would have to run"
                return None
            drift = self._run(found, contract)
        else:
            self.told = "nothing is computed otherwise"
            alike = tuple(OutputDeviation(name) for name in new.outputs if name not in self._watch.unstable)
            drift = Deviation(contract.name, alike, trials=self._trials)
        if drift.passed:
            self._state = _State(new, header, held)
        return drift

    def _start(self) -> _State:
        """Record the tensors inside."""
        model = self._watch.model
        values = values_of(model)
        self._record = record(model, values, self._watch.samples, self._watch.threads)
        return _State(values, self._watch.header, tables(model))

    def _unlike(self, state: _State, model: Model, contract: Contract, new: Values, held: Tables) -> str:
        """Why more than values inside must be compared; empty where that is enough."""
        if new.overwritten:
            return "an array was written to in place"
        if model.host is not None:
            return "part of the model runs on the host"
        if contract.changes_interface or contract.lowers_dtype:
            return f"the contract is {contract}"
        if assumed := [one for one in contract.assumes if one != SHORT]:
            return f"the contract assumes of inputs: {assumed[0]}"
        now = Interface.of(model)
        if (now.inputs, now.defaults) != (self._interface.inputs, self._interface.defaults):
            return "the inputs are other"
        if lines := differences(self._interface, now, self._watch.outputs):
            return lines[0]
        if other := [name for name, body in new.functions.items() if state.values.functions.get(name, body) != body]:
            return f"the function '{other[0][1]}' is other"
        if rows := differing_rows(state.tables, held):
            return f"rows of the table that '{min(rows)}' looks up are other"
        return ""

    def _run(self, found: Regions, contract: Contract) -> Deviation:
        plain = [one.trial.is_plain for one in self._watch.samples]
        feeds = [
            {name: self._record[number][trial] for name, number in found.feeds.items()} for trial in range(self._trials)
        ]
        threads = self._watch.threads
        held = Reference(found.before, feeds, threads=threads)
        session = Session(found.after, threads=threads)
        drift = held.hold(found.after, [session.run(one) for one in feeds], contract, plain=plain)
        self.told = f"{count(len(found.before.graph.nodes), 'node')}, now {len(found.after.graph.nodes)}"
        trials = count(self._trials, "trial")
        self.told += f", on {trials}" if drift.passed else f", differ inside: {drift.failures[0]}"
        return drift
