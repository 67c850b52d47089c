"""The pass manager: runs a pipeline on a model, checks each pass, and says what each did."""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import onnx_graphsurgeon as gs

from regraft import shapes
from regraft.errors import GraphError, PassError, PipelineError, RegraftError, VerificationError
from regraft.files.convert import Header, export
from regraft.ir import structure
from regraft.ir.collector import paused
from regraft.ir.graph import adopt
from regraft.ir.model import Model
from regraft.pipelines import record
from regraft.pipelines.dump import Dumps
from regraft.pipelines.pass_ import Context, Pass, label
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.progress import Quiet, bars
from regraft.pipelines.report import PassReport, Report
from regraft.pipelines.watch import Watch
from regraft.verification.contract import Contract
from regraft.verification.drift import Drift
from regraft.verification.inputs import Given

Verify = Literal["none", "final", "each"]
VERIFY: tuple[Verify, ...] = ("none", "final", "each")


@paused()
def run(
    model: Model,
    pipeline: Pipeline | Any,
    *,
    verify: Verify = "none",
    dump_dir: str | Path | None = None,
    inputs: Mapping[str, Any] | Given | None = None,
    progress: bool = False,
    seed: int = 0,
) -> Report:
    """Run `pipeline` on `model`, which is changed in place; no file of the model is touched.

    Args:
        pipeline: a Pipeline, its text, the path of its file, or passes.
        verify: "each" runs the model after every pass that changed it and checks the pass's contract; "final" runs
            it before and after the whole, and checks the contracts together.
        dump_dir: a folder for the graph before the first pass and after each that changed it.
        inputs: arrays by name, to verify on, or what `read_given` reads; the rest is made.
        progress: show progress bars.
        seed: of the inputs that are made.

    Raises:
        GraphError: the model is broken before any pass.
        PassError: a pass fails, or leaves a broken graph.
        VerificationError: outputs drift further than the contract allows.
    """
    if verify not in VERIFY:
        raise PipelineError(f"verify is one of {', '.join(VERIFY)}, not '{verify}'")
    if isinstance(pipeline, str | Path):
        pipeline = Pipeline.read(pipeline)
    if not isinstance(pipeline, Pipeline):
        pipeline = Pipeline(pipeline)
    return _Run(model, pipeline, verify, dump_dir, inputs, seed).run(progress)


class _Run:
    """One run of a pipeline on a model."""

    def __init__(
        self,
        model: Model,
        pipeline: Pipeline,
        verify: Verify,
        dump_dir: str | Path | None,
        inputs: Mapping[str, Any] | Given | None,
        seed: int,
    ):
        self.model, self.pipeline, self.verify = model, pipeline, verify
        self.report = Report(str(model.path or ""), str(pipeline), verify)
        _check(model, f"{model.path or 'the model'} is broken before any pass")
        self.report.notes = [*structure.foreign(model), *shapes.confirm(model)]
        self.dumps = Dumps(Path(dump_dir), model) if dump_dir is not None else None
        self.watch = self._watch(inputs, seed) if verify != "none" else None
        self.report.unstable = list(self.watch.unstable) if self.watch else []
        self.header = self._header()
        self.before: Path | None = None  # the dump that shows the graph before the pass at work

    def run(self, shown: bool) -> Report:
        with bars(len(self.pipeline), shown) as shown_bars:
            nodes = _count(self.model)
            for number, one in enumerate(self.pipeline, 1):
                shown_bars.begin(one.name)
                nodes = self.one_pass(number, one, nodes, shown_bars)
                shown_bars.end()
        if self.verify == "final" and self.report.changed:
            self.before = self.dumps.first if self.dumps else None
            self.report.drift = self.look(self.report.contract, f"pipeline '{self.pipeline}'")
        entries = [record.Entry(one.text, tuple(one.changes)) for one in self.report.passes]
        record.append(self.model, str(self.pipeline), entries)
        return self.report

    def one_pass(self, number: int, one: Pass, nodes: int, bars: Quiet) -> int:
        """Run a pass and what belongs to it; the number of nodes after it."""
        self.before = self.dumps.last if self.dumps else None
        if self.watch and self.verify == "each":
            self.prepare(self.watch, one)
        said = PassReport(one.name, str(one), str(one.contract), nodes_before=nodes)
        self.report.passes.append(said)
        context = Context(one.name, {id(node): node for node in self.model.nodes()}, bars.track)
        peak, start = _peak_memory(), time.perf_counter()
        self.apply(one, context)
        said.seconds = time.perf_counter() - start
        self.check(one)
        said.peak_memory = _peak_memory()
        said.peak_growth = said.peak_memory - peak
        said.nodes_after = _count(self.model)
        said.changes, said.effects, said.notes = context.changes, context.effects, context.notes
        self.after_pass(number, one, said)
        return said.nodes_after

    def prepare(self, watch: Watch, one: Pass) -> None:
        """Have what the result of a pass is compared with."""
        reference = one.reference(self.model)
        if reference is not None:
            watch.expect(reference)
        if one.contract.changes_interface:
            watch.keep(reference or self.model)

    def apply(self, one: Pass, context: Context) -> None:
        try:
            one.run(self.model, context)
        except RegraftError as error:
            raise PassError(f"{self.blame(one)}: {error}") from error
        except Exception as error:
            raise PassError(f"{self.blame(one)}{_place(error, one)}: {type(error).__name__}: {_line(error)}") from error

    def check(self, one: Pass) -> None:
        """See that the pass left a graph that obeys ONNX's rules."""
        for graph in self.model.graphs():
            adopt(graph)
        _check(self.model, f"pass '{one}' left a broken graph{self.hint()}")

    def after_pass(self, number: int, one: Pass, said: PassReport) -> None:
        """See whether the pass changed the model; dump and verify it if so."""
        header = self._header()
        told = said.changes or said.effects or said.nodes_before != said.nodes_after
        said.changed = bool(told) or not _same(header, self.header)
        self.header = header
        if not said.changed:
            return
        if self.dumps and header:
            said.dump = self.dumps.write(header, number, one.name)
        contract = one.contract.through(len(said.changes))
        self.report.contract += contract
        if self.watch and self.verify == "each":
            said.drift = self.look(contract, f"pass '{one}'")

    def look(self, contract: Contract, what: str) -> Drift:
        """Verify the model against `contract`."""
        assert self.watch
        try:
            drift = self.watch.look(self.model, contract)
        except VerificationError:
            raise
        except RegraftError as error:
            raise VerificationError(f"after {what} the model does not run: {error}") from error
        if not drift.passed:
            others = f", and {len(drift.failures) - 1} more outputs" if len(drift.failures) > 1 else ""
            raise VerificationError(f"{what} breaks its contract {contract}: {drift.failures[0]}{others}{self.hint()}")
        return drift

    def blame(self, one: Pass) -> str:
        where = f" on {self.model.path}" if self.model.path else ""
        return f"pass '{one}' failed{where}{self.hint()}"

    def hint(self) -> str:
        """Where the model from before the failure lies."""
        return f" (the graph before it: {self.before})" if self.before else ""

    def _watch(self, inputs: Mapping[str, Any] | Given | None, seed: int) -> Watch:
        if self.verify == "each":
            return Watch(self.model, inputs, seed)
        reference = reference_for(self.model, self.pipeline)
        watch = Watch(reference, inputs, seed)
        if any(one.contract.changes_interface for one in self.pipeline):
            watch.keep(reference)
        return watch

    def _header(self) -> Header | None:
        """The model as it would be written, where it is worth the time to see whether a pass changed it."""
        return export(self.model) if self.dumps or self.watch else None


def reference_for(model: Model, pipeline: Iterable[Pass]) -> Model:
    """What the result of `pipeline` is held against: `model`, or what its passes make of it for that."""
    for one in pipeline:
        model = one.reference(model) or model
    return model


def _check(model: Model, what: str) -> None:
    try:
        structure.check(model)
        if model.host is not None:
            structure.check(model.host.model)
    except GraphError as error:
        raise GraphError(f"{what}: {error}") from error


def _count(model: Model) -> int:
    return sum(len(graph.nodes) for graph in model.graphs())


def _same(one: Header | None, other: Header | None) -> bool:
    """Whether two headers say the same of the same values."""
    if one is None or other is None:
        return one is other
    values = zip(one.values, other.values, strict=False)
    return len(one.values) == len(other.values) and all(a is b for a, b in values) and one.proto == other.proto


def _peak_memory() -> int:
    """Bytes, the most that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _place(error: BaseException, one: Pass) -> str:
    """The node at which `error` came, the last variable called `node`, and the last line of the pass's own file."""
    frames = list(traceback.walk_tb(error.__traceback__))
    nodes = [frame.f_locals["node"] for frame, _ in frames if isinstance(frame.f_locals.get("node"), gs.Node)]
    at = f" at node '{label(nodes[-1])}' ({nodes[-1].op})" if nodes else ""
    own = [(frame, line) for frame, line in frames if frame.f_globals["__name__"] == type(one).__module__]
    frame, line = (own or frames)[-1]
    return f"{at} in {Path(frame.f_code.co_filename).name}, line {line}"
