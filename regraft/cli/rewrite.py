"""`regraft rewrite`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from regraft.cli.completion import complete_target
from regraft.cli.parameters import (
    PATH,
    SourceOptions,
    as_json,
    command,
    force,
    given,
    inputs,
    load,
    model_argument,
    pipeline_option,
    seed,
    source_options,
    trials,
)
from regraft.cli.terminal import echo, shows_progress
from regraft.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from regraft.files.saving import Layout
    from regraft.ir.model import Model
    from regraft.pipelines.manager import Verify
    from regraft.pipelines.pipeline import Pipeline
    from regraft.pipelines.report import Report
    from regraft.verification.second_look import SecondLook
    from regraft.verification.sizes import Given

DEFAULT_TARGET = "onnxruntime"


@command(
    "regraft rewrite model.onnx -o better.onnx",
    "regraft rewrite model.onnx -o model.onnx --pipeline 'strip-dropout,fold-constants{max-bytes=1MiB}'",
    "regraft rewrite model.onnx -o better.onnx --verify each --dump-dir steps --report report.json",
    "regraft rewrite mxnet-model -o better.onnx --shape data0=batchx64 --shape data1=batchx64 --shape data2=batch",
    "regraft rewrite model.onnx -o bundle --pipeline 'externalize-embeddings,externalize-mask,convert-fp16'",
)
@model_argument()
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="Where the result goes: a file, which may be MODEL itself; or a folder, for a bundle.",
)
@pipeline_option("The passes to run: as text, or a .toml, .txt or .pipeline file.")
@click.option(
    "--target",
    metavar="NAME{OPTION=...}",
    shell_complete=complete_target,
    help=f"Run this target's pipeline, and check that it takes the result.  [default: {DEFAULT_TARGET}'s pipeline]",
)
@click.option(
    "--layout",
    type=click.Choice(["auto", "inline", "external", "reference"]),
    default="auto",
    show_default=True,
    help="Where the weights go: into the file, beside it, or (reference) they stay in their files."
    " Auto: into the file where 2 GB allow it.",
)
@click.option(
    "--verify",
    type=click.Choice(["auto", "none", "final", "each", "prove"]),
    default="auto",
    show_default=True,
    help="Run the model before and after (each: every pass) and check what the passes promise. Auto: as final, where"
    " the weights take less than 512 MiB and ONNX Runtime takes the model. Prove: as auto, and prove over the real"
    " numbers, for all sizes, what each pass did.",
)
@click.option("--bisect", "bisects", is_flag=True, help="Where verification fails, find the match that is to blame.")
@click.option(
    "--dump-dir",
    type=PATH,
    help="Write the graph after each pass that changed it, into a fresh folder there: run-1, ...",
)
@click.option("--no-record", is_flag=True, help="Leave out of the result what 'log' and 'blame' read.")
@click.option("--timing", is_flag=True, help="Print time and memory of each pass.")
@click.option("--report", type=PATH, help="Write what each pass did, as JSON.")
@force
@click.option("--no-golden", is_flag=True, help="No golden vectors and no check against MODEL for a bundle.")
@source_options
@inputs
@seed
@trials
@as_json
@load
def rewrite(
    model: Path,
    output: Path,
    pipeline: str | None,
    target: str | None,
    layout: Layout,
    verify: Verify | Literal["prove"],
    bisects: bool,
    dump_dir: Path | None,
    no_record: bool,
    timing: bool,
    report: Path | None,
    force: bool,
    no_golden: bool,
    source: SourceOptions,
    inputs: tuple[str, ...],
    seed: int,
    trials: int,
    as_json: bool,
) -> None:
    """Run a pipeline of passes on a model and write the result.

    MODEL is an ONNX file, a bundle, or a model of another framework; see 'regraft import'.

    With an error, or a result that is not what the passes promise, nothing is written. With --pipeline and --target
    both, the pipeline runs and the target checks the result.

    An output without a suffix is a folder, for a bundle: device.onnx, host.onnx with what passes moved to the host,
    a manifest that says how they belong together, the report, and golden inputs and outputs, made by running both.
    """
    from regraft.bundling import check_destination, write_bundle
    from regraft.cli.bisect import command_line
    from regraft.cli.output import document
    from regraft.cli.rewritten import changed_operators, print_report
    from regraft.errors import VerificationError
    from regraft.files.bundle import check_sums
    from regraft.files.convert import clone
    from regraft.files.destination import goes_to_folder
    from regraft.files.saving import save
    from regraft.inspection.census import operators
    from regraft.pipelines import manager
    from regraft.proving.places import prove_models
    from regraft.targeting.target import read_target
    from regraft.verification.runtime import RuntimeFailure
    from regraft.verification.second_look import SecondLook

    if report is not None and report.resolve() in (model.resolve(), output.resolve()):
        raise click.UsageError(f"the report would take the place of {report}, a model; name another file")
    chosen = read_target(target or DEFAULT_TARGET)
    bundle = goes_to_folder(output)
    if bundle:
        check_destination(output, chosen.name if target else "", force=force)
    check_sums(model)
    loaded = source.open(model)
    before = operators(loaded)
    passes = chosen.passes(loaded, pipeline)
    known = given(loaded, inputs) if inputs else None
    original = clone(loaded) if bundle and not no_golden else None
    try:
        done = manager.run(
            loaded,
            passes,
            verify="auto" if verify == "prove" else verify,
            dump_dir=dump_dir,
            inputs=known,
            progress=shows_progress(),
            seed=seed,
            trials=trials,
            prove=prove_models if verify == "prove" else None,
            record=not no_record,
        )
    except VerificationError as error:
        if bisects:
            raise VerificationError(_bisected(source.open(model), passes, known, seed, trials)) from error
        line = command_line(model, str(passes), inputs, seed, trials, source)
        raise VerificationError(f"{error}; to find the match: {line}") from error
    if target and (violations := chosen.check(loaded)):
        raise chosen.refusal(loaded, violations)
    with SecondLook() as look:
        warnings = done.warnings + _types(look, loaded, lambda: source.open(model))
        if report:
            done.write(report)
        golden = None
        if bundle:
            reference = None if original is None else manager.reference_for(original, passes)
            try:
                golden = write_bundle(
                    loaded,
                    output,
                    original=reference,
                    report=done,
                    given=known,
                    seed=seed,
                    layout=layout,
                    target=chosen.name if target else "",
                    force=force,
                )
            except RuntimeFailure as error:
                rest = "" if no_golden else "; --no-golden leaves golden vectors out"
                raise RuntimeFailure(f"{output}: {error}{rest}") from error
        else:
            save(loaded, output, layout)
        warnings += _reopen(look, done, output, model)
    drift = golden.drift if golden else done.drift
    after = operators(loaded)
    if as_json:
        said = {"output": str(output), "verdict": done.verdict, "operators": changed_operators(before, after)}
        document({**said, "warnings": warnings, "drift": drift.to_dict() if drift else None, "report": done.to_dict()})
        return
    print_report(done, before, after, output, timing, drift, asked_for=pipeline is not None)
    for warning in warnings:
        echo(f"warning: {warning}")


def _bisected(model: Model, passes: Pipeline, known: Given | None, seed: int, trials: int) -> str:
    """Which match made the model wrong, and what is to be said of the search."""
    from regraft.bisection.bisect import bisect
    from regraft.bisection.checks import OutputsCheck

    found = bisect(model, passes, OutputsCheck(known, seed, trials))
    return "; ".join([str(found), *found.notes, f"found in {count(found.runs, 'run')}"])


def _types(look: SecondLook, result: Model, original: Callable[[], Model]) -> list[str]:
    """Check that the types of the result fit together. Raises PassError where they do not and the original's do."""
    from regraft.errors import PassError

    fault = look.types(result)
    if fault is None:
        return []
    if fault.kind != "refused":
        return [f"ONNX's inference {fault} on the result, so that its types were not checked"]
    if look.types(original()) is None:
        raise PassError(
            f"the result is not valid, and was not written: {fault}; say --verify each to see which pass did it"
        )
    return [f"ONNX's inference finds fault with the result, as with the original: {fault}"]


def _reopen(look: SecondLook, done: Report, output: Path, model: Path) -> list[str]:
    """The outputs that ONNX Runtime computes from the written result with its optimisations on, where they differ."""
    if done.witness is None or not done.changed:
        return []
    inputs = done.witness.inputs
    outputs = {name: value for name, value in done.witness.outputs.items() if name not in done.unstable}
    fault = look.far_off(output, inputs, outputs)
    if not fault:
        return []
    too = model.suffix == ".onnx" and look.far_off(model, inputs, outputs)
    who = "and so it does with the original" if too else "which it does not with the original"
    return [f"ONNX Runtime, its optimisations on, gives something else for the result, {who}: {fault}"]
