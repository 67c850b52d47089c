"""Writes a rewritten model as a bundle."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regraft.bundling.chain import write_stages
from regraft.bundling.golden import Golden, make_golden
from regraft.errors import ModelError
from regraft.files.bundle import FORMAT, MANIFEST, interface, is_bundle, ports, sums, target_of, write_models
from regraft.files.convert import clone
from regraft.files.destination import check_folder_name
from regraft.files.saving import Layout
from regraft.files.stream import partial_folder, sync_folder, take_place
from regraft.ir.model import Model
from regraft.pipelines.manager import run
from regraft.pipelines.report import Report
from regraft.splitting.stage_labels import ORDER
from regraft.verification.inputs import Given, make_inputs
from regraft.verification.runtime import Session

REPORT = "report.json"
TIDY = "fold-constants,eliminate-identity,eliminate-common-subexpressions,eliminate-dead-code"
"""The pipeline for the host's graph: several passes may have moved the same nodes there."""


def check_destination(folder: Path, target: str = "", *, force: bool = False) -> None:
    """Raise ModelError where `write_bundle` would not write: what is there is no bundle, or one of another target."""
    check_folder_name(folder)
    if folder.is_dir():
        if not is_bundle(folder):
            if any(folder.iterdir()):
                raise ModelError(f"cannot write {folder}: it is a folder that holds no bundle; name a new one")
        elif (other := _standing(folder)) not in ("", target) and not force:
            raise ModelError(
                f"cannot write {folder}: the bundle of target '{other}' is there; name another folder, "
                "or replace it with --force"
            )
    elif os.path.lexists(folder):
        raise ModelError(f"cannot write {folder}: it is no folder, and a bundle is one; name another")
    elif not folder.parent.is_dir():
        raise ModelError(f"cannot write {folder}: there is no folder {folder.parent}")


def _standing(folder: Path) -> str:
    """The target of the bundle that is there. Raises ModelError where its manifest is none of ours."""
    try:
        return target_of(folder)
    except ModelError as error:
        raise ModelError(f"cannot write {folder}: it may be no bundle: {error}; name a new folder") from error


def write_bundle(
    model: Model,
    folder: str | os.PathLike[str],
    *,
    original: Model | None = None,
    report: Report | None = None,
    given: Given | None = None,
    seed: int = 0,
    layout: Layout = "auto",
    target: str = "",
    force: bool = False,
    add: Callable[[Model, Path, Golden], dict[str, object]] | None = None,
) -> Golden | None:
    """Write `model`, with its host if it has one, to `folder`, which is new, empty, or a bundle that is replaced.

    The stages of a model that `split-layers` has marked are written beside it.

    Args:
        original: the model before it was rewritten; golden vectors are made with it, and the result is compared with
            it. Without it there are none.
        report: of the pipeline that made `model`.
        given: inputs for the golden vectors; others are generated.
        layout: of the device's weights.
        target: the name of the target that the bundle is for, if it is for one.
        force: replace the bundle of another target, too.
        add: writes more into the folder, from the contents of the bundle and the golden vectors, for which it needs
            `original`; returns entries for the manifest.

    Returns:
        The golden vectors, with how far the result lies from the original.

    Raises:
        ModelError: the folder holds something else, or cannot be written; what was there is still there.
        VerificationError: the result breaks the contract of its pipeline.
    """
    folder = Path(folder)
    check_destination(folder, target, force=force)
    model, golden = _tidied(model), None
    if original is not None:
        golden = make_golden(original, model, (report or Report("", "", "none")).contract, given, seed)
    with _replacing(folder) as new:
        write_models(model, new, layout)
        said: dict[str, Any] = {"format": FORMAT, "regraft": version("regraft"), **interface(model)}
        if target:
            said["target"] = target
        if original is not None:
            said["original"] = ports(original)
        if report is not None:
            report.write(new / REPORT)
            said |= {"source": report.model, "pipeline": report.pipeline, "report": REPORT}
            said["contract"] = asdict(report.contract)
        if golden is not None:
            said |= {"golden": golden.write(new), "drift": golden.drift.to_dict()}
        if ORDER in model.metadata:
            fed = golden.device_inputs if golden else Session(model).device_inputs(make_inputs(model, seed=seed))
            said["stages"] = write_stages(model, new, fed)
        if add is not None and golden is not None:
            said |= add(model, new, golden)
        files = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
        said["files"] = sums(new, files)
        (new / MANIFEST).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return golden


def _tidied(model: Model) -> Model:
    """`model` with a host that computes nothing twice."""
    if model.host is None or not model.host.feeds:
        return model
    front = clone(model.host.model)
    run(front, TIDY)
    front.metadata = {}
    return Model(model.graph, model.header, model.metadata, model.path, replace(model.host, model=front))


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder that replaces the one at `folder` when everything is written, and is removed on an error."""
    try:
        with partial_folder(folder.resolve()) as scratch:
            new = scratch / "new"
            new.mkdir()
            yield new
            for inner in (new, *(path for path in new.rglob("*") if path.is_dir())):
                sync_folder(inner)
            take_place(new, folder.resolve())
    except (OSError, RuntimeError) as error:
        raise ModelError(f"cannot write {folder}: {getattr(error, 'strerror', None) or error}") from error
