"""Verifies a pass where it changed the model: what it computes otherwise runs before and after, on recorded tensors.

Which part that is, is found by comparing the two models, whatever the pass says it did: every value is numbered by how
it is computed. Where a value of one name is computed otherwise, both ways run on the tensors around, which were
recorded when the model was run as a whole, and the results are judged by the pass's contract as outputs are.
"""

from __future__ import annotations

from regraft.errors import RegraftError
from regraft.files.convert import Header, from_proto
from regraft.ir.model import Model
from regraft.verification.alike import Values, values_of
from regraft.verification.contract import Contract
from regraft.verification.deviation import Deviation, OutputDeviation
from regraft.verification.interface import Interface, differences
from regraft.verification.record import Record, record
from regraft.verification.reference import Reference
from regraft.verification.regions import Regions, regions
from regraft.verification.runtime import Session
from regraft.verification.tables import differing_rows, tables
from regraft.verification.watch import Watch
from regraft.wording import count

SHARE = 0.5
"""Of the nodes of both models, the most that are run by themselves: beyond, to run the whole is no dearer."""


class Local:
    """A model from one whole run of it on: each pass is held against the state before it.

    Args:
        watch: has the model as it ran, and the inputs.

    Attributes:
        told: how the last pass was verified, or why it could not be here.
    """

    def __init__(self, watch: Watch):
        self._watch, self.told = watch, ""
        self._values: Values | None = None
        self._record: Record = {}

    def look(self, model: Model, contract: Contract, header: Header) -> Deviation | None:
        """How far what a pass computes otherwise is from what it was; None where that cannot be said here.

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
        if self._values is None:
            self._start()
        assert self._values is not None
        new = values_of(model, self._values)
        self.told = self._unlike(model, contract, new)
        if self.told:
            return None
        old = from_proto(self._header.proto, model.path, self._header.values)
        found = regions(old, model, self._values, new, self._record)
        if found is None:
            self.told = "every value is computed as before"
            drift = Deviation(contract.name, tuple(map(OutputDeviation, new.outputs)), trials=self._trials)
        elif found.nodes > SHARE * (len(old.graph.nodes) + len(model.graph.nodes)):
            self.told = f"{count(found.nodes, 'node')} of both models compute otherwise"
            return None
        else:
            drift = self._run(found, contract)
        if drift.passed:
            self._values, self._header, self._tables = new, header, tables(model)
        return drift

    def _start(self) -> None:
        """Record the tensors inside."""
        model = self._watch.model
        values = values_of(model)
        self._record = record(model, values, self._watch.samples, self._watch.threads)
        self._values, self._header, self._interface = values, self._watch.header, Interface.of(model)
        self._tables, self._trials = tables(model), len(self._watch.samples)

    def _unlike(self, model: Model, contract: Contract, new: Values) -> str:
        """What is other beside values, or what the contract says of the whole; empty where nothing is."""
        assert self._values is not None
        old = self._values
        if model.host is not None:
            return "part of the model runs on the host"
        if contract.changes_interface or contract.lowers_dtype or contract.assumes:
            return f"the contract {contract} speaks of the whole"
        now = Interface.of(model)
        if (now.inputs, now.defaults) != (self._interface.inputs, self._interface.defaults):
            return "the inputs are other"
        if lines := differences(self._interface, now, self._watch.outputs):
            return lines[0]
        if other := [name for name, body in new.functions.items() if old.functions.get(name, body) != body]:
            return f"the function '{other[0][1]}' is other"
        if rows := differing_rows(self._tables, tables(model)):
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
        self.told = f"a region of {count(len(found.before.graph.nodes), 'node')}, now {len(found.after.graph.nodes)}"
        if not drift.passed:
            self.told += f", differs inside: {drift.failures[0]}"
        return drift
