"""The pass manager: runs a pipeline on a model, checks each pass, and says what each did."""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from regraft import shapes
from regraft.errors import GraphError, PassError, PipelineError, RegraftError
from regraft.files.convert import Header, export
from regraft.ir import verifier
from regraft.ir.clone import clone
from regraft.ir.gc_pause import paused
from regraft.ir.graph import Node
from regraft.ir.model import Model
from regraft.pipelines import history
from regraft.pipelines.dump import Dumps
from regraft.pipelines.pass_base import Context, Pass, label
from regraft.pipelines.pipeline import PassLike, Pipeline, Repeat, Step
from regraft.pipelines.progress import Quiet, bars
from regraft.pipelines.recorder import Recorder
from regraft.pipelines.report import PassReport, Report
from regraft.pipelines.step_verifier import StepVerifier
from regraft.refusal import Refusal
from regraft.verification.contract import promise
from regraft.verification.names import forget_names
from regraft.verification.places import Prover
from regraft.verification.sizes import Given
from regraft.verification.trials import TRIALS
from regraft.wording import count

Verify = Literal["auto", "none", "final", "each"]
VERIFY: tuple[Verify, ...] = ("auto", "none", "final", "each")


@paused()
def run(
    model: Model,
    pipeline: PassLike | Path,
    *,
    verify: Verify = "none",
    dump_dir: str | Path | None = None,
    inputs: Mapping[str, npt.ArrayLike] | Given | None = None,
    progress: bool = False,
    seed: int = 0,
    trials: int = len(TRIALS),
    before: Callable[[Pass], None] | None = None,
    after: Callable[[PassReport], None] | None = None,
    prove: Prover | None = None,
    record: bool = True,
) -> Report:
    """Run `pipeline` on `model`, which is changed in place; no file of the model is touched.

    Args:
        pipeline: a Pipeline, its text, the path of its file, or passes.
        verify: "each" runs what every pass computes otherwise before and after it, and checks the pass's contract, and
            runs the model at the end, or around a pass where that does not tell; "final" runs it before and after
            passes in a row that promise the same, so that what one may do excuses no other; "auto" is "final" where
            that is cheap and ONNX Runtime takes the model, and else "none", with the reason in the report.
        dump_dir: a folder; in one of its own inside, the graph before the first pass and after each that changed it.
        inputs: arrays by name, to verify on, or what `read_given` reads; the rest is made.
        progress: show progress bars.
        seed: of the inputs that are made.
        trials: how many sets of inputs, unlike each other, the model runs on.
        before: is called before each pass with it, and may look at the model, but not edit it.
        after: is called after each pass with what it did, and may look at the model, too.
        prove: proves what it can of each pass, from the model before and after: `regraft.prove_models`.
        record: whether the model carries its history; else nothing of it is left, of earlier runs neither.

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
    return _Run(model, pipeline, verify, dump_dir, inputs, seed, trials, before, after, prove, record).run(progress)


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
        trials: int,
        before: Callable[[Pass], None] | None,
        after: Callable[[PassReport], None] | None,
        prove: Prover | None,
        record: bool,
    ):
        self.model, self.pipeline, self.prove, self.record = model, pipeline, prove, record
        self.tell_before, self.tell_after = before, after
        self.report = Report(str(model.path or ""), str(pipeline), verify)
        _check(model, f"{model.path or 'the model'} is broken before any pass")
        given = inputs.values if isinstance(inputs, Given) else inputs or {}
        self.report.notes = [*verifier.foreign(model), *forget_names(model, given), *shapes.confirm(model)]
        self.past = history.read(model) if record else []
        self.pipelines = history.pipeline_of(model)
        self.dumps = Dumps(Path(dump_dir), model) if dump_dir is not None else None
        self.verifier = StepVerifier(model, self.report, inputs, seed, trials)
        self.header = self._header()
        self.recorder = Recorder(model)
        self.proved = clone(model) if prove else None  # the model as far as its passes are proved
        self.before: Path | None = None  # the dump that shows the graph before the pass at work

    def run(self, shown: bool) -> Report:
        try:
            with bars(len(self.pipeline), shown) as shown_bars:
                for step in self.pipeline.steps:
                    self.step(step, shown_bars)
        finally:
            self.recorder.end()
        self.verifier.end()
        self.write_history(self.model, str(self.pipeline))
        if self.report.changed:
            promise(self.model.metadata, self.report.contract)
        return self.report

    def step(self, step: Step, bars: Quiet, rounds: tuple[int, ...] = ()) -> None:
        """Run a pass, or a group until it changes nothing."""
        if not isinstance(step, Repeat):
            bars.begin(step.name)
            self.one_pass(len(self.report.passes) + 1, step, bars, rounds)
            bars.end()
            return
        for number in range(1, step.rounds + 1):
            first = len(self.report.passes)
            for one in step.steps:
                self.step(one, bars, (*rounds, number))
            done = self.report.passes[first:]
            if not any(said.changed for said in done):
                return
        done[-1].notes.append(f"the last of {count(step.rounds, 'round')} changed something still: {step}")

    def one_pass(self, number: int, one: Pass, bars: Quiet, rounds: tuple[int, ...]) -> None:
        """Run a pass and what belongs to it."""
        self.before = self.dumps.last if self.dumps else None
        if self.tell_before is not None:
            self.tell_before(one)
        self.verifier.prepare(one)
        if self.prove is not None:
            self.proved = one.reference(self.model) or self.proved
        said = PassReport(one.name, str(one), str(one.contract), nodes_before=len(self.recorder.nodes), rounds=rounds)
        self.report.passes.append(said)
        context = Context(one.name if self.record else "", self.recorder.nodes, bars.track)
        peak, start = _peak_memory(), time.perf_counter()
        self.apply(one, context)
        said.seconds = time.perf_counter() - start
        self.check(one)
        said.peak_memory = _peak_memory()
        said.peak_growth = said.peak_memory - peak
        said.changes, said.effects, said.notes = self.recorder.record(context), context.effects, context.notes
        said.nodes_after = len(self.recorder.nodes)
        said.refusals = context.refusals
        said.rule_uses = context.rule_uses
        self.after_pass(number, one, said)
        self.prove_pass(one, said)
        if self.tell_after is not None:
            self.tell_after(said)

    def apply(self, one: Pass, context: Context) -> None:
        run_pass(one, self.model, context, self.hint())

    def check(self, one: Pass) -> None:
        """See that the pass left a graph that obeys ONNX's rules."""
        _check(self.model, f"pass '{one}' left a broken graph{self.hint()}")

    def after_pass(self, number: int, one: Pass, said: PassReport) -> None:
        """See whether the pass changed the model; dump and verify it if so."""
        header = self._header()
        said.changed = bool(said.changes or said.effects) or not _same(header, self.header)
        self.header = header
        if not said.changed:
            return
        if self.dumps and header:
            said.dump = self.dumps.write(header, number, one.name, self.write_history)
        self.report.contract += one.contract.through(said.matches)
        self.verifier.add(said, one, header, self.hint())

    def write_history(self, model: Model, pipeline: str = "") -> None:
        """Write into `model` what was done until now, by `pipeline` or the passes of this run."""
        if not self.record:
            history.forget(model)
            return
        ran = pipeline or ",".join(one.text for one in self.report.passes)
        done = [
            history.Entry(one.text, tuple(one.changes), one.contract, one.measured)
            for one in self.report.passes
            if one.changes
        ]
        history.write(model, ",".join(filter(None, [self.pipelines, ran])), [*self.past, *done])

    def prove_pass(self, one: Pass, said: PassReport) -> None:
        """Prove what a pass did, which may not know of all, where no outputs are compared."""
        if self.prove is None or self.proved is None or not (said.changed or not self.verifier.active):
            return
        said.places = self.prove(self.proved, self.model, contract=one.contract)
        self.proved = clone(self.model)

    def hint(self) -> str:
        """Where the model from before the failure lies."""
        return f" (the graph before it: {self.before})" if self.before else ""

    def _header(self) -> Header | None:
        """The model as it would be written, where it is worth the time to see whether a pass changed it."""
        return export(self.model) if self.dumps or self.verifier.active else None


def run_pass(one: Pass, model: Model, context: Context, hint: str = "") -> None:
    """Run a pass by itself; `hint` says what may help. Raises PassError where it fails, whatever the error."""
    where = f" on {model.path}" if model.path else ""
    blame = f"pass '{one}' failed{where}{hint}"
    try:
        one.run(model, context)
    except RegraftError as error:
        raise PassError(Refusal(f"{blame}: {error}", needs=error.needs)) from error
    except Exception as error:
        raise PassError(f"{blame}{_place(error, one)}: {type(error).__name__}: {_line(error)}") from error


def reference_for(model: Model, pipeline: Iterable[Pass]) -> Model:
    """What the result of `pipeline` is held against: `model`, or what its passes make of it for that."""
    for one in pipeline:
        model = one.reference(model) or model
    return model


def _check(model: Model, what: str) -> None:
    try:
        verifier.check(model)
        if model.host is not None:
            verifier.check(model.host.model)
    except GraphError as error:
        raise GraphError(f"{what}: {error}") from error


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
    nodes = [frame.f_locals["node"] for frame, _ in frames if isinstance(frame.f_locals.get("node"), Node)]
    at = f" at node '{label(nodes[-1])}' ({nodes[-1].op})" if nodes else ""
    own = [(frame, line) for frame, line in frames if frame.f_globals["__name__"] == type(one).__module__]
    frame, line = (own or frames)[-1]
    return f"{at} in {Path(frame.f_code.co_filename).name}, line {line}"
