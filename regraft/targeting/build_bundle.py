"""From a model to a bundle that its target has compiled, or that one command compiles where the target is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.bundling import check_destination, write_bundle
from regraft.bundling.golden import Golden
from regraft.errors import TargetError
from regraft.files.bundle import read_manifest
from regraft.files.convert import clone
from regraft.files.saving import Layout
from regraft.ir.model import Model
from regraft.pipelines import manager
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.report import Report
from regraft.targeting.process import ResourceLimits
from regraft.targeting.target import Place, Target
from regraft.verification.contract import Contract
from regraft.verification.inputs import Given


@dataclass(frozen=True)
class BuiltBundle:
    """What became of a model.

    Attributes:
        report: of the pipeline.
        golden: the vectors, with how far the rewritten model lies from the original.
        manifest: of the bundle.
    """

    report: Report
    golden: Golden
    manifest: dict[str, Any]


def build_bundle(
    model: Model,
    target: Target,
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
) -> BuiltBundle:
    """Prepare `model`, which is changed, for `target`, check it, and write the bundle that the target finishes.

    Args:
        first: what runs ahead of the target's sizes and pipeline.
        pipeline: in place of the target's own; the sizes come first all the same.
        check: refuse a model that the target's profile does not take.
        given: inputs for the golden vectors; the rest is made.
        environment: of the compiler; None where it is to be found.
        limits: what the compiler may take.
        tolerance: how far what it makes may lie from the original; None leaves that to the target.

    Raises:
        TargetError: the target does not take the model, or its compiler is missing.
        CompilerError: the compiler refuses, crashes, takes too much, or computes something else; its log stays at
            `folder` with `.log` added, and what was at `folder` stays there.
        VerificationError: the rewritten model breaks the contract of its pipeline.
    """
    folder = Path(folder)
    check_destination(folder)
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
        add=lambda written, new, vectors: target.finish(written, new, vectors, place),
    )
    assert golden is not None
    return BuiltBundle(report, golden, read_manifest(folder))
