"""A cell of the matrix: a transform applied to an artifact in an opset, and compared with the original."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import regraft
from regraft.errors import PassError, RegraftError
from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.report import PassReport
from regraft.verification.contract import Contract, exact
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.verify import coarsest_float, snapshot
from tests.matrix.artifacts import Artifact
from tests.matrix.bfloat16 import without_bfloat16
from tests.matrix.measures import Done, operators
from tests.matrix.transforms import FIXED, TRANSFORMS, Transform

STRIP = "strip-dropout"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        places: that the transform changed.
        error: the largest absolute difference of an output.
        reason: why there was nothing to do.
        refusal: why the artifact cannot be written in the opset.
        gap: what the transform leaves undone, and why, where that is known.
        failure: what is wrong; empty where the cell is as it must be.
    """

    places: int = 0
    error: float = 0.0
    reason: str = ""
    refusal: str = ""
    gap: str = ""
    failure: str = ""


class Subject:
    """An artifact in an opset, ready to be transformed: the model, its inputs, what the original makes of them.

    One in training mode gives other outputs each time. Its transforms see the Dropouts, and are then followed by
    strip-dropout; the reference is the original in inference mode.
    """

    def __init__(self, artifact: Artifact, opset: int):
        self.artifact, self.opset = artifact, opset
        original = artifact.load()
        self.inputs = make_inputs(original, given=Given(values=artifact.inputs))
        shapes = [f"{name}={'x'.join(map(str, value.shape))}" for name, value in self.inputs.items()]
        self.fixed = f"set-shapes{{{','.join(shapes)}}}"
        if artifact.dropouts:
            original = Pipeline(STRIP).passes[0].reference(original) or original
        self.expected: dict[str, Any] = snapshot(original, self.inputs, threads=1)
        self.refusal = ""
        self.model, self.contract = self._converted()

    def _converted(self) -> tuple[Model, Contract]:
        model = self.artifact.load()
        try:
            return model, apply(model, conversion(self.artifact, self.opset))[0]
        except PassError as error:
            self.refusal = str(error).partition("failed on ")[2].partition(": ")[2]
            return model, exact

    def transform(self, transform: Transform) -> Outcome:
        """Apply `transform` to a copy of the model."""
        if self.refusal:
            return Outcome(refusal=self.refusal)
        try:
            return self._transform(transform)
        except RegraftError as error:
            wanted = transform.refuses(self.model)
            if wanted and wanted in str(error):
                return Outcome(reason=wanted)
            return Outcome(failure=f"{type(error).__name__}: {error}")

    def _transform(self, transform: Transform) -> Outcome:
        model = clone(self.model)
        prepared, _ = apply(model, transform.prepare.replace(FIXED, self.fixed))
        expected = transform.expects(self.artifact, model)
        before = clone(model)
        contract, reports = apply(model, transform.pipeline)
        done = Done(before, model, reports)
        places, left, notes = transform.places(done), transform.left(done), said(reports)
        if transform.partly and isinstance(expected, int):
            kept = min(len(left), sum(len(report.refusals) for report in reports))
            expected, left = expected - kept or notes, left[kept:]
        error, wrong, undone = 0.0, [], [f"{op} left" for op in left]
        if any(report.changed for report in reports):
            error, wrong = self._error(model, self.contract + prepared + contract)
        if isinstance(expected, str):
            reason = expected or notes
            wrong += [f"{places} places changed, though: {reason}"] if places else []
            wrong += [] if reason else ["it says not why it does nothing"]
            return Outcome(reason=reason, failure="; ".join(undone + wrong))
        undone += [f"{places} places changed, not {expected}"] if places != expected else []
        gap = self.artifact.gap(transform.name, self.opset)
        if not gap:
            return Outcome(places, error, failure="; ".join(undone + wrong))
        wrong += [] if undone else ["there is no gap any more"]
        wrong += [f"it says something else than '{gap}': {notes}"] if gap not in (notes or gap) else []
        return Outcome(places, error, gap=f"{'; '.join(undone)}: {gap}", failure="; ".join(wrong))

    def _error(self, model: Model, contract: Contract) -> tuple[float, list[str]]:
        """The largest difference from the original, and where it breaks `contract`."""
        if self.artifact.dropouts and operators(model)["Dropout"]:
            contract += apply(model, STRIP)[0]
        found = snapshot(without_bfloat16(model), self.inputs, threads=1)
        drift = contract.check(self.expected, found, computed_in=coarsest_float(model))
        return drift.max_abs, [str(failure) for failure in drift.failures]


def run(artifact: Artifact, opset: int, transforms: Iterable[Transform] = TRANSFORMS) -> dict[str, Outcome]:
    """Each of `transforms` on `artifact` in `opset`, by its name."""
    subject = Subject(artifact, opset)
    return {transform.name: subject.transform(transform) for transform in transforms}


def said(reports: list[PassReport]) -> str:
    """The notes of the passes, without the names of nodes, each once."""
    notes = [
        re.sub(r"^kept \S+: | of '\S+' and '\S+'| \(.*\)$", "", note) for report in reports for note in report.notes
    ]
    return "; ".join(dict.fromkeys(notes))


def conversion(artifact: Artifact, opset: int) -> str:
    """The passes that lead `artifact` to `opset`."""
    passes = [artifact.before_conversion, f"convert-opset{{version={opset}}}"]
    return "" if opset == artifact.opset else ",".join(filter(None, passes))


def apply(model: Model, pipeline: str) -> tuple[Contract, list[PassReport]]:
    """Run `pipeline`; what it promises of the outputs, and what its passes said."""
    passes = Pipeline(pipeline)
    reports = regraft.run(model, passes).passes
    contract = exact
    for one, said in zip(passes, reports, strict=True):
        if said.changed:
            contract += one.contract.through(said.matches)
    return contract, reports
