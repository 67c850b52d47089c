"""From a model to a bundle that its target has compiled, or that one command compiles where the target is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.bundling import check_destination, write_bundle
from regraft.bundling.golden import Golden
from regraft.display import Displayed, Table
from regraft.errors import TargetError
from regraft.files.bundle import read_manifest
from regraft.files.convert import clone
from regraft.files.saving import Layout
from regraft.pipelines import manager
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.report import Report
from regraft.pipelines.source import opened
from regraft.targeting.process import ResourceLimits
from regraft.targeting.target import Place, Target, as_target
from regraft.verification.contract import Contract
from regraft.verification.inputs import Given
from regraft.verification.runtime import Runnable


@dataclass(frozen=True, repr=False)
class BuiltBundle(Displayed):
    """What became of a model.

    Attributes:
        folder: the bundle.
        report: of the pipeline.
        golden: the vectors, with how far the rewritten model lies from the original.
        manifest: of the bundle.
    """

    folder: Path
    report: Report
    golden: Golden
    manifest: dict[str, Any]

    def display(self) -> Iterator[str | Table]:
        yield f"{self.folder}: the rewritten model against the original: {self.golden.drift.verdict}"
        if compiled := self.manifest.get("compiled"):
            yield f"compiled by {compiled['package']} {compiled['version']}"
            rows = [
                (one["name"], f"{one['max_abs']:.2g}", f"{one['cosine']:.9f}") for one in compiled["drift"]["outputs"]
            ]
            yield Table("what it made against the original", rows, ("output", "max abs", "cosine"), (1, 2))
        if handoff := self.manifest.get("handoff"):
            yield f"to compile it, where the compiler is, in that folder: {handoff['command']}"


def compile(
    model: Runnable,
    target: Target | str,
    folder: str | os.PathLike[str],
    *,
    first: str | Pipeline | None = None,
    pipeline: str | Pipeline | None = None,
    check: bool = True,
    given: Given | None = None,
    seed: int = 0,
    layout: Layout = "auto",
    environment: Path | None = None,
    limits: ResourceLimits | None = None,
    tolerance: Contract | None = None,
    progress: bool = False,
    force: bool = False,
) -> BuiltBundle:
    """Prepare `model` for `target`, check it, and write the bundle that the target finishes.

    Args:
        model: a Model, which is changed, a `ModelProto`, or a path.
        target: or its text, such as `tvm{batch=1,sequence=128}`.
        folder: where the bundle goes: new, or a bundle of this target to replace.
        first: what runs ahead of the target's sizes and pipeline.
        pipeline: in place of the target's own; the sizes come first all the same.
        check: refuse a model that the target's profile does not take.
        given: inputs for the golden vectors; the rest is made.
        environment: of the compiler; None where it is to be found.
        limits: what the compiler may take.
        tolerance: how far what it makes may lie from the original; None leaves that to the target.
        force: replace the bundle of another target, too.

    Raises:
        TargetError: the target does not take the model, or its compiler is missing.
        CompilerError: the compiler refuses, crashes, takes too much, or computes something else; its log stays at
            `folder` with `.log` added, and what was at `folder` stays there.
        VerificationError: the rewritten model breaks the contract of its pipeline.
    """
    model, target, folder = opened(model), as_target(target), Path(folder)
    check_destination(folder, target.name, force=force)
    original = clone(model)
    ahead = first if isinstance(first, Pipeline) else Pipeline.read(first or "")
    passes = Pipeline(ahead, target.passes(model, pipeline))
    report = manager.run(model, passes, inputs=given, progress=progress, seed=seed)
    if check and (violations := target.check(model)):
        raise TargetError(f"{target.refusal(model, violations)}; --no-check hands it over all the same")
    place = Place(folder.with_name(f"{folder.name}.log"), environment, limits or ResourceLimits(), tolerance)
    golden = write_bundle(
        model,
        folder,
        original=manager.reference_for(original, passes),
        report=report,
        given=given,
        seed=seed,
        layout=layout,
        target=target.name,
        force=force,
        add=lambda written, new, vectors: target.finish(written, new, vectors, place),
    )
    assert golden is not None
    return BuiltBundle(folder, report, golden, read_manifest(folder))
